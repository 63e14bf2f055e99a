"""What was true at issue and is not any more: revoked with the next publication, and not issued again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from issuer_fixture import PEOPLE, TODAY, Desk, new_key
from pki_fixture import ISSUER
from sqlalchemy import select

from credentials.calendar import DAY
from credentials.errors import NotEntitled
from credentials.hkid import of_body
from issuer import lapse
from issuer.lapse import people_to_review, revoke_lapsed
from issuer.person import Person
from issuer.publishing import status_lists
from issuer.register import SqliteRegister
from issuer.schema import copies
from revocation import publish

LAST_DAY = TODAY + timedelta(days=4)


def staying(number: str, **changes: Any) -> Person:
    """A resident of 61 whose limited stay ends in four days."""
    return replace(
        PEOPLE.elder,
        identity=of_body(number),
        evidence="hkic",
        birth=replace(PEOPLE.elder.birth, year=TODAY.year - 61),
        stay="C",
        purpose="employment",
        stay_until=LAST_DAY,
        resident_since=date(TODAY.year - 20, 1, 1),
        **changes,
    )


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def people(desk: Desk) -> SqliteRegister:
    register = desk.issuer.register
    assert isinstance(register, SqliteRegister)
    return register


def issue(desk: Desk, person: Person, *ids: str) -> str:
    """Two copies of each; the enrolment."""
    people(desk).add([person])
    enrolled = desk.issuer.enrol(person.identity)
    grant = desk.redeem(enrolled.id, list(ids))
    for id in ids:
        desk.ask(grant, id, [new_key(), new_key()])
    return enrolled.id


def marked(desk: Desk) -> dict[tuple[str, str], int]:
    """Copies marked, by enrolment and type."""
    found: dict[tuple[str, str], int] = {}
    with desk.store.engine.connect() as connection:
        for row in connection.execute(select(copies).where(copies.c.status != 0)):
            found[row.enrolment, row.type] = found.get((row.enrolment, row.type), 0) + 1
    return found


SCHEME = "eligibility/two_dollar_60/1"
IDS = ("eligibility-two-dollar-60-1.sd-jwt", "residency-1.mdoc", "base-1.sd-jwt", "age-1.sd-jwt")


def test_a_stay_that_ended_is_revoked_with_the_next_publication(desk: Desk) -> None:
    leaving = issue(desk, staying("Q100001"), *IDS)
    issue(desk, PEOPLE.elder, *IDS)
    # The last day of the stay still counts; nobody has lapsed.
    desk.clock.now += 4 * DAY
    assert people_to_review(desk.issuer) == 2
    assert list(revoke_lapsed(desk.issuer)) == [0, 0]
    assert marked(desk) == {}
    # The day after: entitlement and residence, not the personal details; and nobody else's.
    desk.clock.now += DAY
    assert sum(revoke_lapsed(desk.issuer)) == 4
    assert marked(desk) == {(leaving, SCHEME): 2, (leaving, "residency/1"): 2}
    lists = status_lists(desk.issuer)
    for type, window in desk.store.lists(now=desk.clock.now):
        uri = publish.uri(ISSUER, desk.issuer.catalogue.types[type].slug, window.start)
        assert {lists[uri].get(index) for index in desk.store.marked(type, window)} <= {1}
    # Once is enough, and the entitlement is not issued anew.
    assert sum(revoke_lapsed(desk.issuer)) == 0
    enrolment = desk.store.enrolment(leaving)
    with pytest.raises(NotEntitled):
        desk.issuer.claims(desk.issuer.catalogue.types[SCHEME], enrolment, now=desk.clock.now)


def test_a_copy_that_says_no_is_not_revoked_for_it(desk: Desk) -> None:
    """Issued after the stay ended, it states the truth."""
    desk.clock.now += 6 * DAY
    issue(desk, staying("Q100001"), "residency-1.mdoc")
    assert sum(revoke_lapsed(desk.issuer)) == 0


def test_an_entitlement_that_the_register_takes_back(desk: Desk) -> None:
    enrolment = issue(desk, PEOPLE.elder, "eligibility-two-dollar-60-1.mdoc")
    people(desk).add([replace(PEOPLE.elder, stay="none", evidence="recognizance")])
    assert sum(revoke_lapsed(desk.issuer)) == 2
    assert marked(desk) == {(enrolment, SCHEME): 2}


def test_people_whom_the_register_does_not_know_are_left(desk: Desk) -> None:
    issue(desk, staying("Q100001"), "residency-1.mdoc")
    desk.clock.now += 6 * DAY
    empty = SqliteRegister("sqlite://", key=bytes(32))
    object.__setattr__(desk.issuer, "register", empty)
    assert list(revoke_lapsed(desk.issuer)) == [0]


def test_page_by_page_each_person_once_and_a_crash_half_way(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lapse, "_STEP", 2)
    for number in range(5):
        issue(desk, staying(f"Q10001{number}"), "residency-1.mdoc", "residency-1.sd-jwt")
    desk.clock.now += 6 * DAY
    read: list[str] = []
    really = SqliteRegister.read

    def reading(self: SqliteRegister, reference: str) -> Person:
        read.append(reference)
        return really(self, reference)

    monkeypatch.setattr(SqliteRegister, "read", reading)
    begun: Iterator[int] = revoke_lapsed(desk.issuer)
    assert [next(begun), next(begun)] == [8, 0]
    del begun  # the process ends here: one page is marked whole, the others not at all
    assert sum(marked(desk).values()) == 8
    assert list(revoke_lapsed(desk.issuer)) == [8, 0, 4]
    assert len(read) == len(set(read)) == 5


def test_live_copies_are_those_that_can_be_shown(desk: Desk) -> None:
    first = issue(desk, staying("Q100001"), "residency-1.mdoc")
    second = issue(desk, staying("Q100002"), "residency-1.mdoc")
    desk.issuer.revoke(first)
    assert [id for id, _, _ in desk.store.live(now=desk.clock.now, after="", limit=9)] == [second]
    desk.clock.now += 30 * DAY
    assert desk.store.live(now=desk.clock.now, after="", limit=9) == ()
    assert people_to_review(desk.issuer) == 0
