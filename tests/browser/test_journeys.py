"""The journeys of people through the pages of all three parties, in a real Chromium with real processes."""

from __future__ import annotations

from pathlib import Path

import pytest
from browser_stage import PHONE, Stage

pytestmark = [pytest.mark.browser, pytest.mark.processes]


def accept(at: Stage, tx_code: str) -> None:
    """On the wallet's page of an offer: accept it, and see that copies came."""
    here = at.browser
    here.see("#accept")
    here.check_page()
    if tx_code:
        here.fill("#tx_code", tx_code)
    here.click("#accept")
    here.see(".card .good")
    here.check_page()


def answer(at: Stage, person: str, link: str) -> str:
    """In a new tab, a person's wallet agrees to what ``link`` asks; gives the path of the page after that."""
    here = at.browser
    here.new_tab()
    here.screen(PHONE)
    at.paste(person, link)
    here.click("#yes")
    here.see("main h1")
    return here.url


def verdict(at: Stage, counter: str) -> str:
    """Go back to the counter's tab, which turned over by itself; gives the outcome shown there."""
    here = at.browser
    here.to(counter)
    outcome = here.see("#verdict").get_attribute("data-outcome") or ""
    here.check_page()
    return outcome


# --- Issuer to wallet


def test_offers_are_accepted_as_a_link_and_as_a_picture_of_the_qr_code(stage: Stage, tmp_path: Path) -> None:
    here = stage.browser
    here.go(stage.machine.issuer_url)
    here.check_page()
    codes = stage.enrol()
    here.check_page()
    stage.sign_in(*codes)
    here.check_page()

    # 1. A link.
    link, tx_code = stage.offer("age-1")
    here.check_page()
    assert link.startswith("openid-credential-offer://")
    portal = here.driver.current_window_handle
    here.new_tab()
    here.screen(PHONE)
    stage.unlock("newcomer")
    here.check_page()
    assert here.count(".cards > .card") == 0
    stage.paste("newcomer", link)
    accept(stage, tx_code)
    stage.unlock("newcomer")
    assert [here.text(f"#card-age-1\\.{format} .copies")[:2] for format in ("sd-jwt", "mdoc")] == ["30", "30"]

    # 2. A picture of the code on the screen.
    wallet = here.driver.current_window_handle
    here.to(portal)
    _, tx_code = stage.offer("residency-1")
    picture = tmp_path / "offer.png"
    picture.write_bytes(here.see("svg.qr").screenshot_as_png)
    here.to(wallet)
    here.see("#picture").send_keys(str(picture))
    here.click("#open")
    accept(stage, tx_code)
    stage.unlock("newcomer")
    assert here.count(".cards > .card") == 4
    here.check_page()
    here.click("#card-age-1\\.sd-jwt a")
    here.see("dl.facts")
    here.check_page()
    here.to(portal)
    stage.sign_out()


def test_a_wallet_signs_in_at_the_issuer_and_the_browser_comes_back(stage: Stage) -> None:
    here = stage.browser
    codes = stage.enrol()
    stage.sign_in(*codes)
    link, tx_code = stage.offer("residency-1", grant="authorization-code")
    assert tx_code == ""
    stage.sign_out()
    stage.paste("newcomer", link)
    here.click("#sign-in")
    here.see("#go")
    here.check_page()
    here.click("#go")
    here.see("input[name=code_challenge] ~ label", patience=5)
    assert here.url.startswith(stage.machine.issuer_url)
    here.check_page()
    here.fill("#sign_in_code", codes[0])
    here.fill("#passcode", codes[1])
    here.click("main form button:not(.second)")
    here.see(".card .good")
    assert here.url.startswith(stage.wallets["newcomer"])


def test_a_lost_phone_is_reported_and_the_resident_enrolled_anew(stage: Stage) -> None:
    here = stage.browser
    codes = stage.enrol()
    stage.sign_in(*codes)
    here.click("form[action='/lost'] button")
    here.see("input[name=confirm] ~ p button")
    here.check_page()
    here.click("form[action='/lost'] button")
    here.see("#sign-in-code")
    assert here.text("#sign-in-code") != codes[0]
    here.go(stage.machine.issuer_url)
    here.see("#sign_in_code")


# --- Wallet to verifier


def test_the_cashier_sees_a_green_tick_when_the_customer_agreed(stage: Stage) -> None:
    here = stage.browser
    here.go(stage.machine.verifier_url)
    here.check_page()
    here.click("a[href='/counter/liquor18']")
    here.see("#start")
    here.check_page()
    link = stage.ask("liquor18")
    here.check_page()
    counter = here.driver.current_window_handle
    assert here.see("svg.qr").size["width"] > 240

    here.new_tab()
    here.screen(PHONE)
    stage.paste("adult", link)
    here.see("#yes")
    here.check_page()
    # Who asks, what for, which claims, what stays hidden: before anything is sent.
    assert "Bauhinia development verifier" in here.text("#who")
    assert "Registered" in here.text("#who")
    assert "before selling liquor" in here.text("#purpose")
    assert "Cap. 109B" in here.text("#purpose")
    assert here.text(".shown dl.facts") == "18 or over\nYes"
    here.click(".hidden-claims summary")
    assert "65 or over" in here.text(".hidden-claims ul")
    assert "18 or over" not in here.text(".hidden-claims ul")
    # Both decisions are in sight without scrolling.
    bottom = here.script("return document.querySelector('#yes').getBoundingClientRect().bottom")
    assert bottom <= PHONE[1]
    here.click("#yes")
    here.see("#sent")
    here.check_page()

    assert verdict(stage, counter) == "accepted"
    assert here.text("#verdict h1") == "Accepted"
    assert here.text("#learned") == "18 or over\nYes"
    here.click("#next")
    here.see("#waiting")


def test_a_picture_of_the_counters_qr_code_is_answered_too(stage: Stage, tmp_path: Path) -> None:
    here = stage.browser
    stage.ask("liquor18")
    counter = here.driver.current_window_handle
    picture = tmp_path / "request.png"
    picture.write_bytes(here.see("svg.qr").screenshot_as_png)
    here.new_tab()
    stage.unlock("adult")
    here.see("#picture").send_keys(str(picture))
    here.click("#open")
    here.click("#yes")
    here.see("#sent")
    assert verdict(stage, counter) == "accepted"


def test_a_fifteen_year_old_is_a_red_cross_with_the_reason(stage: Stage) -> None:
    here = stage.browser
    link = stage.ask("liquor18")
    counter = here.driver.current_window_handle
    answer(stage, "minor", link)
    here.check_page()
    assert verdict(stage, counter) == "refused"
    assert here.see("#reason").get_attribute("data-code") == "policy_not_met"
    assert here.text("#reason") == "The condition is not met."
    assert here.text("#learned") == "18 or over\nNo"


def test_an_old_status_list_is_amber(stage: Stage) -> None:
    here = stage.browser
    link = stage.ask("resident-discount")
    counter = here.driver.current_window_handle
    answer(stage, "adult", link)
    assert verdict(stage, counter) == "amber"
    assert "The list of revoked credentials dates from" in here.text("#verdict")


def test_over_asking_is_refused_by_the_wallet_with_the_reason(stage: Stage) -> None:
    here = stage.browser
    link = stage.ask("over-ask")
    counter = here.driver.current_window_handle
    here.new_tab()
    stage.paste("adult", link)
    assert here.see("#refused").get_attribute("data-code") == "over_asking"
    here.check_page()
    assert "asks for more than it is registered for" in here.text("#refused")
    assert here.text("#too-much ul").splitlines() == ["18 or over", "Date of birth", "Family name"]
    assert here.count("#yes") == 0
    here.click("header .lang")
    here.see("html[lang=zh-Hant]")
    assert "並無提供任何資料" in here.text("#refused")
    here.to(counter)
    here.see("#fetched")
    assert here.count("#verdict") == 0


def test_who_declines_shows_nothing(stage: Stage) -> None:
    here = stage.browser
    link = stage.ask("liquor18")
    counter = here.driver.current_window_handle
    here.new_tab()
    stage.paste("adult", link)
    here.click("#no")
    here.see("#declined")
    here.check_page()
    here.click("main a.button")
    here.click("header nav a:not(.lang)")
    here.see(".cards > .card .tag")
    here.check_page()
    assert "declined" in here.text(".cards > .card")
    assert verdict(stage, counter) == "refused"
    assert here.count("#learned") == 0


def test_on_one_device_the_browser_returns_to_the_verifiers_result(stage: Stage) -> None:
    here = stage.browser
    here.screen(PHONE)
    link = stage.ask("liquor18", start="#start-same")
    here.check_page()
    assert here.see("#open-wallet").get_attribute("href") == link
    counter, result = here.driver.current_window_handle, here.url
    answer(stage, "adult", link)
    back = here.see("#return")
    assert (back.get_attribute("href") or "").startswith(f"{stage.machine.verifier_url}/return/")
    # Not told to whoever looks on before the browser is back.
    wallet = here.driver.current_window_handle
    here.to(counter)
    assert here.count("#verdict") == 0
    here.to(wallet)
    here.click("#return")
    assert here.see("#verdict").get_attribute("data-outcome") == "accepted"
    assert here.url == result
