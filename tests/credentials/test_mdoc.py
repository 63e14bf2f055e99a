"""The mdoc as a format: what is issued, shown and verified, and what none of it tells."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mdoc_fixture import (
    AGE,
    DAY,
    DOCTYPE,
    HOLDER,
    ISO,
    OWN,
    SESSION,
    SIGNER,
    STATUS,
    VALUES,
    WINDOW,
    check,
    forge,
    holder_key,
    mint,
    put,
    show,
)
from pki_fixture import ISSUER

from credentials import mdoc, mso
from credentials.catalog import load_catalogue
from credentials.encoding import b64u, load_cbor, unb64u
from credentials.errors import (
    Base64Malformed,
    BauhiniaError,
    ConfigurationInvalid,
    HolderBindingInvalid,
    MintRefused,
    NoMatchingCredential,
    RandomnessRepeated,
    TransactionDataMismatch,
)
from credentials.keys import Signer
from credentials.model import EVERYTHING, ClaimPath, Session, StatusRef, Value, Window
from credentials.mso import Item, tag24

PATHS: list[ClaimPath] = [AGE.path(mdoc.FORMAT, claim.name) for claim in AGE.claims]
TYPES = load_catalogue().types
LONGEST = {"boolean": False, "integer": 2**62, "date": "1960-02-29", "strings": ("HKG", "GBR")}
"""For each kind a value as long as the catalogue lets it be."""


def longest(type_name: str) -> dict[str, Value]:
    values: dict[str, Value] = {}
    for claim in TYPES[type_name].claims:
        if claim.enum:
            values[claim.name] = max(claim.enum, key=lambda choice: len(str(choice)))
        elif claim.kind == "string":
            values[claim.name] = "x" * (claim.max_bytes or 30)
        else:
            values[claim.name] = LONGEST[claim.kind]  # type: ignore[assignment]
    return values


def parts(credential: bytes) -> tuple[dict[str, list[Any]], dict[str, Any]]:
    """Items by namespace (decoded) and the mobile security object."""
    issuer_signed = load_cbor(unb64u(credential))
    items = {ns: [load_cbor(tag.value) for tag in tags] for ns, tags in issuer_signed["nameSpaces"].items()}
    return items, load_cbor(load_cbor(issuer_signed["issuerAuth"][2]).value)


# --- issue


def test_journey() -> None:
    disclosed = check(show(mint()))
    assert disclosed.claims == {
        ns: {claim.element: VALUES[claim.name] for claim in AGE.claims if claim.namespace == ns}
        for ns in (ISO, OWN)
    }
    assert disclosed.issuer == ISSUER
    assert (disclosed.format, disclosed.type) == ("mso_mdoc", DOCTYPE)
    assert (disclosed.valid, disclosed.status) == (WINDOW, STATUS)
    assert disclosed.holder == HOLDER.public.point


def test_mso_members_and_their_order() -> None:
    _, mso = parts(mint())
    assert list(mso) == [
        "version",
        "digestAlgorithm",
        "valueDigests",
        "deviceKeyInfo",
        "docType",
        "validityInfo",
        "status",
    ]
    assert list(mso["deviceKeyInfo"]["deviceKey"]) == [1, -1, -2, -3]
    assert mso["validityInfo"] == {
        "signed": cbor2.CBORTag(0, "2026-11-22T00:00:00Z"),
        "validFrom": cbor2.CBORTag(0, "2026-11-22T00:00:00Z"),
        "validUntil": cbor2.CBORTag(0, "2026-11-29T00:00:00Z"),
    }
    assert mso["status"] == {"status_list": {"idx": STATUS.index, "uri": STATUS.uri}}
    assert "status" not in parts(mint(status=None))[1]
    assert check(show(mint(status=None))).status is None


@pytest.mark.parametrize("type_name", sorted(TYPES))
def test_every_type_fits_what_a_proof_can_carry(type_name: str) -> None:
    kind = TYPES[type_name]
    values = longest(type_name)
    credential = mint(values, type=kind, status=replace(STATUS, index=(1 << 20) - 1))
    issuer_signed = load_cbor(unb64u(credential))
    tagged = [tag24(tag.value) for tags in issuer_signed["nameSpaces"].values() for tag in tags]
    assert len(tagged) == len(kind.claims)
    assert max(map(len, tagged)) <= 119
    assert len(issuer_signed["issuerAuth"][2]) < 2400
    items, mso = parts(credential)
    assert len({len(entry["random"]) for entries in items.values() for entry in entries}) == 1
    assert all(len(entry["random"]) >= 16 for entries in items.values() for entry in entries)
    ids = sorted(number for digests in mso["valueDigests"].values() for number in digests)
    assert ids == list(range(len(kind.claims)))


@pytest.mark.parametrize(
    ("type_name", "size"), [("age/1", 32), ("residency/1", 32), ("base/1", 16), ("hkid-number/1", 32)]
)
def test_length_of_a_random_belongs_to_the_type(type_name: str, size: int) -> None:
    items, _ = parts(mint(longest(type_name), type=TYPES[type_name]))
    assert {len(entry["random"]) for entries in items.values() for entry in entries} == {size}


def test_digest_ids_are_permuted() -> None:
    orders = {
        tuple(entry["elementIdentifier"] for entry in sorted(items[ISO], key=lambda entry: entry["digestID"]))
        for items, _ in (parts(mint()) for _ in range(20))
    }
    assert len(orders) > 10


def test_absent_claims_have_decoys() -> None:
    _, full = parts(mint())
    items, mso = parts(mint({"age_over_18": True}))
    assert {ns: len(digests) for ns, digests in mso["valueDigests"].items()} == {
        ns: len(digests) for ns, digests in full["valueDigests"].items()
    }
    assert [entry["elementIdentifier"] for entry in items[ISO]] == ["age_over_18"]
    assert OWN not in items
    digests = [digest for by_id in mso["valueDigests"].values() for digest in by_id.values()]
    assert len(set(digests)) == len(AGE.claims)


@pytest.mark.parametrize(
    ("type_name", "values"),
    [
        ("age/1", {"age_over_18": 1}),
        ("age/1", {"age_over_18": "true"}),
        ("age/1", {"age_band": "19"}),
        ("age/1", {"age_band": True}),
        ("age/1", {"unknown": True}),
        ("age/1", {}),
        ("base/1", {"family_name": "SECRET" * 20}),
        ("base/1", {"family_name": "SECRETSECRETSECRET\ud800"}),
        ("base/1", {"birth_date": "SECRET"}),
        ("base/1", {"birth_date": "2026-02-30"}),
        ("base/1", {"birth_date": 7}),
        ("base/1", {"sex": True}),
        ("base/1", {"sex": 7}),
        ("base/1", {"nationality": "SECRET"}),
        ("base/1", {"nationality": ("SECRET", 7)}),
        ("base/1", {"nationality": tuple(["SECRET"] * 30)}),
        ("eligibility/two_dollar_60/1", {"rule_version": 1 << 63}),
        ("eligibility/two_dollar_60/1", {"rule_version": "1"}),
    ],
)
def test_not_minted(type_name: str, values: dict[str, Any]) -> None:
    with pytest.raises(MintRefused) as caught:
        mint(values, type=TYPES[type_name])
    assert "SECRET" not in str(caught.value)
    assert caught.value.__cause__ is None


def changed_type(**changes: Any) -> Any:
    return replace(AGE, **changes)


def test_types_that_no_proof_could_carry_are_not_minted() -> None:
    first = AGE.claims[0]
    values = {first.name: True}
    twice = (first, replace(AGE.claims[1], element=first.element))
    with pytest.raises(MintRefused):
        mint(values, type=changed_type(claims=twice))
    many = tuple(replace(first, name=f"claim_{n}", element=f"claim_{n}") for n in range(51))
    with pytest.raises(MintRefused):
        mint({"claim_0": True}, type=changed_type(claims=many))
    assert mint({"claim_0": True}, type=changed_type(claims=many[:50]))
    with pytest.raises(MintRefused):
        mint({"claim_0": True}, type=changed_type(claims=many[:50], doctype="x" * 900))
    long = replace(AGE.claims[0], element="x" * 60)
    with pytest.raises(MintRefused):
        mint({long.name: True}, type=changed_type(claims=(long,)))


def test_no_credential_without_validity_or_certificate() -> None:
    with pytest.raises(MintRefused):
        mint(window=Window(WINDOW.end, WINDOW.end))
    with pytest.raises(MintRefused):
        mint(signer=Signer(SIGNER.sign, ()))


def test_broken_randomness() -> None:
    for source in (bytes, lambda size: os.urandom(size - 1), lambda size: b""):
        with pytest.raises(RandomnessRepeated):
            mint(randomness=source)


def test_same_demand_for_randomness_whatever_the_claims() -> None:
    asked: list[int] = []

    def randomness(size: int) -> bytes:
        asked.append(size)
        return os.urandom(size)

    mint(randomness=randomness)
    mint({"age_over_18": True}, randomness=randomness)
    assert asked[0] == asked[1]
    assert len(asked) == 2


# --- present and verify


@given(chosen=st.sets(st.sampled_from(range(len(PATHS)))))
@settings(max_examples=150)
def test_exactly_the_chosen_claims_are_revealed(chosen: set[int]) -> None:
    presentation = show(CREDENTIAL, [PATHS[index] for index in chosen])
    learned: Any = check(presentation).claims
    assert {(ns, name): value for ns, claims in learned.items() for name, value in claims.items()} == {
        PATHS[index]: VALUES[AGE.claims[index].name] for index in chosen
    }
    raw = unb64u(presentation)
    for index, (_, element) in enumerate(PATHS):
        assert (cbor2.dumps(element) in raw) == (index in chosen)
    assert (ISO in load_cbor(raw)["documents"][0]["issuerSigned"].get("nameSpaces", {})) == any(
        PATHS[index][0] == ISO for index in chosen
    )


@given(present=st.sets(st.sampled_from([claim.name for claim in AGE.claims]), min_size=1))
@settings(max_examples=60)
def test_a_claim_that_is_absent_is_absent(present: set[str]) -> None:
    learned: Any = check(show(mint({name: VALUES[name] for name in present}))).claims
    assert {name for claims in learned.values() for name in claims} == present


CREDENTIAL = mint()


@pytest.mark.parametrize(
    "path",
    [
        (ISO, "age_over_99"),
        (OWN, "age_over_18"),
        ("age_over_18",),
        (ISO,),
        (ISO, None),
        (ISO, "age_over_18", 0),
    ],
)
def test_claims_that_are_not_there(path: ClaimPath) -> None:
    with pytest.raises(NoMatchingCredential):
        show(CREDENTIAL, [path])


def test_another_copys_key() -> None:
    with pytest.raises(HolderBindingInvalid):
        show(CREDENTIAL, holder=holder_key(2))


def test_transaction_data_is_not_silently_dropped() -> None:
    session = replace(SESSION, transaction_data=("e30",))
    with pytest.raises(TransactionDataMismatch):
        show(CREDENTIAL, session=session)
    with pytest.raises(TransactionDataMismatch):
        check(show(CREDENTIAL), session=session)


@pytest.mark.parametrize(
    "changes",
    [
        {"audience": ""},
        {"nonce": ""},
        {"response_uri": ""},
        {"thumbprint": b""},
        {"thumbprint": bytes(31)},
        {"audience": "origin:"},
    ],
)
def test_a_session_that_binds_nothing(changes: dict[str, Any]) -> None:
    session = replace(SESSION, **changes)
    with pytest.raises(ConfigurationInvalid):
        show(CREDENTIAL, session=session)
    with pytest.raises(ConfigurationInvalid):
        check(show(CREDENTIAL), session=session)


def test_session_transcript_of_openid4vp() -> None:
    """The worked examples of OpenID4VP 1.0, Annex B.2.6.1 (redirects) and B.2.6.2 (browser API)."""
    thumbprint = bytes.fromhex("4283ec927ae0f208daaa2d026a814f2b22dca52cf85ffa8f3f8626c6bd669047")
    redirect = Session(
        "x509_san_dns:example.com",
        "exc7gBkxjx1rdc9udRrveKvSsJIq80avlXeLHhGwqtA",
        "https://example.com/response",
        thumbprint,
    )
    assert mdoc.session_transcript(redirect).hex() == (
        "83f6f682714f70656e494434565048616e646f7665725820"
        "048bc053c00442af9b8eed494cefdd9d95240d254b046b11b68013722aad38ac"
    )
    api = replace(redirect, audience="origin:https://example.com", response_uri="")
    assert mdoc.session_transcript(api).hex() == (
        "83f6f682764f70656e4944345650444341504948616e646f7665725820"
        "fbece366f4212f9762c74cfdbf83b8c69e371d5d68cea09cb4c48ca6daab761a"
    )


def test_digital_credentials_api_session() -> None:
    session = replace(SESSION, audience="origin:https://verifier.test", response_uri="")
    assert check(show(CREDENTIAL, session=session), session=session)


@pytest.mark.parametrize("text", [b"", b"=", b"not base64", CREDENTIAL])
def test_not_a_presentation(text: bytes) -> None:
    with pytest.raises(BauhiniaError):
        check(text)


def test_not_base64url() -> None:
    with pytest.raises(Base64Malformed):
        check(show(CREDENTIAL) + b"=")


def test_members_of_the_mso_that_are_not_known_are_ignored() -> None:
    assert check(forge(mso=put("later", {"x": 1})))
    assert check(forge(mso=put("validityInfo/expectedUpdate", cbor2.CBORTag(0, "2026-11-25T00:00:00Z"))))


# --- what sizes tell


@given(
    st.fixed_dictionaries({claim.name: st.booleans() for claim in AGE.claims if claim.kind == "boolean"}),
    st.sampled_from([claim.name for claim in AGE.claims if claim.kind == "boolean"]),
)
@settings(max_examples=60)
def test_sizes_tell_the_type_and_not_the_person(values: dict[str, bool], shown: str) -> None:
    """Boolean claims: neither the credential nor the presentation has another length for other values."""
    band: dict[str, Value] = {"age_band": "21-59"}
    reference = mint({**dict.fromkeys(values, True), **band})
    credential = mint({**values, **band})
    assert len(credential) == len(reference)
    paths = [AGE.path(mdoc.FORMAT, shown)]
    assert len(show(credential, paths)) == len(show(reference, paths))


@pytest.mark.parametrize("band", AGE.claim("age_band").enum or ())
def test_a_hidden_value_of_another_length_does_not_show(band: str) -> None:
    """The credential in the wallet is longer for a longer band; what is presented without it is not."""
    paths = [AGE.path(mdoc.FORMAT, "age_over_18")]
    presentation = show(mint({**VALUES, "age_band": band}), paths)
    assert len(presentation) == len(show(CREDENTIAL, paths))
    assert band.encode() not in unb64u(presentation) or len(band) < 4
    assert b"age_band" not in unb64u(presentation)


def test_an_absent_claim_does_not_show() -> None:
    paths = [AGE.path(mdoc.FORMAT, "age_over_18")]
    assert len(show(mint({"age_over_18": True}), paths)) == len(show(CREDENTIAL, paths))


# --- flipped bits


def holds(presentation: bytes, flipped: bytes) -> None:
    """The flipped presentation is refused, or says just what the other one says."""
    try:
        disclosed = check(flipped)
    except BauhiniaError:
        return
    assert disclosed == check(presentation)


def flips(data: bytes) -> Iterator[bytes]:
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        yield bytes(flipped)


# The library that reads certificates warns of oddities in them before they are refused.
oddities = pytest.mark.filterwarnings("ignore::UserWarning")


@oddities
def test_every_flipped_bit() -> None:
    """All of them, on the bytes inside base64url, with one claim shown."""
    presentation = show(CREDENTIAL, [PATHS[0]])
    for flipped in flips(unb64u(presentation)):
        holds(presentation, b64u(flipped).encode())


PRESENTATION = show(CREDENTIAL, EVERYTHING)


@oddities
@given(st.integers(0, 8 * len(unb64u(PRESENTATION)) - 1))
@settings(max_examples=500)
def test_a_flipped_bit_with_everything_shown(bit: int) -> None:
    flipped = bytearray(unb64u(PRESENTATION))
    flipped[bit // 8] ^= 1 << bit % 8
    holds(PRESENTATION, b64u(bytes(flipped)).encode())


@oddities
@given(st.integers(0, 8 * len(PRESENTATION) - 1))
@settings(max_examples=500)
def test_a_flipped_bit_of_the_text(bit: int) -> None:
    flipped = bytearray(PRESENTATION)
    flipped[bit // 8] ^= 1 << bit % 8
    holds(PRESENTATION, bytes(flipped))


def test_expiry_is_exclusive_and_the_start_inclusive() -> None:
    presentation = show(CREDENTIAL)
    assert check(presentation, now=WINDOW.start)
    assert check(presentation, now=WINDOW.end - 1)
    assert WINDOW.end - WINDOW.start == 7 * DAY


def test_embedded_cbor_of_any_size() -> None:
    """Sizes at the limits of CBOR heads: 24, 256 and 65536 bytes."""
    for size in (0, 23, 24, 255, 256, 65535, 65536):
        assert tag24(bytes(size)) == cbor2.dumps(cbor2.CBORTag(24, bytes(size)))


def test_status_is_passed_on_as_written() -> None:
    status = StatusRef("https://issuer.test/status/other", 0)
    assert check(show(mint(status=status))).status == status


# --- the quick way to read an item


def read_slowly(data: bytes) -> Item | None:
    """What the reader makes of an item when the quick way is closed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mso, "_read_plain_item", lambda data: None)
        try:
            return mso.read_item(cbor2.CBORTag(24, data))
        except BauhiniaError:
            return None


def test_the_quick_way_reads_what_the_slow_way_reads() -> None:
    """Every byte of an item replaced by every other: never a different answer."""
    quick = mso._read_plain_item
    for digest_id in (0, 23, 24, 49):
        item = {
            "digestID": digest_id,
            "random": bytes(32),
            "elementIdentifier": "age_over_18",
            "elementValue": True,
        }
        data = cbor2.dumps(item)
        assert quick(data) == read_slowly(data) is not None
        for position in range(len(data)):
            assert quick(data[:position]) is None
            for byte in range(256) if digest_id == 24 else (0, 1, 23, 24, 255):
                changed = data[:position] + bytes([byte]) + data[position + 1 :]
                if (found := quick(changed)) is not None:
                    assert found == read_slowly(changed)
        assert quick(data + b"\x00") is None


@given(st.text(max_size=30), st.integers(0, 300), st.booleans(), st.integers(14, 34))
def test_the_quick_way_reads_items_of_any_shape(name: str, digest_id: int, value: bool, size: int) -> None:
    data = cbor2.dumps(
        {"digestID": digest_id, "random": bytes(size), "elementIdentifier": name, "elementValue": value}
    )
    found = mso._read_plain_item(data)
    assert found is None or found == read_slowly(data)
    if name.isascii() and 0 < len(name) < 24 and digest_id < 256 and size == 32:
        assert found is not None
