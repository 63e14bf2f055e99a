"""What an unlocked wallet has on its desk while its pages are open: offers and questions, in memory only.

Nothing of it is written down. After :data:`IDLE` seconds without a click it is all forgotten, the key first.
"""

from __future__ import annotations

import hmac
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

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


@dataclass(frozen=True, slots=True)
class Refused:
    """A request that the wallet refused: the code, who asked where that is known, what went too far."""

    code: str
    who: Mapping[str, str]
    too_much: tuple[Mapping[str, str], ...]


@dataclass
class Desk:
    """``open_wallet`` opens the vault with a passphrase; ``clock`` is any clock that goes forward."""

    open_wallet: Callable[[str], Wallet]
    data: Path
    clock: Callable[[], float] = time.monotonic
    _wallet: Wallet | None = None
    _token: str = ""
    _seen: float = 0.0
    _papers: dict[str, Any] = field(default_factory=dict[str, Any])
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def unlock(self, passphrase: str) -> str:
        """Open the vault; gives the token that this browser alone keeps. One guess at a time."""
        with self._lock:
            opened = self.open_wallet(passphrase)
            self.lock()
            self._wallet, self._token, self._seen = opened, secrets.token_urlsafe(32), self.clock()
            return self._token

    def lock(self) -> None:
        with self._lock:
            if self._wallet is not None:
                self._wallet.vault.close()
            self._wallet, self._token = None, ""
            self._papers.clear()

    def wallet(self, token: str) -> Wallet:
        """The open wallet, for the browser that opened it. Raises :class:`VaultLocked`."""
        with self._lock:
            if self._wallet is not None and self.clock() - self._seen > IDLE:
                self.lock()
            if self._wallet is None or not hmac.compare_digest(token.encode(), self._token.encode()):
                raise VaultLocked("the wallet is locked", hint="Unlock it with the passphrase.")
            self._seen = self.clock()
            return self._wallet

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
