"""What is published: static files, the same for everybody, and indices without a pattern."""

from __future__ import annotations

import json
from collections import Counter
from random import Random

import pytest
from pki_fixture import ISSUER, NOW, development_pki, trust

from credentials.errors import ConfigurationInvalid, StatusListFull
from revocation.check import MIN_SIZE, refuse_tracking_uri
from revocation.publish import LIFE, LIST_SIZE, TTL, publication, random_index, uri
from revocation.statuslist import StatusList
from revocation.token import Encoding, open_token

RESIDENCY = f"{ISSUER}/status/residency-1/2026-11-22"


def seeded(seed: int) -> Random:
    return Random(seed)


def test_one_list_for_each_type_and_day_in_hong_kong() -> None:
    assert uri(ISSUER, "residency-1", NOW) == RESIDENCY
    midnight = NOW - 8 * 3600
    assert uri(ISSUER, "residency-1", midnight) == RESIDENCY
    assert uri(ISSUER, "residency-1", midnight - 1).endswith("/2026-11-21")
    refuse_tracking_uri(RESIDENCY)


def test_every_list_is_large_enough_to_be_lost_in() -> None:
    assert LIST_SIZE >= MIN_SIZE


def test_an_index_is_drawn_among_those_not_taken() -> None:
    free = {3, 77, 100}
    random = seeded(1)
    drawn = {random_index(random.randbytes, taken=lambda i: i not in free, size=101) for _ in range(50)}
    assert drawn == free


def test_indices_are_spread_evenly() -> None:
    random = seeded(2)
    size = 10  # not a power of two: a remainder would favour the first ones
    counts = Counter(random_index(random.randbytes, taken=lambda _: False, size=size) for _ in range(20_000))
    assert set(counts) == set(range(size))
    assert max(counts.values()) < 2000 * 1.15
    assert min(counts.values()) > 2000 * 0.85


def test_an_index_depends_on_its_own_randomness_alone() -> None:
    """No counter and no state: the same bytes give the same index, whatever was drawn before."""
    first = random_index(seeded(3).randbytes, taken=lambda _: False)
    for _ in range(5):
        random_index(seeded(4).randbytes, taken=lambda _: False)
    assert random_index(seeded(3).randbytes, taken=lambda _: False) == first
    assert 0 <= first < LIST_SIZE


def test_the_last_index_can_be_drawn_and_the_one_after_it_cannot() -> None:
    assert random_index(lambda n: b"\xff" * n, taken=lambda _: False, size=8) == 7
    answers = iter([b"\x00" * 7 + b"\x07", b"\x00" * 7 + b"\x05"])
    assert random_index(lambda n: next(answers), taken=lambda _: False, size=6) == 5


def test_a_full_list_says_so() -> None:
    with pytest.raises(StatusListFull):
        random_index(seeded(5).randbytes, taken=lambda _: True)


def published(**lists: StatusList) -> dict[str, bytes]:
    pki = development_pki()
    by_uri = {f"{ISSUER}/status/{name}/2026-11-22": statuses for name, statuses in lists.items()}
    return publication(by_uri, base=ISSUER, trust_list=pki.trust_list, issued=NOW, signer=pki.status.signer)


def test_the_layout() -> None:
    files = published(b=StatusList.empty(MIN_SIZE), a=StatusList.empty(MIN_SIZE))
    assert set(files) == {
        "trust-list.jwt",
        "status/index.json",
        *(f"status/{name}/2026-11-22.{encoding}" for name in "ab" for encoding in ("jwt", "cwt")),
    }
    assert files["trust-list.jwt"] == development_pki().trust_list
    uris = [f"{ISSUER}/status/{name}/2026-11-22" for name in "ab"]
    assert json.loads(files["status/index.json"]) == {
        "status_lists": uris,
        "lists": [
            {
                "uri": address,
                "jwt": f"status/{name}/2026-11-22.jwt",
                "cwt": f"status/{name}/2026-11-22.cwt",
            }
            for name, address in zip("ab", uris, strict=True)
        ],
    }


@pytest.mark.parametrize("encoding", ["jwt", "cwt"])
def test_published_lists_open_and_say_the_same(encoding: Encoding) -> None:
    statuses = StatusList.empty(MIN_SIZE)
    for index in (0, 12_345, MIN_SIZE - 1):
        statuses.set(index, 1)
    data = published(residency=statuses)[f"status/residency/2026-11-22.{encoding}"]
    signed = open_token(data, encoding=encoding, trust=trust(), now=NOW)
    assert signed.list.data == statuses.data
    assert (signed.issued, signed.expires, signed.ttl) == (NOW, NOW + LIFE, TTL)


def test_a_list_that_is_not_ours_is_not_published() -> None:
    pki = development_pki()
    for address in ("https://other.test/status/x/2026-11-22", f"{ISSUER}/vct/x", f"{ISSUER}.eve/status/x"):
        with pytest.raises(ConfigurationInvalid):
            publication(
                {address: StatusList.empty(MIN_SIZE)},
                base=ISSUER,
                trust_list=pki.trust_list,
                issued=NOW,
                signer=pki.status.signer,
            )


def test_issued_and_never_issued_look_alike() -> None:
    """A list of which nothing was issued and one of which half was, none revoked: the same bytes."""
    untouched, issued = StatusList.empty(MIN_SIZE), StatusList.empty(MIN_SIZE)
    for index in range(0, MIN_SIZE, 2):
        issued.set(index, 0)
    assert published(a=untouched) == published(a=issued)
