"""The issuer at work: what it holds (:class:`Issuer`), and what happens at its counter.

Enrol a person, make an offer, sign somebody in, revoke. The rules are in :mod:`issuer.issuance`; here the
register, the store and the keys come together. Nothing personal is returned, raised or logged.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from credentials.catalog import Catalogue, CredentialType
from credentials.encoding import b64u
from credentials.errors import ConfigurationUnknown, EnrolmentRevoked, NotEntitled, SignInRefused
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

    def enrol(self, identity: Identity, *, consent: bool) -> Enrolled:
        """Bind a person of the register to this issuer. ``consent``: a guardian agreed.

        Raises :class:`RealNumberRefused` for a number that is not made up (outside production),
        :class:`PersonUnknown`, :class:`TooYoung`, :class:`ConsentMissing`, :class:`AlreadyEnrolled`.
        """
        now = self.clock()
        # 1. Nobody's real number is taken by a demonstration; the register knows the person.
        if isinstance(identity, Hkid) and not self.production:
            refuse_real(identity)
        reference = self.register.find(identity)
        person = self.register.read(reference)
        # 2. Old enough, or with a guardian.
        issuance.check_age(Standing(person.birth, person.hkid is not None), consent=consent, now=now)
        # 3. Not enrolled already; what is kept is a MAC.
        enrolled = Enrolled(
            id=self.randomness(16).hex(),
            sign_in_code=self._readable_code(),
            passcode=self._readable_code(),
        )
        self.store.add_enrolment(
            Enrolment(
                id=enrolled.id,
                rec=identity_record(self.secrets.record, identity),
                reference=reference,
                state="active",
                consent=consent,
                sign_in=self.sign_in_hash(enrolled.sign_in_code),
                passcode=self._passcode_hash(enrolled.passcode),
                failures=0,
                hour=now - now % 3600,
            )
        )
        return enrolled

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

        Copies without a status (``age/1``) are not revoked, they expire. ``end`` ends the enrolment too.
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
        issuance.check_issue(type, enrolment, standing, now=now)
        return claims_for(type, person, issuance.window(type, now=now), self.secrets)

    def issuable(self, enrolment: Enrolment) -> tuple[CredentialType, ...]:
        """The types this person may have today: schemes they are not entitled to are left out."""

        def entitled(type: CredentialType) -> bool:
            try:
                self.claims(type, enrolment, now=self.clock())
            except NotEntitled:
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
