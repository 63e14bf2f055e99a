"""The Hong Kong identity card number: one or two letters, six digits, and a check character in brackets.

The bracketed character is not part of the number; the canonical form is letters and digits alone
(``A123456``). Pure arithmetic: nothing here keeps, logs or prints a number, and an :class:`Hkid` shows
itself only through :attr:`Hkid.canonical`.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import Final

from .errors import HkidCheckFailed, HkidMalformed, RealNumberRefused

_BODY: Final = re.compile(r"[A-Z]{1,2}[0-9]{6}")
_CHECK: Final = re.compile(r"[0-9A]")
# Spaces as printed on the card, brackets in pairs or not at all. O and I are read as digits where only a
# digit can stand; never the reverse, or a number with a digit too many would be read as one of two letters.
_WRITTEN: Final = re.compile(
    r"(?P<body>[A-Z]{1,2} ?[0-9OI]{6}) ?"
    r"(?:\((?P<round>[0-9AOI])\)|\[(?P<square>[0-9AOI])\]|(?P<bare>[0-9AOI]))"
)
_LONGEST: Final = 40
# Full-width forms (U+FF01…FF5E) and the ideographic space, as a Chinese keyboard types them; corner and
# lenticular brackets as older forms print them. Nothing wider: NFKC would read circled and superscript
# digits too, and str.upper() would turn a dotless i into a letter.
_NARROW: Final[dict[int, int | str]] = {
    **{code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)},
    0x3000: " ",
    0x3010: "[",
    0x3011: "]",
    0x3014: "[",
    0x3015: "]",
}
_TO_DIGIT: Final = str.maketrans("OI", "01")

SYNTHETIC_PREFIXES: Final = frozenset({"Q", "QQ"})
"""Prefixes not known to be issued: the only ones that made-up people carry."""

_RECORD: Final = b"bauhinia/v1|"


@dataclass(frozen=True, slots=True, repr=False)
class Hkid:
    """A number whose check character is right. ``body`` is ``A123456``, ``check`` is ``0``-``9`` or ``A``.

    Its ``repr`` and ``str`` are redacted. Raises :class:`HkidMalformed` or :class:`HkidCheckFailed`.
    """

    body: str
    check: str

    def __post_init__(self) -> None:
        if not _BODY.fullmatch(self.body) or not _CHECK.fullmatch(self.check):
            raise HkidMalformed("not an identity card number")
        if check_character(self.body) != self.check:
            raise HkidCheckFailed("the check character of the identity card number is wrong")

    @property
    def canonical(self) -> str:
        """What is stored and what keyed functions read: no check character, no padding."""
        return self.body

    @property
    def prefix(self) -> str:
        return self.body[:-6]

    def __repr__(self) -> str:
        return "Hkid(…)"

    __str__ = __repr__


def check_character(body: str) -> str:
    """The check character of ``body`` (``A123456`` or ``AB123456``).

    Weights 9 to 2 over eight places; a digit counts as itself, A to Z as 10 to 35, and the space that pads
    a one-letter number as 36. Raises :class:`HkidMalformed`.
    """
    if not _BODY.fullmatch(body):
        raise HkidMalformed("not an identity card number")
    values = [36 if place == " " else int(place, 36) for place in body.rjust(8)]
    total = sum(weight * value for weight, value in zip(range(9, 1, -1), values, strict=True))
    return "0123456789A"[-total % 11]


def of_body(body: str) -> Hkid:
    """The number with its check character worked out, where the check is carried apart or not at all."""
    return Hkid(body, check_character(body))


def parse(text: str) -> Hkid:
    """Read a number as people type it.

    Takes lower case, full-width letters, digits and brackets, spaces where the card has them, blanks around
    it, brackets of several kinds or none, and O for 0 or I for 1 among the digits.
    The check character is required. Raises :class:`HkidMalformed` or :class:`HkidCheckFailed`.
    """
    narrow = text.translate(_NARROW) if len(text) <= _LONGEST else ""
    written = _WRITTEN.fullmatch(narrow.strip(" \t\r\n").upper()) if narrow.isascii() else None
    if written is None:
        raise HkidMalformed("not an identity card number")
    body = written["body"].replace(" ", "")
    check = written["round"] or written["square"] or written["bare"]
    letters, digits = body[:-6], body[-6:]
    return Hkid(
        letters + digits.translate(_TO_DIGIT),
        check.translate(_TO_DIGIT),
    )


def record(key: bytes, hkid: Hkid) -> bytes:
    """The only trace of a number that an issuer keeps: ``HMAC-SHA256(key, "bauhinia/v1|" || canonical)``.

    32 bytes. A plain hash would protect nothing: all one-letter numbers are tried in seconds.
    """
    return hmac.digest(key, _RECORD + hkid.canonical.encode("ascii"), hashlib.sha256)


def refuse_real(hkid: Hkid) -> Hkid:
    """Pass a made-up number on. Raises :class:`RealNumberRefused` for every other prefix."""
    if hkid.prefix not in SYNTHETIC_PREFIXES:
        raise RealNumberRefused("only synthetic identity card numbers are taken here")
    return hkid
