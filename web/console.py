"""The frame of every command: errors, exit codes, ``--json``, progress.

:data:`EXIT_CODES` is the one table of exit codes; every ``--help`` and the reference print it.
"""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from rich.console import Console
from rich.progress import track

from credentials.errors import (
    BackupInvalid,
    BauhiniaError,
    ConfigurationInvalid,
    Fault,
    FileUnreadable,
    PeerRefused,
    Undetermined,
    VaultLocked,
    VaultRolledBack,
)

REFUSED: Final = 1
USAGE: Final = 2
UNDETERMINED: Final = 3
FAULT: Final = 4
INTERRUPTED: Final = 130

EXIT_CODES: Final[Mapping[int, str]] = {
    0: "done, or accepted",
    REFUSED: "refused: by a check, by the other party, or for a wrong passphrase",
    USAGE: "wrong usage: an option, a file or a setting that was given",
    UNDETERMINED: "undetermined: neither yes nor no, now",
    FAULT: "a fault: storage, network, or a bug",
    INTERRUPTED: "interrupted",
}
"""What the exit code of every command means."""

_ANSWERED_NO: Final = (PeerRefused, VaultLocked, VaultRolledBack, BackupInvalid)
_GIVEN_WRONG: Final = (ConfigurationInvalid, FileUnreadable)

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


def exit_code(kind: type[BauhiniaError]) -> int:
    """Of :data:`EXIT_CODES`. Not every ``Fault`` of the tree is one to a caller: what the user typed, or what
    the other party said, is mended elsewhere than a broken store."""
    if issubclass(kind, Undetermined):
        return UNDETERMINED
    if issubclass(kind, _GIVEN_WRONG):
        return USAGE
    return FAULT if issubclass(kind, Fault) and not issubclass(kind, _ANSWERED_NO) else REFUSED


class CommandGroup(click.Group):
    """A group whose commands report errors as ``bauhinia: error: …`` and ``hint: …``, or as JSON.

    Subgroups may be plain ``click.Group``: the outermost one reports. Its help ends with the exit codes.
    """

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_epilog(ctx, formatter)
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), meaning) for code, meaning in EXIT_CODES.items()])

    def main(self, args: Sequence[str] | None = None, *rest: Any, **extra: Any) -> Any:
        words = list(sys.argv[1:] if args is None else args)
        as_json = "--json" in words
        extra["standalone_mode"] = False
        result: Any = 0
        try:
            result = super().main(words, *rest, **extra)
        except BauhiniaError as error:
            report(error.code, str(error), error.hint, as_json=as_json)
            result = exit_code(type(error))
        except click.UsageError as error:
            where = error.ctx.command_path if error.ctx else "bauhinia"
            hint = f"{where} --help"
            report("usage", error.format_message(), hint, as_json=as_json)
            result = USAGE
        except click.ClickException as error:
            report("usage", error.format_message(), "", as_json=as_json)
            result = USAGE
        except (click.Abort, KeyboardInterrupt):
            report("interrupted", "interrupted", "", as_json=as_json)
            result = INTERRUPTED
        except Exception as error:  # A bug: say where, never with what (values may be personal).
            traceback.print_tb(error.__traceback__)
            report("fault", f"internal fault ({type(error).__name__})", "", as_json=as_json)
            result = FAULT
        sys.exit(result if isinstance(result, int) else 0)


def report(code: str, message: str, hint: str, *, as_json: bool) -> None:
    """An error on standard error: two lines for a person, or one JSON object."""
    if as_json:
        error = {"code": code, "message": message, **({"hint": hint} if hint else {})}
        body = {"ok": False, "error": error}
        Console(stderr=True, soft_wrap=True, color_system=None).print_json(data=body, indent=None)
        return
    click.echo(f"bauhinia: error: {message}", err=True)
    if hint:
        click.echo(f"hint: {hint}", err=True)


def example(*lines: str) -> str:
    """The epilog that every command carries: one or more command lines to copy, and the exit codes."""
    codes = ", ".join(f"{code} {re.split('[:,]', meaning)[0]}" for code, meaning in EXIT_CODES.items())
    shown = "\b\nExample:\n" + "\n".join(f"  {line}" for line in lines)
    return f"{shown}\n\n\b\nExit codes:\n  {codes}"


def ask(question: Callable[[], T], *, option: str) -> T:
    """Put a question to whoever is at the terminal; where nobody is, name the ``option`` that answers it."""
    try:
        return question()
    except click.Abort:
        if sys.stdin.isatty():
            raise
        raise click.UsageError(f"there is no terminal to answer on: give {option}") from None


def json_option(command: F) -> F:
    """``--json``: one JSON object on standard output instead of text (parameter ``as_json``)."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for machines.")(
        command
    )


def serve_options(command: F) -> F:
    """The options of every ``serve`` command: ``base_url``, ``host``, ``port``, ``tls_cert``, ``tls_key``."""
    file = click.Path(exists=True, dir_okay=False, path_type=Path)
    for option in (
        click.option("--tls-key", type=file, help="Its private key (PEM)."),
        click.option("--tls-cert", type=file, help="TLS certificate (PEM); by default that in --data."),
        click.option("--port", type=click.IntRange(0, 65535), help="By default that of the base URL."),
        click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on."),
        click.option("--base-url", help="Public origin, if it is another than at `init`."),
    ):
        command = option(command)
    return command


def answer(data: Mapping[str, Any], *lines: str, as_json: bool) -> None:
    """The result of a command: ``data`` as one line of JSON, or ``lines`` for a person.

    ``"ok"`` stands first, and is true unless ``data`` says otherwise, as a result does that is a refusal.
    """
    if as_json:
        from credentials.encoding import dump_json

        click.echo(dump_json({"ok": True, **data}).decode())
        return
    for line in lines:
        click.echo(line)


def progress(iterable: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
    """Yield the items, with a bar on standard error where that is a terminal."""
    if not sys.stderr.isatty():
        yield from iterable
        return
    yield from track(iterable, label, total, console=Console(stderr=True), transient=True)
