"""What the catalogue calls types and statements, in both languages."""

from __future__ import annotations

from collections.abc import Sequence

from credentials.catalog import Catalogue, Labels
from web.texts import LANGUAGES

from .records import Entry


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
