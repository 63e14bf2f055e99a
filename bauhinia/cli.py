"""The one command: ``bauhinia issuer | wallet | verifier | trust | demo``; each group is its party's own."""

from __future__ import annotations

import click

from issuer.cli import issuer
from verifier.cli import verifier
from wallet.cli import wallet

from .demo import demo
from .trust import trust


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="bauhinia")
def main() -> None:
    """Prove only what is asked: credentials for Hong Kong residents, checked without a registry.

    \b
    Start here:   bauhinia demo
    Exit codes:   0 done, 1 refused, 2 wrong usage, 3 undetermined, 4 a fault on our side
    """


for group in (demo, issuer, wallet, verifier, trust):
    main.add_command(group)
