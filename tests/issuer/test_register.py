"""The register: finding and reading people, and a CSV import that names every bad cell and no value."""

from __future__ import annotations

import csv
import io
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from credentials.calendar import PartialDate
from credentials.errors import FileUnreadable, PersonUnknown, RegisterRowInvalid, StoreInvalid
from credentials.hkid import of_body
from issuer.columns import COLUMNS, REQUIRED, write_row
from issuer.person import Document, Person
from issuer.population import demo_residents, population
from issuer.register import Register, SqliteRegister
from issuer.register_file import BadCell, Report, check_file, import_file, template
from web.database import sqlite_url

TODAY = date(2026, 11, 22)
DEMO = demo_residents(TODAY)
KEY = b"k" * 32


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "register.db"


@pytest.fixture
def register(file: Path) -> SqliteRegister:
    return SqliteRegister(sqlite_url(file), key=KEY)


def test_what_is_put_in_is_found_and_read(register: SqliteRegister) -> None:
    people = list(population(400, seed=4, today=TODAY))
    assert register.add(people) == register.count() == 400
    plain: Register = register
    for person in people:
        assert plain.read(plain.find(person.identity)) == person


def test_an_unknown_person(register: SqliteRegister) -> None:
    for identity in (of_body("Q123456"), Document("recognizance", "SYN0000001")):
        with pytest.raises(PersonUnknown) as refusal:
            register.find(identity)
        assert refusal.value.code == "person_unknown"
        assert "123456" not in str(refusal.value)
    with pytest.raises(PersonUnknown):
        register.read("nobody")


def test_a_document_is_found_by_kind_and_number(register: SqliteRegister) -> None:
    register.add([replace(DEMO.adult, identity=Document("recognizance", "SYN1"))])
    register.find(Document("recognizance", "SYN1"))
    with pytest.raises(PersonUnknown):
        register.find(Document("travel_document", "SYN1"))


def test_a_reference_says_nothing_and_stays(register: SqliteRegister) -> None:
    register.add([DEMO.adult])
    reference = register.find(DEMO.adult.identity)
    assert len(reference) == 20
    assert "000004" not in reference
    register.add([replace(DEMO.adult, home_district="ST")])
    assert register.find(DEMO.adult.identity) == reference
    assert register.read(reference).home_district == "ST"
    assert register.count() == 1


def test_references_are_random() -> None:
    made = []
    for _ in range(2):
        register = SqliteRegister("sqlite://", key=KEY)
        register.add([DEMO.adult])
        made.append(register.find(DEMO.adult.identity))
    assert made[0] != made[1]


def test_people_go_in_all_or_none(register: SqliteRegister) -> None:
    def broken() -> Iterator[Person]:
        yield from population(1500, seed=1, today=TODAY)
        raise PersonUnknown("stop")

    with pytest.raises(PersonUnknown):
        register.add(broken())
    assert register.count() == 0


def test_progress(register: SqliteRegister) -> None:
    seen: list[int] = []
    register.add(population(2500, seed=1, today=TODAY), progress=seen.append)
    assert seen == [1000, 2000, 2500]


def test_no_index_holds_a_number(register: SqliteRegister, file: Path) -> None:
    register.add(population(100, seed=1, today=TODAY))
    with sqlite3.connect(file) as connection:
        rows = connection.execute("SELECT reference, lookup FROM people").fetchall()
        indexed = connection.execute(
            "SELECT i.name FROM pragma_index_list('people') l JOIN pragma_index_info(l.name) i"
        ).fetchall()
    connection.close()
    assert {name for (name,) in indexed} == {"reference", "lookup"}
    numbers = [person.hkid.canonical for person in population(100, seed=1, today=TODAY) if person.hkid]
    for reference, lookup in rows:
        assert len(lookup) == 32
        assert not any(number in reference or number.encode() in lookup for number in numbers)
    other = SqliteRegister("sqlite://", key=b"l" * 32)
    assert other.lookup(DEMO.adult.identity) != register.lookup(DEMO.adult.identity)


def test_the_file_is_private(register: SqliteRegister, file: Path) -> None:
    assert register.count() == 0
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("row", ["{", "{}", '{"hkid": "Q000004(1)"}'])
def test_a_damaged_row_is_a_fault(register: SqliteRegister, file: Path, row: str) -> None:
    register.add([DEMO.adult])
    reference = register.find(DEMO.adult.identity)
    connection = sqlite3.connect(file)
    with connection:
        connection.execute("UPDATE people SET person = ?", (row,))
    connection.close()
    with pytest.raises(StoreInvalid) as fault:
        register.read(reference)
    assert fault.value.code == "store_invalid"
    assert "Q000004" not in str(fault.value)


# --- The file


def rows(*people: Person) -> list[dict[str, str]]:
    return [write_row(person) for person in people]


def save(path: Path, content: list[dict[str, str]], columns: tuple[str, ...] = COLUMNS) -> Path:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows([[row.get(column, "") for column in columns] for row in content])
    path.write_text(text.getvalue(), encoding="utf-8")
    return path


@pytest.fixture
def sheet(tmp_path: Path) -> Path:
    return tmp_path / "people.csv"


def check(sheet: Path, register: SqliteRegister) -> Report:
    return check_file(sheet, register, today=TODAY)


def test_the_template_is_a_good_file(sheet: Path, register: SqliteRegister) -> None:
    sheet.write_text(template(), encoding="utf-8")
    assert check(sheet, register) == Report(1, 1, ())
    assert template().splitlines()[0].split(",") == list(COLUMNS)


def test_the_dry_run_changes_nothing_and_the_import_does(sheet: Path, register: SqliteRegister) -> None:
    people = list(population(300, seed=9, today=TODAY))
    save(sheet, rows(*people))
    assert check(sheet, register) == Report(300, 300, ())
    assert register.count() == 0
    assert import_file(sheet, register, today=TODAY) == Report(300, 300, ())
    assert all(register.read(register.find(person.identity)) == person for person in people)


def test_a_name_too_long_for_a_credential_is_a_warning(sheet: Path, register: SqliteRegister) -> None:
    long = replace(DEMO.adult, family_name="X" * 36, name_zh="雨" * 14)
    save(sheet, rows(DEMO.minor, long))
    report = check(sheet, register)
    assert (report.bad, report.people) == ((), 2)
    assert report.warnings == (
        BadCell(3, "family_name", "too_long_to_state"),
        BadCell(3, "name_zh", "too_long_to_state"),
    )
    assert import_file(sheet, register, today=TODAY).warnings == report.warnings


def test_columns_in_any_order_a_byte_order_mark_and_blank_lines(
    sheet: Path, register: SqliteRegister
) -> None:
    save(sheet, rows(DEMO.adult), tuple(reversed(COLUMNS)))
    sheet.write_bytes(b"\xef\xbb\xbf" + sheet.read_bytes() + b"\r\n,,\r\n")
    report = check(sheet, register)
    assert (report.people, report.bad) == (1, ())


def test_full_width_numbers_are_read(sheet: Path, register: SqliteRegister) -> None:
    save(sheet, [write_row(DEMO.adult) | {"hkid": "\uff31000004\uff08\uff21\uff09"}])
    assert check(sheet, register).bad == ()


BAD_CELLS = [
    ({"hkid": "Q000004(1)"}, "hkid", "check_character"),
    ({"hkid": "Q00004(1)"}, "hkid", "malformed"),
    ({"hkid": "A123456(3)"}, "hkid", "not_synthetic"),
    ({"hkid": ""}, "hkid", "missing"),
    ({"evidence": ""}, "evidence", "missing"),
    ({"evidence": "passport"}, "evidence", "not_in_list"),
    ({"evidence": "hkic"}, "stay", "inconsistent"),
    ({"evidence": "recognizance"}, "stay", "inconsistent"),
    ({"evidence": "exemption_certificate", "stay": "none"}, "stay", "inconsistent"),
    ({"evidence": "hkic", "stay": "none"}, "stay", "inconsistent"),
    ({"evidence": "recognizance", "stay": "none", "hkid": ""}, "evidence_number", "missing"),
    ({"evidence_number": "a b"}, "evidence_number", "malformed"),
    ({"birth": ""}, "birth", "missing"),
    ({"birth": "1985-13"}, "birth", "malformed"),
    ({"birth": "22/11/1985"}, "birth", "malformed"),
    ({"birth": "2026-11-23", "resident_since": ""}, "birth", "in_future"),
    ({"family_name": ""}, "family_name", "missing"),
    ({"family_name": "Lo\x07rn"}, "family_name", "malformed"),
    ({"given_name": "x" * 101}, "given_name", "too_long"),
    ({"name_zh_ccc": "990"}, "name_zh_ccc", "malformed"),
    ({"sex": "F"}, "sex", "not_in_list"),
    ({"nationalities": "HKG"}, "nationalities", "malformed"),
    ({"nationalities": "AA BB CC DD EE"}, "nationalities", "malformed"),
    ({"card_first_registered": "2020-13"}, "card_first_registered", "malformed"),
    ({"stay": "Bxy"}, "stay", "not_in_list"),
    ({"stay_until": "2027-01-01"}, "stay_until", "inconsistent"),
    ({"stay_until": "2027"}, "stay_until", "malformed"),
    ({"purpose": "fun"}, "purpose", "not_in_list"),
    ({"resident_since": "2026-11-23"}, "resident_since", "in_future"),
    ({"resident_since": "1950-01-01"}, "resident_since", "inconsistent"),
    ({"resident_since": "2010-06"}, "resident_since", "malformed"),
    ({"home_district": "XX"}, "home_district", "not_in_list"),
    ({"guardian_hkid": "Q000005(1)"}, "guardian_hkid", "check_character"),
    ({"guardian_hkid": "A123456(3)"}, "guardian_hkid", "not_synthetic"),
    ({"guardian_hkid": "Q123456(7)"}, "guardian_hkid", "guardian_unknown"),
    ({"guardian_evidence": "recognizance"}, "guardian_number", "inconsistent"),
    (
        {"guardian_evidence": "recognizance", "guardian_number": "SYN9", "guardian_hkid": "Q000006(6)"},
        "guardian_number",
        "inconsistent",
    ),
    ({"guardian_evidence": "hkic", "guardian_number": "SYN9"}, "guardian_evidence", "not_in_list"),
    ({"guardian_evidence": "recognizance", "guardian_number": "SYN9"}, "guardian_number", "guardian_unknown"),
    ({"receives_da": "true"}, "receives_da", "not_in_list"),
    ({"assets": "-1"}, "assets", "malformed"),
    ({"monthly_income": "10 000"}, "monthly_income", "malformed"),
]


@pytest.mark.parametrize(("cells", "column", "reason"), BAD_CELLS)
def test_a_bad_cell_is_named(
    sheet: Path, register: SqliteRegister, cells: dict[str, str], column: str, reason: str
) -> None:
    save(sheet, [write_row(DEMO.elder), write_row(DEMO.adult) | cells])
    report = check(sheet, register)
    assert BadCell(3, column, reason) in report.bad  # type: ignore[arg-type]
    for value in cells.values():
        assert not value or value not in repr(report)
    with pytest.raises(RegisterRowInvalid) as refusal:
        import_file(sheet, register, today=TODAY)
    assert refusal.value.code == "register_row_invalid"
    assert register.count() == 0
    for value in cells.values():
        assert not value or value not in str(refusal.value)


def test_every_bad_cell_of_every_row_is_named(sheet: Path, register: SqliteRegister) -> None:
    good = write_row(DEMO.adult)
    save(sheet, [good | {"sex": "F", "birth": "x"}, write_row(DEMO.elder), good | {"stay": "B", "hkid": "x"}])
    assert {(cell.row, cell.column) for cell in check(sheet, register).bad} == {
        (2, "birth"),
        (2, "sex"),
        (4, "hkid"),
        (4, "stay"),
    }


def test_required_columns_are_those_that_may_not_be_empty(sheet: Path, register: SqliteRegister) -> None:
    for column in COLUMNS:
        save(sheet, [write_row(DEMO.elder) | {column: ""}])
        reasons = {(cell.column, cell.reason) for cell in check(sheet, register).bad}
        assert ((column, "missing") in reasons) is (column in REQUIRED)


def test_the_same_person_twice(sheet: Path, register: SqliteRegister) -> None:
    document = replace(
        DEMO.adult, identity=Document("recognizance", "SYN1"), evidence="recognizance", stay="none"
    )
    save(sheet, rows(DEMO.adult, document, replace(DEMO.adult, sex=1), document))
    assert check(sheet, register).bad == (
        BadCell(4, "hkid", "duplicate"),
        BadCell(5, "evidence_number", "duplicate"),
    )


def test_a_guardian_may_stand_later_or_be_registered_already(sheet: Path, register: SqliteRegister) -> None:
    save(sheet, rows(DEMO.minor, DEMO.adult))
    assert check(sheet, register).bad == ()
    save(sheet, rows(DEMO.minor))
    assert check(sheet, register).bad == (BadCell(2, "guardian_hkid", "guardian_unknown"),)
    register.add([DEMO.adult])
    assert check(sheet, register).bad == ()


def test_the_header(sheet: Path, register: SqliteRegister) -> None:
    save(sheet, rows(DEMO.adult), ("hkid", "hkid", "Q000004(A)", *COLUMNS[2:]))
    assert set(check(sheet, register).bad) == {
        BadCell(1, "evidence", "column_missing"),
        BadCell(1, "#3", "column_unknown"),
        BadCell(1, "hkid", "column_repeated"),
    }
    sheet.write_bytes(b"")
    assert {cell.reason for cell in check(sheet, register).bad} == {"column_missing"}


def test_rows_that_are_no_rows(sheet: Path, register: SqliteRegister) -> None:
    save(sheet, rows(DEMO.adult, DEMO.elder))
    lines = sheet.read_bytes().splitlines()
    lines[1] += b",more"
    lines[2] = lines[2].replace(b"Orlu", b"Orl\xff")
    sheet.write_bytes(b"\r\n".join([*lines, b'"broken"quote,']))
    assert check(sheet, register).bad == (
        BadCell(2, "", "cell_count"),
        BadCell(3, "family_name", "not_utf8"),
        BadCell(4, "", "not_csv"),
    )


def test_broken_quoting_in_the_header(sheet: Path, register: SqliteRegister) -> None:
    sheet.write_bytes(b'"hkid"x,')
    assert check(sheet, register).bad == (BadCell(1, "", "not_csv"),)


def test_a_real_number_passes_where_it_is_allowed(sheet: Path, register: SqliteRegister) -> None:
    save(sheet, [write_row(DEMO.adult) | {"hkid": "A123456(3)"}])
    assert check_file(sheet, register, today=TODAY, synthetic_only=False).bad == ()


def test_a_file_that_is_not_there(tmp_path: Path, register: SqliteRegister) -> None:
    with pytest.raises(FileUnreadable) as fault:
        check(tmp_path / "absent.csv", register)
    assert fault.value.code == "file_unreadable"


def test_progress_of_a_file(sheet: Path, register: SqliteRegister) -> None:
    save(sheet, rows(*population(2100, seed=1, today=TODAY)))
    seen: list[int] = []
    check_file(sheet, register, today=TODAY, progress=seen.append)
    assert seen == [1000, 2000]


def test_partial_dates_survive(sheet: Path, register: SqliteRegister) -> None:
    person = replace(DEMO.adult, birth=PartialDate(1950, 3))
    save(sheet, rows(person))
    import_file(sheet, register, today=TODAY)
    assert register.read(register.find(person.identity)).birth == PartialDate(1950, 3)
