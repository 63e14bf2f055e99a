"""The mobile security object of an mdoc and the items it vouches for (ISO/IEC 18013-5:2021, 9.1.2).

An IssuerSignedItem is one element in an envelope of its own, ``#6.24(bstr {digestID, random,
elementIdentifier, elementValue})``; the MSO holds the SHA-256 of every envelope, tag included, under its
digestID. Here they are read and written; whether to believe them is decided in ``mdoc``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple

import cbor2

from .encoding import Cbor, b64u, load_cbor
from .errors import DigestAlgorithmRefused, KeyMalformed, MdocMalformed, StatusReferenceInvalid
from .keys import PublicKey
from .model import Seconds, StatusRef, Window

ENCODED_CBOR: Final = 24
TDATE: Final = 0
FULL_DATE: Final = 1004
MIN_RANDOM: Final = 16
DIGEST_BYTES: Final = 32
_MAX_DIGEST_ID: Final = (1 << 31) - 1
_MAX_DEPTH: Final = 8
_TDATE: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)
_FULL_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


@dataclass(frozen=True, slots=True)
class Mso:
    """A parsed MobileSecurityObject: only as trustworthy as the signature that was checked over its bytes."""

    doctype: str
    digests: Mapping[str, Mapping[int, bytes]]
    device_key: PublicKey
    signed: Seconds
    valid: Window
    status: StatusRef | None


class Item(NamedTuple):
    """One IssuerSignedItem; ``tagged`` is its original bytes, tag 24 included, over which the digest is."""

    digest_id: int
    element: str
    value: Cbor
    tagged: bytes


def members(
    value: Cbor, *, required: frozenset[str], optional: frozenset[str] | None = frozenset()
) -> Mapping[str, Cbor]:
    """A map with text keys: all of ``required``, and beyond ``optional`` (``None``: anything) no other."""
    if not isinstance(value, dict):
        raise MdocMalformed("mdoc structure is not a map")
    found: dict[Any, Cbor] = value  # pyright: ignore[reportUnknownVariableType]
    keys = found.keys()
    if keys == required:
        return found
    if not required <= keys:
        raise MdocMalformed(f"mdoc structure lacks {', '.join(sorted(required - keys))}")
    if not all(type(key) is str for key in keys) or (
        optional is not None and not keys <= required | optional
    ):
        raise MdocMalformed("mdoc structure has a member that it must not have")
    return found


def text(value: Cbor) -> str:
    """A text string that is not empty."""
    if type(value) is not str or not value:
        raise MdocMalformed("mdoc member is not text")
    return value


def embedded(value: Cbor) -> bytes:
    """The bytes inside ``#6.24(bstr)``."""
    if type(value) is not cbor2.CBORTag or value.tag != ENCODED_CBOR or type(value.value) is not bytes:
        raise MdocMalformed("mdoc structure is not embedded CBOR (tag 24)")
    return value.value


def head(major: int, size: int) -> bytes:
    """The head of a CBOR item: major type in the high three bits (0x40 bytes, 0x80 array), shortest form."""
    if size < 24:
        return bytes((major | size,))
    if size < 256:
        return bytes((major | 24, size))
    if size < 65536:
        return bytes((major | 25,)) + size.to_bytes(2, "big")
    return bytes((major | 26,)) + size.to_bytes(4, "big")


def tag24(data: bytes) -> bytes:
    """``#6.24(bstr)`` around ``data``, written out: the same bytes as were read, since reading was strict."""
    return b"\xd8\x18" + head(0x40, len(data)) + data


def read_tdate(value: Cbor) -> Seconds:
    """``#6.0("YYYY-MM-DDThh:mm:ssZ")``: UTC, no fraction, no leap second (ISO/IEC 18013-5, 9.1.2.4)."""
    if type(value) is not cbor2.CBORTag or value.tag != TDATE:
        raise MdocMalformed("mdoc time is not a tdate")
    inner = value.value
    if type(inner) is not str or not _TDATE.fullmatch(inner):
        raise MdocMalformed("mdoc time is not YYYY-MM-DDThh:mm:ssZ")
    try:
        return int(datetime.fromisoformat(inner).timestamp())
    except ValueError:
        raise MdocMalformed("mdoc time does not exist") from None


@lru_cache(maxsize=64)
def write_tdate(seconds: Seconds) -> cbor2.CBORTag:
    """The same few midnights for everybody, so they are remembered."""
    return cbor2.CBORTag(TDATE, datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))


def read_full_date(value: Cbor) -> str:
    """The text of a full-date (RFC 8943): ``YYYY-MM-DD``, a day that exists."""
    if type(value) is str and _FULL_DATE.fullmatch(value):
        try:
            date.fromisoformat(value)
        except ValueError:
            pass
        else:
            return value
    raise MdocMalformed("mdoc date is not YYYY-MM-DD")


def read_value(value: Cbor, *, depth: int = 0) -> object:
    """An elementValue as JSON has it: dates and times become their text, byte strings base64url.

    Refuses what no element of ISO/IEC 18013-5 needs: other tags (embedded CBOR among them), floating point,
    ``undefined``, simple values, maps with keys that are not text, nesting over 8.
    """
    if value is None or type(value) in (bool, int, str):
        return value
    if type(value) is bytes:
        return b64u(value)
    if type(value) is cbor2.CBORTag:
        if value.tag == FULL_DATE:
            return read_full_date(value.value)
        read_tdate(value)
        return value.value
    if depth == _MAX_DEPTH:
        raise MdocMalformed("mdoc element nests too deep")
    if isinstance(value, (list, tuple)):
        entries: tuple[Cbor, ...] = tuple(value)  # pyright: ignore[reportUnknownArgumentType,reportUnknownVariableType]
        return [read_value(entry, depth=depth + 1) for entry in entries]
    if isinstance(value, dict):
        found = members(value, required=frozenset(), optional=None)
        return {name: read_value(entry, depth=depth + 1) for name, entry in found.items()}
    raise MdocMalformed("mdoc element has a type that is not accepted")


_ITEM: Final = frozenset({"digestID", "random", "elementIdentifier", "elementValue"})


def read_item(value: Cbor) -> Item:
    """Read one ``#6.24(bstr .cbor IssuerSignedItem)``; its digest is not checked here."""
    data = embedded(value)
    if (plain := _read_plain_item(data)) is not None:
        return plain
    found = members(load_cbor(data), required=_ITEM)
    random = found["random"]
    if type(random) is not bytes or len(random) < MIN_RANDOM:
        raise MdocMalformed(f"mdoc item has a random of fewer than {MIN_RANDOM} bytes")
    digest_id = _digest_id(found["digestID"])
    return Item(digest_id, text(found["elementIdentifier"]), found["elementValue"], tag24(data))


_TRUE_OR_FALSE: Final = {b"lelementValue\xf5": True, b"lelementValue\xf4": False}


def _read_plain_item(data: bytes) -> Item | None:
    """The item that nearly all are, read in a third of the time: members in ISO's order, yes or no.

    Takes only what :func:`read_item` would read to the same item; ``None`` for anything else.
    """
    # a4 "digestID" uint8, "random" bytes (32), "elementIdentifier" text (up to 23), "elementValue" bool
    at = 11 if data[10:11] < b"\x18" else 12
    name = at + 60
    end = name + data[name - 1] - 0x60 if len(data) > name else 0
    answer = _TRUE_OR_FALSE.get(data[end:])
    if (
        answer is None
        or not name < end < name + 24
        or data[:10] != b"\xa4hdigestID"
        or data[at : at + 9] != b"frandom\x58\x20"
        or data[at + 41 : name - 1] != b"qelementIdentifier"
        or (at == 12 and (data[10] != 24 or data[11] < 24))
        or not (element := data[name:end]).isascii()
    ):
        return None
    return Item(data[at - 1], element.decode("ascii"), answer, tag24(data))


def _digest_id(value: Cbor) -> int:
    if type(value) is not int or not 0 <= value <= _MAX_DIGEST_ID:
        raise MdocMalformed("mdoc digestID is not an unsigned integer below 2^31")
    return value


_MSO: Final = frozenset(
    {"version", "digestAlgorithm", "valueDigests", "deviceKeyInfo", "docType", "validityInfo"}
)
_VALIDITY: Final = frozenset({"signed", "validFrom", "validUntil"})


def read_mso(payload: bytes) -> Mso:
    """Read ``#6.24(bstr .cbor MobileSecurityObject)``. Members it does not know are ignored, as ISO asks.

    Raises :class:`MdocMalformed`, :class:`DigestAlgorithmRefused`, :class:`KeyMalformed`,
    :class:`StatusReferenceInvalid`.
    """
    # 1. Version 1.0, digests by SHA-256 (ISO/IEC 18013-5, 9.1.2.4 and 9.1.2.5).
    mso = members(load_cbor(embedded(load_cbor(payload))), required=_MSO, optional=None)
    if mso["version"] != "1.0":
        raise MdocMalformed("mobile security object is not of version 1.0")
    if mso["digestAlgorithm"] != "SHA-256":
        raise DigestAlgorithmRefused("mobile security object uses another digest than SHA-256")
    # 2. Digests: namespace to digestID to 32 bytes.
    digests: dict[str, Mapping[int, bytes]] = {}
    for namespace, by_id in members(mso["valueDigests"], required=frozenset(), optional=None).items():
        if not isinstance(by_id, dict) or not by_id:
            raise MdocMalformed("mdoc valueDigests has an entry that is not a map of digests")
        entries: dict[Any, Cbor] = by_id  # pyright: ignore[reportUnknownVariableType]
        for digest_id, digest in entries.items():
            if type(digest_id) is not int or not 0 <= digest_id <= _MAX_DIGEST_ID:
                raise MdocMalformed("mdoc digestID is not an unsigned integer below 2^31")
            if type(digest) is not bytes or len(digest) != DIGEST_BYTES:
                raise MdocMalformed("mdoc digest is not 32 bytes")
        digests[namespace] = entries
    # 3. The device key.
    device_key = _read_device_key(mso["deviceKeyInfo"])
    # 4. signed ≤ validFrom < validUntil (ISO/IEC 18013-5, 9.1.2.4).
    validity = members(mso["validityInfo"], required=_VALIDITY, optional=None)
    signed = read_tdate(validity["signed"])
    valid = Window(read_tdate(validity["validFrom"]), read_tdate(validity["validUntil"]))
    if not signed <= valid.start < valid.end:
        raise MdocMalformed("mdoc validity is not signed ≤ validFrom < validUntil")
    return Mso(
        doctype=text(mso["docType"]),
        digests=digests,
        device_key=device_key,
        signed=signed,
        valid=valid,
        # 5. A status that cannot be read is not "no status" (Token Status List, 6.3).
        status=_read_status(mso["status"]) if "status" in mso else None,
    )


def _read_device_key(info: Cbor) -> PublicKey:
    key: Cbor = members(info, required=frozenset({"deviceKey"}), optional=None)["deviceKey"]
    # `true` and 1.0 equal the integer 1 in Python, not in COSE.
    if isinstance(key, dict) and any(type(part) in (bool, float) for pair in key.items() for part in pair):  # pyright: ignore[reportUnknownVariableType,reportUnknownArgumentType]
        raise KeyMalformed("mdoc deviceKey has a member of the wrong type")
    return PublicKey.from_cose(key)  # pyright: ignore[reportUnknownArgumentType]


_STATUS: Final = frozenset({"status_list"})
_STATUS_LIST: Final = frozenset({"idx", "uri"})


def _read_status(value: Cbor) -> StatusRef:
    """``{"status_list": {"idx": uint, "uri": tstr}}`` and no other mechanism that would then go unread."""
    try:
        entry = members(members(value, required=_STATUS)["status_list"], required=_STATUS_LIST)
        index, uri = entry["idx"], text(entry["uri"])
        if type(index) is int and index >= 0:
            return StatusRef(uri=uri, index=index)
    except MdocMalformed:
        pass
    raise StatusReferenceInvalid("mdoc status is present but cannot be read")
