"""DCQL: reading, planning with the least shown, checking; against a second, naive evaluator."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protocol_messages import DOCTYPE, ISO, VCT, disclosed

from credentials.errors import NoMatchingCredential, QueryInvalid, QueryNotSatisfied
from credentials.model import Disclosed
from openid4vc.dcql import (
    Candidate,
    Checked,
    Choice,
    ClaimQuery,
    CredentialQuery,
    Plan,
    Query,
    check,
    matches,
    parse_query,
    plan,
    select,
)

OTHER_VCT = "https://bauhinia.example/vct/residency/1"


def age(**members: Any) -> dict[str, Any]:
    """A credential query for the age credential."""
    query = {"id": "age", "format": "dc+sd-jwt", "meta": {"vct_values": [VCT]}, **members}
    return {name: value for name, value in query.items() if value is not None}


def mdoc(**members: Any) -> dict[str, Any]:
    query = {"id": "mdoc", "format": "mso_mdoc", "meta": {"doctype_value": DOCTYPE}, **members}
    return {name: value for name, value in query.items() if value is not None}


def queried(*credentials: dict[str, Any], **members: Any) -> Query:
    return parse_query({"credentials": list(credentials), **members})


def candidate(
    claims: Mapping[str, Any], ref: str = "a", type: str = VCT, format: str = "dc+sd-jwt"
) -> Candidate:
    return Candidate(ref, format, type, claims)


CLAIMS: dict[str, Any] = {
    "age_over_18": True,
    "age_over_65": False,
    "age_band": "21-59",
    "tier": 1,
    "languages": ("zh", "en"),
    "nested": {"list": [{"name": "x", "n": 1}, {"name": "y"}], "empty": {}},
}


# --- Claims path pointers (section 7)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (("age_over_18",), [(("age_over_18",), True)]),
        (("missing",), []),
        (("age_over_18", "deeper"), []),
        (("age_over_18", None), []),
        (("age_over_18", 0), []),
        (("languages", 0), [(("languages", 0), "zh")]),
        (("languages", 2), []),
        (("languages", None), [(("languages", 0), "zh"), (("languages", 1), "en")]),
        (("languages", "0"), []),
        (
            ("nested", "list", None, "name"),
            [(("nested", "list", 0, "name"), "x"), (("nested", "list", 1, "name"), "y")],
        ),
        (("nested", "list", None, "n"), [(("nested", "list", 0, "n"), 1)]),
        (("nested", "list", 1, "n"), []),
        (("nested", "list", "name"), []),
        ((None,), []),
        ((0,), []),
    ],
)
def test_path_selects(path: tuple[Any, ...], found: list[Any]) -> None:
    assert list(select(CLAIMS, path)) == found


def test_path_over_the_example_of_the_specification() -> None:
    """Section 7.2: an error in one of the selected elements ends the whole selection."""
    mixed = {"a": [{"b": 1}, 7]}
    assert select(mixed, ("a", None, "b")) == ()
    assert select({"a": [[1], {"b": 1}]}, ("a", None, None)) == ()


# --- Reading


def test_a_query_is_read_whole() -> None:
    query = queried(
        age(
            multiple=True,
            require_cryptographic_holder_binding=True,
            trusted_authorities=[{"type": "aki", "values": ["AQI"]}],
            claims=[
                {"id": "a", "path": ["age_over_18"], "values": [True, 1, "x"]},
                {"id": "b", "path": ["languages", None]},
            ],
            claim_sets=[["b"], ["a", "b"]],
            unknown=[1],
        ),
        mdoc(claims=[{"path": [ISO, "age_over_18"], "intent_to_retain": False}]),
        credential_sets=[{"options": [["age"], ["mdoc"]]}, {"options": [["mdoc", "age"]], "required": False}],
        unknown={},
    )
    first, second = query.credentials
    a, b = first.claims
    assert a == ClaimQuery("a", ("age_over_18",), (True, 1, "x"))
    assert b == ClaimQuery("b", ("languages", None))
    assert first.claim_sets == ((b,), (a, b))
    assert first.multiple
    assert first.trusted_authorities[0].values == ("AQI",)
    assert second == CredentialQuery(
        "mdoc",
        "mso_mdoc",
        (DOCTYPE,),
        (ClaimQuery(None, (ISO, "age_over_18")),),
        ((ClaimQuery(None, (ISO, "age_over_18")),),),
    )
    assert [s.required for s in query.credential_sets] == [True, False]


CLAIM = {"path": ["age_over_18"]}
NAMED = {"id": "a", "path": ["age_over_18"]}


@pytest.mark.parametrize(
    "obj",
    [
        None,
        [],
        "x",
        {},
        {"credentials": []},
        {"credentials": {}},
        {"credentials": [7]},
        {"credentials": [age(), age()]},
        {"credentials": [age(id=None)]},
        {"credentials": [age(id="")]},
        {"credentials": [age(id="a b")]},
        {"credentials": [age(id="a\n")]},
        {"credentials": [age(id="a" * 65)]},
        {"credentials": [age(id=7)]},
        {"credentials": [age(format=None)]},
        {"credentials": [age(format=7)]},
        {"credentials": [age(meta=None)]},
        {"credentials": [age(meta=[])]},
        {"credentials": [age(meta={})]},
        {"credentials": [age(meta={"vct_values": []})]},
        {"credentials": [age(meta={"vct_values": [7]})]},
        {"credentials": [age(meta={"vct_values": VCT})]},
        {"credentials": [age(meta={"vct_values": [VCT, VCT]})]},
        {"credentials": [mdoc(meta={})]},
        {"credentials": [mdoc(meta={"doctype_value": [DOCTYPE]})]},
        {"credentials": [age(multiple="true")]},
        {"credentials": [age(multiple=1)]},
        {"credentials": [age(require_cryptographic_holder_binding=False)]},
        {"credentials": [age(require_cryptographic_holder_binding="true")]},
        {"credentials": [age(trusted_authorities=[])]},
        {"credentials": [age(trusted_authorities=[{"type": "aki"}])]},
        {"credentials": [age(trusted_authorities=[{"type": "aki", "values": []}])]},
        {"credentials": [age(trusted_authorities=[{"values": ["x"]}])]},
        {"credentials": [age(claims=[])]},
        {"credentials": [age(claims={})]},
        {"credentials": [age(claims=[7])]},
        {"credentials": [age(claims=[{}])]},
        {"credentials": [age(claims=[{"path": []}])]},
        {"credentials": [age(claims=[{"path": "age_over_18"}])]},
        {"credentials": [age(claims=[{"path": [True]}])]},
        {"credentials": [age(claims=[{"path": [1.0]}])]},
        {"credentials": [age(claims=[{"path": [{}]}])]},
        {"credentials": [age(claims=[{"path": ["a" * 257]}])]},
        {"credentials": [age(claims=[{"path": ["a"], "id": "a b"}])]},
        {"credentials": [age(claims=[{"path": ["a"], "values": []}])]},
        {"credentials": [age(claims=[{"path": ["a"], "values": [None]}])]},
        {"credentials": [age(claims=[{"path": ["a"], "values": [1.5]}])]},
        {"credentials": [age(claims=[{"path": ["a"], "values": [["x"]]}])]},
        {"credentials": [age(claims=[{"path": ["a"], "values": ["x" * 1025]}])]},
        {"credentials": [age(claims=[{"path": ["a"], "values": "x"}])]},
        {"credentials": [age(claims=[NAMED, {"id": "a", "path": ["b"]}])]},
        {"credentials": [age(claims=[CLAIM, CLAIM])]},
        {"credentials": [mdoc(claims=[{"path": ["age_over_18"]}])]},
        {"credentials": [mdoc(claims=[{"path": [ISO, "age_over_18", "x"]}])]},
        {"credentials": [mdoc(claims=[{"path": [ISO, None]}])]},
        {"credentials": [mdoc(claims=[{"path": [ISO, 1]}])]},
        {"credentials": [mdoc(claims=[{"path": [ISO, "a"], "intent_to_retain": "no"}])]},
        {"credentials": [age(claim_sets=[["a"]])]},
        {"credentials": [age(claims=[CLAIM], claim_sets=[["a"]])]},
        {"credentials": [age(claims=[NAMED, {"path": ["b"]}], claim_sets=[["a"]])]},
        {"credentials": [age(claims=[NAMED], claim_sets=[])]},
        {"credentials": [age(claims=[NAMED], claim_sets=[[]])]},
        {"credentials": [age(claims=[NAMED], claim_sets=["a"])]},
        {"credentials": [age(claims=[NAMED], claim_sets=[["b"]])]},
        {"credentials": [age(claims=[NAMED], claim_sets=[["a", "a"]])]},
        {"credentials": [age(claims=[NAMED], claim_sets=[[7]])]},
        {"credentials": [age()], "credential_sets": []},
        {"credentials": [age()], "credential_sets": [{}]},
        {"credentials": [age()], "credential_sets": [{"options": []}]},
        {"credentials": [age()], "credential_sets": [{"options": [[]]}]},
        {"credentials": [age()], "credential_sets": [{"options": [["other"]]}]},
        {"credentials": [age()], "credential_sets": [{"options": [["age", "age"]]}]},
        {"credentials": [age()], "credential_sets": [{"options": [["age"]], "required": "yes"}]},
    ],
)
def test_query_refused(obj: object) -> None:
    with pytest.raises(QueryInvalid) as caught:
        parse_query(obj)
    assert caught.value.code == "query_invalid"


def test_unknown_format_spoils_nothing_else() -> None:
    query = queried(
        age(),
        {"id": "other", "format": "ldp_vc", "meta": {}},
        credential_sets=[{"options": [["other"], ["age"]]}],
    )
    assert [choice.query_id for choice in plan(query, [candidate(CLAIMS)]).choices] == ["age"]


# --- Planning


def test_without_claims_nothing_is_shown() -> None:
    assert plan(queried(age()), [candidate(CLAIMS)]) == Plan((Choice("age", "a", ()),))


def test_only_what_is_asked_is_shown() -> None:
    query = queried(age(claims=[CLAIM]))
    assert plan(query, [candidate(CLAIMS)]) == Plan((Choice("age", "a", (("age_over_18",),)),))


@pytest.mark.parametrize(
    "spoiled",
    [
        candidate({"age_over_65": True}),
        candidate(CLAIMS, type=OTHER_VCT),
        candidate(CLAIMS, format="mso_mdoc"),
    ],
)
def test_nothing_matches(spoiled: Candidate) -> None:
    with pytest.raises(NoMatchingCredential):
        plan(queried(age(claims=[CLAIM])), [spoiled])
    with pytest.raises(NoMatchingCredential):
        plan(queried(age(claims=[CLAIM])), [])


@pytest.mark.parametrize(
    ("path", "values", "held"),
    [
        (["age_over_18"], [True], True),
        (["age_over_18"], [1], False),
        (["age_over_18"], ["true"], False),
        (["age_over_65"], [0], False),
        (["tier"], [1], True),
        (["tier"], [True], False),
        (["tier"], ["1"], False),
        (["age_band"], ["21-59"], True),
        (["age_band"], ["21-5"], False),
        (["languages", None], ["en"], True),
        (["languages", None], ["fr"], False),
        (["languages", 0], ["en"], False),
        (["languages"], ["en"], False),
    ],
)
def test_values_match_with_their_type(path: list[Any], values: list[Any], held: bool) -> None:
    query = queried(age(claims=[{"path": path, "values": values}]))
    assert bool(matches(query.credentials[0], [candidate(CLAIMS)])) is held


def test_first_claim_set_that_can_be_satisfied() -> None:
    claims = [
        {"id": "exact", "path": ["birthdate"]},
        {"id": "band", "path": ["age_band"]},
        {"id": "over", "path": ["age_over_18"]},
    ]
    query = queried(age(claims=claims, claim_sets=[["exact"], ["band", "over"], ["over"]]))
    assert plan(query, [candidate(CLAIMS)]).choices[0].show == (("age_band",), ("age_over_18",))
    # The verifier's preference comes before the order of the wallet, and before fewer claims.
    both = [candidate({"age_over_18": True}, "b"), candidate({"birthdate": "1999-01-01"}, "c")]
    assert plan(query, both).choices[0].ref == "c"


def test_of_equal_candidates_the_one_that_shows_less_then_the_first() -> None:
    query = queried(age(claims=[{"path": ["languages", None]}]))
    held = [
        candidate({"languages": ("zh", "en")}, "two"),
        candidate({"languages": ("zh",)}, "one"),
        candidate({"languages": ("en",)}, "also one"),
    ]
    assert [choice.ref for choice in matches(query.credentials[0], held)] == ["one", "also one", "two"]


def test_all_credentials_are_required_without_sets() -> None:
    query = queried(age(claims=[CLAIM]), age(id="residency", meta={"vct_values": [OTHER_VCT]}))
    with pytest.raises(NoMatchingCredential):
        plan(query, [candidate(CLAIMS)])
    held = [candidate(CLAIMS), candidate({"is_hk_resident": True}, "b", OTHER_VCT)]
    assert [choice.ref for choice in plan(query, held).choices] == ["a", "b"]


def test_least_shown_of_the_options() -> None:
    query = queried(
        age(id="much", claims=[CLAIM, {"path": ["age_band"]}]),
        age(id="little", claims=[CLAIM]),
        age(id="also-little", claims=[CLAIM]),
        credential_sets=[{"options": [["much"], ["little", "also-little"], ["little"], ["also-little"]]}],
    )
    assert [choice.query_id for choice in plan(query, [candidate(CLAIMS)]).choices] == ["little"]


def test_options_of_two_sets_are_weighed_together() -> None:
    """Each set alone would be cheapest with its own option; one credential answers both."""
    one = [{"path": [f"c{i}"]} for i in range(1)]
    two = [{"path": [f"c{i}"]} for i in range(2)]
    query = queried(
        age(id="a", claims=one),
        age(id="b", claims=one),
        age(id="both", claims=two),
        credential_sets=[{"options": [["a"], ["both"]]}, {"options": [["b"], ["both"]]}],
    )
    held = [candidate({"c0": 1, "c1": 1})]
    assert [choice.query_id for choice in plan(query, held).choices] == ["both"]


def test_optional_sets_only_if_asked_for() -> None:
    query = queried(
        age(id="must", claims=[CLAIM]),
        age(id="may", claims=[{"path": ["age_band"]}]),
        age(id="cannot", claims=[{"path": ["missing"]}]),
        credential_sets=[
            {"options": [["must"]]},
            {"options": [["cannot"], ["may"]], "required": False},
            {"options": [["cannot"]], "required": False},
        ],
    )
    held = [candidate(CLAIMS)]
    assert [choice.query_id for choice in plan(query, held).choices] == ["must"]
    more = plan(query, held, include_optional=True)
    assert [choice.query_id for choice in more.choices] == ["must", "may"]


def test_nothing_required_is_nothing_sent() -> None:
    query = queried(age(), credential_sets=[{"options": [["age"]], "required": False}])
    with pytest.raises(NoMatchingCredential):
        plan(query, [candidate(CLAIMS)])
    assert plan(query, [candidate(CLAIMS)], include_optional=True).choices


def test_required_set_without_an_option() -> None:
    query = queried(
        age(id="a"),
        age(id="b", claims=[{"path": ["missing"]}]),
        credential_sets=[{"options": [["a"]]}, {"options": [["a", "b"], ["b"]]}],
    )
    with pytest.raises(NoMatchingCredential):
        plan(query, [candidate(CLAIMS)])


def test_trusted_authorities() -> None:
    query = queried(
        age(
            trusted_authorities=[
                {"type": "etsi_tl", "values": ["https://tl.test"]},
                {"type": "aki", "values": ["AQID", "BAUG"]},
            ]
        )
    )
    known = Candidate("a", "dc+sd-jwt", VCT, CLAIMS, frozenset({"BAUG"}))
    assert plan(query, [known]).choices[0].ref == "a"
    for keys in (frozenset({"other"}), frozenset({"https://tl.test"}), frozenset[str]()):
        with pytest.raises(NoMatchingCredential):
            plan(query, [Candidate("a", "dc+sd-jwt", VCT, CLAIMS, keys)])


# --- Checking


def test_answer_is_accepted_and_trimmed() -> None:
    query = queried(age(claims=[CLAIM, {"path": ["nested", "list", None, "name"]}]))
    result = check(query, {"age": [disclosed(CLAIMS)]})["age"][0]
    assert result.claims == {"age_over_18": True, "nested": {"list": [{"name": "x"}, {"name": "y"}]}}
    assert set(result.extra) == {
        ("age_over_65",),
        ("age_band",),
        ("tier",),
        ("languages", 0),
        ("languages", 1),
        ("nested", "list", 0, "n"),
        ("nested", "empty"),
    }
    assert result.disclosed.claims is CLAIMS


def test_a_whole_claim_is_kept_whole() -> None:
    query = queried(age(claims=[{"path": ["nested"]}, {"path": ["languages"]}]))
    result = check(query, {"age": [disclosed({k: CLAIMS[k] for k in ("nested", "languages")})]})["age"][0]
    assert result.claims == {"nested": CLAIMS["nested"], "languages": ["zh", "en"]}
    assert result.extra == ()


def test_mdoc_is_checked_by_namespace() -> None:
    query = queried(mdoc(claims=[{"path": [ISO, "age_over_18"]}]))
    shown = disclosed(
        {ISO: {"age_over_18": True, "age_over_21": True}, "other": {"age_over_18": True}},
        format="mso_mdoc",
        type=DOCTYPE,
    )
    result = check(query, {"mdoc": [shown]})["mdoc"][0]
    assert result.claims == {ISO: {"age_over_18": True}}
    assert set(result.extra) == {(ISO, "age_over_21"), ("other", "age_over_18")}


def test_several_where_several_are_allowed() -> None:
    query = queried(age(multiple=True, claims=[CLAIM]))
    shown = [disclosed({"age_over_18": True}, holder=bytes([i])) for i in range(3)]
    assert len(check(query, {"age": shown})["age"]) == 3


def test_optional_answers_are_accepted_and_not_needed() -> None:
    query = queried(
        age(id="must"),
        age(id="may"),
        credential_sets=[{"options": [["must"]]}, {"options": [["may"]], "required": False}],
    )
    assert set(check(query, {"must": [disclosed({})]})) == {"must"}
    assert set(check(query, {"must": [disclosed({})], "may": [disclosed({})]})) == {"must", "may"}


# --- Properties, against a second evaluator that works on the raw JSON

NAMES = ["a", "b", "c"]
SCALARS = st.sampled_from([True, False, 0, 1, "x", "1"])
VALUES = st.one_of(SCALARS, st.lists(SCALARS, max_size=2), st.fixed_dictionaries({}, optional={"a": SCALARS}))
PATHS = st.lists(st.one_of(st.sampled_from(NAMES), st.none(), st.integers(0, 1)), min_size=1, max_size=2)


@st.composite
def queries(draw: st.DrawFn) -> dict[str, Any]:
    credentials: list[dict[str, Any]] = []
    for index in range(draw(st.integers(1, 3))):
        types = draw(st.lists(st.sampled_from(["t1", "t2"]), min_size=1, unique=True))
        credential: dict[str, Any] = {"id": f"q{index}", "format": "dc+sd-jwt", "meta": {"vct_values": types}}
        paths = draw(st.lists(PATHS, max_size=3, unique_by=repr))
        claims: list[dict[str, Any]] = []
        for number, path in enumerate(paths):
            claim: dict[str, Any] = {"id": f"c{number}", "path": path}
            if draw(st.booleans()):
                claim["values"] = draw(st.lists(SCALARS, min_size=1, max_size=2))
            claims.append(claim)
        if claims:
            credential["claims"] = claims
            if draw(st.booleans()):
                ids = [claim["id"] for claim in claims]
                option = st.lists(st.sampled_from(ids), min_size=1, unique=True)
                credential["claim_sets"] = draw(st.lists(option, min_size=1, max_size=3))
        credentials.append(credential)
    query: dict[str, Any] = {"credentials": credentials}
    if draw(st.booleans()):
        option = st.lists(st.sampled_from([c["id"] for c in credentials]), min_size=1, unique=True)
        options = st.lists(option, min_size=1, max_size=3)
        entry = st.fixed_dictionaries({"options": options, "required": st.booleans()})
        query["credential_sets"] = draw(st.lists(entry, min_size=1, max_size=2))
    return query


CANDIDATES = st.lists(
    st.tuples(st.sampled_from(["t1", "t2"]), st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=3)),
    max_size=3,
)


def naive_select(value: Any, path: list[Any]) -> list[Any]:
    """Section 7.1.1 by recursion over one selected element; ``LookupError`` is the error of the text."""
    if not path:
        return [value]
    part, rest = path[0], path[1:]
    if isinstance(part, str):
        if not isinstance(value, dict):
            raise LookupError
        return naive_select(value[part], rest) if part in value else []
    if not isinstance(value, list):
        raise LookupError
    chosen = value if part is None else value[part : part + 1]
    return [found for item in chosen for found in naive_select(item, rest)]


def naive_holds(claim: dict[str, Any], claims: Any) -> bool:
    try:
        found = naive_select(claims, claim["path"])
    except LookupError:
        return False
    wanted = claim.get("values")
    return bool(found) if wanted is None else any(repr(v) == repr(w) for v in found for w in wanted)


def naive_option(credential: dict[str, Any], type: str, claims: Any) -> list[dict[str, Any]] | None:
    """The claims that this candidate would show, or that it does not fit."""
    if type not in credential["meta"]["vct_values"]:
        return None
    known = credential.get("claims", [])
    by_id = {claim["id"]: claim for claim in known}
    for option in credential.get("claim_sets", [list(by_id)]):
        if all(naive_holds(by_id[name], claims) for name in option):
            return [by_id[name] for name in option]
    return None


def naive_answers(query: dict[str, Any], held: list[Any]) -> Iterator[frozenset[str]]:
    """Every set of credential queries that answers the query in full and that this wallet can answer."""
    able = {
        credential["id"]
        for credential in query["credentials"]
        if any(naive_option(credential, type, claims) is not None for type, claims in held)
    }
    for choice in product([False, True], repeat=len(query["credentials"])):
        chosen = {c["id"] for c, taken in zip(query["credentials"], choice, strict=True) if taken}
        sets = query.get("credential_sets")
        full = {c["id"] for c in query["credentials"]} if sets is None else set[str]()
        if (
            chosen
            and chosen <= able
            and full <= chosen
            and all(not s["required"] or any(set(o) <= chosen for o in s["options"]) for s in sets or ())
        ):
            yield frozenset(chosen)


def shown(claims: Any, paths: tuple[Any, ...]) -> dict[str, Any]:
    """What a format presents for ``paths``: claims are disclosed whole, by their first name."""
    return {name: value for name, value in claims.items() if any(path[0] == name for path in paths)}


@given(queries(), CANDIDATES)
def test_plan_answers_exactly_when_it_can_and_what_it_shows_is_accepted(
    raw: dict[str, Any], held: list[tuple[str, dict[str, Any]]]
) -> None:
    query = parse_query(raw)
    wallet = [Candidate(str(i), "dc+sd-jwt", type, claims) for i, (type, claims) in enumerate(held)]
    answers = list(naive_answers(raw, held))
    must = [s for s in raw.get("credential_sets", ()) if s["required"]] or "credential_sets" not in raw
    try:
        chosen = plan(query, wallet)
    except NoMatchingCredential:
        assert not answers or not must
        return
    assert must
    assert frozenset(choice.query_id for choice in chosen.choices) in answers
    # No more claims than the cheapest full answer needs.
    by_id = {c["id"]: c for c in raw["credentials"]}
    cost = {name: min(_costs(by_id[name], held), default=(0, 0))[1] for name in by_id}
    least = min(sum(cost[name] for name in answer) for answer in answers)
    assert sum(len(choice.show) for choice in chosen.choices) == least
    # Each choice is by the verifier's first option that any candidate satisfies.
    for choice in chosen.choices:
        type, claims = held[int(choice.ref)]
        wanted = naive_option(by_id[choice.query_id], type, claims)
        assert wanted is not None
        assert [list(path) for path in choice.show] == [claim["path"] for claim in wanted]
    # The verifier accepts exactly this, and learns nothing else from a wallet that shows everything.
    least_shown, everything = (
        check(query, {c.query_id: [_presented(held[int(c.ref)], c, whole)] for c in chosen.choices})
        for whole in (False, True)
    )
    for choice in chosen.choices:
        lean, fat = least_shown[choice.query_id][0], everything[choice.query_id][0]
        assert lean.claims == fat.claims
        assert {str(e) for e in lean.extra} <= {str(e) for e in fat.extra}


def _costs(credential: dict[str, Any], held: list[Any]) -> Iterator[tuple[int, int]]:
    for type, claims in held:
        option = naive_option(credential, type, claims)
        if option is not None:
            sets = credential.get("claim_sets")
            rank = 0 if sets is None else sets.index([claim["id"] for claim in option])
            yield rank, len(option)


def _presented(held: tuple[str, dict[str, Any]], choice: Choice, whole: bool) -> Disclosed:
    type, claims = held
    return disclosed(claims if whole else shown(claims, choice.show), type=type)


@given(queries(), CANDIDATES)
def test_kept_and_extra_are_everything(raw: dict[str, Any], held: list[tuple[str, dict[str, Any]]]) -> None:
    """What is kept and what is reported as extra are disjoint, and together all that was disclosed."""
    query = parse_query({"credentials": raw["credentials"][:1]})
    for type, claims in held:
        try:
            result: Checked = check(query, {"q0": [disclosed(claims, type=type)]})["q0"][0]
        except QueryNotSatisfied:
            assert naive_option(raw["credentials"][0], type, claims) is None
            continue
        assert naive_option(raw["credentials"][0], type, claims) is not None
        assert len(list(_scalars(result.claims))) + len(result.extra) == len(list(_scalars(claims)))


def _scalars(claims: Mapping[str, Any]) -> Iterator[Any]:
    level: list[Any] = list(claims.values())
    while level:
        value = level.pop()
        if value and isinstance(value, dict | list):
            level.extend(value.values() if isinstance(value, dict) else value)
        else:
            yield value


MEMBERS = ["credentials", "id", "format", "meta", "vct_values", "claims", "path", "values", "options"]
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(MEMBERS), inner),
    max_leaves=20,
)


@given(ANY_JSON)
def test_any_json_is_read_or_refused(value: Any) -> None:
    with suppress(QueryInvalid):
        assert isinstance(parse_query(value), Query)
