"""Hong Kong days and ages, against an oracle that looks at every day and every possible birth date."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from credentials import calendar
from credentials.calendar import (
    BANDS,
    DAY,
    HONG_KONG,
    THRESHOLDS,
    PartialDate,
    age_claims,
    anniversary,
    first_day,
    last_day,
    midnight,
    start_of,
    window,
    years_between,
)
from credentials.catalog import load_catalogue
from credentials.errors import ConfigurationInvalid, DateMalformed
from credentials.model import Window

DAYS = st.dates(date(1990, 1, 1), date(2060, 12, 31))
BIRTHS = st.dates(date(1900, 1, 1), date(2060, 12, 31))


@st.composite
def partial_dates(draw: st.DrawFn) -> PartialDate:
    day = draw(BIRTHS)
    return draw(
        st.sampled_from([PartialDate.of(day), PartialDate(day.year, day.month), PartialDate(day.year)])
    )


def at(day: date, days: int = 7) -> Window:
    return window(start_of(day), days)


def possible_births(birth: PartialDate) -> list[date]:
    first = birth.earliest()
    return [first + timedelta(days=i) for i in range((birth.latest() - first).days + 1)]


def age(born: date, day: date) -> int:
    """The oracle: count birthdays one by one, 29 February falling on 1 March of a common year."""
    years = -1
    birthday = born
    while birthday <= day:
        years += 1
        year = born.year + years + 1
        leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
        birthday = (
            date(year, 3, 1) if (born.month, born.day) == (2, 29) and not leap else born.replace(year=year)
        )
    return years


def oracle(birth: PartialDate, days: list[date]) -> dict[str, object]:
    """Every statement that holds for all possible births on all days, and no other."""
    births = possible_births(birth)
    # Only the extremes of both can differ from what lies between; years in between are the same statement.
    ages = {age(born, day) for born in {births[0], births[-1]} for day in days}
    claims: dict[str, object] = {}
    for threshold in THRESHOLDS:
        answers = {years >= threshold for years in ages}
        if len(answers) == 1:
            claims[f"age_over_{threshold}"] = answers.pop()
    answers = {day.year - birth.year >= 65 for day in days}
    if len(answers) == 1:
        claims["year_age_over_65"] = answers.pop()
    bands = {band(years) for years in ages}
    if len(bands) == 1:
        claims["age_band"] = bands.pop()
    return claims


def band(years: int) -> str:
    if years < 11:
        return "under_11"
    limits = {"11-14": 14, "15": 15, "16-17": 17, "18-20": 20, "21-59": 59, "60-64": 64, "65-69": 69}
    return next((name for name, limit in limits.items() if years <= limit), "70+")


@given(st.integers(0, 4_000_000_000))
def test_midnight_agrees_with_the_time_zone_database(now: int) -> None:
    zone = ZoneInfo("Asia/Hong_Kong")
    moment = datetime.fromtimestamp(now, zone)
    if moment.utcoffset() != timedelta(hours=8):  # summer time, until 1979
        return
    start = datetime.fromtimestamp(midnight(now), HONG_KONG)
    assert (start.hour, start.minute, start.second) == (0, 0, 0)
    assert start.date() == moment.date() == calendar.day_of(now)


def test_the_day_changes_at_midnight_in_hong_kong() -> None:
    # 2026-11-21T16:00:00Z is 00:00 on the 22nd in Hong Kong.
    start = 1_795_276_800
    assert calendar.day_of(start - 1) == date(2026, 11, 21)
    assert calendar.day_of(start) == date(2026, 11, 22)
    assert midnight(start) == midnight(start + DAY - 1) == start == start_of(date(2026, 11, 22))


@given(DAYS, st.integers(0, DAY - 1), st.integers(1, 40))
def test_a_window_says_the_day_and_nothing_more(day: date, second: int, days: int) -> None:
    made = window(start_of(day) + second, days)
    assert made == window(start_of(day), days)
    assert made.end - made.start == days * DAY
    assert (first_day(made), last_day(made)) == (day, day + timedelta(days=days - 1))


def test_an_empty_window_is_refused() -> None:
    with pytest.raises(ConfigurationInvalid):
        window(0, 0)


def test_week() -> None:
    assert calendar.week(at(date(2026, 11, 22))) == "2026-W47"
    assert calendar.week(at(date(2027, 1, 3))) == "2026-W53"


@pytest.mark.parametrize(
    ("text", "first", "last", "precision"),
    [
        ("1950", date(1950, 1, 1), date(1950, 12, 31), "year"),
        ("1952-02", date(1952, 2, 1), date(1952, 2, 29), "month"),
        ("1951-02", date(1951, 2, 1), date(1951, 2, 28), "month"),
        ("1950-12", date(1950, 12, 1), date(1950, 12, 31), "month"),
        ("1950-07-04", date(1950, 7, 4), date(1950, 7, 4), "day"),
    ],
)
def test_partial_dates(text: str, first: date, last: date, precision: str) -> None:
    birth = PartialDate.parse(text)
    assert (birth.earliest(), birth.latest(), birth.precision, str(birth)) == (first, last, precision, text)


@pytest.mark.parametrize(
    "text",
    "|50|1950-|1950-13|1950-00|1950-02-30|1950-2-3|19500203|1950-02-03 |1799|2400|0000|1950-02-00|١٩٥٠".split(
        "|"
    ),
)
def test_malformed_dates(text: str) -> None:
    with pytest.raises(DateMalformed) as refusal:
        PartialDate.parse(text)
    assert refusal.value.code == "date_malformed"


def test_a_day_needs_a_month() -> None:
    with pytest.raises(DateMalformed):
        PartialDate(1950, None, 3)


def test_29_february_becomes_1_march() -> None:
    born = date(2008, 2, 29)
    assert anniversary(born, 18) == date(2026, 3, 1)
    assert anniversary(born, 20) == date(2028, 2, 29)
    assert years_between(born, date(2026, 2, 28)) == 17
    assert years_between(born, date(2026, 3, 1)) == 18
    birth = PartialDate.of(born)
    last = Window(start_of(date(2026, 2, 28)), start_of(date(2026, 3, 1)))
    first = Window(last.end, last.end + DAY)
    assert age_claims(birth, last)["age_over_18"] is False
    assert age_claims(birth, first)["age_over_18"] is True


@given(BIRTHS, DAYS)
def test_years_between_agrees_with_the_oracle(born: date, day: date) -> None:
    if born <= day:
        assert years_between(born, day) == age(born, day)
    else:
        assert years_between(born, day) < 0


@given(partial_dates(), DAYS, st.integers(1, 40))
@example(PartialDate(2008, 2, 29), date(2026, 2, 22), 7)
@example(PartialDate(2008, 2, 29), date(2026, 2, 21), 7)
@example(PartialDate(2008, 2), date(2026, 2, 28), 1)
@example(PartialDate(1961), date(2026, 12, 31), 1)
@example(PartialDate(1961), date(2025, 12, 28), 7)
def test_claims_are_exactly_what_holds_on_every_day(birth: PartialDate, day: date, days: int) -> None:
    every = [day + timedelta(days=i) for i in range(days)]
    assert age_claims(birth, at(day, days)) == oracle(birth, every)


@given(partial_dates(), DAYS, st.integers(0, 400))
def test_over_never_turns_back(birth: PartialDate, day: date, later: int) -> None:
    before, after = age_claims(birth, at(day)), age_claims(birth, at(day + timedelta(days=later)))
    for name, value in before.items():
        if value is True:
            assert after[name] is True
        if value is False and name in after and name != "age_band":
            assert after[name] in (False, True)
    for name, value in after.items():
        if value is False:
            assert before[name] is False


@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_the_claim_is_out_while_the_window_meets_the_birthday(threshold: int) -> None:
    born = date(1980, 6, 15)
    birthday = anniversary(born, threshold)
    name = f"age_over_{threshold}"
    birth = PartialDate.of(born)
    assert age_claims(birth, at(birthday - timedelta(days=7)))[name] is False
    for before in range(1, 7):
        meeting = age_claims(birth, at(birthday - timedelta(days=before)))
        assert name not in meeting
        assert "age_band" not in meeting
    assert age_claims(birth, at(birthday))[name] is True


def test_a_year_of_birth_alone_states_neither_in_that_year() -> None:
    birth = PartialDate(2008)
    assert age_claims(birth, at(date(2025, 12, 25)))["age_over_18"] is False
    assert "age_over_18" not in age_claims(birth, at(date(2026, 1, 1)))
    assert "age_over_18" not in age_claims(birth, at(date(2026, 12, 30)))
    assert age_claims(birth, at(date(2026, 12, 31)))["age_over_18"] is True


def test_the_voucher_year_begins_on_1_january() -> None:
    birth = PartialDate(1961, 11, 30)
    assert age_claims(birth, at(date(2025, 12, 25)))["year_age_over_65"] is False
    assert "year_age_over_65" not in age_claims(birth, at(date(2025, 12, 26)))
    claims = age_claims(birth, at(date(2026, 1, 1)))
    assert (claims["year_age_over_65"], claims["age_over_65"]) == (True, False)


def test_thresholds_and_bands_are_those_of_the_catalogue() -> None:
    type = load_catalogue().types["age/1"]
    expected = {*(f"age_over_{threshold}" for threshold in THRESHOLDS), "year_age_over_65", "age_band"}
    assert {claim.name for claim in type.claims} == expected
    assert type.claim("age_band").enum == BANDS
