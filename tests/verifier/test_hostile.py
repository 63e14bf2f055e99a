"""Hostile cases that need the verifier's state: P12 to P14, P19, P20, P22 to P24, C10, V3, V9."""

from __future__ import annotations

import base64
import concurrent.futures
import json
import logging
import re
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from pki_fixture import NOW, VERIFIER
from verifier_fixture import BOTH, HTML, Shop, issue, present

from credentials.encoding import b64u, dump_json, load_json_object, unb64u
from credentials.errors import Fault, NetworkForbidden, StoreInvalid, StoreUnavailable
from openid4vc.vp import build_response
from verifier import offline
from verifier.app import DATA_KEY, load_config
from verifier.store import Store
from web.keyfiles import write_private_file


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path / "shop")


@pytest.fixture
def desk(tmp_path: Path) -> Shop:
    """The government desk: it alone may ask for the identity card number."""
    return Shop(tmp_path / "desk", access="desk")


def code(response: Any) -> str:
    return str((response.json or {}).get("code"))


def rows(shop: Shop) -> list[tuple[Any, ...]]:
    with shop.store._engine.connect() as db:
        return [tuple(row) for row in db.exec_driver_sql("SELECT * FROM transactions ORDER BY id")]


def adult(format: str = "dc+sd-jwt") -> Any:
    return issue("age/1", {"age_over_18": True, "age_over_16": True}, format)


# --- P12: the request object


@pytest.mark.hostile("P12")
def test_p12_request_fetched_after_it_was_answered(shop: Shop) -> None:
    """Used up is used up; before that, a wallet on a bad line gets the very same bytes again."""
    asked = shop.ask("liquor18")
    path = urlsplit(asked["request_uri"]).path
    first, again = (shop.browser().get(path, base_url=VERIFIER) for _ in range(2))
    assert first.data == again.data
    shop.answer(shop.fetch(asked["link"]), adult(), ["age_over_18"])
    late = shop.browser().get(path, base_url=VERIFIER)
    assert (late.status_code, code(late)) == (410, "request_consumed")


@pytest.mark.hostile("P12")
def test_p12_request_fetched_by_a_crowd(shop: Shop) -> None:
    path = urlsplit(shop.ask("liquor18")["request_uri"]).path
    answers = [shop.browser().get(path, base_url=VERIFIER) for _ in range(6)]
    assert [a.status_code for a in answers] == [200] * 5 + [410]
    assert code(answers[-1]) == "request_consumed"


@pytest.mark.hostile("P12")
def test_p12_head_uses_nothing_up(shop: Shop) -> None:
    """A link preview looks with HEAD; request, start ticket and response code are still there afterwards."""
    browser, path, request = same_device(shop)
    asked = shop.ask("liquor18", same_device=True)
    fetch, start = (asked[name].removeprefix(VERIFIER) for name in ("request_uri", "start_url"))
    for _ in range(6):
        assert shop.browser().head(fetch, base_url=VERIFIER).status_code == 405
        assert shop.browser().head(start, base_url=VERIFIER).status_code == 405
    assert shop.result(asked["id"])["state"] == "created"
    assert shop.browser().get(start, base_url=VERIFIER).status_code == 303
    back = (shop.answer(request, adult(), ["age_over_18"]).json or {})["redirect_uri"].removeprefix(VERIFIER)
    assert browser.head(back, base_url=VERIFIER).status_code == 405
    assert browser.get(back, base_url=VERIFIER).headers["Location"] == path


# --- P13: the right answer to the right request, once


@pytest.mark.hostile("P13")
def test_p13_state_of_another_session(shop: Shop) -> None:
    """An answer made for one request is worth nothing at another."""
    one, other = (shop.fetch(shop.ask("liquor18")["link"]) for _ in range(2))
    token = present(adult(), one, ["age_over_18"])
    form = build_response(token, request=one)
    path = urlsplit(other.response_uri).path
    reply = shop.browser().post(path, base_url=VERIFIER, data=form)
    assert (reply.status_code, code(reply)) == (400, "response_encryption_invalid")
    assert shop.post(one, form).status_code == 200


@pytest.mark.hostile("P13")
@pytest.mark.parametrize("state", [None, "A" * 32, ""])
def test_p13_state_wrong_or_absent(shop: Shop, state: str | None) -> None:
    asked = shop.ask("liquor18")
    form = {"error": "access_denied"} | ({} if state is None else {"state": state})
    reply = shop.post(shop.fetch(asked["link"]), form)
    assert (reply.status_code, code(reply)) in ((400, "state_mismatch"), (400, "response_invalid"))
    assert shop.result(asked["id"])["outcome"] == "refused"


@pytest.mark.hostile("P13", "K5")
@pytest.mark.parametrize("format", BOTH)
def test_p13_second_response_to_a_completed_session(shop: Shop, format: str) -> None:
    """The same bytes again: refused, and the first result stands."""
    asked = shop.ask("liquor18")
    request = shop.fetch(asked["link"])
    form = build_response(present(adult(format), request, ["age_over_18"]), request=request)
    assert shop.post(request, form).status_code == 200
    before = rows(shop)
    again = shop.post(request, form)
    assert (again.status_code, code(again)) == (409, "nonce_replayed")
    assert rows(shop) == before


@pytest.mark.hostile("P13")
def test_p13_one_answer_right_or_wrong(shop: Shop) -> None:
    """The nonce is burned before the answer is looked at: no second try after a bad one."""
    request = shop.fetch(shop.ask("liquor18")["link"])
    shop.post(request, {"response": "nonsense"})
    assert code(shop.answer(request, adult(), ["age_over_18"])) == "nonce_replayed"


@pytest.mark.hostile("P13")
def test_p13_answer_to_a_request_nobody_fetched(shop: Shop) -> None:
    asked = shop.ask("liquor18")
    path = urlsplit(asked["request_uri"]).path.replace("/request/", "/response/")
    before = rows(shop)
    reply = shop.browser().post(path, base_url=VERIFIER, data={"response": "x"})
    assert (reply.status_code, code(reply)) == (400, "response_invalid")
    assert rows(shop) == before


# --- P14: encryption


def recoded(form: dict[str, str], change: Callable[[dict[str, Any]], None]) -> dict[str, str]:
    head, *rest = form["response"].split(".")
    header = load_json_object(unb64u(head))
    change(header)
    return {"response": ".".join([b64u(dump_json(header)), *rest])}


def epk_off_curve(header: dict[str, Any]) -> None:
    header["epk"] = {**header["epk"], "y": header["epk"]["x"]}


@pytest.mark.hostile("P14")
@pytest.mark.parametrize(
    "change",
    [
        lambda h: h.update(alg="none"),
        lambda h: h.update(alg="dir"),
        lambda h: h.update(alg="ECDH-ES+A128KW"),
        lambda h: h.update(enc="A128CBC-HS256"),
        lambda h: h.update(enc="A192GCM"),
        lambda h: h.update(zip="DEF"),
        lambda h: h.update(apu="QQ", apv="Qg"),
        lambda h: h.update(kid="another"),
        lambda h: h.pop("epk"),
        epk_off_curve,
    ],
    ids=["none", "dir", "kw", "cbc", "a192", "zip", "apu", "kid", "no-epk", "off-curve"],
)
def test_p14_jwe_header_changed(shop: Shop, change: Callable[[dict[str, Any]], None]) -> None:
    asked = shop.ask("liquor18")
    request = shop.fetch(asked["link"])
    form = build_response(present(adult(), request, ["age_over_18"]), request=request)
    reply = shop.post(request, recoded(form, change))
    assert (reply.status_code, code(reply)) == (400, "response_encryption_invalid")
    assert shop.result(asked["id"])["disclosed"] == {}


@pytest.mark.hostile("P14")
def test_p14_answer_in_the_clear_where_encryption_was_asked(shop: Shop) -> None:
    request = shop.fetch(shop.ask("liquor18")["link"])
    token = present(adult(), request, ["age_over_18"])
    form = {"vp_token": json.dumps(token), "state": request.state or ""}
    assert code(shop.post(request, form)) == "response_encryption_invalid"


# --- P15 to P20: what is in the answer


@pytest.mark.hostile("P15")
def test_p15_key_that_is_not_in_the_query(shop: Shop) -> None:
    request = shop.fetch(shop.ask("liquor18")["link"])
    (wire,) = present(adult(), request, ["age_over_18"]).values()
    reply = shop.post(request, build_response({"base-1_sd-jwt": wire}, request=request))
    assert (reply.status_code, code(reply)) == (400, "query_not_satisfied")


@pytest.mark.hostile("P16")
@pytest.mark.parametrize("format", BOTH)
def test_p16_credential_of_another_type(shop: Shop, format: str) -> None:
    """A resident's credential in the slot for an age."""
    request = shop.fetch(shop.ask("liquor18", format=format)["link"])
    copy = issue("residency/1", {"is_hk_resident": True}, format, index=3)
    (wire,) = present(copy, request, ["is_hk_resident"]).values()
    slot = request.query.credentials[0].id
    assert code(shop.post(request, build_response({slot: wire}, request=request))) == "type_mismatch"


@pytest.mark.hostile("P17", "P18")
@pytest.mark.parametrize("format", BOTH)
def test_p17_fewer_claims_than_required(shop: Shop, format: str) -> None:
    request = shop.fetch(shop.ask("liquor18")["link"])
    reply = shop.answer(request, adult(format), [])
    assert (reply.status_code, code(reply)) == (400, "query_not_satisfied")


@pytest.mark.hostile("P19")
def test_p19_two_credentials_in_one_slot(shop: Shop) -> None:
    """Without `multiple` one slot takes one presentation, however good both are."""
    request = shop.fetch(shop.ask("liquor18")["link"])
    slot = "age-1_sd-jwt"
    two = [present(adult(), request, ["age_over_18"])[slot][0] for _ in range(2)]
    reply = shop.post(request, build_response({slot: two}, request=request))
    assert code(reply) == "query_not_satisfied"


@pytest.mark.hostile("P20")
@pytest.mark.parametrize("format", BOTH)
def test_p20_more_claims_than_requested_are_dropped(shop: Shop, format: str) -> None:
    """Accepted, counted, and neither told nor stored."""
    asked = shop.ask("liquor18")
    shop.answer(shop.fetch(asked["link"]), adult(format), ["age_over_18", "age_over_16"])
    found = shop.result(asked["id"])
    assert found["outcome"] == "accepted"
    assert found["disclosed"] == {"age/1": {"age_over_18": True}}
    assert found["over_disclosed"] == 1
    assert "age_over_16" not in json.dumps([str(row) for row in rows(shop)])


# --- P22 to P24: whose session is it


def same_device(shop: Shop) -> tuple[Any, str, Any]:
    """A browser that starts a check for a wallet on the same device: browser, result page, request."""
    browser = shop.browser()
    page = browser.get("/counter/liquor18", base_url=VERIFIER, headers=HTML)
    token = page.text.split('name="csrf_token" value="')[1].split('"')[0]
    made = browser.post(
        "/counter/liquor18", base_url=VERIFIER, data={"csrf_token": token, "device": "same"}, headers=HTML
    )
    path = made.headers["Location"]
    page = browser.get(path, base_url=VERIFIER, headers=HTML)
    link = page.text.split('id="link">')[1].split("<")[0].replace("&amp;", "&")
    return browser, path, shop.fetch(link)


@pytest.mark.hostile("P22")
def test_p22_relayed_request_is_worth_nothing_to_the_attacker(shop: Shop) -> None:
    """The victim's wallet answers the attacker's request: the victim's browser did not start it, and the
    attacker never gets the response code."""
    attacker, path, request = same_device(shop)
    reply = shop.answer(request, adult(), ["age_over_18"])
    back = (reply.json or {})["redirect_uri"].removeprefix(VERIFIER)
    victim = shop.browser()
    refused = victim.get(back, base_url=VERIFIER)
    assert (refused.status_code, code(refused)) == (403, "session_not_bound")
    assert 'id="verdict"' not in attacker.get(path, base_url=VERIFIER, headers=HTML).text
    assert (attacker.get(f"{path}/state", base_url=VERIFIER).json or {}) == {"state": "fetched"}
    assert shop.result(path.removeprefix("/result/"))["outcome"] is None


@pytest.mark.hostile("P22")
def test_p22_the_browser_that_started_gets_the_result(shop: Shop) -> None:
    browser, path, request = same_device(shop)
    reply = shop.answer(request, adult(), ["age_over_18"])
    back = browser.get((reply.json or {})["redirect_uri"].removeprefix(VERIFIER), base_url=VERIFIER)
    assert (back.status_code, back.headers["Location"]) == (303, path)
    assert 'data-outcome="accepted"' in browser.get(path, base_url=VERIFIER, headers=HTML).text


@pytest.mark.hostile("P23")
@pytest.mark.parametrize("bad", ["", "response_code=", "response_code=AAAAAAAAAAAAAAAAAAAAAAAA"])
def test_p23_response_code_missing_or_wrong(shop: Shop, bad: str) -> None:
    browser, path, request = same_device(shop)
    shop.answer(request, adult(), ["age_over_18"])
    refused = browser.get(f"{path.replace('/result/', '/return/')}?{bad}", base_url=VERIFIER)
    assert (refused.status_code, code(refused)) == (403, "session_not_bound")
    assert 'id="verdict"' not in browser.get(path, base_url=VERIFIER, headers=HTML).text


@pytest.mark.hostile("P23")
def test_p23_response_code_used_twice(shop: Shop) -> None:
    browser, _, request = same_device(shop)
    back = (shop.answer(request, adult(), ["age_over_18"]).json or {})["redirect_uri"]
    response_code = back.partition("response_code=")[2]
    assert len(response_code) * 6 >= 128
    first, second = (browser.get(back.removeprefix(VERIFIER), base_url=VERIFIER) for _ in range(2))
    assert (first.status_code, second.status_code, code(second)) == (303, 403, "session_not_bound")


@pytest.mark.hostile("P24")
def test_p24_poll_by_a_stranger_and_by_guess(shop: Shop) -> None:
    """Neither another browser nor the id that the wallet sees opens a result; ids are 192 random bits."""
    _, path, request = same_device(shop)
    stranger = shop.browser()
    assert code(stranger.get(f"{path}/state", base_url=VERIFIER)) == "session_not_bound"
    assert code(stranger.get(path, base_url=VERIFIER)) == "session_not_bound"
    seen_by_wallet = request.response_uri.rpartition("/")[2]
    assert code(stranger.get(f"/result/{seen_by_wallet}/state", base_url=VERIFIER)) == "transaction_unknown"
    assert code(shop.till("GET", f"/api/requests/{seen_by_wallet}")) == "transaction_unknown"
    ids = {shop.ask("liquor18")["id"] for _ in range(20)}
    assert len(ids) == 20
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{32}", id) for id in ids)


@pytest.mark.hostile("P24")
@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic eDp5"}])
def test_p24_api_without_its_key(shop: Shop, header: dict[str, str]) -> None:
    asked = shop.ask("liquor18")
    for method, path in (
        ("GET", f"/api/requests/{asked['id']}"),
        ("POST", "/api/requests"),
        ("GET", "/api/policies"),
    ):
        refused = shop.browser().open(
            path, method=method, base_url=VERIFIER, headers=header, json={"policy": "liquor18"}
        )
        assert (refused.status_code, code(refused)) == (401, "api_key_invalid")


@pytest.mark.hostile("P22")
def test_p22_start_url_binds_the_first_browser_that_brings_the_ticket(shop: Shop) -> None:
    asked = shop.ask("liquor18", same_device=True)
    path = asked["start_url"].removeprefix(VERIFIER)
    wrong = f"{path.partition('?')[0]}?ticket=AAAA"
    first, second = shop.browser(), shop.browser()
    assert code(first.get(wrong, base_url=VERIFIER)) == "session_not_bound"
    assert first.get(path, base_url=VERIFIER).status_code == 303
    assert code(second.get(path, base_url=VERIFIER)) == "session_not_bound"
    reply = shop.answer(shop.fetch(asked["link"]), adult(), ["age_over_18"])
    assert shop.result(asked["id"])["outcome"] is None
    first.get((reply.json or {})["redirect_uri"].removeprefix(VERIFIER), base_url=VERIFIER)
    assert shop.result(asked["id"])["outcome"] == "accepted"


# --- C10: many pending sessions


@pytest.mark.hostile("C10")
def test_c10_pending_requests_are_bounded(tmp_path: Path) -> None:
    """The oldest unanswered one makes room; an answered one stays."""
    shop = Shop(tmp_path / "shop", max_pending=5)
    answered = shop.ask("liquor18")
    shop.answer(shop.fetch(answered["link"]), adult(), ["age_over_18"])
    asked: list[dict[str, Any]] = []
    for _ in range(12):
        shop.clock.now += 1
        asked.append(shop.ask("liquor18"))
    assert len(rows(shop)) == 6
    states = [shop.till("GET", f"/api/requests/{a['id']}").status_code for a in asked]
    assert states == [404] * 7 + [200] * 5
    assert shop.result(answered["id"])["outcome"] == "accepted"


# --- V3: no network while verifying


@pytest.mark.hostile("V3")
@pytest.mark.parametrize(
    "attempt",
    [
        lambda: socket.socket(),
        lambda: socket.getaddrinfo("bauhinia.example", 443),
        lambda: socket.create_connection(("127.0.0.1", 9)),
        lambda: subprocess.run(["true"], check=True),
    ],
    ids=["socket", "getaddrinfo", "connect", "process"],
)
def test_v3_the_guard_bites(attempt: Callable[[], object]) -> None:
    with offline.guard(), pytest.raises(NetworkForbidden):
        attempt()


@pytest.mark.hostile("V3")
def test_v3_a_thread_cannot_be_used_to_get_out() -> None:
    """A new thread has a context of its own, in which nothing is guarded: so there is no new thread."""
    opened: list[socket.socket] = []
    with offline.guard(), pytest.raises(NetworkForbidden):
        threading.Thread(target=lambda: opened.append(socket.socket())).start()
    assert opened == []
    threading.Thread(target=list).start()


@pytest.mark.hostile("V3")
def test_v3_other_threads_go_on_serving() -> None:
    """The guard is for the one check: another request, in another thread, is not disturbed."""
    entered, leave = threading.Event(), threading.Event()

    def check() -> None:
        with offline.guard():
            entered.set()
            leave.wait(10)

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        done = pool.submit(check)
        assert entered.wait(10)
        socket.socket().close()
        leave.set()
        done.result()


@pytest.mark.hostile("V3")
@pytest.mark.parametrize("format", BOTH)
def test_v3_a_whole_check_opens_no_socket(shop: Shop, format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every socket event of the process is recorded while an answer is judged: there is none."""
    shop.publish()
    events: list[str] = []
    seen = offline._hook

    def record(event: str, arguments: object) -> None:
        seen(event, arguments)
        if recording and event.startswith("socket."):
            events.append(event)

    recording = False
    import sys

    sys.addaudithook(record)
    asked = shop.ask("resident-discount")
    copy = issue("residency/1", {"is_hk_resident": True}, format, index=77)
    request = shop.fetch(asked["link"])
    form = build_response(present(copy, request, ["is_hk_resident"]), request=request)
    recording = True
    shop.post(request, form)
    recording = False
    assert shop.result(asked["id"])["outcome"] == "accepted"
    assert events == []


@pytest.mark.hostile("V3")
def test_v3_a_format_that_phones_home_is_stopped(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """If verifying ever tried, the check would fail as a fault of ours and never as an acceptance."""
    asked = shop.ask("liquor18")
    request = shop.fetch(asked["link"])

    def phone_home(*_: object, **__: object) -> None:
        socket.getaddrinfo("issuer.test", 443)

    monkeypatch.setattr("verifier.verification.check", phone_home)
    reply = shop.answer(request, adult(), ["age_over_18"])
    assert (reply.status_code, code(reply)) == (500, NetworkForbidden.code)
    # The nonce is burned, so the check is over: it does not hang until it expires.
    found = shop.result(asked["id"])
    assert (found["state"], found["outcome"]) == ("answered", "undetermined")
    assert (found["error_code"], found["disclosed"]) == (NetworkForbidden.code, {})
    assert issubclass(NetworkForbidden, Fault)


@pytest.mark.hostile("V3")
@pytest.mark.parametrize(
    "place",
    ["verifier.desk.read_request", "verifier.policy.parse_query", "verifier.holdings.open_trust_list"],
)
def test_v3_the_steps_before_verifying_are_guarded_too(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Our own request read again, the policy compared, the trust list opened: nothing leaves the machine."""
    asked = shop.ask("liquor18")
    request = shop.fetch(asked["link"])
    form = build_response(present(adult(), request, ["age_over_18"]), request=request)
    shop.publish()  # so that the next check opens a new set

    def phone_home(*_: object, **__: object) -> None:
        socket.getaddrinfo("issuer.test", 443)

    with monkeypatch.context() as planted:
        planted.setattr(place, phone_home)
        reply = shop.post(request, form)
    assert (reply.status_code, code(reply)) == (500, NetworkForbidden.code)


def test_fault_in_a_same_device_check_is_told_to_the_browser_that_waits(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wallet got a 500 and no way back: nobody will come with a response code."""
    browser, path, request = same_device(shop)
    monkeypatch.setattr("verifier.desk.verify", lambda *_, **__: 1 / 0)
    reply = shop.answer(request, adult(), ["age_over_18"])
    assert (reply.status_code, code(reply)) == (500, "fault")
    page = browser.get(path, base_url=VERIFIER, headers=HTML)
    assert 'data-outcome="undetermined"' in page.text
    assert 'data-code="fault"' in page.text


@pytest.mark.parametrize("format", BOTH)
def test_fault_in_the_store_while_finishing_is_told_once(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    """The first try to record fails, the second says so; the answer is not accepted afterwards."""
    asked = shop.ask("liquor18")
    request = shop.fetch(asked["link"])
    finish, tries = Store.finish, 0

    def fail_once(self: Store, *args: Any, **kwargs: Any) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise StoreUnavailable("locked")
        finish(self, *args, **kwargs)

    monkeypatch.setattr(Store, "finish", fail_once)
    assert code(shop.answer(request, adult(format), ["age_over_18"])) == "store_unavailable"
    found = shop.result(asked["id"])
    assert (found["outcome"], found["error_code"]) == ("undetermined", "store_unavailable")


# --- V9: nothing personal in logs, URLs, QR codes, columns


@pytest.mark.hostile("V9")
@pytest.mark.parametrize("format", BOTH)
def test_v9_no_identity_number_anywhere_but_in_the_answer(
    desk: Shop, format: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """A verifier with a legal ground sees the number once; its logs, links and files do not keep it."""
    caplog.set_level(logging.DEBUG)
    desk.publish()
    number = "Q123456"
    asked = desk.ask("hkid-registration")
    copy = issue("hkid-number/1", {"personal_administrative_number": number}, format, index=5)
    reply = desk.answer(desk.fetch(asked["link"]), copy, ["personal_administrative_number"])
    assert desk.result(asked["id"])["outcome"] == "accepted"
    out, err = capsys.readouterr()
    said = caplog.text + out + err + json.dumps(asked) + reply.text + str(reply.headers)
    assert number not in said
    desk.clock.now = NOW + 901
    desk.result(asked["id"])
    for name, content in files(desk).items():
        assert number.encode() not in content, name
        assert base64.b64encode(number.encode()).rstrip(b"=") not in content, name


def files(shop: Shop) -> dict[str, bytes]:
    """Every file of the verifier, as a thief of the disk finds them while the server runs."""
    return {path.name: path.read_bytes() for path in shop.data.rglob("*") if path.is_file()}


@pytest.mark.hostile("V9")
@pytest.mark.parametrize("by", ["the next request", "the sweeper"])
def test_v9_deleted_means_no_byte_is_left_of_it(desk: Shop, by: str) -> None:
    """Not in the database and not in its log, while the server has it open; and never in the clear."""
    desk.publish()
    asked = desk.ask("hkid-registration")
    copy = issue("hkid-number/1", {"personal_administrative_number": "Q123456"}, "dc+sd-jwt", index=5)
    desk.answer(desk.fetch(asked["link"]), copy, ["personal_administrative_number"])
    with desk.store._engine.connect() as db:
        row = db.exec_driver_sql("SELECT learned, learned_until FROM transactions").one()
    sealed = str(row[0]).encode()
    before = files(desk)
    assert {"verifier.db", "verifier.db-wal", "verifier.db-shm"} <= before.keys()
    # Positive control: while it is kept, it is there, sealed.
    assert any(sealed in content for content in before.values())
    assert not any(b"Q123456" in content for content in before.values())
    desk.clock.now = row[1]
    if by == "the sweeper":
        desk.app.extensions["verifier"].store.sweep(desk.clock.now)
    else:
        desk.result(asked["id"])
    after = files(desk)
    assert {"verifier.db", "verifier.db-wal", "verifier.db-shm"} <= after.keys()
    # Any part of it: an overwritten page may keep a tail.
    parts = [sealed[at : at + 40] for at in range(0, len(sealed) - 40, 40)]
    assert [name for name, content in after.items() if any(part in content for part in parts)] == []
    assert desk.result(asked["id"])["claims_forgotten"] is True


@pytest.mark.hostile("V9")
def test_v9_keys_of_requests_are_sealed(shop: Shop) -> None:
    """Who copies the database while a request waits cannot decrypt the answer that comes to it."""
    asked = shop.ask("liquor18")
    with shop.store._engine.connect() as db:
        stored = db.exec_driver_sql("SELECT response_key FROM transactions").scalar_one()
    plain = shop.store.response_key(asked["id"])
    assert plain is not None
    assert plain not in stored
    other = load_config(shop.data)
    write_private_file(shop.data / DATA_KEY, bytes(32))
    with pytest.raises(StoreInvalid):
        other.store().response_key(asked["id"])
