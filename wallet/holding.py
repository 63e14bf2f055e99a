"""The holder's rules: which copy may be shown, when to fetch more, and why this format.

Pure functions over what the vault keeps; time and randomness are arguments. The one rule that matters most is
kept by :func:`spend`: a copy is marked spent, its key destroyed, and that is on disk before it is sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from credentials.calendar import DAY, midnight
from credentials.catalog import ClaimType, CredentialType
from credentials.errors import CopiesExhausted, RateLimited
from credentials.model import Randomness, Seconds, Window
from openid4vc.dcql import Candidate, Plan, Query, matches, select

from .records import Batch, Copy, Entry, Grant
from .vault import Writing

LOW_COPIES: Final = 5
LOW_TIME: Final = 2 * DAY
DAILY_SPREAD: Final = 3600
"""Within how many seconds after a Hong Kong midnight statements that were not possible yet are asked for."""
REFUSALS: Final = 3
"""How often one verifier may be told no within :data:`REFUSAL_SPAN` before it gets no answer at all."""
REFUSAL_SPAN: Final = 3600


@dataclass(frozen=True, slots=True)
class Holding:
    """One batch and how many of its copies are left."""

    batch: Batch
    unspent: int

    def usable(self, now: Seconds) -> bool:
        in_force = self.batch.window.start <= now < self.batch.window.end
        return self.unspent > 0 and in_force and not self.batch.revoked


def holdings(batches: Iterable[Batch], copies: Iterable[Copy]) -> tuple[Holding, ...]:
    """Batches with their unspent copies counted; the one that ends first comes first, to be used up first."""
    left: dict[str, int] = {}
    for copy in copies:
        left[copy.batch] = left.get(copy.batch, 0) + (not copy.spent)
    ordered = sorted(batches, key=lambda batch: (batch.window.end, batch.configuration, batch.id))
    return tuple(Holding(batch, left.get(batch.id, 0)) for batch in ordered)


@dataclass(frozen=True, slots=True)
class Stock:
    """What is left of one configuration, over its batches: ``copies`` that may be shown, until ``ends``.

    ``batch`` is the one that ends last. ``revoked``: there was more, and the issuer took it back.
    """

    batch: Batch
    copies: int
    ends: Seconds
    usable: bool
    revoked: bool


def stocks(held: Sequence[Holding], *, now: Seconds) -> tuple[Stock, ...]:
    """One entry per configuration that has copies left in a window that has not ended; revoked ones too."""
    by_configuration: dict[str, list[Holding]] = {}
    for holding in held:
        if holding.unspent and holding.batch.window.end > now:
            by_configuration.setdefault(holding.batch.configuration, []).append(holding)
    found: list[Stock] = []
    for mine in by_configuration.values():
        good = [h for h in mine if not h.batch.revoked]
        last = (good or mine)[-1].batch
        found.append(
            Stock(
                batch=last,
                copies=sum(h.unspent for h in good),
                ends=last.window.end,
                usable=any(h.usable(now) for h in good),
                revoked=not good,
            )
        )
    return tuple(found)


def candidates(held: Sequence[Holding], *, now: Seconds) -> tuple[Candidate, ...]:
    """What may answer a query now: in force, with a copy left. ``ref`` is the id of the batch."""
    return tuple(
        Candidate(h.batch.id, h.batch.format, h.batch.type, h.batch.claims) for h in held if h.usable(now)
    )


def spend(rows: Writing, batch_ids: Sequence[str], *, randomness: Randomness) -> tuple[Copy, ...]:
    """Take one unspent copy of each batch and mark it spent; the caller gives them out after the transaction.

    All or none. Which copy is drawn at random, so that copies are not shown in the order they were issued.
    Raises :class:`CopiesExhausted`, which must end the transaction.
    """
    left = [copy for copy in map(Copy.of, rows.records("copy")) if not copy.spent]
    taken: list[Copy] = []
    for batch in batch_ids:
        choices = sorted((c for c in left if c.batch == batch and c not in taken), key=lambda c: c.id)
        if not choices:
            raise CopiesExhausted("no unspent copy is left of this credential")
        copy = choices[below(len(choices), randomness)]
        rows.put("copy", copy.spend().body(), id=copy.id)
        taken.append(copy)
    return tuple(taken)


def below(limit: int, randomness: Randomness) -> int:
    """A number from 0 to ``limit`` - 1; the bias of 64 random bits is below 2^-40 for any count here."""
    return int.from_bytes(randomness(8), "big") % limit


def shuffled(items: Sequence[Grant], randomness: Randomness) -> list[Grant]:
    return sorted(items, key=lambda _: randomness(8))


# --- Fetching more, in good time


@dataclass(frozen=True, slots=True)
class Warning:
    """``copies``: few are left. ``time``: the last window ends soon. ``gone``: nothing can be shown now.
    ``revoked``: nor can it, because the issuer took it back."""

    reason: Literal["copies", "time", "gone", "revoked"]
    configuration: str
    left: int
    ends: Seconds


def warnings(held: Sequence[Holding], *, now: Seconds) -> tuple[Warning, ...]:
    """Early warning per configuration, over all its batches that have not ended."""
    found: list[Warning] = []
    for configuration in dict.fromkeys(h.batch.configuration for h in held):
        mine = [h for h in held if h.batch.configuration == configuration]
        alive = [h for h in mine if h.batch.window.end > now and not h.batch.revoked]
        left = sum(h.unspent for h in alive)
        ends = max(
            (h.batch.window.end for h in alive if h.unspent), default=max(h.batch.window.end for h in mine)
        )
        if left == 0:
            taken_back = any(h.batch.revoked and h.batch.window.end > now for h in mine)
            found.append(Warning("revoked" if taken_back else "gone", configuration, 0, ends))
        elif left <= LOW_COPIES:
            found.append(Warning("copies", configuration, left, ends))
        elif ends - now <= LOW_TIME:
            found.append(Warning("time", configuration, left, ends))
    return tuple(found)


def awaited(claims: Mapping[str, Any], *, type: CredentialType, format: str) -> tuple[ClaimType, ...]:
    """What a batch with ``claims`` does not state and one of a later day may: around a birthday an age limit
    is left out of every window that the birthday falls into.

    Only types that expire instead of being revoked are made afresh for that; what another type lacks it lacks
    for good, or until its window ends.
    """
    if type.revocable:
        return ()
    return tuple(claim for claim in type.claims if not any(select(claims, type.path(format, claim.name))))


def refill_moment(
    window: Window, randomness: Randomness, *, now: Seconds, incomplete: bool = False
) -> Seconds:
    """When to fetch the next batch: at random within the first half of the last two days of the window. Where
    statements are awaited, at random within :data:`DAILY_SPREAD` of the next Hong Kong midnight already: the
    issuer, who left them out, is asked as for any other batch and learns nothing.
    """
    span = min(LOW_TIME, (window.end - window.start) // 2)
    usual = window.end - span + below(max(1, span // 2), randomness)
    if not incomplete:
        return usual
    return min(usual, midnight(now) + DAY + below(DAILY_SPREAD, randomness))


def refills(
    held: Sequence[Holding], grants: Sequence[Grant], *, now: Seconds
) -> tuple[tuple[Grant, str], ...]:
    """Which configurations to fetch now: their moment has come, few copies are left, or there are none."""
    due: list[tuple[Grant, str]] = []
    for grant in grants:
        for configuration in grant.configurations:
            mine = [
                h
                for h in held
                if h.batch.issuer == grant.issuer
                and h.batch.configuration == configuration
                and h.unspent
                and not h.batch.revoked
            ]
            if not any(
                now < h.batch.refill_at and h.unspent > LOW_COPIES and h.batch.window.end > now for h in mine
            ):
                due.append((grant, configuration))
    return tuple(due)


def discard_ended(rows: Writing, *, now: Seconds) -> int:
    """Drop batches whose window has ended, with their copies; gives how many batches went."""
    ended = {batch.id for batch in map(Batch.of, rows.records("batch")) if batch.window.end <= now}
    for copy in map(Copy.of, rows.records("copy")):
        if copy.batch in ended:
            rows.delete(copy.id)
    for batch in ended:
        rows.delete(batch)
    return len(ended)


# --- Why this format


@dataclass(frozen=True, slots=True)
class FormatChoice:
    """For one credential of the answer: the format, and which others the query and the wallet also allowed.

    ``only`` says that there was nothing to choose: the query, or the wallet, leaves this format alone.
    """

    format: str
    alternatives: tuple[str, ...]

    @property
    def only(self) -> bool:
        return not self.alternatives


def format_choices(query: Query, held: Sequence[Candidate], plan: Plan) -> Mapping[str, FormatChoice]:
    """By query id of the plan. Both formats show the claims asked for and nothing else, and both stay
    unlinkable between verifiers only because each copy is shown once; so among those that fit, the plan takes
    the one that shows the fewest values, and the order of the query decides between equals."""
    reasons: dict[str, FormatChoice] = {}
    for choice in plan.choices:
        chosen = query.credential(choice.query_id)
        others: list[str] = []
        for wanted in query.credential_sets:
            if any(choice.query_id in option for option in wanted.options):
                for name in dict.fromkeys(name for option in wanted.options for name in option):
                    other = query.credential(name)
                    if other.format != chosen.format and matches(other, held):
                        others.append(other.format)
        reasons[choice.query_id] = FormatChoice(chosen.format, tuple(dict.fromkeys(others)))
    return reasons


# --- Saying no


def check_refusals(entries: Iterable[Entry], *, party: str, now: Seconds) -> None:
    """A verifier that keeps asking what this wallet does not answer is not answered any more, in whatever
    way it was refused before: else it could probe for values, one request at a time.

    Raises :class:`RateLimited`.
    """
    told = sum(
        1
        for entry in entries
        if entry.party == party
        and entry.event in ("declined", "unanswered")
        and 0 <= now - entry.when < REFUSAL_SPAN
    )
    if told >= REFUSALS:
        raise RateLimited("this verifier was refused several times within the hour")


def refusal_pause(randomness: Randomness) -> float:
    """Seconds to wait before a refusal that no person made, so that it takes as long as one a person made."""
    return 2.0 + below(6000, randomness) / 1000
