"""Rules against a second evaluator that knows no ranges and no unknowns: it tries every completion."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credentials.catalog import load_catalogue
from credentials.errors import CatalogueMalformed, NotEntitled
from credentials.rules import FACTS, Compare, Entitlement, Fact, Facts, Range, entitle, parse_rule

BOOLEANS = ("resident", "detained", "owns_property")
INTEGERS = ("age", "assets")
STRINGS = ("purpose", "evidence")
WORDS = ("student", "hkic", "settled")

compares = st.one_of(
    st.tuples(st.sampled_from(BOOLEANS), st.sampled_from(["==", "!="]), st.booleans()),
    st.tuples(
        st.sampled_from(INTEGERS), st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), st.integers(0, 4)
    ),
    st.tuples(st.sampled_from(STRINGS), st.sampled_from(["==", "!="]), st.sampled_from(WORDS)),
    st.tuples(
        st.sampled_from(STRINGS), st.just("in"), st.lists(st.sampled_from(WORDS), min_size=1, max_size=2)
    ),
).map(lambda part: {"compare": {"fact": part[0], "op": part[1], "value": part[2]}})
expressions = st.recursive(
    compares,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda terms: {"all": terms}),
        st.lists(inner, min_size=1, max_size=3).map(lambda terms: {"any": terms}),
        inner.map(lambda term: {"not": term}),
    ),
    max_leaves=5,
)
numbers = st.one_of(
    st.integers(0, 4), st.tuples(st.integers(0, 4), st.integers(0, 2)).map(lambda p: Range(p[0], p[0] + p[1]))
)
some_facts = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(BOOLEANS, st.booleans()),
        **dict.fromkeys(INTEGERS, numbers),
        **dict.fromkeys(STRINGS, st.sampled_from(WORDS)),
    },
)


def holds(expression: Mapping[str, Any], facts: Mapping[str, Any]) -> bool:
    """The reference: two-valued, over facts that are all known exactly."""
    ((operation, operand),) = expression.items()
    if operation == "all":
        return all(holds(term, facts) for term in operand)
    if operation == "any":
        return any(holds(term, facts) for term in operand)
    if operation == "not":
        return not holds(operand, facts)
    fact, value = facts[operand["fact"]], operand["value"]
    operators: dict[str, Callable[[Any, Any], bool]] = {
        "==": operator.eq,
        "!=": operator.ne,
        "<": operator.lt,
        "<=": operator.le,
        ">": operator.gt,
        ">=": operator.ge,
        "in": lambda fact, values: fact in values,
    }
    return operators[operand["op"]](fact, value)


def completions(facts: Facts) -> list[dict[str, Any]]:
    """Every way in which what is unknown, or only roughly known, could be."""

    def choices(name: str) -> list[Any]:
        fact = facts.get(name)
        if isinstance(fact, Range):
            return list(range(fact.low, fact.high + 1))
        if fact is not None:
            return [fact]
        return (
            [False, True] if name in BOOLEANS else list(range(6)) if name in INTEGERS else ["other", *WORDS]
        )

    names = (*BOOLEANS, *INTEGERS, *STRINGS)
    return [dict(zip(names, values, strict=True)) for values in product(*(choices(name) for name in names))]


def rule(*tiers: tuple[str, Mapping[str, Any]], version: int = 1) -> Any:
    return parse_rule(
        {
            "version": version,
            "source": "made up",
            "as_of": "2026-01-01",
            "synthetic": True,
            "tiers": [{"tier": tier, "when": when} for tier, when in tiers],
        }
    )


def compare(fact: str, op: str, value: object) -> dict[str, Any]:
    return {"compare": {"fact": fact, "op": op, "value": value}}


@given(expressions, some_facts)
def test_entitled_only_if_true_however_the_unknown_turns_out(
    expression: Mapping[str, Any], facts: dict[str, Fact]
) -> None:
    truths = {holds(expression, complete) for complete in completions(facts)}
    try:
        entitle(rule(("standard", expression)), facts)
    except NotEntitled as refusal:
        if str(refusal).endswith("condition_not_met"):
            assert truths == {False}
    else:
        assert truths == {True}


@given(expressions, some_facts)
def test_with_everything_known_the_answer_is_the_reference(
    expression: Mapping[str, Any], facts: dict[str, Fact]
) -> None:
    complete: dict[str, Any] = completions(facts)[0]
    try:
        answer = entitle(rule(("standard", expression)), complete) == Entitlement("standard", 1)
    except NotEntitled as refusal:
        answer = False
        assert str(refusal).endswith("condition_not_met")
    assert answer is holds(expression, complete)


@pytest.mark.parametrize(
    ("op", "low", "high", "truth"),
    [
        (">=", 60, 60, True),
        (">=", 59, 60, None),
        (">=", 58, 59, False),
        (">", 60, 61, None),
        (">", 61, 61, True),
        ("<", 58, 59, True),
        ("<", 59, 60, None),
        ("<", 60, 61, False),
        ("<=", 60, 61, None),
        ("<=", 61, 62, False),
        ("==", 60, 60, True),
        ("==", 59, 61, None),
        ("==", 61, 62, False),
        ("!=", 60, 60, False),
        ("!=", 59, 61, None),
        ("!=", 61, 62, True),
    ],
)
def test_a_range_compares_only_as_a_whole(op: str, low: int, high: int, truth: bool | None) -> None:
    assert Compare("age", op, 60).truth({"age": Range(low, high)}) is truth


@pytest.mark.parametrize(
    ("fact", "op", "value"),
    [
        (True, "==", 1),
        (1, "==", True),
        ("1", "!=", 1),
        (0, "!=", "x"),
        (Range(1, 1), "==", "x"),
        (1, "in", ("x",)),
    ],
)
def test_a_fact_of_another_kind_says_nothing(fact: Fact, op: str, value: Any) -> None:
    assert Compare("age", op, value).truth({"age": fact}) is None


def test_a_missing_fact_never_entitles_not_even_through_not() -> None:
    for expression in (compare("detained", "==", False), {"not": compare("detained", "==", True)}):
        with pytest.raises(NotEntitled) as refusal:
            entitle(rule(("standard", expression)), {})
        assert refusal.value.code == "not_entitled"
        assert str(refusal.value).endswith("fact_unknown")
        assert refusal.value.hint


def test_the_refusal_holds_no_value() -> None:
    with pytest.raises(NotEntitled) as refusal:
        entitle(rule(("standard", compare("assets", "<=", 401_000))), {"assets": 777_123})
    assert "777" not in str(refusal.value) + refusal.value.hint
    assert str(refusal.value).endswith("condition_not_met")


def test_the_best_certain_tier_is_given() -> None:
    tiers = rule(("full", compare("resident", "==", True)), ("half", compare("age", ">=", 18)), version=3)
    assert entitle(tiers, {"resident": True, "age": 20}) == Entitlement("full", 3)
    assert entitle(tiers, {"resident": False, "age": 20}) == Entitlement("half", 3)
    assert entitle(tiers, {"age": 20}) == Entitlement("half", 3)


@pytest.mark.parametrize(
    ("fact", "op", "value"),
    [
        ("shoe_size", "==", 1),
        ("age", "==", True),
        ("age", "==", "60"),
        ("age", "in", ["60"]),
        ("resident", ">=", True),
        ("resident", "==", 1),
        ("resident", "==", "yes"),
        ("purpose", "<", "student"),
        ("purpose", "==", True),
        ("purpose", "==", ["student"]),
        ("resident", "in", ["yes"]),
        ("purpose", "==", 1),
    ],
)
def test_a_rule_over_an_unknown_fact_or_kind_is_refused(fact: str, op: str, value: object) -> None:
    with pytest.raises(CatalogueMalformed) as refusal:
        rule(("standard", compare(fact, op, value)))
    assert refusal.value.code == "catalogue_malformed"


AT_65: dict[str, Fact] = {
    "age": 72,
    "year_age": 72,
    "age_on_voter_cut_off": 72,
    "age_on_2023_05_29": 69,
    "evidence": "hkpic",
    "purpose": "settled",
    "resident": True,
    "permanent_resident": True,
    "right_of_abode": True,
    "right_to_land": True,
    "conditions_of_stay": False,
    "permission_expired": False,
    "ordinarily_resident": True,
    "permanently_departed": False,
    "years_resident": 40,
    "absence_last_1y": 90,
    "receives_cssa": False,
    "cssa_100pct_disabled": False,
    "receives_da": False,
    "receives_oaa": False,
    "receives_oala": False,
    "monthly_income": 10_710,
    "assets": 401_000,
    "owns_property": False,
    "detained": False,
    "disqualified_voter": False,
    "enrolled_student": True,
}


# scheme, facts that differ from AT_65, the tier or None
CASES: list[tuple[str, dict[str, Fact], str | None]] = [
    ("two_dollar_60", {"age": 60}, "standard"),
    ("two_dollar_60", {"age": 59}, None),
    ("two_dollar_60", {"resident": False}, None),
    ("two_dollar_disability", {"age": 64, "receives_da": True}, "standard"),
    ("two_dollar_disability", {"age": 64, "cssa_100pct_disabled": True}, "standard"),
    ("two_dollar_disability", {"age": 64}, None),
    ("two_dollar_disability", {"age": 65, "receives_da": True}, None),
    ("scc_65", {"age": 65}, "standard"),
    ("scc_65", {"age": 64}, None),
    ("scc_65", {"resident": False}, None),
    ("hcv_65", {"year_age": 65, "age": 64}, "standard"),
    ("hcv_65", {"year_age": 64}, None),
    ("hcv_65", {"evidence": "exemption_certificate"}, "standard"),
    ("hcv_65", {"evidence": "hkic"}, "standard"),
    ("hcv_65", {"evidence": "travel_document"}, None),
    ("hcv_65", {"permission_expired": True}, None),
    ("oaa_70", {}, "standard"),
    ("oaa_70", {"age": 69}, None),
    ("oaa_70", {"years_resident": 6}, None),
    ("oaa_70", {"absence_last_1y": 91}, None),
    ("oaa_70", {"ordinarily_resident": False}, None),
    ("oaa_70", {"receives_oala": True}, None),
    ("oaa_70", {"receives_cssa": True}, None),
    ("oaa_70", {"receives_da": True}, None),
    ("oaa_70", {"detained": True}, None),
    ("oaa_70", {"assets": 9_000_000}, "standard"),
    ("oala_65", {"age": 65}, "standard"),
    ("oala_65", {"age": 64}, None),
    ("oala_65", {"monthly_income": 10_711}, None),
    ("oala_65", {"assets": 401_001}, None),
    ("oala_65", {"receives_oaa": True}, None),
    ("voter_gc", {"age_on_voter_cut_off": 18}, "standard"),
    ("voter_gc", {"age_on_voter_cut_off": 17}, None),
    ("voter_gc", {"permanent_resident": False}, None),
    ("voter_gc", {"ordinarily_resident": False}, None),
    ("voter_gc", {"disqualified_voter": True}, None),
    ("prh_qps", {"assets": 280_000}, "standard"),
    ("prh_qps", {"assets": 280_001}, None),
    ("prh_qps", {"assets": 0, "monthly_income": 12_001}, None),
    ("prh_qps", {"assets": 0, "owns_property": True}, None),
    ("prh_qps", {"assets": 0, "age": 17}, None),
    ("prh_qps", {"assets": 0, "years_resident": 6}, None),
    ("prh_qps", {"assets": 0, "right_of_abode": False, "right_to_land": False}, "standard"),
    (
        "prh_qps",
        {"assets": 0, "right_of_abode": False, "right_to_land": False, "conditions_of_stay": True},
        None,
    ),
    ("cvs_2023", {"age_on_2023_05_29": 18}, "full"),
    ("cvs_2023", {"age_on_2023_05_29": 17}, None),
    ("cvs_2023", {"permanent_resident": False, "purpose": "employment"}, "half"),
    ("cvs_2023", {"permanent_resident": False, "purpose": "dependant"}, "full"),
    ("cvs_2023", {"permanent_resident": False, "purpose": "one_way_permit"}, "full"),
    ("cvs_2023", {"permanent_resident": False, "evidence": "exemption_certificate"}, "full"),
    ("cvs_2023", {"permanent_resident": False, "purpose": "domestic_helper"}, None),
    ("cvs_2023", {"permanent_resident": False, "purpose": "employment", "permission_expired": True}, None),
    ("cvs_2023", {"permanently_departed": True}, None),
    ("tsfs", {}, "standard"),
    ("tsfs", {"right_of_abode": False, "years_resident": 3}, "standard"),
    ("tsfs", {"right_of_abode": False, "years_resident": 2}, None),
    ("tsfs", {"purpose": "student"}, None),
    ("tsfs", {"purpose": "iang"}, None),
    ("tsfs", {"enrolled_student": False}, None),
    ("museum_resident", {}, "standard"),
    ("museum_resident", {"resident": False}, None),
    ("pool_senior_60", {"age": 60, "resident": False}, "standard"),
    ("pool_senior_60", {"age": 59}, None),
    ("library_junior", {"age": 17}, "standard"),
    ("library_junior", {"age": 18}, None),
]


@pytest.mark.parametrize(("scheme", "facts", "tier"), CASES)
def test_schemes(scheme: str, facts: dict[str, Fact], tier: str | None) -> None:
    scheme_rule = load_catalogue().types[f"eligibility/{scheme}/1"].rule
    assert scheme_rule is not None
    if tier is not None:
        assert entitle(scheme_rule, AT_65 | facts).tier == tier
        return
    with pytest.raises(NotEntitled) as refusal:
        entitle(scheme_rule, AT_65 | facts)
    assert str(refusal.value).endswith("condition_not_met")


def test_every_scheme_is_tried_both_ways_and_every_fact_is_known() -> None:
    schemes = {type.scheme for type in load_catalogue().types.values() if type.scheme}
    assert {scheme for scheme, _, tier in CASES if tier} == schemes
    assert {scheme for scheme, _, tier in CASES if tier is None} == schemes
    assert AT_65.keys() == FACTS.keys()
