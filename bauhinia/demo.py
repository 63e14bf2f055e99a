"""``bauhinia demo``: all parties on this machine, and a journey that is judged by what they answered."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from credentials.errors import PeerRefused
from web.console import example, json_option

from .journey import FORMATS, Step, journey, prepare
from .processes import PASSPHRASE, Machine, machine


@click.command(epilog=example("bauhinia demo", "bauhinia demo --json", "bauhinia demo --serve"))
@click.option("--serve", is_flag=True, help="Leave the parties running afterwards and print their addresses.")
@json_option
def demo(serve: bool, as_json: bool) -> None:
    """The whole journey on this machine: enrol, issue, hold, present, verify, revoke."""
    console = Console(stderr=as_json, highlight=False)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bauhinia-demo-") as folder, machine(Path(folder)) as parties:
        with console.status("…") as status:
            enrolments = prepare(parties, lambda text: status.update(f"{text} …"))
            steps: list[Step] = []
            for step in journey(parties, enrolments):
                steps.append(step)
                console.print(_line(step))
        ok = all(step.ok for step in steps)
        seconds = round(time.monotonic() - started, 1)
        if as_json:
            click.echo(
                json.dumps(
                    {"ok": ok, "seconds": seconds, "steps": [step.row() for step in steps]},
                    ensure_ascii=False,
                )
            )
        else:
            held = sum(step.ok for step in steps)
            console.print(f"{held} of {len(steps)} steps went as they must, in {seconds} s.")
        if serve:
            _stay(console, parties)
    if not ok:
        raise PeerRefused("a step of the journey did not go as it must")


def _line(step: Step) -> Table:
    """One step; long sentences wrap under themselves."""
    line = Table.grid(padding=(0, 1))
    line.add_column(width=1)
    line.add_column(width=max(map(len, FORMATS.values())))
    line.add_column()
    line.add_row("[green]✓[/green]" if step.ok else "[red]✗[/red]", FORMATS[step.format], escape(step.said))
    return line


def _stay(console: Console, parties: Machine) -> None:
    """Keep the servers until Ctrl-C."""
    console.print(f"Issuer    {parties.issuer_url}", f"Verifier  {parties.verifier_url}", sep="\n")
    console.print(f"A browser trusts them with {parties.certificate_authority}", soft_wrap=True)
    console.print(
        f"Wallet    bauhinia wallet serve --data {parties.folder}/adult   (passphrase: {PASSPHRASE})",
        soft_wrap=True,
    )
    console.print("Ctrl-C stops everything and removes the folder.")
    try:
        while all(server.process.poll() is None for server in parties.servers):
            time.sleep(1)
    except KeyboardInterrupt:
        console.print("Stopping.")
