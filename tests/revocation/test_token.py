"""Signed lists: what we write reads back, the draft's own tokens verify, everything else is refused."""

from __future__ import annotations

from typing import Any

import cbor2
import pytest
from conftest import load_vectors
from pki_fixture import ISSUER, NOW, development_pki
from status_forge import ENCODINGS, LABELS, SIGN, URI, claims, cwt, opened, status_signer, statuses, token

from credentials.cose import chain_header
from credentials.encoding import b64u, dump_cbor, load_cbor, load_json_object
from credentials.errors import (
    BauhiniaError,
    CborMalformed,
    ChainInvalid,
    CoseMalformed,
    JwsMalformed,
    SignatureInvalid,
    StatusListInvalid,
    StatusListRolledBack,
    StatusStale,
    TooLarge,
    TypMismatch,
)
from credentials.jose import sign_compact
from credentials.keys import PublicKey
from revocation.statuslist import pack, unpack
from revocation.token import CWT_TYP, JWT_TYP, Encoding, parse_token, sign_cwt


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_what_is_signed_opens(encoding: Encoding) -> None:
    made = statuses()
    data = SIGN[encoding](made, uri=URI, issued=NOW, expires=NOW + 9, ttl=5, signer=status_signer())
    signed = opened(data, encoding)
    assert (signed.uri, signed.encoding) == (URI, encoding)
    assert (signed.issued, signed.expires, signed.ttl) == (NOW, NOW + 9, 5)
    assert signed.list.data == made.data
    packed = SIGN[encoding](
        made, uri=URI, issued=NOW, expires=NOW + 9, ttl=5, signer=status_signer(), lst=pack(made)
    )
    assert packed == data


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_aggregation_uri_stands_in_the_list(encoding: Encoding) -> None:
    data = SIGN[encoding](
        statuses(),
        uri=URI,
        issued=NOW,
        expires=NOW + 9,
        ttl=5,
        signer=status_signer(),
        aggregation_uri=f"{ISSUER}/status/index.json",
    )
    payload = parse_token(data, encoding=encoding).signed.payload
    found = (
        load_json_object(payload)["status_list"]
        if encoding == "jwt"
        else load_cbor(payload)[LABELS["status_list"]]
    )
    assert found["aggregation_uri"] == f"{ISSUER}/status/index.json"
    assert opened(data, encoding).list.get(5) == 1


def test_the_shape_of_a_cwt() -> None:
    item = load_cbor(
        sign_cwt(statuses(), uri=URI, issued=NOW, expires=NOW + 9, ttl=5, signer=status_signer())
    )
    protected, unprotected, payload, _ = item.value
    assert item.tag == 18
    assert load_cbor(protected) == {
        1: -7,
        16: "application/statuslist+cwt",
        33: status_signer().chain[0],
    }
    assert unprotected == {}
    assert load_cbor(payload) == {
        2: URI,
        6: NOW,
        4: NOW + 9,
        65534: 5,
        65533: {"bits": 1, "lst": pack(statuses())},
    }


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_claims_that_may_be_missing(encoding: Encoding) -> None:
    signed = opened(token(encoding, exp=..., ttl=...), encoding, now=NOW + 10**9 // 40)
    assert (signed.expires, signed.ttl) == (None, None)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(
    "changes",
    [
        {"sub": ...},
        {"sub": ""},
        {"sub": 5},
        {"iat": ...},
        {"iat": -1},
        {"iat": 1 << 53},
        {"iat": True},
        {"iat": "1"},
        {"iat": 1.5},
        {"iat": None},
        {"exp": 1.5},
        {"exp": None},
        {"nbf": "soon"},
        {"ttl": 0},
        {"ttl": -1},
        {"ttl": 1 << 63},
        {"ttl": None},
        {"ttl": 366 * 86_400 + 1},
        {"ttl": 1.5},
        {"ttl": True},
        {"status_list": ...},
        {"status_list": []},
        {"status_list": {}},
        {"status_list": {"bits": 1}},
        {"status_list": {"bits": 1, "lst": 5}},
        {"status_list": {"bits": True, "lst": ""}},
    ],
    ids=repr,
)
def test_claims_that_are_wrong(encoding: Encoding, changes: dict[str, Any]) -> None:
    with pytest.raises(StatusListInvalid):
        parse_token(token(encoding, **changes), encoding=encoding)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("bits", [True, 1.0, "1", None])
def test_bits_is_a_whole_number(encoding: Encoding, bits: Any) -> None:
    lst = claims(encoding)["status_list"]["lst"]
    with pytest.raises(StatusListInvalid):
        parse_token(token(encoding, status_list={"bits": bits, "lst": lst}), encoding=encoding)


def test_lst_has_the_type_of_its_encoding() -> None:
    lst = pack(statuses())
    for encoding, wrong in (("jwt", "?"), ("jwt", b64u(lst) + "=="), ("cwt", b64u(lst))):
        with pytest.raises(StatusListInvalid):
            parse_token(token(encoding, status_list={"bits": 1, "lst": wrong}), encoding=encoding)  # type: ignore[arg-type]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_times(encoding: Encoding) -> None:
    assert opened(token(encoding, iat=NOW + 60), encoding).issued == NOW + 60
    for early in (token(encoding, iat=NOW + 61), token(encoding, nbf=NOW + 61)):
        with pytest.raises(StatusListInvalid, match="future"):
            opened(early, encoding)
    assert opened(token(encoding, nbf=NOW + 60), encoding).issued == NOW - 60
    assert opened(token(encoding), encoding, now=NOW + 3599).expires == NOW + 3600
    with pytest.raises(StatusStale, match="expired"):
        opened(token(encoding), encoding, now=NOW + 3600)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_list_of_the_same_moment_may_replace_a_list(encoding: Encoding) -> None:
    assert opened(token(encoding), encoding, newest=NOW - 60).issued == NOW - 60
    with pytest.raises(StatusListRolledBack):
        opened(token(encoding), encoding, newest=NOW - 59)


def test_a_jwt_that_is_not_ascii() -> None:
    with pytest.raises(StatusListInvalid, match="compact JWS"):
        parse_token("香".encode(), encoding="jwt")


def test_one_encoding_is_not_read_as_the_other() -> None:
    with pytest.raises(JwsMalformed):
        opened(sign_compact(claims("jwt"), typ=JWT_TYP, sign=status_signer()).encode()[:50], "jwt")
    with pytest.raises(CborMalformed):
        opened(token("jwt"), "cwt")
    with pytest.raises((StatusListInvalid, JwsMalformed)):
        opened(token("cwt"), "jwt")


def test_cwts_that_are_put_together_wrongly() -> None:
    signer = status_signer()
    named = claims("cwt")
    payload = dump_cbor({LABELS[name]: value for name, value in named.items()})
    typ, chain = {16: CWT_TYP}, chain_header(signer.chain)
    wrong: list[tuple[type[BauhiniaError], bytes]] = [
        (TypMismatch, cwt(payload, signer, {**chain})),
        (TypMismatch, cwt(payload, signer, {16: "application/cwt", **chain})),
        (TypMismatch, cwt(payload, signer, {**chain}, unprotected={16: CWT_TYP})),
        (ChainInvalid, cwt(payload, signer, {**typ})),
        (ChainInvalid, cwt(payload, signer, {**typ}, unprotected=chain)),
        (CoseMalformed, cwt(payload, signer, {**typ, **chain}, tagged=False)),
        (CoseMalformed, cwt(payload, signer, {**typ, **chain}, detached=True)),
        (CborMalformed, cwt(dump_cbor([1]), signer, {**typ, **chain})),
        (CborMalformed, cwt(b"", signer, {**typ, **chain})),
        (CborMalformed, cwt(payload, signer, {**typ, **chain}) + b"\x00"),
        (CoseMalformed, dump_cbor(cbor2.CBORTag(61, load_cbor(cwt(payload, signer, {**typ, **chain}))))),
    ]
    for error, data in wrong:
        with pytest.raises(error):
            opened(data, "cwt")
    assert opened(cwt(payload, signer, {**typ, **chain}), "cwt").list.get(5) == 1


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_size_is_bounded_before_anything_else(encoding: Encoding) -> None:
    with pytest.raises(TooLarge):
        parse_token(bytes(1 << 22) + b"\x00", encoding=encoding)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_byte_is_signed(encoding: Encoding) -> None:
    data = token(encoding)
    for at in range(0, len(data), 7):
        changed = bytearray(data)
        changed[at] ^= 1
        with pytest.raises(BauhiniaError):
            opened(bytes(changed), encoding)


def test_the_tokens_of_the_draft() -> None:
    official = load_vectors("token-status-list", "token_status_list.json")
    jwk = {name: official["keys"]["status_list_token_public_jwk"][name] for name in ("kty", "crv", "x", "y")}
    key = PublicKey.from_jwk(jwk)
    by_name = {case["name"]: case for case in official["tokens"]}
    data = {
        "jwt": by_name["status_list_jwt"]["serialized"].encode(),
        "cwt": bytes.fromhex(by_name["status_list_cwt"]["cose_sign1_hex"]),
    }
    for encoding in ENCODINGS:
        parsed = parse_token(data[encoding], encoding=encoding)
        parsed.check_signature(key)
        assert parsed.uri == "https://example.com/statuslists/1"
        assert (parsed.issued, parsed.expires, parsed.ttl) == (1686920170, 2291720170, 43200)
        found = unpack(parsed.lst, bits=parsed.bits)
        assert [found.get(i) for i in range(16)] == official["short"][0]["statuses"]
        with pytest.raises(SignatureInvalid):
            parsed.check_signature(development_pki().trust_root)
        # Without certificates there is nobody to believe.
        with pytest.raises(ChainInvalid):
            opened(data[encoding], encoding)
