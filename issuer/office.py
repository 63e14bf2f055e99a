"""The issuer at work: what it holds (:class:`Issuer`), and what happens at its counter.

Enrol a person, make an offer, sign somebody in, revoke. The rules are in :mod:`issuer.issuance`; here the
register, the store and the keys come together. Nothing personal is returned, raised or logged.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from credentials import calendar
from credentials.catalog import Catalogue, CredentialType
from credentials.encoding import b64u
from credentials.errors import (
    ConfigurationUnknown,
    ConsentMissing,
    EnrolmentRevoked,
    NotEntitled,
    PersonUnknown,
    SignInRefused,
    TypeWithheld,
)
from credentials.formats import FORMATS
from credentials.hkid import Hkid, refuse_real
from credentials.keys import Signer
from credentials.model import Claims, Randomness, Seconds
from openid4vc import vci

from . import issuance
from .claims import claims_for
from .issuance import Enrolment, Offer, Standing
from .keyring import Keyring
from .person import Identity, Person, identity_record
from .register import Register
from .store import Store

GrantType = Literal["pre-authorized", "authorization-code"]
TX_CODE_DIGITS: Final = 6
_SIGN_IN_BYTES: Final = 5


@dataclass(frozen=True, slots=True)
class Configuration:
    """One thing a wallet can ask for: a type in a format."""

    id: str
    type: CredentialType
    format: str


@dataclass(frozen=True, slots=True, repr=False)
class Enrolled:
    """What the person takes home, once: the store keeps no copy that could be read back."""

    id: str
    sign_in_code: str
    passcode: str


@dataclass(frozen=True, slots=True, repr=False)
class MadeOffer:
    """An offer as it leaves the counter: ``uri`` is by reference, ``tx_code`` goes another way."""

    id: str
    uri: str
    by_value: str
    tx_code: str | None
    expires: Seconds


@dataclass(frozen=True)
class Issuer:
    """Everything an issuing process holds. ``url`` is its identifier and the start of all its URLs."""

    url: str
    catalogue: Catalogue
    register: Register
    store: Store
    secrets: Keyring
    signers: Mapping[tuple[str, str], Signer]
    clock: Callable[[], Seconds]
    randomness: Randomness
    production: bool = False
    require_dpop_nonce: bool = False
    redirect_uris: frozenset[str] = frozenset()
    configurations: Mapping[str, Configuration] = field(init=False)

    def __post_init__(self) -> None:
        every = (
            Configuration(vci.configuration_id(type, format), type, format)
            for type in self.catalogue.types.values()
            for format in FORMATS
        )
        object.__setattr__(self, "configurations", {one.id: one for one in every})

    def configuration(self, id: str) -> Configuration:
        """Raises :class:`ConfigurationUnknown`."""
        found = self.configurations.get(id)
        if found is None:
            raise ConfigurationUnknown("no such credential configuration")
        return found

    @property
    def batch_size(self) -> int:
        """The largest batch of any type: metadata has one figure for all."""
        return max(type.batch for type in self.catalogue.types.values())

    # --- People

    def enrol(self, identity: Identity, *, guardian: Identity | None = None) -> Enrolled:
        """Bind a person of the register to this issuer. ``guardian`` is who agreed, for a minor.

        Raises :class:`RealNumberRefused` for a number that is not made up (outside production),
        :class:`PersonUnknown`, :class:`TooYoung`, :class:`ConsentMissing`, :class:`AlreadyEnrolled`.
        """
        now = self.clock()
        # 1. Nobody's real number is taken by a demonstration; the register knows the person.
        if isinstance(identity, Hkid) and not self.production:
            refuse_real(identity)
        reference = self.register.find(identity)
        person = self.register.read(reference)
        # 2. Old enough, or with the guardian whom the register names.
        consent = self._consent(person, guardian, now=now)
        standing = Standing(person.birth, person.hkid is not None)
        issuance.check_age(standing, consent=consent is not None, now=now)
        # 3. Not enrolled already; what is kept is a MAC.
        enrolled = self._codes(self.randomness(16).hex())
        self.store.add_enrolment(
            Enrolment(
                id=enrolled.id,
                rec=identity_record(self.secrets.record, identity),
                reference=reference,
                state="active",
                consent=consent is not None,
                sign_in=self.sign_in_hash(enrolled.sign_in_code),
                passcode=self._passcode_hash(enrolled.passcode),
                failures=0,
                hour=now - now % 3600,
                guardian=consent,
                consented=None if consent is None else calendar.midnight(now),
            )
        )
        return enrolled

    def _codes(self, id: str) -> Enrolled:
        return Enrolled(id, sign_in_code=self._readable_code(), passcode=self._readable_code())

    def _consent(self, person: Person, guardian: Identity | None, *, now: Seconds) -> bytes | None:
        """The MAC of who consents; ``None`` where nobody did or nobody has to."""
        standing = Standing(person.birth, person.hkid is not None)
        if guardian is None or not issuance.is_minor(standing, now=now):
            return None
        try:
            found = self.register.read(self.register.find(guardian))
        except PersonUnknown:
            raise ConsentMissing("that is not the guardian in the register") from None
        issuance.check_guardian(person, found, now=now)
        return self.secrets.mac("guardian", identity_record(self.secrets.record, guardian))

    def enrol_anew(self, enrolment: str) -> Enrolled:
        """Lost phone: revoke everything and enrol the same person anew, at once or not at all.

        No rule is asked: whoever lost a phone can always revoke, and every issuance asks them all. A
        guardian's consent goes along, and what was withheld. Raises :class:`EnrolmentUnknown`,
        :class:`EnrolmentRevoked`.
        """
        enrolled, now = self._codes(self.randomness(16).hex()), self.clock()
        fresh = self._with_codes(enrolled)
        self.store.replace(enrolment, lambda old: replace(fresh(old), id=enrolled.id, hour=now - now % 3600))
        return enrolled

    def new_codes(self, enrolment: str, *, guardian: Identity | None = None) -> Enrolled:
        """New codes for signing in, where the old ones were lost or locked; the old ones are void.

        With ``guardian`` consent is given, again or for the first time. Raises :class:`EnrolmentUnknown`,
        :class:`EnrolmentRevoked`, :class:`ConsentMissing`.
        """
        now = self.clock()
        enrolled = self._codes(enrolment)
        fresh = self._with_codes(enrolled)
        consent = None
        if guardian is not None:
            consent = self._consent(self.person_of(self.store.enrolment(enrolment)), guardian, now=now)

        def anew(old: Enrolment) -> Enrolment:
            if consent is None:
                return fresh(old)
            return replace(fresh(old), consent=True, guardian=consent, consented=calendar.midnight(now))

        self.store.change(enrolment, anew)
        return enrolled

    def _with_codes(self, enrolled: Enrolled) -> Callable[[Enrolment], Enrolment]:
        sign_in, passcode = self.sign_in_hash(enrolled.sign_in_code), self._passcode_hash(enrolled.passcode)
        return lambda old: replace(old, sign_in=sign_in, passcode=passcode, failures=0)

    def enrolment_of(self, identity: Identity) -> str:
        """The living enrolment of a person. Raises :class:`EnrolmentUnknown`."""
        return self.store.active_enrolment(identity_record(self.secrets.record, identity)).id

    def person_of(self, enrolment: Enrolment) -> Person:
        """What the register says now. Raises :class:`PersonUnknown` where it has forgotten the person."""
        return self.register.read(enrolment.reference)

    def sign_in(self, code: str, passcode: str) -> Enrolment:
        """The synthetic sign-in. Raises :class:`SignInRefused`, the same for every reason."""
        if not 0 < len(code) <= 64 or not 0 < len(passcode) <= 64:
            raise SignInRefused("the sign-in code or the passcode is wrong, or the sign-in is locked")
        typed = self._passcode_hash(passcode)
        return self.store.sign_in(
            self.sign_in_hash(code), lambda enrolment: issuance.sign_in(enrolment, passcode=typed)
        )

    def revoke(self, enrolment: str, *, types: Collection[str] | None = None, end: bool = False) -> int:
        """Mark the statuses of what was issued; the next :func:`issuer.publishing.publish` tells the world.

        Copies without a status (``age/1``) are not revoked, they expire. What is revoked is not issued
        again until :meth:`issuer.store.Store.lift`. ``end`` ends the enrolment too.
        """
        return self.store.revoke(enrolment, types=types, end=end)

    # --- Offers

    def offer(
        self,
        enrolment: str,
        configurations: Collection[str],
        *,
        grant_type: GrantType = "pre-authorized",
        tx_code: bool = True,
    ) -> MadeOffer:
        """Offer credentials to an enrolled person.

        Raises :class:`EnrolmentUnknown`, :class:`EnrolmentRevoked`, :class:`ConfigurationUnknown`, and
        whatever :meth:`claims` refuses for one of them.
        """
        now = self.clock()
        enrolled = self.store.enrolment(enrolment)
        if enrolled.state != "active":
            raise EnrolmentRevoked("this enrolment was revoked")
        for type in dict.fromkeys(self.configuration(id).type for id in configurations):
            self.claims(type, enrolled, now=now)
        offer_id = b64u(self.randomness(16))
        digits = self._digits() if tx_code and grant_type == "pre-authorized" else None
        offer = Offer(
            id=offer_id,
            enrolment=enrolment,
            configurations=tuple(dict.fromkeys(configurations)),
            grant_type=grant_type,
            code=token_hash(self.offer_code(offer_id)),
            tx_code=None if digits is None else self.tx_code_hash(offer_id, digits),
            failures=0,
            state="pending",
            expires=now + issuance.OFFER_SECONDS,
        )
        self.store.add_offer(offer)
        return MadeOffer(
            id=offer_id,
            uri=vci.offer_link(f"{self.url}/offers/{offer_id}"),
            by_value=vci.offer_link(self.offer_message(offer)),
            tx_code=digits,
            expires=offer.expires,
        )

    def offer_message(self, offer: Offer) -> vci.Offer:
        """The offer as the wallet reads it; made anew at each reading, because only a hash is stored."""
        code = self.offer_code(offer.id)
        if offer.grant_type == "authorization-code":
            return vci.Offer(self.url, offer.configurations, vci.AuthorizationCodeOffer(code), None)
        tx_code = None if offer.tx_code is None else vci.TxCode("numeric", TX_CODE_DIGITS)
        return vci.Offer(self.url, offer.configurations, None, vci.PreAuthorizedOffer(code, tx_code))

    def claims(self, type: CredentialType, enrolment: Enrolment, *, now: Seconds) -> Claims:
        """What would be stated in a credential of ``type`` issued now, after every rule was asked.

        Raises whatever :func:`issuer.issuance.check_issue` and :func:`issuer.claims.claims_for` refuse.
        """
        person = self.person_of(enrolment)
        standing = Standing(person.birth, person.hkid is not None)
        withheld = self.store.withheld(enrolment.id)
        issuance.check_issue(type, enrolment, standing, withheld=withheld, now=now)
        return claims_for(type, person, issuance.window(type, now=now), self.secrets)

    def issuable(self, enrolment: Enrolment) -> tuple[CredentialType, ...]:
        """The types this person may have today: no scheme without entitlement, nothing that was revoked."""

        def entitled(type: CredentialType) -> bool:
            try:
                self.claims(type, enrolment, now=self.clock())
            except (NotEntitled, TypeWithheld):
                return False
            return True

        return tuple(type for type in self.catalogue.types.values() if entitled(type))

    # --- Codes

    def offer_code(self, offer_id: str) -> str:
        """The pre-authorized code or issuer state of an offer: 256 bits, computed, never stored."""
        return b64u(self.secrets.mac("offer code", offer_id.encode()))

    def tx_code_hash(self, offer_id: str, tx_code: str) -> bytes:
        """A MAC, not a hash: six digits are quickly tried."""
        return self.secrets.mac("transaction code", offer_id.encode(), tx_code.encode())

    def sign_in_hash(self, code: str) -> bytes:
        return self.secrets.mac("sign-in code", _typed(code))

    def _passcode_hash(self, passcode: str) -> bytes:
        return self.secrets.mac("passcode", _typed(passcode))

    def _readable_code(self) -> str:
        """40 bits in letters and digits that are not mistaken for one another (Crockford's base 32)."""
        text = base64.b32encode(self.randomness(_SIGN_IN_BYTES)).decode().translate(_READABLE)
        return f"{text[:4]}-{text[4:]}"

    def _digits(self) -> str:
        # 2^64 is so much larger than 10^6 that the bias does not matter.
        return f"{int.from_bytes(self.randomness(8), 'big') % 10**TX_CODE_DIGITS:0{TX_CODE_DIGITS}}"


_READABLE: Final = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", "0123456789ABCDEFGHJKMNPQRSTVWXYZ")
_MISREAD: Final = str.maketrans("OIL", "011", "- ")


def _typed(code: str) -> bytes:
    """A code as a person types it: case, hyphens, and O for 0, I or L for 1 do not matter."""
    return code.upper().translate(_MISREAD).encode()


def token_hash(token: str) -> bytes:
    """SHA-256: enough for what has 256 random bits."""
    return hashlib.sha256(token.encode()).digest()
