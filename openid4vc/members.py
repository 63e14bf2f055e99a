"""Members of a JSON object that somebody else wrote, read one by one with their types.

A message of these protocols is a JSON object. Unknown members are ignored (all three specifications say so),
known ones must have the right type and a sane size. Refusals name the member, never its value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeVar, cast

from credentials.errors import BauhiniaError

MAX_TEXT: Final = 8192
MAX_ITEMS: Final = 100

_Word = TypeVar("_Word", bound=str)


class Members:
    """One JSON object under reading; ``where`` names it in refusals, ``refusal`` is the error to raise."""

    __slots__ = ("_members", "_refusal", "_where")

    def __init__(self, value: object, *, refusal: type[BauhiniaError], where: str) -> None:
        self._refusal = refusal
        self._where = where
        if not isinstance(value, dict):
            raise refusal(f"{where} is not an object")
        self._members = cast("dict[str, Any]", value)

    def refuse(self, name: str, what: str) -> BauhiniaError:
        return self._refusal(f"{self._where}: {name} {what}")

    def has(self, name: str) -> bool:
        return name in self._members

    def names(self) -> tuple[str, ...]:
        return tuple(self._members)

    def raw(self, name: str) -> object:
        """The member as it stands, to be judged by the caller."""
        if name not in self._members:
            raise self.refuse(name, "is missing")
        return self._members[name]

    def forbid(self, *names: str) -> None:
        for name in names:
            if name in self._members:
                raise self.refuse(name, "is not allowed here")

    def text(self, name: str, *, limit: int = MAX_TEXT) -> str:
        return self._text(self.raw(name), name, limit)

    def optional_text(self, name: str, *, limit: int = MAX_TEXT) -> str | None:
        return self.text(name, limit=limit) if name in self._members else None

    def choice(self, name: str, words: tuple[_Word, ...]) -> _Word:
        """One of ``words``."""
        text = self.text(name)
        for word in words:
            if text == word:
                return word
        raise self.refuse(name, f"is not one of {', '.join(words)}")

    def integer(self, name: str, *, least: int, most: int) -> int:
        value = self.raw(name)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise self.refuse(name, f"is not an integer from {least} to {most}")
        return value

    def boolean(self, name: str, *, default: bool) -> bool:
        value = self._members.get(name, default)
        if not isinstance(value, bool):
            raise self.refuse(name, "is not a boolean")
        return value

    def array(self, name: str, *, limit: int = MAX_ITEMS) -> tuple[object, ...]:
        """A non-empty array of at most ``limit`` items."""
        value = self.raw(name)
        if not isinstance(value, list) or not 0 < len(cast("list[object]", value)) <= limit:
            raise self.refuse(name, f"is not an array of 1 to {limit} items")
        return tuple(cast("list[object]", value))

    def texts(self, name: str, *, limit: int = MAX_ITEMS, each: int = MAX_TEXT) -> tuple[str, ...]:
        """A non-empty array of distinct, non-empty strings."""
        items = tuple(self._text(item, name, each) for item in self.array(name, limit=limit))
        if len(set(items)) != len(items):
            raise self.refuse(name, "repeats an item")
        return items

    def member(self, name: str) -> Members:
        return self._object(self.raw(name), name)

    def optional_member(self, name: str) -> Members | None:
        return self.member(name) if name in self._members else None

    def members(self, name: str, *, limit: int = MAX_ITEMS) -> tuple[Members, ...]:
        return tuple(self._object(item, name) for item in self.array(name, limit=limit))

    def mapping(self) -> Mapping[str, Any]:
        return self._members

    def _text(self, value: object, name: str, limit: int) -> str:
        if not isinstance(value, str) or not 0 < len(value) <= limit:
            raise self.refuse(name, f"is not a string of 1 to {limit} characters")
        return value

    def _object(self, value: object, name: str) -> Members:
        return Members(value, refusal=self._refusal, where=f"{self._where}.{name}")
