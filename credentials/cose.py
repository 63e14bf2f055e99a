"""COSE_Sign1 (RFC 9052 section 4.2) with ES256 alone: parse, sign and verify.

The algorithm stands in the protected header and is -7 (ES256); no other place and no other number is read.
Certificates travel as ``x5chain`` (RFC 9360): ISO/IEC 18013-5 puts them in the unprotected header, a status
list token in the protected one, and the caller says which.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import cbor2

from .encoding import Cbor, dump_cbor, load_cbor
from .errors import AlgorithmRefused, ChainInvalid, CoseMalformed
from .keys import PublicKey, Sign

ALG: Final = 1
CRIT: Final = 2
X5CHAIN: Final = 33
ES256: Final = -7
TAG: Final = 18
MAX_CHAIN: Final = 4

_ES256_ONLY: Final = dump_cbor({ALG: ES256})
_ES256_HEADER: Final[Mapping[int | str, Cbor]] = {ALG: ES256}


@dataclass(frozen=True, slots=True)
class Sign1:
    """A parsed COSE_Sign1 whose signature has **not** been checked; ``payload`` is untrusted until it is."""

    protected_bytes: bytes
    protected: Mapping[int | str, Cbor]
    unprotected: Mapping[int | str, Cbor]
    payload: bytes
    signature: bytes

    def verify(self, key: PublicKey) -> bytes:
        """The payload, once the signature over it verifies; raises :class:`SignatureInvalid`."""
        key.verify(self.signature, _to_be_signed(self.protected_bytes, self.payload))
        return self.payload

    def chain(self, *, protected: bool) -> tuple[bytes, ...]:
        """``x5chain`` as DER certificates, leaf first, from the one header where it is expected.

        One to four certificates; a single one is a byte string and not an array of one (RFC 9360 section 2).
        Raises :class:`ChainInvalid`.
        """
        found = (self.protected if protected else self.unprotected).get(X5CHAIN)
        if isinstance(found, bytes):
            return (found,)
        if not isinstance(found, (list, tuple)):
            raise ChainInvalid(f"no x5chain in the {'protected' if protected else 'unprotected'} header")
        certificates: tuple[Any, ...] = tuple(found)  # pyright: ignore[reportUnknownArgumentType,reportUnknownVariableType]
        if not 2 <= len(certificates) <= MAX_CHAIN:
            raise ChainInvalid(f"x5chain is not of 1 to {MAX_CHAIN} certificates")
        if not all(isinstance(certificate, bytes) for certificate in certificates):
            raise ChainInvalid("x5chain holds something that is not a byte string")
        return certificates


def _to_be_signed(protected: bytes, payload: bytes) -> bytes:
    """Sig_structure (RFC 9052 section 4.4), external_aad empty."""
    return dump_cbor(["Signature1", protected, b"", payload])


def _header(value: Cbor) -> Mapping[int | str, Cbor]:
    """A header map; labels are integers or text, and ``true`` or ``1.0`` is not the label 1."""
    if not isinstance(value, Mapping):
        raise CoseMalformed("COSE header is not a map")
    header: Mapping[Any, Cbor] = value  # pyright: ignore[reportUnknownVariableType]
    for label in header:
        if type(label) is not int and type(label) is not str:
            raise CoseMalformed("COSE header label is neither integer nor text")
    return header


def parse_sign1(item: Cbor, *, tagged: bool, detached: bytes | None) -> Sign1:
    """Read a COSE_Sign1 from a CBOR item, as ``load_cbor`` gives it, without checking its signature.

    ``tagged``: whether tag 18 must be there; else it must not be. ``detached``: the payload, where it
    does not travel inside (then nil must stand in its place), or ``None`` where it does.
    Raises :class:`CoseMalformed`, :class:`AlgorithmRefused`, :class:`CborMalformed`.
    """
    # 1. The tag is there exactly where the enclosing format says so (RFC 9052, 2).
    if isinstance(item, cbor2.CBORTag) is not tagged or (tagged and item.tag != TAG):
        raise CoseMalformed(f"COSE_Sign1 is {'not ' if tagged else ''}tagged")
    array: Cbor = item.value if tagged else item
    # 2. [protected, unprotected, payload, signature] (RFC 9052, 4.2).
    if not isinstance(array, (list, tuple)) or len(array) != 4:  # pyright: ignore[reportUnknownArgumentType]
        raise CoseMalformed("COSE_Sign1 is not an array of four")
    parts: tuple[Any, ...] = tuple(array)  # pyright: ignore[reportUnknownArgumentType,reportUnknownVariableType]
    protected_bytes, unprotected_map, payload, signature = parts
    if not isinstance(protected_bytes, bytes) or not isinstance(signature, bytes):
        raise CoseMalformed("COSE_Sign1 protected header or signature is not a byte string")
    # 3. The payload is where the caller expects it (RFC 9052, 2: "nil" if detached).
    if detached is not None:
        if payload is not None:
            raise CoseMalformed("COSE_Sign1 carries a payload where it must be detached")
        payload = detached
    elif not isinstance(payload, bytes):
        raise CoseMalformed("COSE_Sign1 payload is not a byte string")
    # 4. Both headers are maps; the protected one of no entries is h'' (RFC 9052, 3).
    if protected_bytes == _ES256_ONLY:
        protected = _ES256_HEADER
    elif not protected_bytes:
        protected = {}
    else:
        protected = _header(load_cbor(protected_bytes))
    unprotected = _header(unprotected_map)
    # 5. The algorithm is protected, and ES256 (RFC 9053, 2.1).
    algorithm = protected.get(ALG)
    if ALG in unprotected or type(algorithm) is not int or algorithm != ES256:
        raise AlgorithmRefused("COSE algorithm is not ES256 in the protected header")
    # 6. No label occurs in both headers, and nothing critical is understood (RFC 9052, 3 and 3.1).
    if not protected.keys().isdisjoint(unprotected.keys()):
        raise CoseMalformed("COSE header label in both headers")
    if CRIT in protected or CRIT in unprotected:
        raise CoseMalformed("COSE header has critical labels")
    return Sign1(protected_bytes, protected, unprotected, payload, signature)


def sign1(
    payload: bytes,
    *,
    sign: Sign,
    protected: Mapping[int | str, Cbor],
    unprotected: Mapping[int | str, Cbor],
    detached: bool,
    tagged: bool,
) -> Cbor:
    """A COSE_Sign1 as a CBOR item, to be embedded or written; ``protected`` is what joins the algorithm."""
    protected_bytes = dump_cbor({ALG: ES256, **protected}) if protected else _ES256_ONLY
    array = [
        protected_bytes,
        dict(unprotected),
        None if detached else payload,
        sign(_to_be_signed(protected_bytes, payload)),
    ]
    return cbor2.CBORTag(TAG, array) if tagged else array


def chain_header(chain: tuple[bytes, ...]) -> dict[int | str, Cbor]:
    """``x5chain`` for :func:`sign1`: a byte string for one certificate, an array for more."""
    return {X5CHAIN: chain[0] if len(chain) == 1 else list(chain)}
