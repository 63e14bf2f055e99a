"""The trust list: who is believed, for what, until when; and every other shape of it is refused."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from x509_forge import DAY, NOW, Forged, content, forge, issuer, new_key, root, verifier

from credentials.encoding import b64u
from credentials.errors import (
    AlgorithmRefused,
    CertificateExpired,
    CertificatePurpose,
    ChainInvalid,
    IssuerOutOfScope,
    IssuerUnknown,
    JwsMalformed,
    SignatureInvalid,
    SignerRetired,
    TrustListExpired,
    TrustListInvalid,
    TrustListRolledBack,
    TypMismatch,
)
from credentials.jose import sign_compact
from credentials.keys import PublicKey, software_sign
from credentials.trust import TYP, Trust, open_trust_list, sign_trust_list

KEY = new_key()
ROOT = PublicKey.of(KEY.public_key())
SIGN = software_sign(KEY)
VCT = "https://bauhinia.example/vct/age/1"
DOCTYPE = "example.bauhinia.age.1"
URI = "https://issuer.test/status/age-1/2026-11-22"


def opened(*, now: int = NOW, newest: int = 0, **members: Any) -> Trust:
    data = sign_trust_list(content(**members), SIGN)
    return open_trust_list(data, root=ROOT, now=now, newest_sequence=newest)


def signed_unread(payload: Any) -> bytes:
    """Signed by the root key without being read first."""
    return sign_compact(payload, typ=TYP, sign=SIGN).encode()


def test_an_opened_list_says_what_was_signed() -> None:
    access = forge("access", root(), purposes=("access",))
    trust = opened(verifiers=[verifier(access)])
    assert (trust.sequence, trust.environment) == (7, "development")
    assert (trust.issued, trust.expires) == (NOW - 3600, NOW + 30 * DAY)
    assert [entry.id for entry in trust.issuers] == ["https://issuer.test"]
    registration = trust.verifiers[access.sha256]
    assert registration.name["zh-Hant"] == "商店"
    assert registration.origins == ("https://shop.test",)
    assert registration.purposes["liquor18"].claims == {"age/1": frozenset({"age_over_18"})}
    assert registration.purposes["liquor18"].legal_basis == {
        "en": "Cap. 109B",
        "zh-Hant": "第109B章",
    }


@pytest.mark.parametrize(
    ("format", "identifier", "usage"), [("dc+sd-jwt", VCT, "sd-jwt"), ("mso_mdoc", DOCTYPE, "mdoc")]
)
def test_a_credential_signer(format: str, identifier: str, usage: str) -> None:
    leaf = forge("leaf", root(), purposes=(usage,))
    signer = opened().credential_signer(
        [leaf.der], format=format, type=identifier, now=NOW, signed_at=NOW - 60
    )
    assert (signer.issuer, signer.jurisdiction) == ("https://issuer.test", "HK")
    assert signer.name == {"en": "Issuer", "zh-Hant": "發證機構"}
    assert signer.key == leaf.public
    assert (signer.not_before, signer.not_after) == (NOW - DAY, NOW + DAY)


@pytest.mark.parametrize("countries", [("MO",), (), ("HK", "MO"), ("HK", "HK")])
@pytest.mark.parametrize(
    ("format", "identifier", "usage"), [("dc+sd-jwt", VCT, "sd-jwt"), ("mso_mdoc", DOCTYPE, "mdoc")]
)
def test_a_signer_names_one_country_of_its_issuer(
    countries: tuple[str, ...], format: str, identifier: str, usage: str
) -> None:
    leaf = forge("leaf", root(), purposes=(usage,), countries=countries)
    with pytest.raises(IssuerOutOfScope) as refusal:
        opened().credential_signer([leaf.der], format=format, type=identifier, now=NOW, signed_at=NOW)
    assert refusal.value.code == "issuer_out_of_scope"


def test_an_issuer_may_issue_for_several_countries() -> None:
    trust = opened(issuers=[issuer(jurisdictions=["HK", "MO"])])
    for country in ("HK", "MO"):
        leaf = forge("leaf", root(), purposes=("mdoc",), countries=(country,))
        signer = trust.credential_signer([leaf.der], format="mso_mdoc", type=DOCTYPE, now=NOW, signed_at=NOW)
        assert signer.jurisdiction == country


def test_the_issuer_is_the_one_whose_anchor_the_chain_ends_in() -> None:
    other = issuer(id="https://other.test", anchors=[root("other").base64])
    leaf = forge("leaf", root("other"), purposes=("mdoc",))
    trust = opened(issuers=[issuer(), other])
    signer = trust.credential_signer([leaf.der], format="mso_mdoc", type=DOCTYPE, now=NOW, signed_at=NOW)
    assert signer.issuer == "https://other.test"


def test_a_format_without_signers() -> None:
    leaf = forge("leaf", root(), purposes=("mdoc",))
    with pytest.raises(IssuerOutOfScope):
        opened().credential_signer([leaf.der], format="ldp_vc", type=VCT, now=NOW, signed_at=NOW)


def test_a_status_signer() -> None:
    leaf = forge("leaf", root(), purposes=("status",))
    signer = opened().status_signer([leaf.der], uri=URI, now=NOW)
    assert (signer.issuer, signer.key) == ("https://issuer.test", leaf.public)


@pytest.mark.parametrize(
    "uri",
    ["https://issuer.test/statu", "https://issuer.test/status", "https://issuer.test.eve.test/status/x"],
)
def test_a_status_list_kept_elsewhere(uri: str) -> None:
    leaf = forge("leaf", root(), purposes=("status",))
    with pytest.raises(IssuerOutOfScope):
        opened().status_signer([leaf.der], uri=uri, now=NOW)


def test_a_status_signer_speaks_for_its_own_issuer_only() -> None:
    status = {"anchors": [root("other").base64], "uris": ["https://other.test/status/"]}
    other = issuer(id="https://other.test", anchors=[root("other").base64], status=status)
    leaf = forge("leaf", root("other"), purposes=("status",))
    trust = opened(issuers=[issuer(), other])
    assert trust.status_signer([leaf.der], uri="https://other.test/status/x", now=NOW).issuer == other["id"]
    with pytest.raises(IssuerUnknown):
        trust.status_signer([leaf.der], uri=URI, now=NOW)


def test_a_retired_status_signer_is_refused_at_once() -> None:
    leaf = forge("leaf", root(), purposes=("status",))
    gone = [{"key_thumbprint": b64u(leaf.public.thumbprint()), "since": NOW}]
    trust = opened(issuers=[issuer(retired=gone)])
    trust.status_signer([leaf.der], uri=URI, now=NOW - 1)
    with pytest.raises(SignerRetired):
        trust.status_signer([leaf.der], uri=URI, now=NOW)


def test_a_verifier_registered_and_one_not() -> None:
    access, stranger = (forge(name, root(), purposes=("access",)) for name in ("access", "stranger"))
    trust = opened(verifiers=[verifier(access)])
    known = trust.verifier([access.der], now=NOW)
    assert known.certificate_hash == access.sha256
    assert known.key == access.public
    assert known.registration is not None
    assert known.registration.certificate_sha256 == access.sha256
    unknown = trust.verifier([stranger.der], now=NOW)
    assert unknown.certificate_hash == stranger.sha256
    assert unknown.registration is None


Ask = Callable[[Trust, Forged, int], object]
ASKS: dict[str, tuple[str, Ask]] = {
    "credential": (
        "mdoc",
        lambda trust, leaf, now: trust.credential_signer(
            [leaf.der], format="mso_mdoc", type=DOCTYPE, now=now, signed_at=NOW
        ),
    ),
    "status": ("status", lambda trust, leaf, now: trust.status_signer([leaf.der], uri=URI, now=now)),
    "verifier": ("access", lambda trust, leaf, now: trust.verifier([leaf.der], now=now)),
}


@pytest.mark.parametrize("question", ASKS)
def test_times_are_judged_on_every_call(question: str) -> None:
    """A chain and a list that were good a moment ago are remembered; what the clock says of them is not."""
    usage, ask = ASKS[question]
    trust = opened(expires=NOW + 2 * DAY)
    leaf = forge("leaf", root(), purposes=(usage,))
    ask(trust, leaf, NOW)
    ask(trust, leaf, NOW + DAY)
    for _ in range(2):
        with pytest.raises(CertificateExpired):
            ask(trust, leaf, NOW + DAY + 1)
        with pytest.raises(TrustListExpired):
            ask(trust, leaf, NOW + 2 * DAY)
    ask(trust, leaf, NOW)


@pytest.mark.parametrize("question", ASKS)
def test_a_chain_remembered_for_one_question_answers_no_other(question: str) -> None:
    trust = opened()
    _, ask = ASKS[question]
    for usage, other in ASKS.values():
        leaf = forge("leaf", root(), purposes=(usage,))
        other(trust, leaf, NOW)
        if other is not ask:
            with pytest.raises(CertificatePurpose):
                ask(trust, leaf, NOW)


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("credentials.trust._MAX_REMEMBERED", 3)
    trust = opened()
    for number in range(10):
        trust.verifier([forge(f"shop {number}", root(), purposes=("access",)).der], now=NOW)
        assert len(trust._paths) <= 3


def test_the_list_is_signed_by_the_pinned_key() -> None:
    data = sign_trust_list(content(), SIGN)
    with pytest.raises(SignatureInvalid):
        open_trust_list(data, root=PublicKey.of(new_key().public_key()), now=NOW)
    # A chain in the header, good as it may be, does not replace the pinned key.
    access = forge("list", root(), purposes=("access",))
    own_chain = sign_compact(content(), typ=TYP, sign=access.signer()).encode()
    with pytest.raises(SignatureInvalid):
        open_trust_list(own_chain, root=ROOT, now=NOW)


def test_tokens_that_are_no_trust_list() -> None:
    other_typ = sign_compact(content(), typ="statuslist+jwt", sign=SIGN).encode()
    with pytest.raises(TypMismatch):
        open_trust_list(other_typ, root=ROOT, now=NOW)
    none = sign_compact(content(), typ=TYP, sign=SIGN, header={"alg": "none"}).encode()
    with pytest.raises(AlgorithmRefused):
        open_trust_list(none, root=ROOT, now=NOW)
    with pytest.raises(JwsMalformed):
        open_trust_list(b"{}", root=ROOT, now=NOW)
    with pytest.raises(TrustListInvalid, match="compact JWS"):
        open_trust_list("香港".encode(), root=ROOT, now=NOW)


def test_signing_refuses_what_nobody_could_open() -> None:
    with pytest.raises(TrustListInvalid):
        sign_trust_list(content(version=2), SIGN)


def test_a_clock_a_little_ahead_is_no_future() -> None:
    assert opened(now=NOW, issued=NOW + 60).issued == NOW + 60
    with pytest.raises(TrustListInvalid, match="in the future"):
        opened(now=NOW, issued=NOW + 61)


def test_the_same_and_a_newer_list_may_replace_a_list() -> None:
    assert opened(newest=7).sequence == 7
    assert opened(newest=6).sequence == 7
    with pytest.raises(TrustListRolledBack):
        opened(newest=8)


def everything() -> dict[str, Any]:
    """A list with every member filled."""
    access = forge("access", root(), purposes=("access",))
    gone = [{"key_thumbprint": b64u(bytes(32)), "since": 0}]
    return content(issuers=[issuer(retired=gone)], verifiers=[verifier(access)])


def paths(value: Any, at: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    here = [at] if at else []
    if isinstance(value, dict):
        return here + [path for name, item in value.items() for path in paths(item, (*at, name))]
    if isinstance(value, list):
        return here + [path for number, item in enumerate(value) for path in paths(item, (*at, number))]
    return here


FULL = everything()
PATHS = paths(FULL)
# The claims of a purpose are named by type, so there a missing or another name is a list like any other.
FREE = {
    ("verifiers", 0, "purposes", 0, "claims", "age/1"),
    *((name, number) for name in ("issuers", "verifiers", "verifier_anchors") for number in (0,)),
}


def changed(path: tuple[str | int, ...], change: Callable[[Any, str | int], None]) -> dict[str, Any]:
    whole = copy.deepcopy(FULL)
    at: Any = whole
    for step in path[:-1]:
        at = at[step]
    change(at, path[-1])
    return whole


def refused(payload: dict[str, Any]) -> None:
    with pytest.raises(TrustListInvalid):
        open_trust_list(signed_unread(payload), root=ROOT, now=NOW)


def test_the_full_list_opens() -> None:
    open_trust_list(signed_unread(FULL), root=ROOT, now=NOW)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: ".".join(map(str, path)))
@pytest.mark.parametrize(
    "wrong", [None, True, 1.5, -1, 1 << 53, "", "\u202eevil", {}, {"x": 1}, [[]]], ids=repr
)
def test_a_member_of_another_kind(path: tuple[str | int, ...], wrong: object) -> None:
    if wrong == {} and path[-1] == "claims":
        return  # no claims at all: a purpose for which nothing may be asked

    def put(at: Any, last: str | int) -> None:
        at[last] = wrong

    refused(changed(path, put))


@pytest.mark.parametrize(
    "path",
    [p for p in PATHS if isinstance(p[-1], str) and p not in FREE],
    ids=lambda p: ".".join(map(str, p)),
)
def test_a_member_missing_or_added(path: tuple[str | int, ...]) -> None:
    def drop(at: Any, last: str | int) -> None:
        del at[last]

    def add(at: Any, last: str | int) -> None:
        at["extra"] = at[last]

    refused(changed(path, drop))
    refused(changed(path, add))


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        (("version",), 2),
        (("environment",), "staging"),
        (("sequence",), 0),
        (("expires",), NOW - 3600),
        (("issuers", 0, "jurisdictions"), []),
        (("issuers", 0, "jurisdictions"), "HK"),
        (("issuers", 0, "jurisdictions", 0), "hk"),
        (("issuers", 0, "jurisdictions", 0), "HKG"),
        (("issuers", 0, "id"), "https://issuer.test/?x=1"),
        (("issuers", 0, "id"), "https://user@issuer.test"),
        (("issuers", 0, "id"), "file:///etc"),
        (("issuers", 0, "status", "uris", 0), "https://issuer.test/status"),
        (("issuers", 0, "anchors", 0), root().base64[:-4]),
        (("issuers", 0, "anchors", 0), "*" + root().base64),
        (("issuers", 0, "anchors", 0), forge("leaf", root(), purposes=("mdoc",)).base64),
        (("issuers", 0, "anchors", 0), forge("odd", signs_certificates=True).base64),
        (("issuers", 0, "anchors", 0), forge("odd", ca=True, signs_certificates=False).base64),
        (("issuers", 0, "types", "mso_mdoc", 0), "two words"),
        (("issuers", 0, "retired", 0, "key_thumbprint"), b64u(bytes(31))),
        (("issuers", 0, "retired", 0, "key_thumbprint"), b64u(bytes(32)) + "="),
        (("verifiers", 0, "origins", 0), "https://shop.test/path"),
        (("verifiers", 0, "name", "en"), "Shop\u202e"),
        (("verifiers", 0, "name", "en"), "x" * 1001),
        (("verifiers", 0, "purposes", 0, "id"), "liquor 18"),
        (("verifiers", 0, "purposes", 0, "basis_code"), "PCPD 2.3"),
        (("verifiers", 0, "purposes", 0, "claims"), {"age 1": []}),
    ],
)
def test_a_value_that_is_not_allowed(path: tuple[str | int, ...], wrong: object) -> None:
    def put(at: Any, last: str | int) -> None:
        at[last] = wrong

    refused(changed(path, put))


@pytest.mark.parametrize(
    "path",
    [
        ("issuers",),
        ("verifiers",),
        ("issuers", 0, "anchors"),
        ("issuers", 0, "retired"),
        ("verifiers", 0, "purposes"),
    ],
    ids=lambda path: ".".join(map(str, path)),
)
def test_an_entry_twice(path: tuple[str | int, ...]) -> None:
    def twice(at: Any, last: str | int) -> None:
        at[last] = [*at[last], copy.deepcopy(at[last][0])]

    refused(changed(path, twice))


def test_an_anchor_shared_by_two_issuers() -> None:
    refused(content(issuers=[issuer(), issuer(id="https://other.test")]))


def test_an_issuer_twice_with_other_anchors() -> None:
    refused(content(issuers=[issuer(), issuer(anchors=[root("other").base64])]))


def test_a_chain_of_two_is_followed() -> None:
    middle = forge("middle", root(), ca=True, path_length=0)
    leaf = forge("leaf", middle, purposes=("mdoc",))
    trust = opened()
    ask = {"format": "mso_mdoc", "type": DOCTYPE, "now": NOW, "signed_at": NOW}
    assert trust.credential_signer([leaf.der, middle.der], **ask).key == leaf.public  # type: ignore[arg-type]
    # The cheaper answer that is remembered is for the whole chain, not for its leaf.
    with pytest.raises((IssuerUnknown, ChainInvalid)):
        trust.credential_signer([leaf.der], **ask)  # type: ignore[arg-type]
