"""The wallet's pages through Flask's own client: unlock, accept, be asked, answer, look back."""

from __future__ import annotations

import io
import os
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask.testing import FlaskClient
from pki_fixture import ISSUER, VERIFIER
from wallet_parties import ADULT, TX_CODE, World, sd_query

from credentials.calendar import DAY, midnight
from credentials.errors import VaultLocked
from credentials.model import Value
from openid4vc.vci import AuthorizationCodeOffer, Offer, offer_link
from openid4vc.vpresponse import VpRefusal
from wallet.app import create_app
from wallet.desk import IDLE, KEPT, Desk, daemon_timer
from wallet.vault import Vault
from wallet.wallet import Wallet
from web import qr
from web.service import Settings
from web.texts import load_texts

BASE = "http://127.0.0.1:8403"


class Browser:
    """A browser that fills in the form of the page it is on."""

    def __init__(self, client: FlaskClient) -> None:
        self.client = client
        self.root = ""
        self.text = ""
        self.path = "/"
        self.status = 0

    def at(self, path: str) -> str:
        """A path of the open wallet is below its key."""
        known = path.startswith(("/open/", "/unlock", "/signed-in"))
        return path if known else self.root + path

    def go(self, path: str, **options: Any) -> str:
        answer = self.client.get(self.at(path), base_url=BASE, follow_redirects=True, **options)
        return self._read(answer)

    def post(self, path: str, **fields: Any) -> str:
        token = re.search(r'name="csrf_token" value="([^"]+)"', self.text)
        data = {"csrf_token": token[1] if token else "", **fields}
        answer = self.client.post(
            self.at(path), base_url=BASE, data=data, follow_redirects=True, content_type="multipart/form-data"
        )
        return self._read(answer)

    def _read(self, answer: Any) -> str:
        self.text, self.path, self.status = (
            answer.get_data(as_text=True),
            answer.request.path,
            answer.status_code,
        )
        return self.text

    def action(self, ending: str) -> str:
        found = re.search(rf'action="([^"]+{ending})"', self.text)
        assert found, self.text
        return found[1]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path / "world")
    yield world
    world.vault.close()


@pytest.fixture
def browser(world: World, tmp_path: Path) -> Browser:
    def opening(passphrase: str) -> Wallet:
        stamp = world.folder / "state" / "v.stamp"
        vault = Vault.open(world.vault.path, passphrase, randomness=os.urandom, stamp=stamp)
        return replace(world.wallet, vault=vault)

    app = create_app(tmp_path, settings=Settings(base_url=BASE, secret=bytes(32)), opening=opening)
    browser = Browser(app.test_client())
    browser.go("/unlock")
    browser.post("/unlock", passphrase="passphrase")
    browser.root = key_of(browser.path)
    return browser


def key_of(path: str) -> str:
    found = re.match(r"/open/[A-Za-z0-9_-]{43}(?=/)", path)
    assert found
    return found[0]


PATHS = ("/", "/log", "/card/age-1.sd-jwt", "/question/x", "/offer/x", "/result/x", "/refused/x")


def shows_nothing(browser: Browser) -> None:
    for path in (*PATHS, "/signed-in"):
        assert "age" not in browser.go(path).split("<main")[-1].lower().replace("passphrase", "")
        assert browser.path == "/unlock" or browser.status == 404


def test_a_locked_wallet_shows_nothing(world: World, browser: Browser) -> None:
    world.stocked("age-1.sd-jwt")
    stranger = Browser(browser.client.application.test_client())
    for root in ("", browser.root):
        stranger.root = root
        shows_nothing(stranger)


@pytest.mark.hostile("W7")
@pytest.mark.parametrize("key", ["", "/open/x", f"/open/{'A' * 43}", "/open/%C3%A4"])
def test_w7_a_cookie_that_another_port_saw_is_worth_nothing(world: World, browser: Browser, key: str) -> None:
    """Cookies know no ports: whatever else runs on 127.0.0.1 gets to see ours, form token and all."""
    world.stocked("age-1.sd-jwt")
    page = browser.go("/")
    assert browser.path == f"{browser.root}/"
    good, browser.root = browser.root, key
    for path in PATHS:
        browser.text = page
        assert good not in browser.go(path)
        assert browser.path == "/unlock" or browser.status == 404
    for path in ("/sync", "/lock", "/open", "/offer/x", "/question/x/yes"):
        browser.text = page
        assert good not in browser.post(path, link="x")
        assert browser.path in ("/unlock", path)
    assert good not in browser.go(f"/signed-in?code=c&state=x&iss={ISSUER}")
    assert "state_mismatch" in browser.text
    # And nothing of this locked it for its holder.
    browser.root = good
    assert 'id="card-age-1.sd-jwt"' in browser.go("/")
    # The key goes to no other place, and a new unlocking has a new one.
    assert browser.client.get(f"{good}/", base_url=BASE).headers["Referrer-Policy"] == "same-origin"
    browser.go("/unlock")
    browser.post("/unlock", passphrase="passphrase")
    assert key_of(browser.path) != good


def test_a_link_from_elsewhere_waits_for_the_passphrase(browser: Browser) -> None:
    browser.root = ""
    page = browser.go("/?link=openid4vp%3A%2F%2Fx")
    assert browser.path == "/unlock"
    assert 'name="link" value="openid4vp://x"' in page
    page = browser.post("/unlock", passphrase="passphrase", link="openid4vp://x")
    assert key_of(browser.path)
    assert 'value="openid4vp://x"' in page


def test_wrong_passphrase_is_told(browser: Browser) -> None:
    browser.go("/unlock")
    assert 'role="alert"' in browser.post("/unlock", passphrase="wrong")
    assert browser.status == 403


def test_an_offer_is_accepted_with_its_code(world: World, browser: Browser) -> None:
    page = browser.post("/open", link=offer_link(world.issuer.offer("age-1.sd-jwt", "age-1.mdoc")))
    assert "Bauhinia development issuer" in page
    wrong = browser.post(browser.action(""), tx_code="000000")
    assert 'role="alert"' in wrong
    page = browser.post(browser.action(""), tx_code=TX_CODE)
    assert page.count("4 copies") == 2
    front = browser.go("/")
    assert front.count('id="card-') == 2
    assert "amber-text" in front  # four copies are few
    assert "18" in browser.go("/card/age-1.sd-jwt")


def test_signing_in_goes_by_a_link_and_comes_back(world: World, browser: Browser) -> None:
    browser.post("/open", link=offer_link(Offer(ISSUER, ("age-1.sd-jwt",), AuthorizationCodeOffer())))
    page = browser.post(browser.action("/sign-in"))
    url = re.search(r'id="go" href="([^"]+)"', page)
    assert url
    asked = parse_qs(urlsplit(url[1].replace("&amp;", "&")).query)
    assert asked["redirect_uri"] == [f"{BASE}/signed-in"]
    page = browser.go(f"/signed-in?code=c&state={asked['state'][0]}&iss={ISSUER}")
    assert "4 copies" in page


@pytest.mark.hostile("P25")
def test_p25_the_question_comes_before_the_answer(world: World, browser: Browser) -> None:
    world.stocked("age-1.sd-jwt")
    world.verifier.redirect = f"{VERIFIER}/return/1?response_code=abc"
    page = browser.post("/open", link=world.verifier.ask(sd_query("age_over_18")))
    for expected in ("Bauhinia development verifier", "liquor", "109B", "stay hidden", "3 left"):
        assert expected in page
    assert world.verifier.raw == []
    question = browser.path
    chinese = browser.go(f"{question}?lang=zh-Hant")
    assert "查核機構" in chinese
    assert "酒類" in chinese
    assert '<p class="quiet" id="legal-basis">Dutiable Commodities' in page
    assert '<p class="quiet" id="legal-basis">《應課稅品（酒類）規例》（第109B章）第5部</p>' in chinese
    assert "Cap. 109B" not in chinese
    done = browser.post(browser.action("/yes"))
    assert 'id="sent"' in done
    assert f'href="{VERIFIER}/return/1?response_code=abc"' in done
    assert len(world.verifier.answers) == 1
    assert "已提供" in browser.go("/log")
    browser.go(question)
    assert browser.status == 404


def test_what_a_birthday_left_out_is_told_to_the_holder_alone(world: World, browser: Browser) -> None:
    world.stocked("age-1.sd-jwt")
    assert "until the next refresh" not in browser.go("/") + browser.go("/card/age-1.sd-jwt")
    partial = {name: value for name, value in ADULT.items() if name != "age_over_18"}

    def values(_: int) -> dict[str, Value]:
        return partial

    world.issuer.mint = {"values": values}
    world.time += 86_400 * 8
    world.stocked("age-1.sd-jwt")
    for path in ("/", "/card/age-1.sd-jwt"):
        assert "until the next refresh" in browser.go(path)
    browser.go("/")
    page = browser.post("/open", link=world.verifier.ask(sd_query("age_over_18")))
    assert "Around a birthday" in page
    assert world.verifier.raw == []
    browser.post(browser.action("/no"))
    assert [type(answer) for answer in world.verifier.answers] == [VpRefusal]


def test_a_picture_of_the_code_is_as_good_as_the_link(world: World, browser: Browser) -> None:
    world.stocked("age-1.sd-jwt")
    picture = io.BytesIO(qr.png(world.verifier.ask(sd_query("age_over_18"))))
    page = browser.post("/open", picture=(picture, "code.png"))
    assert 'id="yes"' in page


@pytest.mark.hostile("P26")
def test_p26_over_asking_is_shown_and_cannot_be_agreed_to(world: World, browser: Browser) -> None:
    world.stocked("age-1.sd-jwt")
    page = browser.post("/open", link=world.verifier.ask(sd_query("age_over_18", "age_over_21")))
    assert 'id="refused"' in page
    assert "over_asking" in page
    assert "Bauhinia development verifier" in page
    assert "21 or over" in page
    assert "18 or over" not in page  # it is registered for that
    assert 'id="yes"' not in page
    assert "年滿21歲" in browser.go(f"{browser.path}?lang=zh-Hant")
    assert world.verifier.raw == []


@pytest.mark.hostile("V7")
def test_v7_no_is_one_button_whatever_is_held(world: World, browser: Browser) -> None:
    page = browser.post("/open", link=world.verifier.ask(sd_query("age_over_18")))
    assert 'id="yes"' not in page
    assert 'id="declined"' in browser.post(browser.action("/no"))
    world.stocked("age-1.sd-jwt")
    browser.go("/")
    browser.post("/open", link=world.verifier.ask(sd_query("age_over_18")))
    assert 'id="declined"' in browser.post(browser.action("/no"))
    assert world.verifier.answers[0] != world.verifier.answers[1]  # state differs, and nothing else:
    assert [type(said) for said in world.verifier.answers] == [type(world.verifier.answers[0])] * 2


@pytest.mark.hostile("W7")
@pytest.mark.parametrize("path", ["/open", "/lock", "/sync", "/unlock", "/offer/x", "/question/x/yes"])
def test_w7_a_form_from_elsewhere(browser: Browser, path: str) -> None:
    browser.text = ""
    browser.post(path, link="x")
    assert browser.status == 403
    assert "csrf_refused" in browser.text


@pytest.mark.hostile("W10")
def test_w10_nothing_pasted_becomes_markup(browser: Browser) -> None:
    page = browser.go("/?link=%22%3E%3Cscript%3Ealert(1)%3C/script%3E")
    assert "<script" not in page
    browser.post("/open", link="<script>alert(1)</script>")
    assert "<script" not in browser.text
    assert browser.status == 400


def test_a_link_that_is_none_is_refused(browser: Browser) -> None:
    browser.post("/open", link="https://example.com/")
    assert "uri_refused" in browser.text


def test_sync_and_lock(world: World, browser: Browser) -> None:
    world.stocked("age-1.sd-jwt")
    browser.go("/")
    assert "4 copies" in browser.post("/sync")
    browser.go("/")
    browser.post("/lock")
    assert browser.path == "/unlock"
    browser.go("/")
    assert browser.path == "/unlock"


class Timer:
    """A clock and the alarms set by it."""

    def __init__(self) -> None:
        self.time = 0.0
        self.alarms: list[tuple[float, Callable[[], None]]] = []

    def __call__(self, seconds: float, ring: Callable[[], None]) -> Timer.Set:
        entry = (self.time + seconds, ring)
        self.alarms.append(entry)
        return Timer.Set(self, entry)

    def sleep_until(self, time: float) -> None:
        while due := [entry for entry in self.alarms if entry[0] <= time]:
            entry = min(due, key=lambda one: one[0])
            self.alarms.remove(entry)
            self.time = max(self.time, entry[0])
            entry[1]()
        self.time = time

    class Set:
        def __init__(self, timer: Timer, entry: tuple[float, Callable[[], None]]) -> None:
            self.timer, self.entry = timer, entry

        def cancel(self) -> None:
            if self.entry in self.timer.alarms:
                self.timer.alarms.remove(self.entry)


def test_the_desk_locks_itself_and_forgets_although_nobody_comes(world: World, tmp_path: Path) -> None:
    timer = Timer()
    desk = Desk(lambda _: world.wallet, tmp_path, clock=lambda: timer.time, timer=timer)
    given = desk.unlock("p")
    offer = world.issuer.offer()
    ids = [desk.put(offer) for _ in range(KEPT + 1)]
    assert desk.get(ids[-1], Offer) == offer
    with pytest.raises(Exception, match="forgotten"):
        desk.get(ids[0], Offer)
    timer.sleep_until(IDLE - 1)
    assert desk.wallet(given.cookie, given.key) is world.wallet
    for cookie, key in (("another", given.key), (given.cookie, "another"), (given.key, given.cookie)):
        with pytest.raises(VaultLocked):
            desk.wallet(cookie, key)
    # A click puts it off, a cookie without the key does not; then the key is gone with no request at all.
    timer.sleep_until(IDLE)
    assert desk.returned(given.cookie) == (world.wallet, given)
    with pytest.raises(VaultLocked):
        desk.returned("another")
    assert world.vault.records("settings")
    timer.sleep_until(2 * IDLE - 1)
    with pytest.raises(VaultLocked, match="closed"):
        world.vault.records("settings")
    assert timer.alarms == []
    with pytest.raises(Exception, match="forgotten"):
        desk.get(ids[-1], Offer)
    with pytest.raises(VaultLocked):
        desk.wallet(given.cookie, given.key)


def test_the_desk_is_locked_at_the_next_click_too(world: World, tmp_path: Path) -> None:
    """A machine that slept may come back before its timers do."""
    timer = Timer()
    desk = Desk(lambda _: world.wallet, tmp_path, clock=lambda: timer.time, timer=timer)
    given = desk.unlock("p")
    timer.time = IDLE
    for action in (lambda: desk.returned(given.cookie), lambda: desk.wallet(given.cookie, given.key)):
        with pytest.raises(VaultLocked):
            action()
    assert timer.alarms == []


def test_the_real_timer_does_not_keep_the_process_alive() -> None:
    rang = threading.Event()
    timer = daemon_timer(0, rang.set)
    assert rang.wait(10)
    timer.cancel()
    other = daemon_timer(3600, rang.set)
    assert isinstance(other, threading.Timer)
    assert other.daemon
    other.cancel()


def test_chinese_pages_say_values_in_chinese(world: World, browser: Browser) -> None:
    def values(_: int) -> dict[str, Value]:
        return {
            "is_hk_resident": True,
            "residency_class": "right_of_abode",
            "permission_to_work": "any",
            "home_district": "WC",
        }

    world.issuer.mint["values"] = values
    world.stocked("residency-1.sd-jwt")
    for lang, words in (
        ("zh-Hant", ("居留權", "可從事任何工作", "灣仔區", "<dd>是</dd>")),
        ("en", ("Right of abode", "Any work", "Wan Chai", "<dd>Yes</dd>")),
    ):
        page = browser.go(f"/card/residency-1.sd-jwt?lang={lang}")
        for word in words:
            assert word in page
        for raw in ("right_of_abode", "<dd>any", "<dd>WC", "True"):
            assert raw not in page
    link = world.verifier.ask(sd_query("is_hk_resident", type="residency/1"), purpose="resident-discount")
    browser.go("/?lang=zh-Hant")
    assert "<dd>是</dd>" in browser.post("/open", link=link)
    browser.post(browser.action("/yes"))
    page = browser.go("/log")
    assert "香港居民" in page
    assert "is_hk_resident" not in page
    assert "residency/1" not in page


@pytest.mark.parametrize(
    ("copies", "days", "told"),
    [(6, 0, None), (5, 0, "low.copies"), (2, 0, "low.copies"), (6, 5, "low.time"), (6, 4, None)],
)
def test_the_pages_warn_early(
    world: World, browser: Browser, copies: int, days: int, told: str | None
) -> None:
    """At five copies, and two days before the window ends."""
    world.issuer.batch = copies
    world.time = midnight(world.time) + DAY
    world.stocked("age-1.sd-jwt")
    world.time += days * DAY
    for path in ("/", "/card/age-1.sd-jwt"):
        page = browser.go(path)
        for name in ("low.copies", "low.time"):
            assert (load_texts().text(f"wallet.{name}", "en") in page) == (name == told)


def test_what_is_gone_is_no_card_and_is_told(world: World, browser: Browser) -> None:
    world.issuer.batch = 2
    world.stocked("age-1.sd-jwt", "age-1.mdoc")
    for _ in range(2):
        browser.go("/")
        browser.post("/open", link=world.verifier.ask(sd_query("age_over_18")))
        browser.post(browser.action("/yes"))
    page = browser.go("/")
    assert 'id="gone-age-1.sd-jwt"' in page
    assert 'id="card-age-1.sd-jwt"' not in page
    assert "No copy can be shown now" in page
    browser.go("/card/age-1.sd-jwt")
    assert browser.status == 404


def test_a_revocation_is_told_on_the_pages(world: World, browser: Browser) -> None:
    world.issuer.refuse_refresh = True
    world.stocked("age-1.sd-jwt")
    (record,) = world.vault.records("batch")
    with world.vault.writing() as rows:
        rows.put("batch", {**record.body, "revoked": True}, id=record.id)
    page = browser.go("/")
    assert 'id="card-age-1.sd-jwt"' in page
    assert "The issuer revoked it" in page
    assert "0 copies left" in page


def test_an_answer_without_receipt_is_told(world: World, browser: Browser) -> None:
    world.stocked("age-1.sd-jwt")
    world.verifier.lose_after = 1
    browser.post("/open", link=world.verifier.ask(sd_query("age_over_18")))
    page = browser.post(browser.action("/yes"))
    assert 'id="sent"' in page
    assert 'id="unconfirmed"' in page
