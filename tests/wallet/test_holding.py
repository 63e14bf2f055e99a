"""The holder's rules: one copy, once; early warning; fetching in good time; saying no alike."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credentials.calendar import DAY, midnight
from credentials.catalog import load_catalogue
from credentials.errors import CopiesExhausted, RateLimited, VaultInvalid
from credentials.model import Window
from openid4vc.dcql import parse_query, plan
from wallet.holding import (
    DAILY_SPREAD,
    LOW_COPIES,
    REFUSAL_SPAN,
    REFUSALS,
    Holding,
    awaited,
    candidates,
    check_refusals,
    discard_ended,
    format_choices,
    holdings,
    refill_moment,
    refills,
    refusal_pause,
    warnings,
)
from wallet.holding import spend as spend_in
from wallet.records import Batch, Copy, Entry, Grant, StoredKey
from wallet.sealing import CHEAPEST
from wallet.vault import Record, Vault

NOW = 1_800_000_000
VCT = "https://bauhinia.example/vct/age/1"
DOCTYPE = "example.bauhinia.age.1"
KEY = StoredKey(bytes(31) + b"\x01")


def batch(id: str = "b1", **changes: Any) -> Batch:
    values: dict[str, Any] = {
        "id": id,
        "issuer": "https://issuer.test",
        "configuration": "age-1.sd-jwt",
        "format": "dc+sd-jwt",
        "type": VCT,
        "window": Window(NOW - DAY, NOW + 6 * DAY),
        "claims": {"age_over_18": True},
        "status_uri": None,
        "refill_at": NOW + 5 * DAY,
    }
    return Batch(**{**values, **changes})


def copies(batch_id: str, unspent: int, spent: int = 0) -> list[Copy]:
    return [
        Copy(f"{batch_id}-{n}", batch_id, n >= unspent, b"credential", KEY) for n in range(unspent + spent)
    ]


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Vault]:
    vault = Vault.create(
        tmp_path / "vault.db", "p", randomness=os.urandom, cost=CHEAPEST, stamp=tmp_path / "s.stamp"
    )
    yield vault
    vault.close()


def stored(vault: Vault, count: int, given: Batch | None = None) -> str:
    with vault.writing() as rows:
        id = rows.put("batch", (given or batch()).body())
        for number in range(count):
            rows.put("copy", Copy("", id, False, f"credential {number}".encode(), KEY).body())
    return id


# --- records


def test_records_read_back() -> None:
    grant = Grant("g", "https://issuer.test", ("a", "b"), None, KEY)
    pairs: list[tuple[Any, Any]] = [(batch(), Batch), (copies("b1", 1)[0], Copy), (grant, Grant)]
    for value, kind in pairs:
        assert kind.of(Record(value.id, "x", value.body())) == value


@pytest.mark.parametrize("kind", [Batch, Copy, Grant, Entry])
def test_a_record_of_another_shape_is_refused(kind: Any) -> None:
    with pytest.raises(VaultInvalid):
        kind.of(Record("a", "x", {"window": [1], "batch": 1, "issuer": 5, "when": "x"}))


def test_a_stored_key_does_not_print_itself() -> None:
    assert repr(KEY) == "StoredKey(…)"
    assert len({StoredKey.generate().scalar for _ in range(5)}) == 5


def test_a_stored_key_off_the_curve_is_refused() -> None:
    with pytest.raises(VaultInvalid):
        StoredKey(bytes(32)).holder()


# --- one copy, once


def spend(vault: Vault, ids: list[str], *, randomness: Any) -> tuple[Copy, ...]:
    with vault.writing() as rows:
        return spend_in(rows, ids, randomness=randomness)


def test_spending_is_on_disk_before_the_copy_is_given_out(vault: Vault) -> None:
    id = stored(vault, 3)
    (copy,) = spend(vault, [id], randomness=os.urandom)
    assert copy.credential.startswith(b"credential")
    kept = [Copy.of(record) for record in vault.records("copy")]
    (spent,) = [c for c in kept if c.spent]
    assert spent.id == copy.id
    assert spent.credential == b""
    assert spent.key is None


@pytest.mark.hostile("V2")
def test_v2_no_copy_is_given_out_twice(vault: Vault) -> None:
    id = stored(vault, 6)
    taken = [spend(vault, [id], randomness=os.urandom)[0] for _ in range(4)]
    taken += spend(vault, [id, id], randomness=os.urandom)
    assert len({copy.credential for copy in taken}) == 6
    with pytest.raises(CopiesExhausted) as caught:
        spend(vault, [id], randomness=os.urandom)
    assert "sync" in caught.value.hint


def test_all_or_none_is_spent(vault: Vault) -> None:
    first, second = stored(vault, 1), stored(vault, 1)
    spend(vault, [second], randomness=os.urandom)
    with pytest.raises(CopiesExhausted):
        spend(vault, [first, second], randomness=os.urandom)
    assert [h.unspent for h in holdings(*_kept(vault)) if h.batch.id == first] == [1]


def _kept(vault: Vault) -> tuple[list[Batch], list[Copy]]:
    return [Batch.of(r) for r in vault.records("batch")], [Copy.of(r) for r in vault.records("copy")]


def test_copies_are_drawn_at_random(vault: Vault) -> None:
    id = stored(vault, 4)
    order = sorted(copy.id for copy in map(Copy.of, vault.records("copy")))
    (copy,) = spend(vault, [id], randomness=lambda n: (2).to_bytes(n, "big"))
    assert copy.id == order[2]


def test_only_what_is_in_force_and_unspent_answers(vault: Vault) -> None:
    ended = batch("ended", window=Window(NOW - 8 * DAY, NOW))
    later = batch("later", window=Window(NOW + 1, NOW + DAY))
    empty, good = batch("empty"), batch("good")
    held = holdings(
        [ended, later, empty, good],
        [*copies("ended", 3), *copies("later", 3), *copies("empty", 0, 3), *copies("good", 2, 1)],
    )
    assert [c.ref for c in candidates(held, now=NOW)] == ["good"]
    assert {h.batch.id: h.unspent for h in held}["good"] == 2


def test_the_batch_that_ends_first_is_used_up_first() -> None:
    old, new = batch("old", window=Window(NOW - 1, NOW + DAY)), batch("new")
    held = holdings([new, old], [*copies("new", 9), *copies("old", 9)])
    assert [c.ref for c in candidates(held, now=NOW)] == ["old", "new"]


def test_ended_batches_go_with_their_copies(vault: Vault) -> None:
    stored(vault, 2, batch(window=Window(NOW - 8 * DAY, NOW)))
    kept = stored(vault, 2)
    with vault.writing() as rows:
        assert discard_ended(rows, now=NOW) == 1
    batches, left = _kept(vault)
    assert [b.id for b in batches] == [kept]
    assert {c.batch for c in left} == {kept}


# --- warnings and refills


@pytest.mark.parametrize(
    ("unspent", "end", "reason"),
    [
        (LOW_COPIES + 1, NOW + 3 * DAY, None),
        (LOW_COPIES, NOW + 3 * DAY, "copies"),
        (1, NOW + 3 * DAY, "copies"),
        (0, NOW + 3 * DAY, "gone"),
        (20, NOW + 2 * DAY, "time"),
        (20, NOW + 2 * DAY + 1, None),
        (20, NOW, "gone"),
    ],
)
def test_early_warning(unspent: int, end: int, reason: str | None) -> None:
    held = holdings([batch(window=Window(NOW - DAY, end))], copies("b1", unspent, 2))
    assert [w.reason for w in warnings(held, now=NOW)] == ([reason] if reason else [])


def test_no_warning_once_the_next_batch_is_there() -> None:
    held = holdings(
        [batch("old", window=Window(NOW - 1, NOW + 1)), batch("new")], [*copies("old", 1), *copies("new", 30)]
    )
    assert warnings(held, now=NOW) == ()


@given(st.binary(min_size=8, max_size=8), st.integers(1, 60))
def test_the_refill_moment_is_early_enough_and_never_after_the_end(random: bytes, days: int) -> None:
    window = Window(NOW, NOW + days * DAY)
    moment = refill_moment(window, lambda n: random[:n], now=NOW)
    span = min(2 * DAY, days * DAY // 2)
    assert window.end - span <= moment < window.end - span // 2


def test_refill_moments_are_spread() -> None:
    window = Window(NOW, NOW + 7 * DAY)
    assert len({refill_moment(window, os.urandom, now=NOW) // 60 for _ in range(200)}) > 100


@given(st.binary(min_size=8, max_size=8), st.integers(0, 7 * DAY - 1))
def test_awaited_statements_are_asked_for_after_the_next_midnight(random: bytes, into: int) -> None:
    """Not before it, not all at the same second, and never later than a full batch would be."""
    window = Window(midnight(NOW), midnight(NOW) + 7 * DAY)
    now = window.start + into
    usual = refill_moment(window, lambda n: random[:n], now=now)
    moment = refill_moment(window, lambda n: random[:n], now=now, incomplete=True)
    assert moment <= usual
    if moment < usual:
        assert 0 <= moment - (midnight(now) + DAY) < DAILY_SPREAD
    spread = {refill_moment(window, os.urandom, now=window.start, incomplete=True) for _ in range(50)}
    assert len(spread) > 25


def test_what_a_later_batch_may_state() -> None:
    """Only of a type that expires: what a revocable type lacks, a fresh copy would lack as well."""
    age, base = (load_catalogue().types[name] for name in ("age/1", "base/1"))
    known = {claim.name: True for claim in age.claims if claim.name != "age_over_18"}
    (missing,) = awaited(known, type=age, format="dc+sd-jwt")
    assert missing.name == "age_over_18"
    nested: dict[str, dict[str, bool]] = {}
    for name in known:
        namespace, element = map(str, age.path("mso_mdoc", name))
        nested.setdefault(namespace, {})[element] = False
    (missing,) = awaited(nested, type=age, format="mso_mdoc")
    assert missing.name == "age_over_18"
    assert awaited({**known, "age_over_18": False}, type=age, format="dc+sd-jwt") == ()
    assert awaited({}, type=base, format="dc+sd-jwt") == ()


@pytest.mark.parametrize(
    ("held", "due"),
    [
        ([], True),
        ([Holding(batch(), LOW_COPIES + 1)], False),
        ([Holding(batch(), LOW_COPIES)], True),
        ([Holding(batch(refill_at=NOW), 30)], True),
        ([Holding(batch(refill_at=NOW), 30), Holding(batch("next"), 30)], False),
        ([Holding(batch(issuer="https://other.test"), 30)], True),
    ],
)
def test_refills(held: list[Holding], due: bool) -> None:
    grant = Grant("g", "https://issuer.test", ("age-1.sd-jwt",), "token", KEY)
    assert refills(held, [grant], now=NOW) == (((grant, "age-1.sd-jwt"),) if due else ())


# --- why this format


def _two_format_query() -> Any:
    return parse_query(
        {
            "credentials": [
                {
                    "id": "sd",
                    "format": "dc+sd-jwt",
                    "meta": {"vct_values": [VCT]},
                    "claims": [{"path": ["age_over_18"]}],
                },
                {
                    "id": "md",
                    "format": "mso_mdoc",
                    "meta": {"doctype_value": DOCTYPE},
                    "claims": [{"path": ["org.iso.23220.1", "age_over_18"]}],
                },
            ],
            "credential_sets": [{"options": [["sd"], ["md"]]}],
        }
    )


def test_the_format_and_its_alternatives_are_named() -> None:
    query = _two_format_query()
    mdoc = batch("m", format="mso_mdoc", type=DOCTYPE, claims={"org.iso.23220.1": {"age_over_18": True}})
    both = candidates(holdings([batch(), mdoc], [*copies("b1", 9), *copies("m", 9)]), now=NOW)
    (choice,) = format_choices(query, both, plan(query, both)).values()
    assert (choice.format, choice.alternatives, choice.only) == ("dc+sd-jwt", ("mso_mdoc",), False)
    one = candidates(holdings([mdoc], copies("m", 9)), now=NOW)
    (choice,) = format_choices(query, one, plan(query, one)).values()
    assert (choice.format, choice.only) == ("mso_mdoc", True)


# --- saying no


def entry(event: str, when: int, party: str = "v") -> Entry:
    return Entry(when, event, {"en": "Shop"}, party, {})


@pytest.mark.hostile("P27")
def test_p27_values_probing_is_cut_off() -> None:
    """Whether the holder declined or nothing matched, the same few refusals are given, then none."""
    answered = 0
    log: list[Entry] = []
    for attempt in range(100):
        try:
            check_refusals(log, party="v", now=NOW + attempt)
        except RateLimited:
            continue
        answered += 1
        log.append(entry("unanswered" if attempt % 2 else "declined", NOW + attempt))
    assert answered == REFUSALS
    check_refusals(log, party="another", now=NOW + 100)
    check_refusals(log, party="v", now=NOW + REFUSAL_SPAN + 100)


def test_what_was_shown_does_not_count_as_refused() -> None:
    check_refusals([entry("shown", NOW)] * 50, party="v", now=NOW)


@given(st.binary(min_size=8, max_size=8))
def test_a_refusal_that_nobody_made_takes_as_long_as_one_made_by_a_person(random: bytes) -> None:
    assert 2.0 <= refusal_pause(lambda n: random[:n]) < 8.0
