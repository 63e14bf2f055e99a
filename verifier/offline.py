"""Proof that verifying opens no socket: an audit hook in the process that verifies (PEP 578).

Inside :func:`guard` any attempt to open a socket, look up a name, start a process or a thread raises
:class:`NetworkForbidden`. The configured store is used outside of it. The hook cannot be removed again, and
costs one look at a context variable per audit event.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Final

from credentials.errors import NetworkForbidden

_start: Final = threading.Thread.start
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
    # Foreign functions could call connect() behind Python's back.
    "ctypes.",
)


def _hook(event: str, _arguments: object) -> None:
    if _guarded.get() and event.startswith(FORBIDDEN):
        raise NetworkForbidden(f"verifying tried {event}")


def _start_thread(self: threading.Thread) -> None:
    # A new thread has a context of its own, in which nothing is guarded; not every Python audits its start.
    if _guarded.get():
        raise NetworkForbidden("verifying tried to start a thread")
    _start(self)


@cache
def install() -> None:
    """Install the hook, once in a process."""
    sys.addaudithook(_hook)
    threading.Thread.start = _start_thread  # type: ignore[method-assign]


@contextmanager
def guard() -> Generator[None, None, None]:
    """Everything in this block happens on this machine, in this thread, with what is already here."""
    install()
    token = _guarded.set(True)
    try:
        yield
    finally:
        _guarded.reset(token)
