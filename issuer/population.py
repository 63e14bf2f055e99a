"""A made-up population of any size: the same seed and day make the same people, and none of them exists.

Identity card numbers carry the prefixes Q and QQ, which no known card has; names are put together from
invented syllables; Chinese Commercial Codes are from a block of their own. Ages follow the shape of Hong
Kong's population; one in twenty birth dates is known to the month or the year only.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import accumulate, chain, islice
from typing import Final, NamedTuple

from credentials.calendar import PartialDate, anniversary, years_between
from credentials.errors import ConfigurationInvalid
from credentials.hkid import of_body

from .person import DISTRICTS, Document, Identity, Person

RESERVED: Final = 100
"""Numbers Q000000 to Q000099 and QQ000000 to QQ000099 are kept for people with a part to play."""

_NUMBERS: Final = 1_000_000 - RESERVED
MAX_SIZE: Final = 2 * _NUMBERS
"""As many as there are numbers with the two prefixes."""

# Per mille of the population in each five years of age, the last open-ended: Hong Kong's in the mid-2020s.
_PYRAMID: Final = (23, 34, 40, 38, 42, 56, 70, 76, 78, 77, 78, 81, 89, 76, 60, 39, 22, 21)
_AGES: Final = tuple(accumulate(_PYRAMID))

_FAMILY: Final = (
    "Bral", "Cenn", "Dovo", "Evru", "Fyal", "Gorm", "Hesk", "Ilvo", "Jorv", "Kesh",
    "Lorn", "Mavu", "Nesk", "Orlu", "Pell", "Quor", "Rusk", "Sorv", "Tolm", "Vesh",
)  # fmt: skip
_ONSETS: Final = (
    "Ba",
    "Ce",
    "Di",
    "Fo",
    "Gu",
    "Ha",
    "Je",
    "Ki",
    "Lo",
    "Mu",
    "Na",
    "Pe",
    "Ri",
    "So",
    "Tu",
    "Vi",
)
_RIMES: Final = ("bel", "dor", "fin", "gan", "lis", "mor", "nox", "pal", "rem", "sil", "tun", "vok")
# Things of nature, not family names; the codes beside them are made up too, 99xx being beyond the real table.
_CHARACTERS: Final = tuple(
    (character, f"{9900 + i}") for i, character in enumerate("雨霧霜露雪冰虹霞潮汐浪溪瀑岸島礁藻苔蕨蘚")
)

_VISITING: Final = (
    ("recognizance", "refugee"),
    ("consular_card", "consular"),
    ("travel_document", "visitor"),
    ("sponsor_attested", "refugee"),
)
_LIMITED: Final = (
    "employment", "domestic_helper", "domestic_helper", "domestic_helper", "imported_worker",
    "dependant", "dependant", "one_way_permit", "student", "iang",
)  # fmt: skip

_SETTLED_FACTS: Final[dict[str, bool | int]] = {
    "conditions_of_stay": False,
    "permanently_departed": False,
    "receives_cssa": False,
    "cssa_100pct_disabled": False,
    "receives_da": False,
    "receives_oaa": False,
    "receives_oala": False,
    "owns_property": False,
    "detained": False,
    "disqualified_voter": False,
    "enrolled_student": False,
    "absence_last_1y": 12,
    "monthly_income": 9_000,
    "assets": 120_000,
}


class DemoResidents(NamedTuple):
    """People with a part to play, each with a number of their own that never changes."""

    adult: Person
    """41 years old, and the guardian of the minor; receives a disability allowance, studies part-time."""
    minor: Person
    """15 years old, with half a year to go to the next birthday."""
    elder: Person
    """72 years old, known by a certificate of exemption instead of a card."""


def demo_residents(today: date) -> DemoResidents:
    """The three, relative to ``today``: birthdays lie half a year away, so no validity window meets one."""

    def born(years: int) -> PartialDate:
        return PartialDate.of(anniversary(today, -years) - timedelta(days=182))

    def settled(body: str, years: int, family: str, given: str, name: int, **reported: bool | int) -> Person:
        name_zh, name_zh_ccc = zip(*_CHARACTERS[name : name + 3], strict=True)
        return Person(
            identity=of_body(body),
            evidence="hkpic",
            birth=born(years),
            family_name=family,
            given_name=given,
            sex=2,
            stay="A",
            purpose="settled",
            name_zh="".join(name_zh),
            name_zh_ccc=" ".join(name_zh_ccc),
            card_first_registered=f"{today.year - 3}-05",
            resident_since=born(years).latest(),
            home_district="WC",
            reported=_SETTLED_FACTS | reported,
        )

    adult = settled("Q000004", 41, "Lorn", "Kidor Balis", 0, receives_da=True, enrolled_student=True)
    minor = settled("Q000005", 15, "Lorn", "Munox Tufin", 3)
    elder = settled("Q000006", 72, "Orlu", "Sopal Hagan", 6)
    return DemoResidents(
        adult,
        replace(minor, sex=1, guardian=adult.identity),
        replace(elder, evidence="exemption_certificate", card_first_registered="", home_district="SSP"),
    )


def population(size: int, *, seed: int, today: date) -> Iterator[Person]:
    """``size`` made-up people, one after another; the first three are the demo residents.

    A guardian always comes before the minor. Raises :class:`ConfigurationInvalid` for more people than
    there are numbers (:data:`MAX_SIZE`).
    """
    if not 0 <= size <= MAX_SIZE:
        raise ConfigurationInvalid(f"a synthetic population has at most {MAX_SIZE} people")
    demo = demo_residents(today)
    return islice(chain(demo, _Generator(seed, today, demo.adult).people()), size)


@dataclass(frozen=True, slots=True)
class _Adult:
    identity: Identity
    born: date


class _Generator:
    """The random source, and a few recent adults from whom minors get a guardian."""

    def __init__(self, seed: int, today: date, adult: Person) -> None:
        self._random = random.Random(seed)  # noqa: S311 - reproducible on purpose, and nothing secret
        self._today = today
        self._first_adult = _Adult(adult.identity, adult.birth.earliest())
        self._adults: deque[_Adult] = deque(maxlen=64)
        # Numbers in a scattered order without repeats: n -> (a n + b) mod N with a coprime to N.
        self._offset = self._random.randrange(_NUMBERS)

    def people(self) -> Iterator[Person]:
        number = 0
        while True:
            if self._random.random() < 0.015:
                yield self._without_number(number)
            else:
                yield self._with_number(number)
            number += 1

    def _body(self, number: int) -> str:
        prefix = "Q" if number < _NUMBERS else "QQ"
        digits = (number % _NUMBERS * 617_327 + self._offset) % _NUMBERS + RESERVED
        return f"{prefix}{digits:06}"

    def _born(self) -> date:
        draw = self._random.random() * _AGES[-1]
        age = 5 * sum(draw >= bound for bound in _AGES)
        span = 365 * (5 if age < 85 else 18)
        return self._today - timedelta(days=int(age * 365.25) + self._random.randrange(span))

    def _known(self, born: date) -> PartialDate:
        draw = self._random.random()
        if draw < 0.03:
            return PartialDate(born.year)
        return PartialDate(born.year, born.month) if draw < 0.05 else PartialDate.of(born)

    def _person(self, identity: Identity, evidence: str, stay: str, purpose: str, born: date) -> Person:
        pick = self._random.choice
        first, second, third = pick(_CHARACTERS), pick(_CHARACTERS), pick(_CHARACTERS)
        return Person(
            identity=identity,
            evidence=evidence,
            birth=self._known(born),
            family_name=pick(_FAMILY),
            given_name=f"{pick(_ONSETS)}{pick(_RIMES)} {pick(_ONSETS)}{pick(_RIMES)}",
            sex=1 + (self._random.random() < 0.54),
            stay=stay,
            purpose=purpose,
            name_zh=first[0] + second[0] + third[0],
            name_zh_ccc=f"{first[1]} {second[1]} {third[1]}",
            home_district=pick(DISTRICTS),
        )

    def _with_number(self, number: int) -> Person:
        born, identity = self._born(), of_body(self._body(number))
        age = years_between(born, self._today)
        draw = self._random.random()
        stay = "A" if draw < 0.88 else "C" if draw < 0.96 else "U" if draw < 0.985 else "R"
        purpose = self._random.choice(_LIMITED) if stay == "C" else "settled"
        if age < 18 and purpose not in ("settled", "student"):
            purpose = "dependant"
        evidence = "hkpic" if stay == "A" else "hkic"
        if age >= 60 and self._random.random() < 0.02:
            evidence = "exemption_certificate"
        person = self._person(identity, evidence, stay, purpose, born)
        if 25 <= age < 70:
            self._adults.append(_Adult(identity, born))
        registered = self._random.randrange(max(1, self._today.year - born.year - 10)) if age >= 11 else 0
        carded = age >= 11 and evidence != "exemption_certificate"
        return replace(
            person,
            card_first_registered=f"{self._today.year - registered}-01" if carded else "",
            stay_until=self._stay_until() if stay == "C" else None,
            resident_since=self._resident_since(born, stay),
            guardian=self._guardian(born) if age < 18 else None,
            reported=self._reported(age, stay, purpose),
        )

    def _without_number(self, number: int) -> Person:
        born = self._born()
        evidence, purpose = self._random.choice(_VISITING)
        identity = Document(evidence, f"SYN{number:07}")
        person = self._person(identity, evidence, "none", purpose, born)
        nationalities = ("QS",) if evidence == "recognizance" and self._random.random() < 0.3 else ()
        young = years_between(born, self._today) < 18
        return replace(person, nationalities=nationalities, guardian=self._guardian(born) if young else None)

    def _stay_until(self) -> date:
        # One in twelve has lapsed already.
        return self._today + timedelta(days=self._random.randrange(-60, 700))

    def _resident_since(self, born: date, stay: str) -> date:
        lived = (self._today - born).days
        if stay == "A" and self._random.random() < 0.7:
            return born
        longest = min(lived, 365 * (10 if stay == "C" else 45))
        return self._today - timedelta(days=self._random.randrange(longest + 1))

    def _guardian(self, born: date) -> Identity:
        for adult in self._adults:
            if 18 <= years_between(adult.born, born) <= 50:
                self._adults.rotate(-7)  # the next minor gets somebody else
                return adult.identity
        return self._first_adult.identity

    def _reported(self, age: int, stay: str, purpose: str) -> dict[str, bool | int]:
        draw = self._random.random
        receives = draw() if age >= 65 and stay == "A" else 1.0
        disabled = draw() < 0.03
        return {
            "conditions_of_stay": stay == "C",
            "permanently_departed": draw() < 0.01,
            "receives_cssa": disabled and draw() < 0.3,
            "cssa_100pct_disabled": disabled and draw() < 0.1,
            "receives_da": disabled and draw() < 0.4,
            "receives_oaa": age >= 70 and receives < 0.3,
            "receives_oala": 0.3 <= receives < 0.65,
            "owns_property": age >= 25 and draw() < 0.4,
            "detained": draw() < 0.001,
            "disqualified_voter": draw() < 0.001,
            "enrolled_student": purpose == "student" or (17 <= age < 25 and draw() < 0.5),
            "absence_last_1y": int(draw() ** 3 * 300),
            "monthly_income": int(draw() ** 2 * 40_000) if age >= 18 else 0,
            "assets": int(draw() ** 3 * 2_000_000) if age >= 18 else 0,
        }
