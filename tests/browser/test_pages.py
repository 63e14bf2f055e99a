"""The pages themselves: two languages, two colour schemes, a keyboard, and nobody else on the line."""

from __future__ import annotations

import pytest
from browser_stage import PHONE, Stage
from selenium.webdriver.common.keys import Keys

pytestmark = [pytest.mark.browser, pytest.mark.processes]


def addresses(at: Stage) -> dict[str, str]:
    return {
        "issuer": at.machine.issuer_url,
        "verifier": f"{at.machine.verifier_url}/counter/liquor18",
        "wallet": f"{at.wallets['newcomer']}/unlock",
    }


@pytest.mark.parametrize(
    ("party", "english", "chinese"),
    [
        ("issuer", "Issuer of credentials", "證書發出機構"),
        ("verifier", "Liquor: 18 or over", "售酒：年滿18歲"),
        ("wallet", "Unlock the wallet", "開啟錢包"),
    ],
)
def test_every_party_speaks_two_languages_and_remembers(
    stage: Stage, party: str, english: str, chinese: str
) -> None:
    here = stage.browser
    here.go(addresses(stage)[party])
    assert here.text("h1") == english
    here.click("header .lang")
    here.see("html[lang=zh-Hant]")
    assert here.text("h1") == chinese
    here.check_page()
    here.go(addresses(stage)[party])
    assert here.text("h1") == chinese
    here.click("header .lang")
    here.see("html[lang=en]")
    assert here.text("h1") == english


@pytest.mark.parametrize("party", ["issuer", "verifier", "wallet"])
def test_the_dark_scheme_is_dark(stage: Stage, party: str) -> None:
    here = stage.browser
    here.go(addresses(stage)[party])
    shades: dict[str, int] = {}
    for scheme in ("light", "dark"):
        here.colours(scheme)
        colour = here.script("return getComputedStyle(document.body).backgroundColor")
        shades[scheme] = sum(int(part) for part in colour.removeprefix("rgb(").rstrip(")").split(","))
    here.colours("light")
    assert shades["light"] > 3 * 200
    assert shades["dark"] < 3 * 60


def test_a_check_is_made_with_the_keyboard_alone(stage: Stage) -> None:
    here = stage.browser
    here.go(addresses(stage)["verifier"])
    # The first stop leads past the navigation.
    assert here.tab_to(".skip") == 1
    here.tab_to("#start")
    here.press(Keys.ENTER)
    here.see("#waiting")
    link = here.script("return document.querySelector('#link').textContent")
    counter = here.driver.current_window_handle

    here.new_tab()
    here.screen(PHONE)
    stage.unlock("adult")
    here.tab_to("#link")
    here.press(link, Keys.ENTER)
    here.see("#yes")
    no, yes = here.tab_to("#no"), here.tab_to("#yes")
    assert no < yes
    outline = here.script("return getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    here.press(Keys.SPACE)
    here.see("#sent")
    here.to(counter)
    here.see("#verdict.accepted")
    here.tab_to("#next")


def test_the_verdict_is_read_from_two_metres(stage: Stage) -> None:
    here = stage.browser
    link = stage.ask("liquor18")
    counter = here.driver.current_window_handle
    here.new_tab()
    stage.paste("adult", link)
    here.click("#yes")
    here.see("#sent")
    here.to(counter)
    here.see("#verdict")
    sizes = here.script(
        """const box = (css) => document.querySelector(css).getBoundingClientRect();
        return [box(".sign").height, box(".word").height, box("#next").bottom, innerHeight]"""
    )
    sign, word, button, screen = sizes
    # At two metres a letter of 96 CSS pixels (about 25 mm) is four times what a sight test asks for.
    assert sign >= screen / 4
    assert word >= 90
    assert button <= screen


def test_the_answer_to_a_form_offers_no_language_that_would_lose_it(stage: Stage) -> None:
    stage.enrol()
    assert stage.browser.count("header .lang") == 0
    assert stage.browser.count("header .brand") == 1


def test_a_stranger_on_the_page_would_be_noticed(stage: Stage) -> None:
    here = stage.browser
    here.go(stage.machine.verifier_url)
    here.script("const picture = new Image(); picture.src = 'https://stranger.example/x.png'")
    here.script("const s = document.createElement('style'); s.textContent = 'p{}'; document.body.append(s)")
    here.listen()
    assert any("stranger.example" in complaint for complaint in here.complaints)
    assert any("Content Security Policy" in complaint for complaint in here.complaints)
    here.complaints.clear()
    here.asked_for = {url for url in here.asked_for if "stranger.example" not in url}


def test_the_check_of_a_page_sees_what_is_wrong(stage: Stage) -> None:
    here = stage.browser
    here.go(addresses(stage)["verifier"])
    here.check_page()
    here.script(
        """const add = (tag, style) => {
          const element = document.querySelector("main").appendChild(document.createElement(tag));
          element.textContent = "x";
          Object.assign(element.style, style);
        };
        add("p", {width: "900px"});
        add("button", {minHeight: "20px", height: "20px"});
        add("p", {color: "#777", background: "#888"});
        add("input", {});
        add("h1", {});"""
    )
    with pytest.raises(AssertionError) as caught:
        here.check_page()
    for expected in ("scrolls sideways", "small: button", "contrast 1.", "no label: input", "not one h1"):
        assert expected in str(caught.value)
