"""Writes ``docs/reference.md`` from the program itself: commands, error codes, credential types, policies.

    python -m bauhinia.reference > docs/reference.md

A test compares the file with what this prints, so that the page cannot lag behind the program.
"""

from __future__ import annotations

from collections.abc import Iterator

import click

from credentials.catalog import load_catalogue
from credentials.errors import BauhiniaError, Fault, Undetermined, every_error
from verifier.policy import shipped_policies

from .cli import main


def _commands(command: click.Command, path: str) -> Iterator[str]:
    if isinstance(command, click.Group):
        for name in sorted(command.commands):
            yield from _commands(command.commands[name], f"{path} {name}")
        return
    yield f"### `{path}`\n\n{(command.help or '').split(chr(10) + chr(8))[0].strip().splitlines()[0]}\n\n"
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
            variable = f" (setting `{parameter.envvar}`)" if isinstance(parameter.envvar, str) else ""
            yield f"- {names}: {parameter.help or ''}{variable}\n"
        else:
            yield f"- `{parameter.human_readable_name}`\n"
    yield "\n"


def _outcome(error: type[BauhiniaError]) -> str:
    return (
        "fault"
        if issubclass(error, Fault)
        else "undetermined"
        if issubclass(error, Undetermined)
        else "refused"
    )


def reference() -> str:
    """The whole page, as Markdown."""
    catalogue = load_catalogue()
    parts = [
        "# Reference\n\nWritten by `python -m bauhinia.reference`; do not edit by hand.\n\n",
        "Exit codes: 0 done, 1 refused, 2 wrong usage, 3 undetermined, 4 a fault on our side.\n\n",
        "## Commands\n\n",
        *_commands(main, "bauhinia"),
        "## Credential types\n\n| type | validity | copies | status | claims |\n|---|---|---|---|---|\n",
        *(
            f"| `{kind.name}` {kind.label['en']}, {kind.label['zh-Hant']} | {kind.validity_days} days | {kind.batch} "
            f"| {'list' if kind.revocable else 'none'} | {', '.join(f'`{claim.name}`' for claim in kind.claims)} |\n"
            for kind in catalogue.types.values()
        ),
        "\n## Verifier policies\n\n| policy | purpose | legal basis |\n|---|---|---|\n",
        *(
            f"| `{policy.name}` | {policy.purpose['en']}, {policy.purpose['zh-Hant']} | {policy.legal_basis} |\n"
            for policy in shipped_policies().values()
        ),
        "\n## Error codes\n\n| code | outcome | HTTP | protocol error | what to do |\n|---|---|---|---|---|\n",
        *(
            f"| `{error.code}` | {_outcome(error)} | {error.http} | `{error.protocol}` | {error.advice} |\n"
            for error in every_error()
        ),
    ]
    return "".join(parts)


if __name__ == "__main__":
    print(reference(), end="")
