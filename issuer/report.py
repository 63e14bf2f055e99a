"""What an import of residents, or its dry run, found wrong: printed for people and for machines."""

from __future__ import annotations

import click

from web.console import answer

from .register_file import Report


def print_report(report: Report, *, done: bool, as_json: bool) -> None:
    """One line a cell, never its value; exit code 1 where something is wrong."""
    bad, warnings = (
        [{"row": cell.row, "column": cell.column, "reason": cell.reason} for cell in cells]
        for cells in (report.bad, report.warnings)
    )
    answer(
        {
            "ok": not bad,
            "imported": done,
            "rows": report.rows,
            "people": report.people,
            "bad": bad,
            "warnings": warnings,
        },
        *(f"row {cell.row}  {cell.column or '(whole row)'}: {cell.reason}" for cell in report.bad),
        *(
            f"row {cell.row}  {cell.column}: warning: too long for a credential, which will leave it out"
            for cell in report.warnings
        ),
        f"{report.rows} rows, {report.people} good, {len(bad)} wrong cells. "
        + ("Imported." if done else "Dry run: nothing was changed."),
        as_json=as_json,
    )
    if bad:
        raise click.exceptions.Exit(1)
