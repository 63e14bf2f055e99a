"""From the posted response to accepted, refused or undetermined: no clock, no store, no network.

The three outcomes are separate types, so that none can be taken for another. Everything is done inside
:func:`offline.guard`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from credentials import errors
from credentials.errors import (
    NothingPresented,
    PolicyNotMet,
    QueryNotSatisfied,
    Refusal,
    StatusRefused,
    StatusStale,
)
from credentials.formats import FORMATS
from credentials.model import Disclosed, Seconds
from credentials.trust import Trust
from openid4vc import dcql
from openid4vc.vp import RequestClaims, VpRefusal, parse_response, session_of
from revocation.check import Lists, StatusEvidence, check

from .offline import guard
from .policy import Ask, Policy

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

Level: TypeAlias = Literal["fresh", "amber", "none"]
Learned: TypeAlias = Mapping[str, Mapping[str, object]]
"""Type name to claim name to value: all that this verifier keeps of a presentation."""

_ORDER: Final[Mapping[Level, int]] = {"none": 0, "fresh": 1, "amber": 2}


@dataclass(frozen=True, slots=True)
class Accepted:
    """``level`` is that of the oldest status list used, issued at ``status_issued``; claims that came
    unasked (``over_disclosed``, a number) were dropped."""

    learned: Learned
    formats: tuple[str, ...]
    level: Level
    status_issued: Seconds | None
    over_disclosed: int = 0


@dataclass(frozen=True, slots=True)
class Refused:
    """The answer is no; ``code`` is that of a leaf of the error tree. ``learned`` is empty unless all was
    genuine, and the values or the status decided."""

    code: str
    learned: Learned
    formats: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Undetermined:
    """Neither yes nor no; ``code`` says what is missing."""

    code: str


Outcome: TypeAlias = Accepted | Refused | Undetermined


def verify(
    form: Mapping[str, str],
    *,
    request: RequestClaims,
    policy: Policy,
    private_key: ec.EllipticCurvePrivateKey | None,
    trust: Trust,
    lists: Lists,
    now: Seconds,
) -> Outcome:
    """What the form posted to ``request.response_uri`` is worth. The caller burned the nonce before.

    ``request`` is the verifier's own stored request. Faults of our own side are raised, refusals returned.
    """
    with guard():
        try:
            return _verify(form, request, policy, private_key, trust, lists, now)
        except errors.Undetermined as error:
            return Undetermined(error.code)
        except Refusal as error:
            return Refused(error.code, {})


def _verify(
    form: Mapping[str, str],
    request: RequestClaims,
    policy: Policy,
    private_key: ec.EllipticCurvePrivateKey | None,
    trust: Trust,
    lists: Lists,
    now: Seconds,
) -> Outcome:
    # 1. The response, decrypted where the request asked for it, for this request (OpenID4VP 1.0, 8.2, 8.3).
    response = parse_response(form, request=request, private_key=private_key)
    # 2. The wallet may say no, and need not say why (8.5).
    if isinstance(response, VpRefusal):
        raise NothingPresented("the wallet presented nothing")
    # 3. Every presentation is what it claims to be, bound to this request and to its holder (8.6, step 2).
    session = session_of(request)
    presented: dict[str, list[Disclosed]] = {}
    for query_id, presentations in response.vp_token.items():
        wanted = request.query.credential(query_id)
        if len(wanted.types) != 1:
            raise QueryNotSatisfied("the query does not name one type")
        presented[query_id] = [
            FORMATS[wanted.format].verify(
                presentation.encode("ascii"), type=wanted.types[0], session=session, trust=trust, now=now
            )
            for presentation in presentations
        ]
    # 4. Together they answer the query; what was not asked for is dropped (8.6, steps 3 and 4).
    answers = dcql.check(request.query, presented)
    learned: dict[str, dict[str, object]] = {}
    met = True
    for query_id, items in answers.items():
        ask = policy.ask_of(query_id)
        for item in items:
            values = _values(ask, item)
            met = met and _holds(ask, values)
            learned.setdefault(ask.type.name, {}).update(values)
    formats = tuple(dict.fromkeys(d.format for items in presented.values() for d in items))
    # 5. None of them is revoked, as far as the lists at hand say (Token Status List, 8.3).
    try:
        evidence = [
            check(
                disclosed.status,
                format=disclosed.format,
                required=policy.ask_of(query_id).type.revocable,
                lists=lists,
                now=now,
                freshness=policy.freshness,
            )
            for query_id, all_disclosed in presented.items()
            for disclosed in all_disclosed
        ]
    except StatusRefused as error:
        # Genuine and read, so the result says so: what was learned is not unlearned by a refusal.
        return Refused(error.code, learned, formats)
    # 6. The policy's decision, on nothing but the claims that were asked for.
    if not met:
        return Refused(PolicyNotMet.code, learned, formats)
    oldest = max(evidence, key=lambda found: _ORDER[found.level], default=StatusEvidence("none", None))
    if oldest.level == "amber" and policy.amber == "undetermined":
        raise StatusStale("the status list is older than this policy takes")
    extra = sum(len(item.extra) for items in answers.values() for item in items)
    return Accepted(learned, formats, oldest.level, oldest.issued, extra)


def _values(ask: Ask, item: dcql.Checked) -> dict[str, object]:
    """The claims that were kept, by their name in the catalogue."""
    values: dict[str, object] = {}
    for name in ask.claims:
        found = dcql.select(item.claims, ask.type.path(item.disclosed.format, name))
        if found:
            values[name] = found[0][1]
    return values


def _holds(ask: Ask, values: Mapping[str, object]) -> bool:
    """Whether one option is there whole, each claim with the value and the type that is expected."""

    def good(name: str) -> bool:
        wanted = ask.expect.get(name)
        return name in values and (
            wanted is None or (type(values[name]) is type(wanted) and values[name] == wanted)
        )

    return any(all(good(name) for name in option) for option in ask.options)


def is_answered(outcome: Outcome) -> bool:
    """Whether the wallet followed the protocol, whatever the verdict: then its answer is HTTP 200.

    Not where a fault of ours left the check undetermined: the wallet was told of the fault.
    """
    if isinstance(outcome, Accepted):
        return True
    verdicts = (PolicyNotMet, NothingPresented, StatusRefused, errors.Undetermined)
    return outcome.code in {leaf.code for leaf in errors.every_error() if issubclass(leaf, verdicts)}
