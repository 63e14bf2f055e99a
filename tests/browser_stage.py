"""All parties as real processes and a real Chromium in front of them, for the browser tests and the pictures.

One browser serves everybody, as one person at one desk would use it: a tab a page, cookies apart by name.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from selenium import webdriver
from selenium.common.exceptions import TimeoutException, WebDriverException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from bauhinia.journey import OVER_ASK, RESIDENTS, prepare
from bauhinia.processes import PASSPHRASE, Machine, bauhinia, free_port, machine
from credentials import calendar
from issuer.app import Place, load_status_signer, open_issuer
from issuer.population import population
from issuer.publishing import publication, put

CHROMIUM: Final = shutil.which("chromium")
CHROMEDRIVER: Final = shutil.which("chromedriver")
MISSING: Final = "Chromium is missing: sudo apt-get install chromium chromium-driver fonts-noto-cjk"

PATIENCE: Final = 20
LIST_AGE: Final = 3600
"""Seconds by which the status lists of the stage are old: green for most policies, amber for one."""

STRICT_ABOUT_AGE: Final = {
    "name": "resident-discount",
    "version": 2,
    "title": {"en": "Resident's price", "zh-Hant": "居民優惠"},
    "purpose": {
        "en": "Check that you are a Hong Kong resident for a resident's price",
        "zh-Hant": "查核你是香港居民以享居民優惠",
    },
    "legal_basis": {
        "en": "Your consent; synthetic rule for the demonstration",
        "zh-Hant": "你的同意；規則為示範而虛構",
    },
    "ask": [{"type": "residency/1", "claims": ["is_hk_resident"], "expect": {"is_hk_resident": True}}],
    "freshness": {"green_seconds": 60, "amber_seconds": 108000, "amber": "accept"},
    "request_seconds": 300,
    "retention_seconds": 900,
    "response_mode": "direct_post.jwt",
}
"""The verifier's own policy, but a status list of one hour is amber already."""

_PAGE_CHECK: Final = (Path(__file__).parent / "browser" / "page_check.js").read_text(encoding="utf-8")

PHONE: Final = (390, 844)
SMALL_PHONE: Final = (360, 740)
COUNTER: Final = (1280, 800)


class Browser:
    """A Chromium, told what to do in few words; every wait is for something that the page shows."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver
        self.asked_for: set[str] = set()
        self.complaints: list[str] = []

    # --- going and looking

    def go(self, url: str) -> None:
        self.driver.get(url)

    @property
    def url(self) -> str:
        return self.driver.current_url

    def see(self, css: str, *, patience: float = PATIENCE) -> WebElement:
        """Wait for an element that is on the page and visible."""

        def shown(driver: webdriver.Chrome) -> WebElement | None:
            # The page may change between finding an element and looking at it: then look again.
            with contextlib.suppress(WebDriverException):
                for element in driver.find_elements(By.CSS_SELECTOR, css):
                    if element.is_displayed():
                        return element
            return None

        try:
            found = WebDriverWait(self.driver, patience, poll_frequency=0.05).until(shown)
        except TimeoutException as error:
            raise AssertionError(
                f"no {css} on {urlsplit(self.url).path}: {self.text('body')[:400]}"
            ) from error
        assert found is not None
        return found

    def text(self, css: str) -> str:
        return str(self.driver.find_element(By.CSS_SELECTOR, css).text)

    def count(self, css: str) -> int:
        return len(self.driver.find_elements(By.CSS_SELECTOR, css))

    def fill(self, css: str, text: str) -> None:
        field = self.see(css)
        field.clear()
        field.send_keys(text)

    def click(self, css: str) -> None:
        element = self.see(css)
        self.script("arguments[0].scrollIntoView({block: 'center'})", element)
        element.click()

    def script(self, code: str, *arguments: Any) -> Any:
        return self.driver.execute_script(code, *arguments)

    def check_page(self) -> None:
        """What must hold of every page, on a small phone, in both colour schemes, for fingers and eyes."""
        before = self.script("return [innerWidth, innerHeight]")
        problems: list[str] = []
        for scheme in ("dark", "light"):
            self.colours(scheme)
            self.screen(SMALL_PHONE)
            problems += [f"{scheme}: {problem}" for problem in self.script(_PAGE_CHECK)]
        self.screen((before[0], before[1]))
        assert not problems, f"{urlsplit(self.url).path}: {problems}"

    # --- tabs

    def new_tab(self) -> str:
        self.driver.switch_to.new_window("tab")
        return self.driver.current_window_handle

    def to(self, tab: str) -> None:
        self.driver.switch_to.window(tab)

    def start_afresh(self) -> None:
        """One tab with an empty page, no cookies, no complaints."""
        first, *others = self.driver.window_handles
        for tab in others:
            self.to(tab)
            self.driver.close()
        self.to(first)
        self.go("about:blank")
        self.command("Network.clearBrowserCookies", {})
        self.listen()
        self.complaints.clear()

    # --- the device

    def screen(self, size: tuple[int, int], *, scale: float = 1, mobile: bool = False) -> None:
        """The size of this tab's screen in CSS pixels."""
        width, height = size
        self.command(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": mobile},
        )

    def colours(self, scheme: str) -> None:
        """``light`` or ``dark``."""
        features = [
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        self.command("Emulation.setEmulatedMedia", {"features": features})

    def command(self, name: str, parameters: Mapping[str, Any]) -> Any:
        return self.driver.execute_cdp_cmd(name, dict(parameters))

    def press(self, *keys: str) -> None:
        webdriver.ActionChains(self.driver).send_keys(*keys).perform()

    def tab_to(self, css: str, *, at_most: int = 40) -> int:
        """Press Tab from the top of the page until the element has the focus; gives how often."""
        self.script(
            "const top = document.body; top.tabIndex = -1; top.focus(); top.removeAttribute('tabindex')"
        )
        for times in range(1, at_most + 1):
            self.press(Keys.TAB)
            if self.script("return document.activeElement.matches(arguments[0])", css):
                return times
        raise AssertionError(f"{css} is not reached by the keyboard")

    # --- what went on behind the page

    def listen(self) -> None:
        """Read both logs: what was requested, and what the console complained about."""
        for entry in self.driver.get_log("performance"):  # type: ignore[no-untyped-call]
            event = json.loads(entry["message"])["message"]
            if event["method"] == "Network.requestWillBeSent":
                self.asked_for.add(event["params"]["request"]["url"])
        self.complaints += [
            entry["message"]
            for entry in self.driver.get_log("browser")  # type: ignore[no-untyped-call]
            if entry["level"] in ("WARNING", "SEVERE")
        ]

    def hosts(self) -> set[str]:
        """Every origin that a page asked for anything so far."""
        self.listen()
        parts = map(urlsplit, self.asked_for)
        return {
            f"{part.scheme}://{part.netloc}"
            for part in parts
            if part.scheme not in ("data", "chrome", "about")
        }


@contextlib.contextmanager
def browser(folder: Path, certificate: Path) -> Iterator[Browser]:
    """A new Chromium that trusts the one TLS key of ``certificate`` beside the usual authorities."""
    key = x509.load_pem_x509_certificate(certificate.read_bytes()).public_key()
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    pin = base64.b64encode(hashlib.sha256(der).digest()).decode()
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for argument in (
        *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
        *("--disable-dev-shm-usage", "--hide-scrollbars", "--lang=en-US", "--window-size=1280,800"),
        f"--user-data-dir={folder}",
        f"--ignore-certificate-errors-spki-list={pin}",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(executable_path=str(CHROMEDRIVER)))
    try:
        driver.set_page_load_timeout(PATIENCE)
        yield Browser(driver)
    finally:
        driver.quit()


@dataclasses.dataclass
class Stage:
    """The machine, a browser, and where each person's wallet has its pages.

    ``newcomers`` are identity card numbers, as a person would type them, of synthetic residents who are in
    the register and not enrolled; the wallet ``newcomer`` is empty.
    """

    machine: Machine
    browser: Browser
    wallets: Mapping[str, str]
    newcomers: Iterator[str]

    @property
    def origins(self) -> set[str]:
        return {self.machine.issuer_url, self.machine.verifier_url, *self.wallets.values()}

    def unlock(self, person: str) -> None:
        """Open the front page of a person's wallet, with the passphrase where it is locked."""
        self.browser.go(self.wallets[person])
        self.browser.see("h1")
        if self.browser.count("#passphrase"):
            self.browser.fill("#passphrase", PASSPHRASE)
            self.browser.click("main button[type=submit]")
        self.browser.see("#link")

    def paste(self, person: str, link: str) -> None:
        """Open a link on the front page of a wallet."""
        self.unlock(person)
        self.browser.fill("#link", link)
        self.browser.click("#open")

    def ask(self, policy: str, *, start: str = "#start") -> str:
        """Begin a check on the counter's page; gives the link that its QR code holds."""
        self.browser.go(f"{self.machine.verifier_url}/counter/{policy}")
        self.browser.click(start)
        self.browser.see("#waiting")
        return str(self.browser.script("return document.querySelector('#link').textContent"))

    def enrol(self) -> tuple[str, str]:
        """Enrol a newcomer at the issuer's portal; gives the two codes that the page shows once."""
        here = self.browser
        here.go(self.machine.issuer_url)
        here.fill("#hkid", next(self.newcomers))
        here.click("form[action='/enrol'] button")
        here.see("#sign-in-code")
        return here.text("#sign-in-code"), here.text("#passcode")

    def sign_in(self, code: str, passcode: str) -> None:
        self.browser.go(self.machine.issuer_url)
        self.browser.fill("#sign_in_code", code)
        self.browser.fill("#passcode", passcode)
        self.browser.click("form[action='/sign-in'] button")
        self.browser.see("form[action='/offer']")

    def sign_out(self) -> None:
        self.browser.go(self.machine.issuer_url)
        self.browser.click("form[action='/sign-out'] button")
        self.browser.see("#sign_in_code")

    def offer(self, *slugs: str, grant: str = "pre-authorized") -> tuple[str, str]:
        """Make an offer on the portal's page, where the browser is; gives the link and the code."""
        here = self.browser
        here.go(self.machine.issuer_url)
        for slug in slugs:
            here.click(f"label:has(input[value='{slug}'])")
        here.click(f"label:has(input[value='{grant}'])")
        here.click("form[action='/offer'] button")
        link = here.see("#offer-link").get_attribute("href") or ""
        return link, here.text("#tx-code") if here.count("#tx-code") else ""


def publish_old_lists(parties: Machine) -> None:
    """Publish as an issuer whose clock is :data:`LIST_AGE` behind would, and let the verifier fetch it."""
    place = Place(Path(parties.data("issuer")))
    opened = open_issuer(place, clock=lambda: int(time.time()) - LIST_AGE)
    signer = load_status_signer(place, production=False)
    files = publication(opened, signer=signer, trust_list=place.trust_list.read_bytes())
    for _ in put(files, place.published):
        pass
    opened.store.engine.dispose()
    bauhinia("verifier", "sync", "--data", parties.data("verifier"), "--from", str(place.published))


def newcomers() -> Iterator[str]:
    """The numbers of the adults of the register after the people with a part."""
    today = datetime.now(UTC).astimezone(calendar.HONG_KONG).date()
    for person in islice(population(RESIDENTS, seed=1, today=today), 3, None):
        if person.hkid is not None and today.year - person.birth.year in range(25, 60):
            yield f"{person.hkid.body}({person.hkid.check})"


@contextlib.contextmanager
def stage(folder: Path, note: Callable[[str], None] = lambda _: None) -> Iterator[Stage]:
    """Everything, in a new folder; it all ends with the block."""
    with contextlib.ExitStack() as until_end:
        parties = until_end.enter_context(machine(folder))
        prepare(parties, note, policies=(OVER_ASK, STRICT_ABOUT_AGE), publish=publish_old_lists)
        # Cookies know no ports: what keeps three wallets on one machine apart is host and scheme.
        wallets = {
            "adult": f"https://localhost:{free_port()}",
            "minor": f"http://127.0.0.1:{free_port()}",
            "newcomer": f"https://127.0.0.1:{free_port()}",
        }
        loopback = [
            part for url in (parties.issuer_url, parties.verifier_url) for part in ("--allow-loopback", url)
        ]
        authority = ("--ca", str(parties.certificate_authority))
        bauhinia(
            *("wallet", "init", "--data", parties.data("newcomer"), "--trust", str(parties.pki)),
            *(*authority, *loopback),
        )
        for person, url in wallets.items():
            parties.serve_wallet(person, url)
        note("Starting Chromium")
        certificate = parties.pki / "tls" / "server.crt"
        chromium = until_end.enter_context(browser(folder / "chromium", certificate))
        yield Stage(parties, chromium, wallets, newcomers())
