"""What was revoked stays revoked: no refill, no retry and no re-enrolment brings it back unasked."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from issuer_fixture import IDS, Desk, Granted, assert_refused, new_key
from sqlalchemy import func, select

from credentials.errors import EnrolmentUnknown, TypeWithheld
from issuer import issuance
from issuer.office import Enrolled
from issuer.schema import copies, issued, withheld
from openid4vc import oauth

RESIDENCY = "residency-1.mdoc"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture
def adult(desk: Desk) -> Enrolled:
    return desk.enrol("adult")


@pytest.fixture
def grant(desk: Desk, adult: Enrolled) -> Granted:
    return desk.redeem(adult.id, IDS)


def refresh(desk: Desk, grant: Granted) -> Granted:
    assert grant.refresh_token is not None
    answer = desk.token(oauth.token_form(oauth.RefreshGrant(grant.refresh_token)), grant.key)
    return Granted(oauth.parse_token_response(answer.data).access_token, None, grant.key)


def test_a_refill_does_not_undo_a_revocation(desk: Desk, adult: Enrolled, grant: Granted) -> None:
    """With the old token and with a refreshed one, in both formats; other types go on."""
    desk.ask(grant, RESIDENCY, [new_key()])
    assert desk.issuer.revoke(adult.id, types=["residency/1"]) == 1
    for token in (grant, refresh(desk, grant)):
        for id in ("residency-1.mdoc", "residency-1.sd-jwt"):
            answer = desk.send(token, desk.body(id, [new_key()]))
            assert_refused(answer, "type_withheld", "credential_request_denied")
    desk.ask(grant, "age-1.mdoc", [new_key()])
    with pytest.raises(TypeWithheld):
        desk.issuer.offer(adult.id, [RESIDENCY])
    listed = {type.name for type in desk.issuer.issuable(desk.store.enrolment(adult.id))}
    assert "residency/1" not in listed
    assert "age/1" in listed


def test_a_revocation_between_signing_and_storing(
    desk: Desk, adult: Enrolled, grant: Granted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transaction that issues asks once more."""
    real = issuance.mint

    def mint(*arguments: object, **rest: object) -> tuple[bytes, ...]:
        desk.issuer.revoke(adult.id, types=["residency/1"])
        return real(*arguments, **rest)  # type: ignore[arg-type]

    monkeypatch.setattr(issuance, "mint", mint)
    answer = desk.send(grant, desk.body(RESIDENCY, [new_key()]))
    assert_refused(answer, "type_withheld", "credential_request_denied")
    with desk.store.engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(copies)).scalar() == 0


def test_a_retry_does_not_bring_it_back(desk: Desk, adult: Enrolled, grant: Granted) -> None:
    """The stored answer goes with the revocation; that of another type stays."""
    residency, age = desk.body(RESIDENCY, [new_key()]), desk.body("age-1.mdoc", [new_key()])
    kept = [desk.send(grant, body).data for body in (residency, age)]
    desk.issuer.revoke(adult.id, types=["residency/1"])
    assert_refused(desk.send(grant, residency), "type_withheld", "credential_request_denied")
    assert desk.send(grant, age).data == kept[1]


def test_lifting_lets_it_be_issued_and_leaves_the_old_copies_revoked(
    desk: Desk, adult: Enrolled, grant: Granted
) -> None:
    desk.ask(grant, RESIDENCY, [new_key()])
    desk.issuer.revoke(adult.id, types=["residency/1", "base/1"])
    assert desk.store.lift(adult.id, ["residency/1"]) == 1
    assert desk.store.lift(adult.id, ["residency/1"]) == 0
    desk.ask(grant, RESIDENCY, [new_key()])
    (listed,) = desk.store.lists(now=desk.clock.now)
    assert len(desk.store.marked(*listed)) == 1
    assert desk.store.withheld(adult.id) == {"base/1"}
    with pytest.raises(EnrolmentUnknown):
        desk.store.lift("nobody", ["base/1"])


def test_losing_a_phone_does_not_lift(desk: Desk, adult: Enrolled) -> None:
    """At the portal, that is; at the counter enrolling anew is a decision."""
    desk.issuer.revoke(adult.id, types=["residency/1"])
    anew = desk.issuer.enrol_anew(adult.id)
    assert desk.store.withheld(anew.id) == {"residency/1"}
    desk.issuer.revoke(anew.id, end=True)
    with desk.store.engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(withheld)).scalar() == 0
    assert desk.store.withheld(desk.enrol("adult").id) == frozenset()


def test_requests_at_once_get_no_more_than_the_limit(
    desk: Desk, grant: Granted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each was judged before any was stored: the transaction counts again."""
    type_ = desk.issuer.catalogue.types["residency/1"]
    monkeypatch.setattr(issuance, "MAX_BATCHES", 2)
    judged: list[int] = []
    real = issuance.check_batch

    def check(*arguments: object, issued: int) -> None:
        judged.append(issued)
        real(*arguments, issued=0)  # type: ignore[arg-type]

    monkeypatch.setattr(issuance, "check_batch", check)
    bodies = [desk.body(RESIDENCY, [new_key() for _ in range(type_.batch)]) for _ in range(5)]
    with ThreadPoolExecutor(5) as pool:
        sent = [pool.submit(desk.send, grant, body) for body in bodies]
        answers = [one.result() for one in sent]
    assert sorted(answer.status_code for answer in answers) == [200, 200, 429, 429, 429]
    assert {answer.get_json().get("code") for answer in answers} == {None, "rate_limited"}
    with desk.store.engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(copies)).scalar() == 2 * type_.batch
        assert connection.execute(select(issued.c.copies)).scalars().all() == [2 * type_.batch]
    assert len(judged) == 5


def test_nothing_of_a_person_outlives_its_window(desk: Desk, adult: Enrolled, grant: Granted) -> None:
    """Copies, counts and refusals go; times that stay longer than a session tell a day and no second."""
    desk.clock.now += 4321
    grant = desk.redeem(adult.id, IDS)
    desk.ask(grant, RESIDENCY, [new_key()])
    desk.store.count_refusal("proof_invalid", now=desk.clock.now)
    type_ = desk.issuer.catalogue.types["residency/1"]
    window = issuance.window(type_, now=desk.clock.now)
    from issuer.schema import notifications, refusals, tokens

    with desk.store.engine.connect() as connection:
        refreshing = select(tokens.c.expires).where(tokens.c.kind == "refresh")
        told = select(notifications.c.expires)
        for expires in (*connection.execute(refreshing).scalars(), *connection.execute(told).scalars()):
            assert (expires - window.start) % 86_400 == 0
    counts = (copies, issued, refusals)

    def left() -> list[int]:
        with desk.store.engine.connect() as connection:
            return [connection.execute(select(func.count()).select_from(t)).scalar_one() for t in counts]

    desk.store.purge(now=window.end)
    assert left()[:2] == [1, 1]
    desk.store.purge(now=window.end + 86_400)
    assert left() == [0, 0, 0]


def test_no_table_has_row_ids(desk: Desk) -> None:
    """They count up with every insertion, and would join the hashes of one request to its copies."""
    import sqlite3

    from issuer.schema import metadata

    with sqlite3.connect(desk.place.data / "issuer.sqlite") as database:
        for table in metadata.sorted_tables:
            with pytest.raises(sqlite3.OperationalError, match="rowid"):
                database.execute(f"SELECT rowid FROM {table.name}")  # noqa: S608
    database.close()


def test_an_offer_to_sign_in_is_spent_with_its_code(desk: Desk, adult: Enrolled) -> None:
    from issuer_fixture import code_form, code_of, sign_in

    made = desk.issuer.offer(adult.id, [RESIDENCY], grant_type="authorization-code")
    state = desk.issuer.offer_code(made.id)
    first = code_of(sign_in(desk, adult, issuer_state=state))
    second = code_of(sign_in(desk, adult, issuer_state=state))
    assert desk.token(code_form(first), new_key()).status_code == 200
    assert_refused(desk.token(code_form(second), new_key()), "grant_invalid", "invalid_grant")
    again = sign_in(desk, adult, issuer_state=state)
    assert "error=invalid_grant" in again.location
