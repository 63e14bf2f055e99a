"""What a status list says of one's own copies: they are not offered any more, and their holder is told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from pki_fixture import ISSUER, development_pki
from wallet_parties import World, mdoc_query, sd_query

from credentials.errors import NoMatchingCredential
from revocation.publish import LIST_SIZE
from revocation.statuslist import StatusList
from revocation.token import sign_jwt
from wallet.exchange import sync
from wallet.holding import candidates, warnings
from wallet.presenting import answer, look
from wallet.records import Batch, Copy

NAMES = ("residency-1.sd-jwt", "residency-1.mdoc")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    world.issuer.batch = 8
    world.stocked(*NAMES, "age-1.sd-jwt")
    world.issuer.refuse_refresh = True
    yield world
    world.vault.close()


def batches(world: World) -> dict[str, Batch]:
    return {batch.configuration: batch for batch in map(Batch.of, world.vault.records("batch"))}


def indices(world: World, name: str) -> list[int]:
    batch = batches(world)[name].id
    copies = map(Copy.of, world.vault.records("copy"))
    return sorted(copy.index for copy in copies if copy.batch == batch and copy.index is not None)


def publish(world: World, *invalid: int, **changes: Any) -> str:
    """Publish the residency list of today; gives its path."""
    uri = batches(world)[NAMES[0]].status_uri or ""
    options: dict[str, Any] = {
        "uri": uri,
        "issued": world.time,
        "expires": world.time + 86_400,
        "ttl": 3600,
        "signer": development_pki().status.signer,
        **changes,
    }
    listed = StatusList.with_invalid(invalid, size=LIST_SIZE)
    path = urlsplit(uri).path
    world.issuer.status_lists[path] = sign_jwt(listed, **options)
    return path


def offered(world: World) -> set[str]:
    held = world.wallet.holdings()
    names = {holding.batch.id: holding.batch.configuration for holding in held}
    return {names[candidate.ref] for candidate in candidates(held, now=world.time)}


@pytest.mark.parametrize("name", NAMES)
def test_a_revoked_batch_is_offered_to_nobody_and_its_holder_is_told(world: World, name: str) -> None:
    assert len(indices(world, name)) == 8
    publish(world, indices(world, name)[3])
    done = sync(world.wallet)
    assert done.revoked == (name,)
    assert offered(world) == {*NAMES, "age-1.sd-jwt"} - {name}
    assert [(w.reason, w.configuration) for w in warnings(world.wallet.holdings(), now=world.time)] == [
        ("revoked", name)
    ]
    entry = world.wallet.log()[0]
    assert (entry.event, entry.types, entry.who["en"]) == (
        "revoked",
        ("residency/1",),
        "Bauhinia development issuer",
    )
    # Told once; revocation is final, whatever a later list says.
    publish(world)
    assert sync(world.wallet).revoked == ()
    assert name not in offered(world)


def test_the_revoked_batch_answers_no_question(world: World) -> None:
    publish(world, *indices(world, NAMES[0]), *indices(world, NAMES[1]))
    assert set(sync(world.wallet).revoked) == set(NAMES)
    for query in (
        sd_query("is_hk_resident", type="residency/1"),
        mdoc_query("is_hk_resident", type="residency/1"),
    ):
        question = look(world.wallet, world.verifier.ask(query, purpose="resident-discount"))
        assert question.consent is None
        with pytest.raises(NoMatchingCredential):
            answer(world.wallet, question)


def test_the_whole_list_is_fetched_once_for_a_window_and_never_when_showing(world: World) -> None:
    path = publish(world)
    before = len(world.requests)
    sync(world.wallet)
    asked = [request for request in world.requests[before:] if "/status/" in request.url.path]
    assert [(request.url.path, request.url.query) for request in asked] == [(path, b"")]
    before = len(world.requests)
    query = sd_query("is_hk_resident", type="residency/1")
    answer(world.wallet, look(world.wallet, world.verifier.ask(query, purpose="resident-discount")))
    assert all(request.url.host != urlsplit(ISSUER).hostname for request in world.requests[before:])


def test_a_spent_copy_is_not_looked_up_any_more(world: World) -> None:
    was = set(indices(world, NAMES[0]))
    query = sd_query("is_hk_resident", type="residency/1")
    answer(world.wallet, look(world.wallet, world.verifier.ask(query, purpose="resident-discount")))
    (spent,) = was - set(indices(world, NAMES[0]))
    publish(world, spent)
    assert sync(world.wallet).revoked == ()


def test_a_list_that_does_not_verify_changes_nothing(world: World) -> None:
    held = indices(world, NAMES[0])
    age = development_pki().signers["dc+sd-jwt", "age/1"].signer
    for changes in (
        {"signer": age},
        {"uri": f"{ISSUER}/status/residency-1/2020-01-01"},
        {"issued": world.time - 90_000, "expires": world.time - 1},
    ):
        publish(world, *held, **changes)
        assert sync(world.wallet).revoked == ()
    world.issuer.status_lists.clear()
    assert sync(world.wallet).revoked == ()
    assert offered(world) == {*NAMES, "age-1.sd-jwt"}


def test_an_address_made_for_one_person_is_not_asked(world: World) -> None:
    held = indices(world, NAMES[0])
    path = publish(world, *held)
    batch = batches(world)[NAMES[0]]
    with world.vault.writing() as rows:
        rows.put("batch", replace(batch, status_uri=f"{batch.status_uri}?me=1").body(), id=batch.id)
    before = len(world.requests)
    assert sync(world.wallet).revoked == ()
    assert [r.url.query for r in world.requests[before:] if r.url.path == path] == [b""]  # the mdoc's


def test_a_revoked_batch_does_not_count_as_stock(world: World) -> None:
    """Fresh copies are due at once; whether the issuer gives any is its decision."""
    world.issuer.refuse_refresh = False
    publish(world, *indices(world, NAMES[0]))
    done = sync(world.wallet)
    assert [(item.configuration, item.copies) for item in done.received] == [(NAMES[0], 8)]
    assert NAMES[0] in offered(world)
    assert warnings(world.wallet.holdings(), now=world.time) == ()
