"""Writes ``docs/reference.md`` from the program itself: commands, error codes, credential types, policies.

    python -m bauhinia.reference > docs/reference.md

A test compares the file with what this prints, so that the page cannot lag behind the program.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
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


def _both(texts: Mapping[str, str]) -> str:
    return f"{texts['en']}, {texts['zh-Hant']}"


def _types(catalogue: Catalogue) -> Iterator[str]:
    yield "| type | in words | basis | validity | copies | status | claims |\n|---|---|---|---|---|---|---|\n"
    for kind in catalogue.types.values():
        claims = ", ".join(f"`{claim.name}`" for claim in kind.claims)
        status = "list" if kind.revocable else "none"
        terms = f"{kind.validity_days} days | {kind.batch} | {status}"
        yield f"| `{kind.name}` | {_both(kind.label)} | {kind.basis} | {terms} | {claims} |\n"


def _schemes(catalogue: Catalogue) -> Iterator[str]:
    yield "| scheme | rule | source | as of | synthetic |\n|---|---|---|---|---|\n"
    for kind in catalogue.types.values():
        if (rule := kind.rule) is not None:
            synthetic = "yes" if rule.synthetic else "no"
            yield f"| `{kind.scheme}` | {rule.version} | {rule.source} | {rule.as_of} | {synthetic} |\n"


def _laws(catalogue: Catalogue) -> Iterator[str]:
    yield "| claim | of | serves |\n|---|---|---|\n"
    served: dict[tuple[str, str], list[str]] = {}
    for kind in catalogue.types.values():
        for claim in kind.claims:
            if claim.law is not None:
                served.setdefault((claim.name, claim.law), []).append(f"`{kind.name}`")
    for (name, law), types in served.items():
        yield f"| `{name}` | {types[0] if len(types) == 1 else f'{len(types)} types'} | {law} |\n"


def _policies(catalogue: Catalogue) -> Iterator[str]:
    yield "| policy | purpose | legal basis |\n|---|---|---|\n"
    for name, policy in sorted(load_policies(catalogue).by_name.items()):
        yield f"| `{name}` | {_both(policy.purpose)} | {_both(policy.legal_basis)} |\n"


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
            "\n### Rules of the schemes\n\nSynthetic: no source states the rule so, in whole or in part.\n\n",
            *_schemes(catalogue),
            "\n### What claims serve\n\n",
            *_laws(catalogue),
            "\n## Verifier policies\n\n",
            *_policies(catalogue),
            "\n## Error codes\n\n",
            *_errors(),
        )
    )


if __name__ == "__main__":
    print(reference(), end="")
