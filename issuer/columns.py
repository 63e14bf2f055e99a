"""One person as a row of text, one column a fact: what the CSV file and the register's rows hold.

Reading is strict and reports by column and reason code; a reason never repeats the value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, Final, Literal, TypeAlias

from credentials import hkid as hkids
from credentials.calendar import PartialDate
from credentials.errors import DateMalformed, HkidCheckFailed, HkidMalformed
from credentials.hkid import SYNTHETIC_PREFIXES, Hkid

from .person import (
    DISTRICTS,
    EVIDENCE,
    NOT_RESIDENT,
    PURPOSES,
    REPORTED_BOOLEANS,
    REPORTED_INTEGERS,
    STAY,
    Document,
    Identity,
    Person,
)

Reason: TypeAlias = Literal[
    "missing",
    "malformed",
    "check_character",
    "not_synthetic",
    "not_in_list",
    "too_long",
    "too_long_to_state",
    "in_future",
    "inconsistent",
    "duplicate",
    "guardian_unknown",
    "column_missing",
    "column_unknown",
    "column_repeated",
    "cell_count",
    "not_utf8",
    "not_csv",
]
"""What is wrong with a cell, or with a row."""

COLUMNS: Final = (
    "hkid",
    "evidence",
    "evidence_number",
    "birth",
    "family_name",
    "given_name",
    "name_zh",
    "name_zh_ccc",
    "sex",
    "nationalities",
    "card_first_registered",
    "stay",
    "stay_until",
    "purpose",
    "resident_since",
    "home_district",
    "guardian_hkid",
    "guardian_evidence",
    "guardian_number",
    *REPORTED_BOOLEANS,
    *REPORTED_INTEGERS,
)
"""Every column, in the order of the template. An empty cell means unknown."""

REQUIRED: Final = frozenset({"evidence", "birth", "family_name", "sex", "stay", "purpose"})

_MAX_CELL: Final = 100
_NUMBER: Final = re.compile(r"[A-Z0-9]{4,20}")
_MONTH: Final = re.compile(r"(19|20)[0-9]{2}-(0[1-9]|1[0-2])")
_CODES: Final = re.compile(r"[0-9]{4}( [0-9]{4})*")
_NATIONS: Final = re.compile(r"[A-Z]{2}( [A-Z]{2}){0,3}")
_COUNT: Final = re.compile(r"[0-9]{1,9}")


class _Wrong(Exception):
    """One cell that cannot be read; ``reason`` says why. Never leaves this module."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason: Reason = reason


def _text(cell: str) -> str:
    if not cell.isprintable():
        raise _Wrong("malformed")
    return cell


def _matching(pattern: re.Pattern[str]) -> Callable[[str], str]:
    def read(cell: str) -> str:
        if not pattern.fullmatch(cell):
            raise _Wrong("malformed")
        return cell

    return read


def _one_of(choices: tuple[object, ...]) -> Callable[[str], str]:
    def read(cell: str) -> str:
        if cell not in choices:
            raise _Wrong("not_in_list")
        return cell

    return read


def _hkid(cell: str) -> Hkid:
    try:
        return hkids.parse(cell)
    except HkidCheckFailed:
        raise _Wrong("check_character") from None
    except HkidMalformed:
        raise _Wrong("malformed") from None


def _partial(cell: str) -> PartialDate:
    try:
        return PartialDate.parse(cell)
    except DateMalformed:
        raise _Wrong("malformed") from None


def _date(cell: str) -> date:
    day = _partial(cell)
    if day.precision != "day":
        raise _Wrong("malformed")
    return day.earliest()


def _yes_no(cell: str) -> bool:
    return _one_of(("yes", "no"))(cell) == "yes"


def _count(cell: str) -> int:
    return int(_matching(_COUNT)(cell))


_READ: Final[Mapping[str, Callable[[str], Any]]] = {
    "hkid": _hkid,
    "evidence": _one_of(EVIDENCE),
    "evidence_number": _matching(_NUMBER),
    "birth": _partial,
    "family_name": _text,
    "given_name": _text,
    "name_zh": _text,
    "name_zh_ccc": _matching(_CODES),
    "sex": lambda cell: int(_one_of(("0", "1", "2", "9"))(cell)),
    "nationalities": lambda cell: tuple(_matching(_NATIONS)(cell).split(" ")),
    "card_first_registered": _matching(_MONTH),
    "stay": _one_of(STAY),
    "stay_until": _date,
    "purpose": _one_of(PURPOSES),
    "resident_since": _date,
    "home_district": _one_of(DISTRICTS),
    "guardian_hkid": _hkid,
    "guardian_evidence": _one_of(EVIDENCE[2:]),
    "guardian_number": _matching(_NUMBER),
    **dict.fromkeys(REPORTED_BOOLEANS, _yes_no),
    **dict.fromkeys(REPORTED_INTEGERS, _count),
}


def read_row(
    cells: Mapping[str, str], *, today: date, synthetic_only: bool
) -> Person | tuple[tuple[str, Reason], ...]:
    """The person in a row, or every column that is wrong with the reason why."""
    wrong: dict[str, Reason] = {}
    values: dict[str, Any] = {}
    for column in COLUMNS:
        cell = cells.get(column, "").strip(" \u3000")
        if not cell:
            if column in REQUIRED:
                wrong[column] = "missing"
            continue
        try:
            if len(cell) > _MAX_CELL:
                raise _Wrong("too_long")
            values[column] = _READ[column](cell)
        except _Wrong as error:
            wrong[column] = error.reason
    for column, reason in _across(values, wrong, today=today, synthetic_only=synthetic_only):
        wrong.setdefault(column, reason)
    return tuple(wrong.items()) if wrong else _person(values)


def _across(
    values: Mapping[str, Any], wrong: Mapping[str, Reason], *, today: date, synthetic_only: bool
) -> list[tuple[str, Reason]]:
    """What only two columns together, or the day, show to be wrong."""
    found: list[tuple[str, Reason]] = []
    evidence, stay, birth = values.get("evidence"), values.get("stay"), values.get("birth")
    for column in ("hkid", "guardian_hkid"):
        if synthetic_only and column in values and values[column].prefix not in SYNTHETIC_PREFIXES:
            found.append((column, "not_synthetic"))
    # Somebody is told apart by an identity card number, or else by the number of the document.
    if "hkid" not in values and "hkid" not in wrong:
        if evidence in ("hkic", "hkpic"):
            found.append(("hkid", "missing"))
        elif "evidence_number" not in values:
            found.append(("evidence_number", "missing"))
    if ("guardian_evidence" in values) != ("guardian_number" in values):
        found.append(("guardian_number", "inconsistent"))
    if "guardian_hkid" in values and "guardian_number" in values:
        found.append(("guardian_number", "inconsistent"))
    if evidence and stay and not _agrees(evidence, stay):
        found.append(("stay", "inconsistent"))
    if "stay_until" in values and stay != "C":
        found.append(("stay_until", "inconsistent"))
    if birth is not None and birth.earliest() > today:
        found.append(("birth", "in_future"))
    since = values.get("resident_since")
    if since is not None and since > today:
        found.append(("resident_since", "in_future"))
    elif since is not None and birth is not None and since < birth.earliest():
        found.append(("resident_since", "inconsistent"))
    return found


def _agrees(evidence: str, stay: str) -> bool:
    """A permanent card means the right of abode; no card and no certificate means no status."""
    if evidence in NOT_RESIDENT:
        return stay == "none"
    if evidence == "exemption_certificate":
        return stay != "none"
    return (stay == "A") == (evidence == "hkpic") and stay != "none"


def _person(values: Mapping[str, Any]) -> Person:
    identity: Identity = values.get("hkid") or Document(values["evidence"], values["evidence_number"])
    guardian: Identity | None = values.get("guardian_hkid")
    if "guardian_number" in values:
        guardian = Document(values["guardian_evidence"], values["guardian_number"])
    return Person(
        identity=identity,
        evidence=values["evidence"],
        birth=values["birth"],
        family_name=values["family_name"],
        given_name=values.get("given_name", ""),
        sex=values["sex"],
        stay=values["stay"],
        purpose=values["purpose"],
        name_zh=values.get("name_zh", ""),
        name_zh_ccc=values.get("name_zh_ccc", ""),
        nationalities=values.get("nationalities", ()),
        card_first_registered=values.get("card_first_registered", ""),
        stay_until=values.get("stay_until"),
        resident_since=values.get("resident_since"),
        home_district=values.get("home_district", ""),
        guardian=guardian,
        reported={name: values[name] for name in (*REPORTED_BOOLEANS, *REPORTED_INTEGERS) if name in values},
    )


def write_row(person: Person) -> dict[str, str]:
    """The row of ``person``; unknown columns are left out. ``read_row`` gives the same person back."""
    cells = {
        "evidence": person.evidence,
        "birth": str(person.birth),
        "family_name": person.family_name,
        "given_name": person.given_name,
        "name_zh": person.name_zh,
        "name_zh_ccc": person.name_zh_ccc,
        "sex": str(person.sex),
        "nationalities": " ".join(person.nationalities),
        "card_first_registered": person.card_first_registered,
        "stay": person.stay,
        "stay_until": "" if person.stay_until is None else person.stay_until.isoformat(),
        "purpose": person.purpose,
        "resident_since": "" if person.resident_since is None else person.resident_since.isoformat(),
        "home_district": person.home_district,
    }
    if isinstance(person.identity, Hkid):
        cells["hkid"] = f"{person.identity.body}({person.identity.check})"
    else:
        cells["evidence_number"] = person.identity.number
    if isinstance(person.guardian, Hkid):
        cells["guardian_hkid"] = f"{person.guardian.body}({person.guardian.check})"
    elif person.guardian is not None:
        cells |= {"guardian_evidence": person.guardian.kind, "guardian_number": person.guardian.number}
    for name, value in person.reported.items():
        cells[name] = str(value) if not isinstance(value, bool) else "yes" if value else "no"
    return {column: cell for column, cell in cells.items() if cell}
