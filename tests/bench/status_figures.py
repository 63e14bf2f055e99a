"""Reading one status from a loaded list of a million."""

from __future__ import annotations

import random

from measure import ROUNDS, Figure, side_by_side

from revocation.statuslist import StatusList

SIZE = 1 << 20
AT_ONCE = 1000


def lookup() -> Figure:
    """Nanoseconds a lookup, the loop of a caller included, at random places of a list with 1 % set."""
    chance = random.Random(1)
    data = bytearray(SIZE // 8)
    for place in chance.sample(range(SIZE), SIZE // 100):
        data[place >> 3] |= 1 << (place & 7)
    statuses = StatusList(1, bytes(data))
    places = [chance.randrange(SIZE) for _ in range(AT_ONCE)]
    raw = statuses.data

    def ours() -> None:
        for place in places:
            statuses.get(place)

    def floor() -> None:
        for place in places:
            raw[place >> 3] >> (place & 7) & 1

    value, least = side_by_side(ours, floor)
    return Figure(
        "status.lookup_ns",
        value / AT_ONCE * 1e9,
        "ns",
        "an unchecked read of the bit, same run",
        value / least,
        "value <= 200",
        ROUNDS,
    )


FIGURES = {"status.lookup_ns": lookup}
