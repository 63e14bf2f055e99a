"""Every text that a person reads, in both languages, from the JSON files in ``texts/``.

A file maps a key to ``{"en": …, "zh-Hant": …}``; ``{name}`` in a text is filled from an argument.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

from credentials.encoding import load_json_object
from credentials.errors import BauhiniaError, ConfigurationInvalid, Refusal, every_error

LANGUAGES: Final = ("en", "zh-Hant")
DEFAULT: Final = "en"

_BY_CODE: Final = {leaf.code: leaf for leaf in every_error()}

# Format and control characters that can turn a name around or hide part of it.
_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


@dataclass(frozen=True, slots=True)
class Texts:
    """The catalogue: key to language to text."""

    entries: Mapping[str, Mapping[str, str]]

    def text(self, key: str, lang: str, **values: object) -> str:
        """The text of ``key`` in ``lang``, filled in. A key that is missing is a fault of ours."""
        try:
            return self.entries[key][lang].format(**values)
        except (KeyError, IndexError):
            raise ConfigurationInvalid(f"text {key} is missing, or a value for it") from None

    def duration(self, seconds: int, lang: str) -> str:
        """A time in the largest unit that it is a whole number of: "90 seconds", "1 hour"."""
        if seconds % 3600 == 0 and seconds:
            number, one, many = seconds // 3600, "duration.hour", "duration.hours"
        elif seconds % 60 == 0 and seconds:
            number, one, many = seconds // 60, "duration.minute", "duration.minutes"
        else:
            number, one, many = seconds, "duration.second", "duration.seconds"
        return self.text(one if number == 1 else many, lang, number=number)

    def error(self, error: BauhiniaError | str, lang: str) -> str:
        """What a person is told about an error or its code; where a leaf has no text, its branch speaks."""
        kind = _BY_CODE.get(error, Refusal) if isinstance(error, str) else type(error)
        key = next(key for cls in kind.__mro__ if (key := _key(cls)) in self.entries)
        return self.text(key, lang)


def _key(cls: type) -> str:
    return f"error.{cls.code}" if issubclass(cls, BauhiniaError) else ""


@cache
def load_texts() -> Texts:
    """Read all catalogues; a key may stand in one file only."""
    entries: dict[str, Mapping[str, str]] = {}
    for file in sorted(files("web").joinpath("texts").iterdir(), key=lambda entry: entry.name):
        if not file.name.endswith(".json"):
            continue
        read: Mapping[str, Mapping[str, str]] = load_json_object(file.read_bytes())
        if twice := entries.keys() & read.keys():
            raise ConfigurationInvalid(f"text {min(twice)} stands in two files")
        entries.update(read)
    return Texts(entries)


def choose(wanted: str | None) -> str | None:
    """A language tag to one of ours (``zh``, ``zh-HK``, ``zh-Hant-HK`` … are ``zh-Hant``), or ``None``."""
    tag = (wanted or "").strip().lower()
    if tag.split("-")[0] == "zh":
        return "zh-Hant"
    return "en" if tag.split("-")[0] == "en" else None


def accepted(header: str) -> str | None:
    """The first language of an Accept-Language header that we have (RFC 9110, 12.5.4)."""

    def weight(item: str) -> float:
        _, _, q = item.partition(";q=")
        try:
            return float(q) if q else 1.0
        except ValueError:
            return 0.0

    items = sorted(header[:200].replace(" ", "").split(","), key=weight, reverse=True)
    return next((lang for item in items if weight(item) > 0 and (lang := choose(item.split(";")[0]))), None)


def plain(text: object) -> str:
    """Somebody else's text made safe to look at: one line, no control, no bidirectional or hidden mark."""
    normal = unicodedata.normalize("NFC", str(text))
    shown = "".join(" " if unicodedata.category(c) in _HIDDEN else c for c in normal)
    return " ".join(shown.split())[:200]
