"""What the holder is told before anything is sent: who asks, what for, which claims, what stays hidden.

Only what was verified is shown as a fact: the name and the purpose come from the signed trust list, never
from the request. A name that others chose is made safe to look at, and nothing it refers to is fetched: a
logo would tell its host who is looking.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from credentials.catalog import Catalogue, ClaimType, Labels
from credentials.errors import OverAsking, TypeMismatch, VerifierUnregistered
from credentials.model import ClaimPath
from openid4vc.dcql import Candidate, Plan, select
from openid4vc.uris import parse_url
from openid4vc.vp import Asked, AuthorizationRequest, over_asking
from web.texts import plain
from web.words import value_words

from .holding import FormatChoice, Holding, format_choices

# Scripts whose letters pass for one another: two of them in one name is how names are forged.
_LOOKALIKE: Final = (
    "LATIN",
    "CYRILLIC",
    "GREEK",
    "ARMENIAN",
    "CHEROKEE",
    "COPTIC",
    "FULLWIDTH",
    "MATHEMATICAL",
)


@dataclass(frozen=True, slots=True)
class Name:
    """A name to show. ``deceptive``: it held hidden or reversing marks, or letters of look-alike scripts."""

    text: str
    deceptive: bool


def name_to_show(text: str) -> Name:
    """One line without control, bidirectional or invisible characters, at most 200 characters."""
    shown = plain(text)
    scripts = {
        script
        for character in shown
        if character.isalpha()
        for script in _LOOKALIKE
        if unicodedata.name(character, "").startswith(script)
    }
    kept = unicodedata.normalize("NFC", text)
    return Name(shown, deceptive=len(scripts) > 1 or shown != " ".join(kept.split())[:200])


@dataclass(frozen=True, slots=True)
class Shown:
    """One claim that would be sent. ``label`` is from the catalogue; ``value`` is the holder's own, and
    ``words`` says it to a person."""

    claim: str
    label: Labels
    value: object
    words: Labels


@dataclass(frozen=True, slots=True)
class Item:
    """One credential of the answer. ``hidden`` are the labels of what it holds and does not show."""

    query_id: str
    batch: str
    type: str
    label: Labels
    format: FormatChoice
    shown: tuple[Shown, ...]
    show: tuple[ClaimPath, ...]
    hidden: tuple[Labels, ...]
    left_after: int


@dataclass(frozen=True, slots=True)
class Consent:
    """The whole question put to the holder. ``certificate`` is the SHA-256 of the asker's certificate, in
    hexadecimal; ``origin`` is where the answer goes."""

    registered: bool
    name: Mapping[str, Name]
    certificate: str
    origin: str
    purpose: Mapping[str, str]
    legal_basis: Mapping[str, str]
    items: tuple[Item, ...]

    @property
    def claims(self) -> tuple[str, ...]:
        """Names of all claims that would be sent, in order, each once."""
        return tuple(dict.fromkeys(shown.claim for item in self.items for shown in item.shown))


def check_registration(
    request: AuthorizationRequest, catalogue: Catalogue, *, allow_unregistered: bool
) -> None:
    """Refuse whoever asks beyond its registration, before looking at what the wallet holds: so the refusal
    says nothing about the holder.

    A type that takes certain grounds only (the identity card number) is never shown to the unregistered.
    Raises :class:`OverAsking`, and :class:`VerifierUnregistered` unless the holder chose to go on without.
    """
    if request.verifier.registration is None:
        if not allow_unregistered:
            raise VerifierUnregistered("the verifier is not registered for anything")
        # The holder may trust a stranger, but not with what only a registered ground opens.
        guarded = {type.name for type in catalogue.types.values() if type.grounds}
        over = tuple(item for item in over_asking(request, catalogue) if item.type in guarded)
    else:
        over = over_asking(request, catalogue)
    if over:
        refusal = OverAsking(f"the verifier asks for more than it registered for: {_listed(over)}")
        refusal.asked = tuple((item.type, item.claim) for item in over)
        raise refusal


def _listed(over: Sequence[Asked]) -> str:
    # Names that the catalogue does not know are the stranger's own words: made plain, and few of them.
    names = [plain(f"{item.claim or '(any)'} of {item.type}") for item in over]
    return ", ".join(names[:5]) + (" …" if len(names) > 5 else "")


def build_consent(
    request: AuthorizationRequest,
    plan: Plan,
    held: Sequence[Holding],
    candidates: Sequence[Candidate],
    catalogue: Catalogue,
) -> Consent:
    """The question for one plan. ``plan`` chose among ``candidates``, which stand for ``held``."""
    registration = request.verifier.registration
    purpose = None
    if registration is not None and request.purpose is not None:
        purpose = registration.purposes.get(request.purpose)
    choices = format_choices(request.query, candidates, plan)
    by_batch = {holding.batch.id: holding for holding in held}
    items: list[Item] = []
    for choice in plan.choices:
        holding = by_batch[choice.ref]
        batch = holding.batch
        type = catalogue.by_identifier(batch.type)
        shown: dict[tuple[str | int, ...], Shown] = {}
        for path in choice.show:
            for place, value in select(batch.claims, path):
                claim = _claim(catalogue, batch.type, batch.format, place)
                if claim is None:
                    text = "/".join(map(str, place))
                    shown[place] = Shown(text, {"en": text, "zh-Hant": text}, value, value_words(None, value))
                else:
                    shown[place] = Shown(claim.name, claim.label, value, value_words(claim, value))
        names = {entry.claim for entry in shown.values()}
        hidden = tuple(
            claim.label
            for claim in type.claims
            if claim.name not in names and any(select(batch.claims, type.path(batch.format, claim.name)))
        )
        items.append(
            Item(
                query_id=choice.query_id,
                batch=batch.id,
                type=type.name,
                label=type.label,
                format=choices[choice.query_id],
                shown=tuple(shown.values()),
                show=choice.show,
                hidden=hidden,
                left_after=holding.unspent - sum(1 for c in plan.choices if c.ref == choice.ref),
            )
        )
    origin = parse_url(request.response_uri).origin
    names_to_show: Mapping[str, Name] = (
        {lang: name_to_show(text) for lang, text in registration.name.items()}
        if registration is not None
        else {"en": name_to_show(origin), "zh-Hant": name_to_show(origin)}
    )
    return Consent(
        registered=registration is not None,
        name=names_to_show,
        certificate=request.verifier.certificate_hash.hex(),
        origin=origin,
        purpose={lang: plain(text) for lang, text in purpose.text.items()} if purpose else {},
        legal_basis={lang: plain(text) for lang, text in purpose.legal_basis.items()} if purpose else {},
        items=tuple(items),
    )


def _claim(catalogue: Catalogue, type: str, format: str, place: tuple[str | int, ...]) -> ClaimType | None:
    path = place[:2] if format == "mso_mdoc" else place[:1]
    try:
        return catalogue.by_identifier(type).claim_at(path)
    except TypeMismatch:
        return None
