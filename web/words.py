"""Claim values in words, for the pages and screens of every party."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from credentials.catalog import ClaimType, Labels

from .texts import LANGUAGES, load_texts


def value_words(claim: ClaimType | None, value: object) -> Labels:
    """A value for a person: yes or no, the name of an enumerated value, or the value itself."""
    if isinstance(value, bool):
        return load_texts().entries["value.yes" if value else "value.no"]
    if isinstance(value, list | tuple):
        parts = [value_words(claim, part) for part in cast("Sequence[object]", value)]
        return {"en": ", ".join(p["en"] for p in parts), "zh-Hant": "、".join(p["zh-Hant"] for p in parts)}
    named = claim.values.get(str(value)) if claim is not None else None
    return named if named is not None else dict.fromkeys(LANGUAGES, str(value))
