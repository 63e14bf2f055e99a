"""What an unlocked wallet has on its desk while its pages are open: offers and questions, in memory only.

Nothing of it is written down. After :data:`IDLE` seconds without a click it is all forgotten, the key first:
a timer sees to it, whether or not anybody comes back.
"""

from __future__ import annotations

import hmac
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from credentials.errors import NotFound, VaultLocked
from openid4vc.vci import Offer

from .exchange import Received
from .presenting import Outcome, Question
from .wallet import Wallet

IDLE: Final = 600
KEPT: Final = 20


@dataclass(frozen=True, slots=True)
class Result:
    """The end of something, for one page: an answer sent or not, or what was received."""

    outcome: Outcome | None = None
    received: tuple[Received, ...] = ()
    question: Question | None = None
    revoked: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """A request that the wallet refused: the code, who asked where that is known, what went too far."""

    code: str
    who: Mapping[str, str]
    too_much: tuple[Mapping[str, str], ...]


@dataclass(frozen=True, slots=True)
class Pass:
    """What opens the pages, both together: ``cookie`` for the browser to keep, ``key`` for their addresses.

    A browser sends a cookie of 127.0.0.1 to every port there, so the cookie alone must be worth nothing.
    """

    cookie: str
    key: str


class Alarm(Protocol):
    """What :func:`daemon_timer` gives back."""

    def cancel(self) -> None: ...


def daemon_timer(seconds: float, ring: Callable[[], None]) -> Alarm:
    """Call ``ring`` once, ``seconds`` from now, in a thread that does not keep the process alive."""
    timer = threading.Timer(seconds, ring)
    timer.daemon = True
    timer.start()
    return timer


@dataclass
class Desk:
    """``open_wallet`` opens the vault with a passphrase; ``clock`` is any clock that goes forward, and
    ``timer`` rings by the same clock."""

    open_wallet: Callable[[str], Wallet]
    data: Path
    clock: Callable[[], float] = time.monotonic
    timer: Callable[[float, Callable[[], None]], Alarm] = daemon_timer
    _wallet: Wallet | None = None
    _pass: Pass = Pass("", "")
    _seen: float = 0.0
    _alarm: Alarm | None = None
    _papers: dict[str, Any] = field(default_factory=dict[str, Any])
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def unlock(self, passphrase: str) -> Pass:
        """Open the vault, for this browser and these addresses alone. One guess at a time."""
        with self._lock:
            opened = self.open_wallet(passphrase)
            self.lock()
            self._wallet, self._seen = opened, self.clock()
            self._pass = Pass(secrets.token_urlsafe(32), secrets.token_urlsafe(32))
            self._alarm = self.timer(IDLE, self._ring)
            return self._pass

    def lock(self) -> None:
        with self._lock:
            if self._alarm is not None:
                self._alarm.cancel()
            if self._wallet is not None:
                self._wallet.vault.close()
            self._wallet, self._pass, self._alarm = None, Pass("", ""), None
            self._papers.clear()

    def _ring(self) -> None:
        with self._lock:
            if self._wallet is None:
                return
            left = self._seen + IDLE - self.clock()
            if left <= 0:
                self.lock()
            else:
                # Somebody clicked meanwhile, or this is the alarm of a wallet that was locked since.
                if self._alarm is not None:
                    self._alarm.cancel()
                self._alarm = self.timer(left, self._ring)

    def wallet(self, cookie: str, key: str) -> Wallet:
        """The open wallet, for who shows both parts of the pass. Raises :class:`VaultLocked`."""
        with self._lock:
            if self._wallet is not None and self.clock() - self._seen >= IDLE:
                self.lock()
            if self._wallet is None or not (_same(cookie, self._pass.cookie) and _same(key, self._pass.key)):
                raise VaultLocked("the wallet is locked", hint="Unlock it with the passphrase.")
            self._seen = self.clock()
            return self._wallet

    def returned(self, cookie: str) -> tuple[Wallet, Pass]:
        """The open wallet, and the pass of the browser with this ``cookie``: for one that was sent back here,
        and has yet to prove it.

        Raises :class:`VaultLocked`.
        """
        with self._lock:
            seen = self._seen
            wallet = self.wallet(cookie, self._pass.key)
            # A cookie alone does not keep the wallet open.
            self._seen = seen
            return wallet, self._pass

    def put(self, paper: Offer | Question | Result | Refused) -> str:
        with self._lock:
            while len(self._papers) >= KEPT:
                del self._papers[next(iter(self._papers))]
            id = secrets.token_urlsafe(12)
            self._papers[id] = paper
            return id

    def get(self, id: str, kind: type[Any]) -> Any:
        """Raises :class:`NotFound`."""
        with self._lock:
            paper = self._papers.get(id)
        if not isinstance(paper, kind):
            raise NotFound("this was dealt with, or forgotten when the wallet was locked")
        return paper

    def take(self, id: str, kind: type[Any]) -> Any:
        """As :meth:`get`, and it is gone: what is decided is decided once."""
        with self._lock:
            paper = self.get(id, kind)
            del self._papers[id]
            return paper


def _same(given: str, kept: str) -> bool:
    return hmac.compare_digest(given.encode(), kept.encode())
