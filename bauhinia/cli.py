"""The one command: ``bauhinia demo | issuer | verifier | wallet | trust``; each is its party's own."""

from __future__ import annotations

from importlib import import_module
from typing import Final

import click

from web.console import CommandGroup

COMMANDS: Final = {
    "demo": "bauhinia.demo",
    "issuer": "issuer.cli",
    "trust": "bauhinia.trust",
    "verifier": "verifier.cli",
    "wallet": "wallet.cli",
}
"""Each name is that of the command in the module beside it. Only the one that is typed is imported."""


class Front(CommandGroup):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = getattr(import_module(COMMANDS[cmd_name]), cmd_name)
        return command if isinstance(command, click.Command) else None


@click.group(cls=Front, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="bauhinia")
def main() -> None:
    """Prove only what is asked: credentials for Hong Kong residents, checked without a registry.

    Start here: bauhinia demo
    """
