"""X.509 for Bauhinia: one narrow profile, checked in straight lines.

P-256 and ES256 only, at most four certificates, leaf first and without the anchor. A leaf says what it is for
in exactly one extended key usage; it never is a CA. What this profile does not need it refuses instead of
ignoring: self-issued links, name constraints, unknown critical extensions. Sources: RFC 5280 sections 4 and
6.1; ISO/IEC 18013-5 Annex B; OpenID4VC HAIP 1.0 section 6.1.1 (no anchor in ``x5c``, no self-signed leaf).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from .errors import (
    AlgorithmRefused,
    CertificateExpired,
    CertificateMalformed,
    CertificatePurpose,
    ChainInvalid,
    DevelopmentKeyRefused,
    IssuerUnknown,
    KeyMalformed,
    TooLarge,
)
from .keys import PublicKey
from .model import Seconds

MDOC_SIGNER: Final = "1.0.18013.5.1.2"
"""Extended key usage of an mdoc document signer (ISO/IEC 18013-5 B.1.4)."""
VERIFIER_ACCESS: Final = "1.0.18013.5.1.6"
"""Extended key usage of a verifier that signs requests (ISO/IEC 18013-5 B.1.7, reader authentication)."""
STATUS_SIGNER: Final = "1.3.6.1.5.5.7.3.30"
"""Extended key usage of a status list signer (Token Status List, id-kp-oauthStatusSigning)."""
SD_JWT_SIGNER: Final = "2.25.218393426609117237216901378466485115592"
"""Extended key usage of an SD-JWT VC signer. No standard names one; this is a UUID under joint-iso-itu-t(2)
uuid(25), so nobody else has it (ITU-T X.667)."""

DEVELOPMENT: Final = "development only"
"""The organizational unit that every certificate made by ``bauhinia trust init`` carries."""

MAX_CHAIN: Final = 4
MAX_CERTIFICATE_BYTES: Final = 8192

_SEQUENCE: Final = re.compile(rb"\x30(?:([\x00-\x7f])|\x81(.)|\x82(..))", re.DOTALL)
_SERIAL: Final = re.compile(rb"\x02([\x01-\x14])[\x00-\x7f]")
_VERSION_3: Final = bytes.fromhex("a003020102")
_ES256: Final = bytes.fromhex("300a06082a8648ce3d040302")  # ecdsa-with-SHA256, no parameters
_UNDERSTOOD: Final = frozenset({x509.BasicConstraints.oid, x509.KeyUsage.oid, x509.ExtendedKeyUsage.oid})


@dataclass(frozen=True, slots=True)
class Certificate:
    """One certificate that follows the profile. ``purposes`` is ``None`` where it names none.

    ``country`` is the countryName of the subject, ``None`` where there is none or more than one.
    """

    der: bytes
    x509: x509.Certificate
    key: PublicKey
    not_before: Seconds
    not_after: Seconds
    ca: bool
    path_length: int | None
    signs_certificates: bool
    signs_data: bool
    purposes: frozenset[str] | None
    country: str | None

    @property
    def sha256(self) -> bytes:
        return hashlib.sha256(self.der).digest()

    @property
    def subject(self) -> str:
        """RFC 4514 text, for people."""
        return self.x509.subject.rfc4514_string()


@dataclass(frozen=True, slots=True)
class Path:
    """A chain that leads to an anchor. Valid from ``not_before`` to ``not_after``, both included: the time in
    which every certificate of it, the anchor too, is valid."""

    leaf: Certificate
    anchor: Certificate
    not_before: Seconds
    not_after: Seconds

    def check_time(self, when: Seconds, *, what: str) -> None:
        """Raise :class:`CertificateExpired` unless all of the path is valid at ``when``."""
        if when < self.not_before:
            raise CertificateExpired(f"a certificate is not valid yet at {what}")
        if when > self.not_after:
            raise CertificateExpired(f"a certificate is no longer valid at {what}")


def read_certificate(der: bytes) -> Certificate:
    """Read one certificate and check what can be judged without its neighbours.

    Raises :class:`CertificateMalformed`, :class:`TooLarge`, :class:`AlgorithmRefused`, :class:`ChainInvalid`.
    """
    if len(der) > MAX_CERTIFICATE_BYTES:
        raise TooLarge(f"certificate over {MAX_CERTIFICATE_BYTES} bytes")
    _check_frame(der)
    try:
        certificate = x509.load_der_x509_certificate(der)
        # The library reads these on demand: do it here, where an error is expected.
        _ = certificate.issuer
        countries = certificate.subject.get_attributes_for_oid(NameOID.COUNTRY_NAME)
        extensions = certificate.extensions
        public = certificate.public_key()
        not_before = int(certificate.not_valid_before_utc.timestamp())
        not_after = int(certificate.not_valid_after_utc.timestamp())
    except (ValueError, TypeError, x509.DuplicateExtension):
        raise CertificateMalformed("not a DER certificate") from None
    except UnsupportedAlgorithm:
        raise AlgorithmRefused("certificate key of an unknown algorithm") from None
    # ES256 and P-256 throughout: an anchor's promise is worth no more than the weakest link.
    if not isinstance(public, ec.EllipticCurvePublicKey):
        raise AlgorithmRefused("certificate key is not P-256")
    try:
        key = PublicKey.of(public)
    except KeyMalformed:
        raise AlgorithmRefused("certificate key is not P-256") from None

    basic: x509.BasicConstraints | None = None
    usage: x509.KeyUsage | None = None
    purposes: frozenset[str] | None = None
    for extension in extensions:
        match extension.value:
            case x509.BasicConstraints() as basic:
                pass
            case x509.KeyUsage() as usage:
                pass
            case x509.ExtendedKeyUsage() as named:
                purposes = frozenset(oid.dotted_string for oid in named)
            case x509.NameConstraints():
                raise ChainInvalid("certificate has name constraints, which this profile does not use")
            case _:
                pass
        if extension.critical and extension.oid not in _UNDERSTOOD:
            raise ChainInvalid("certificate has a critical extension that is not understood")
    return Certificate(
        der=der,
        x509=certificate,
        key=key,
        not_before=not_before,
        not_after=not_after,
        ca=basic is not None and basic.ca,
        path_length=basic.path_length if basic is not None else None,
        signs_certificates=usage is not None and usage.key_cert_sign,
        signs_data=usage is not None and usage.digital_signature,
        purposes=purposes,
        country=str(countries[0].value) if len(countries) == 1 else None,
    )


def _check_frame(der: bytes) -> None:
    """The outermost bytes, before the library sees them: it reads more than this profile, with a warning.

    Version 3, a positive serial number of at most 20 bytes, and ECDSA with SHA-256, without parameters, in
    both places (RFC 5280, 4.1; RFC 5758, 3.2).
    """
    start, _ = _sequence(der, 0)
    inside, signed_end = _sequence(der, start)
    serial = inside + len(_VERSION_3)
    if der[inside:serial] != _VERSION_3:
        raise CertificateMalformed("not an X.509 version 3 certificate")
    integer = _SERIAL.match(der, serial)
    algorithm = serial + 2 + (integer[1][0] if integer else 0)
    if not any(der[serial + 2 : algorithm]):
        raise CertificateMalformed("certificate serial number is not positive, or over 20 bytes")
    if not der.startswith(_ES256, algorithm) or not der.startswith(_ES256, signed_end):
        raise AlgorithmRefused("certificate is not signed with ECDSA and SHA-256")
    # A BIT STRING in DER has zero unused bits here; the library would accept, and ignore, any other number.
    signature = signed_end + len(_ES256)
    if der[signature : signature + 1] != b"\x03" or der[signature + 2 : signature + 3] != b"\x00":
        raise CertificateMalformed("certificate signature is not a BIT STRING of whole bytes")


def _sequence(der: bytes, at: int) -> tuple[int, int]:
    """Where the content of the SEQUENCE at ``at`` starts and ends."""
    header = _SEQUENCE.match(der, at)
    if header is None or header.lastindex is None:
        raise CertificateMalformed("not a DER certificate")
    return header.end(), header.end() + int.from_bytes(header[header.lastindex], "big")


def check_path(chain: Sequence[bytes], *, anchors: Sequence[Certificate], purpose: str) -> Path:
    """Follow ``chain`` (DER, leaf first, without the anchor) to one of ``anchors``. Times are not judged.

    ``purpose`` is the one extended key usage the leaf must name. Raises :class:`IssuerUnknown` if no anchor
    has the name of the chain's last issuer, else :class:`ChainInvalid` or :class:`CertificatePurpose`, or
    what :func:`read_certificate` raises.
    """
    # 1. One to four certificates.
    if not 1 <= len(chain) <= MAX_CHAIN:
        raise ChainInvalid(f"a chain has 1 to {MAX_CHAIN} certificates")
    links = [read_certificate(der) for der in chain]
    leaf, *authorities = links
    # 2. The anchor stays out, and nothing vouches for itself (HAIP 6.1.1).
    if any(link.der == anchor.der for link in links for anchor in anchors):
        raise ChainInvalid("the trust anchor is part of the chain")
    if any(link.x509.issuer == link.x509.subject for link in links):
        raise ChainInvalid("a certificate of the chain is self-issued")
    # 3. The leaf signs data for exactly this purpose and is no CA (RFC 5280, 4.2.1.3, 4.2.1.9, 4.2.1.12).
    if leaf.ca or leaf.signs_certificates:
        raise ChainInvalid("the leaf is a CA certificate")
    if not leaf.signs_data:
        raise CertificatePurpose("the leaf is not for digital signatures")
    if leaf.purposes != frozenset({purpose}):
        raise CertificatePurpose("the leaf is for another purpose")
    # 4. An anchor is known by the name the chain ends in.
    top = links[-1]
    named = [anchor for anchor in anchors if anchor.x509.subject == top.x509.issuer]
    if not named:
        raise IssuerUnknown("no trust anchor has this issuer's name")
    # 5. Each certificate is signed by the next one (RFC 5280, 6.1.3 (a) (1) and (4)).
    for link, authority in zip(links, authorities, strict=False):
        if not _issued(link, authority):
            raise ChainInvalid("a certificate is not signed by the next one")
    anchor = next((candidate for candidate in named if _issued(top, candidate)), None)
    if anchor is None:
        raise ChainInvalid("the chain ends in an anchor's name but not in its signature")
    # 6. Everything above the leaf may sign certificates, so deep, and for this purpose (6.1.4 (k) to (n)).
    for below, authority in enumerate([*authorities, anchor]):
        if not authority.ca or not authority.signs_certificates:
            raise ChainInvalid("a certificate was signed by one that is not a CA")
        if authority.path_length is not None and authority.path_length < below:
            raise ChainInvalid("the chain is longer than a CA allows")
        if authority.purposes is not None and purpose not in authority.purposes:
            raise CertificatePurpose("a CA is limited to other purposes")
    everyone = [*links, anchor]
    return Path(
        leaf=leaf,
        anchor=anchor,
        not_before=max(link.not_before for link in everyone),
        not_after=min(link.not_after for link in everyone),
    )


def _issued(certificate: Certificate, authority: Certificate) -> bool:
    """Names chain, inner and outer algorithm agree, and the signature verifies."""
    try:
        certificate.x509.verify_directly_issued_by(authority.x509)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def refuse_development(der: bytes) -> None:
    """Raise :class:`DevelopmentKeyRefused` for a certificate of the development PKI, or one issued by it."""
    certificate = read_certificate(der).x509
    for name in (certificate.subject, certificate.issuer):
        for unit in name.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME):
            if unit.value == DEVELOPMENT:
                raise DevelopmentKeyRefused("a development certificate has no place in production")
