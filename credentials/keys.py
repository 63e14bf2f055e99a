"""P-256 keys: to and from JWK (RFC 7517) and COSE_Key (RFC 9052 section 7), and ES256 over them.

Nothing here makes a key: key generation is I/O (randomness) and belongs to the shell.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from .encoding import b64u, unb64u
from .errors import Base64Malformed, KeyMalformed, SignatureInvalid

_ES256: Final = ec.ECDSA(hashes.SHA256())
_ES256_DETERMINISTIC: Final = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
_CURVE: Final = ec.SECP256R1()
_PRIVATE_MEMBERS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
SIGNATURE_BYTES: Final = 64


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A P-256 public key; ``point`` is 0x04 || x || y (65 bytes) and has been checked to lie on the curve."""

    point: bytes
    key: ec.EllipticCurvePublicKey

    @classmethod
    def of(cls, key: ec.EllipticCurvePublicKey) -> PublicKey:
        if not isinstance(key.curve, ec.SECP256R1):
            raise KeyMalformed("not a P-256 key")
        return cls(key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint), key)

    @classmethod
    def from_point(cls, point: bytes) -> PublicKey:
        """``point`` is uncompressed SEC1; compressed points and infinity are refused."""
        if len(point) != 65 or point[0] != 4:
            raise KeyMalformed("not an uncompressed P-256 point")
        try:
            return cls(point, ec.EllipticCurvePublicKey.from_encoded_point(_CURVE, point))
        except ValueError:
            raise KeyMalformed("point is not on the curve") from None

    @classmethod
    def from_jwk(cls, jwk: object) -> PublicKey:
        """Read ``{"kty":"EC","crv":"P-256","x":…,"y":…}``; refuse private members and other algorithms."""
        return cls.from_point(jwk_point(jwk))

    @classmethod
    def from_cose(cls, cose: object) -> PublicKey:
        """Read ``{1: 2, -1: 1, -2: x, -3: y}`` (RFC 9053 section 7.1.1)."""
        if not isinstance(cose, Mapping):
            raise KeyMalformed("COSE_Key is not a map")
        members: Mapping[Any, Any] = cose  # pyright: ignore[reportUnknownVariableType]
        if -4 in members:
            raise KeyMalformed("COSE_Key holds a private key")
        if members.get(1) != 2 or members.get(-1) != 1 or members.get(3, -7) != -7:
            raise KeyMalformed("COSE_Key is not EC2 P-256 for ES256")
        x, y = members.get(-2), members.get(-3)
        if not isinstance(x, bytes) or not isinstance(y, bytes):
            raise KeyMalformed("COSE_Key coordinate is not a byte string")
        return cls.from_point(_point(x, y))

    def jwk(self) -> dict[str, str]:
        return {
            "kty": "EC",
            "crv": "P-256",
            "x": b64u(self.point[1:33]),
            "y": b64u(self.point[33:]),
        }

    def cose(self) -> dict[int, int | bytes]:
        """In the order 1, -1, -2, -3 that zero-knowledge circuits over mdoc expect."""
        return {1: 2, -1: 1, -2: self.point[1:33], -3: self.point[33:]}

    def thumbprint(self) -> bytes:
        """SHA-256 JWK thumbprint (RFC 7638), 32 bytes."""
        x, y = b64u(self.point[1:33]), b64u(self.point[33:])
        return hashlib.sha256(f'{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}'.encode()).digest()

    def verify(self, signature: bytes, message: bytes) -> None:
        """Check an ES256 signature of exactly 64 bytes, r || s (RFC 7518 section 3.4).

        Raises :class:`SignatureInvalid`.
        """
        if len(signature) != SIGNATURE_BYTES:
            raise SignatureInvalid("ES256 signature is not 64 bytes")
        der = encode_dss_signature(
            int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
        )
        try:
            self.key.verify(der, message, _ES256)
        except InvalidSignature:
            raise SignatureInvalid("ES256 signature does not verify") from None


def jwk_point(jwk: object) -> bytes:
    """The point a JWK names, by the rules of :meth:`PublicKey.from_jwk`; it may not lie on the curve."""
    if not isinstance(jwk, Mapping):
        raise KeyMalformed("JWK is not an object")
    members: Mapping[str, Any] = jwk  # pyright: ignore[reportUnknownVariableType]
    if not _PRIVATE_MEMBERS.isdisjoint(members):
        raise KeyMalformed("JWK holds a private key")
    if members.get("kty") != "EC" or members.get("crv") != "P-256":
        raise KeyMalformed("JWK is not EC P-256")
    if members.get("alg", "ES256") not in ("ES256", "ECDH-ES"):
        raise KeyMalformed("JWK is for another algorithm")
    x, y = members.get("x"), members.get("y")
    if not isinstance(x, str) or not isinstance(y, str):
        raise KeyMalformed("JWK lacks a coordinate")
    try:
        return _point(unb64u(x), unb64u(y))
    except Base64Malformed:
        raise KeyMalformed("JWK coordinate is not base64url") from None


def _point(x: bytes, y: bytes) -> bytes:
    if len(x) != 32 or len(y) != 32:
        raise KeyMalformed("P-256 coordinate is not 32 bytes")
    return b"\x04" + x + y


Sign = Callable[[bytes], bytes]
"""Message to ES256 signature r || s (64 bytes). In production a key store implements it."""


def software_sign(key: ec.EllipticCurvePrivateKey) -> Sign:
    """Sign with a key held in memory, deterministically (RFC 6979): no nonce to repeat."""

    def sign(message: bytes) -> bytes:
        r, s = decode_dss_signature(key.sign(message, _ES256_DETERMINISTIC))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    return sign


@dataclass(frozen=True, slots=True)
class Signer:
    """What signs credentials, requests and status lists: ``chain`` is DER, leaf first, without the anchor."""

    sign: Sign
    chain: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class HolderKey:
    """What proves possession of one copy of a credential."""

    sign: Sign
    public: PublicKey
