"""Hong Kong days, validity windows, and ages that are true on every day of a window.

An age is attained at the start of the birthday in Hong Kong (UTC+8, no summer time since 1979). Somebody
born on 29 February attains it on 1 March of a common year. Where a register knows only the year, or year
and month, of a birth, "over" is stated for the latest possible day and "under" for the earliest: in
between neither is stated.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Final

from .errors import ConfigurationInvalid, DateMalformed
from .model import Seconds, Value, Window

HONG_KONG: Final = timezone(timedelta(hours=8), "HKT")
DAY: Final = 86_400
_OFFSET: Final = 8 * 3600

THRESHOLDS: Final = (11, 15, 16, 18, 21, 60, 65, 70)
"""Ages that ``age/1`` states."""

YEAR_THRESHOLD: Final = 65
"""``year_age_over_65``: calendar year less year of birth, as for the health care vouchers."""

BANDS: Final = ("under_11", "11-14", "15", "16-17", "18-20", "21-59", "60-64", "65-69", "70+")
"""Between the thresholds, so one more than there are."""

_PARTIAL: Final = re.compile(r"([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2}))?)?")


def day_of(moment: Seconds) -> date:
    """The calendar day in Hong Kong."""
    return (datetime.fromtimestamp(moment, UTC) + timedelta(seconds=_OFFSET)).date()


def midnight(now: Seconds) -> Seconds:
    """Hong Kong midnight at the start of the day that ``now`` lies in."""
    return (now + _OFFSET) // DAY * DAY - _OFFSET


def start_of(day: date) -> Seconds:
    """Hong Kong midnight at the start of ``day``."""
    return (day - date(1970, 1, 1)).days * DAY - _OFFSET


def window(now: Seconds, days: int) -> Window:
    """The validity of everything issued on the day of ``now``: from its Hong Kong midnight, ``days`` long.

    Nothing about the person or the moment of issue shows in it.
    """
    if days < 1:
        raise ConfigurationInvalid("a validity window lasts at least one day")
    start = midnight(now)
    return Window(start, start + days * DAY)


def first_day(window: Window) -> date:
    return day_of(window.start)


def last_day(window: Window) -> date:
    """The last day of which any second lies in the window."""
    return day_of(window.end - 1)


def week(window: Window) -> str:
    """The ISO 8601 week that the window starts in, ``2026-W47``."""
    year, number, _ = first_day(window).isocalendar()
    return f"{year:04}-W{number:02}"


@dataclass(frozen=True, slots=True)
class PartialDate:
    """A date of which the day, or month and day, may be unknown; years 1800 to 2399.

    Raises :class:`DateMalformed`.
    """

    year: int
    month: int | None = None
    day: int | None = None

    def __post_init__(self) -> None:
        if self.day is not None and self.month is None:
            raise DateMalformed("a day without a month is no date")
        if not 1800 <= self.year < 2400:
            raise DateMalformed("not a year of anybody's life")
        try:
            date(self.year, 1 if self.month is None else self.month, 1 if self.day is None else self.day)
        except ValueError:
            raise DateMalformed("no such day") from None

    @classmethod
    def parse(cls, text: str) -> PartialDate:
        """Read ``YYYY``, ``YYYY-MM`` or ``YYYY-MM-DD``."""
        match = _PARTIAL.fullmatch(text)
        if match is None:
            raise DateMalformed("not YYYY, YYYY-MM or YYYY-MM-DD")
        month, day = match[2], match[3]
        return cls(int(match[1]), int(month) if month else None, int(day) if day else None)

    @classmethod
    def of(cls, day: date) -> PartialDate:
        return cls(day.year, day.month, day.day)

    @property
    def precision(self) -> str:
        """``day``, ``month`` or ``year``."""
        return "year" if self.month is None else "month" if self.day is None else "day"

    def earliest(self) -> date:
        return date(self.year, self.month or 1, self.day or 1)

    def latest(self) -> date:
        if self.month is None:
            return date(self.year, 12, 31)
        if self.day is None:
            first_of_next = date(self.year + self.month // 12, self.month % 12 + 1, 1)
            return first_of_next - timedelta(days=1)
        return date(self.year, self.month, self.day)

    def __str__(self) -> str:
        parts = [f"{self.year:04}"] + [f"{part:02}" for part in (self.month, self.day) if part is not None]
        return "-".join(parts)


def anniversary(day: date, years: int) -> date:
    """The day on which ``years`` have passed since ``day``: since 29 February, 1 March of a common year."""
    try:
        return day.replace(year=day.year + years)
    except ValueError:
        return date(day.year + years, 3, 1)


def years_between(since: date, day: date) -> int:
    """Whole years from ``since`` to ``day``; negative when ``day`` comes first."""
    years = day.year - since.year
    return years if day >= anniversary(since, years) else years - 1


def age_range(birth: PartialDate, window: Window) -> tuple[int, int]:
    """The least and the greatest age that the person can have on any day of the window."""
    return (
        years_between(birth.latest(), first_day(window)),
        years_between(birth.earliest(), last_day(window)),
    )


def year_age_range(birth: PartialDate, window: Window) -> tuple[int, int]:
    """Calendar year less year of birth, at the start and at the end of the window."""
    return first_day(window).year - birth.year, last_day(window).year - birth.year


def age_claims(birth: PartialDate, window: Window) -> dict[str, Value]:
    """The claims of ``age/1`` that are true on every day of ``window``, whatever the unknown day of birth.

    Others are left out, so that no validity has to end on a birthday.
    """
    low, high = age_range(birth, window)
    claims: dict[str, Value] = {}
    for threshold in THRESHOLDS:
        if (low >= threshold) == (high >= threshold):
            claims[f"age_over_{threshold}"] = low >= threshold
    year_low, year_high = year_age_range(birth, window)
    if (year_low >= YEAR_THRESHOLD) == (year_high >= YEAR_THRESHOLD):
        claims[f"year_age_over_{YEAR_THRESHOLD}"] = year_low >= YEAR_THRESHOLD
    bands = {sum(age >= threshold for threshold in THRESHOLDS) for age in (low, high)}
    if len(bands) == 1:
        claims["age_band"] = BANDS[bands.pop()]
    return claims
