"""The parties as real processes on loopback: the demo, a killed issuer, storms of equal requests, no network.

Everything is bounded and ends by process id.
"""

from __future__ import annotations

import gc
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import cbor2
import httpx
import pytest

from bauhinia.processes import Machine, Server, bauhinia, machine
from credentials.calendar import day_of
from credentials.catalog import load_catalogue
from credentials.encoding import b64u, dump_json, load_json, unb64u
from credentials.errors import NetworkUnavailable
from issuer.app import Place, open_issuer
from issuer.office import Issuer
from issuer.population import demo_residents
from issuer.publishing import status_lists
from openid4vc import oauth, vci
from openid4vc.dpop import dpop_proof
from openid4vc.issuermetadata import IssuerMetadata
from openid4vc.oauth import PreAuthorizedGrant
from verifier.app import load_config
from wallet import exchange, opening, presenting
from wallet.issuing import IssuerClient
from wallet.records import StoredKey
from wallet.sealing import CHEAPEST
from wallet.vault import Vault
from wallet.wallet import Wallet
from web.egress import Egress, EgressPolicy, open_egress

# Python's ssl leaves a socket unclosed where the peer dies between connecting and the handshake (3.11: a
# reset in SSLSocket._create); these tests kill servers at just such moments.
pytestmark = [
    pytest.mark.processes,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

FORMATS: Final = ("dc+sd-jwt", "mso_mdoc")
STORM: Final = 100
KILLS: Final = 20
SOAK_KILLS: Final = 2000


def now() -> int:
    return int(time.time())


# --- The demo


@pytest.fixture(scope="module")
def demo() -> dict[str, Any]:
    run = subprocess.run(
        [sys.executable, "-m", "bauhinia", "demo", "--json"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-4000:]
    found: dict[str, Any] = json.loads(run.stdout)
    return found


def test_the_demo_is_all_right(demo: dict[str, Any]) -> None:
    assert demo["ok"] is True
    assert [step["id"] for step in demo["steps"] if not step["ok"]] == []
    assert Counter(step["format"] for step in demo["steps"]).keys() == set(FORMATS)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    ("id", "outcome", "learned", "codes"),
    [
        ("liquor18", "accepted", {"age/1": {"age_over_18": True}}, {None}),
        ("game-centre-under-16", "accepted", {"age/1": {"age_over_16": False}}, {None}),
        ("two-dollar-60", "accepted", {"eligibility/two_dollar_60/1": {"eligible": True}}, {None}),
        ("over-ask-refused", "refused", {}, {"over_asking"}),
        ("revoked-refused", "refused", {"residency/1": {"is_hk_resident": True}}, {"revoked"}),
        ("replay-refused", "refused", {}, {"nonce_replayed", "request_consumed"}),
    ],
)
def test_a_step_of_the_demo(
    demo: dict[str, Any], format: str, id: str, outcome: str, learned: dict[str, Any], codes: set[str | None]
) -> None:
    """What other programs build on: the id, once for each format, with what the verifier received."""
    (step,) = (one for one in demo["steps"] if (one["id"], one["format"]) == (id, format))
    assert (step["ok"], step["outcome"], step["learned"]) == (True, outcome, learned)
    assert step["error_code"] in codes


# --- Parties to play with


@dataclass
class Parties:
    """An issuer and a verifier as processes, and their stores, opened a second time from here."""

    machine: Machine
    issuer: Issuer
    enrolment: str
    servers: dict[str, Server] = field(default_factory=dict[str, Server])

    def egress(self) -> Egress:
        origins = frozenset({self.machine.issuer_url, self.machine.verifier_url})
        policy = EgressPolicy(production=False, loopback_origins=origins, seconds=20)
        return open_egress(policy, ca_file=str(self.machine.certificate_authority))

    def client(self) -> IssuerClient:
        return IssuerClient(
            self.machine.issuer_url,
            StoredKey.generate(),
            egress=self.egress(),
            now=now,
            randomness=os.urandom,
        )

    def redeemed(self, client: IssuerClient, ids: list[str]) -> tuple[IssuerMetadata, str]:
        """An access token for ``ids``, bound to the key of ``client``."""
        made = self.issuer.offer(self.enrolment, ids)
        metadata, server = client.metadata()
        grant = PreAuthorizedGrant(self.issuer.offer_code(made.id), made.tx_code)
        return metadata, client.token(server, grant).access_token

    def enrol_anew(self) -> None:
        """Everything revoked, as after a lost phone."""
        self.issuer.revoke(self.enrolment, end=True)
        adult = demo_residents(day_of(now())).adult
        self.enrolment = self.issuer.enrol(adult.identity).id

    def wallet(self, folder: Path, *ids: str) -> Wallet:
        origins = (self.machine.issuer_url, self.machine.verifier_url)
        ca = self.machine.certificate_authority
        settings = opening.settings_from(self.machine.pki, ca=ca, loopback_origins=origins, now=now())
        vault = Vault.create(
            folder / "vault.db", "pass", randomness=os.urandom, cost=CHEAPEST, stamp=folder / "stamp"
        )
        with vault.writing() as rows:
            rows.put("settings", settings.body())
        wallet = Wallet(vault, self.egress(), load_catalogue())
        made = self.issuer.offer(self.enrolment, ids)
        exchange.accept(wallet, exchange.open_offer(wallet, made.uri), tx_code=made.tx_code)
        return wallet


@pytest.fixture(scope="module")
def parties(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parties]:
    with machine(tmp_path_factory.mktemp("machine")) as made:
        urls = ("--issuer-url", made.issuer_url, "--verifier-url", made.verifier_url)
        bauhinia("trust", "init", "--data", str(made.pki), *urls)
        pki = ("--trust", str(made.pki))
        issuer = ("--base-url", made.issuer_url, "--residents", "20", "--seed", "1")
        bauhinia("issuer", "init", "--data", made.data("issuer"), *pki, *issuer)
        verifier = bauhinia(
            "verifier", "init", "--data", made.data("verifier"), *pki, "--base-url", made.verifier_url
        )
        made.api_key = verifier["api_key"]
        opened = open_issuer(Place(Path(made.data("issuer"))))
        adult = demo_residents(day_of(now())).adult
        enrolment = opened.enrol(adult.identity).id
        servers = {name: made.serve(name) for name in ("issuer", "verifier")}
        yield Parties(made, opened, enrolment, servers)
        opened.store.engine.dispose()
        gc.collect()


def kill(server: Server) -> None:
    """SIGKILL to the master and its workers, by process id; nobody gets to tidy up."""
    master = server.process.pid
    workers = Path(f"/proc/{master}/task/{master}/children").read_text().split()
    for pid in (master, *map(int, workers)):
        os.kill(pid, signal.SIGKILL)
    server.process.wait(10)


# --- kill -9 while issuing


@dataclass
class Asked:
    """One credential request, and its answer if one came back before the kill."""

    configuration: str
    body: dict[str, Any]
    answer: bytes | None = None


def status_of(credential: bytes, configuration: str) -> tuple[str, int]:
    """URI and index of a copy, as anybody reads them."""
    if configuration.endswith("sd-jwt"):
        payload = load_json(unb64u(credential.split(b"~")[0].split(b".")[1].decode()))
        found = payload["status"]["status_list"]
    else:
        mobile = cbor2.loads(cbor2.loads(unb64u(credential.decode()))["issuerAuth"][2])
        found = cbor2.loads(mobile.value)["status"]["status_list"]
    return str(found["uri"]), int(found["idx"])


class KillRun:
    """Rounds of issuing under fire. Everything that was acknowledged is written down on this side."""

    def __init__(self, parties: Parties, seed: int) -> None:
        self.parties = parties
        self.chance = random.Random(seed)
        types = ("residency-1", "base-1", "hkid-number-1", "eligibility-voter-gc-1", "eligibility-tsfs-1")
        self.ids = [f"{slug}.{suffix}" for slug in types for suffix in ("sd-jwt", "mdoc")]
        self.statuses: list[tuple[str, int]] = []
        self.keys = 0
        self.cut = self.acknowledged = 0

    def round(self) -> None:
        client = self.parties.client()
        metadata, token = self.parties.redeemed(client, self.ids)
        asked = [self.request(client, metadata) for _ in range(16)]

        def ask(one: Asked) -> None:
            try:
                one.answer = self.send(client, metadata, token, one)
            except NetworkUnavailable:
                one.answer = None

        with ThreadPoolExecutor(4) as pool:
            waiting = [pool.submit(ask, one) for one in asked]
            time.sleep(self.chance.uniform(0, 0.2))
            kill(self.parties.servers["issuer"])
            for done in waiting:
                done.result(60)
        self.parties.servers["issuer"] = self.parties.machine.serve("issuer")
        for one in asked:
            self.cut += one.answer is None
            self.acknowledged += one.answer is not None
            # The same request again: what was acknowledged is the same bytes, the rest is answered now.
            again = self.send(client, metadata, token, one)
            assert one.answer in (None, again)
            if one.answer is None:
                assert self.send(client, metadata, token, one) == again
            self.statuses.append(status_of(again, one.configuration))

    def request(self, client: IssuerClient, metadata: IssuerMetadata) -> Asked:
        id = self.chance.choice(self.ids)
        key, nonce = StoredKey.generate().holder(), client.nonce(metadata)
        proof = vci.proof_jwt(key, audience=client.issuer, nonce=nonce, now=now())
        self.keys += 1
        return Asked(id, vci.credential_request(vci.CredentialRequest(id, (proof,))))

    def send(self, client: IssuerClient, metadata: IssuerMetadata, token: str, one: Asked) -> bytes:
        (credential,) = client.credentials(metadata, token, one.body, expected=1).credentials
        return credential


def run_kills(parties: Parties, kills: int, seed: int) -> None:
    if not Path("/proc/self/task").is_dir():
        pytest.skip("not on CI: needs /proc to find the workers of a server")
    run = KillRun(parties, seed)
    for number in range(kills):
        run.round()
        if number % 30 == 29:  # before the bound on copies per person and window is reached
            parties.enrol_anew()
    # 1. The kills fell into requests, and requests got through.
    assert run.cut > 0
    assert run.acknowledged > 0
    # 2. No index was given out twice.
    assert len(set(run.statuses)) == len(run.statuses) == run.keys
    # 3. The store knows every copy that somebody holds: each can be revoked.
    parties.enrol_anew()
    lists = status_lists(parties.issuer)
    assert [lists[uri].get(index) for uri, index in run.statuses] == [1] * len(run.statuses)


def test_a_killed_issuer_loses_nothing(parties: Parties) -> None:
    """G1: kill -9 at a random moment of issuing, again and again."""
    run_kills(parties, KILLS, seed=1)
    gc.collect()


@pytest.mark.soak
def test_a_killed_issuer_loses_nothing_for_hours(parties: Parties) -> None:
    run_kills(parties, SOAK_KILLS, seed=now())


# --- Storms


def at_once(count: int, act: Callable[[], httpx.Response]) -> list[httpx.Response]:
    with ThreadPoolExecutor(count) as pool:
        return [one.result(60) for one in [pool.submit(act) for _ in range(count)]]


@pytest.mark.parametrize("format", FORMATS)
def test_a_storm_of_one_response_is_accepted_once(parties: Parties, tmp_path: Path, format: str) -> None:
    """G6: a hundred copies at once of an answer that is good."""
    wallet = parties.wallet(tmp_path, f"age-1.{'sd-jwt' if format == 'dc+sd-jwt' else 'mdoc'}")
    made = parties.machine
    store = load_config(Path(made.data("verifier"))).store()
    before = sum(row["checks"] for row in store.receipts())
    with made.client() as client:
        key = {"Authorization": f"Bearer {made.api_key}"}
        body = {"policy": "liquor18", "format": format}
        asked = client.post(f"{made.verifier_url}/api/requests", json=body, headers=key).json()
        question = presenting.look(wallet, asked["link"])
        ready = presenting.prepare(wallet, question)
        answers = at_once(STORM, lambda: client.post(question.request.response_uri, data=ready.fields))
        result = client.get(f"{made.verifier_url}/api/requests/{asked['id']}", headers=key).json()
    assert Counter(answer.status_code for answer in answers)[200] == 1
    refused = {answer.json()["code"] for answer in answers if answer.status_code != 200}
    assert refused == {"nonce_replayed"}
    assert (result["outcome"], result["disclosed"]) == ("accepted", {"age/1": {"age_over_18": True}})
    assert sum(row["checks"] for row in store.receipts()) == before + 1
    store.close()
    wallet.vault.close()


def test_a_storm_of_one_code_is_redeemed_once(parties: Parties) -> None:
    """G6: a hundred token requests at once with one pre-authorized code and its transaction code."""
    made = parties.issuer.offer(parties.enrolment, ["age-1.sd-jwt"])
    form = oauth.token_form(PreAuthorizedGrant(parties.issuer.offer_code(made.id), made.tx_code))
    url, key = f"{parties.machine.issuer_url}/token", StoredKey.generate().holder()

    def redeem() -> httpx.Response:
        jti = b64u(os.urandom(16))
        proof = dpop_proof(key, method="POST", url=url, now=now(), jti=jti, nonce=None, access_token=None)
        return client.post(url, data=form, headers={"DPoP": proof})

    with parties.machine.client() as client:
        answers = at_once(STORM, redeem)
    assert Counter(answer.status_code for answer in answers) == {200: 1, 400: STORM - 1}
    assert {answer.json()["error"] for answer in answers if answer.status_code == 400} == {"invalid_grant"}


def test_a_storm_of_one_credential_request_gets_one_answer(parties: Parties) -> None:
    """Equal requests at once, over two worker processes: one batch, the same bytes for everybody."""
    client = parties.client()
    metadata, token = parties.redeemed(client, ["residency-1.mdoc"])
    proof = vci.proof_jwt(
        StoredKey.generate().holder(), audience=client.issuer, nonce=client.nonce(metadata), now=now()
    )
    body = vci.credential_request(vci.CredentialRequest("residency-1.mdoc", (proof,)))

    def ask() -> bytes:
        return client.credentials(metadata, token, body, expected=1).credentials[0]

    with ThreadPoolExecutor(30) as pool:
        answers = [one.result(60) for one in [pool.submit(ask) for _ in range(30)]]
    assert len(set(answers)) == 1


# --- V3: a verifier that has no network


AUDITED = """
import sys
seen = []
network = ("socket.", "subprocess.", "os.system", "os.exec", "os.fork", "os.posix_spawn", "urllib.Request")
def hook(event, arguments):
    # ctypes runs ldconfig to find a C library while some package is imported: nothing leaves the machine.
    if event.startswith(network) and not str(arguments[:1]).endswith("ldconfig',)"):
        seen.append(event)
sys.addaudithook(hook)
from bauhinia.cli import main
try:
    main()
finally:
    print("network events:", sorted(set(seen)), file=sys.stderr)
"""


def audited(*arguments: str, before: tuple[str, ...] = ()) -> tuple[int, dict[str, Any], str]:
    """Run a command under an audit hook for its whole life: exit code, JSON answer, the hook's last line."""
    run = subprocess.run(
        [*before, sys.executable, "-c", AUDITED, *arguments, "--json"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    *said, events = run.stderr.strip().splitlines()
    return run.returncode, json.loads(run.stdout or said[-1]), events


def presentation_file(parties: Parties, folder: Path, format: str) -> Path:
    wallet = parties.wallet(folder, f"residency-1.{'sd-jwt' if format == 'dc+sd-jwt' else 'mdoc'}")
    verifier = ("--data", parties.machine.data("verifier"))
    bauhinia("issuer", "publish", "--data", parties.machine.data("issuer"))
    published = str(parties.machine.folder / "issuer" / "published")
    bauhinia("verifier", "sync", *verifier, "--from", published)
    asked = bauhinia("verifier", "request", "--policy", "resident-discount", "--format", format, *verifier)
    question = presenting.look(wallet, asked["link"])
    file = folder / "presentation.json"
    fields = presenting.prepare(wallet, question).fields
    file.write_bytes(dump_json({"request": question.request_object, "response": fields}))
    wallet.vault.close()
    return file


def no_network() -> tuple[str, ...]:
    """What runs a command in a network namespace of its own, or a skip."""
    for command in (("unshare", "-n"), ("unshare", "-rn")):
        try:
            if subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0:
                return command
        except FileNotFoundError:
            break
    pytest.skip("not on CI: this system lets nobody make a network namespace (unshare -n)")


@pytest.mark.hostile("V3")
@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("isolated", [False, True], ids=["audited", "unshare -n"])
def test_v3_verifying_a_file_needs_no_network(
    parties: Parties, tmp_path: Path, format: str, isolated: bool
) -> None:
    """The whole command, from its start to its end, and also where there is not even a loopback."""
    before = no_network() if isolated else ()
    file = presentation_file(parties, tmp_path, format)
    command = ("verifier", "verify", str(file), "--data", parties.machine.data("verifier"))
    code, answer, events = audited(*command, before=before)
    assert (code, answer["outcome"], answer["error_code"]) == (0, "accepted", None)
    assert answer["disclosed"] == {"residency/1": {"is_hk_resident": True}}
    assert answer["status"]["level"] == "fresh"
    assert events == "network events: []"
    code, answer, events = audited(*command, before=before)
    assert (code, answer["error"]["code"], events) == (1, "nonce_replayed", "network events: []")


@pytest.mark.hostile("V3")
def test_v3_the_audit_sees_a_command_that_does_use_the_network(parties: Parties) -> None:
    """Positive control: a sync over HTTP shows its sockets to the same hook, and fails without a network."""
    source = f"{parties.machine.issuer_url}/published"
    bauhinia("issuer", "publish", "--data", parties.machine.data("issuer"))
    sync = ("verifier", "sync", "--data", parties.machine.data("verifier"), "--from", source)
    code, _, events = audited(*sync)
    assert code == 0
    assert "'socket.connect'" in events
    assert "'socket.getaddrinfo'" in events
