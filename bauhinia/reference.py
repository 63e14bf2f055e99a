"""Writes ``docs/reference.md`` from the program itself: commands, error codes, credential types, policies.

    python -m bauhinia.reference > docs/reference.md

A test compares the file with what this prints, so that the page cannot lag behind the program.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Final

import click

from credentials.catalog import Catalogue, load_catalogue
from credentials.errors import Fault, Undetermined, every_error
from verifier.policy import load_policies
from web.console import EXIT_CODES, exit_code

from .cli import main

SETTINGS: Final = {
    "BAUHINIA_PASSPHRASE": "the wallet's passphrase, where no terminal can be asked",
    "BAUHINIA_WALLET": "the wallet's folder, instead of `--data`",
    "XDG_STATE_HOME": "where wallets keep the stamp that tells an older vault file; default `~/.local/state`",
}
"""Environment variables that the programs read."""


def _commands(command: click.Command, path: str) -> Iterator[str]:
    if isinstance(command, click.Group):
        with click.Context(command) as context:
            for name in command.list_commands(context):
                below = command.get_command(context, name)
                if below is not None:
                    yield from _commands(below, f"{path} {name}")
        return
    yield f"### `{path}`\n\n{inspect.cleandoc(command.help or '').splitlines()[0]}\n\n"
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
            setting = f" (setting `{parameter.envvar}`)" if isinstance(parameter.envvar, str) else ""
            yield f"- {names}: {parameter.help or '(no more to say)'}{setting}\n"
        else:
            yield f"- `{parameter.human_readable_name}`\n"
    yield "\n"


def _types(catalogue: Catalogue) -> Iterator[str]:
    yield "| type | in words | validity | copies | status | claims |\n|---|---|---|---|---|---|\n"
    for kind in catalogue.types.values():
        claims = ", ".join(f"`{claim.name}`" for claim in kind.claims)
        status = "list" if kind.revocable else "none"
        words, days = f"{kind.label['en']}, {kind.label['zh-Hant']}", kind.validity_days
        yield f"| `{kind.name}` | {words} | {days} days | {kind.batch} | {status} | {claims} |\n"


def _policies(catalogue: Catalogue) -> Iterator[str]:
    yield "| policy | purpose | legal basis |\n|---|---|---|\n"
    for name, policy in sorted(load_policies(catalogue).by_name.items()):
        yield f"| `{name}` | {policy.purpose['en']}, {policy.purpose['zh-Hant']} | {policy.legal_basis} |\n"


def _errors() -> Iterator[str]:
    yield "| code | outcome | exit | HTTP | protocol error | what to do |\n|---|---|---|---|---|---|\n"
    for error in every_error():
        outcome = "refused"
        if issubclass(error, Fault | Undetermined):
            outcome = "fault" if issubclass(error, Fault) else "undetermined"
        codes = f"`{error.code}` | {outcome} | {exit_code(error)} | {error.http} | `{error.protocol}`"
        yield f"| {codes} | {error.advice} |\n"


def reference() -> str:
    """The whole page, as Markdown."""
    catalogue = load_catalogue()
    return "".join(
        (
            "# Reference\n\nWritten by `python -m bauhinia.reference`; do not edit by hand.\n\n",
            "With `--json` every answer is one object on standard output with `ok`; an error is one on ",
            'standard error: `{"ok": false, "error": {"code", "message", "hint"}}`.\n\n',
            "## Exit codes\n\n| code | means |\n|---|---|\n",
            *(f"| {code} | {meaning} |\n" for code, meaning in EXIT_CODES.items()),
            "\n",
            "## Settings\n\n| variable | for |\n|---|---|\n",
            *(f"| `{name}` | {use} |\n" for name, use in SETTINGS.items()),
            "\n## Commands\n\n",
            *_commands(main, "bauhinia"),
            "## Credential types\n\n",
            *_types(catalogue),
            "\n## Verifier policies\n\n",
            *_policies(catalogue),
            "\n## Error codes\n\n",
            *_errors(),
        )
    )


if __name__ == "__main__":
    print(reference(), end="")
