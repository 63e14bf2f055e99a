"""Made-up people: reproducible, of a believable shape, and nobody real."""

from __future__ import annotations

from collections import Counter
from datetime import date
from itertools import islice

import pytest

from credentials.calendar import age_claims, start_of, window, years_between
from credentials.catalog import load_catalogue
from credentials.errors import ConfigurationInvalid
from credentials.hkid import Hkid, refuse_real
from credentials.rules import FACTS
from issuer.columns import read_row, write_row
from issuer.person import (
    DISTRICTS,
    EVIDENCE,
    PURPOSES,
    REPORTED_BOOLEANS,
    REPORTED_INTEGERS,
    Document,
    Identity,
    Person,
)
from issuer.population import MAX_SIZE, RESERVED, demo_residents, population

TODAY = date(2026, 11, 22)
PEOPLE = list(population(20_000, seed=7, today=TODAY))


def age(person: Person) -> int:
    return years_between(person.birth.earliest(), TODAY)


def test_the_same_seed_makes_the_same_people() -> None:
    assert list(population(500, seed=7, today=TODAY)) == PEOPLE[:500]
    assert list(population(500, seed=8, today=TODAY))[3:] != PEOPLE[3:500]


def test_people_come_one_by_one() -> None:
    assert len(list(islice(population(1_500_000, seed=1, today=TODAY), 10))) == 10


@pytest.mark.parametrize("size", [0, 1, 3, 10])
def test_any_size(size: int) -> None:
    assert len(list(population(size, seed=1, today=TODAY))) == size


@pytest.mark.parametrize("size", [-1, MAX_SIZE + 1])
def test_more_people_than_numbers_are_refused(size: int) -> None:
    with pytest.raises(ConfigurationInvalid):
        population(size, seed=1, today=TODAY)


def test_nobody_has_a_real_number_and_nobody_the_number_of_another() -> None:
    for person in PEOPLE:
        if person.hkid is not None:
            refuse_real(person.hkid)
    assert len({person.identity for person in PEOPLE}) == len(PEOPLE)


def test_two_letters_follow_when_one_letter_is_used_up() -> None:
    # The numbers of the last people of the largest population, made without making all the others.
    from issuer.population import _Generator

    generator = _Generator(7, TODAY, demo_residents(TODAY).adult)
    bodies = [generator._body(number) for number in (0, 999_899, 999_900, MAX_SIZE - 1)]
    assert [len(body) for body in bodies] == [7, 7, 8, 8]
    assert all(int(body[-6:]) >= RESERVED for body in bodies)


def test_every_status_evidence_and_purpose_occurs() -> None:
    assert {person.stay for person in PEOPLE} == {"A", "R", "U", "C", "none"}
    assert {person.evidence for person in PEOPLE} == set(EVIDENCE)
    assert {person.purpose for person in PEOPLE} == set(PURPOSES)
    assert {person.home_district for person in PEOPLE} == set(DISTRICTS)
    assert any(person.nationalities == ("QS",) for person in PEOPLE)
    assert any(person.stay_until is not None and person.stay_until < TODAY for person in PEOPLE)


def test_one_birth_date_in_twenty_is_partial() -> None:
    partial = sum(person.birth.precision != "day" for person in PEOPLE)
    assert 0.04 < partial / len(PEOPLE) < 0.06


def test_the_age_pyramid_is_wide_in_the_middle() -> None:
    decades = Counter(min(age(person), 89) // 10 for person in PEOPLE)
    share = {decade: count / len(PEOPLE) for decade, count in decades.items()}
    assert share[6] > share[4] > share[2] > share[0] > 0.03
    assert 0.15 < sum(age(person) >= 65 for person in PEOPLE) / len(PEOPLE) < 0.30
    assert all(person.birth.earliest() <= TODAY for person in PEOPLE)


def test_minors_have_a_guardian_who_came_before() -> None:
    seen: dict[Identity, Person] = {}
    minors = [person for person in PEOPLE[3:] if years_between(person.birth.latest(), TODAY) < 17]
    assert len(minors) > 1000
    for person in PEOPLE:
        if person.guardian is not None:
            guardian = seen[person.guardian]
            assert age(guardian) >= 18
        seen[person.identity] = person
    assert all(minor.guardian is not None for minor in minors)
    assert max(Counter(minor.guardian for minor in minors).values()) < 30


def test_every_person_is_a_good_row() -> None:
    for person in PEOPLE:
        assert read_row(write_row(person), today=TODAY, synthetic_only=True) == person


def test_every_name_fits_the_catalogue() -> None:
    base = load_catalogue().types["base/1"]
    for name in ("family_name", "given_name", "name_zh", "name_zh_ccc"):
        limit = base.claim(name).max_bytes
        assert limit is not None
        assert all(len(getattr(person, name).encode()) <= limit for person in PEOPLE)


def test_reported_facts_are_facts_of_the_rules() -> None:
    assert {*REPORTED_BOOLEANS, *REPORTED_INTEGERS} <= FACTS.keys()
    assert all(person.reported.keys() <= FACTS.keys() for person in PEOPLE)


def test_nobody_prints() -> None:
    for person in PEOPLE[:100]:
        for text in (repr(person), str(person), f"{person}", repr(person.identity), str(person.identity)):
            assert text in ("Person(…)", "Hkid(…)", "Document(…)")


def test_the_demo_residents_keep_their_numbers() -> None:
    for today in (TODAY, date(2028, 2, 29), date(2027, 1, 1)):
        demo = demo_residents(today)
        numbers = [person.hkid.canonical for person in demo if person.hkid]
        assert numbers == ["Q000004", "Q000005", "Q000006"]
        assert demo.minor.guardian == demo.adult.identity
        assert demo.elder.evidence == "exemption_certificate"
        ages = [years_between(person.birth.earliest(), today) for person in demo]
        assert ages == [41, 15, 72]
        for person in demo:
            # No birthday and no change of year of age within any window issued on that day.
            for days in (7, 30):
                assert len(age_claims(person.birth, window(start_of(today), days))) == 10
    assert tuple(PEOPLE[:3]) == tuple(demo_residents(TODAY))


def test_document_numbers_are_made_up_too() -> None:
    documents = [person.identity for person in PEOPLE if isinstance(person.identity, Document)]
    assert documents
    assert all(document.number.startswith("SYN") for document in documents)
    assert not any(isinstance(document, Hkid) for document in documents)
