"""The issuer's store: what holds between processes, and what it does not contain."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from issuer_fixture import PEOPLE, Desk, new_key
from pki_fixture import NOW
from sqlalchemy import inspect, select

from credentials.errors import (
    AlreadyEnrolled,
    CredentialNonceInvalid,
    DpopInvalid,
    EnrolmentRevoked,
    GrantInvalid,
    ProofInvalid,
    StatusListFull,
    StoreInvalid,
    StoreUnavailable,
)
from credentials.hkid import Hkid
from credentials.model import Window
from issuer import schema
from issuer.copies import IndexTaken, Issuance
from issuer.issuance import Attempt, AuthorizationCode, Enrolment, Offer, Token, redeem_offer
from issuer.keyring import create_keyring, load_keyring
from issuer.store import Store, open_store
from web.database import sqlite_url

WINDOW = Window(NOW - 28_800, NOW - 28_800 + 30 * 86_400)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(sqlite_url(tmp_path / "issuer.sqlite"))


def enrolment(id: str = "e1", **members: Any) -> Enrolment:
    plain = Enrolment(id, b"rec" + id.encode(), "r1", "active", False, id.encode(), b"pass", 0, NOW)
    return replace(plain, **members)


def offer(id: str = "o1", **members: Any) -> Offer:
    plain = Offer(id, "e1", ("age-1.mdoc",), "pre-authorized", id.encode(), None, 0, "pending", NOW + 600)
    return replace(plain, **members)


def access_token(token: bytes = b"t1", **members: Any) -> Token:
    return replace(Token(token, "access", "f1", "e1", ("residency-1.mdoc",), b"jkt", NOW + 600), **members)


def issuance(**members: Any) -> Issuance:
    plain = Issuance(
        token=b"t1",
        enrolment="e1",
        type="residency/1",
        format="mso_mdoc",
        window=WINDOW,
        nonces={b"n1": NOW + 600},
        keys=frozenset({b"k1"}),
        indices=(7,),
        copies=1,
        limit=80,
        request=b"r1",
        sealed=b"sealed",
        sealed_until=NOW + 600,
        notification=b"x1",
        family="f1",
        notification_until=NOW + 600,
    )
    return replace(plain, **members)


def another(**members: Any) -> Issuance:
    """A second issuance that shares nothing with the first but what ``members`` say."""
    fresh: dict[str, Any] = {
        "nonces": {b"n2": NOW + 600},
        "keys": frozenset({b"k2"}),
        "indices": (8,),
        "request": b"r2",
        "notification": b"x2",
    }
    return issuance(**{**fresh, **members})


@pytest.fixture
def ready(store: Store) -> Store:
    store.add_enrolment(enrolment())
    store.add_tokens([access_token()])
    return store


def test_tables_are_what_the_migrations_make(store: Store) -> None:
    """Queries are written against names; the migrations are text: both must say the same."""
    found = inspect(store.engine)
    for table in schema.metadata.sorted_tables:
        assert {c["name"] for c in found.get_columns(table.name)} == {c.name for c in table.columns}


def test_database_is_private(tmp_path: Path) -> None:
    open_store(sqlite_url(tmp_path / "issuer.sqlite"))
    assert (tmp_path / "issuer.sqlite").stat().st_mode & 0o777 == 0o600


def test_one_active_enrolment_for_one_person(store: Store) -> None:
    store.add_enrolment(enrolment())
    with pytest.raises(AlreadyEnrolled) as refused:
        store.add_enrolment(enrolment("e2", rec=b"rece1"))
    assert refused.value.code == "already_enrolled"


def test_a_revoked_enrolment_makes_room(store: Store) -> None:
    store.add_enrolment(enrolment())
    store.revoke("e1", end=True)
    store.add_enrolment(enrolment("e2", rec=b"rece1"))
    assert [store.enrolment(id).state for id in ("e1", "e2")] == ["revoked", "active"]
    assert store.enrolment("e1").state == "revoked"


def test_records_round_trip(ready: Store) -> None:
    ready.add_offer(offer(tx_code=b"mac"))
    assert ready.offer("o1", now=NOW) == offer(tx_code=b"mac")
    assert ready.token(b"t1") == access_token()
    assert ready.enrolment("e1") == enrolment()


def test_issuance_is_stored_whole(ready: Store) -> None:
    ready.record(issuance())
    assert ready.stored_response(b"r1", now=NOW) == b"sealed"
    assert ready.lists(now=NOW) == (("residency/1", WINDOW),)
    assert ready.issued("e1", "residency/1", "mso_mdoc", WINDOW) == 1
    ready.record(another(copies=3))
    assert ready.issued("e1", "residency/1", "mso_mdoc", WINDOW) == 4


def _rows(store: Store) -> dict[str, list[Any]]:
    with store.engine.connect() as connection:
        return {
            table.name: [tuple(row) for row in connection.execute(select(table))]
            for table in schema.metadata.sorted_tables
        }


@pytest.mark.parametrize(
    ("members", "error"),
    [
        ({"nonces": {b"n1": NOW + 600}}, CredentialNonceInvalid),
        ({"keys": frozenset({b"k1", b"k2"})}, ProofInvalid),
        ({"indices": (8, 7)}, IndexTaken),
        ({"token": b"gone"}, EnrolmentRevoked),
    ],
)
def test_what_was_used_is_not_used_again(
    ready: Store, members: dict[str, Any], error: type[Exception]
) -> None:
    """Refused whole: no row of a refused issuance stays."""
    ready.record(issuance())
    before = _rows(ready)
    with pytest.raises(error):
        ready.record(another(**members))
    assert _rows(ready) == before


def test_nothing_is_issued_to_a_revoked_enrolment(ready: Store) -> None:
    """Also where revoking came between signing and storing."""
    ready.revoke("e1", end=True)
    with pytest.raises(EnrolmentRevoked):
        ready.record(issuance())
    assert ready.lists(now=NOW) == ()


def test_revoking_marks_statuses_and_forgets_grants(ready: Store) -> None:
    ready.record(issuance())
    ready.add_offer(offer())
    assert ready.revoke("e1", types=["base/1"]) == 0
    assert ready.revoke("e1", types=["residency/1"]) == 1
    assert ready.marked("residency/1", WINDOW) == (7,)
    assert ready.token(b"t1") is not None
    assert ready.revoke("e1", end=True) == 0
    assert ready.token(b"t1") is None
    assert ready.stored_response(b"r1", now=NOW) is None
    with pytest.raises(EnrolmentRevoked):
        ready.add_tokens([access_token(b"t2")])


def test_indices_are_free_and_distinct(ready: Store) -> None:
    ready.record(issuance(indices=tuple(range(0, 12, 2)), copies=6))
    draws = iter([0, 1, 1, 3, 2, 3, 5, 7])
    drawn = ready.draw_indices("residency/1", WINDOW, 3, size=100, draw=lambda: next(draws))
    assert sorted(drawn) == [1, 3, 5]


def test_a_half_full_list_is_full(ready: Store) -> None:
    ready.record(issuance(indices=(1, 2), copies=2))
    with pytest.raises(StatusListFull) as refused:
        ready.draw_indices("residency/1", WINDOW, 3, size=8, draw=lambda: 0)
    assert refused.value.code == "status_list_full"


def _race(tries: int, act: Callable[[int], object]) -> list[BaseException | None]:
    """Run ``act(0)`` … at once in threads; what each raised."""
    outcomes: list[BaseException | None] = [None] * tries
    gate = threading.Barrier(tries)

    def run(number: int) -> None:
        gate.wait()
        try:
            act(number)
        except BaseException as error:
            outcomes[number] = error

    threads = [threading.Thread(target=run, args=(n,)) for n in range(tries)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def test_one_index_for_one_copy_among_threads(ready: Store) -> None:
    def act(number: int) -> None:
        name = str(number).encode()
        ready.record(
            another(nonces={name: NOW + 600}, keys=frozenset({name}), request=name, notification=name)
        )

    outcomes = _race(8, act)
    assert outcomes.count(None) == 1
    assert {type(outcome) for outcome in outcomes} == {type(None), IndexTaken}


def test_one_code_is_redeemed_once_among_threads(ready: Store) -> None:
    """Replay storm (G6): exactly one is accepted."""
    ready.add_offer(offer())
    outcomes = _race(
        8,
        lambda number: ready.redeem_offer(
            b"o1",
            lambda found: redeem_offer(found, tx_code=None, now=NOW),
            lambda _: [access_token(b"race%d" % number)],
        ),
    )
    assert outcomes.count(None) == 1
    assert {type(outcome) for outcome in outcomes} == {type(None), GrantInvalid}


@pytest.mark.processes
def test_indices_stay_unique_among_processes(tmp_path: Path) -> None:
    """Several server processes draw from a small list: no index is given twice."""
    url = sqlite_url(tmp_path / "issuer.sqlite")
    store = open_store(url)
    store.add_enrolment(enrolment())
    store.add_tokens([access_token()])
    script = Path(__file__).with_name("draw_indices.py")
    workers = [
        subprocess.Popen([sys.executable, str(script), url, str(n)], stdout=subprocess.PIPE, text=True)
        for n in range(3)
    ]
    drawn = [index for worker in workers for index in worker.communicate(timeout=120)[0].split()]
    assert all(worker.returncode == 0 for worker in workers)
    assert len(drawn) == 3 * 20 * 3
    assert len(set(drawn)) == len(drawn)


def test_a_dpop_proof_is_seen_once(store: Store) -> None:
    store.burn_dpop_proof(b"jti", expires=NOW + 1)
    with pytest.raises(DpopInvalid):
        store.burn_dpop_proof(b"jti", expires=NOW + 1)


def test_a_code_seen_twice_withdraws_its_tokens(ready: Store) -> None:
    code = AuthorizationCode(
        b"c1", "e1", ("age-1.mdoc",), "wallet", "http://127.0.0.1/", "x", "f9", "pending", NOW + 60
    )
    ready.add_code(code)
    ready.redeem_code(
        b"c1", lambda c: Attempt(replace(c, state="redeemed")), lambda _: [access_token(b"t9", family="f9")]
    )
    assert ready.token(b"t9") is not None
    with pytest.raises(GrantInvalid):
        ready.redeem_code(b"c1", lambda c: Attempt(c, GrantInvalid("used")), lambda _: [])
    assert ready.token(b"t9") is None
    assert ready.token(b"t1") is not None


def test_purge_forgets_what_is_over_and_nothing_else(ready: Store) -> None:
    ready.record(issuance())
    ready.add_offer(offer())
    ready.burn_dpop_proof(b"jti", expires=NOW + 600)
    assert ready.purge(now=NOW + 599) == 0
    assert ready.purge(now=NOW + 600) == 6
    assert ready.stored_response(b"r1", now=NOW) is None
    assert ready.lists(now=NOW) == (("residency/1", WINDOW),)
    # Keys stay bound as long as their copies live.
    with pytest.raises(EnrolmentRevoked):
        ready.record(another(keys=frozenset({b"k1"})))
    ready.add_tokens([access_token(expires=NOW + 1200)])
    with pytest.raises(ProofInvalid):
        ready.record(another(keys=frozenset({b"k1"})))


@pytest.mark.hostile("C10")
def test_c10_pending_offers_are_bounded(tmp_path: Path) -> None:
    """However many are made, the table stays small, and the newest are good."""
    store = Store(open_store(sqlite_url(tmp_path / "issuer.sqlite")).engine, max_pending=50)
    store.add_enrolment(enrolment())
    for number in range(120):
        store.add_offer(offer(f"o{number:03}", expires=NOW + 600 + number))
        store.add_code(
            AuthorizationCode(
                b"c%d" % number, "e1", (), "w", "http://127.0.0.1/", "x", "f", "pending", NOW + 60 + number
            )
        )
    rows = _rows(store)
    assert len(rows["offers"]) == len(rows["codes"]) == 50
    assert store.offer("o119", now=NOW).id == "o119"
    assert {row[0] for row in rows["offers"]} == {f"o{number:03}" for number in range(70, 120)}


def test_storage_errors_are_typed(ready: Store, tmp_path: Path) -> None:
    """G3: a store that cannot be written answers 503, and nothing is half written."""
    with ready.engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
    before = _rows(ready)
    from sqlalchemy import event

    @event.listens_for(ready.engine, "connect")
    def limit(dbapi: Any, _record: object) -> None:
        dbapi.execute(f"PRAGMA max_page_count={pages}")

    ready.engine.dispose()
    with pytest.raises(StoreUnavailable) as fault:
        ready.record(issuance(sealed=os.urandom(1 << 20)))
    assert fault.value.http == 503
    assert _rows(ready) == before


def test_refusals_are_counted_by_hour_and_code_alone(store: Store) -> None:
    for _ in range(3):
        store.count_refusal("proof_invalid", now=NOW + 61)
    assert store.refusals() == {"proof_invalid": 3}
    assert _rows(store)["refusals"] == [(NOW - NOW % 3600, "proof_invalid", 3)]


# --- Secrets


def test_keyring_is_made_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    made = create_keyring(path, randomness=os.urandom)
    assert load_keyring(path) == made
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(Exception, match="exist already"):
        create_keyring(path, randomness=os.urandom)
    path.chmod(0o644)
    with pytest.raises(Exception, match="others can read"):
        load_keyring(path)


@pytest.mark.parametrize("content", [b"{}", b"[]", b'{"version":2}', b"\xff"])
def test_a_damaged_keyring_is_a_fault(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "secrets.json"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(Exception, match="damaged"):
        load_keyring(path)


def test_sealed_answers_open_beside_their_row_alone(tmp_path: Path) -> None:
    keyring = create_keyring(tmp_path / "secrets.json", randomness=os.urandom)
    sealed = keyring.seal(b"answer", bound_to=b"row 1", randomness=os.urandom)
    assert keyring.unseal(sealed, bound_to=b"row 1") == b"answer"
    assert b"answer" not in sealed
    with pytest.raises(StoreInvalid):
        keyring.unseal(sealed, bound_to=b"row 2")


def test_a_mac_depends_on_where_the_parts_end(tmp_path: Path) -> None:
    keyring = create_keyring(tmp_path / "secrets.json", randomness=os.urandom)
    assert keyring.mac("a", b"bc", b"d") != keyring.mac("a", b"b", b"cd") != keyring.mac("ab", b"c", b"d")


# --- What the files do not contain


@pytest.mark.hostile("V9")
def test_v9_no_number_claim_key_or_code_in_the_store(tmp_path: Path) -> None:
    """After every kind of issuance the issuer's database, its index and its log know none of it."""
    import hashlib

    desk = Desk(tmp_path)
    enrolled = desk.enrol("adult")
    keys = [new_key(), new_key()]
    secrets: list[bytes] = [enrolled.sign_in_code.encode(), enrolled.passcode.encode()]
    for id in ("hkid-number-1.sd-jwt", "hkid-number-1.mdoc", "base-1.sd-jwt"):
        keys = [new_key(), new_key()]
        grant = desk.redeem(enrolled.id, [id])
        answer = desk.ask(grant, id, keys)
        secrets += [grant.access_token.encode(), *answer.credentials, *(key.public.point for key in keys)]
        secrets += [key.public.thumbprint() for key in keys]
    person = PEOPLE.adult
    assert isinstance(person.identity, Hkid)
    number = person.identity.canonical.encode()
    values = [
        number,
        number[:-1],
        person.family_name.encode(),
        person.name_zh.encode(),
        str(person.birth).encode(),
    ]
    values += [hashlib.new(name, number).digest() for name in ("md5", "sha1", "sha256", "sha512")]
    values += [hashlib.new(name, number).hexdigest().encode() for name in ("md5", "sha1", "sha256")]
    desk.store.engine.dispose()
    content = b"".join(file.read_bytes() for file in desk.place.data.glob("issuer.sqlite*"))
    for value in (*values, *secrets):
        assert value not in content
