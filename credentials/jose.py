"""Signed and encrypted tokens: JWS (RFC 7515) with ES256, JWE (RFC 7516) with ECDH-ES and AES-GCM; no others.

Every JWS that arrives goes through :func:`parse_compact`, a strict splitter in front of the signature
check: one text, one reading. JWE is left to jwcrypto, which sees a token only after its header has been
checked here.
"""

# What JSON holds is known only after it is looked at: pyright calls that unknown.
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false, reportUnknownMemberType=false

from __future__ import annotations

import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec
from jwcrypto.common import JWException  # pyright: ignore[reportMissingTypeStubs]
from jwcrypto.jwe import JWE  # pyright: ignore[reportMissingTypeStubs]
from jwcrypto.jwk import JWK  # pyright: ignore[reportMissingTypeStubs]

from .encoding import b64u, dump_json, load_json_object, unb64u
from .errors import (
    AlgorithmRefused,
    Base64Malformed,
    ChainInvalid,
    JsonMalformed,
    JweMalformed,
    JwsMalformed,
    KeyMalformed,
    SignatureInvalid,
    TooLarge,
    TypMismatch,
)
from .keys import SIGNATURE_BYTES, PublicKey, Sign, Signer

MAX_TOKEN_BYTES: Final = 65_536
MAX_HEADER_BYTES: Final = 16_384
MAX_CHAIN: Final = 5

# Each of these lets a header choose the key, fetch something, or change how the token is read.
_REFUSED: Final = frozenset({"b64", "crit", "jku", "jwk", "x5u", "zip"})

_JWE_HEADER: Final = frozenset({"alg", "enc", "epk", "apu", "apv", "kid", "typ", "cty"})
_JWE_ENC: Final = ("A128GCM", "A256GCM")


@dataclass(frozen=True, slots=True)
class Jws:
    """A JWS in compact form, taken apart; nothing in it is to be believed before its signature is checked."""

    header: Mapping[str, Any]
    payload: bytes
    signing_input: bytes
    signature: bytes

    def check_signature(self, key: PublicKey) -> None:
        """Raises :class:`SignatureInvalid`."""
        key.verify(self.signature, self.signing_input)

    def unverified(self) -> dict[str, Any]:
        """The payload as an object, for whoever reads it to find the key. Raises :class:`JwsMalformed`."""
        try:
            return load_json_object(self.payload, max_bytes=len(self.payload))
        except JsonMalformed as error:
            raise JwsMalformed(f"JWS payload: {error}") from None

    def verify(self, key: PublicKey) -> dict[str, Any]:
        """The payload, once the signature holds. Raises :class:`SignatureInvalid`, :class:`JwsMalformed`."""
        self.check_signature(key)
        return self.unverified()

    def chain(self) -> tuple[bytes, ...]:
        """The certificates of ``x5c``, DER, leaf first (RFC 7515, 4.1.6).

        Raises :class:`ChainInvalid` if there is none, :class:`JwsMalformed` if it is not base64.
        """
        items = self.header.get("x5c")
        if items is None:
            raise ChainInvalid("JWS header has no certificate chain")
        if not isinstance(items, list) or not 1 <= len(items) <= MAX_CHAIN:
            raise JwsMalformed(f"x5c is not an array of 1 to {MAX_CHAIN} certificates")
        if not all(isinstance(item, str) for item in items):
            raise JwsMalformed("x5c holds something else than strings")
        return _certificates(tuple(items))


@lru_cache(maxsize=256)
def _certificates(x5c: tuple[str, ...]) -> tuple[bytes, ...]:
    """Standard base64 with padding, unlike everything else in a JWS."""
    try:
        chain = tuple(binascii.a2b_base64(item.encode("ascii"), strict_mode=True) for item in x5c)
    except (binascii.Error, UnicodeEncodeError):
        raise JwsMalformed("x5c is not exact base64") from None
    if not all(chain) or encode_x5c(chain) != list(x5c):
        raise JwsMalformed("x5c is not exact base64")
    return chain


def parse_compact(
    token: str | bytes, *, typ: str, max_bytes: int = MAX_TOKEN_BYTES, allow: frozenset[str] = frozenset()
) -> Jws:
    """Take a compact JWS apart; the signature is not checked yet.

    ``typ`` is compared as written, case included (RFC 8725, 3.11). ``allow`` names header parameters that are
    refused elsewhere: a DPoP or key proof has its ``jwk``. Raises :class:`TooLarge`, :class:`JwsMalformed`,
    :class:`AlgorithmRefused`, :class:`TypMismatch`, :class:`SignatureInvalid` (its length).
    """
    # 1. Three parts, none of them large (RFC 7515, 5.2 step 1): refused before anything is decoded.
    if len(token) > max_bytes:
        raise TooLarge(f"JWS over {max_bytes} bytes")
    try:
        raw = token.encode("ascii") if isinstance(token, str) else token
        encoded_header, encoded_payload, encoded_signature = raw.split(b".", 3)
    except ValueError:  # not ASCII, or not three
        raise JwsMalformed("not a JWS in compact form") from None
    if len(encoded_header) > MAX_HEADER_BYTES:
        raise TooLarge(f"JWS header over {MAX_HEADER_BYTES} bytes")
    # 2. The header, judged (steps 2 to 4).
    header = (_fresh_header if allow else _known_header)(encoded_header, typ, allow)
    # 3. Payload and signature in exact base64url (steps 5 and 6).
    try:
        payload = unb64u(encoded_payload)
        signature = unb64u(encoded_signature)
    except Base64Malformed as error:
        raise JwsMalformed(f"JWS: {error}") from None
    # 4. r || s, exactly 64 bytes (RFC 7518, 3.4).
    if len(signature) != SIGNATURE_BYTES:
        raise SignatureInvalid("ES256 signature is not 64 bytes")
    return Jws(header, payload, raw[: -len(encoded_signature) - 1], signature)


def _fresh_header(encoded: bytes, typ: str, allow: frozenset[str]) -> Mapping[str, Any]:
    # 1. One JSON object without repeated members.
    try:
        header = load_json_object(unb64u(encoded))
    except (Base64Malformed, JsonMalformed) as error:
        raise JwsMalformed(f"JWS header: {error}") from None
    # 2. ES256 and nothing else (RFC 8725, 3.1).
    if header.get("alg") != "ES256":
        raise AlgorithmRefused("JWS algorithm is not ES256")
    # 3. Explicit typing: a token of one kind is never read as another (RFC 8725, 3.11).
    if header.get("typ") != typ:
        raise TypMismatch(f"JWS typ is not {typ}")
    # 4. No key, no address and no extension out of the header (RFC 8725, 3.10; RFC 7515, 4.1.11).
    if not _REFUSED.isdisjoint(header.keys() - allow):
        raise JwsMalformed("JWS header has a parameter that is not accepted")
    # 5. ``kid`` is read by nobody; it still has to be a string (RFC 7515, 4.1.4).
    if not isinstance(header.get("kid", ""), str):
        raise JwsMalformed("JWS kid is not a string")
    return MappingProxyType(header)


# A signer's header, certificates and all, is the same on everything it signs. Only headers that were
# accepted are remembered; whether their chain is trusted is asked each time.
_known_header = lru_cache(maxsize=256)(_fresh_header)


@lru_cache(maxsize=256)
def _signer_header(typ: str, chain: tuple[bytes, ...] | None) -> str:
    """The encoded header of one signer, or of all that have no chain: the same for every token of a batch."""
    x5c = {} if chain is None else {"x5c": encode_x5c(chain)}
    return b64u(dump_json({"alg": "ES256", "typ": typ, **x5c}))


def encode_x5c(chain: tuple[bytes, ...]) -> list[str]:
    """DER certificates, leaf first, as the header parameter ``x5c`` (standard base64)."""
    return [binascii.b2a_base64(der, newline=False).decode("ascii") for der in chain]


def sign_compact(
    payload: Mapping[str, Any] | bytes,
    *,
    typ: str,
    sign: Sign | Signer,
    header: Mapping[str, Any] | None = None,
) -> str:
    """A compact JWS. Header: alg, typ, then ``header``, then ``x5c`` if ``sign`` is a :class:`Signer`."""
    chain = None
    if isinstance(sign, Signer):
        chain, sign = sign.chain, sign.sign
    if header:
        x5c = {} if chain is None else {"x5c": encode_x5c(chain)}
        encoded = b64u(dump_json({"alg": "ES256", "typ": typ, **header, **x5c}))
    else:
        encoded = _signer_header(typ, chain)
    body = payload if isinstance(payload, bytes) else dump_json(payload)
    signing_input = f"{encoded}.{b64u(body)}"
    return f"{signing_input}.{b64u(sign(signing_input.encode('ascii')))}"


def encrypt_jwe(
    plaintext: bytes,
    *,
    recipient_jwk: Mapping[str, Any],
    enc: str,
    kid: str | None = None,
    apu: bytes | None = None,
    apv: bytes | None = None,
) -> str:
    """A compact JWE to ``recipient_jwk``: ECDH-ES directly, ``enc`` is A128GCM or A256GCM (RFC 7518, 4.6).

    ``kid`` is that of the key unless given. Raises :class:`KeyMalformed`, :class:`JweMalformed`.
    """
    if enc not in _JWE_ENC:
        raise JweMalformed("JWE content encryption is not accepted")
    recipient = PublicKey.from_jwk(recipient_jwk)
    kid = recipient_jwk.get("kid") if kid is None else kid
    header: dict[str, str] = {"alg": "ECDH-ES", "enc": enc}
    if kid is not None:
        header["kid"] = kid
    if apu is not None:
        header["apu"] = b64u(apu)
    if apv is not None:
        header["apv"] = b64u(apv)
    # The ephemeral key and the initialization vector are jwcrypto's own randomness (the operating system's):
    # it has no way to be handed ours, so this is the one function of the kernel that is not deterministic.
    token: Any = JWE(plaintext, dump_json(header).decode("utf-8"), algs=["ECDH-ES", enc])
    token.add_recipient(JWK(**recipient.jwk()))
    return str(token.serialize(compact=True))


def decrypt_jwe(
    token: str,
    *,
    private_key: ec.EllipticCurvePrivateKey,
    kid: str | None = None,
    apu: bytes | None = None,
    apv: bytes | None = None,
    max_bytes: int = MAX_TOKEN_BYTES,
) -> bytes:
    """The plaintext of a compact JWE. ``kid``, ``apu`` and ``apv``, where given, must stand in its header.

    Raises :class:`TooLarge`; :class:`JweMalformed` for everything else.
    """
    # 1. Five parts, none of them large; direct key agreement has no encrypted key (RFC 7516, 5.2).
    if len(token) > max_bytes:
        raise TooLarge(f"JWE over {max_bytes} bytes")
    parts = token.split(".", 5)
    if len(parts) != 5 or parts[1]:
        raise JweMalformed("not a JWE in compact form with direct key agreement")
    encoded_header, _, iv, ciphertext, tag = parts
    if len(encoded_header) > MAX_HEADER_BYTES:
        raise TooLarge(f"JWE header over {MAX_HEADER_BYTES} bytes")
    try:
        header = load_json_object(unb64u(encoded_header))
        # 2. Exact base64url, an IV of 96 bits, a tag of 128 (RFC 7518, 5.3).
        if len(unb64u(iv)) != 12 or len(unb64u(tag)) != 16:
            raise JweMalformed("JWE initialization vector or tag of the wrong length")
        unb64u(ciphertext)
        # 3. Only parameters that are understood: no compression, no key, no address, no extension.
        if not header.keys() <= _JWE_HEADER:
            raise JweMalformed("JWE header has a parameter that is not accepted")
        if header.get("alg") != "ECDH-ES" or header.get("enc") not in _JWE_ENC:
            raise JweMalformed("JWE algorithm is not accepted")
        # 4. The ephemeral key lies on our curve: no invalid-curve attack (RFC 8725, 3.4).
        PublicKey.from_jwk(header.get("epk"))
        # 5. Party information binds the key derivation to the transaction; it must be what is expected.
        for name, expected in (("apu", apu), ("apv", apv)):
            value = header.get(name)
            if (value is not None or expected is not None) and not _party(value, expected):
                raise JweMalformed(f"JWE {name} is not what was expected")
        # 6. Encrypted to the key it says.
        if not isinstance(header.get("kid", ""), str) or (kid is not None and header.get("kid") != kid):
            raise JweMalformed("JWE kid is not what was expected")
    except (Base64Malformed, JsonMalformed, KeyMalformed) as error:
        raise JweMalformed(f"JWE: {error}") from None
    # 7. Derive and decrypt.
    try:
        opened: Any = JWE(algs=["ECDH-ES", header["enc"]])
        opened.deserialize(token, _private_jwk(private_key))
        return bytes(opened.payload)
    except (JWException, ValueError, TypeError):
        raise JweMalformed("JWE does not decrypt") from None


def _party(value: object, expected: bytes | None) -> bool:
    if not isinstance(value, str):
        return False
    data = unb64u(value)
    return expected is None or data == expected


def _private_jwk(key: ec.EllipticCurvePrivateKey) -> Any:
    public = PublicKey.of(key.public_key()).jwk()
    return JWK(**public, d=b64u(key.private_numbers().private_value.to_bytes(32, "big")))
