"""``bauhinia issuer …``: names, answers for machines, exit codes, and what never appears in them."""

from __future__ import annotations

import json
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from issuer_fixture import Clock, write_pki
from pki_fixture import ISSUER, NOW, trust

from credentials.calendar import day_of
from credentials.errors import SignInRefused
from credentials.hkid import Hkid, of_body
from issuer.app import Place, create_app
from issuer.cli import issuer
from issuer.keyring import load_keyring
from issuer.population import demo_residents
from issuer.register_file import template
from issuer.store import Store
from openid4vc import oauth, vci
from revocation.token import open_token


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands read the system's clock; here it stands still at the moment of the test PKI."""
    monkeypatch.setattr("issuer.cli.system_clock", Clock())


@pytest.fixture
def trust_dir(tmp_path: Path) -> Path:
    return write_pki(tmp_path / "trust")


def run(*words: str | Path, typed: str | None = None) -> Result:
    return CliRunner().invoke(issuer, [str(word) for word in words], input=typed)


def read(*words: str | Path, typed: str | None = None) -> dict[str, Any]:
    result = run(*words, "--json", typed=typed)
    assert result.exit_code == 0, result.output
    answer: dict[str, Any] = json.loads(result.stdout)
    assert answer["ok"] is True
    return answer


def refused(result: Result, code: str, status: int = 1) -> dict[str, Any]:
    assert result.exit_code == status, result.output
    error: dict[str, Any] = json.loads(result.stderr)["error"]
    assert error["code"] == code
    return error


@pytest.fixture
def data(tmp_path: Path, trust_dir: Path) -> Path:
    target = tmp_path / "issuer"
    made = read("init", "--data", target, "--trust", trust_dir, "--base-url", ISSUER, "--residents", "20")
    assert made["residents"] == 20
    return target


def test_init_makes_private_files_and_a_first_publication(data: Path) -> None:
    for name in ("secrets.json", "settings.json", "issuer.sqlite", "register.sqlite"):
        assert stat.S_IMODE((data / name).stat().st_mode) == 0o600
    keys = list((data / "signers").glob("*.key"))
    assert keys
    assert all(stat.S_IMODE(key.stat().st_mode) == 0o600 for key in keys)
    assert (data / "published" / "trust-list.jwt").exists()
    assert (data / "published" / "status" / "index.json").exists()


def test_init_does_not_forget_an_issuer(data: Path, trust_dir: Path) -> None:
    before = load_keyring(Place(data).secrets)
    again = run("init", "--data", data, "--trust", trust_dir, "--base-url", ISSUER, "--json")
    refused(again, "configuration_invalid", 2)
    assert load_keyring(Place(data).secrets) == before


def test_production_refuses_development_keys(tmp_path: Path, trust_dir: Path) -> None:
    result = run(
        "init", "--data", tmp_path / "i", "--trust", trust_dir, "--base-url", ISSUER, "--production", "--json"
    )
    refused(result, "development_key_refused", 2)
    assert not (tmp_path / "i" / "settings.json").exists()


@pytest.mark.parametrize(
    "url", ["http://issuer.test", "https://issuer.test/path", "https://other.test", "ftp://localhost", "x"]
)
def test_init_takes_no_url_that_nobody_would_believe(tmp_path: Path, trust_dir: Path, url: str) -> None:
    result = run("init", "--data", tmp_path / "i", "--trust", trust_dir, "--base-url", url, "--json")
    error = json.loads(result.stderr)["error"]
    assert error["code"] == "configuration_invalid"
    if url == "https://other.test":
        assert ISSUER in error["hint"]
    assert not (tmp_path / "i").exists()


def test_an_init_that_fails_leaves_no_keys(tmp_path: Path, trust_dir: Path) -> None:
    (tmp_path / "i").mkdir()
    (tmp_path / "i" / "mine.txt").write_text("kept")
    bad = tmp_path / "bad.csv"
    bad.write_text("hkid\r\nQ123456(0)\r\n", encoding="utf-8")
    words = ("init", "--data", tmp_path / "i", "--trust", trust_dir, "--base-url", ISSUER, "--register", bad)
    refused(run(*words, "--json"), "register_row_invalid")
    assert [path.name for path in (tmp_path / "i").iterdir()] == ["mine.txt"]


def test_init_without_keys(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = run(
        "init", "--data", tmp_path / "i", "--trust", tmp_path / "empty", "--base-url", ISSUER, "--json"
    )
    assert "bauhinia trust init" in refused(result, "file_unreadable", 2)["hint"]


@pytest.mark.parametrize("url", [ISSUER, "https://other.test"])
@pytest.mark.parametrize("missing", ["issuer", "issuer trust-list.jwt", "issuer trust-root.jwk"])
def test_init_with_a_trust_folder_that_holds_no_issuer_keys(
    tmp_path: Path, trust_dir: Path, url: str, missing: str
) -> None:
    """Whatever else is wrong with it: that comes first."""
    for name in missing.split():
        (trust_dir / name).rename(tmp_path / name)
    result = run("init", "--data", tmp_path / "i", "--trust", trust_dir, "--base-url", url, "--json")
    error = refused(result, "file_unreadable", 2)
    assert "no issuer keys" in error["message"]
    assert "bauhinia trust init" in error["hint"]
    assert not (tmp_path / "i").exists()


def test_the_journey_by_command(data: Path) -> None:
    """enrol, offer, redeem over HTTP, revoke, publish: each command's answer feeds the next."""
    enrolled = read("enrol", "--data", data, "--person", "demo-adult")
    offer = read(
        "offer", "--data", data, "--enrolment", enrolled["enrolment"], "--types", "age/1,residency/1"
    )
    assert offer["configurations"] == [
        "age-1.sd-jwt", "age-1.mdoc", "residency-1.sd-jwt", "residency-1.mdoc"
    ]  # fmt: skip
    link = vci.parse_offer_link(offer["offer_uri"])
    assert isinstance(link, str)
    client = create_app(data, clock=Clock()).test_client()
    parsed = vci.parse_offer(client.get(link.removeprefix(ISSUER), base_url=ISSUER).data)
    assert parsed.pre_authorized is not None
    assert len(offer["tx_code"]) == 6
    revoked = read("revoke", "--data", data, "--enrolment", enrolled["enrolment"], "--type", "age/1")
    assert (revoked["revoked"], revoked["expire_by_themselves"]) == (0, ["age/1"])
    ended = read("revoke", "--data", data, "--enrolment", enrolled["enrolment"], "--all")
    assert ended["enrolment_ended"] is True
    anew = read("enrol", "--data", data, "--person", "demo-adult")
    assert anew["enrolment"] != enrolled["enrolment"]


def test_a_guardian_withdraws_the_consent(data: Path) -> None:
    minor = read("enrol", "--data", data, "--person", "demo-minor", "--guardian", "demo-adult")["enrolment"]
    read("offer", "--data", data, "--enrolment", minor, "--types", "age/1")
    withdrawn = read("revoke", "--data", data, "--enrolment", minor, "--consent")
    assert (withdrawn["consent_withdrawn"], withdrawn["revoked"]) == (True, 0)
    again = run("offer", "--data", data, "--enrolment", minor, "--types", "age/1", "--json")
    refused(again, "guardian_consent_missing")
    unknown = run("revoke", "--data", data, "--enrolment", "nobody", "--consent", "--json")
    refused(unknown, "enrolment_unknown")


def test_a_guardian_is_the_one_in_the_register(data: Path) -> None:
    """By name, by number on standard input after the person's own; a stranger's consent is none."""
    stranger = run("enrol", "--data", data, "--person", "demo-minor", "--guardian", "demo-exempt", "--json")
    refused(stranger, "guardian_consent_missing")
    unknown = run("enrol", "--data", data, "--person", "demo-minor", "--guardian", "nobody", "--json")
    refused(unknown, "person_unknown")
    adult, minor, _ = (person.identity for person in demo_residents(day_of(NOW)))
    assert isinstance(adult, Hkid)
    assert isinstance(minor, Hkid)
    typed = "".join(f"{number.body}({number.check})\n" for number in (minor, adult))
    read("enrol", "--data", data, "--hkid", "-", "--guardian", "-", typed=typed)
    with sqlite3.connect(data / "issuer.sqlite") as database:
        ((guardian, day),) = database.execute("SELECT guardian, consented FROM enrolments").fetchall()
    database.close()
    assert len(guardian) == 32
    assert (day + 8 * 3600) % 86_400 == 0


def test_consent_is_withdrawn_and_given_again(data: Path) -> None:
    words = ("--data", data, "--person", "demo-minor")
    read("enrol", *words, "--guardian", "demo-adult")
    assert read("revoke", *words, "--consent")["consent_withdrawn"] is True
    refused(run("offer", *words, "--types", "age/1", "--json"), "guardian_consent_missing")
    with sqlite3.connect(data / "issuer.sqlite") as database:
        assert database.execute("SELECT guardian, consented FROM enrolments").fetchall() == [(None, None)]
    database.close()
    read("enrol", *words, "--new-codes")
    refused(run("offer", *words, "--types", "age/1", "--json"), "guardian_consent_missing")
    read("enrol", *words, "--guardian", "demo-adult", "--new-codes")
    read("offer", *words, "--types", "age/1")


@pytest.mark.parametrize("by", ["person", "hkid", "reference"])
def test_a_lost_phone_at_the_counter(data: Path, by: str) -> None:
    """Nobody remembers an enrolment's id: the hint of a second enrolment names commands that work."""
    first = read("enrol", "--data", data, "--person", "demo-adult")["enrolment"]
    again = run("enrol", "--data", data, "--person", "demo-adult", "--json")
    hint = refused(again, "already_enrolled")["hint"]
    assert "bauhinia issuer revoke --data DIR --hkid - --all" in hint
    assert "bauhinia issuer enrol --data DIR --hkid - --new-codes" in hint
    adult = demo_residents(day_of(NOW)).adult.identity
    assert isinstance(adult, Hkid)
    typed = f"{adult.body}({adult.check})\n"
    opened = create_app(data, clock=Clock()).extensions["issuer"]
    who = {
        "person": ("--person", "demo-adult"),
        "hkid": ("--hkid", "-"),
        "reference": ("--reference", opened.register.find(adult)),
    }[by]
    read("offer", "--data", data, *who, "--types", "age/1", typed=typed)
    assert read("revoke", "--data", data, *who, "--all", typed=typed)["enrolment_ended"] is True
    refused(run("offer", "--data", data, *who, "--json", typed=typed), "enrolment_unknown")
    assert read("enrol", "--data", data, *who, typed=typed)["enrolment"] != first


def test_new_codes_unlock_a_sign_in(data: Path) -> None:
    old = read("enrol", "--data", data, "--person", "demo-adult")
    opened = create_app(data, clock=Clock()).extensions["issuer"]
    for _ in range(5):
        with pytest.raises(SignInRefused):
            opened.sign_in(old["sign_in_code"], "wrong")
    with pytest.raises(SignInRefused):
        opened.sign_in(old["sign_in_code"], old["passcode"])
    new = read("enrol", "--data", data, "--person", "demo-adult", "--new-codes")
    assert new["enrolment"] == old["enrolment"]
    assert opened.sign_in(new["sign_in_code"], new["passcode"]).id == old["enrolment"]
    with pytest.raises(SignInRefused):
        opened.sign_in(old["sign_in_code"], old["passcode"])
    nobody = run("enrol", "--data", data, "--person", "demo-exempt", "--new-codes", "--json")
    refused(nobody, "enrolment_unknown")


def test_a_revoked_type_is_withheld_until_it_is_lifted(data: Path) -> None:
    words = ("--data", data, "--person", "demo-adult")
    read("enrol", *words)
    assert read("revoke", *words, "--type", "residency/1")["withheld"] == ["residency/1"]
    error = refused(run("offer", *words, "--types", "residency/1", "--json"), "type_withheld")
    assert "--lift" in error["hint"]
    assert read("revoke", *words, "--type", "residency/1", "--lift")["lifted"] == 1
    read("offer", *words, "--types", "residency/1")


def test_publish_tells_of_lists_without_decoys(data: Path) -> None:
    assert read("publish", "--data", data)["out_of_decoys"] == 0
    with sqlite3.connect(data / "issuer.sqlite") as database:
        database.execute("UPDATE reserves SET flipped = length(indices) / 4 WHERE type = 'residency/1'")
    database.close()
    assert read("publish", "--data", data)["out_of_decoys"] > 0
    assert "no decoys left" in run("publish", "--data", data).stdout


def test_server_purges_while_nobody_asks(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every worker of `serve` forgets by itself, once a minute."""
    made: list[Any] = []
    monkeypatch.setattr("web.serving.serve", lambda factory, **_: made.append(factory))
    begun: list[tuple[float, Callable[[], object]]] = []
    monkeypatch.setattr("issuer.cli.every", lambda seconds, act, *, name: begun.append((seconds, act)))
    assert run("serve", "--data", data).exit_code == 0
    purged: list[int] = []
    monkeypatch.setattr(Store, "purge", lambda self, *, now: purged.append(now))
    made[0]()
    ((seconds, act),) = begun
    act()
    assert (seconds, purged) == (60, [NOW])


def test_commands_start_without_numpy() -> None:
    """It takes a tenth of a second, which only what makes lists should cost."""
    script = "import sys, issuer.cli; sys.exit('numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_serving_https_without_tls_files(data: Path) -> None:
    """An issuer whose keys came without TLS files says what to give."""
    shutil.rmtree(data / "tls")
    error = run("serve", "--data", data)
    assert error.exit_code != 0
    assert "--tls-cert" in error.stderr.partition("hint: ")[2]


def test_a_real_number_is_not_enrolled(data: Path) -> None:
    number = of_body("A123456")
    result = run("enrol", "--data", data, "--hkid", "-", "--json", typed=f"A123456({number.check})\n")
    refused(result, "real_number_refused")
    assert "A123456" not in result.output


def test_publish_signs_lists_that_verify(data: Path, tmp_path: Path) -> None:
    made = read("publish", "--data", data, "--out", tmp_path / "public")
    index = json.loads((tmp_path / "public" / "status" / "index.json").read_bytes())
    assert len(index["lists"]) == made["lists"] > 0
    for entry in index["lists"][:2]:
        for encoding in ("jwt", "cwt"):
            content = (tmp_path / "public" / entry[encoding]).read_bytes()
            assert open_token(content, encoding=encoding, trust=trust(), now=NOW).uri == entry["uri"]


def test_publish_with_a_newer_trust_list(data: Path, tmp_path: Path) -> None:
    newer = tmp_path / "newer.jwt"
    newer.write_bytes(b"newer")
    read("publish", "--data", data, "--trust-list", newer)
    assert (data / "published" / "trust-list.jwt").read_bytes() == b"newer"


def test_offer_by_value_for_signing_in(data: Path) -> None:
    enrolled = read("enrol", "--data", data, "--person", "demo-exempt")
    offer = read(
        "offer", "--data", data, "--enrolment", enrolled["enrolment"], "--types", "age/1",
        "--format", "mso_mdoc", "--grant", "authorization-code", "--by-value",
    )  # fmt: skip
    assert offer["tx_code"] is None
    parsed = vci.parse_offer_link(offer["offer_uri"])
    assert isinstance(parsed, vci.Offer)
    assert parsed.authorization_code is not None
    assert parsed.configuration_ids == ("age-1.mdoc",)


def test_offer_of_everything_the_person_may_have(data: Path) -> None:
    """A minor is offered age and residency, and no scheme for the old."""
    minor = read("enrol", "--data", data, "--person", "demo-minor", "--guardian", "demo-adult")
    offer = read("offer", "--data", data, "--enrolment", minor["enrolment"])
    slugs = {id.split(".")[0] for id in offer["configurations"]}
    assert {"age-1", "residency-1"} <= slugs
    assert not {"eligibility-two-dollar-60-1", "hkid-number-1"} & slugs
    more = read("offer", "--data", data, "--enrolment", minor["enrolment"], "--also", "hkid-number/1")
    assert {id.split(".")[0] for id in more["configurations"]} == slugs | {"hkid-number-1"}
    with_reason = run(
        "offer", "--data", data, "--enrolment", minor["enrolment"], "--types",
        "eligibility/two_dollar_60/1", "--json",
    )  # fmt: skip
    refused(with_reason, "not_entitled")


def test_a_guardian_is_needed(data: Path) -> None:
    error = refused(
        run("enrol", "--data", data, "--person", "demo-minor", "--json"), "guardian_consent_missing"
    )
    assert "--guardian" in error["hint"]
    text = run("enrol", "--data", data, "--person", "demo-minor")
    assert text.stderr.startswith("bauhinia: error: ")
    assert "\nhint: " in text.stderr


@pytest.mark.hostile("V9")
def test_v9_a_typed_number_is_not_repeated(data: Path) -> None:
    """By argument or standard input: neither the answer nor the refusal repeats it."""
    number = of_body("Q000004")
    typed = f"{number.body}({number.check})"
    first = run("enrol", "--data", data, "--hkid", "-", "--json", typed=f" {typed}\n")
    assert first.exit_code == 0, first.output
    again = run("enrol", "--data", data, "--hkid", typed, "--json")
    refused(again, "already_enrolled")
    wrong = run("enrol", "--data", data, "--hkid", f"{number.body}(0)", "--json")
    refused(wrong, "hkid_check_failed")
    stranger = of_body("Q999999")
    unknown = run("enrol", "--data", data, "--hkid", f"{stranger.body}({stranger.check})", "--json")
    refused(unknown, "person_unknown")
    for result in (first, again, wrong, unknown):
        assert number.body not in result.output
        assert stranger.body not in result.output


@pytest.mark.parametrize(
    "words",
    [
        ("enrol",),
        ("enrol", "--person", "demo-adult", "--hkid", "-"),
        ("enrol", "--person", "nobody"),
        ("revoke", "--enrolment", "x"),
        ("revoke", "--enrolment", "x", "--all", "--type", "age/1"),
        ("offer",),
        ("offer", "--enrolment", "x", "--person", "demo-adult"),
        ("revoke", "--enrolment", "x", "--lift"),
        ("revoke", "--enrolment", "x", "--all", "--lift"),
        ("revoke", "--enrolment", "x", "--type", "age/1", "--consent", "--lift"),
    ],
)
def test_wrong_usage(data: Path, words: tuple[str, ...]) -> None:
    refused(run(words[0], "--data", data, *words[1:], "--json"), "usage", 2)


@pytest.mark.parametrize("command", ["offer", "revoke"])
def test_unknown_enrolment_and_type(data: Path, command: str) -> None:
    extra = ("--types", "age/1") if command == "offer" else ("--all",)
    result = run(command, "--data", data, "--enrolment", "x", *extra, "--json")
    refused(result, "enrolment_unknown")
    flag = "--types" if command == "offer" else "--type"
    result = run(command, "--data", data, "--enrolment", "x", flag, "none/1", "--json")
    assert "age/1" in refused(result, "type_mismatch")["hint"]


def test_no_issuer_there(tmp_path: Path) -> None:
    error = refused(run("publish", "--data", tmp_path, "--json"), "file_unreadable", 2)
    assert "issuer init" in error["hint"]


# --- Register files


def test_a_register_file_checked_and_imported(data: Path, tmp_path: Path, trust_dir: Path) -> None:
    """A dry run reports every bad row by reason and changes nothing; an import is all or nothing."""
    good = tmp_path / "good.csv"
    good.write_text(template(), encoding="utf-8")
    assert read("register", good, "--data", data, "--dry-run")["imported"] is False
    assert read("register", good, "--data", data)["people"] == 1
    bad = tmp_path / "bad.csv"
    header, row = template().splitlines()[:2]
    bad.write_text(f"{header}\r\n{row}\r\nA123456(0){row[row.index(',') :]}\r\n", encoding="utf-8")
    result = run("register", bad, "--data", data, "--dry-run", "--json")
    report = json.loads(result.stdout)
    assert (result.exit_code, report["ok"]) == (1, False)
    assert {"row", "column", "reason"} == set(report["bad"][0])
    assert "A123456" not in result.output
    refused(run("register", bad, "--data", data, "--json"), "register_row_invalid")
    before = run(
        "init", "--data", tmp_path / "new", "--trust", trust_dir, "--base-url", ISSUER,
        "--register", bad, "--dry-run",
    )  # fmt: skip
    assert before.exit_code == 1
    assert "nothing was changed" in before.stdout
    assert not (tmp_path / "new").exists()
    made = read(
        "init", "--data", tmp_path / "new", "--trust", trust_dir, "--base-url", ISSUER, "--register", good
    )
    assert made["residents"] == 1


def test_every_command_has_help_with_an_example() -> None:
    assert set(issuer.commands) == {"init", "register", "enrol", "offer", "revoke", "publish", "serve"}
    for name in issuer.commands:
        result = run(name, "--help")
        assert result.exit_code == 0
        assert f"bauhinia issuer {name}" in result.output


def test_serving_reads_its_keys_before_the_port_opens(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The factory makes an application in each worker; --base-url replaces what init wrote."""
    called: dict[str, Any] = {}
    monkeypatch.setattr("web.serving.serve", lambda factory, **rest: called.update(rest, app=factory()))
    result = run("serve", "--data", data, "--base-url", "https://localhost:8701", "--workers", "1")
    assert result.exit_code == 0, result.output
    assert (called["name"], called["url"], called["host"]) == (
        "issuer",
        "https://localhost:8701",
        "127.0.0.1",
    )
    client = called["app"].test_client()
    metadata = client.get("/.well-known/oauth-authorization-server", base_url="https://localhost:8701")
    assert oauth.parse_authorization_server(metadata.data, issuer="https://localhost:8701")
    (data / "secrets.json").chmod(0o644)
    assert run("serve", "--data", data).exit_code == 2
