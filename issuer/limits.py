"""Token buckets: how often something may be tried. In memory, per process, by a key that is no address.

A bucket is for an endpoint, or for a token's or code's hash; who is behind it is not recorded.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

from credentials.errors import RateLimited

MAX_BUCKETS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Rate:
    """``burst`` tries at once, then ``per_second``."""

    per_second: float
    burst: int


class Buckets:
    """Buckets of one rate. Beyond the bound the one untouched for longest is forgotten: full again."""

    def __init__(self, rate: Rate, *, bound: int = MAX_BUCKETS) -> None:
        self._rate = rate
        self._bound = bound
        self._lock = threading.Lock()
        self._levels: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def take(self, key: Hashable, *, now: float) -> None:
        """One try. ``now`` is in seconds of any clock. Raises :class:`RateLimited`."""
        with self._lock:
            level, since = self._levels.pop(key, (float(self._rate.burst), now))
            # A clock that goes backwards neither fills nor empties.
            level = min(self._rate.burst, level + max(0.0, now - since) * self._rate.per_second)
            allowed = level >= 1
            self._levels[key] = (level - 1 if allowed else level, now)
            while len(self._levels) > self._bound:
                self._levels.popitem(last=False)
        if not allowed:
            raise RateLimited("too many requests")
