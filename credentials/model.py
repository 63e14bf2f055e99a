"""The nouns that every format shares, and the three verbs that make a module a format.

A format is a module with ``issue``, ``present`` and ``verify`` (see :class:`Format`): pure functions, each
a one-way step of the journey

    claims → issue → credential → present → presentation → verify → Disclosed
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

if TYPE_CHECKING:
    from .catalog import CredentialType
    from .keys import HolderKey, PublicKey, Signer
    from .trust import Trust

MAX_DIGESTS: Final = 50
"""Claims and decoys of one type: above about 60 a zero-knowledge proof over the mdoc no longer fits."""

Seconds: TypeAlias = int
"""Seconds since 1970-01-01T00:00:00Z."""

Randomness: TypeAlias = Callable[[int], bytes]
"""Number of bytes to that many fresh random bytes (``os.urandom`` in the shell)."""

Value: TypeAlias = "bool | int | str | tuple[str, ...]"
"""A claim value of the catalogue."""

ClaimPath: TypeAlias = "tuple[str | int | None, ...]"
"""A claims path pointer of DCQL (OpenID4VP 1.0 section 7). For an mdoc: (namespace, element)."""


class Everything:
    """Show all claims: only for a wallet that checks what it just received."""


EVERYTHING: Final = Everything()


@dataclass(frozen=True, slots=True)
class Window:
    """Validity, the same for everybody who is issued to on that day: ``start`` ≤ now < ``end``."""

    start: Seconds
    end: Seconds


@dataclass(frozen=True, slots=True)
class StatusRef:
    """Where the status of one copy stands: ``index`` in the list that calls itself ``uri``."""

    uri: str
    index: int


@dataclass(frozen=True, slots=True)
class Claims:
    """What the issuer attests, by claim name of the catalogue.

    A claim of the type that is missing from ``values`` is left out of the credential and a decoy digest
    stands in its place, so that the number of digests is the same for everybody.
    """

    type: CredentialType
    values: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Session:
    """What binds a presentation to one request, made once by the protocol.

    ``audience`` is the verifier's full client identifier, or ``origin:`` and the origin. ``thumbprint`` is
    the RFC 7638 thumbprint of the key the response is encrypted to, or ``None``. Each format hashes a
    session in its own way: key-binding JWT, or SessionTranscript.
    """

    audience: str
    nonce: str
    response_uri: str
    thumbprint: bytes | None = None
    transaction_data: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Disclosed:
    """What a verified presentation says: the only way a verifier learns anything.

    ``claims`` is nested JSON for SD-JWT VC and ``{namespace: {element: value}}`` for mdoc; it never holds
    protocol members (``iss``, ``cnf``, ``status`` …). ``valid`` is the technical validity. ``status`` is
    still to be checked, by ``revocation.check``. ``holder`` is the copy's public key, an uncompressed point.
    """

    format: str
    type: str
    issuer: str
    claims: Mapping[str, object]
    valid: Window
    status: StatusRef | None
    holder: bytes
    notes: tuple[str, ...] = ()


class Format(Protocol):
    """The three verbs. A module with these functions is a format; ``formats.FORMATS`` names them all."""

    def issue(
        self,
        claims: Claims,
        *,
        holder: PublicKey,
        window: Window,
        status: StatusRef | None,
        issuer: str,
        signer: Signer,
        randomness: Randomness,
    ) -> bytes:
        """Claims to one credential copy, bound to ``holder``. ``issuer`` is the issuer's URL."""
        ...

    def present(
        self,
        credential: bytes,
        *,
        show: Collection[ClaimPath] | Everything,
        session: Session,
        holder: HolderKey,
        now: Seconds,
        randomness: Randomness,
    ) -> bytes:
        """A credential to a presentation that shows ``show`` and nothing else, for ``session`` alone."""
        ...

    def verify(
        self,
        presentation: bytes,
        *,
        type: str,
        session: Session,
        trust: Trust,
        now: Seconds,
    ) -> Disclosed:
        """A presentation to what it discloses, or a refusal. ``type`` is the vct or docType asked for."""
        ...
