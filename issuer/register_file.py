"""A register as a CSV file: a template, a dry run that names every bad cell, and the import.

UTF-8 with or without byte order mark, comma-separated, a header row with the names of
``issuer.columns.COLUMNS`` in any order. A report holds row numbers, columns and reason codes, never what
stands in a cell.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Final

from credentials.catalog import load_catalogue
from credentials.errors import FileUnreadable, PersonUnknown, RegisterRowInvalid

from .claims import unstated
from .columns import COLUMNS, REQUIRED, Reason, read_row, write_row
from .person import Identity, Person
from .population import demo_residents
from .register import Progress, SqliteRegister, silent

_STEP: Final = 1000
BASE: Final = load_catalogue().types["base/1"]


@dataclass(frozen=True, slots=True)
class BadCell:
    """``row`` counts from 1, the header; ``column`` is empty where the whole row is meant."""

    row: int
    column: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class Report:
    """What an import would do, or did: rows read, people in good rows, and everything that is wrong.

    ``warnings`` name cells that are right and that no credential can state: names too long for an mdoc item,
    which are left out of ``base/1`` whole.
    """

    rows: int
    people: int
    bad: tuple[BadCell, ...]
    warnings: tuple[BadCell, ...] = ()


def template() -> str:
    """The header, and one made-up row to replace."""
    text = io.StringIO()
    example = write_row(demo_residents(date(2026, 1, 1)).adult)
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    writer.writerow(example.get(column, "") for column in COLUMNS)
    return text.getvalue()


def check_file(
    path: Path,
    register: SqliteRegister,
    *,
    today: date,
    synthetic_only: bool = True,
    progress: Progress = silent,
) -> Report:
    """The dry run: read the whole file and change nothing. Raises :class:`FileUnreadable`."""
    scan = _Scan(register, today, synthetic_only)
    for _ in scan.people(path, progress):
        pass
    return scan.report()


def import_file(
    path: Path,
    register: SqliteRegister,
    *,
    today: date,
    synthetic_only: bool = True,
    progress: Progress = silent,
) -> Report:
    """Import the file if nothing in it is wrong; otherwise :class:`RegisterRowInvalid`, and no change."""
    scan = _Scan(register, today, synthetic_only)

    def all_good() -> Iterator[Person]:
        yield from scan.people(path, progress)
        bad = scan.report().bad
        if bad:
            # Raised inside the register's transaction, which therefore keeps nothing.
            raise RegisterRowInvalid(
                f"{len(bad)} cells of the file are wrong; nothing was imported",
                hint="A dry run lists every one of them.",
            )

    register.add(all_good())
    return scan.report()


@dataclass(slots=True)
class _Scan:
    """One pass over a file. Identities are remembered by their keyed lookup alone."""

    register: SqliteRegister
    today: date
    synthetic_only: bool
    rows: int = 0
    bad: list[BadCell] = field(default_factory=list["BadCell"])
    warnings: list[BadCell] = field(default_factory=list["BadCell"])
    seen: set[bytes] = field(default_factory=set[bytes])
    guardians: list[tuple[int, str, Identity]] = field(default_factory=list["tuple[int, str, Identity]"])
    people_read: int = 0

    def people(self, path: Path, progress: Progress) -> Iterator[Person]:
        with _opened(path) as file:
            reader = csv.reader(file, strict=True)
            row = 0
            try:
                header = [name.strip() for name in next(reader, list[str]())]
                if not self._header(header):
                    return
                row = 1
                for row, cells in enumerate(reader, 2):
                    if any(cell.strip() for cell in cells):
                        self.rows += 1
                        yield from self._row(row, header, cells)
                    if row % _STEP == 0:
                        progress(row)
            except csv.Error:
                # After broken quoting nobody knows where the next row begins.
                self.bad.append(BadCell(row + 1, "", "not_csv"))

    def _header(self, header: list[str]) -> bool:
        reasons: list[tuple[str, Reason]] = [
            *((column, "column_missing") for column in sorted(REQUIRED - set(header))),
            # An unknown name is given by its place: what stands there may be anything.
            *((f"#{i}", "column_unknown") for i, name in enumerate(header, 1) if name not in COLUMNS),
            *((column, "column_repeated") for column in COLUMNS if header.count(column) > 1),
        ]
        self.bad += [BadCell(1, column, reason) for column, reason in reasons]
        return not reasons

    def _row(self, row: int, header: list[str], cells: list[str]) -> Iterator[Person]:
        if len(cells) != len(header):
            self.bad.append(BadCell(row, "", "cell_count"))
            return
        named = dict(zip(header, cells, strict=True))
        broken = [column for column, cell in named.items() if not _is_unicode(cell)]
        if broken:
            self.bad += [BadCell(row, column, "not_utf8") for column in broken]
            return
        person = read_row(named, today=self.today, synthetic_only=self.synthetic_only)
        if not isinstance(person, Person):
            self.bad += [BadCell(row, column, reason) for column, reason in person]
            return
        lookup = self.register.lookup(person.identity)
        if lookup in self.seen:
            self.bad.append(BadCell(row, "hkid" if person.hkid else "evidence_number", "duplicate"))
            return
        self.seen.add(lookup)
        if person.guardian is not None:
            column = "guardian_hkid" if named.get("guardian_hkid") else "guardian_number"
            self.guardians.append((row, column, person.guardian))
        self.warnings += [BadCell(row, name, "too_long_to_state") for name in unstated(BASE, person)]
        self.people_read += 1
        yield person

    def report(self) -> Report:
        """In the order of the rows. A guardian may stand later in the file, or be registered already."""
        unknown = [
            BadCell(row, column, "guardian_unknown")
            for row, column, guardian in self.guardians
            if self.register.lookup(guardian) not in self.seen and not self._registered(guardian)
        ]
        bad = sorted([*self.bad, *unknown], key=lambda cell: cell.row)
        return Report(self.rows, self.people_read, tuple(bad), tuple(self.warnings))

    def _registered(self, identity: Identity) -> bool:
        try:
            self.register.find(identity)
        except PersonUnknown:
            return False
        return True


def _is_unicode(cell: str) -> bool:
    return not any("\udc80" <= character <= "\udcff" for character in cell)


@contextmanager
def _opened(path: Path) -> Generator[io.TextIOWrapper, None, None]:
    """Bytes that are not UTF-8 come through as lone surrogates, so that their cell can be named."""
    try:
        file = path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")
    except OSError as error:
        raise FileUnreadable(f"cannot read the register file: {error.strerror}") from None
    with file:
        yield file
