"""Group R of the hostile catalogue: status and revocation (R14 belongs to private proofs)."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from typing import Any

import pytest
from conftest import load_vectors
from pki_fixture import ISSUER, NOW, development_pki, trust
from status_forge import ENCODINGS, SIGN, URI, Held, ask, claims, held, opened, status_signer, token
from x509_forge import forge, root

from credentials.encoding import b64u
from credentials.errors import (
    AlgorithmRefused,
    BauhiniaError,
    CertificatePurpose,
    IssuerOutOfScope,
    IssuerUnknown,
    Revoked,
    StatusIndexOutOfRange,
    StatusListInvalid,
    StatusListRolledBack,
    StatusListTooSmall,
    StatusMissing,
    StatusReferenceInvalid,
    StatusStale,
    StatusUnavailable,
    StatusValueUnknown,
    TooLarge,
    TypMismatch,
)
from credentials.jose import sign_compact
from credentials.model import StatusRef
from revocation.check import MIN_SIZE, Freshness, check, refuse_tracking, refuse_tracking_uri
from revocation.statuslist import StatusList, unpack
from revocation.token import JWT_TYP, Encoding, open_token

both = pytest.mark.parametrize("encoding", ENCODINGS)


def refused(error: type[BauhiniaError], code: str, data: bytes, encoding: Encoding, **more: Any) -> None:
    with pytest.raises(error) as refusal:
        opened(data, encoding, **more)
    assert refusal.value.code == code


def with_lst(encoding: str, bits: Any, lst: bytes) -> bytes:
    packed: Any = b64u(lst) if encoding == "jwt" else lst
    return token(encoding, status_list={"bits": bits, "lst": packed})


@pytest.mark.hostile("R1")
@pytest.mark.parametrize("index", [MIN_SIZE, MIN_SIZE + 1, -1, 1 << 63, 7.0, "7", True, None])
def test_r1_index_outside_the_list(index: Any) -> None:
    with pytest.raises(StatusIndexOutOfRange) as refusal:
        ask(held(), index)
    assert refusal.value.code == "status_index_out_of_range"
    assert str(index) not in str(refusal.value)


@pytest.mark.hostile("R2")
def test_r2_the_list_calls_itself_otherwise() -> None:
    for lists in (held(own_uri=f"{URI}x"), held(own_encoding="cwt")):
        with pytest.raises(StatusListInvalid) as refusal:
            ask(lists)
        assert refusal.value.code == "status_list_invalid"


@pytest.mark.hostile("R3")
@both
def test_r3_wrong_typ(encoding: Encoding) -> None:
    for typ in ("JWT", "statuslist+JWT", "application/statuslist+jwt", "bauhinia-trust-list+jwt"):
        refused(TypMismatch, "typ_mismatch", token(encoding, typ=typ), encoding)


@pytest.mark.hostile("R3")
def test_r3_alg_none_and_mac() -> None:
    for alg in ("none", "HS256", "ES384", "EdDSA"):
        data = sign_compact(claims("jwt"), typ=JWT_TYP, sign=status_signer(), header={"alg": alg}).encode()
        refused(AlgorithmRefused, "algorithm_refused", data, "jwt")


@pytest.mark.hostile("R3")
@both
def test_r3_signed_by_a_stranger(encoding: Encoding) -> None:
    stranger = forge("status", root("stranger"), purposes=("status",)).signer()
    refused(IssuerUnknown, "issuer_unknown", token(encoding, signer=stranger), encoding)


@pytest.mark.hostile("R3")
@both
def test_r3_signed_by_one_who_signs_other_things(encoding: Encoding) -> None:
    pki = development_pki()
    for other in (pki.verifier.signer, *(identity.signer for identity in pki.signers.values())):
        refused(CertificatePurpose, "certificate_purpose", token(encoding, signer=other), encoding)


@pytest.mark.hostile("R3")
@both
def test_r3_signed_by_an_issuer_whose_list_it_is_not(encoding: Encoding) -> None:
    for uri in (
        "https://other.test/status/residency-1/2026-11-22",
        f"{ISSUER}/status",
        f"{ISSUER}.eve/status/x",
    ):
        refused(IssuerOutOfScope, "issuer_out_of_scope", token(encoding, sub=uri), encoding)


@pytest.mark.hostile("R4")
@both
def test_r4_expired_or_from_the_future(encoding: Encoding) -> None:
    refused(StatusStale, "status_stale", token(encoding, exp=NOW), encoding)
    refused(StatusStale, "status_stale", token(encoding, exp=0), encoding)
    refused(StatusListInvalid, "status_list_invalid", token(encoding, iat=NOW + 3600), encoding)


@pytest.mark.hostile("R4")
@both
@pytest.mark.parametrize("ttl", [0, -1, 1 << 63])
def test_r4_absurd_ttl(encoding: Encoding, ttl: int) -> None:
    refused(StatusListInvalid, "status_list_invalid", token(encoding, ttl=ttl), encoding)


@pytest.mark.hostile("R4")
def test_r4_stale_beyond_policy() -> None:
    with pytest.raises(StatusStale) as refusal:
        ask(held(issued=NOW - 3601), freshness=Freshness(green=60, amber=3600))
    assert refusal.value.code == "status_stale"


@pytest.mark.hostile("R5")
@both
def test_r5_an_older_list_after_a_newer_one(encoding: Encoding) -> None:
    newer = opened(token(encoding, iat=NOW), encoding)
    older = token(encoding, iat=NOW - 1)
    refused(StatusListRolledBack, "status_list_rolled_back", older, encoding, newest=newer.issued)


@pytest.mark.hostile("R6")
@both
@pytest.mark.parametrize("bits", [3, 0, 16, -1, 1 << 63])
def test_r6_bits(encoding: Encoding, bits: int) -> None:
    data = with_lst(encoding, bits, zlib.compress(bytes(1 << 14)))
    if encoding == "cwt" or abs(bits) < 1 << 53:
        refused(StatusListInvalid, "status_list_invalid", data, encoding)
    else:
        with pytest.raises(BauhiniaError):
            opened(data, encoding)


@pytest.mark.hostile("R6")
@both
def test_r6_not_zlib_or_not_only_zlib(encoding: Encoding) -> None:
    plain = bytes(1 << 14)
    deflate = zlib.compressobj(wbits=-15)
    good = zlib.compress(plain)
    for lst in (
        plain,
        deflate.compress(plain) + deflate.flush(),
        gzip.compress(plain),
        good + b"\x00",
        good[:-2],
    ):
        refused(StatusListInvalid, "status_list_invalid", with_lst(encoding, 1, lst), encoding)


@pytest.mark.hostile("R7")
def test_r7_wrong_bit_order() -> None:
    """Read from the highest-order bit, each official list says something else than the draft lists."""
    for case in load_vectors("token-status-list", "token_status_list.json")["long"]:
        bits, expected = case["bits"], dict(case["nonzero"])
        statuses = StatusList.empty(case["size"], bits=bits)
        for index, value in expected.items():
            statuses.set(index, value)
        mirrored = StatusList(bits, bytes(int(f"{byte:08b}"[::-1], 2) for byte in statuses.data))
        for index, value in expected.items():
            assert statuses.get(index) == value
        assert any(mirrored.get(index) != value for index, value in expected.items())


@pytest.mark.hostile("R8")
@both
def test_r8_a_bomb_is_not_inflated(encoding: Encoding) -> None:
    deflate = zlib.compressobj(9)
    bomb = b"".join(deflate.compress(bytes(1 << 24)) for _ in range(5)) + deflate.flush()
    data = with_lst(encoding, 1, bomb)
    tracemalloc.start()
    try:
        refused(TooLarge, "too_large", data, encoding)
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.hostile("R9")
@pytest.mark.parametrize("value", [3, 4, 0x0B, 0x0C, 0x0F, 0x80, 0xFF])
def test_r9_values_that_nobody_defined(value: int) -> None:
    with pytest.raises(StatusValueUnknown) as refusal:
        ask(held(bits=8, values={7: value}))
    assert refusal.value.code == "status_value_unknown"


@pytest.mark.hostile("R10")
def test_r10_no_list_means_undetermined_and_nothing_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("a status check opened a socket")

    monkeypatch.setattr("socket.socket", forbidden)
    monkeypatch.setattr("socket.getaddrinfo", forbidden)
    nothing = Held({})
    with pytest.raises(StatusUnavailable) as refusal:
        ask(nothing)
    assert refusal.value.code == "status_unavailable"
    assert len(nothing.asked) == 1
    with pytest.raises(StatusStale):
        ask(held(expires=NOW))


@pytest.mark.hostile("R11")
def test_r11_no_status_where_the_policy_needs_one() -> None:
    with pytest.raises(StatusMissing) as refusal:
        check(None, format="mso_mdoc", required=True, lists=held(), now=NOW, freshness=Freshness())
    assert refusal.value.code == "status_missing"


@pytest.mark.hostile("R12")
@pytest.mark.parametrize(
    "uri",
    [
        f"{URI}?person=1",
        f"{URI}?",
        f"{URI}#person",
        f"{URI}#",
        "https://person@issuer.test/status/x",
        "https://issuer.test/status/%70erson",
        "https://issuer.test/status/x;p=1",
        "https://issuer.test/status/../x",
        "https://issuer.test/status/./x",
        "https://issuer.test/status//x",
        "https://issuer.test/status/x/",
        "https://issuer.test/status/x y",
        "https://issuer.test/status/x\n",
        "https://issuer.test/status/身",
        "https://issuer.test/status/" + "x" * 300,
        "https://issuer.test",
        "https://issuer.test/",
        "https://ISSUER.test/status/x",
        "https://issuer.test:0/status/x",
        "https://issuer.test:123456/status/x",
        "https://-issuer.test/status/x",
        "https:///status/x",
        "",
    ],
)
def test_r12_an_address_for_one_person(uri: str) -> None:
    with pytest.raises(StatusReferenceInvalid) as refusal:
        refuse_tracking_uri(uri)
    assert refusal.value.code == "status_reference_invalid"
    assert not uri or uri not in str(refusal.value)


@pytest.mark.hostile("R12")
def test_r12_a_list_for_each_copy() -> None:
    with pytest.raises(StatusReferenceInvalid):
        refuse_tracking([StatusRef(f"{URI}/{copy}", copy) for copy in range(3)])


@pytest.mark.hostile("R13")
@pytest.mark.parametrize("size", [8, 10_000, MIN_SIZE - 8])
def test_r13_a_crowd_too_small(size: int) -> None:
    with pytest.raises(StatusListTooSmall) as refusal:
        ask(held(size=size))
    assert refusal.value.code == "status_list_too_small"
    assert ask(held(size=MIN_SIZE)).level == "fresh"


@pytest.mark.hostile("R15")
@pytest.mark.parametrize(
    "uri",
    [
        "http://issuer.test/status/x",
        "file:///status/x",
        "data:,x",
        "//issuer.test/status/x",
        "ftp://issuer.test/status/x",
        "HTTPS://issuer.test/status/x",
        " https://issuer.test/status/x",
        "https://issuer.test\\@eve.test/status/x",
    ],
)
def test_r15_other_schemes(uri: str) -> None:
    with pytest.raises(StatusReferenceInvalid) as refusal:
        refuse_tracking_uri(uri)
    assert refusal.value.code == "status_reference_invalid"
    # A verifier that meets one looks it up among its lists, and nowhere else.
    nothing = Held({})
    with pytest.raises(StatusUnavailable):
        check(
            StatusRef(uri, 1),
            format="dc+sd-jwt",
            required=True,
            lists=nothing,
            now=NOW,
            freshness=Freshness(),
        )
    assert nothing.asked == [(uri, "jwt")]


@both
def test_the_way_from_signing_to_refusal(encoding: Encoding) -> None:
    """Against all the refusals above: one good list says yes to one copy and no to another."""
    statuses = StatusList.empty(MIN_SIZE)
    statuses.set(41, 1)
    data = SIGN[encoding](statuses, uri=URI, issued=NOW, expires=NOW + 9, ttl=5, signer=status_signer())
    lists = Held({(URI, encoding): open_token(data, encoding=encoding, trust=trust(), now=NOW)})
    format = {"jwt": "dc+sd-jwt", "cwt": "mso_mdoc"}[encoding]
    assert ask(lists, 40, format=format).level == "fresh"
    with pytest.raises(Revoked) as refusal:
        ask(lists, 41, format=format)
    assert refusal.value.code == "revoked"
    assert unpack(zlib.compress(bytes(statuses.data)), bits=1).get(41) == 1
