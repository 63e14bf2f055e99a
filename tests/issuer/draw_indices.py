"""One process of `test_indices_stay_unique_among_processes`: 20 batches of 3; prints the indices."""

from __future__ import annotations

import os
import sys

from credentials.model import Window
from issuer.copies import IndexTaken, Issuance
from issuer.store import open_store

NOW = 1_795_305_600
SIZE = 512


def run(url: str, number: str) -> None:
    store = open_store(url)
    window = Window(NOW - 28_800, NOW - 28_800 + 30 * 86_400)
    done = 0
    while done < 20:
        unique = f"{number}-{done}".encode()
        indices = store.draw_indices(
            "residency/1", window, 3, size=SIZE, draw=lambda: int.from_bytes(os.urandom(2), "big") % SIZE
        )
        try:
            store.record(
                Issuance(
                    token=b"t1",
                    enrolment="e1",
                    type="residency/1",
                    format="mso_mdoc",
                    window=window,
                    nonces={unique: NOW + 600},
                    keys=frozenset({unique}),
                    indices=indices,
                    copies=3,
                    limit=1000,
                    request=unique,
                    sealed=b"",
                    sealed_until=NOW + 600,
                    notification=unique,
                    family="f1",
                    notification_until=NOW + 600,
                )
            )
        except IndexTaken:
            continue
        print(*indices)
        done += 1


if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2])
