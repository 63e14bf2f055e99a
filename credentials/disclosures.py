"""Disclosures and the digests that stand for them (RFC 9901): unfolding an SD-JWT payload, in every form.

Flat, structured, recursive, in arrays, with decoys; each rule of section 7.1, steps 3 to 5, is checked while
walking down from the root once.
"""

# What JSON holds is known only after it is looked at: pyright calls that unknown.
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false, reportUnknownMemberType=false

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from .encoding import b64u, load_json, unb64u
from .errors import (
    Base64Malformed,
    ClaimCollision,
    ClaimNameForbidden,
    DigestAlgorithmRefused,
    DigestMismatch,
    DigestRepeated,
    DisclosureMalformed,
    JsonMalformed,
    SdJwtMalformed,
    TooLarge,
)

Place: TypeAlias = "tuple[str | int, ...]"
"""Where something stands in the processed claims: member names and array positions from the root."""

MAX_DIGESTS: Final = 2_048
MAX_NESTING: Final = 16
SALT_CHARACTERS: Final = 22  # 128 bits in base64url

_NESTED: Final = (dict, list)
_RESERVED: Final = frozenset({"_sd", "...", "_sd_alg"})


def digest_of(text: bytes) -> str:
    """SHA-256 in base64url, over the text as it stands on the wire (RFC 9901, 4.2.3)."""
    return b64u(hashlib.sha256(text).digest())


def process_payload(payload: Mapping[str, Any], disclosures: Sequence[str]) -> dict[str, Any]:
    """The processed SD-JWT payload: ``payload`` with ``disclosures`` in place (RFC 9901, 7.1 steps 3-5)."""
    # What is not ASCII becomes "?", which is not base64url: refused like everything else that is not.
    return unfold(payload, [disclosure.encode("ascii", "replace") for disclosure in disclosures]).claims


@dataclass(frozen=True, slots=True)
class Unfolding:
    """The processed claims; ``places[i]`` is where disclosure ``i`` stands in them."""

    claims: dict[str, Any]
    places: dict[int, Place]
    short_salt: bool


def is_flat(payload: Mapping[str, Any], text: bytes) -> bool:
    """Whether ``text``, which reads as ``payload``, shows that no digest stands below its top level.

    Then what is below need not be walked. Every reserved name in the text must be one of the top level's
    own; a string that merely looks like one, or any escape, makes the answer no.
    """
    return (
        text.count(b'"_sd"') == ("_sd" in payload)
        and text.count(b'"_sd_alg"') == ("_sd_alg" in payload)
        and b'"..."' not in text
        and b"\\" not in text
    )


def unfold(payload: Mapping[str, Any], disclosures: Sequence[bytes], *, flat: bool = False) -> Unfolding:
    """Put ``disclosures`` in their places (RFC 9901, 7.1 steps 3 to 5); ``flat`` is :func:`is_flat`."""
    # a. sha-256, which is also the default (RFC 9901, 4.1.1, 7.1 step 2.d).
    if payload.get("_sd_alg", "sha-256") != "sha-256":
        raise DigestAlgorithmRefused("the digest algorithm is not sha-256")
    # b. Each disclosure by its digest, over the text as it came (4.2.3, 7.1 step 3.a).
    contents = [_contents(disclosure) for disclosure in disclosures]
    waiting = dict(zip(map(digest_of, disclosures), enumerate(contents), strict=True))
    if len(waiting) != len(disclosures):
        raise DigestRepeated("a disclosure is there twice")
    # c. From the root down, whatever disclosures bring to light included (steps 3.b to 3.e, 4).
    short_salt = any(len(content[0]) < SALT_CHARACTERS for content in contents)
    walk = _Walk(waiting)
    claims = walk.read_object(payload, (), flat=flat)
    # d. No disclosure that nothing refers to (step 5).
    if waiting:
        raise DigestMismatch("a disclosure is not in the credential")
    return Unfolding(claims, walk.places, short_salt)


class _Walk:
    """Puts disclosures where their digests stand; ``waiting`` is emptied as they are used."""

    __slots__ = ("places", "seen", "waiting")

    def __init__(self, waiting: dict[str, tuple[int, list[Any]]]) -> None:
        self.waiting = waiting
        self.seen: set[str] = set()
        self.places: dict[int, Place] = {}

    def read(self, value: Any, place: Place) -> Any:
        if isinstance(value, dict):
            return self.read_object(value, place)
        return self.read_array(value, place) if isinstance(value, list) else value

    def read_object(self, node: Mapping[str, Any], place: Place, *, flat: bool = False) -> dict[str, Any]:
        if len(place) > MAX_NESTING:
            raise SdJwtMalformed(f"claims nest deeper than {MAX_NESTING}")
        if "..." in node:
            raise SdJwtMalformed("a digest of an array element stands outside an array")
        if place and "_sd_alg" in node:
            raise DigestAlgorithmRefused("_sd_alg stands below the top level")
        claims: dict[str, Any] = {
            name: value if flat or not isinstance(value, _NESTED) else self.read(value, (*place, name))
            for name, value in node.items()
            if name not in _RESERVED
        }
        if "_sd" not in node:
            return claims
        digests = node["_sd"]
        if not isinstance(digests, list):
            raise SdJwtMalformed("_sd is not an array")
        self.count(digests)
        waiting, places = self.waiting, self.places
        for digest in digests:
            # No disclosure: a decoy, or a claim withheld (step 3.c.i).
            if (found := waiting.pop(digest, None)) is None:
                continue
            index, contents = found
            if len(contents) != 3:
                raise DisclosureMalformed("a disclosure for an array stands in an object")
            _, name, value = contents
            if name in _RESERVED:
                raise ClaimNameForbidden("a disclosure bears a reserved name")
            if name in claims:
                raise ClaimCollision("a disclosure bears the name of a claim that is there")
            places[index] = here = (*place, name)
            claims[name] = self.read(value, here) if isinstance(value, _NESTED) else value
        return claims

    def read_array(self, node: list[Any], place: Place) -> list[Any]:
        if len(place) > MAX_NESTING:
            raise SdJwtMalformed(f"claims nest deeper than {MAX_NESTING}")
        elements: list[Any] = []
        for element in node:
            if not (isinstance(element, dict) and "..." in element):
                elements.append(self.read(element, (*place, len(elements))))
                continue
            if len(element) != 1:
                raise SdJwtMalformed("a digest of an array element has other members beside it")
            digest = element["..."]
            self.count([digest])
            if (found := self.waiting.pop(digest, None)) is None:
                continue
            index, contents = found
            if len(contents) != 2:
                raise DisclosureMalformed("a disclosure for an object stands in an array")
            self.places[index] = (*place, len(elements))
            elements.append(self.read(contents[1], self.places[index]))
        return elements

    def count(self, digests: list[Any]) -> None:
        """Every digest is a string and occurs once in the whole credential (step 4)."""
        if not set(map(type, digests)) <= {str}:
            raise SdJwtMalformed("a digest is not a string")
        expected = len(self.seen) + len(digests)
        if expected > MAX_DIGESTS:
            raise TooLarge(f"more than {MAX_DIGESTS} digests")
        self.seen.update(digests)
        if len(self.seen) != expected:
            raise DigestRepeated("a digest is there twice")


def _contents(disclosure: bytes) -> list[Any]:
    """``[salt, name, value]`` or ``[salt, value]`` (RFC 9901, 4.2.1 and 4.2.2)."""
    try:
        contents = load_json(unb64u(disclosure))
    except (Base64Malformed, JsonMalformed) as error:
        raise DisclosureMalformed(f"disclosure: {error}") from None
    if not isinstance(contents, list) or len(contents) not in (2, 3):
        raise DisclosureMalformed("a disclosure is not an array of two or three elements")
    if not isinstance(contents[0], str):
        raise DisclosureMalformed("a salt is not a string")
    if len(contents) == 3 and not isinstance(contents[1], str):
        raise DisclosureMalformed("a claim name is not a string")
    return contents
