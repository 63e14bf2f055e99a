"""The journey of the demo, step by step, each through the commands that a person would type.

A step is judged by what the parties answered; what it says is computed from that, never written beforehand.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx

from credentials.catalog import FORMAT_SLUGS, Catalogue, CredentialType, load_catalogue
from credentials.errors import PeerRefused

from .processes import CommandFailed, Machine, bauhinia

PEOPLE: Final[Mapping[str, str]] = {
    "adult": "an adult",
    "minor": "a 15-year-old",
    "exempt": "the holder of an exemption certificate",
}
NOT_MET: Final = "policy_not_met"
FORMATS: Final[Mapping[str, str]] = {"dc+sd-jwt": "SD-JWT VC", "mso_mdoc": "mdoc"}
RESIDENTS: Final = 200

OVER_ASK: Final[Mapping[str, Any]] = {
    "name": "over-ask",
    "version": 1,
    "title": {"en": "A curious shop", "zh-Hant": "好奇的店鋪"},
    "purpose": {"en": "Check your age, and know you better", "zh-Hant": "查核年齡並多加了解你"},
    "legal_basis": {"en": "none", "zh-Hant": "沒有"},
    "ask": [
        {"type": "age/1", "claims": ["age_over_18"], "expect": {"age_over_18": True}},
        {"type": "base/1", "claims": ["family_name", "birthdate"], "expect": {}},
    ],
    "freshness": {"green_seconds": 28800, "amber_seconds": 108000, "amber": "accept"},
    "request_seconds": 300,
    "retention_seconds": 900,
    "response_mode": "direct_post.jwt",
    "allow_unregistered": True,
}
"""A policy that no verifier is registered for: the demo's shop asks for a name and a birth date as well."""


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the demo. ``learned`` is what the verifier received, by credential type."""

    id: str
    format: str
    ok: bool
    outcome: str
    learned: Mapping[str, Any]
    error_code: str | None
    said: str

    def row(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "format": self.format,
            "ok": self.ok,
            "outcome": self.outcome,
            "learned": self.learned,
            "error_code": self.error_code,
            "said": self.said,
        }


def prepare(
    machine: Machine,
    note: Callable[[str], None],
    *,
    policies: Sequence[Mapping[str, Any]] = (OVER_ASK,),
    publish: Callable[[Machine], None] | None = None,
) -> dict[str, str]:
    """Keys, trust, register, servers, three wallets with every credential; gives the enrolments by person.

    ``policies`` go beside the verifier's own; ``publish`` stands in for :func:`publish_and_sync`.
    """
    note("Making keys, certificates and a trust list")
    urls = ("--issuer-url", machine.issuer_url, "--verifier-url", machine.verifier_url)
    bauhinia("trust", "init", "--data", str(machine.pki), *urls)
    folder = machine.folder / "policies"
    folder.mkdir()
    for policy in policies:
        (folder / f"{policy['name']}.json").write_text(json.dumps(policy), encoding="utf-8")
    pki = ("--trust", str(machine.pki))
    size = ("--residents", str(RESIDENTS), "--seed", "1")
    note(f"Starting issuer and verifier, with a register of {RESIDENTS} invented residents")
    with ThreadPoolExecutor(2) as pool:
        starts = [
            pool.submit(_start, machine, "issuer", pki, machine.issuer_url, size),
            pool.submit(_start, machine, "verifier", pki, machine.verifier_url, ("--policies", str(folder))),
        ]
        for start in starts:
            start.result()
        note(f"Enrolling {', '.join(PEOPLE.values())}; issuing every type in both formats")
        equipped = pool.map(partial(_equip, machine), PEOPLE)
        enrolments = dict(zip(PEOPLE, equipped, strict=True))
    (publish or publish_and_sync)(machine)
    return enrolments


def _start(machine: Machine, party: str, pki: Sequence[str], url: str, more: Sequence[str]) -> None:
    made = bauhinia(party, "init", "--data", machine.data(party), *pki, "--base-url", url, *more)
    machine.api_key = made.get("api_key", machine.api_key)
    machine.serve(party)


def _equip(machine: Machine, person: str) -> str:
    """Enrol one resident and fill their wallet."""
    issuer = ("--data", machine.data("issuer"))
    guardian = ("--guardian", "demo-adult") if person == "minor" else ()
    enrolment: str = bauhinia("issuer", "enrol", *issuer, "--person", f"demo-{person}", *guardian)[
        "enrolment"
    ]
    # Every type: the identity card number is offered to those alone who name it.
    number = ("--also", "hkid-number/1")
    offer = bauhinia("issuer", "offer", *issuer, f"--enrolment={enrolment}", *number)
    wallet = ("--data", machine.data(person))
    loopback = [
        part for url in (machine.issuer_url, machine.verifier_url) for part in ("--allow-loopback", url)
    ]
    authority = ("--ca", str(machine.certificate_authority))
    bauhinia("wallet", "init", *wallet, "--trust", str(machine.pki), *authority, *loopback)
    bauhinia("wallet", "accept", offer["offer_uri"], "--tx-code", offer["tx_code"], *wallet)
    return enrolment


def publish_and_sync(machine: Machine) -> None:
    """The issuer signs its lists; the verifier fetches them from the published files, ahead of time."""
    bauhinia("issuer", "publish", "--data", machine.data("issuer"))
    published = str(machine.folder / "issuer" / "published")
    bauhinia("verifier", "sync", "--data", machine.data("verifier"), "--from", published)


class Till:
    """A shop's till, which talks to its verifier over the REST API, and the people who come to it."""

    def __init__(self, machine: Machine, client: httpx.Client, format: str) -> None:
        self.machine = machine
        self.client = client
        self.format = format
        self.catalogue: Catalogue = load_catalogue()
        self.requests = f"{machine.verifier_url}/api/requests"
        self.key = {"Authorization": f"Bearer {machine.api_key}"}

    def ask(self, policy: str) -> dict[str, Any]:
        body = {"policy": policy, "format": self.format}
        return _answer(self.client.post(self.requests, json=body, headers=self.key))

    def result(self, request: Mapping[str, Any]) -> dict[str, Any]:
        return _answer(self.client.get(f"{self.requests}/{request['id']}", headers=self.key))

    def show(self, person: str, request: Mapping[str, Any], *more: str) -> dict[str, Any]:
        wallet = ("--data", self.machine.data(person), "--yes", *more)
        return bauhinia("wallet", "present", request["link"], *wallet)

    def visit(self, id: str, person: str, policy: str, *, code: str | None = None, when: str = "") -> Step:
        """One request, one answer, one result: accepted, or refused with ``code`` where that is given."""
        request = self.ask(policy)
        try:
            self.show(person, request)
        except CommandFailed as failed:
            # A verifier that refuses tells the wallet so; what counts is the result at the till.
            if failed.answer["error"]["code"] != "peer_refused":
                raise
        result = self.result(request)
        outcome, error, learned = str(result["outcome"]), result["error_code"], result["disclosed"]
        ok = (outcome, error) == (("refused", code) if code else ("accepted", None))
        said = f"{policy}, {PEOPLE[person]}{when}: {outcome}" + (f" ({error})" if error else "")
        return Step(id, self.format, ok, outcome, learned, error, f"{said}. {self.told(learned)}")

    def told(self, learned: Mapping[str, Any]) -> str:
        """What the verifier learned and what the same credential holds that it did not learn."""
        if not learned:
            return "The verifier learned no claim."
        parts: list[str] = []
        for type, claims in learned.items():
            kind: CredentialType = self.catalogue.types[type]
            shown = ", ".join(f"{name} = {json.dumps(value)}" for name, value in claims.items())
            hidden = [claim.name for claim in kind.claims if claim.name not in claims]
            more = f", and {len(hidden) - 3} more" if len(hidden) > 3 else ""
            rest = f"; not learned: {', '.join(hidden[:3])}{more}" if hidden else ""
            parts.append(f"The verifier learned {shown}{rest}.")
        return " ".join(parts)


def journey(machine: Machine, enrolments: Mapping[str, str]) -> Iterator[Step]:
    """All steps, each for both formats at once; the revocation comes after the rest."""
    with machine.client() as client, ThreadPoolExecutor(len(FORMATS)) as pool:
        tills = [Till(machine, client, format) for format in FORMATS]

        def both(act: Callable[[Till], Step]) -> Iterator[Step]:
            return pool.map(act, tills)

        yield from both(lambda till: till.visit("liquor18", "adult", "liquor18"))
        yield from both(lambda till: till.visit("liquor18-minor-refused", "minor", "liquor18", code=NOT_MET))
        yield from both(lambda till: till.visit("game-centre-under-16", "minor", "game-centre-under-16"))
        yield from both(lambda till: till.visit("two-dollar-60", "exempt", "two-dollar-60"))
        yield from both(over_ask)
        yield from both(replay)
        yield from both(lambda till: till.visit("resident-discount", "adult", "resident-discount"))
        revoked = bauhinia(
            *("issuer", "revoke", "--data", machine.data("issuer")),
            *(f"--enrolment={enrolments['adult']}", "--type", "residency/1"),
        )["revoked"]
        discount = ("adult", "resident-discount")
        when = f", {revoked} copies revoked but not published"
        yield from both(lambda till: till.visit("revoked-unpublished", *discount, when=when))
        publish_and_sync(machine)
        when = ", after publish and sync"
        yield from both(lambda till: till.visit("revoked-refused", *discount, code="revoked", when=when))
        refill = bauhinia("wallet", "sync", "--data", machine.data("adult"), "--all")["received"]
        yield from both(lambda till: refilled(till, refill))


def refilled(till: Till, received: Sequence[Mapping[str, Any]]) -> Step:
    """After the revocation the wallet asks for fresh copies of everything, and shows what it then has."""
    suffix = FORMAT_SLUGS[till.format]
    fresh = {item["configuration"]: item["copies"] for item in received}
    copies = fresh.get(f"residency-1.{suffix}", 0)
    others = sum(copies > 0 for name, copies in fresh.items() if name.endswith(f".{suffix}"))
    request = till.ask("resident-discount")
    code: str | None = None
    try:
        till.show("adult", request)
    except CommandFailed as failed:
        code = failed.answer.get("error", {}).get("code")
    result = till.result(request)
    learned: Mapping[str, Any] = result["disclosed"]
    ok = copies == 0 and others > 0 and code is not None and result["outcome"] != "accepted"
    said = (
        f"resident-discount, {PEOPLE['adult']}, after the wallet asked for fresh copies of everything: "
        f"{copies} of residency, {others} other credentials filled up; the wallet answered {code or 'all'}, "
        f"the till says {result['outcome']}. {till.told(learned)}"
    )
    return Step("revoked-refill-refused", till.format, ok, str(result["outcome"]), learned, code, said)


def over_ask(till: Till) -> Step:
    """A shop asks for a name and a birth date as well: the wallet refuses, and the shop gets nothing."""
    request = till.ask("over-ask")
    code: str | None = None
    try:
        till.show("adult", request)
    except CommandFailed as failed:
        code = failed.answer.get("error", {}).get("code")
    result = till.result(request)
    learned: Mapping[str, Any] = result["disclosed"]
    ok = code == "over_asking" and not learned and result["outcome"] != "accepted"
    outcome = "refused" if code else "sent"
    said = (
        f"over-ask, {PEOPLE['adult']}: the wallet answered {code or 'with everything'}. {till.told(learned)}"
    )
    return Step("over-ask-refused", till.format, ok, outcome, learned, code, said)


def replay(till: Till) -> Step:
    """The answer to one request is sent a second time, byte for byte."""
    request = till.ask("liquor18")
    file = till.machine.folder / f"answer-{len(till.format)}.json"
    till.show("adult", request, "--out", str(file))
    answer = json.loads(Path(file).read_text(encoding="utf-8"))
    first = till.client.post(answer["response_uri"], data=answer["response"])
    second = till.client.post(answer["response_uri"], data=answer["response"])
    code = second.json().get("code")
    ok = (
        first.status_code == 200
        and second.status_code >= 400
        and code in ("nonce_replayed", "request_consumed")
    )
    outcome = "refused" if second.status_code >= 400 else "accepted"
    said = (
        f"replay: sent once, HTTP {first.status_code}; the same bytes again, "
        f"HTTP {second.status_code} ({code}). The verifier learned nothing more."
    )
    return Step("replay-refused", till.format, ok, outcome, {}, code, said)


def _answer(response: httpx.Response) -> dict[str, Any]:
    body: dict[str, Any] = response.json()
    if response.status_code >= 400:
        raise PeerRefused(f"the verifier's API answered {response.status_code} {body.get('code')}")
    return body
