"""The issuer's rules: who may enrol, what may be issued to whom, and how a grant is spent.

Pure: every function takes what it judges and the time, and returns the next state or raises the refusal.
Where a refusal itself changes state (a wrong code counts), the transition returns an :class:`Attempt` that
carries both, so that the store can keep the count before the refusal is raised.

    pending ──right code──► redeemed
       │ ▲
       └─┘ wrong code, fewer than 5           pending ──5th wrong code──► locked
"""

from __future__ import annotations

import hmac
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Generic, Literal, TypeVar

from credentials import calendar
from credentials.calendar import PartialDate
from credentials.catalog import CredentialType
from credentials.errors import (
    BauhiniaError,
    ConsentMissing,
    CredentialRequestInvalid,
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
from credentials.keys import PublicKey, Signer
from credentials.model import Claims, Randomness, Seconds, StatusRef, Window

from .person import Person

MAX_FAILURES: Final = 5
"""Wrong transaction codes (or passcodes) before an offer (or a sign-in) is locked."""

MAX_BATCHES: Final = 8
"""Full batches of one type and format per enrolment and validity window: bounds what a stolen token costs."""

OFFER_SECONDS: Final = 600
CODE_SECONDS: Final = 60
ACCESS_TOKEN_SECONDS: Final = 600
REFRESH_TOKEN_SECONDS: Final = 180 * calendar.DAY
NOTIFICATION_SECONDS: Final = 7 * calendar.DAY

State = TypeVar("State")


# --- People


@dataclass(frozen=True, slots=True)
class Enrolment:
    """One living bond between a person of the register and the issuer.

    ``rec`` is the MAC of the identity number (or of the evidence, where there is no number); ``reference``
    names the register's row. Nothing else about the person is here.
    """

    id: str
    rec: bytes
    reference: str
    state: Literal["active", "revoked"]
    consent: bool
    sign_in: bytes
    passcode: bytes
    failures: int
    hour: Seconds
    guardian: bytes | None = None
    """MAC of who consented for a minor."""
    consented: Seconds | None = None
    """The day of that consent."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What the rules need to know of a person, read from the register at the moment of issuing."""

    birth: PartialDate
    has_hkid: bool


def _proven_over(years: int, birth: PartialDate, *, now: Seconds) -> bool:
    """Whether every birth date that ``birth`` allows makes the person ``years`` old at ``now``."""
    return calendar.age_claims(birth, Window(now, now + 1)).get(f"age_over_{years}") is True


def check_age(standing: Standing, *, consent: bool, now: Seconds) -> None:
    """Under 11 never; from 11 to 17 with a guardian's consent; who may still be a minor counts as one.

    Raises :class:`TooYoung` or :class:`ConsentMissing`. Turning 18 ends the need of a guardian by itself.
    """
    if not _proven_over(11, standing.birth, now=now):
        raise TooYoung("credentials are issued from the age of 11")
    if not consent and is_minor(standing, now=now):
        raise ConsentMissing("a minor's credentials need a guardian's consent")


def check_guardian(minor: Person, guardian: Person, *, now: Seconds) -> None:
    """Consent comes from the guardian whom the register names, and from an adult.

    Raises :class:`ConsentMissing`, the same for every reason.
    """
    if minor.guardian != guardian.identity or not _proven_over(18, guardian.birth, now=now):
        raise ConsentMissing("that is not the guardian in the register")


def is_minor(standing: Standing, *, now: Seconds) -> bool:
    """Whether a guardian has to consent: who may still be under 18 counts as a minor."""
    return not _proven_over(18, standing.birth, now=now)


def check_issue(
    type: CredentialType,
    enrolment: Enrolment,
    standing: Standing,
    *,
    withheld: Collection[str],
    now: Seconds,
) -> None:
    """Judged again at every issuance, however old the token is: entitlement may have been withdrawn since.

    ``withheld`` names the types that were revoked for this enrolment. Raises :class:`EnrolmentRevoked`,
    :class:`TypeWithheld`, :class:`TooYoung`, :class:`ConsentMissing`, :class:`NotEntitled`.
    """
    # 1. The enrolment lives.
    if enrolment.state != "active":
        raise EnrolmentRevoked("this enrolment was revoked")
    # 2. What was revoked is not handed out again by the next refill.
    if type.name in withheld:
        raise TypeWithheld("this credential was revoked for this enrolment")
    # 3. Age and consent.
    check_age(standing, consent=enrolment.consent, now=now)
    # 4. An identity number goes to those alone who have one.
    if type.name == "hkid-number/1" and not standing.has_hkid:
        raise NotEntitled("no identity number is registered")


# --- Grants


@dataclass(frozen=True, slots=True)
class Offer:
    """A credential offer. ``code`` is the hash of the pre-authorized code or issuer state it carries."""

    id: str
    enrolment: str
    configurations: tuple[str, ...]
    grant_type: Literal["pre-authorized", "authorization-code"]
    code: bytes
    tx_code: bytes | None
    failures: int
    state: Literal["pending", "redeemed", "locked"]
    expires: Seconds


@dataclass(frozen=True, slots=True)
class AuthorizationCode:
    """What a sign-in earned. ``family`` ties the tokens to it, so that a replay can withdraw them."""

    code: bytes
    enrolment: str
    configurations: tuple[str, ...]
    client_id: str
    redirect_uri: str
    challenge: str
    family: str
    state: Literal["pending", "redeemed"]
    expires: Seconds
    offer: str | None = None
    """The offer that the sign-in answered; it is spent with the code."""


@dataclass(frozen=True, slots=True)
class Token:
    """An access or refresh token, by hash, bound to the DPoP key with ``thumbprint``."""

    token: bytes
    kind: Literal["access", "refresh"]
    family: str
    enrolment: str
    configurations: tuple[str, ...]
    thumbprint: bytes
    expires: Seconds


@dataclass(frozen=True, slots=True)
class Attempt(Generic[State]):
    """The next state, and the refusal to raise once it is stored (``None``: it went well)."""

    state: State
    refusal: BauhiniaError | None = None


def redeem_offer(offer: Offer, *, tx_code: bytes | None, now: Seconds) -> Attempt[Offer]:
    """Spend a pre-authorized code (OpenID4VCI 1.0, 6.1 and 6.3). ``tx_code`` is the MAC of what was typed."""
    # 1. It is such an offer, unspent, unlocked, in time.
    if offer.grant_type != "pre-authorized" or offer.state == "redeemed" or now >= offer.expires:
        return Attempt(offer, GrantInvalid("the pre-authorized code is unknown, expired or used"))
    if offer.state == "locked":
        return Attempt(offer, TxCodeLocked("too many wrong transaction codes"))
    # 2. The transaction code, which travelled another way than the offer.
    # Left out, or sent where none was asked for: a mistake and no guess, so it does not count (6.3).
    if (offer.tx_code is None) != (tx_code is None):
        wanted = "a" if tx_code is None else "no"
        return Attempt(offer, RequestInvalid(f"this offer wants {wanted} transaction code"))
    if offer.tx_code is not None and not hmac.compare_digest(offer.tx_code, tx_code or b""):
        failures = offer.failures + 1
        if failures >= MAX_FAILURES:
            locked = replace(offer, failures=failures, state="locked")
            return Attempt(locked, TxCodeLocked("too many wrong transaction codes"))
        return Attempt(replace(offer, failures=failures), TxCodeInvalid("the transaction code is wrong"))
    return Attempt(replace(offer, state="redeemed"))


def redeem_code(
    code: AuthorizationCode, *, client_id: str, redirect_uri: str, challenge: str, now: Seconds
) -> Attempt[AuthorizationCode]:
    """Spend an authorization code (RFC 6749, 4.1.3; RFC 7636, 4.6). ``challenge`` is of the verifier sent.

    A wrong try spends the code too: whoever holds it without the verifier has stolen it.
    """
    spent = replace(code, state="redeemed")
    if code.state == "redeemed" or now >= code.expires:
        return Attempt(spent, GrantInvalid("the authorization code is unknown, expired or used"))
    if client_id != code.client_id:
        return Attempt(spent, GrantInvalid("the authorization code belongs to another client"))
    if redirect_uri != code.redirect_uri:
        return Attempt(spent, GrantInvalid("redirect_uri is not the one of the authorization request"))
    if not hmac.compare_digest(code.challenge.encode(), challenge.encode()):
        return Attempt(spent, PkceInvalid("code_verifier does not match"))
    return Attempt(spent)


def sign_in(enrolment: Enrolment, *, passcode: bytes) -> Attempt[Enrolment]:
    """Judge a synthetic sign-in; ``passcode`` is the MAC of what was typed. One answer for every refusal."""
    refusal = SignInRefused("the sign-in code or the passcode is wrong, or the sign-in is locked")
    if enrolment.state != "active" or enrolment.failures >= MAX_FAILURES:
        return Attempt(enrolment, refusal)
    if not hmac.compare_digest(enrolment.passcode, passcode):
        return Attempt(replace(enrolment, failures=enrolment.failures + 1), refusal)
    return Attempt(replace(enrolment, failures=0))


def check_token(token: Token | None, *, kind: str, thumbprint: bytes, now: Seconds) -> Token:
    """The token if it is of that kind, in time and presented with its own DPoP key (RFC 9449, 7.1).

    Raises :class:`TokenInvalid`, or :class:`GrantInvalid` for a refresh token (RFC 6749, 5.2).
    """
    if (
        token is None
        or token.kind != kind
        or now >= token.expires
        or not hmac.compare_digest(token.thumbprint, thumbprint)
    ):
        error = TokenInvalid if kind == "access" else GrantInvalid
        raise error("the token is unknown, expired or bound to another key")
    return token


# --- Batches


def most_copies(type: CredentialType) -> int:
    """Copies of one type and format that an enrolment may get in one validity window."""
    return MAX_BATCHES * type.batch


def check_batch(type: CredentialType, keys: Sequence[PublicKey], *, issued: int) -> None:
    """A batch is one copy per key, each key once; ``issued`` copies exist already in this window.

    Raises :class:`ProofInvalid`, :class:`CredentialRequestInvalid` or :class:`RateLimited`.
    """
    if not keys:
        raise ProofInvalid("no key proof")
    if len(keys) > type.batch:
        raise CredentialRequestInvalid(f"at most {type.batch} copies in one request")
    if len({key.thumbprint() for key in keys}) != len(keys):
        raise ProofInvalid("two copies would share a key")
    check_number(issued + len(keys), limit=most_copies(type))


def check_number(copies: int, *, limit: int) -> None:
    """Raises :class:`RateLimited`. Asked once more when the copies are stored: requests come at once."""
    if copies > limit:
        raise RateLimited(
            "enough copies of this type were issued for this period", hint="Come back in the next period."
        )


def end_of_day(moment: Seconds) -> Seconds:
    """The Hong Kong midnight after ``moment``: a time that is kept for long tells a day and no second."""
    return calendar.midnight(moment) + calendar.DAY


def window(type: CredentialType, *, now: Seconds) -> Window:
    """The validity of whatever of ``type`` is issued today: the same for everybody."""
    return calendar.window(now, type.validity_days)


def mint(
    claims: Claims,
    *,
    format: str,
    keys: Sequence[PublicKey],
    window: Window,
    status: Sequence[StatusRef | None],
    issuer: str,
    signers: Mapping[tuple[str, str], Signer],
    randomness: Randomness,
) -> tuple[bytes, ...]:
    """One copy per key, each with salts, decoys and status index of its own."""
    signer = signers[format, claims.type.name]
    return tuple(
        FORMATS[format].issue(
            claims,
            holder=key,
            window=window,
            status=reference,
            issuer=issuer,
            signer=signer,
            randomness=randomness,
        )
        for key, reference in zip(keys, status, strict=True)
    )
