"""``make bench``: every figure in one run, as a table and as ``build/bench.json``."""

from __future__ import annotations

import argparse
import fnmatch
import json
import platform
from collections.abc import Callable, Iterator
from pathlib import Path

import mdoc_figures
import sdjwt_figures
import status_figures
from measure import Figure
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

FIGURES: dict[str, Callable[[], Figure]] = {
    **sdjwt_figures.FIGURES,
    **mdoc_figures.FIGURES,
    **status_figures.FIGURES,
}


def taken(names: list[str]) -> Iterator[Figure]:
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("measuring", total=len(names))
        for name in names:
            progress.update(task, description=name)
            yield FIGURES[name]()
            progress.advance(task)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="*", help="names to measure, with * as wildcard")
    parser.add_argument("--out", type=Path, default=Path("build/bench.json"))
    options = parser.parse_args()
    names = [name for name in FIGURES if fnmatch.fnmatch(name, options.only)]
    if not names:
        parser.error(f"no figure matches {options.only}; there are: {', '.join(FIGURES)}")
    figures = list(taken(names))
    table = Table(title=f"Python {platform.python_version()}, {platform.machine()}")
    for heading in ("figure", "value", "against", "ratio", "target", "met"):
        table.add_column(heading, justify="right" if heading in ("value", "ratio") else "left")
    for figure in figures:
        met = {True: "yes", False: "NO", None: "–"}[figure.met()]
        ratio = "–" if figure.ratio is None else f"{figure.ratio:.2f}"
        value = f"{figure.value:.4g} {figure.unit}"
        table.add_row(figure.name, value, figure.against, ratio, figure.target, met)
    Console().print(table)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(
        json.dumps([figure.row() for figure in figures], indent=1) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
