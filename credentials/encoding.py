"""Strict readers and writers: base64url, JSON, CBOR.

Everything untrusted passes through here once. Two byte strings that differ never read as the same value by
way of leniency: no padding, no second alphabet, no duplicate member, no trailing byte, no longer-than-needed
integer. Sources: RFC 4648 section 5, RFC 8259, RFC 8949 section 4.2.1.
"""

from __future__ import annotations

import binascii
import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeAlias

import cbor2

from .errors import Base64Malformed, CborMalformed, JsonMalformed, TooLarge

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
"""A JSON value, as read."""

Cbor: TypeAlias = Any
"""A CBOR item, as read: tags stay ``cbor2.CBORTag``."""

MAX_BYTES: Final = 1 << 20
MAX_DEPTH: Final = 16

_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")
_STANDARD: Final = bytes.maketrans(b"-_+/=", b"+/???")
_PADDING: Final = (b"", b"===", b"==", b"=")
_LAST: Final = (b"", b"", b"AQgw", b"AEIMQUYcgkosw048")


def b64u(data: bytes) -> str:
    """Base64url without padding."""
    return binascii.b2a_base64(data, newline=False).translate(_URL_SAFE, b"=").decode("ascii")


def unb64u(text: str | bytes) -> bytes:
    """Read base64url without padding; refuse other alphabets, white space and non-zero trailing bits."""
    try:
        raw = text.encode("ascii") if isinstance(text, str) else text
        left = len(raw) % 4
        data = binascii.a2b_base64(raw.translate(_STANDARD) + _PADDING[left], strict_mode=True)
    except (binascii.Error, UnicodeEncodeError):
        raise Base64Malformed("not base64url without padding") from None
    # The last character may carry two or four bits that decode to nothing: they must be zero (RFC 4648, 3.5).
    if left and raw[-1] not in _LAST[left]:
        raise Base64Malformed("base64url with non-zero trailing bits")
    return data


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise JsonMalformed("duplicate member name")
    return members


def _refuse_constant(name: str) -> Any:
    raise JsonMalformed("NaN and Infinity are not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if number - number != 0.0:
        raise JsonMalformed("number out of range")
    return number


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_float=_finite
)

_OPENING: Final = ("[", "{")


def _deeper_than(value: Any, limit: int) -> bool:
    """Whether arrays and objects nest deeper than ``limit``; walks level by level, so it cannot overflow."""
    level: list[Any] = [value]
    for _ in range(limit):
        level = [
            child
            for item in level
            for child in (item.values() if isinstance(item, dict) else item if isinstance(item, list) else ())  # pyright: ignore[reportUnknownVariableType]
        ]
    return any(isinstance(item, (dict, list)) for item in level)


def load_json(data: bytes | str, *, max_bytes: int = MAX_BYTES) -> Any:
    """Read one JSON text: UTF-8 without BOM, unique member names, finite numbers, depth at most 16.

    Raises :class:`JsonMalformed` or :class:`TooLarge`.
    """
    if len(data) > max_bytes:
        raise TooLarge(f"JSON text over {max_bytes} bytes")
    try:
        text = data if isinstance(data, str) else data.decode("utf-8")
        value: Any
        # The quick way has no room for white space around the value: then the other one reads it.
        value, end = _DECODER.raw_decode(text) if text[:1] in _OPENING else (None, -1)
        if end != len(text):
            value = _DECODER.decode(text)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode("utf-8")  # a lone surrogate fails here
        elif isinstance(data, str):
            text.encode("utf-8")
    except (ValueError, RecursionError):
        raise JsonMalformed("not a JSON text") from None
    if text.count("[") + text.count("{") > MAX_DEPTH and _deeper_than(value, MAX_DEPTH):
        raise JsonMalformed(f"nested deeper than {MAX_DEPTH}")
    return value


def load_json_object(data: bytes | str, *, max_bytes: int = MAX_BYTES) -> dict[str, Any]:
    """As :func:`load_json`, and the value must be an object."""
    value = load_json(data, max_bytes=max_bytes)
    if not isinstance(value, dict):
        raise JsonMalformed("not a JSON object")
    return value  # pyright: ignore[reportUnknownVariableType]


_ENCODE: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def dump_json(value: Any) -> bytes:
    """Compact UTF-8 JSON, members in the order given."""
    return _ENCODE(value).encode("utf-8")


def canonical_json(value: Any) -> bytes:
    """Compact UTF-8 JSON with sorted member names, for hashing (integers, strings, booleans only)."""
    return json.dumps(
        value, ensure_ascii=False, separators=(",", ":"), sort_keys=True, allow_nan=False
    ).encode("utf-8")


def _keep_tag(tag: int, value: Any, *_: Any) -> cbor2.CBORTag:
    return cbor2.CBORTag(tag, value)


# Every tag that cbor2 would turn into a date, a big number, a regular expression, a shared reference …
# stays a tag: what a tag means is decided by the format that expects it.
_INERT_TAGS: Final = {
    tag: partial(_keep_tag, tag)
    for tag in (
        *range(6), 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004, 43000, 55799,
    )
}  # fmt: skip


_NAN: Final = b"\xf9\x7e\x00"


def load_cbor(data: bytes, *, max_bytes: int = MAX_BYTES) -> Cbor:
    """Read one CBOR item, consumed to the last byte, in preferred serialization (RFC 8949, 4.1).

    Refuses indefinite lengths, duplicate keys, longer-than-needed integers and lengths, nesting over 16, NaN
    (as a key it would equal nothing), and floating point in half or single precision (one number, one form).
    Map order is kept and not judged. Raises :class:`CborMalformed` or :class:`TooLarge`.
    """
    if len(data) > max_bytes:
        raise TooLarge(f"CBOR item over {max_bytes} bytes")
    try:
        value = cbor2.loads(
            data,
            semantic_decoders=_INERT_TAGS,
            max_depth=MAX_DEPTH,
            allow_indefinite=False,
            allow_duplicate_keys=False,
        )
        again = cbor2.dumps(value)
    except (cbor2.CBORError, ValueError, TypeError, OverflowError, RecursionError, MemoryError):
        raise CborMalformed("not well-formed, strict CBOR") from None
    # Writing it again must give the same bytes: that is what finds trailing bytes and long integers.
    if again != data:
        raise CborMalformed("CBOR is not in its shortest form, or bytes follow it")
    # Written again, every NaN is these three bytes; in a digest they mean nothing, so look closer.
    if _NAN in data and _holds_nan(value):
        raise CborMalformed("NaN is not accepted in CBOR")
    return value


def _holds_nan(value: Cbor) -> bool:
    if isinstance(value, cbor2.CBORTag):
        return _holds_nan(value.value)
    if isinstance(value, Mapping):
        return any(_holds_nan(key) or _holds_nan(entry) for key, entry in value.items())  # pyright: ignore[reportUnknownArgumentType,reportUnknownVariableType]
    if isinstance(value, (list, tuple)):
        return any(map(_holds_nan, value))  # pyright: ignore[reportUnknownArgumentType]
    return isinstance(value, float) and value != value


def dump_cbor(value: Cbor) -> bytes:
    """CBOR with definite lengths and shortest integers, map members in the order given."""
    return cbor2.dumps(value)
