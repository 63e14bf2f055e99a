"""What the vault and the backup are sealed with: Argon2id for passphrases, XChaCha20-Poly1305 for bytes.

Both come from libsodium through PyNaCl. A sealed text is ``nonce (24 bytes) || ciphertext || tag``; what it
belongs to (file, row) is its associated data, so a sealed text opens only in its own place.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Final

from nacl import bindings, exceptions, pwhash

from credentials.model import Randomness

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 24
SALT_BYTES: Final = 16
SMALLEST: Final = 8 * 1024
"""Copies, log entries and settings all fit in the smallest size class, so sizes do not tell them apart."""


class SealBroken(Exception):
    """Wrong key, wrong place, or changed bytes. The caller turns it into its own refusal."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one guess at the passphrase costs: ``operations`` passes over ``memory`` bytes (RFC 9106)."""

    operations: int
    memory: int


MODERATE: Final = Cost(pwhash.argon2id.OPSLIMIT_MODERATE, pwhash.argon2id.MEMLIMIT_MODERATE)
"""256 MiB, a third of a second: the only brake on guessing, since a counter in a file can be edited."""

DEAREST: Final = Cost(16, 1 << 30)
"""A file that demands more than this is not one of ours; it would only exhaust the machine."""

CHEAPEST: Final = Cost(pwhash.argon2id.OPSLIMIT_MIN, pwhash.argon2id.MEMLIMIT_MIN)
"""For tests."""


def passphrase_key(passphrase: str, *, salt: bytes, cost: Cost) -> bytes:
    """A 256-bit key from a passphrase, whichever Unicode form its characters were typed in."""
    if not (
        CHEAPEST.operations <= cost.operations <= DEAREST.operations
        and CHEAPEST.memory <= cost.memory <= DEAREST.memory
        and len(salt) == SALT_BYTES
    ):
        raise SealBroken
    return pwhash.argon2id.kdf(
        KEY_BYTES,
        unicodedata.normalize("NFKD", passphrase).encode("utf-8", "surrogatepass"),
        salt,
        opslimit=cost.operations,
        memlimit=cost.memory,
    )


def seal(plaintext: bytes, *, key: bytes, place: bytes, randomness: Randomness) -> bytes:
    """``plaintext`` under ``key``, bound to ``place``. The length shows: pad first where it must not."""
    nonce = randomness(NONCE_BYTES)
    return nonce + bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(plaintext, place, nonce, key)


def unseal(sealed: bytes, *, key: bytes, place: bytes) -> bytes:
    """The way back; :class:`SealBroken` when anything differs by one bit."""
    if len(sealed) < NONCE_BYTES + bindings.crypto_aead_xchacha20poly1305_ietf_ABYTES:
        raise SealBroken
    try:
        return bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(
            sealed[NONCE_BYTES:], place, sealed[:NONCE_BYTES], key
        )
    except exceptions.CryptoError:
        raise SealBroken from None


def pad(plaintext: bytes) -> bytes:
    """Up to the next size class: 8 KiB, 16 KiB, 32 KiB …"""
    size = SMALLEST
    while size <= len(plaintext):
        size *= 2
    return bindings.sodium_pad(plaintext, size)


def unpad(padded: bytes) -> bytes:
    """Take the padding away; it was authenticated, so a wrong one means another writer wrote it."""
    try:
        return bindings.sodium_unpad(padded, len(padded))
    except exceptions.CryptoError:
        raise SealBroken from None
