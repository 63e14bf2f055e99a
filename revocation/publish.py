"""The pure parts of publishing: which list, which index, and which files.

Everything published is static and the same for everybody, so any web server, mirror or memory stick can
carry it. Most indices are never issued and stay VALID for good: nobody can count from a list how many
credentials were issued. Some of those are decoys: they are marked beside true ones, so that what changes
from one publication to the next is not one person's copies and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Final

from credentials.calendar import day_of
from credentials.encoding import dump_json
from credentials.errors import ConfigurationInvalid, StatusListFull
from credentials.keys import Signer
from credentials.model import Randomness, Seconds

from .statuslist import StatusList, pack
from .token import sign_cwt, sign_jwt

LIST_SIZE: Final = 1 << 20
"""Entries of every list: the same for all, so that a list's size says nothing."""
TTL: Final = 6 * 3600
"""Lists are published four times a day."""
LIFE: Final = 36 * 3600
"""After this a list is no evidence at all, whatever a verifier's policy."""

QUANTUM: Final = 64
"""Statuses are newly marked in multiples of this, decoys among them."""
MIN_DECOYS: Final = QUANTUM // 2
"""Whatever was revoked, at least so many decoys are marked with it."""
RESERVE: Final = 1 << 13
"""Decoys of one list: for a window of 30 days, one quantum with each of four publications a day."""

TRUST_LIST: Final = "trust-list.jwt"
INDEX: Final = "status/index.json"
_MAX_DRAWS: Final = 256


def uri(base: str, slug: str, window_start: Seconds) -> str:
    """The list of one credential type and validity window: ``{base}/status/{slug}/{day in Hong Kong}``."""
    return f"{base}/status/{slug}/{day_of(window_start).isoformat()}"


def random_index(randomness: Randomness, *, taken: Callable[[int], bool], size: int = LIST_SIZE) -> int:
    """Draw an index that is not ``taken``, each free one equally likely.

    Independent draws and nothing else: no counter, no block for one person or one batch. Raises
    :class:`StatusListFull` after 256 draws in vain; a list half full fails with probability 2^-256.
    """
    mask = (1 << (size - 1).bit_length()) - 1
    for _ in range(_MAX_DRAWS):
        index = int.from_bytes(randomness(8), "big") & mask
        if index < size and not taken(index):
            return index
    raise StatusListFull("the status list of this window has no free index")


def draw_reserve(
    randomness: Randomness, *, taken: Collection[int], count: int = RESERVE, size: int = LIST_SIZE
) -> list[int]:
    """``count`` indices that are not ``taken``, in random order: they are marked from the first on.

    Raises :class:`StatusListFull`.
    """
    # Imported here: it takes a tenth of a second, and of all commands only `publish` needs it.
    import numpy as np

    mask = (1 << (size - 1).bit_length()) - 1
    chosen: dict[int, None] = {}
    for _ in range(_MAX_DRAWS):
        drawn = np.frombuffer(randomness(8 * (count - len(chosen))), ">u8") & mask
        chosen |= dict.fromkeys(index for index in drawn.tolist() if index < size and index not in taken)
        if len(chosen) == count:
            return list(chosen)
    raise StatusListFull("the status list of this window has no room for decoys")


def decoys_to_flip(revoked: int, *, first_of_day: bool) -> int:
    """How many decoys are marked with ``revoked`` newly revoked copies.

    Together they are a multiple of :data:`QUANTUM` with at least :data:`MIN_DECOYS` decoys in it. Where
    nothing was revoked one quantum of decoys is marked with the first publication of a day, and none after.
    """
    if revoked <= 0:
        return QUANTUM if first_of_day else 0
    return -(-(revoked + MIN_DECOYS) // QUANTUM) * QUANTUM - revoked


def publication(
    lists: Mapping[str, StatusList],
    *,
    base: str,
    trust_list: bytes,
    issued: Seconds,
    signer: Signer,
    life: int = LIFE,
    ttl: int = TTL,
) -> dict[str, bytes]:
    """All published files, by relative path: the trust list, an index, and every list in both encodings.

    ``lists`` is by URI, each below ``{base}/status/``. The index has the ``status_lists`` of a status list
    aggregation (section 9) and, for mirrors, where each file lies. Raises :class:`ConfigurationInvalid`.
    """
    files = {TRUST_LIST: trust_list}
    entries: list[dict[str, str]] = []
    for address, statuses in sorted(lists.items()):
        if not address.startswith(f"{base}/status/"):
            raise ConfigurationInvalid("a status list is not below the publisher's own address")
        path = address.removeprefix(f"{base}/")
        lst = pack(statuses)  # once for both: packing costs more than signing
        for encoding, sign in (("jwt", sign_jwt), ("cwt", sign_cwt)):
            files[f"{path}.{encoding}"] = sign(
                statuses,
                uri=address,
                issued=issued,
                expires=issued + life,
                ttl=ttl,
                signer=signer,
                lst=lst,
            )
        entries.append({"uri": address, "jwt": f"{path}.jwt", "cwt": f"{path}.cwt"})
    index = {"status_lists": [entry["uri"] for entry in entries], "lists": entries}
    return {**files, INDEX: dump_json(index)}
