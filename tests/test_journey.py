"""The journey of the whole system in memory: issue, hold, present, verify, revoke, in both formats."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from issuer_fixture import TODAY
from pki_fixture import ISSUER, VERIFIER
from world import CATALOGUE, FORMATS, PEOPLE, World, policy

from credentials import mdoc
from credentials.calendar import DAY, PartialDate, anniversary
from credentials.encoding import load_json, unb64u
from credentials.errors import CopiesExhausted, CredentialExpired, NonceReplayed, OverAsking, Revoked
from credentials.hkid import of_body
from issuer.office import Enrolled
from issuer.person import Person
from wallet import exchange, presenting
from wallet.records import Copy
from wallet.wallet import Wallet

BOTH = pytest.mark.parametrize("format", list(FORMATS))
SUBSET = "subset"


def one_claim(type: str) -> str:
    """A claim of the type that everybody who may have the type has."""
    return {
        "age/1": "age_over_11",
        "base/1": "family_name",
        "hkid-number/1": "personal_administrative_number",
        "residency/1": "is_hk_resident",
    }.get(type, "eligible")


EVERY_TYPE = [policy(f"any-{t.slug}", t.name, [one_claim(t.name)]) for t in CATALOGUE.types.values()]


def outcome(found: dict[str, Any]) -> tuple[str, str | None]:
    return found["outcome"], found["error_code"]


def unspent(wallet: Wallet) -> int:
    return sum(not copy.spent for copy in map(Copy.of, wallet.vault.records("copy")))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@BOTH
@pytest.mark.parametrize("sign_in", [False, True], ids=["pre-authorized code", "signed in"])
def test_issue_hold_present_verify_revoke(world: World, format: str, sign_in: bool) -> None:
    """A revocation counts once it is published and fetched, neither before nor by asking anybody."""
    enrolled = world.enrol(PEOPLE.adult)
    wallet = world.new_wallet()
    (received,) = world.accept(wallet, enrolled, [f"residency-1.{FORMATS[format]}"], sign_in=sign_in)
    assert (received.copies, received.error) == (10, None)
    (held,) = wallet.holdings()
    assert (held.batch.format, held.unspent) == (format, 10)
    world.publish()
    world.sync()

    found = world.check("resident-discount", wallet, format)
    assert outcome(found) == ("accepted", None)
    assert found["disclosed"] == {"residency/1": {"is_hk_resident": True}}
    assert (found["formats"], found["over_disclosed"]) == ([format], 0)
    assert found["status"] == {"level": "fresh", "issued": world.now}
    assert unspent(wallet) == 9
    assert wallet.log()[0].claims == ("is_hk_resident",)

    assert world.desk.issuer.revoke(enrolled.id) == 10
    world.now += 60
    assert outcome(world.check("resident-discount", wallet, format)) == ("accepted", None)
    world.publish()
    assert outcome(world.check("resident-discount", wallet, format)) == ("accepted", None)
    world.sync()
    found = world.check("resident-discount", wallet, format)
    assert outcome(found) == ("refused", Revoked.code)
    assert found["disclosed"] == {"residency/1": {"is_hk_resident": True}}


@BOTH
def test_every_type_of_the_catalogue(tmp_path: Path, format: str) -> None:
    """Each type goes from a register's row to a till, and is revoked, or cannot be."""
    world = World(tmp_path, policies=EVERY_TYPE)
    holders: dict[str, tuple[Enrolled, Wallet, Person]] = {}
    for person in PEOPLE:
        enrolled = world.enrol(person, guardian=person is PEOPLE.minor)
        wallet, names = world.new_wallet(), world.everything(enrolled, format)
        assert all(item.error is None for item in world.accept(wallet, enrolled, names))
        for name in names:
            holders.setdefault(CATALOGUE.by_slug(name.rpartition(".")[0]).name, (enrolled, wallet, person))
    assert set(holders) == set(CATALOGUE.types)
    world.publish()
    world.sync()
    for name, type in CATALOGUE.types.items():
        _, wallet, person = holders[name]
        found = world.check(f"any-{type.slug}", wallet, format)
        assert (name, *outcome(found)) == (name, "accepted", None)
        expected: Any = {
            "base/1": person.family_name,
            "hkid-number/1": None if person.hkid is None else person.hkid.canonical,
        }.get(name, True)
        assert found["disclosed"] == {name: {one_claim(name): expected}}
    for enrolled, _, _ in holders.values():
        world.desk.issuer.revoke(enrolled.id)
    world.now += 60
    world.publish()
    world.sync()
    for name, type in CATALOGUE.types.items():
        found = world.check(f"any-{type.slug}", holders[name][1], format)
        expected = ("refused", Revoked.code) if type.revocable else ("accepted", None)
        assert (name, *outcome(found)) == (name, *expected)


@BOTH
def test_three_outcomes_of_an_age_check(world: World, format: str) -> None:
    """Yes, no, and the answer "no" that a policy wants to hear."""
    wallets: list[Wallet] = []
    for person in (PEOPLE.adult, PEOPLE.minor):
        wallets.append(world.new_wallet())
        enrolled = world.enrol(person, guardian=True)
        world.accept(wallets[-1], enrolled, [f"age-1.{FORMATS[format]}"])
    adult, minor = wallets
    assert outcome(world.check("liquor18", adult, format)) == ("accepted", None)
    assert outcome(world.check("liquor18", minor, format)) == ("refused", "policy_not_met")
    assert outcome(world.check("game-centre-under-16", adult, format)) == ("refused", "policy_not_met")
    found = world.check("game-centre-under-16", minor, format)
    assert outcome(found) == ("accepted", None)
    assert found["disclosed"] == {"age/1": {"age_over_16": False}}


@BOTH
def test_a_wallet_with_both_formats_answers_in_the_one_asked_for(world: World, format: str) -> None:
    wallet, enrolled = world.new_wallet(), world.enrol(PEOPLE.adult)
    world.accept(wallet, enrolled, [f"age-1.{suffix}" for suffix in FORMATS.values()])
    assert world.check("liquor18", wallet, format)["formats"] == [format]
    assert world.check("liquor18", wallet)["outcome"] == "accepted"


@BOTH
def test_a_batch_is_refilled_before_it_runs_out(world: World, format: str) -> None:
    """Each check takes one copy with a key of its own; a refill comes before the last."""
    wallet, enrolled = world.new_wallet(), world.enrol(PEOPLE.adult)
    world.accept(wallet, enrolled, [f"residency-1.{FORMATS[format]}"])
    world.publish()
    world.sync()
    for left in range(9, 4, -1):
        assert outcome(world.check("resident-discount", wallet, format)) == ("accepted", None)
        assert unspent(wallet) == left
    before = world.now
    synced = exchange.sync(wallet)
    assert [(item.copies, item.error) for item in synced.received] == [(10, None)]
    assert synced.sign_in == ()
    assert unspent(wallet) == 15
    assert exchange.sync(wallet).received == ()
    for _ in range(15):
        assert outcome(world.check("resident-discount", wallet, format)) == ("accepted", None)
    asked = world.ask("resident-discount", format)
    assert world.look(asked, wallet).consent is None
    assert world.now == before
    spent = [copy for copy in map(Copy.of, wallet.vault.records("copy")) if copy.spent]
    assert len(spent) == 20
    assert all(copy.key is None for copy in spent)


@BOTH
def test_lost_phone(world: World, format: str) -> None:
    """At the portal: everything revoked, enrolled anew. The phone that was found gets and shows nothing."""
    enrolled, lost = world.enrol(PEOPLE.adult), world.new_wallet()
    ids = [f"residency-1.{FORMATS[format]}", f"eligibility-voter-gc-1.{FORMATS[format]}"]
    world.accept(lost, enrolled, ids)
    world.publish()
    world.sync()
    assert outcome(world.check("resident-discount", lost, format)) == ("accepted", None)

    with world.client() as browser:
        own = {"Origin": ISSUER}

        def send(path: str, **fields: str) -> str:
            token = re.findall(r'name="csrf_token" value="([^"]+)"', browser.get(f"{ISSUER}/").text)[0]
            answer = browser.post(f"{ISSUER}{path}", data={"csrf_token": token, **fields}, headers=own)
            assert answer.status_code in (200, 303), answer.text
            return answer.text

        send("/sign-in", sign_in_code=enrolled.sign_in_code, passcode=enrolled.passcode)
        page = send("/lost", confirm="yes")
    sign_in_code, passcode = re.findall(r"[0-9A-Z]{4}-[0-9A-Z]{4}", page)
    fresh = Enrolled(world.desk.issuer.sign_in(sign_in_code, passcode).id, sign_in_code, passcode)
    assert fresh.id != enrolled.id

    world.now += 60
    world.publish()
    world.sync()
    assert outcome(world.check("resident-discount", lost, format)) == ("refused", Revoked.code)
    synced = exchange.sync(lost, all=True)
    assert not any(item.copies for item in synced.received)
    wallet = world.new_wallet()
    world.accept(wallet, fresh, ids[:1], sign_in=True)
    assert outcome(world.check("resident-discount", wallet, format)) == ("accepted", None)


@BOTH
def test_an_age_credential_expires_by_itself(world: World, format: str) -> None:
    """Nobody revokes it and no list is asked: at the end of its seven days it is worth nothing."""
    wallet, enrolled = world.new_wallet(), world.enrol(PEOPLE.adult)
    world.accept(wallet, enrolled, [f"age-1.{FORMATS[format]}"])
    (held,) = wallet.holdings()
    end = held.batch.window.end
    world.now = end - 30
    assert outcome(world.check("liquor18", wallet, format)) == ("accepted", None)
    # An answer that was ready in time and arrives late is late.
    asked = world.ask("liquor18", format)
    question = world.look(asked, wallet)
    ready = presenting.prepare(wallet, question)
    world.now = end
    world.http.post(question.request.response_uri, data=ready.fields)
    assert outcome(world.result(asked)) == ("refused", CredentialExpired.code)
    assert world.look(world.ask("liquor18", format), wallet).consent is None
    synced = exchange.sync(wallet)
    assert (synced.discarded, [item.copies for item in synced.received]) == (1, [30])
    assert outcome(world.check("liquor18", wallet, format)) == ("accepted", None)


@BOTH
def test_a_birthday_inside_the_window(tmp_path: Path, format: str) -> None:
    """What changes within the seven days is not stated at all; on the day a refresh states it."""
    born = anniversary(TODAY + timedelta(days=3), -18)
    person = replace(
        PEOPLE.adult,
        identity=of_body("Q000050"),
        birth=PartialDate.of(born),
        resident_since=born,
        guardian=PEOPLE.adult.identity,
    )
    world = World(tmp_path, people=[person])
    wallet, enrolled = world.new_wallet(), world.enrol(person, guardian=True)
    world.accept(wallet, enrolled, [f"age-1.{FORMATS[format]}"])
    asked = world.ask("liquor18", format)
    assert world.look(asked, wallet).consent is None
    found = world.check("game-centre-under-16", wallet, format)
    assert found["disclosed"] == {"age/1": {"age_over_16": True}}

    # Hong Kong midnight of the birthday, and the second before it.
    midnight = world.now - world.now % DAY - 8 * 3600 + 3 * DAY
    world.now = midnight - 1
    exchange.sync(wallet, all=True)
    assert world.look(world.ask("liquor18", format), wallet).consent is None
    world.now = midnight
    assert all(item.error is None for item in exchange.sync(wallet, all=True).received)
    found = world.check("liquor18", wallet, format)
    assert (outcome(found), found["disclosed"]) == (("accepted", None), {"age/1": {"age_over_18": True}})


@BOTH
def test_over_asking_gets_nothing(tmp_path: Path, format: str) -> None:
    """The shop asks beyond its registration: the wallet refuses before it looks at what it holds."""
    greedy = policy("greedy", "base/1", ["family_name", "birthdate"])
    world = World(tmp_path, policies=[greedy])
    greedy |= {"name": "liquor18", "allow_unregistered": True}
    world.change(greedy)
    wallet, enrolled = world.new_wallet(), world.enrol(PEOPLE.adult)
    world.accept(wallet, enrolled, [f"base-1.{FORMATS[format]}"])
    asked = world.ask("liquor18", format)
    with pytest.raises(OverAsking):
        world.look(asked, wallet)
    assert not [one for one in world.exchanges if one.path.startswith("/response/")]
    assert (world.result(asked)["outcome"], unspent(wallet)) == (None, 10)
    assert (wallet.log()[0].event, wallet.log()[0].code) == ("refused", OverAsking.code)


@BOTH
def test_an_answer_counts_once(world: World, format: str) -> None:
    wallet, enrolled = world.new_wallet(), world.enrol(PEOPLE.adult)
    world.accept(wallet, enrolled, [f"age-1.{FORMATS[format]}"])
    asked = world.ask("liquor18", format)
    world.show(asked, wallet)
    (posted,) = (one for one in world.exchanges if one.path.startswith("/response/"))
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    for _ in range(3):
        again = world.http.post(f"{VERIFIER}{posted.path}", content=posted.body, headers=kind)
        assert (again.status_code, again.json()["code"]) == (NonceReplayed.http, NonceReplayed.code)
    assert outcome(world.result(asked)) == ("accepted", None)
    assert [row["checks"] for row in world.shop.store.receipts()] == [1]


@BOTH
def test_declining_spends_nothing_and_tells_nothing(world: World, format: str) -> None:
    wallet, enrolled = world.new_wallet(), world.enrol(PEOPLE.adult)
    world.accept(wallet, enrolled, [f"age-1.{FORMATS[format]}"])
    asked = world.ask("liquor18", format)
    presenting.decline(wallet, world.look(asked, wallet))
    found = world.result(asked)
    assert (outcome(found), found["disclosed"]) == (("refused", "nothing_presented"), {})
    assert unspent(wallet) == 30


def test_no_copy_is_left_where_two_answers_race(world: World) -> None:
    """Two questions, one copy: the second answer is refused before anything is sent."""
    wallet, enrolled = world.new_wallet(), world.enrol(PEOPLE.adult)
    world.accept(wallet, enrolled, ["residency-1.sd-jwt"])
    world.publish()
    world.sync()
    for _ in range(9):
        world.check("resident-discount", wallet)
    asked = [world.ask("resident-discount") for _ in range(2)]
    questions = [world.look(one, wallet) for one in asked]
    presenting.answer(wallet, questions[0])
    with pytest.raises(CopiesExhausted):
        presenting.answer(wallet, questions[1])
    assert outcome(world.result(asked[0])) == ("accepted", None)
    assert world.result(asked[1])["outcome"] is None


# --- For every subset of claims, what crosses the wire is exactly that subset


@pytest.fixture(scope="module", params=[(t, f) for t in ("age/1", "residency/1") for f in FORMATS], ids=str)
def stocked(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[World, Wallet, str, str]]:
    type, format = request.param
    world = World(tmp_path_factory.mktemp("world"), policies=[policy(SUBSET, type, [one_claim(type)])])
    wallet, enrolled = world.new_wallet(), world.enrol(PEOPLE.adult)
    world.accept(wallet, enrolled, [f"{CATALOGUE.types[type].slug}.{FORMATS[format]}"])
    world.publish()
    world.sync()
    yield world, wallet, type, format
    wallet.vault.close()


def names_in(presentation: str, format: str) -> list[str]:
    """The names of all claims that can be read out of a presentation, whoever reads it."""
    if format == "dc+sd-jwt":
        return [str(load_json(unb64u(part))[1]) for part in presentation.split("~")[1:-1]]
    document = mdoc.read_document(unb64u(presentation))
    return [item.element for items in document.items.values() for item in items]


@settings(max_examples=8)
@given(data=st.data())
def test_any_subset_of_claims_and_nothing_else(
    stocked: tuple[World, Wallet, str, str], data: st.DataObject
) -> None:
    world, wallet, type, format = stocked
    (batch, *_) = (held.batch for held in wallet.holdings() if held.unspent)
    kind, values = CATALOGUE.types[type], dict[str, Any]()
    for name, value in batch.claims.items():
        paths = (
            {(name, element): v for element, v in value.items()} if format == "mso_mdoc" else {(name,): value}
        )
        values.update({kind.claim_at(path).name: v for path, v in paths.items()})
    # What says nothing by itself is asked beside what does.
    subsets = st.sets(st.sampled_from(sorted(values)), min_size=1)
    subset = data.draw(
        subsets.filter(lambda names: any(kind.claim(name).alone for name in names)), label="subset"
    )
    world.change(policy(SUBSET, type, sorted(subset)))
    exchange.sync(wallet)
    world.exchanges.clear()
    found = world.check(SUBSET, wallet, format)
    assert outcome(found) == ("accepted", None)
    assert found["disclosed"] == {type: {name: values[name] for name in subset}}
    assert found["over_disclosed"] == 0
    (posted,) = (one for one in world.exchanges if one.path.startswith("/response/"))
    (presentation,) = next(iter(load_json(dict(parse_qsl(posted.body.decode()))["vp_token"]).values()))
    assert sorted(names_in(presentation, format)) == sorted(
        str(kind.path(format, name)[-1]) for name in subset
    )
