"""From a person to the claims of every type: what is stated, what is left out, what is refused."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from types import MappingProxyType
from typing import Any

import pytest

from credentials.calendar import PartialDate, age_claims, start_of, window, years_between
from credentials.catalog import CredentialType, load_catalogue
from credentials.encoding import b64u, unb64u
from credentials.errors import MintRefused, NotEntitled, RegisterRowInvalid
from credentials.hkid import of_body
from credentials.model import Claims, Window
from credentials.rules import Range
from issuer.claims import claims_for, facts_of, nullifier, permission_expired
from issuer.person import Document, Person, identity_record
from issuer.population import demo_residents, population

TODAY = date(2026, 11, 22)
TYPES = load_catalogue().types
DEMO = demo_residents(TODAY)


@dataclass(frozen=True)
class Keys:
    record: bytes = b"r" * 32
    scheme: bytes = b"s" * 32


KEYS = Keys()


def valid(type: CredentialType | str, day: date = TODAY) -> Window:
    name = type if isinstance(type, str) else type.name
    return window(start_of(day), TYPES[name].validity_days)


def state(name: str, person: Person, day: date = TODAY) -> Mapping[str, Any]:
    return claims_for(TYPES[name], person, valid(name, day), KEYS).values


def settled(**changes: Any) -> Person:
    return replace(DEMO.adult, **changes)


def reporting(person: Person, **facts: bool | int) -> Person:
    return replace(person, reported=dict(person.reported) | facts)


# --- Age


def test_age_is_what_the_calendar_states() -> None:
    assert state("age/1", DEMO.minor) == {
        "age_over_11": True,
        "age_over_15": True,
        "age_over_16": False,
        "age_over_18": False,
        "age_over_21": False,
        "age_over_60": False,
        "age_over_65": False,
        "age_over_70": False,
        "year_age_over_65": False,
        "age_band": "15",
    }


@pytest.mark.hostile("V6")
def test_v6_people_without_a_number_get_the_same_age_claims() -> None:
    for birth in (PartialDate(1980, 3, 4), PartialDate(2008), PartialDate(2010, 11, 25)):
        ours = state("age/1", settled(birth=birth))
        for kind in ("recognizance", "consular_card", "travel_document", "sponsor_attested"):
            theirs = state("age/1", without_number(kind, birth=birth))
            assert theirs == ours
            assert list(theirs) == list(ours)


@pytest.mark.hostile("V6")
def test_v6_no_claim_outside_the_type_so_that_decoys_make_all_equal() -> None:
    for person in population(300, seed=3, today=TODAY):
        for type in TYPES.values():
            try:
                claims = claims_for(type, person, valid(type), KEYS)
            except NotEntitled:
                continue
            assert isinstance(claims, Claims)
            assert isinstance(claims.values, MappingProxyType)
            assert claims.type is type
            assert claims.values.keys() <= {claim.name for claim in type.claims}


def test_no_type_but_one_holds_anything_made_from_the_number() -> None:
    hkid = DEMO.elder.hkid
    assert hkid is not None
    traces = {hkid.canonical, hkid.canonical[1:], hashlib.sha256(hkid.canonical.encode()).hexdigest()}
    record = identity_record(KEYS.record, hkid)
    traces |= {b64u(record), record.hex(), b64u(hashlib.sha256(hkid.canonical.encode()).digest())}
    for name, type in TYPES.items():
        try:
            text = repr(claims_for(type, DEMO.elder, valid(type), KEYS).values)
        except NotEntitled:
            continue
        assert any(trace in text for trace in traces) is (name == "hkid-number/1")


# --- Residency


def without_number(kind: str, **changes: Any) -> Person:
    identity = Document(kind, "SYN0000001")
    purpose = {"consular_card": "consular", "travel_document": "visitor"}.get(kind, "refugee")
    return settled(identity=identity, evidence=kind, stay="none", purpose=purpose, **changes)


RIGHTS = (
    "is_hk_resident",
    "is_permanent_resident",
    "has_right_of_abode",
    "has_right_to_land",
    "stay_unconditional",
    "residency_class",
)


@pytest.mark.parametrize(
    ("stay", "evidence", "expected"),
    [
        ("A", "hkpic", (True, True, True, True, True, "right_of_abode")),
        ("R", "hkic", (True, False, False, True, True, "right_to_land")),
        ("U", "hkic", (True, False, False, False, True, "unconditional_stay")),
        ("C", "hkic", (True, False, False, False, False, "conditional_stay")),
        ("A", "exemption_certificate", (True, True, True, True, True, "right_of_abode")),
        ("U", "exemption_certificate", (True, False, False, False, True, "unconditional_stay")),
    ],
)
def test_symbols_map_to_rights(stay: str, evidence: str, expected: tuple[object, ...]) -> None:
    until = TODAY + timedelta(days=200) if stay == "C" else None
    values = state("residency/1", settled(stay=stay, evidence=evidence, stay_until=until))
    assert tuple(values[name] for name in RIGHTS) == expected


@pytest.mark.parametrize(
    ("kind", "residency_class"),
    [
        ("consular_card", "exempt"),
        ("recognizance", "none"),
        ("sponsor_attested", "none"),
        ("travel_document", "none"),
    ],
)
def test_evidence_without_status_states_no_rights(kind: str, residency_class: str) -> None:
    values = state("residency/1", without_number(kind))
    assert tuple(values[name] for name in RIGHTS) == (False, False, False, False, False, residency_class)
    for name in ("resident_years_ge_3", "resident_years_ge_7", "ordinarily_resident"):
        assert values[name] is False
    assert values["continuous_1y_absence_le_90d"] is False
    assert values["permission_to_work"] == "none"
    assert "resident_country" not in values


def limited(until: date | None, purpose: str = "employment") -> Person:
    return settled(stay="C", evidence="hkic", purpose=purpose, stay_until=until)


def test_a_lapsed_stay_is_no_residence() -> None:
    last_day = state("residency/1", limited(TODAY))
    assert (last_day["is_hk_resident"], last_day["permission_to_work"]) == (True, "sponsored")
    assert last_day["resident_country"] == "HK"
    lapsed = state("residency/1", limited(TODAY - timedelta(days=1)))
    assert (lapsed["is_hk_resident"], lapsed["residency_class"]) == (False, "none")
    assert (lapsed["ordinarily_resident"], lapsed["permission_to_work"]) == (False, "none")
    assert "resident_country" not in lapsed


def test_a_stay_of_unknown_length_leaves_out_what_depends_on_it() -> None:
    values = state("residency/1", limited(None))
    unknown = {
        "resident_country",
        "is_hk_resident",
        "residency_class",
        "ordinarily_resident",
        "permission_to_work",
    }
    assert not unknown & values.keys()
    assert values["is_permanent_resident"] is False
    assert values["stay_unconditional"] is False


@pytest.mark.parametrize(
    ("person", "expired"),
    [
        (settled(), False),
        (limited(TODAY), False),
        (limited(TODAY - timedelta(days=1)), True),
        (limited(None), None),
        (without_number("recognizance"), None),
    ],
)
def test_permission_expired(person: Person, expired: bool | None) -> None:
    assert permission_expired(person, TODAY) is expired


@pytest.mark.parametrize(
    ("purpose", "permission", "ordinarily"),
    [
        ("employment", "sponsored", True),
        ("imported_worker", "sponsored", False),
        ("domestic_helper", "sponsored", False),
        ("dependant", "any", True),
        ("one_way_permit", "any", True),
        ("iang", "any", True),
        ("student", "none", True),
        ("visitor", "none", False),
    ],
)
def test_purposes(purpose: str, permission: str, ordinarily: bool) -> None:
    values = state("residency/1", limited(TODAY + timedelta(days=90), purpose))
    assert (values["permission_to_work"], values["ordinarily_resident"]) == (permission, ordinarily)


def test_settled_people_work_freely() -> None:
    assert state("residency/1", settled())["permission_to_work"] == "any"


@pytest.mark.parametrize("fact", ["detained", "permanently_departed"])
def test_ordinary_residence_ends_in_prison_and_abroad(fact: str) -> None:
    assert state("residency/1", reporting(settled(), **{fact: True}))["ordinarily_resident"] is False
    reported = {name: value for name, value in settled().reported.items() if name != fact}
    assert "ordinarily_resident" not in state("residency/1", settled(reported=reported))


@pytest.mark.parametrize("limit", [3, 7])
def test_years_of_residence(limit: int) -> None:
    name = f"resident_years_ge_{limit}"
    since = date(2010, 6, 15)
    reached = date(2010 + limit, 6, 15)
    person = settled(resident_since=since)
    assert state("residency/1", person, reached)[name] is True
    assert name not in state("residency/1", person, reached - timedelta(days=1))
    assert name not in state("residency/1", person, reached - timedelta(days=29))
    assert state("residency/1", person, reached - timedelta(days=30))[name] is False
    assert name not in state("residency/1", settled(resident_since=None))


@pytest.mark.parametrize(
    ("since", "absence", "stated"),
    [
        (date(2020, 1, 1), 90, True),
        (date(2020, 1, 1), 91, False),
        (date(2026, 6, 1), 0, False),
        (date(2025, 12, 1), 0, None),
        (date(2020, 1, 1), None, None),
        (None, 0, None),
    ],
)
def test_continuous_residence(since: date | None, absence: int | None, stated: bool | None) -> None:
    reported = dict(settled().reported)
    del reported["absence_last_1y"]
    if absence is not None:
        reported["absence_last_1y"] = absence
    values = state("residency/1", settled(resident_since=since, reported=reported))
    assert values.get("continuous_1y_absence_le_90d") is stated


def test_week_and_district() -> None:
    values = state("residency/1", settled())
    assert (values["as_of_week"], values["home_district"]) == ("2026-W47", "WC")
    assert "home_district" not in state("residency/1", settled(home_district=""))


# --- Base and number


def test_base() -> None:
    assert state("base/1", DEMO.adult) == {
        "family_name": "Lorn",
        "given_name": "Kidor Balis",
        "name_zh": "雨霧霜",
        "name_zh_ccc": "9900 9901 9902",
        "birthdate": str(DEMO.adult.birth),
        "birthdate_precision": "day",
        "sex": 2,
        "identity_evidence": "hkpic",
        "card_first_registered": "2023-05",
        "issuing_country": "HK",
        "issuing_authority": "Bauhinia",
    }


def test_nationality_is_stated_only_where_it_is_registered() -> None:
    assert "nationalities" not in state("base/1", DEMO.adult)
    assert state("base/1", without_number("recognizance", nationalities=("QS",)))["nationalities"] == ("QS",)


def test_more_nationalities_than_the_catalogue_allows_are_not_signed() -> None:
    four, five = ("AA", "BB", "CC", "DD"), ("AA", "BB", "CC", "DD", "EE")
    assert state("base/1", settled(nationalities=four))["nationalities"] == four
    with pytest.raises(MintRefused):
        state("base/1", settled(nationalities=five))


@pytest.mark.parametrize(
    ("birth", "precision"), [(PartialDate(1950), "year"), (PartialDate(1950, 3), "month")]
)
def test_a_partial_birth_date_says_so(birth: PartialDate, precision: str) -> None:
    values = state("base/1", settled(birth=birth))
    assert (values["birthdate"], values["birthdate_precision"]) == (str(birth), precision)


def test_a_name_that_does_not_fit_is_left_out_whole() -> None:
    limit = TYPES["base/1"].claim("family_name").max_bytes
    assert limit is not None
    assert state("base/1", settled(family_name="X" * limit))["family_name"] == "X" * limit
    assert "family_name" not in state("base/1", settled(family_name="X" * (limit + 1)))
    assert state("base/1", settled(name_zh="雨" * 13))["name_zh"] == "雨" * 13
    assert "name_zh" not in state("base/1", settled(name_zh="雨" * 14))


def test_the_number_is_stated_in_canonical_form() -> None:
    assert state("hkid-number/1", DEMO.adult) == {"personal_administrative_number": "Q000004"}


def test_no_number_no_credential() -> None:
    with pytest.raises(NotEntitled) as refusal:
        state("hkid-number/1", without_number("consular_card"))
    assert refusal.value.code == "not_entitled"
    assert "SYN" not in str(refusal.value)


# --- Eligibility


def test_an_entitled_elder() -> None:
    values = state("eligibility/two_dollar_60/1", DEMO.elder)
    assert {name: values[name] for name in values if name != "scheme_nullifier"} == {
        "eligible": True,
        "tier": "standard",
        "valid_week": "2026-W47",
        "rule_version": 1,
    }


def test_every_scheme_is_open_to_one_of_the_demo_residents() -> None:
    for name, type in TYPES.items():
        if type.rule is not None:
            entitled = []
            for person in DEMO:
                try:
                    entitled.append(state(name, person))
                except NotEntitled:
                    continue
            assert entitled, name


def test_the_refusal_names_no_value() -> None:
    with pytest.raises(NotEntitled) as refusal:
        state("eligibility/two_dollar_60/1", DEMO.adult)
    assert str(refusal.value).endswith("condition_not_met")
    assert not any(character.isdigit() for character in str(refusal.value))


def test_tiers() -> None:
    assert state("eligibility/cvs_2023/1", DEMO.adult)["tier"] == "full"
    assert state("eligibility/cvs_2023/1", limited(TODAY))["tier"] == "half"


def test_eligibility_holds_on_every_day_of_the_window() -> None:
    junior, senior = "eligibility/library_junior/1", "eligibility/pool_senior_60/1"
    turns_18 = settled(birth=PartialDate(2008, 12, 21))  # the last day of the window
    with pytest.raises(NotEntitled):
        state(junior, turns_18)
    assert state(junior, settled(birth=PartialDate(2008, 12, 22)))["eligible"] is True
    with pytest.raises(NotEntitled):
        state(senior, settled(birth=PartialDate(1966, 11, 23)))
    assert state(senior, settled(birth=PartialDate(1966, 11, 22)))["eligible"] is True


def test_a_partial_birth_date_entitles_only_for_sure() -> None:
    name = "eligibility/pool_senior_60/1"
    assert state(name, settled(birth=PartialDate(1965)))["eligible"] is True
    with pytest.raises(NotEntitled) as refusal:
        state(name, settled(birth=PartialDate(1966)))
    assert str(refusal.value).endswith("fact_unknown")


def test_vouchers_begin_in_the_year_of_65_and_end_with_the_stay() -> None:
    name = "eligibility/hcv_65/1"
    person = settled(birth=PartialDate(1961, 11, 30))
    assert state(name, person, date(2026, 2, 1))["eligible"] is True
    with pytest.raises(NotEntitled):
        state(name, person, date(2025, 12, 1))
    visiting = replace(limited(date(2026, 2, 1)), birth=person.birth)
    assert state(name, visiting, date(2026, 2, 1))["eligible"] is True
    with pytest.raises(NotEntitled):
        state(name, visiting, date(2026, 2, 2))


def test_voters_come_of_age_at_the_next_cut_off() -> None:
    name = "eligibility/voter_gc/1"
    young = settled(birth=PartialDate(2008, 9, 25))
    assert state(name, young, date(2026, 8, 1))["eligible"] is True
    with pytest.raises(NotEntitled):
        state(name, settled(birth=PartialDate(2008, 9, 26)), date(2026, 8, 1))
    assert state(name, settled(birth=PartialDate(2008, 9, 26)), date(2026, 9, 26))["eligible"] is True
    facts = facts_of(young, valid(name, date(2026, 9, 25)))
    assert facts["age_on_voter_cut_off"] == Range(18, 19)


def test_facts_over_a_window() -> None:
    person = settled(birth=PartialDate(1961, 12, 1), resident_since=date(2020, 12, 10))
    facts = facts_of(person, valid("eligibility/scc_65/1"))
    assert facts["age"] == Range(64, 65)
    assert facts["year_age"] == Range(65, 65)
    assert facts["age_on_2023_05_29"] == Range(61, 61)
    assert facts["years_resident"] == Range(5, 6)
    assert "years_resident" not in facts_of(settled(resident_since=None), valid("age/1"))


# --- Records and nullifiers


def test_nullifiers_are_one_per_person_and_scheme() -> None:
    schemes = [type for type in TYPES.values() if type.rule is not None]
    people = [person.identity for person in population(200, seed=1, today=TODAY)]
    made = {nullifier(type, identity, KEYS) for type in schemes for identity in people}
    assert len(made) == len(schemes) * len(people)
    assert all(len(unb64u(text)) == 16 for text in made)
    again = {nullifier(type, identity, Keys()) for type in schemes for identity in people}
    assert again == made


def test_a_nullifier_is_the_prf_of_the_record() -> None:
    type = TYPES["eligibility/two_dollar_60/1"]
    scheme_key = hmac.digest(KEYS.scheme, b"bauhinia/scheme/v1|two_dollar_60", "sha256")
    record = hmac.digest(KEYS.record, b"bauhinia/v1|Q000006", "sha256")
    expected = b64u(hmac.digest(scheme_key, record, "sha256")[:16])
    assert nullifier(type, DEMO.elder.identity, KEYS) == expected
    assert state(type.name, DEMO.elder)["scheme_nullifier"] == expected
    assert nullifier(type, DEMO.elder.identity, Keys(scheme=b"t" * 32)) != expected
    assert nullifier(type, DEMO.elder.identity, Keys(record=b"t" * 32)) != expected


def test_records_of_documents_are_apart_from_those_of_numbers() -> None:
    records = {
        identity_record(KEYS.record, identity)
        for identity in (
            of_body("Q000004"),
            Document("recognizance", "Q000004"),
            Document("travel_document", "Q000004"),
            Document("recognizance", "Q000005"),
        )
    }
    assert len(records) == 4
    assert all(len(record) == 32 for record in records)


@pytest.mark.parametrize(
    ("kind", "number"),
    [("hkic", "Q000004"), ("passport", "X1234"), ("recognizance", "a|b"), ("recognizance", "")],
)
def test_a_document_has_a_kind_and_a_plain_number(kind: str, number: str) -> None:
    with pytest.raises(RegisterRowInvalid):
        Document(kind, number)


# --- What the catalogue does not know is not minted


@pytest.mark.parametrize(
    "changes", [{"sex": 7}, {"sex": True}, {"evidence": "passport"}, {"family_name": 5}, {"name_zh": ("雨",)}]
)
def test_a_value_outside_the_catalogue_is_not_minted(changes: dict[str, Any]) -> None:
    with pytest.raises(MintRefused) as refusal:
        state("base/1", settled(**changes))
    assert refusal.value.code == "mint_refused"
    assert "passport" not in str(refusal.value)


def test_a_value_longer_than_the_catalogue_allows_is_not_minted() -> None:
    type = TYPES["hkid-number/1"]
    short = replace(type, claims=(replace(type.claims[0], max_bytes=3),))
    with pytest.raises(MintRefused):
        claims_for(short, DEMO.adult, valid(type), KEYS)


def test_a_type_that_nobody_can_state_is_not_minted() -> None:
    with pytest.raises(MintRefused):
        claims_for(replace(TYPES["age/1"], name="age/2"), DEMO.adult, valid("age/1"), KEYS)


def test_ages_agree_with_the_birth_date_for_everybody() -> None:
    for person in population(500, seed=2, today=TODAY):
        values = state("age/1", person)
        assert values == age_claims(person.birth, valid("age/1"))
        born = person.birth.earliest()
        if values.get("age_over_18") is False:
            assert years_between(born, TODAY) < 18
