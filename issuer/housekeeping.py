"""Forgetting, while the issuer serves."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

import click

from credentials.errors import BauhiniaError
from credentials.model import Seconds

from .store import Store

PURGE_SECONDS: Final = 60


def keep_clean(store: Store, *, clock: Callable[[], Seconds]) -> None:
    """Forget what is over once a minute, also while nobody asks for anything."""

    def forever() -> None:
        while True:
            try:
                store.purge(now=clock())
            except BauhiniaError as error:
                click.echo(f"bauhinia: error: {error}", err=True)
            time.sleep(PURGE_SECONDS)

    threading.Thread(target=forever, name="purge", daemon=True).start()
