"""With verifiers: one answer, from one unspent copy; and a no that says nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pki_fixture import NOW, VERIFIER, development_pki, trust
from wallet_parties import CATALOGUE, World, mdoc_query, sd_query

from bauhinia.pki import make_pki
from credentials.encoding import unb64u
from credentials.errors import (
    BauhiniaError,
    ClientIdInvalid,
    CopiesExhausted,
    Malformed,
    MediaTypeRefused,
    NetworkUnavailable,
    NoMatchingCredential,
    PeerRefused,
    QueryInvalid,
    RateLimited,
    RequestConsumed,
    RequestExpired,
    RequestObjectInvalid,
    SignatureInvalid,
    Untrusted,
    UriRefused,
    VerifierUnregistered,
)
from credentials.formats import FORMATS
from credentials.model import Disclosed
from openid4vc import vp
from openid4vc.vpresponse import VpRefusal, VpResponse
from wallet import presenting
from wallet.holding import REFUSALS
from wallet.presenting import answer, decline, look, prepare
from wallet.records import Copy


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path).stocked("age-1.sd-jwt", "age-1.mdoc")
    yield world
    world.vault.close()


def received(world: World, format: str) -> Disclosed:
    """What the verifier learns from the last answer."""
    response = world.verifier.answers[-1]
    assert isinstance(response, VpResponse)
    _, claims, _ = list(world.verifier.requests.values())[-1]
    return FORMATS[format].verify(
        response.vp_token["one"][0].encode(),
        type=CATALOGUE.types["age/1"].identifier(format),
        session=vp.session_of(claims),
        trust=trust(),
        now=world.time,
    )


@pytest.mark.parametrize("encrypted", [True, False])
@pytest.mark.parametrize(
    ("query", "format", "learnt"),
    [
        (sd_query("age_over_18"), "dc+sd-jwt", {"age_over_18": True}),
        (mdoc_query("age_over_18"), "mso_mdoc", {"org.iso.23220.1": {"age_over_18": True}}),
    ],
)
def test_a_request_is_answered_with_what_was_asked_and_no_more(
    world: World, query: dict[str, Any], format: str, learnt: dict[str, Any], encrypted: bool
) -> None:
    outcome = answer(world.wallet, look(world.wallet, world.verifier.ask(query, encrypted=encrypted)))
    assert (outcome.event, outcome.sent) == ("shown", ("age_over_18",))
    assert received(world, format).claims == learnt
    entry = world.wallet.log()[0]
    assert (entry.event, entry.claims, entry.formats, entry.code) == (
        "shown",
        ("age_over_18",),
        (format,),
        "",
    )
    assert entry.who["en"] == "Bauhinia development verifier"
    assert sum(copy.spent for copy in map(Copy.of, world.vault.records("copy"))) == 1


@pytest.mark.hostile("V2")
@pytest.mark.parametrize("query", [sd_query("age_over_18"), mdoc_query("age_over_18")])
def test_v2_no_two_answers_share_a_key_or_bytes(world: World, query: dict[str, Any]) -> None:
    holders: list[bytes] = []
    parts: list[set[str]] = []
    for _ in range(4):
        answer(world.wallet, look(world.wallet, world.verifier.ask(query, encrypted=False)))
        format = query["credentials"][0]["format"]
        holders.append(received(world, format).holder)
        response = world.verifier.answers[-1]
        assert isinstance(response, VpResponse)
        text = response.vp_token["one"][0]
        parts.append(set(text.split("~")) | {text.split("~")[0].split(".")[-1]})
    assert len(set(holders)) == 4
    assert not set.intersection(*parts)
    with pytest.raises(NoMatchingCredential):
        answer(world.wallet, look(world.wallet, world.verifier.ask(query)))


def test_the_copy_is_spent_before_it_is_sent(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    spent: list[int] = []
    inner = world.verifier.answer

    def watch(request: httpx.Request) -> httpx.Response:
        if request.url.path.startswith("/response"):
            spent.append(sum(copy.spent for copy in map(Copy.of, world.vault.records("copy"))))
        return inner(request)

    monkeypatch.setattr(world.verifier, "answer", watch)
    answer(world.wallet, look(world.wallet, world.verifier.ask(sd_query("age_over_18"))))
    assert spent == [1]


def test_a_lost_answer_is_sent_once_more_and_the_copy_stays_spent(world: World) -> None:
    world.verifier.lose = 1
    answer(world.wallet, look(world.wallet, world.verifier.ask(sd_query("age_over_18"))))
    assert len(set(world.verifier.raw)) == 1
    assert len(world.verifier.raw) == 2
    world.verifier.lose = 2
    with pytest.raises(NetworkUnavailable):
        answer(world.wallet, look(world.wallet, world.verifier.ask(sd_query("age_over_18"))))
    assert sum(copy.spent for copy in map(Copy.of, world.vault.records("copy"))) == 2
    assert world.wallet.log()[0].code == "network_unavailable"


def test_an_answer_that_arrived_and_whose_acknowledgement_was_lost_is_no_refusal(world: World) -> None:
    """The verifier took the first attempt, burned the nonce, and calls the second one a replay."""
    world.verifier.lose_after = 1
    outcome = answer(world.wallet, look(world.wallet, world.verifier.ask(sd_query("age_over_18"))))
    assert (outcome.event, outcome.sent, outcome.confirmed) == ("shown", ("age_over_18",), False)
    assert len(world.verifier.answers) == 1
    assert len(world.verifier.raw) == 2
    entry = world.wallet.log()[0]
    assert (entry.event, entry.claims, entry.code) == ("shown", ("age_over_18",), "unconfirmed")
    # Any other refusal of the second attempt is one, and so is a replay where nothing was lost.
    world.verifier.lose, world.verifier.status = 1, 400
    with pytest.raises(PeerRefused):
        answer(world.wallet, look(world.wallet, world.verifier.ask(sd_query("age_over_18"))))
    assert world.wallet.log()[0].code == "peer_refused"


def test_a_replay_at_the_first_attempt_is_a_refusal(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    question = look(world.wallet, world.verifier.ask(sd_query("age_over_18")))
    replayed = httpx.Response(409, json={"error": "invalid_request", "code": "nonce_replayed"})
    monkeypatch.setattr(world.verifier, "answer", lambda _: replayed)
    with pytest.raises(PeerRefused):
        answer(world.wallet, question)
    assert world.wallet.log()[0].code == "peer_refused"


def test_a_no_that_arrived_twice_is_a_no(world: World) -> None:
    world.verifier.lose_after = 1
    outcome = decline(world.wallet, look(world.wallet, world.verifier.ask(sd_query("age_over_18"))))
    assert (outcome.event, outcome.confirmed) == ("declined", False)


def test_a_verifier_that_refuses_is_reported(world: World) -> None:
    world.verifier.status = 400
    with pytest.raises(PeerRefused):
        answer(world.wallet, look(world.wallet, world.verifier.ask(sd_query("age_over_18"))))
    assert world.wallet.log()[0].code == "peer_refused"


def test_copies_spent_meanwhile(world: World) -> None:
    from wallet.holding import spend

    question = look(world.wallet, world.verifier.ask(sd_query("age_over_18")))
    assert question.consent is not None
    with world.vault.writing() as rows:
        spend(rows, [question.consent.items[0].batch] * 4, randomness=os.urandom)
    before = len(world.wallet.log())
    with pytest.raises(CopiesExhausted):
        answer(world.wallet, question)
    assert world.verifier.raw == []
    assert len(world.wallet.log()) == before


def test_a_spent_copy_is_in_the_log_or_not_spent(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spending and its line in the log are one transaction: whatever ends it in between undoes both."""
    question = look(world.wallet, world.verifier.ask(sd_query("age_over_18")))
    before = [record.id for record in world.vault.records("log")]

    def killed(*_: Any) -> Any:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(presenting, "write_log", killed)
        with pytest.raises(SystemExit):
            prepare(world.wallet, question)
    assert not any(copy.spent for copy in map(Copy.of, world.vault.records("copy")))
    assert (world.vault.records("answered"), len(world.vault.records("log"))) == ([], len(before))

    # What comes after it may fail: the copy is spent, and the log says what it was spent for.
    with monkeypatch.context() as patch:
        patch.setattr(presenting, "session_of", killed)
        with pytest.raises(SystemExit):
            prepare(world.wallet, question)
    assert sum(copy.spent for copy in map(Copy.of, world.vault.records("copy"))) == 1
    entry = world.wallet.log()[0]
    assert (entry.event, entry.claims, entry.code) == ("shown", ("age_over_18",), "unconfirmed")


@pytest.mark.hostile("W15")
@pytest.mark.parametrize(
    ("target", "followed"),
    [
        (f"{VERIFIER}/return/1?response_code=abc", True),
        ("https://evil.test/return", False),
        ("http://verifier.test/return", False),
        ("https://verifier.test@evil.test/", False),
        ("javascript:alert(1)", False),
        ("https://verifier.test.evil.test/", False),
    ],
)
def test_w15_only_back_to_where_the_answer_went(world: World, target: str, followed: bool) -> None:
    world.verifier.redirect = target
    outcome = answer(world.wallet, look(world.wallet, world.verifier.ask(sd_query("age_over_18"))))
    assert outcome.redirect_uri == (target if followed else None)


# --- P1 to P12: the request


STRANGER = make_pki(issuer_url="https://issuer.test", verifier_url=VERIFIER, now=NOW)


@pytest.mark.parametrize(
    ("replace", "error"),
    [
        pytest.param({"nonce": ""}, RequestObjectInvalid, marks=pytest.mark.hostile("P1")),
        pytest.param({"nonce": "short"}, RequestObjectInvalid, marks=pytest.mark.hostile("P1")),
        pytest.param(
            {"client_id": "x509_hash:" + "A" * 43}, ClientIdInvalid, marks=pytest.mark.hostile("P2")
        ),
        pytest.param(
            {"client_id": "https://verifier.test"}, ClientIdInvalid, marks=pytest.mark.hostile("P3")
        ),
        pytest.param({"aud": "https://evil.test"}, RequestObjectInvalid, marks=pytest.mark.hostile("P5")),
        pytest.param({"iat": NOW - 900, "exp": NOW - 600}, RequestExpired, marks=pytest.mark.hostile("P5")),
        pytest.param(
            {"response_uri": "https://evil.test/r"}, RequestObjectInvalid, marks=pytest.mark.hostile("P7")
        ),
        pytest.param({"redirect_uri": VERIFIER}, RequestObjectInvalid, marks=pytest.mark.hostile("P8")),
        pytest.param({"response_uri": None}, RequestObjectInvalid, marks=pytest.mark.hostile("P8")),
        pytest.param(
            {"expected_origins": ["https://x.test"]}, RequestObjectInvalid, marks=pytest.mark.hostile("P9")
        ),
        pytest.param({"dcql_query": {"credentials": []}}, QueryInvalid, marks=pytest.mark.hostile("P21")),
    ],
)
def test_p1_p2_p3_p5_p7_p8_p9_p21_a_request_spoiled(
    world: World, replace: dict[str, Any], error: type[BauhiniaError]
) -> None:
    def spoil(claims: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in {**claims, **replace}.items() if value is not None}

    with pytest.raises(error) as caught:
        look(world.wallet, world.verifier.ask(sd_query("age_over_18"), spoil=spoil))
    assert caught.value.code == error.code
    assert world.verifier.raw == []
    assert world.vault.records("answered") == []


@pytest.mark.hostile("P4")
@pytest.mark.parametrize("change", ["signature", "unsigned", "none"])
def test_p4_not_signed_or_not_by_who_asks(world: World, change: str) -> None:
    link = world.verifier.ask(sd_query("age_over_18"))
    ((id, (signed, claims, key)),) = world.verifier.requests.items()
    head, payload, signature = signed.split(".")
    forged = {
        "signature": f"{head}.{payload}.{signature[:-4]}AAAA",
        "unsigned": f"{head}.{payload}.",
        "none": f"eyJhbGciOiJub25lIiwidHlwIjoib2F1dGgtYXV0aHotcmVxK2p3dCJ9.{payload}.",
    }[change]
    world.verifier.requests[id] = (forged, claims, key)
    with pytest.raises((SignatureInvalid, Malformed, Untrusted)) as caught:
        look(world.wallet, link)
    assert caught.value.code in {"signature_invalid", "jws_malformed", "algorithm_refused"}


@pytest.mark.hostile("P6")
def test_p6_a_certificate_from_elsewhere(world: World) -> None:
    with pytest.raises(Untrusted) as caught:
        look(world.wallet, world.verifier.ask(sd_query("age_over_18"), identity=STRANGER.verifier))
    assert caught.value.code == "chain_invalid"


@pytest.mark.hostile("P10")
@pytest.mark.parametrize(
    "uri",
    [
        "http://verifier.test/request/1",
        "https://127.0.0.1/request/1",
        "https://localhost/request/1",
        "https://169.254.169.254/latest",
        "https://[::ffff:127.0.0.1]/r",
        "https://0x7f000001/r",
        "https://verifier.test@evil.test/r",
        "https://evil.test/request/1",
        "file:///etc/passwd",
    ],
)
@pytest.mark.parametrize("allow", [False, True])
def test_p10_request_uri_of_a_trap(world: World, uri: str, allow: bool) -> None:
    link = vp.request_link(vp.client_id(development_pki().verifier.sha256), uri)
    before = len(world.requests)
    if allow and uri.startswith("https://evil.test"):
        return  # A public host may be asked once the holder chose to go on without registration.
    with pytest.raises((UriRefused, VerifierUnregistered)) as caught:
        look(world.wallet, link, allow_unregistered=allow)
    assert caught.value.code in {"uri_refused", "verifier_unregistered"}
    assert len(world.requests) == before


@pytest.mark.hostile("P10")
@pytest.mark.parametrize(
    ("response", "error"),
    [
        (httpx.Response(302, headers={"location": "https://127.0.0.1/"}), UriRefused),
        (
            httpx.Response(
                200, content=b"x" * (9 << 20), headers={"content-type": "application/oauth-authz-req+jwt"}
            ),
            Malformed,
        ),
        (httpx.Response(200, content=b"{}", headers={"content-type": "text/html"}), MediaTypeRefused),
        (
            httpx.Response(200, content=b"\xff", headers={"content-type": "application/oauth-authz-req+jwt"}),
            Malformed,
        ),
        (httpx.Response(404, content=b"{}"), PeerRefused),
    ],
)
def test_p10_what_the_request_uri_answers(
    world: World, monkeypatch: pytest.MonkeyPatch, response: httpx.Response, error: type[BauhiniaError]
) -> None:
    link = world.verifier.ask(sd_query("age_over_18"))
    monkeypatch.setattr(world.verifier, "answer", lambda _: response)
    with pytest.raises(error):
        look(world.wallet, link)


@pytest.mark.hostile("P11")
def test_p11_request_uri_method_post_is_not_followed(world: World) -> None:
    link = world.verifier.ask(sd_query("age_over_18")) + "&request_uri_method=post"
    assert look(world.wallet, link).consent is not None
    assert world.requests[-1].method == "GET"


@pytest.mark.hostile("P1")
def test_p1_a_nonce_is_answered_once(world: World) -> None:
    link = world.verifier.ask(sd_query("age_over_18"))
    first, second = look(world.wallet, link), look(world.wallet, link)
    answer(world.wallet, first)
    with pytest.raises(RequestConsumed):
        look(world.wallet, link)
    with pytest.raises(RequestConsumed):
        answer(world.wallet, second)
    assert len(world.verifier.raw) == 1
    assert sum(copy.spent for copy in map(Copy.of, world.vault.records("copy"))) == 1


def test_what_was_answered_is_forgotten_when_it_expires(world: World) -> None:
    for _ in range(2):
        answer(world.wallet, look(world.wallet, world.verifier.ask(sd_query("age_over_18"))))
        world.time += 301
    assert len(world.vault.records("answered")) == 1


# --- V7, V8, P27: a no that says nothing


def _refusal(folder: Path, query: dict[str, Any], *, stock: bool) -> tuple[bytes, list[str], list[float]]:
    world = World(folder)
    if stock:
        world.stocked("age-1.sd-jwt")
    question = look(
        world.wallet,
        world.verifier.ask(query, encrypted=False, nonce="n-0S6_WzA2Mjp9Qx7LkTf4", state="s-fixed-state-00"),
    )
    before = len(world.requests)
    world.verifier.requests = {
        id: (signed, vp.read_request({**_claims(signed)}), key)
        for id, (signed, _, key) in world.verifier.requests.items()
    }
    decline(world.wallet, question, by_person=question.consent is not None)
    sent = world.requests[before:]
    world.vault.close()
    return sent[0].content, sorted(sent[0].headers), world.pauses


def _claims(signed: str) -> dict[str, Any]:
    import json

    found: dict[str, Any] = json.loads(unb64u(signed.split(".")[1]))
    return found


@pytest.mark.hostile("V7", "V8")
def test_v7_v8_declined_not_held_and_another_value_look_the_same(tmp_path: Path) -> None:
    declined = _refusal(tmp_path / "a", sd_query("age_over_18"), stock=True)
    not_held = _refusal(tmp_path / "b", sd_query("age_over_18"), stock=False)
    mismatch = _refusal(tmp_path / "c", sd_query("age_over_18", age_over_18=[False]), stock=True)
    assert declined[:2] == not_held[:2] == mismatch[:2]
    assert declined[2] == []
    assert len(not_held[2]) == len(mismatch[2]) == 1
    assert all(2.0 <= pause < 8.0 for pause in (*not_held[2], *mismatch[2]))


@pytest.mark.hostile("V7")
def test_v7_encrypted_refusals_have_one_size(tmp_path: Path) -> None:
    sizes: set[int] = set()
    for name, query in [("a", sd_query("age_over_18")), ("b", sd_query("age_over_18", age_over_18=[False]))]:
        world = World(tmp_path / name).stocked("age-1.sd-jwt")
        decline(world.wallet, look(world.wallet, world.verifier.ask(query)))
        assert isinstance(world.verifier.answers[-1], VpRefusal)
        sizes.add(len(world.verifier.raw[-1]))
        world.vault.close()
    assert len(sizes) == 1


@pytest.mark.hostile("P27", "V8")
def test_p27_a_hundred_probes_get_the_same_few_refusals(world: World) -> None:
    refused = 0
    for attempt in range(100):
        query = sd_query("age_over_18", age_over_18=[attempt % 2 == 0])
        link = world.verifier.ask(query, encrypted=False)
        world.time += 1
        try:
            question = look(world.wallet, link)
        except RateLimited:
            refused += 1
            continue
        decline(world.wallet, question, by_person=question.consent is not None)
    assert len(world.verifier.answers) == REFUSALS
    assert refused == 100 - REFUSALS
    assert all(
        isinstance(said, VpRefusal) and said.error == "access_denied" for said in world.verifier.answers
    )


@pytest.mark.hostile("P27")
def test_p27_nothing_is_spent_by_refusing(world: World) -> None:
    decline(world.wallet, look(world.wallet, world.verifier.ask(sd_query("age_over_18"))))
    assert not any(copy.spent for copy in map(Copy.of, world.vault.records("copy")))
    assert world.wallet.log()[0].event == "declined"


@pytest.mark.hostile("V4")
def test_v4_no_header_beside_the_needed_ones(world: World) -> None:
    before = len(world.requests)
    answer(world.wallet, look(world.wallet, world.verifier.ask(sd_query("age_over_18"))))
    fetch, post = world.requests[before:]
    assert set(fetch.headers) == {"host", "accept", "accept-encoding", "user-agent", "connection"}
    assert set(post.headers) == set(fetch.headers) | {"content-type", "content-length"}
    assert fetch.headers["user-agent"] == post.headers["user-agent"] == "bauhinia"


def test_an_answer_needs_something_to_answer_with(world: World) -> None:
    question = look(world.wallet, world.verifier.ask(sd_query("age_over_18", age_over_18=[False])))
    with pytest.raises(NoMatchingCredential):
        answer(world.wallet, question)
    assert world.verifier.raw == []
