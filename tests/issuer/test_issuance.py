"""The issuer's rules, with no store and no clock of their own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from issuer_fixture import PEOPLE, TODAY, new_key
from pki_fixture import ISSUER, NOW, signer, trust

from credentials.calendar import DAY, PartialDate, midnight
from credentials.catalog import load_catalogue
from credentials.encoding import b64u, load_json_object, unb64u
from credentials.errors import (
    ConsentMissing,
    CredentialNonceInvalid,
    CredentialRequestInvalid,
    DpopNonceRequired,
    EnrolmentRevoked,
    GrantInvalid,
    NotEntitled,
    PkceInvalid,
    ProofInvalid,
    RateLimited,
    RequestInvalid,
    SignInRefused,
    TokenInvalid,
    TooYoung,
    TxCodeInvalid,
    TxCodeLocked,
    TypeWithheld,
)
from credentials.formats import FORMATS
from credentials.model import Disclosed, Session, StatusRef
from issuer import issuance, nonces
from issuer.claims import claims_for
from issuer.issuance import AuthorizationCode, Enrolment, Offer, Standing, Token
from issuer.limits import Buckets, Rate
from issuer.population import population

TYPES = load_catalogue().types
BORN_2011 = PartialDate(2011, 11, 23)
"""15 years old tomorrow."""


def enrolment(**members: Any) -> Enrolment:
    plain = Enrolment("e1", b"rec", "r1", "active", False, b"code", b"pass", 0, NOW)
    return replace(plain, **members)


def offer(**members: Any) -> Offer:
    plain = Offer("o1", "e1", ("age-1.mdoc",), "pre-authorized", b"c", b"right", 0, "pending", NOW + 600)
    return replace(plain, **members)


def code(**members: Any) -> AuthorizationCode:
    plain = AuthorizationCode(
        b"c", "e1", ("age-1.mdoc",), "wallet", "http://127.0.0.1/cb", "challenge", "f", "pending", NOW + 60
    )
    return replace(plain, **members)


# --- Who may enrol


@pytest.mark.parametrize(
    ("birth", "consent", "error"),
    [
        (PartialDate(2015, 11, 23), True, TooYoung),  # 11 tomorrow
        (PartialDate(2015), True, TooYoung),  # may be 10 or 11
        (PartialDate(2015, 11, 22), False, ConsentMissing),  # 11 today
        (PartialDate(2008, 11, 23), False, ConsentMissing),  # 18 tomorrow
        (PartialDate(2008), False, ConsentMissing),  # may be 17 or 18
    ],
)
def test_children_are_refused_or_need_a_guardian(
    birth: PartialDate, consent: bool, error: type[Exception]
) -> None:
    with pytest.raises(error):
        issuance.check_age(Standing(birth, True), consent=consent, now=NOW)


@pytest.mark.parametrize(
    ("birth", "consent"),
    [
        (PartialDate(2015, 11, 22), True),
        (PartialDate(2008), True),
        (PartialDate(2008, 11, 22), False),
        (PartialDate(2007), False),
    ],
)
def test_old_enough(birth: PartialDate, consent: bool) -> None:
    """Turning 18 ends the need of a guardian at Hong Kong midnight, by itself."""
    issuance.check_age(Standing(birth, True), consent=consent, now=NOW)


def test_eleven_at_hong_kong_midnight() -> None:
    standing = Standing(PartialDate(2015, 11, 23), True)
    tomorrow = midnight(NOW) + DAY
    with pytest.raises(TooYoung):
        issuance.check_age(standing, consent=True, now=tomorrow - 1)
    issuance.check_age(standing, consent=True, now=tomorrow)


# --- What may be issued


def test_nothing_for_a_revoked_enrolment() -> None:
    with pytest.raises(EnrolmentRevoked) as refused:
        issuance.check_issue(
            TYPES["age/1"],
            enrolment(state="revoked"),
            Standing(PartialDate(1990), True),
            withheld=(),
            now=NOW,
        )
    assert refused.value.code == "enrolment_revoked"


def test_consent_is_asked_at_every_issuance() -> None:
    with pytest.raises(ConsentMissing) as refused:
        issuance.check_issue(TYPES["age/1"], enrolment(), Standing(BORN_2011, True), withheld=(), now=NOW)
    assert refused.value.code == "guardian_consent_missing"
    issuance.check_issue(
        TYPES["age/1"], enrolment(consent=True), Standing(BORN_2011, True), withheld=(), now=NOW
    )


def test_a_number_for_holders_of_a_number_alone() -> None:
    standing = Standing(PartialDate(1990), has_hkid=False)
    with pytest.raises(NotEntitled) as refused:
        issuance.check_issue(TYPES["hkid-number/1"], enrolment(), standing, withheld=(), now=NOW)
    assert refused.value.code == "not_entitled"
    issuance.check_issue(TYPES["residency/1"], enrolment(), standing, withheld=(), now=NOW)


def test_what_was_revoked_is_not_issued_again() -> None:
    standing = Standing(PartialDate(1990), True)
    withheld = {"residency/1"}
    with pytest.raises(TypeWithheld) as refused:
        issuance.check_issue(TYPES["residency/1"], enrolment(), standing, withheld=withheld, now=NOW)
    assert refused.value.code == "type_withheld"
    issuance.check_issue(TYPES["base/1"], enrolment(), standing, withheld=withheld, now=NOW)


@pytest.mark.parametrize(
    "changed",
    [
        {"guardian": PEOPLE.elder.identity},
        {"guardian": None},
    ],
)
def test_consent_of_somebody_else(changed: dict[str, Any]) -> None:
    issuance.check_guardian(PEOPLE.minor, PEOPLE.adult, now=NOW)
    with pytest.raises(ConsentMissing):
        issuance.check_guardian(replace(PEOPLE.minor, **changed), PEOPLE.adult, now=NOW)


def test_a_guardian_is_of_age() -> None:
    young = replace(PEOPLE.adult, birth=PartialDate(2008, 11, 23))
    with pytest.raises(ConsentMissing):
        issuance.check_guardian(PEOPLE.minor, young, now=NOW)
    issuance.check_guardian(PEOPLE.minor, replace(young, birth=PartialDate(2008, 11, 22)), now=NOW)


# --- Grants


def test_an_offer_is_spent_once() -> None:
    spent = issuance.redeem_offer(offer(), tx_code=b"right", now=NOW)
    assert spent.refusal is None
    assert spent.state.state == "redeemed"
    assert type(issuance.redeem_offer(spent.state, tx_code=b"right", now=NOW).refusal) is GrantInvalid


@pytest.mark.parametrize(
    ("members", "tx_code", "now"),
    [
        ({}, b"right", NOW + 600),
        ({"grant_type": "authorization-code"}, b"right", NOW),
    ],
)
def test_offers_that_are_no_grant(members: dict[str, Any], tx_code: bytes, now: int) -> None:
    attempt = issuance.redeem_offer(offer(**members), tx_code=tx_code, now=now)
    assert type(attempt.refusal) is GrantInvalid
    assert attempt.state.state == "pending"


@pytest.mark.parametrize(("kept", "sent"), [(b"right", None), (None, b"right")])
def test_a_transaction_code_left_out_or_unasked_is_no_guess(kept: bytes | None, sent: bytes | None) -> None:
    """OpenID4VCI 1.0, 6.3: invalid_request, and it does not count toward the lock."""
    before = offer(tx_code=kept)
    attempt = issuance.redeem_offer(before, tx_code=sent, now=NOW)
    assert type(attempt.refusal) is RequestInvalid
    assert attempt.state == before


def test_five_wrong_transaction_codes_lock_the_offer() -> None:
    current = offer()
    for wrong in (b"wrong", b"other", b"", b"wronh"):
        attempt = issuance.redeem_offer(current, tx_code=wrong, now=NOW)
        assert type(attempt.refusal) is TxCodeInvalid
        current = attempt.state
    locked = issuance.redeem_offer(current, tx_code=b"wrong", now=NOW)
    assert type(locked.refusal) is TxCodeLocked
    assert type(issuance.redeem_offer(locked.state, tx_code=b"right", now=NOW).refusal) is TxCodeLocked


@pytest.mark.parametrize(
    ("members", "arguments", "error"),
    [
        ({"state": "redeemed"}, {}, GrantInvalid),
        ({}, {"now": NOW + 60}, GrantInvalid),
        ({}, {"client_id": "other"}, GrantInvalid),
        ({}, {"redirect_uri": "http://127.0.0.1/other"}, GrantInvalid),
        ({}, {"challenge": "wrong"}, PkceInvalid),
    ],
)
def test_a_wrong_try_spends_the_code(
    members: dict[str, Any], arguments: dict[str, Any], error: type[Exception]
) -> None:
    right: dict[str, Any] = {
        "client_id": "wallet",
        "redirect_uri": "http://127.0.0.1/cb",
        "challenge": "challenge",
        "now": NOW,
    }
    attempt = issuance.redeem_code(code(**members), **{**right, **arguments})
    assert type(attempt.refusal) is error
    assert attempt.state.state == "redeemed"
    assert issuance.redeem_code(code(), **right).refusal is None


def test_sign_in_locks_after_five() -> None:
    current = enrolment()
    for _ in range(5):
        attempt = issuance.sign_in(current, passcode=b"wrong")
        assert type(attempt.refusal) is SignInRefused
        current = attempt.state
    assert type(issuance.sign_in(current, passcode=b"pass").refusal) is SignInRefused
    once = issuance.sign_in(enrolment(failures=4), passcode=b"pass")
    assert (once.refusal, once.state.failures) == (None, 0)
    assert issuance.sign_in(enrolment(state="revoked"), passcode=b"pass").refusal is not None


@pytest.mark.parametrize(("kind", "error"), [("access", TokenInvalid), ("refresh", GrantInvalid)])
def test_a_token_serves_its_key_kind_and_time(kind: Any, error: type[Exception]) -> None:
    token = Token(b"t", kind, "f", "e1", (), b"jkt", NOW + 1)
    assert issuance.check_token(token, kind=kind, thumbprint=b"jkt", now=NOW) is token
    other: Any = "refresh" if kind == "access" else "access"
    for bad, thumbprint, now in (
        (None, b"jkt", NOW),
        (token, b"jku", NOW),
        (token, b"jkt", NOW + 1),
        (replace(token, kind=other), b"jkt", NOW),
    ):
        with pytest.raises(error):
            issuance.check_token(bad, kind=kind, thumbprint=thumbprint, now=now)


# --- Batches


def test_a_batch_is_bounded() -> None:
    age = TYPES["residency/1"]
    keys = [new_key().public for _ in range(age.batch + 1)]
    issuance.check_batch(age, keys[:-1], issued=0)
    with pytest.raises(CredentialRequestInvalid):
        issuance.check_batch(age, keys, issued=0)
    with pytest.raises(ProofInvalid):
        issuance.check_batch(age, [], issued=0)
    with pytest.raises(ProofInvalid):
        issuance.check_batch(age, [keys[0], keys[1], keys[0]], issued=0)
    limit = issuance.MAX_BATCHES * age.batch
    issuance.check_batch(age, keys[:1], issued=limit - 1)
    with pytest.raises(RateLimited):
        issuance.check_batch(age, keys[:1], issued=limit)


@pytest.mark.hostile("V5")
@pytest.mark.parametrize("format", ["dc+sd-jwt", "mso_mdoc"])
def test_v5_siblings_share_nothing_but_the_window(format: str) -> None:
    """Every copy of a batch has its own key, salts, signature and status; the window is everybody's."""
    type_ = TYPES["residency/1"]
    window = issuance.window(type_, now=NOW)
    keys = tuple(new_key().public for _ in range(6))
    status = [StatusRef(f"{ISSUER}/status/residency-1/2026-11-22", index) for index in range(6)]
    copies = issuance.mint(
        claims_for(type_, PEOPLE.adult, window, Keys()),
        format=format,
        keys=keys,
        window=window,
        status=status,
        issuer=ISSUER,
        signers={(format, "residency/1"): signer(format, "residency/1")},
        randomness=os.urandom,
    )
    assert len(set(copies)) == 6
    # Disclosures (SD-JWT VC): none occurs in two copies.
    if format == "dc+sd-jwt":
        disclosures = [part for copy in copies for part in copy.split(b"~")[1:-1]]
        assert len(set(disclosures)) == len(disclosures)
    assert len({len(copy) for copy in copies}) <= 8, "only lengths of integers may differ"


class Keys:
    """Keys for claims, all zero."""

    record = scheme = bytes(32)


def _issued(format: str, people: int) -> Iterator[Disclosed]:
    """What copies of age/1 say to their holders, each issued at another moment of the same day."""
    type_, key = TYPES["age/1"], new_key()
    session = Session(audience="self", nonce="nonce-of-the-test-0001", response_uri="self")
    for number, person in enumerate(population(people, seed=3, today=TODAY)):
        moment = midnight(NOW) + number * 8 % DAY
        window = issuance.window(type_, now=moment)
        (copy,) = issuance.mint(
            claims_for(type_, person, window, Keys()),
            format=format,
            keys=[key.public],
            window=window,
            status=[None],
            issuer=ISSUER,
            signers={(format, "age/1"): signer(format, "age/1")},
            randomness=os.urandom,
        )
        shown = FORMATS[format].present(
            copy, show=(), session=session, holder=key, now=NOW, randomness=os.urandom
        )
        yield FORMATS[format].verify(
            shown, type=type_.identifier(format), session=session, trust=trust(), now=NOW
        )


@pytest.mark.hostile("V5")
@pytest.mark.parametrize(("format", "people"), [("dc+sd-jwt", 500), ("mso_mdoc", 500)])
def test_v5_validity_says_nothing_about_the_person(format: str, people: int) -> None:
    windows = {disclosed.valid for disclosed in _issued(format, people)}
    assert windows == {issuance.window(TYPES["age/1"], now=NOW)}


def _jwt_payload(copy: bytes) -> dict[str, Any]:
    return load_json_object(unb64u(copy.split(b".")[1]))


@pytest.mark.hostile("V5", "V6")
def test_v5_v6_ten_thousand_people_look_the_same() -> None:
    """Same members, same validity, same number of digests for everybody, whatever their age and evidence."""
    type_, key = TYPES["age/1"], new_key()
    shapes: set[tuple[Any, ...]] = set()
    for number, person in enumerate(population(10_000, seed=3, today=TODAY)):
        window = issuance.window(type_, now=midnight(NOW) + number * 8 % DAY)
        (copy,) = issuance.mint(
            claims_for(type_, person, window, Keys()),
            format="dc+sd-jwt",
            keys=[key.public],
            window=window,
            status=[None],
            issuer=ISSUER,
            signers={("dc+sd-jwt", "age/1"): signer("dc+sd-jwt", "age/1")},
            randomness=os.urandom,
        )
        payload = _jwt_payload(copy)
        shapes.add((payload["nbf"], payload["exp"], len(payload["_sd"]), *payload))
    assert len(shapes) == 1
    ((start, end, digests, *members),) = shapes
    assert (start, end) == (midnight(NOW), midnight(NOW) + 7 * DAY)
    assert digests == len(type_.claims)
    assert not {"iat", "sub"} & set(members)


@given(st.integers(0, DAY - 1))
def test_windows_start_at_hong_kong_midnight(second: int) -> None:
    window = issuance.window(TYPES["age/1"], now=midnight(NOW) + second)
    assert (window.start, window.end) == (midnight(NOW), midnight(NOW) + 7 * DAY)


# --- Nonces

KEY = bytes(32)


def test_a_nonce_is_recognised_until_it_expires() -> None:
    nonce = nonces.credential_nonce(KEY, now=NOW, randomness=os.urandom)
    expires = nonces.check_credential_nonce(nonce, KEY, now=NOW + 599, thumbprint=b"any")
    assert expires == NOW + 600
    with pytest.raises(CredentialNonceInvalid):
        nonces.check_credential_nonce(nonce, KEY, now=NOW + 600, thumbprint=b"any")


def test_a_bound_nonce_serves_one_key() -> None:
    nonce = nonces.credential_nonce(KEY, now=NOW, randomness=os.urandom, thumbprint=b"mine")
    nonces.check_credential_nonce(nonce, KEY, now=NOW, thumbprint=b"mine")
    with pytest.raises(CredentialNonceInvalid):
        nonces.check_credential_nonce(nonce, KEY, now=NOW, thumbprint=b"yours")


@given(st.text(max_size=80))
def test_other_text_is_no_nonce(text: str) -> None:
    with pytest.raises(CredentialNonceInvalid):
        nonces.check_credential_nonce(text, KEY, now=NOW, thumbprint=b"")


@given(st.integers(0, 8 * 41 - 1))
def test_a_changed_nonce_is_no_nonce(bit: int) -> None:
    raw = bytearray(unb64u(nonces.credential_nonce(KEY, now=NOW, randomness=os.urandom)))
    raw[bit // 8] ^= 1 << bit % 8
    with pytest.raises(CredentialNonceInvalid):
        nonces.check_credential_nonce(b64u(bytes(raw)), KEY, now=NOW, thumbprint=b"")


def test_dpop_nonces_are_another_kind() -> None:
    made = nonces.dpop_nonce(KEY, now=NOW, randomness=os.urandom)
    nonces.check_dpop_nonce(made, KEY, now=NOW, required=True)
    nonces.check_dpop_nonce(None, KEY, now=NOW, required=False)
    with pytest.raises(CredentialNonceInvalid):
        nonces.check_credential_nonce(made, KEY, now=NOW, thumbprint=b"")
    for bad, required in ((None, True), ("other", False), (made, False)):
        later = NOW + (300 if bad == made else 0)
        with pytest.raises(DpopNonceRequired):
            nonces.check_dpop_nonce(bad, KEY, now=later, required=required)


# --- Rate limits


def test_a_bucket_empties_and_fills() -> None:
    buckets = Buckets(Rate(per_second=1, burst=2))
    buckets.take("a", now=0)
    buckets.take("a", now=0)
    with pytest.raises(RateLimited) as refused:
        buckets.take("a", now=0.5)
    assert refused.value.http == 429
    buckets.take("b", now=0.5)
    buckets.take("a", now=1)
    with pytest.raises(RateLimited):
        buckets.take("a", now=0)


@pytest.mark.hostile("C10")
def test_c10_buckets_are_bounded() -> None:
    buckets = Buckets(Rate(per_second=0, burst=1), bound=3)
    for key in range(100):
        buckets.take(key, now=0)
    with pytest.raises(RateLimited):
        buckets.take(99, now=0)
    buckets.take(0, now=0)
