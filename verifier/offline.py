"""Proof that verifying opens no socket: an audit hook in the process that verifies (PEP 578).

Inside :func:`guard` any attempt to open a socket, look up a name, start a process or a thread raises
:class:`NetworkForbidden`. The configured store is used outside of it. The hook cannot be removed again, and
costs one look at a context variable per audit event.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Final

from credentials.errors import NetworkForbidden

_guarded: ContextVar[bool] = ContextVar("guarded", default=False)

FORBIDDEN: Final = (
    "socket.",
    "subprocess.",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.spawn",
    "os.fork",
    "pty.spawn",
    "urllib.Request",
    # A new thread starts with a context of its own, in which nothing is guarded.
    "_thread.start_new_thread",
    "_thread.start_joinable_thread",
    # Foreign functions could call connect() behind Python's back.
    "ctypes.",
)


def _hook(event: str, _arguments: object) -> None:
    if _guarded.get() and event.startswith(FORBIDDEN):
        raise NetworkForbidden(f"verifying tried {event}")


@cache
def install() -> None:
    """Install the hook, once in a process."""
    sys.addaudithook(_hook)


@contextmanager
def guard() -> Generator[None, None, None]:
    """Everything in this block happens on this machine, in this thread, with what is already here."""
    install()
    token = _guarded.set(True)
    try:
        yield
    finally:
        _guarded.reset(token)
