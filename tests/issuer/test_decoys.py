"""Decoys: what changes from one publication to the next is not one person's copies and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from issuer_fixture import Desk, new_key
from sqlalchemy import select, update

from credentials.calendar import DAY
from credentials.errors import StatusListFull
from credentials.model import Window
from issuer import issuance
from issuer.app import load_status_signer
from issuer.decoys import unpack
from issuer.publishing import publication, put, status_lists
from issuer.schema import GRACE, copies, reserves
from revocation import publish
from revocation.publish import MIN_DECOYS, QUANTUM, RESERVE, decoys_to_flip, draw_reserve

ID = "residency-1.mdoc"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@given(st.integers(0, 10_000), st.booleans())
def test_marks_come_in_multiples_with_decoys_among_them(revoked: int, first_of_day: bool) -> None:
    decoys = decoys_to_flip(revoked, first_of_day=first_of_day)
    assert (revoked + decoys) % QUANTUM == 0
    if revoked:
        assert MIN_DECOYS <= decoys < MIN_DECOYS + QUANTUM
        assert decoys == decoys_to_flip(revoked, first_of_day=not first_of_day)
    else:
        assert decoys == (QUANTUM if first_of_day else 0)


@given(st.sets(st.integers(0, 255), max_size=100), st.integers(0, 1 << 32))
def test_a_reserve_is_drawn_among_the_free(taken: set[int], seed: int) -> None:
    drawn = draw_reserve(Random(seed).randbytes, taken=taken, count=40, size=256)
    assert len(set(drawn)) == len(drawn) == 40
    assert not taken & set(drawn)


def test_a_full_list_has_no_reserve() -> None:
    with pytest.raises(StatusListFull):
        draw_reserve(Random(1).randbytes, taken=range(64), count=1, size=64)


def set_bits(desk: Desk) -> dict[str, set[int]]:
    return {
        uri: {
            8 * at + bit for at, byte in enumerate(listed.data) if byte for bit in range(8) if byte >> bit & 1
        }
        for uri, listed in status_lists(desk.issuer).items()
    }


def test_a_difference_of_publications_is_not_one_person(desk: Desk) -> None:
    """Newly set bits are a multiple of the quantum, none is ever taken back, half are nobody's at least."""
    people = [desk.enrol("adult"), desk.enrol("elder")]
    for person in people:
        desk.ask(desk.redeem(person.id, [ID]), ID, [new_key() for _ in range(10)])
    before = set_bits(desk)
    assert {len(bits) for bits in before.values()} == {QUANTUM}, "every list, revoked or not"
    assert set_bits(desk) == before, "one quantum a day"
    (listed,) = desk.store.lists(now=desk.clock.now)
    uri = publish.uri(desk.issuer.url, "residency-1", listed[1].start)
    for person in people:
        desk.issuer.revoke(person.id, types=["residency/1"])
        after = set_bits(desk)
        new = after[uri] - before[uri]
        assert (len(new), before[uri] <= after[uri]) == (QUANTUM, True)
        assert len(new & set(desk.store.marked(*listed))) == 10
        assert {name for name in after if after[name] != before[name]} == {uri}
        before = after
    desk.clock.now += DAY
    after = set_bits(desk)
    both = before.keys() & after.keys()
    assert uri in both
    assert all(before[name] <= after[name] for name in both)
    assert {len(after[name]) - len(before[name]) for name in both} == {QUANTUM}


def test_a_decoy_is_never_issued(desk: Desk) -> None:
    """Neither drawn, nor stored where it was drawn as a decoy in between."""
    status_lists(desk.issuer)
    with desk.store.engine.connect() as connection:
        row = connection.execute(select(reserves).where(reserves.c.type == "residency/1")).first()
    assert row is not None
    decoys = unpack(row.indices)
    assert len(set(decoys)) == RESERVE
    draws = iter([*decoys[:3], next(index for index in range(RESERVE + 1) if index not in decoys)])
    drawn = desk.store.draw_indices(
        "residency/1",
        Window(row.window_start, row.window_end),
        1,
        size=publish.LIST_SIZE,
        draw=lambda: next(draws),
    )
    assert not set(drawn) & set(decoys)


def test_a_copy_is_never_a_decoy(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """An index that a publication took for a decoy between drawing and storing is drawn again."""
    person = desk.enrol("adult")
    real, stolen = desk.store.draw_indices, list[int]()

    def draw(_self: object, *arguments: Any, **rest: Any) -> tuple[int, ...]:
        drawn: tuple[int, ...] = real(*arguments, **rest)
        if not stolen:
            stolen.extend(drawn)
            monkeypatch.setattr(publish, "draw_reserve", lambda *_, **__: stolen)
            status_lists(desk.issuer)
        return drawn

    monkeypatch.setattr(type(desk.store), "draw_indices", draw)
    desk.ask(desk.redeem(person.id, [ID]), ID, [new_key()])
    with desk.store.engine.connect() as connection:
        (issued,) = connection.execute(select(copies.c.idx)).scalars()
    assert stolen
    assert issued not in stolen


def test_a_list_stays_published_until_its_window_is_over(desk: Desk, tmp_path: Path) -> None:
    """Also one without copies, every day, and for the grace: gone earlier, it would look held back."""
    out = tmp_path / "out"

    def published() -> set[str]:
        """What is named and lies there, at a publication as the command makes it."""
        desk.store.purge(now=desk.clock.now)
        signer = load_status_signer(desk.place, production=False)
        list(put(publication(desk.issuer, signer=signer, trust_list=b"list"), out))
        index = json.loads((out / publish.INDEX).read_bytes())
        assert len(list((out / "status").glob("*/*.jwt"))) == len(index["lists"])
        return set(index["status_lists"])

    first = published()
    type_ = desk.issuer.catalogue.types["residency/1"]
    window = issuance.window(type_, now=desk.clock.now)
    uri = publish.uri(desk.issuer.url, type_.slug, window.start)
    assert uri in first
    assert desk.store.lists(now=desk.clock.now) == ()
    for day in (2, type_.validity_days - 1):
        desk.clock.now = window.start + day * DAY
        assert first <= published()
    desk.clock.now = window.end + GRACE - 1
    assert uri in published()
    desk.clock.now += 1
    assert uri not in published()


def test_copies_of_one_type_in_two_windows(desk: Desk) -> None:
    person = desk.enrol("adult")
    starts: list[int] = []
    for _ in range(2):
        desk.ask(desk.redeem(person.id, [ID]), ID, [new_key()])
        starts.append(issuance.window(desk.issuer.catalogue.types["residency/1"], now=desk.clock.now).start)
        desk.clock.now += DAY
    listed = desk.store.lists(now=desk.clock.now)
    assert [(type, window.start) for type, window in listed] == [("residency/1", start) for start in starts]
    assert {publish.uri(desk.issuer.url, "residency-1", start) for start in starts} <= status_lists(
        desk.issuer
    ).keys()


def test_the_list_of_a_window_that_is_over_needs_no_purge_to_end(desk: Desk) -> None:
    status_lists(desk.issuer)
    ends = {window.end for _, window in desk.store.published_lists(now=desk.clock.now)}
    assert len(desk.store.published_lists(now=max(ends) + GRACE - 1)) > 0
    assert desk.store.published_lists(now=max(ends) + GRACE) == ()


def test_an_empty_reserve_is_told(desk: Desk) -> None:
    status_lists(desk.issuer)
    assert desk.store.spent_reserves(now=desk.clock.now) == 0
    with desk.store.engine.begin() as connection:
        connection.execute(
            update(reserves).where(reserves.c.type == "residency/1").values(flipped=RESERVE - 1)
        )
    desk.clock.now += DAY
    status_lists(desk.issuer)
    assert desk.store.spent_reserves(now=desk.clock.now) == 2, "yesterday's list and today's"
