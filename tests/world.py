"""The whole system in memory: the real issuer, the real verifier and real wallets, joined by one HTTP client.

world = World(tmp_path)
adult = world.enrol(PEOPLE.adult)
wallet = world.new_wallet()
world.accept(wallet, adult, ["age-1.sd-jwt"])
world.check("liquor18", wallet)["outcome"]

No socket, no sleep: ``world.now`` is the time of all parties. Whatever crossed the wire is in ``exchanges``.
"""

from __future__ import annotations

import html
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
from flask import Flask
from issuer_fixture import PEOPLE, Desk
from pki_fixture import ISSUER, VERIFIER, development_pki
from verifier_fixture import Shop

from credentials.catalog import Catalogue, load_catalogue
from credentials.encoding import dump_json
from credentials.keys import software_sign
from credentials.trust import sign_trust_list
from issuer import publishing
from issuer.app import load_status_signer
from issuer.office import Enrolled, GrantType
from issuer.person import Person
from verifier.app import POLICIES
from verifier.holdings import replace as take_over
from verifier.holdings import sync
from wallet import exchange, presenting
from wallet.exchange import Received
from wallet.presenting import Outcome, Question
from wallet.records import Settings
from wallet.sealing import CHEAPEST
from wallet.vault import Vault
from wallet.wallet import Wallet
from web.egress import Egress, EgressPolicy

__all__ = ["PEOPLE", "World", "policy"]

FORMATS: Final[Mapping[str, str]] = {"dc+sd-jwt": "sd-jwt", "mso_mdoc": "mdoc"}
CATALOGUE: Final[Catalogue] = load_catalogue()


def policy(
    name: str, type: str, claims: Sequence[str], *, expect: Mapping[str, Any] | None = None, **members: Any
) -> dict[str, Any]:
    """A policy file of the verifier; answers come in the clear, so that all that is sent can be seen."""
    return {
        "name": name,
        "version": 1,
        "title": {"en": name, "zh-Hant": "測試"},
        "purpose": {"en": f"Test of {name}", "zh-Hant": "測試"},
        "legal_basis": {"en": "none: a test", "zh-Hant": "沒有：測試"},
        "ask": [{"type": type, "claims": list(claims), "expect": dict(expect or {})}],
        "freshness": {"green_seconds": 28800, "amber_seconds": 108000, "amber": "accept"},
        "request_seconds": 300,
        "retention_seconds": 900,
        "response_mode": "direct_post",
        **members,
    }


@cache
def registered(*names: str) -> bytes:
    """The trust list of the test PKI with purposes beside its own: each of ``names``, for every claim."""
    pki = development_pki()
    content: dict[str, Any] = json.loads(json.dumps(pki.content))
    content["sequence"] += 1
    everything = {type.name: [claim.name for claim in type.claims] for type in CATALOGUE.types.values()}
    for name in names:
        text = {"en": f"Test of {name}", "zh-Hant": "測試"}
        content["verifiers"][0]["purposes"].append(
            {
                "id": name,
                "text": text,
                "legal_basis": {"en": "none: a test", "zh-Hant": "沒有：測試"},
                "basis_code": "pcpd-2.3.1",
                "claims": everything,
            }
        )
    return sign_trust_list(content, software_sign(pki.list_key))


@dataclass(frozen=True)
class Exchange:
    """One request and its answer, as bytes."""

    host: str
    method: str
    path: str
    sent: bytes
    body: bytes
    status: int
    answered: bytes


class _Wire(httpx.BaseTransport):
    """One party's application; writes down what passes."""

    def __init__(self, app: Callable[[], Flask], seen: list[Exchange]) -> None:
        self._app, self._seen = app, seen

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = httpx.WSGITransport(app=self._app(), raise_app_exceptions=True).handle_request(request)
        content = answer.read()
        head = f"{request.method} {request.url}\n".encode() + _lines(request.headers)
        self._seen.append(
            Exchange(
                host=request.url.host,
                method=request.method,
                path=request.url.path,
                sent=head + request.content,
                body=request.content,
                status=answer.status_code,
                answered=_lines(answer.headers) + content,
            )
        )
        return httpx.Response(
            answer.status_code, headers=answer.headers.raw, stream=httpx.ByteStream(content), request=request
        )


def _lines(headers: httpx.Headers) -> bytes:
    return b"".join(name + b": " + value + b"\n" for name, value in headers.raw) + b"\n"


class _Nowhere(httpx.BaseTransport):
    def handle_request(self, request: httpx.Request) -> httpx.Response:
        raise AssertionError(f"a request left for {request.url.host}")


@dataclass
class World:
    """``policies`` come beside the verifier's own; it is registered for each of them."""

    folder: Path
    people: Sequence[Person] = ()
    policies: Sequence[Mapping[str, Any]] = ()
    exchanges: list[Exchange] = field(default_factory=list[Exchange])
    pauses: list[float] = field(default_factory=list[float])
    wallets: int = 0

    def __post_init__(self) -> None:
        self.desk = Desk(self.folder)
        register: Any = self.desk.issuer.register
        register.add(self.people)
        self.trust_list = registered(*(str(entry["name"]) for entry in self.policies))
        for entry in self.policies:
            self._write(entry)
        self.shop = Shop(self.folder / "shop")
        take_over(self.shop.data, self.trust_list, {})
        self.http = self.client()

    # --- time and wire

    @property
    def now(self) -> int:
        return self.shop.clock.now

    @now.setter
    def now(self, moment: int) -> None:
        self.desk.clock.now = self.shop.clock.now = moment

    def clock(self) -> int:
        return self.now

    def client(self) -> httpx.Client:
        """A way to both parties and to nobody else."""
        return httpx.Client(
            transport=_Nowhere(),
            mounts={
                ISSUER: _Wire(lambda: self.desk.app, self.exchanges),
                VERIFIER: _Wire(lambda: self.shop.app, self.exchanges),
            },
            trust_env=False,
        )

    # --- the issuer

    def enrol(self, person: Person, *, guardian: bool = False) -> Enrolled:
        return self.desk.issuer.enrol(person.identity, guardian=PEOPLE.adult.identity if guardian else None)

    def everything(self, enrolled: Enrolled, format: str) -> list[str]:
        """All configurations of one format that this person may have today."""
        issuable = self.desk.issuer.issuable(self.desk.store.enrolment(enrolled.id))
        return [f"{type.slug}.{FORMATS[format]}" for type in issuable]

    def publish(self) -> None:
        """The issuer signs its lists and puts them where it serves them."""
        files = publishing.publication(
            self.desk.issuer,
            signer=load_status_signer(self.desk.place, production=False),
            trust_list=self.trust_list,
        )
        for _ in publishing.put(files, self.desk.place.published):
            pass

    # --- the verifier

    def sync(self) -> None:
        """The verifier takes over what the issuer serves, over HTTP."""

        def read(path: str) -> bytes:
            answer = self.http.get(f"{ISSUER}/published/{path}")
            assert answer.status_code == 200, path
            return answer.content

        root = development_pki().trust_root
        sync(read, data=self.shop.data, root=root, numbers=self.shop.store, now=self.now)

    def ask(self, name: str, format: str | None = None) -> dict[str, Any]:
        body = {"policy": name} if format is None else {"policy": name, "format": format}
        answer = self.http.post(f"{VERIFIER}/api/requests", json=body, headers=self._key())
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def result(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        answer = self.http.get(f"{VERIFIER}/api/requests/{asked['id']}", headers=self._key())
        return dict(answer.json())

    def change(self, entry: Mapping[str, Any]) -> None:
        """The verifier takes another version of one of its policies, and is started again with it."""
        self._write(entry)
        old = self.shop
        old.store.close()
        self.shop = Shop(old.data, clock=old.clock, api_key=f"{old.api_key}+")

    def _write(self, entry: Mapping[str, Any]) -> None:
        path = self.folder / "shop" / POLICIES / f"{entry['name']}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(dump_json(entry))

    def _key(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.shop.api_key}"}

    # --- wallets

    def new_wallet(self) -> Wallet:
        """An empty wallet with the same way out as a real one, policy and all."""
        self.wallets += 1
        folder = self.folder / f"wallet-{self.wallets}"
        vault = Vault.create(
            folder / "vault.db",
            "four synthetic words only",
            randomness=os.urandom,
            cost=CHEAPEST,
            stamp=folder / "state" / "vault.stamp",
        )
        pki = development_pki()
        with vault.writing() as rows:
            rows.put("settings", Settings(pki.trust_root.jwk(), self.trust_list.decode(), 1, None, ()).body())
        egress = Egress(
            EgressPolicy(production=True, max_bytes=8 << 20), self.client(), resolve=lambda *_: ["8.8.8.8"]
        )
        return Wallet(vault, egress, CATALOGUE, now=self.clock, pause=self.pauses.append)

    def accept(
        self, wallet: Wallet, enrolled: Enrolled, ids: Iterable[str], *, sign_in: bool = False
    ) -> tuple[Received, ...]:
        """Offer and accept with a pre-authorized code, or by signing in in a browser."""
        kind: GrantType = "authorization-code" if sign_in else "pre-authorized"
        made = self.desk.issuer.offer(enrolled.id, list(ids), grant_type=kind)
        offer = exchange.open_offer(wallet, made.uri)
        if not sign_in:
            return exchange.accept(wallet, offer, tx_code=made.tx_code)
        return exchange.finish_sign_in(wallet, self.sign_in(exchange.begin_sign_in(wallet, offer), enrolled))

    def sign_in(self, url: str, enrolled: Enrolled) -> str:
        """Fill in the issuer's sign-in page as it stands; the address that the browser is sent to."""
        with self.client() as browser:
            page = browser.get(url)
            assert page.status_code == 200, page.text
            hidden = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page.text)
            form = {name: html.unescape(value) for name, value in hidden}
            form |= {"sign_in_code": enrolled.sign_in_code, "passcode": enrolled.passcode}
            origin = "{0.scheme}://{0.netloc}".format(urlsplit(url))
            answer = browser.post(f"{origin}/authorize", data=form, headers={"Origin": origin})
            assert answer.status_code == 303, answer.text
            return answer.headers["location"]

    def look(self, asked: Mapping[str, Any], wallet: Wallet) -> Question:
        return presenting.look(wallet, asked["link"])

    def show(self, asked: Mapping[str, Any], wallet: Wallet) -> Outcome:
        """The holder agrees at once."""
        return presenting.answer(wallet, self.look(asked, wallet))

    def check(self, name: str, wallet: Wallet, format: str | None = None) -> dict[str, Any]:
        """Ask, show, read the result at the till."""
        asked = self.ask(name, format)
        self.show(asked, wallet)
        return self.result(asked)
