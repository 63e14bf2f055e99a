"""Doing something again and again in a thread of its own, also while nobody asks for anything."""

from __future__ import annotations

import threading
from collections.abc import Callable

import click

from credentials.errors import BauhiniaError


def every(seconds: float, act: Callable[[], object], *, name: str) -> threading.Event:
    """Call ``act`` now and then every ``seconds``, until the event that is returned is set.

    What goes wrong is said on stderr and tried again: its kind and nothing else, for values may be personal.
    """
    stop = threading.Event()

    def forever() -> None:
        while not stop.is_set():
            try:
                act()
            except Exception as error:
                # Whatever it is: a thread that ends would end all forgetting.
                said = error if isinstance(error, BauhiniaError) else type(error).__name__
                click.echo(f"bauhinia: error: {said}", err=True)
            stop.wait(seconds)

    threading.Thread(target=forever, name=name, daemon=True).start()
    return stop
