"""What the store may not show to whoever finds a copy of it: disclosed claims, and the keys answers come to.

XChaCha20-Poly1305 (PyNaCl) under the verifier's own data key, which lies beside the store and not in it. The
place is associated data: a sealed text opens only in the row and column that it was made for.
"""

from __future__ import annotations

from typing import Final

from nacl.exceptions import CryptoError
from nacl.secret import Aead

from credentials.encoding import b64u, unb64u
from credentials.errors import ConfigurationInvalid, Malformed, StoreInvalid

KEY_BYTES: Final = Aead.KEY_SIZE
_STEP: Final = 256
"""Sizes are rounded up to this, so that they do not tell "true" from "false"."""


class Seal:
    """``key`` is 32 random bytes. Raises :class:`ConfigurationInvalid` for any other length."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ConfigurationInvalid(f"the data key is not {KEY_BYTES} bytes")
        self._box = Aead(key)

    def close(self, text: str, *, place: str) -> str:
        plain = text.encode()
        padded = plain + b" " * (-len(plain) % _STEP)
        return b64u(bytes(self._box.encrypt(padded, place.encode())))

    def open(self, sealed: str, *, place: str) -> str:
        """Raises :class:`StoreInvalid` when the key, the place or one bit differs."""
        try:
            return self._box.decrypt(unb64u(sealed), place.encode()).decode().rstrip(" ")
        except (CryptoError, Malformed, UnicodeDecodeError):
            raise StoreInvalid("a sealed value does not open with this data key") from None
