"""Eligibility rules as data, and their evaluation: ``{"all"|"any"|"not"|"compare": …}`` over facts.

    {"all": [{"compare": {"fact": "resident", "op": "==", "value": true}},
             {"compare": {"fact": "age", "op": ">=", "value": 60}}]}

Three-valued logic (Kleene): a comparison over a fact that nobody knows is neither true nor false, and
``not`` of it is no truer. Only a rule that is certainly true entitles. A fact that moves during the
validity of a credential, or is known only roughly, is a :class:`Range`; a comparison holds when it holds
for the whole range.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias, cast

from .errors import CatalogueMalformed, NotEntitled


@dataclass(frozen=True, slots=True)
class Range:
    """A whole number that lies between ``low`` and ``high``, both included."""

    low: int
    high: int


Fact: TypeAlias = "bool | int | str | Range"
Facts: TypeAlias = Mapping[str, Fact]

FACTS: Final[Mapping[str, Literal["boolean", "integer", "string"]]] = MappingProxyType(
    {
        "age": "integer",  # years, throughout the validity
        "year_age": "integer",  # calendar year less year of birth
        "age_on_voter_cut_off": "integer",  # on the coming 25 September
        "age_on_2023_05_29": "integer",
        "evidence": "string",
        "purpose": "string",  # of the stay
        "resident": "boolean",
        "permanent_resident": "boolean",
        "right_of_abode": "boolean",
        "right_to_land": "boolean",
        "conditions_of_stay": "boolean",  # other than a limit of stay
        "permission_expired": "boolean",
        "ordinarily_resident": "boolean",
        "permanently_departed": "boolean",
        "years_resident": "integer",  # complete and continuous
        "absence_last_1y": "integer",  # days
        "receives_cssa": "boolean",
        "cssa_100pct_disabled": "boolean",
        "receives_da": "boolean",
        "receives_oaa": "boolean",
        "receives_oala": "boolean",
        "monthly_income": "integer",  # HKD
        "assets": "integer",  # HKD
        "owns_property": "boolean",
        "detained": "boolean",
        "disqualified_voter": "boolean",
        "enrolled_student": "boolean",
    }
)
"""Every fact that a rule may name. All are about one person; none leaves the issuer."""

_ORDER: Final[Mapping[str, Callable[[int, int], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True, slots=True)
class Compare:
    """``fact op value``; ``value`` is a tuple for ``in``."""

    fact: str
    op: str
    value: bool | int | str | tuple[str, ...]

    def truth(self, facts: Facts) -> bool | None:
        fact = facts.get(self.fact)
        if isinstance(self.value, int) and not isinstance(self.value, bool):
            if isinstance(fact, bool) or not isinstance(fact, (int, Range)):
                return None
            low, high = (fact.low, fact.high) if isinstance(fact, Range) else (fact, fact)
            return _order(self.op, low, high, self.value)
        # A fact of another kind than the value says nothing, rather than "different".
        if isinstance(self.value, tuple):
            return fact in self.value if isinstance(fact, str) else None
        if type(fact) is not type(self.value):
            return None
        return (fact == self.value) is (self.op == "==")


def _order(op: str, low: int, high: int, value: int) -> bool | None:
    """Whether ``x op value`` for all x in low…high (``True``), none (``False``) or some (``None``)."""
    if op in ("==", "!="):
        inside = None if low <= value <= high else False
        equal = True if low == high == value else inside
        return equal if op == "==" or equal is None else not equal
    # The four orderings are monotone: the ends speak for what is between them.
    at_low, at_high = _ORDER[op](low, value), _ORDER[op](high, value)
    return at_low if at_low == at_high else None


@dataclass(frozen=True, slots=True)
class All:
    terms: tuple[Expression, ...]

    def truth(self, facts: Facts) -> bool | None:
        truths = [term.truth(facts) for term in self.terms]
        return False if False in truths else None if None in truths else True


@dataclass(frozen=True, slots=True)
class AnyOf:
    terms: tuple[Expression, ...]

    def truth(self, facts: Facts) -> bool | None:
        truths = [term.truth(facts) for term in self.terms]
        return True if True in truths else None if None in truths else False


@dataclass(frozen=True, slots=True)
class Not:
    term: Expression

    def truth(self, facts: Facts) -> bool | None:
        truth = self.term.truth(facts)
        return None if truth is None else not truth


Expression: TypeAlias = "All | AnyOf | Not | Compare"


@dataclass(frozen=True, slots=True)
class Rule:
    """What entitles to a scheme. ``tiers`` is best first; ``synthetic`` says that no source states it so."""

    version: int
    source: str
    as_of: str
    synthetic: bool
    tiers: tuple[tuple[str, Expression], ...]


@dataclass(frozen=True, slots=True)
class Entitlement:
    """A rule that is certainly met, and the best tier it is met for."""

    tier: str
    version: int


def entitle(rule: Rule, facts: Facts) -> Entitlement:
    """The best tier of ``rule`` that ``facts`` certainly meet.

    Raises :class:`NotEntitled` with one of two reason codes and no value: ``condition_not_met`` when the
    facts contradict every tier, ``fact_unknown`` when the register cannot tell.
    """
    truths = [(tier, expression.truth(facts)) for tier, expression in rule.tiers]
    for tier, truth in truths:
        if truth:
            return Entitlement(tier, rule.version)
    unknown = any(truth is None for _, truth in truths)
    raise NotEntitled(
        "the rule of this scheme is not met: " + ("fact_unknown" if unknown else "condition_not_met"),
        hint="The office of the scheme can look at the case again, and at the register.",
    )


def parse_rule(data: Mapping[str, Any]) -> Rule:
    """Read the ``rule`` member of a catalogue file that its JSON Schema has accepted.

    Raises :class:`CatalogueMalformed` for a fact that is not in :data:`FACTS`, or compared with a value of
    another kind.
    """
    return Rule(
        data["version"],
        data["source"],
        data["as_of"],
        data["synthetic"],
        tuple((tier["tier"], _expression(tier["when"])) for tier in data["tiers"]),
    )


def _expression(data: Mapping[str, Any]) -> Expression:
    ((operation, operand),) = data.items()
    if operation == "not":
        return Not(_expression(operand))
    if operation == "all":
        return All(tuple(_expression(term) for term in operand))
    if operation == "any":
        return AnyOf(tuple(_expression(term) for term in operand))
    fact, op, value = operand["fact"], operand["op"], operand["value"]
    kind = FACTS.get(fact)
    if kind is None:
        raise CatalogueMalformed(f"rule over an unknown fact: {fact}")
    if isinstance(value, list):
        values = cast("list[object]", value)
        agrees = kind == "string" and op == "in" and all(isinstance(item, str) for item in values)
        value = tuple(str(item) for item in values)
    elif isinstance(value, bool):
        agrees = kind == "boolean" and op in ("==", "!=")
    elif isinstance(value, int):
        agrees = kind == "integer" and op != "in"
    else:
        agrees = kind == "string" and op in ("==", "!=")
    if not agrees:
        raise CatalogueMalformed(f"rule compares {fact} with a value of another kind")
    return Compare(fact, op, value)
