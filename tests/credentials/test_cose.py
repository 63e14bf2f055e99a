"""COSE_Sign1: what is written, what is read, and what is refused."""

from __future__ import annotations

from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from credentials.cose import Sign1, chain_header, parse_sign1, sign1
from credentials.encoding import dump_cbor, load_cbor
from credentials.errors import AlgorithmRefused, ChainInvalid, CoseMalformed, SignatureInvalid
from credentials.keys import PublicKey, software_sign

KEY = ec.derive_private_key(0xC05E, ec.SECP256R1())
PUBLIC = PublicKey.of(KEY.public_key())
SIGN = software_sign(KEY)


def made(*, detached: bool = False, tagged: bool = False, **headers: Any) -> Any:
    item = sign1(
        b"payload",
        sign=SIGN,
        protected=headers.get("protected", {}),
        unprotected=headers.get("unprotected", {}),
        detached=detached,
        tagged=tagged,
    )
    return load_cbor(dump_cbor(item))


def test_written_as_rfc_9052_says() -> None:
    protected, unprotected, payload, signature = made()
    assert (protected, unprotected, payload) == (bytes.fromhex("a10126"), {}, b"payload")
    PUBLIC.verify(signature, b"\x84\x6aSignature1\x43\xa1\x01\x26\x40\x47payload")


@pytest.mark.parametrize("tagged", [False, True])
@pytest.mark.parametrize("detached", [False, True])
def test_round_trip(tagged: bool, detached: bool) -> None:
    item = made(tagged=tagged, detached=detached, protected={16: "application/x"}, unprotected={4: b"kid"})
    parsed = parse_sign1(item, tagged=tagged, detached=b"payload" if detached else None)
    assert parsed.verify(PUBLIC) == b"payload"
    assert parsed.protected == {1: -7, 16: "application/x"}
    assert parsed.unprotected == {4: b"kid"}


def test_tag_as_expected_or_refused() -> None:
    with pytest.raises(CoseMalformed):
        parse_sign1(made(tagged=True), tagged=False, detached=None)
    with pytest.raises(CoseMalformed):
        parse_sign1(made(), tagged=True, detached=None)
    with pytest.raises(CoseMalformed):
        parse_sign1(cbor2.CBORTag(17, made()), tagged=True, detached=None)


def test_payload_where_expected_or_refused() -> None:
    with pytest.raises(CoseMalformed):
        parse_sign1(made(), tagged=False, detached=b"payload")
    with pytest.raises(CoseMalformed):
        parse_sign1(made(detached=True), tagged=False, detached=None)
    with pytest.raises(SignatureInvalid):
        parse_sign1(made(detached=True), tagged=False, detached=b"other").verify(PUBLIC)


def test_another_key() -> None:
    other = PublicKey.of(ec.derive_private_key(7, ec.SECP256R1()).public_key())
    with pytest.raises(SignatureInvalid):
        parse_sign1(made(), tagged=False, detached=None).verify(other)


@pytest.mark.parametrize(
    ("position", "value", "error"),
    [
        (0, None, CoseMalformed),
        (0, {1: -7}, CoseMalformed),
        (0, b"", AlgorithmRefused),
        (0, dump_cbor({}), AlgorithmRefused),
        (0, dump_cbor({1: -8}), AlgorithmRefused),
        (0, dump_cbor({"alg": "ES256"}), AlgorithmRefused),
        (0, dump_cbor({1: -7, 2: [1]}), CoseMalformed),
        (0, dump_cbor({1: -7, b"x": 0}), CoseMalformed),
        (0, dump_cbor({1: -7, 4: b"kid"}), CoseMalformed),
        (0, dump_cbor(1), CoseMalformed),
        (1, None, CoseMalformed),
        (1, {1: -7}, AlgorithmRefused),
        (1, {1: -8}, AlgorithmRefused),
        (1, {2: [1]}, CoseMalformed),
        (1, {True: -7}, CoseMalformed),
        (2, None, CoseMalformed),
        (2, "text", CoseMalformed),
        (3, None, CoseMalformed),
        (3, "text", CoseMalformed),
    ],
    ids=repr,
)
def test_refused(position: int, value: Any, error: type[Exception]) -> None:
    item = made(unprotected={4: b"kid"})
    item[position] = value
    with pytest.raises(error) as caught:
        parse_sign1(item, tagged=False, detached=None)
    assert type(caught.value) is error


@pytest.mark.parametrize("item", [[], [b"", {}, b""], [b"", {}, b"", b"", b""], {}, None, b"", "four"])
def test_not_an_array_of_four(item: Any) -> None:
    with pytest.raises(CoseMalformed):
        parse_sign1(item, tagged=False, detached=None)


@pytest.mark.parametrize("chain", [(b"a",), (b"a", b"b"), (b"a", b"b", b"c", b"d")])
@pytest.mark.parametrize("protected", [False, True])
def test_chain(chain: tuple[bytes, ...], protected: bool) -> None:
    header: dict[str, Any] = {"protected" if protected else "unprotected": chain_header(chain)}
    parsed = parse_sign1(made(**header), tagged=False, detached=None)
    assert parsed.chain(protected=protected) == chain
    with pytest.raises(ChainInvalid):
        parsed.chain(protected=not protected)


@pytest.mark.parametrize("chain", [[], [b"a"], [b"a"] * 5, [b"a", "b"], "a", None, {}])
def test_chain_refused(chain: Any) -> None:
    parsed = Sign1(b"", {}, {33: chain}, b"", b"")
    with pytest.raises(ChainInvalid):
        parsed.chain(protected=False)


def test_peer_reads_and_writes_the_same() -> None:
    """Against pycose: each verifies what the other signed."""
    from pycose.headers import Algorithm
    from pycose.keys.ec2 import EC2Key
    from pycose.messages.sign1message import Sign1Message

    d = KEY.private_numbers().private_value.to_bytes(32, "big")
    key = EC2Key(crv="P_256", x=PUBLIC.point[1:33], y=PUBLIC.point[33:], d=d)
    theirs = Sign1Message(phdr={Algorithm: "ES256"}, payload=b"payload")
    theirs.key = key
    assert parse_sign1(load_cbor(theirs.encode()), tagged=True, detached=None).verify(PUBLIC) == b"payload"
    ours = Sign1Message.from_cose_obj([*made()], allow_unknown_attributes=False)
    ours.key = key
    assert ours.verify_signature()
