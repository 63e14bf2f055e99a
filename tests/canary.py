"""Looks for values, in any encoding and under any usual hash, in whatever somebody could see.

search({"transcript": b"…"}, ["Bral"]) names where a value shows, or what anybody could compute from it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Final
from urllib.parse import quote, unquote_to_bytes

HASHES: Final = ("md5", "sha1", "sha224", "sha256", "sha384", "sha512", "sha3_256", "blake2b", "blake2s")
MIN_BYTES: Final = 5
"""Shorter values are found everywhere by chance."""
_DEEP: Final = 2
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/_-]{12,}")
_HEX: Final = re.compile(rb"(?:[0-9A-Fa-f]{2}){8,}")
_ZLIB: Final = re.compile(rb"\x78[\x01\x5e\x9c\xda]|\x1f\x8b\x08")


def spellings(value: str) -> Iterator[tuple[str, bytes]]:
    """What is looked for as it stands: the text in every usual encoding, and every usual hash of it."""
    raw = value.encode()
    for name, data in (
        ("plain", raw),
        ("reversed", raw[::-1]),
        ("UTF-16LE", value.encode("utf-16-le")),
        ("UTF-16BE", value.encode("utf-16-be")),
    ):
        yield name, data
        yield from ((f"{name}, {how}", written) for how, written in _written(data))
    yield "percent", "".join(f"%{byte:02X}" for byte in raw).encode()
    yield "percent, lower case", "".join(f"%{byte:02x}" for byte in raw).encode()
    yield "form", quote(value, safe="").encode()
    yield "JSON escaped", json.dumps(value)[1:-1].encode()
    yield "JSON escaped in full", "".join(f"\\u{ord(char):04x}" for char in value).encode()
    for algorithm in HASHES:
        digest = hashlib.new(algorithm, raw, usedforsecurity=False).digest()
        # Half a hash is as telling as all of it. In other encodings it shows when they are undone (layers).
        yield algorithm, digest[:16]
        yield f"{algorithm}, hex", digest[:16].hex().encode()
        yield f"{algorithm}, base64", base64.b64encode(digest[:15])
        yield f"{algorithm}, base64url", base64.urlsafe_b64encode(digest[:15])


def _written(data: bytes) -> Iterator[tuple[str, bytes]]:
    yield "hex", data.hex().encode()
    yield "HEX", data.hex().upper().encode()
    for offset in range(3):
        for how, encode in (("base64", base64.b64encode), ("base64url", base64.urlsafe_b64encode)):
            # Characters that also hold bits of a neighbour are cut off.
            text = encode(b"\0" * offset + data)
            start, end = -(-offset * 8 // 6), (offset + len(data)) * 8 // 6
            yield f"{how} at {offset}", text[start:end]
    for offset in range(5):
        text = base64.b32encode(b"\0" * offset + data)
        start, end = -(-offset * 8 // 5), (offset + len(data)) * 8 // 5
        yield f"base32 at {offset}", text[start:end]
        yield f"base32 at {offset}, lower case", text[start:end].lower()


def layers(data: bytes, depth: int = _DEEP) -> Iterator[tuple[str, bytes]]:
    """``data``, and what is packed inside it: base64, hexadecimal, percent, JSON escapes, deflated data."""
    yield "", data
    if depth == 0:
        return
    inner: dict[bytes, str] = {}
    for run in _BASE64.findall(data):
        # A JWT, a JWE and a token end where their alphabet ends; a run may start with something else.
        for offset in range(4) if len(run) < 64 else (0,):
            text = run[offset:].translate(bytes.maketrans(b"-_", b"+/"))
            inner.setdefault(base64.b64decode(text[: len(text) // 4 * 4] + _rest(text)), "base64")
    for run in _HEX.findall(data):
        inner.setdefault(bytes.fromhex(run.decode()), "hex")
    if b"%" in data:
        inner.setdefault(unquote_to_bytes(data.replace(b"+", b" ")), "percent")
    if b"\\u" in data:
        plain = re.sub(rb"\\u([0-9a-fA-F]{4})", lambda m: chr(int(m[1], 16)).encode("utf-8", "replace"), data)
        inner.setdefault(plain, "JSON")
    for found in _ZLIB.finditer(data):
        unpacked = _inflate(data[found.start() :])
        if len(unpacked) >= MIN_BYTES:
            inner.setdefault(unpacked, "deflate")
    for content, how in inner.items():
        if content != data:
            for path, deeper in layers(content, depth - 1):
                yield f"{how} {path}".strip(), deeper


def _rest(text: bytes) -> bytes:
    left = text[len(text) // 4 * 4 :]
    return left + b"=" * (4 - len(left)) if len(left) > 1 else b""


def _inflate(data: bytes) -> bytes:
    try:
        return zlib.decompressobj(47).decompress(data, 1 << 20)
    except zlib.error:
        return b""


def search(seen: Mapping[str, bytes], values: Iterable[str]) -> list[str]:
    """Where one of ``values`` shows, as "place: encoding of value number n". Never the value itself."""
    wanted: dict[bytes, str] = {}
    for number, value in enumerate(values):
        assert len(value.encode()) >= MIN_BYTES, "too short to be told from chance"
        for how, spelt in spellings(value):
            wanted.setdefault(spelt, f"{how} of value {number}")
    found: list[str] = []
    for place, data in seen.items():
        unpacked = [*layers(data)]
        everything = b"\0".join(content for _, content in unpacked)
        for spelt, how in wanted.items():
            if spelt in everything:
                path = next((path for path, content in unpacked if spelt in content), "across two layers")
                found.append(f"{place}: {path or 'as it is'}: {how}")
    return found
