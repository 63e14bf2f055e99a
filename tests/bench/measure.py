"""How figures are taken: two works side by side in one run, alternately, and the best of each counts.

The best of many short rounds is what the machine can do when nobody disturbs it; alternating gives both works
the same disturbances, so that their ratio is steadier than either.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

Work = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of ``build/bench.json``; ``ratio`` is value over ``against``: lower is better, if not said."""

    name: str
    value: float
    unit: str
    against: str
    ratio: float | None
    target: str
    runs: int

    def met(self) -> bool | None:
        """Whether the target holds in this run; ``None`` where it states none."""
        words = self.target.split()
        if len(words) < 3 or words[1] not in ("<=", ">="):
            return None
        measured = {"ratio": self.ratio, "value": self.value}[words[0]]
        if measured is None:
            return None
        return measured <= float(words[2]) if words[1] == "<=" else measured >= float(words[2])

    def row(self) -> dict[str, object]:
        return asdict(self) | {"met": self.met()}


def seconds(work: Work, calls: int) -> float:
    """Seconds a call, over ``calls`` calls in a row."""
    start = time.perf_counter()
    for _ in range(calls):
        work()
    return (time.perf_counter() - start) / calls


def side_by_side(*works: Work, rounds: int = 15, spend: float = 0.05) -> tuple[float, ...]:
    """The best seconds a call of each work; each round spends about ``spend`` seconds on each."""
    calls = [max(1, int(spend / max(seconds(work, 1), 1e-9))) for work in works]
    best = [float("inf")] * len(works)
    for _ in range(rounds):
        for position, work in enumerate(works):
            best[position] = min(best[position], seconds(work, calls[position]))
    return tuple(best)


ROUNDS = 15


def against_floor(name: str, work: Work, floor: Work, floor_name: str, target: float | None) -> Figure:
    value, least = side_by_side(work, floor, rounds=ROUNDS)
    words = "none: for information" if target is None else f"ratio <= {target}"
    return Figure(name, value * 1e3, "ms", floor_name, value / least, words, ROUNDS)


def against_peer(name: str, work: Work, peer: Work, peer_name: str, times_faster: float) -> Figure:
    """``ratio`` is how many times as long the peer takes."""
    value, other = side_by_side(work, peer, rounds=ROUNDS)
    return Figure(name, value * 1e3, "ms", peer_name, other / value, f"ratio >= {times_faster}", ROUNDS)
