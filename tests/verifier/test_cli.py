"""`bauhinia verifier …` as a person and a program call it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from pki_fixture import ISSUER, NOW, VERIFIER, development_pki, trust
from verifier_fixture import BOTH, Copy, Shop, issue, present

from bauhinia.trust import write_pki
from credentials.calendar import window
from credentials.catalog import load_catalogue
from openid4vc.vp import build_response, open_request, parse_request_link
from revocation.publish import publication, uri
from revocation.statuslist import StatusList
from verifier.app import load_config
from verifier.cli import verifier
from verifier.holdings import Synced
from verifier.holdings import sync as take
from verifier.store import Store


def run(*words: object) -> Result:
    return CliRunner().invoke(verifier, [str(word) for word in words])


def data_of(result: Result) -> dict[str, Any]:
    return dict(json.loads(result.stdout))


@pytest.fixture(scope="module")
def now() -> int:
    return int(time.time())


@pytest.fixture(scope="module")
def pki_folder(tmp_path_factory: pytest.TempPathFactory, now: int) -> Path:
    folder = tmp_path_factory.mktemp("trust")
    write_pki(development_pki(now=now), folder)
    return folder


@pytest.fixture
def shop_folder(pki_folder: Path, tmp_path: Path) -> Path:
    made = run("init", "--data", tmp_path / "shop", "--trust", pki_folder, "--base-url", VERIFIER, "--json")
    assert made.exit_code == 0, made.output
    return tmp_path / "shop"


def ask(shop: Path, policy: str, *words: str) -> dict[str, Any]:
    return data_of(run("request", "--data", shop, "--policy", policy, *words, "--json"))


def publish(folder: Path, now: int, *, issued: int | None = None, revoked: int | None = None) -> Path:
    pki = development_pki(now=now)
    lists: dict[str, StatusList] = {}
    for type_ in load_catalogue().types.values():
        if type_.revocable:
            lists[uri(ISSUER, type_.slug, window(now, type_.validity_days).start)] = StatusList.empty(1 << 17)
    if revoked is not None:
        for listed in lists.values():
            listed.set(revoked, 1)
    files = publication(
        lists, base=ISSUER, trust_list=pki.trust_list, issued=issued or now, signer=pki.status.signer
    )
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def answer_file(
    path: Path, shop: Path, asked: Mapping[str, Any], copy: Copy, names: list[str], now: int
) -> Path:
    """What a wallet without a network would carry to the verifier on a stick."""
    store = load_config(shop).store()
    jws = store.fetch(asked["request_uri"].rpartition("/")[2], now)
    store.close()
    link = parse_request_link(asked["link"])
    request = open_request(jws, link=link, trust=trust(development_pki(now=now), now), now=now)
    form = build_response(present(copy, request, names, now=now), request=request)
    path.write_text(json.dumps({"request": jws, "response": form}))
    return path


def test_init_makes_a_private_directory_and_says_the_key_once(shop_folder: Path) -> None:
    assert (shop_folder.stat().st_mode & 0o777) == 0o700
    for path in shop_folder.rglob("*"):
        if path.suffix in (".key", ".db"):
            assert (path.stat().st_mode & 0o777) == 0o600, path.name
    again = run("init", "--data", shop_folder, "--trust", shop_folder, "--base-url", VERIFIER, "--json")
    assert again.exit_code == 2
    assert json.loads(again.stderr)["error"]["code"] == "configuration_invalid"


@pytest.mark.parametrize("url", ["https://other.test", "http://verifier.test", "https://verifier.test/x"])
def test_init_takes_no_origin_that_wallets_would_not_answer(
    pki_folder: Path, tmp_path: Path, url: str
) -> None:
    made = run("init", "--data", tmp_path / "s", "--trust", pki_folder, "--base-url", url, "--json")
    assert json.loads(made.stderr)["error"]["code"] == "configuration_invalid"
    assert not (tmp_path / "s").exists()


def test_init_of_the_desk_asks_for_the_number_and_the_shop_does_not(
    shop_folder: Path, pki_folder: Path, tmp_path: Path
) -> None:
    words = ("--trust", pki_folder, "--base-url", VERIFIER, "--access", "desk", "--json")
    assert run("init", "--data", tmp_path / "desk", *words).exit_code == 0
    assert ask(tmp_path / "desk", "hkid-registration")["link"]
    refused = run("request", "--data", shop_folder, "--policy", "hkid-registration", "--json")
    assert "--access" in json.loads(refused.stderr)["error"]["hint"]


def test_init_that_fails_leaves_no_keys(pki_folder: Path, tmp_path: Path) -> None:
    policies = tmp_path / "policies"
    policies.mkdir()
    (policies / "bad.json").write_text("{}")
    words = ("--trust", pki_folder, "--base-url", VERIFIER, "--policies", policies, "--json")
    made = run("init", "--data", tmp_path / "s", *words)
    assert json.loads(made.stderr)["error"]["code"] == "configuration_invalid"
    assert not (tmp_path / "s").exists()


def test_init_refuses_development_keys_in_production(pki_folder: Path, tmp_path: Path) -> None:
    made = run(
        "init",
        "--data",
        tmp_path / "p",
        "--trust",
        pki_folder,
        "--base-url",
        VERIFIER,
        "--production",
        "--json",
    )
    assert made.exit_code == 2
    assert json.loads(made.stderr)["error"]["code"] == "development_key_refused"


def test_init_refuses_plain_http_away_from_loopback(pki_folder: Path, tmp_path: Path) -> None:
    made = run("init", "--data", tmp_path / "p", "--trust", pki_folder, "--base-url", "http://shop.test")
    assert made.exit_code == 2
    assert made.stderr.startswith("bauhinia: error: ")


@pytest.mark.parametrize("format", BOTH)
def test_request_verify_result(shop_folder: Path, tmp_path: Path, now: int, format: str) -> None:
    asked = data_of(
        run("request", "--data", shop_folder, "--policy", "liquor18", "--format", format, "--json")
    )
    assert asked["link"].startswith("openid4vp://?")
    waiting = run("result", asked["id"], "--data", shop_folder, "--json")
    assert (waiting.exit_code, data_of(waiting)["state"]) == (3, "created")
    copy = issue("age/1", {"age_over_18": True}, format, now=now, pki=development_pki(now=now))
    file = answer_file(tmp_path / "answer.json", shop_folder, asked, copy, ["age_over_18"], now)
    checked = run("verify", file, "--data", shop_folder, "--json")
    assert checked.exit_code == 0, checked.output
    assert data_of(checked)["disclosed"] == {"age/1": {"age_over_18": True}}
    # Once is once: the nonce is burned in the store.
    again = run("verify", file, "--data", shop_folder, "--json")
    assert again.exit_code == 1
    assert json.loads(again.stderr)["error"]["code"] == "nonce_replayed"
    told = run("result", asked["id"], "--data", shop_folder)
    assert told.exit_code == 0
    assert told.stdout.splitlines() == ["liquor18: accepted", "  age/1 age_over_18: yes"]


def test_verify_tells_refused_and_undetermined_apart(shop_folder: Path, tmp_path: Path, now: int) -> None:
    pki = development_pki(now=now)
    cases = [
        (
            "liquor18",
            issue("age/1", {"age_over_18": False}, "mso_mdoc", now=now, pki=pki),
            "age_over_18",
            1,
            "policy_not_met",
        ),
        (
            "resident-discount",
            issue("residency/1", {"is_hk_resident": True}, "mso_mdoc", index=3, now=now, pki=pki),
            "is_hk_resident",
            3,
            "status_unavailable",
        ),
    ]
    for policy, copy, name, exit_code, code in cases:
        asked = ask(shop_folder, policy)
        file = answer_file(tmp_path / f"{policy}.json", shop_folder, asked, copy, [name], now)
        checked = run("verify", file, "--data", shop_folder, "--json")
        assert (checked.exit_code, data_of(checked)["error_code"]) == (exit_code, code)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda file: {"response": file["response"]}, "request_object_invalid"),
        (lambda file: {"request": file["request"]}, "request_object_invalid"),
        (lambda file: {**file, "response": "text"}, "response_invalid"),
        (lambda file: {**file, "response": {"response": 1}}, "response_invalid"),
        (lambda file: {**file, "request": file["request"][:-8] + "AAAAAAAA"}, "signature_invalid"),
    ],
)
def test_verify_refuses_a_file_that_is_not_ours(
    shop_folder: Path, tmp_path: Path, now: int, change: Any, code: str
) -> None:
    """Refused before the nonce is touched: the good file is still good."""
    asked = ask(shop_folder, "liquor18")
    copy = issue("age/1", {"age_over_18": True}, "dc+sd-jwt", now=now, pki=development_pki(now=now))
    file = answer_file(tmp_path / "answer.json", shop_folder, asked, copy, ["age_over_18"], now)
    bad = tmp_path / "bad.json"
    bad.write_text(json.dumps(change(json.loads(file.read_text()))))
    refused = run("verify", bad, "--data", shop_folder, "--json")
    assert (refused.exit_code, json.loads(refused.stderr)["error"]["code"]) == (1, code)
    assert run("verify", file, "--data", shop_folder).exit_code == 0


def test_verify_refuses_a_request_of_another_verifier(shop_folder: Path, tmp_path: Path, now: int) -> None:
    """Signed well, by somebody else: their nonce proves nothing to us."""
    other = Shop(tmp_path / "other")
    asked = other.ask("liquor18")
    jws = other.store.fetch(asked["request_uri"].rpartition("/")[2], other.clock.now)
    file = tmp_path / "foreign.json"
    file.write_text(json.dumps({"request": jws, "response": {"response": "x"}}))
    refused = run("verify", file, "--data", shop_folder, "--json")
    assert json.loads(refused.stderr)["error"]["code"] == "client_id_invalid"


def test_sync_takes_over_all_or_nothing(shop_folder: Path, tmp_path: Path, now: int) -> None:
    """Newer is taken, older refused, and one spoiled file leaves everything as it was."""
    good = publish(tmp_path / "good", now)
    done = data_of(run("sync", "--data", shop_folder, "--from", good, "--json"))
    assert done["status_lists"] > 10
    held = (shop_folder / "published").resolve()

    older = publish(tmp_path / "older", now, issued=now - 3600)
    refused = run("sync", "--data", shop_folder, "--from", older, "--json")
    assert (refused.exit_code, json.loads(refused.stderr)["error"]["code"]) == (1, "status_list_rolled_back")

    spoiled = publish(tmp_path / "spoiled", now)
    last = sorted(spoiled.rglob("*.jwt"))[-1]
    last.write_bytes(last.read_bytes()[:-6] + b"AAAAAA")
    refused = run("sync", "--data", shop_folder, "--from", spoiled, "--json")
    assert refused.exit_code == 1
    assert (shop_folder / "published").resolve() == held
    assert len(list(held.rglob("*.cwt"))) * 2 == done["status_lists"]


def test_sync_keeps_what_a_mirror_holds_back(shop_folder: Path, tmp_path: Path, now: int) -> None:
    """The index is not signed: an empty one must not make a revoked credential an unknown one."""
    good = publish(tmp_path / "good", now)
    first = run("sync", "--data", shop_folder, "--from", good, "--json")
    assert (first.exit_code, data_of(first)["held_back"]) == (0, {"kept": [], "lost": []})
    lists, uris = data_of(first)["status_lists"], json.loads((good / "status/index.json").read_text())
    files = sorted(path.name for path in (shop_folder / "published/lists").iterdir())

    emptied = publish(tmp_path / "emptied", now)
    (emptied / "status/index.json").write_text('{"status_lists": [], "lists": []}')
    again = run("sync", "--data", shop_folder, "--from", emptied, "--json")
    assert again.exit_code == 3
    told = data_of(again)
    assert (told["status_lists"], told["held_back"]["lost"]) == (lists, [])
    assert told["held_back"]["kept"] == sorted(uris["status_lists"])
    assert again.stderr.count("bauhinia: warning: ") == len(uris["status_lists"])
    assert sorted(path.name for path in (shop_folder / "published/lists").iterdir()) == files

    # One list of many that is left out is worth a warning.
    index = json.loads((good / "status/index.json").read_text())
    (emptied / "status/index.json").write_text(json.dumps({**index, "lists": index["lists"][1:]}))
    most = run("sync", "--data", shop_folder, "--from", emptied, "--json")
    assert (most.exit_code, data_of(most)["held_back"]["kept"]) == (0, [index["lists"][0]["uri"]])
    assert most.stderr.count("bauhinia: warning: ") == 1

    whole = run("sync", "--data", shop_folder, "--from", good, "--json")
    assert (whole.exit_code, data_of(whole)["status_lists"]) == (0, lists)


def test_sync_of_an_old_list_does_not_drop_the_one_that_is_here(tmp_path: Path) -> None:
    """Expired at the mirror is as good as left out."""
    shop = Shop(tmp_path / "shop")
    shop.publish()
    held = len(list((shop.data / "published/lists").iterdir()))
    address = uri(ISSUER, "residency-1", window(NOW, 30).start)
    files = publication(
        {address: StatusList.empty(1 << 17)},
        base=ISSUER,
        trust_list=development_pki().trust_list,
        issued=NOW - 2 * 86400,
        signer=development_pki().status.signer,
    )
    done = take_over(files, shop, NOW)
    assert (done.stale, done.lists, done.lost) == (2, held, ())
    assert address in done.kept


@pytest.mark.parametrize(
    ("later", "kept", "lost"), [(3600, True, False), (37 * 3600, False, True), (31 * 86400, False, False)]
)
def test_list_that_is_left_out_is_kept_lost_or_over(
    tmp_path: Path, later: int, kept: bool, lost: bool
) -> None:
    """Kept while it holds; missed when it expired; not missed when its window is over."""
    shop = Shop(tmp_path / "shop")
    shop.publish()
    address = uri(ISSUER, "residency-1", window(NOW, 30).start)
    done = take_over(publication_without_lists(), shop, NOW + later)
    assert (address in done.kept, address in done.lost) == (kept, lost)


def publication_without_lists() -> dict[str, bytes]:
    pki = development_pki()
    return publication({}, base=ISSUER, trust_list=pki.trust_list, issued=NOW, signer=pki.status.signer)


def take_over(files: Mapping[str, bytes], shop: Shop, now: int) -> Synced:
    root = development_pki().trust_root
    return take(files.__getitem__, data=shop.data, root=root, numbers=shop.store, now=now)


@pytest.mark.parametrize("source", ["", " "])
def test_sync_from_nowhere_is_a_mistake(
    shop_folder: Path, tmp_path: Path, now: int, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    """An unset variable of a script is not the current folder."""
    monkeypatch.chdir(publish(tmp_path / "here", now))
    refused = run("sync", "--data", shop_folder, "--from", source, "--json")
    assert (refused.exit_code, json.loads(refused.stderr)["error"]["code"]) == (2, "usage")
    assert run("sync", "--data", shop_folder, "--from", ".").exit_code == 0


def test_sync_refuses_paths_out_of_the_publication(shop_folder: Path, tmp_path: Path, now: int) -> None:
    folder = publish(tmp_path / "mirror", now)
    index = json.loads((folder / "status/index.json").read_text())
    for path in ("../../secret", "/etc/passwd", "a//b", "a/./b", "%2e%2e/x", "x?y"):
        index["lists"][0]["jwt"] = path
        (folder / "status/index.json").write_text(json.dumps(index))
        refused = run("sync", "--data", shop_folder, "--from", folder, "--json")
        assert (refused.exit_code, json.loads(refused.stderr)["error"]["code"]) == (1, "status_list_invalid")


def test_running_server_sees_a_sync(tmp_path: Path) -> None:
    """The set on disk moves under a server that is up: its next check reads the new one."""
    shop = Shop(tmp_path / "shop")
    shop.publish()
    for revoked, expected in (({}, "accepted"), ({"residency/1": [8]}, "refused")):
        shop.clock.now += 60
        shop.publish(revoked)
        asked = shop.ask("resident-discount")
        copy = issue("residency/1", {"is_hk_resident": True}, "mso_mdoc", index=8)
        shop.answer(shop.fetch(asked["link"]), copy, ["is_hk_resident"])
        assert shop.result(asked["id"])["outcome"] == expected


def test_server_sweeps_while_nobody_asks(shop_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every worker of `serve` forgets by itself, once a minute."""
    made: list[Any] = []
    monkeypatch.setattr("web.serving.serve", lambda factory, **_: made.append(factory))
    begun: list[tuple[float, Callable[[], object]]] = []
    monkeypatch.setattr("verifier.cli.every", lambda seconds, act, *, name: begun.append((seconds, act)))
    assert run("serve", "--data", shop_folder).exit_code == 0
    swept: list[int] = []
    monkeypatch.setattr(Store, "sweep", lambda self, now: swept.append(now))
    made[0]()
    ((seconds, act),) = begun
    act()
    assert seconds == 60
    assert len(swept) == 1


def test_every_command_has_help_with_an_example() -> None:
    for name in verifier.commands:
        shown = run(name, "--help")
        assert shown.exit_code == 0
        assert f"bauhinia verifier {name}" in shown.output


@pytest.mark.parametrize(
    ("words", "exit_code", "code"),
    [
        (["request", "--policy", "liquor18"], 2, "usage"),
        (["request", "--data", "nowhere", "--policy", "x"], 2, "configuration_invalid"),
        (["nonsense"], 2, "usage"),
    ],
)
def test_errors_are_for_people_and_for_programs(words: list[str], exit_code: int, code: str) -> None:
    told = run(*words)
    assert told.exit_code == exit_code
    assert told.stderr.startswith("bauhinia: error: ")
    machine = run(*words, "--json")
    assert (machine.exit_code, json.loads(machine.stderr)["error"]["code"]) == (exit_code, code)
