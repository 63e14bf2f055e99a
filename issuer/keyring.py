"""The issuer's secrets: one 0600 file, made once at ``init``, a key per purpose.

A thief of the database alone learns nothing from it: register records, codes and holder keys are MACed,
stored answers are sealed, and both under keys that are only here.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

from nacl.exceptions import CryptoError
from nacl.secret import Aead

from credentials.encoding import b64u, dump_json, load_json_object, unb64u
from credentials.errors import BauhiniaError, ConfigurationInvalid, FileUnreadable, StoreInvalid
from web.keyfiles import read_private_file, write_private_file

KEY_BYTES: Final = 32


@dataclass(frozen=True, slots=True, repr=False)
class Keyring:
    """32 bytes each. No ``repr``: a key never reaches a log by accident."""

    record: bytes
    """MACs the identity number into the enrolment's ``rec``; never changes in the life of the issuer."""
    scheme: bytes
    """Root of the per-scheme keys behind ``scheme_nullifier``."""
    register: bytes
    """MACs identities into the register's index."""
    lookup: bytes
    """MACs sign-in and transaction codes, passcodes, proof keys: what is too short or too telling to hash."""
    nonce: bytes
    """MACs the nonces that the issuer hands out and later recognises."""
    data: bytes
    """Seals stored credential responses."""
    web: bytes
    """Signs cookies and form tokens."""

    def mac(self, label: str, *parts: bytes) -> bytes:
        """HMAC-SHA256 under ``lookup`` of ``label`` and length-prefixed ``parts``: 32 bytes."""
        message = b"".join(len(part).to_bytes(4, "big") + part for part in (label.encode(), *parts))
        return hmac.digest(self.lookup, message, hashlib.sha256)

    def seal(self, plaintext: bytes, *, bound_to: bytes, randomness: Callable[[int], bytes]) -> bytes:
        """XChaCha20-Poly1305; opens only beside the same ``bound_to`` (the row's key)."""
        return bytes(Aead(self.data).encrypt(plaintext, bound_to, randomness(Aead.NONCE_SIZE)))

    def unseal(self, sealed: bytes, *, bound_to: bytes) -> bytes:
        """Raises :class:`StoreInvalid` where the row was moved or changed."""
        try:
            return bytes(Aead(self.data).decrypt(sealed, bound_to))
        except CryptoError:
            raise StoreInvalid("a stored response does not open") from None


def create_keyring(path: Path, *, randomness: Callable[[int], bytes]) -> Keyring:
    """Make new secrets; refuses to overwrite, for losing ``record`` would forget who is enrolled."""
    keyring = Keyring(*(randomness(KEY_BYTES) for _ in fields(Keyring)))
    members = {field.name: b64u(getattr(keyring, field.name)) for field in fields(Keyring)}
    if path.exists():
        raise ConfigurationInvalid("the issuer's secrets exist already")
    write_private_file(path, dump_json({"version": 1, **members}))
    return keyring


def load_keyring(path: Path) -> Keyring:
    """Raises :class:`FileUnreadable` or :class:`ConfigurationInvalid` (readable by others, wrong content)."""
    if not path.exists():
        raise FileUnreadable(
            "the issuer's secrets are not there", hint="Make them with `bauhinia issuer init`."
        )
    content = read_private_file(path)
    try:
        members = load_json_object(content)
        keys = [unb64u(str(members.get(field.name))) for field in fields(Keyring)]
    except BauhiniaError:
        raise ConfigurationInvalid("the issuer's secrets are damaged") from None
    if members.get("version") != 1 or any(len(key) != KEY_BYTES for key in keys):
        raise ConfigurationInvalid("the issuer's secrets are damaged")
    return Keyring(*keys)
