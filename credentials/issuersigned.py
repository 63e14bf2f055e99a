"""IssuerSigned (ISO/IEC 18013-5:2021, 8.3.2.1.2.2): claim values to item bytes, and items read back.

Everything that decides how long an item is stands here, because lengths must tell a type and not a person.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final, cast

import cbor2

from .calendar import PartialDate
from .encoding import Cbor, dump_cbor
from .errors import DateMalformed, MdocMalformed, MintRefused
from .model import MAX_DIGESTS
from .mso import FULL_DATE, MIN_RANDOM, Item, head, members, read_item, tag24

if TYPE_CHECKING:
    from .catalog import ClaimType, CredentialType

MAX_ITEM: Final = 119
"""Bytes of a tagged item: what two SHA-256 blocks hold."""
MAX_RANDOM: Final = 32

_HEADS: Final = tuple(b"\xa4" + dump_cbor("digestID") + dump_cbor(number) for number in range(MAX_DIGESTS))
_FULL_DATE_HEAD: Final = dump_cbor(cbor2.CBORTag(FULL_DATE, 0))[:-1]
_NAME_SPACES_KEY: Final = dump_cbor("nameSpaces")
_AUTH_KEY: Final = dump_cbor("issuerAuth")
_AUTH: Final = frozenset({"issuerAuth"})
_NAME_SPACES: Final = frozenset({"nameSpaces"})


@dataclass(frozen=True, slots=True)
class Layout:
    """What all items of a type share: the length of a random, and by claim the bytes before the value."""

    claims: tuple[ClaimType, ...]
    random_bytes: int
    random_head: bytes
    names: tuple[bytes, ...]

    def item(self, index: int, *, digest_id: int, random: bytes, value: object) -> bytes:
        """The tagged item of the claim at ``index``, members in the order of ISO/IEC 18013-5, 9.1.2.5.

        ``random`` is cut to the length of the type. Raises :class:`MintRefused`.
        """
        claim = self.claims[index]
        random = random[: self.random_bytes]
        written = element(claim, value)
        tagged = tag24(b"".join((_HEADS[digest_id], self.random_head, random, self.names[index], written)))
        if len(tagged) > MAX_ITEM:
            raise MintRefused(f"{claim.name} is too long for an mdoc item of {MAX_ITEM} bytes")
        return tagged


@lru_cache(maxsize=256)
def layout(kind: CredentialType) -> Layout:
    size = _random_bytes(kind)
    return Layout(
        claims=kind.claims,
        random_bytes=size,
        random_head=dump_cbor("random") + dump_cbor(bytes(size))[:-size],
        names=tuple(
            dump_cbor("elementIdentifier") + dump_cbor(claim.element) + dump_cbor("elementValue")
            for claim in kind.claims
        ),
    )


def _random_bytes(kind: CredentialType) -> int:
    """How long every random of the type is: as long as its longest possible item allows, 16 to 32 bytes.

    Text without a bound has no longest value, so a type with one leaves it all the room there is.
    """
    elements = {claim.element for claim in kind.claims}
    if len(elements) != len(kind.claims) or len(elements) > MAX_DIGESTS:
        raise MintRefused(f"{kind.name} repeats an element name, or has more than {MAX_DIGESTS}")
    longest = 0
    for claim in kind.claims:
        if claim.kind == "boolean":
            value = 1
        elif claim.kind == "date":
            value = 14
        elif claim.enum and claim.kind != "strings":
            value = max(len(dump_cbor(choice)) for choice in claim.enum)
        elif claim.kind == "integer":
            value = 9
        elif claim.max_bytes is not None and claim.kind == "string":
            value = len(dump_cbor("x" * claim.max_bytes))
        else:
            return MIN_RANDOM
        longest = max(longest, len(dump_cbor(claim.element)) + value)
    # Tag and length, map, member names, digestID in two bytes, length of the random in two.
    envelope = 4 + 1 + 9 + 7 + 18 + 13 + 2 + 2
    return max(MIN_RANDOM, min(MAX_RANDOM, MAX_ITEM - envelope - longest))


def element(claim: ClaimType, value: object) -> bytes:
    """A claim value as elementValue, written out, if it is what the catalogue allows for the claim."""
    if claim.kind == "boolean" and isinstance(value, bool):
        return b"\xf5" if value else b"\xf4"
    allowed = claim.enum
    match claim.kind, value:
        case "integer", int() if not isinstance(value, bool) and -(1 << 63) <= value < 1 << 63:
            if not allowed or value in allowed:
                return dump_cbor(value)
        case "string", str():
            if not allowed or value in allowed:
                written = _text(value)
                if (
                    claim.max_bytes is None
                    or len(written) <= len(head(0x60, claim.max_bytes)) + claim.max_bytes
                ):
                    return written
        case "date", str():
            with suppress(DateMalformed):
                # Less than a whole day is no full-date (RFC 8943), so it goes as plain text: YYYY or YYYY-MM.
                known = PartialDate.parse(value)
                return (_FULL_DATE_HEAD if known.precision == "day" else b"") + _text(value)
        case "strings", tuple():
            entries = cast("tuple[object, ...]", value)
            few = claim.max_items is None or len(entries) <= claim.max_items
            if few and all(isinstance(entry, str) and (not allowed or entry in allowed) for entry in entries):
                return head(0x80, len(entries)) + b"".join(map(_text, cast("tuple[str, ...]", entries)))
        case _:
            pass
    raise MintRefused(f"{claim.name} is not what the catalogue allows")


def _text(value: str) -> bytes:
    try:
        data = value.encode()
    except UnicodeEncodeError:
        raise MintRefused("a claim holds half a character") from None
    return head(0x60, len(data)) + data


def write_issuer_signed(items: Mapping[str, Sequence[bytes]], auth: bytes) -> bytes:
    """IssuerSigned, of items and issuerAuth that are written out already; empty namespaces are left out."""
    namespaces = [
        b"".join((dump_cbor(namespace), head(0x80, len(entries)), *entries))
        for namespace, entries in items.items()
        if entries
    ]
    if not namespaces:
        return head(0xA0, 1) + _AUTH_KEY + auth
    return b"".join(
        (head(0xA0, 2), _NAME_SPACES_KEY, head(0xA0, len(namespaces)), *namespaces, _AUTH_KEY, auth)
    )


def read_issuer_signed(value: Cbor) -> tuple[dict[str, tuple[Item, ...]], Cbor]:
    """IssuerSigned to its items by namespace, and issuerAuth as it stands."""
    issuer_signed = members(value, required=_AUTH, optional=_NAME_SPACES)
    namespaces: dict[str, tuple[Item, ...]] = {}
    if "nameSpaces" in issuer_signed:
        for namespace, entries in members(
            issuer_signed["nameSpaces"], required=frozenset(), optional=None
        ).items():
            if not isinstance(entries, list) or not entries:
                raise MdocMalformed("mdoc namespace is not an array of items")
            namespaces[namespace] = tuple(map(read_item, entries))  # pyright: ignore[reportUnknownArgumentType]
    return namespaces, issuer_signed["issuerAuth"]
