"""Nonces that the issuer recognises without having stored them: an expiry, randomness, a MAC.

Asking for a nonce needs no authorisation (OpenID4VCI 1.0, 7), so it must not cost a row: nobody can fill the
store by asking. Only a nonce that was *used* is written down, until it would have expired anyway.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final, Literal

from credentials.encoding import b64u, unb64u
from credentials.errors import Base64Malformed, CredentialNonceInvalid, DpopNonceRequired
from credentials.model import Randomness, Seconds

CREDENTIAL_SECONDS: Final = 600
DPOP_SECONDS: Final = 300

_EXPIRES: Final = slice(1, 9)
_MAC_BYTES: Final = 16
_BYTES: Final = 1 + 8 + 16 + _MAC_BYTES

Kind = Literal[b"c", b"b", b"d"]
"""Proof nonce for anybody; proof nonce bound to one DPoP key; DPoP nonce."""


def _mac(key: bytes, body: bytes, binding: bytes) -> bytes:
    return hmac.digest(key, body + binding, hashlib.sha256)[:_MAC_BYTES]


def _make(kind: Kind, key: bytes, binding: bytes, *, now: Seconds, life: int, randomness: Randomness) -> str:
    body = kind + (now + life).to_bytes(8, "big") + randomness(16)
    return b64u(body + _mac(key, body, binding))


def _expiry(kind: bytes, nonce: str, key: bytes, binding: bytes, *, now: Seconds) -> Seconds | None:
    try:
        raw = unb64u(nonce)
    except Base64Malformed:
        return None
    if len(raw) != _BYTES or raw[:1] != kind:
        return None
    if not hmac.compare_digest(raw[-_MAC_BYTES:], _mac(key, raw[:-_MAC_BYTES], binding)):
        return None
    expires = int.from_bytes(raw[_EXPIRES], "big")
    return expires if now < expires else None


def credential_nonce(
    key: bytes, *, now: Seconds, randomness: Randomness, thumbprint: bytes | None = None
) -> str:
    """A ``c_nonce``. With ``thumbprint`` (of a DPoP key that was proved) it serves that key alone."""
    kind: Kind = b"c" if thumbprint is None else b"b"
    return _make(kind, key, thumbprint or b"", now=now, life=CREDENTIAL_SECONDS, randomness=randomness)


def check_credential_nonce(nonce: str, key: bytes, *, now: Seconds, thumbprint: bytes) -> Seconds:
    """When ``nonce`` expires; ``thumbprint`` is of the key that the request's access token is bound to.

    Raises :class:`CredentialNonceInvalid`. Whether it was used before is for the store to say.
    """
    for kind, binding in ((b"c", b""), (b"b", thumbprint)):
        expires = _expiry(kind, nonce, key, binding, now=now)
        if expires is not None:
            return expires
    raise CredentialNonceInvalid("the nonce is unknown, expired or another session's")


def dpop_nonce(key: bytes, *, now: Seconds, randomness: Randomness) -> str:
    """What the issuer asks a DPoP proof to carry (RFC 9449, 8)."""
    return _make(b"d", key, b"", now=now, life=DPOP_SECONDS, randomness=randomness)


def check_dpop_nonce(nonce: str | None, key: bytes, *, now: Seconds, required: bool) -> None:
    """Raises :class:`DpopNonceRequired`. A nonce that is sent is always checked."""
    if nonce is None and not required:
        return
    if nonce is None or _expiry(b"d", nonce, key, b"", now=now) is None:
        raise DpopNonceRequired("send the DPoP proof again with the nonce of this answer")
