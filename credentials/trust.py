"""Whom to believe, for what and until when: a signed trust list, opened with one pinned key.

The list names issuers and the types each may issue, the signers of status lists, and the verifiers that
registered a purpose. Nothing is fetched here, and nothing is believed that the list does not say.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from .certificates import (
    MDOC_SIGNER,
    SD_JWT_SIGNER,
    STATUS_SIGNER,
    VERIFIER_ACCESS,
    Certificate,
    Path,
    check_path,
)
from .errors import IssuerOutOfScope, SignerRetired, TrustListExpired, TrustListInvalid, TrustListRolledBack
from .jose import parse_compact, sign_compact
from .keys import PublicKey, Sign
from .model import Seconds
from .trustlist import Content, IssuerEntry, Purpose, Registration, read_content

__all__ = [
    "CLOCK_SKEW",
    "SIGNER_PURPOSES",
    "TYP",
    "IssuerEntry",
    "Purpose",
    "Registration",
    "Trust",
    "TrustedSigner",
    "TrustedVerifier",
    "open_trust_list",
    "sign_trust_list",
]

TYP: Final = "bauhinia-trust-list+jwt"
CLOCK_SKEW: Final = 60
"""Seconds by which a publisher's clock may be ahead of ours."""
MAX_LIST_BYTES: Final = 1 << 20
SIGNER_PURPOSES: Final[Mapping[str, str]] = {"dc+sd-jwt": SD_JWT_SIGNER, "mso_mdoc": MDOC_SIGNER}
"""The extended key usage that a credential signer needs, by format."""
_MAX_REMEMBERED: Final = 1024


@dataclass(frozen=True, slots=True)
class TrustedSigner:
    """A key the list vouches for. ``issuer`` is what a credential must name as its issuer; ``jurisdiction``
    the country that the signer's certificate names (``None``: a status signer's need not name one)."""

    issuer: str
    name: Mapping[str, str]
    jurisdiction: str | None
    key: PublicKey
    not_before: Seconds
    not_after: Seconds


@dataclass(frozen=True, slots=True)
class TrustedVerifier:
    """A verifier with a valid access certificate (``certificate_hash``: SHA-256 of its DER).

    ``registration`` is ``None`` for one that registered no purpose: it may ask, and the wallet says so.
    """

    certificate_hash: bytes
    key: PublicKey
    registration: Registration | None


@dataclass(frozen=True, slots=True)
class Trust:
    """An opened trust list; every question is answered for the time given with it."""

    content: Content
    _paths: dict[tuple[str, str, tuple[bytes, ...]], Path] = field(
        default_factory=dict[tuple[str, str, tuple[bytes, ...]], Path], repr=False, compare=False
    )

    @property
    def sequence(self) -> int:
        return self.content.sequence

    @property
    def issued(self) -> Seconds:
        return self.content.issued

    @property
    def expires(self) -> Seconds:
        return self.content.expires

    @property
    def environment(self) -> str:
        """``development`` or ``production``."""
        return self.content.environment

    @property
    def issuers(self) -> tuple[IssuerEntry, ...]:
        return self.content.issuers

    @property
    def verifiers(self) -> Mapping[bytes, Registration]:
        """Registrations by SHA-256 of the access certificate."""
        return self.content.verifiers

    def credential_signer(
        self, chain: Sequence[bytes], *, format: str, type: str, now: Seconds, signed_at: Seconds
    ) -> TrustedSigner:
        """Who may have signed a credential of ``type`` (vct or doctype) in ``format`` at ``signed_at``.

        The caller compares ``issuer`` with the credential's own. Raises :class:`IssuerUnknown`,
        :class:`IssuerOutOfScope`, :class:`SignerRetired`, :class:`TrustListExpired`, or what
        :func:`.certificates.check_path` and :meth:`.Path.check_time` raise.
        """
        # 1. The list itself still holds.
        self._check_current(now)
        # 2. The chain leads to an anchor, and its leaf signs credentials of this format.
        if (purpose := SIGNER_PURPOSES.get(format)) is None:
            raise IssuerOutOfScope("no signer is known for this format")
        anchors = (anchor for issuer in self.issuers for anchor in issuer.anchors)
        path = self._path("credential", chain, anchors=anchors, purpose=purpose)
        # 3. It is valid now and was when it signed (RFC 5280, 6.1.3 (a) (2); shell model).
        path.check_time(now, what="verification")
        path.check_time(signed_at, what="signing")
        # 4. The anchor's issuer may issue this type, for this country (X7: trust is scoped).
        issuer = next(entry for entry in self.issuers if path.anchor in entry.anchors)
        if type not in issuer.types[format]:
            raise IssuerOutOfScope("the issuer may not issue this type of credential")
        # ISO/IEC 18013-5 B.1.4: the document signer names one country.
        if path.leaf.country not in issuer.jurisdictions:
            raise IssuerOutOfScope("the issuer may not issue for the country its certificate names")
        # 5. The key was in use when it signed.
        since = _retired_since(issuer, path)
        if since is not None and signed_at >= since:
            raise SignerRetired("the signer was retired before it signed this")
        return _signer(issuer, path)

    def status_signer(self, chain: Sequence[bytes], *, uri: str, now: Seconds) -> TrustedSigner:
        """Who may sign the status list that calls itself ``uri``. Raises as :meth:`credential_signer`."""
        # 1. The list itself still holds.
        self._check_current(now)
        # 2. Only an issuer whose status lists live there speaks for it.
        issuers = [entry for entry in self.issuers if uri.startswith(entry.status_uris)]
        if not issuers:
            raise IssuerOutOfScope("no issuer keeps status lists under this URI")
        # 3. The chain leads to that issuer's anchor, for status lists, and is valid now.
        anchors = (anchor for issuer in issuers for anchor in issuer.status_anchors)
        scope = "status " + " ".join(issuer.id for issuer in issuers)
        path = self._path(scope, chain, anchors=anchors, purpose=STATUS_SIGNER)
        path.check_time(now, what="verification")
        issuer = next(entry for entry in issuers if path.anchor in entry.status_anchors)
        # 4. A retired status signer is refused at once: a list is replaced within hours.
        since = _retired_since(issuer, path)
        if since is not None and now >= since:
            raise SignerRetired("the status signer was retired")
        return _signer(issuer, path)

    def verifier(self, chain: Sequence[bytes], *, now: Seconds) -> TrustedVerifier:
        """Whose access certificate this is. Raises as :meth:`credential_signer`."""
        self._check_current(now)
        path = self._path("verifier", chain, anchors=self.content.verifier_anchors, purpose=VERIFIER_ACCESS)
        path.check_time(now, what="verification")
        digest = path.leaf.sha256
        return TrustedVerifier(digest, path.leaf.key, self.verifiers.get(digest))

    def _check_current(self, now: Seconds) -> None:
        if now >= self.expires:
            raise TrustListExpired("the trust list has expired")

    def _path(
        self, scope: str, chain: Sequence[bytes], *, anchors: Iterable[Certificate], purpose: str
    ) -> Path:
        """Check a chain once and remember it: signatures do not change, times are checked by the caller."""
        # The certificates themselves are the key: a dictionary hashes each ``bytes`` object once, while a
        # digest would be computed anew for every credential of the same signer.
        key = (scope, purpose, tuple(chain))
        path = self._paths.get(key)
        if path is None:
            path = check_path(chain, anchors=tuple(anchors), purpose=purpose)
            if len(self._paths) >= _MAX_REMEMBERED:
                self._paths.clear()
            self._paths[key] = path
        return path


def _retired_since(issuer: IssuerEntry, path: Path) -> Seconds | None:
    """When the key of the leaf was retired; nearly always no key of the issuer was."""
    return issuer.retired.get(path.leaf.key.thumbprint()) if issuer.retired else None


def _signer(issuer: IssuerEntry, path: Path) -> TrustedSigner:
    return TrustedSigner(
        issuer=issuer.id,
        name=issuer.name,
        jurisdiction=path.leaf.country,
        key=path.leaf.key,
        not_before=path.not_before,
        not_after=path.not_after,
    )


def open_trust_list(data: bytes, *, root: PublicKey, now: Seconds, newest_sequence: int = 0) -> Trust:
    """A signed list to a :class:`Trust`. ``newest_sequence`` is the highest sequence ever opened here.

    Raises :class:`JwsMalformed`, :class:`AlgorithmRefused`, :class:`TypMismatch`, :class:`SignatureInvalid`,
    :class:`TrustListInvalid`, :class:`TrustListExpired`, :class:`TrustListRolledBack`.
    """
    # 1. Signed with the pinned key, whatever the header says about keys.
    try:
        token = data.decode("ascii")
    except UnicodeDecodeError:
        raise TrustListInvalid("the trust list is not a compact JWS") from None
    payload = parse_compact(token, typ=TYP, max_bytes=MAX_LIST_BYTES).verify(root)
    # 2. Every member is understood.
    content = read_content(payload)
    # 3. Not from the future, not expired.
    if content.issued > now + CLOCK_SKEW:
        raise TrustListInvalid("the trust list was issued in the future")
    if now >= content.expires:
        raise TrustListExpired("the trust list has expired")
    # 4. Not older than one already seen (The Update Framework, client workflow 5.3.5).
    if content.sequence < newest_sequence:
        raise TrustListRolledBack("an older trust list was put in place of a newer one")
    return Trust(content)


def sign_trust_list(content: Mapping[str, Any], sign: Sign) -> bytes:
    """Sign a list after reading it as every reader will: compact JWS, ASCII.

    Raises :class:`TrustListInvalid` instead of signing what nobody could open.
    """
    read_content(content)
    return sign_compact(dict(content), typ=TYP, sign=sign).encode("ascii")
