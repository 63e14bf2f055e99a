"""Claims in words: what the catalogue calls a statement and its value, in both languages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from credentials.catalog import Catalogue, ClaimType, Labels
from web.texts import LANGUAGES, load_texts

from .records import Entry


def value_words(claim: ClaimType | None, value: object) -> Labels:
    """A value for a person: yes or no, the name of an enumerated value, or the value itself."""
    if isinstance(value, bool):
        return load_texts().entries["wallet.yes" if value else "wallet.no"]
    if isinstance(value, list | tuple):
        parts = [value_words(claim, part) for part in cast("Sequence[object]", value)]
        return {"en": ", ".join(p["en"] for p in parts), "zh-Hant": "、".join(p["zh-Hant"] for p in parts)}
    named = claim.values.get(str(value)) if claim is not None else None
    return named if named is not None else dict.fromkeys(LANGUAGES, str(value))


def about(catalogue: Catalogue, entry: Entry) -> tuple[Labels, ...]:
    """What a line of the log is about: the claims, or else the types."""
    if entry.claims:
        return tuple(claim_words(catalogue, entry.types, name) for name in entry.claims)
    return tuple(type_words(catalogue, name) for name in entry.types)


def type_words(catalogue: Catalogue, name: str) -> Labels:
    """What a type is called; its own name where the catalogue no longer has it."""
    type = catalogue.types.get(name)
    return type.label if type is not None else dict.fromkeys(LANGUAGES, name)


def claim_words(catalogue: Catalogue, types: Sequence[str], name: str) -> Labels:
    """What a claim of one of ``types`` is called; its own name where none of them has it."""
    for type in types:
        for claim in catalogue.types[type].claims if type in catalogue.types else ():
            if claim.name == name:
                return claim.label
    return dict.fromkeys(LANGUAGES, name)
