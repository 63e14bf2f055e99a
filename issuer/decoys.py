"""The part of the store that keeps decoys: status indices which nobody has, marked beside true ones.

What is drawn and how much is flipped is decided in :mod:`revocation.publish`; here it is remembered, in one
row a list, so that a decoy is never issued and never flips back.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

from sqlalchemy import Connection, func, insert, select, update

from credentials import calendar
from credentials.model import Seconds, Window
from revocation import publish

from .rows import Rows
from .schema import GRACE, copies, reserves

_WORD: Final = "<u4"
_WORD_BYTES: Final = 4

# numpy is imported where it is used: it takes a tenth of a second, and most commands need none of it.


def unpack(packed: bytes) -> list[int]:
    """The indices of a reserve, in the order of flipping."""
    import numpy as np

    return [int(index) for index in np.frombuffer(packed, _WORD)]


class Decoys(Rows):
    """Reserves of never-issued indices, one for each list."""

    def decoys_among(
        self, connection: Connection, type: str, window: Window, indices: Collection[int]
    ) -> set[int]:
        """Which of ``indices`` are kept back as decoys of that list."""
        here = (reserves.c.type == type, reserves.c.window_start == window.start)
        packed = connection.execute(select(reserves.c.indices).where(*here)).scalar()
        if packed is None or not indices:
            return set()
        import numpy as np

        wanted = np.fromiter(indices, np.int64, len(indices))
        return {int(one) for one in wanted[np.isin(wanted, np.frombuffer(packed, _WORD))]}

    def publish_marks(
        self, type: str, window: Window, *, now: Seconds, draw: Callable[[Collection[int]], list[int]]
    ) -> tuple[int, ...]:
        """The indices of a list that stand as INVALID from now on: revoked copies, and decoys.

        ``draw`` makes the reserve of a list that has none, out of what is not among the indices it is given.
        What is newly marked is a multiple of :data:`revocation.publish.QUANTUM` until the reserve runs out.
        """
        import numpy as np

        here = (reserves.c.type == type, reserves.c.window_start == window.start)
        of_list = (copies.c.type == type, copies.c.window_start == window.start)
        today = calendar.midnight(now)

        def act(connection: Connection) -> tuple[int, ...]:
            row = connection.execute(select(reserves).where(*here).with_for_update()).first()
            if row is None:
                taken = set(connection.execute(select(copies.c.idx).where(*of_list)).scalars())
                decoys = draw(taken)
                fresh = {"type": type, "window_start": window.start, "window_end": window.end}
                packed = np.array(decoys, _WORD).tobytes()
                connection.execute(
                    insert(reserves).values(**fresh, indices=packed, flipped=0, marked=0, day=0)
                )
                flipped, before, day = 0, 0, 0
            else:
                decoys = unpack(row.indices)
                flipped, before, day = row.flipped, row.marked, row.day
            revoked = connection.execute(select(copies.c.idx).where(*of_list, copies.c.status != 0)).scalars()
            marked = sorted(revoked)
            flip = publish.decoys_to_flip(len(marked) - before, first_of_day=today > day)
            flipped = min(flipped + flip, len(decoys))
            connection.execute(
                update(reserves).where(*here).values(flipped=flipped, marked=len(marked), day=max(today, day))
            )
            return (*marked, *decoys[:flipped])

        return self.write(act)

    def published_lists(self, *, now: Seconds) -> tuple[tuple[str, Window], ...]:
        """Every (type, window) that was published and has not been over for :data:`schema.GRACE`.

        Whether it has copies or not: a list that goes missing looks held back to whoever fetched it before.
        """
        query = select(reserves.c.type, reserves.c.window_start, reserves.c.window_end)
        recent = query.where(reserves.c.window_end > now - GRACE)
        with self.read() as connection:
            rows = connection.execute(recent.order_by(reserves.c.type, reserves.c.window_start)).all()
        return tuple((type, Window(start, end)) for type, start, end in rows)

    def spent_reserves(self, *, now: Seconds) -> int:
        """How many lists that are still published have no decoys left."""
        query = select(func.count()).select_from(reserves)
        used_up = reserves.c.flipped * _WORD_BYTES >= func.length(reserves.c.indices)
        with self.read() as connection:
            return connection.execute(query.where(reserves.c.window_end > now - GRACE, used_up)).scalar_one()
