"""The commands: what they print, what they refuse, what they leave on disk."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from pki_fixture import development_pki
from wallet_parties import ADULT, TX_CODE, World, sd_query

from credentials.calendar import DAY, midnight
from credentials.errors import BauhiniaError
from credentials.model import Value
from openid4vc.vci import Offer, offer_link
from openid4vc.vpresponse import VpRefusal
from wallet import cli, opening
from wallet.exchange import Synced
from wallet.sealing import CHEAPEST
from wallet.vault import Vault
from wallet.wallet import Wallet

PASSPHRASE = "five synthetic words for testing"


class Machine:
    """The commands over the parties of ``world``, each run opening the vault anew."""

    def __init__(self, world: World, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.world = world
        self.data = folder / "wallet"
        self.trust = folder / "trust"
        for name, content in development_pki().files().items():
            if name.startswith("trust"):
                path = self.trust / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
        monkeypatch.setenv("BAUHINIA_PASSPHRASE", PASSPHRASE)
        monkeypatch.setenv("XDG_STATE_HOME", str(folder / "state"))
        monkeypatch.setattr(cli, "clock", world.clock)
        create = Vault.create

        def cheap(*args: Any, **options: Any) -> Vault:
            return create(*args, **{**options, "cost": CHEAPEST})

        monkeypatch.setattr(Vault, "create", cheap)
        monkeypatch.setattr(cli, "open_wallet", self.joined(opening.open_wallet))
        monkeypatch.setattr(cli, "restore_wallet", self.joined(opening.restore_wallet))

    def joined(self, make: Any) -> Any:
        def opened(*args: Any, **options: Any) -> Wallet:
            found: Wallet = make(*args, **options)
            world = self.world
            return Wallet(
                found.vault, world.egress(), found.catalogue, now=world.clock, pause=world.pauses.append
            )

        return opened

    def run(self, *words: str, stdin: str | None = None) -> Result:
        command = [words[0], "--data", str(self.data), *words[1:]]
        return CliRunner().invoke(cli.wallet, command, input=stdin)

    def json(self, *words: str) -> dict[str, Any]:
        result = self.run(*words, "--json")
        assert result.exit_code == 0, result.output
        found: dict[str, Any] = json.loads(result.stdout)
        assert found["ok"] is True
        return found

    def refused(self, *words: str) -> dict[str, Any]:
        result = self.run(*words, "--json")
        assert result.exit_code != 0
        found: dict[str, Any] = json.loads(result.stderr)["error"]
        return {**found, "exit": result.exit_code}


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    world = World(tmp_path / "world")
    world.issuer.batch = 30
    machine = Machine(world, tmp_path, monkeypatch)
    assert machine.run("init", "--trust", str(machine.trust)).exit_code == 0
    yield machine
    world.vault.close()


def offer(machine: Machine, *names: str) -> str:
    return offer_link(machine.world.issuer.offer(*names))


def test_the_journey_on_the_command_line(machine: Machine) -> None:
    got = machine.json("accept", offer(machine, "age-1.sd-jwt", "age-1.mdoc"), "--tx-code", TX_CODE)
    assert [item["copies"] for item in got["received"]] == [30, 30]
    listed = machine.json("list")
    assert {row["id"]: row["copies"] for row in listed["credentials"]} == {
        "age-1.sd-jwt": 30,
        "age-1.mdoc": 30,
    }
    assert listed["warnings"] == []
    assert machine.json("show", "age-1.mdoc")["claims"]["age_over_18"] is True
    assert machine.json("show", "age-1.sd-jwt")["claims"]["age_over_60"] is False
    link = machine.world.verifier.ask(sd_query("age_over_18"))
    asked = machine.json("present", link)
    assert asked["outcome"] == "asked"
    assert machine.world.verifier.raw == []
    done = machine.json("present", link, "--yes")
    assert (done["outcome"], done["claims"]) == ("shown", ["age_over_18"])
    assert done["verifier"]["zh-Hant"]
    events = [entry["event"] for entry in machine.json("log")["log"]]
    assert events == ["shown", "accepted", "accepted"]
    assert {row["id"]: row["copies"] for row in machine.json("list")["credentials"]}["age-1.sd-jwt"] == 29


def test_the_question_is_printed_and_answered_by_hand(machine: Machine) -> None:
    machine.json("accept", offer(machine), "--tx-code", TX_CODE)
    link = machine.world.verifier.ask(sd_query("age_over_18"))
    no = machine.run("present", link, stdin="n\n")
    assert no.exit_code == 1
    assert "Who asks" in no.stdout
    assert "查詢者" in no.stdout
    assert "liquor" in no.stdout
    assert "Cap. 109B, Part 5 / 《應課稅品（酒類）規例》（第109B章）第5部" in no.stdout
    assert "keeps hidden" in no.stdout
    assert "nothing was shown" in no.stderr
    assert len(machine.world.verifier.answers) == 1
    link = machine.world.verifier.ask(sd_query("age_over_18"))
    assert machine.run("present", link, stdin="y\n").exit_code == 0


def test_without_a_terminal_the_question_names_its_option(machine: Machine) -> None:
    link = machine.world.verifier.ask(sd_query("age_over_18"))
    for _ in range(2):
        told = machine.run("present", link, stdin="")
        assert (told.exit_code, machine.world.verifier.raw) == (2, [])
        assert "--yes" in told.stderr
        machine.json("accept", offer(machine), "--tx-code", TX_CODE)


def test_what_a_birthday_left_out_is_told(machine: Machine) -> None:
    machine.json("accept", offer(machine), "--tx-code", TX_CODE)
    assert machine.json("list")["credentials"][0]["awaited"] == []
    assert "next refresh" not in machine.run("list").stdout + machine.run("show", "age-1.sd-jwt").stdout
    machine.world.issuer.mint = {
        "values": lambda _: {name: value for name, value in ADULT.items() if name != "age_over_21"}
    }
    machine.world.time += 86_400
    machine.json("sync", "--all")
    assert machine.json("list")["credentials"][-1]["awaited"] == ["age_over_21"]
    assert machine.json("show", "age-1.sd-jwt")["awaited"] == ["age_over_21"]
    for words in (["list"], ["show", "age-1.sd-jwt"]):
        assert "some statements not available until the next refresh" in machine.run(*words).stdout


def test_over_asking_is_refused_with_a_hint(machine: Machine) -> None:
    machine.json("accept", offer(machine), "--tx-code", TX_CODE)
    link = machine.world.verifier.ask(sd_query("age_over_18", "age_over_21"))
    error = machine.refused("present", link, "--yes")
    assert (error["code"], error["exit"]) == ("over_asking", 1)
    assert "Nothing was sent" in error["hint"]
    assert machine.world.verifier.raw == []


def test_nothing_that_fits_is_told_as_no(machine: Machine) -> None:
    link = machine.world.verifier.ask(sd_query("age_over_18"))
    error = machine.refused("present", link, "--yes")
    assert error["code"] == "no_matching_credential"
    # Said to the holder alone: the verifier gets the one no that all reasons share.
    assert "birthday" in error["hint"]
    assert "wallet sync" in error["hint"]
    assert isinstance(machine.world.verifier.answers[0], VpRefusal)
    assert len(machine.world.verifier.answers) == 1
    assert len(machine.world.pauses) == 1


def test_signing_in_takes_two_commands(machine: Machine) -> None:
    from urllib.parse import parse_qs, urlsplit

    link = offer_link(Offer("https://issuer.test", ("age-1.sd-jwt",)))
    url = machine.json("accept", link, "--sign-in")["sign_in"]
    state = parse_qs(urlsplit(url).query)["state"][0]
    back = f"http://127.0.0.1:8403/signed-in?code=c&state={state}&iss=https://issuer.test"
    assert machine.json("accept", back)["received"][0]["copies"] == 30


def test_export_and_restore(machine: Machine, tmp_path: Path) -> None:
    machine.json("accept", offer(machine), "--tx-code", TX_CODE)
    file = tmp_path / "backup.bauhinia"
    assert machine.json("export", str(file))["issuers"] == 1
    assert file.stat().st_mode & 0o077 == 0
    assert b"issuer.test" not in file.read_bytes()
    machine.data = tmp_path / "new"
    restored = machine.json("restore", str(file))
    assert restored["sign_in"][0]["issuer"] == "https://issuer.test"
    assert restored["sign_in"][0]["url"].startswith("https://issuer.test/authorize?")
    assert machine.json("list")["credentials"] == []
    assert [entry["event"] for entry in machine.json("log")["log"]] == ["accepted"]
    assert machine.json("sync")["sign_in"] == [{"issuer": "https://issuer.test", "url": None}]


@pytest.mark.hostile("Y6")
def test_y6_restore_with_another_passphrase(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "backup.bauhinia"
    machine.json("export", str(file))
    machine.data = tmp_path / "new"
    monkeypatch.setenv("BAUHINIA_PASSPHRASE", "another")
    error = machine.refused("restore", str(file))
    assert (error["code"], error["exit"]) == ("backup_invalid", 1)
    assert not machine.data.exists()


@pytest.mark.hostile("Y4")
def test_y4_an_older_vault_put_back_is_refused_until_its_copies_are_discarded(machine: Machine) -> None:
    machine.json("accept", offer(machine), "--tx-code", TX_CODE)
    older = (machine.data / "vault.db").read_bytes()
    machine.json("present", machine.world.verifier.ask(sd_query("age_over_18")), "--yes")
    (machine.data / "vault.db").write_bytes(older)
    link = machine.world.verifier.ask(sd_query("age_over_18"))
    error = machine.refused("present", link, "--yes")
    assert error["code"] == "vault_rolled_back"
    assert "bauhinia wallet sync --discard-copies" in error["hint"]
    assert len(machine.world.verifier.answers) == 1
    done = machine.json("sync", "--discard-copies")
    assert [item["copies"] for item in done["received"]] == [30]
    assert len(machine.json("list")["credentials"]) >= 1
    machine.json("present", link, "--yes")


def test_wrong_passphrase(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BAUHINIA_PASSPHRASE", "wrong")
    error = machine.refused("list")
    assert (error["code"], error["exit"]) == ("vault_locked", 1)


def test_no_passphrase_and_no_terminal(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BAUHINIA_PASSPHRASE")
    assert machine.refused("list")["code"] == "configuration_invalid"


def test_a_second_init_is_refused(machine: Machine) -> None:
    assert machine.refused("init", "--trust", str(machine.trust))["code"] == "configuration_invalid"


@pytest.mark.parametrize("origin", ["https://example.com", "localhost:8701", "https://localhost:8701/path"])
def test_only_loopback_origins_are_allowed(machine: Machine, tmp_path: Path, origin: str) -> None:
    machine.data = tmp_path / "third"
    result = machine.refused("init", "--trust", str(machine.trust), "--allow-loopback", origin)
    assert result["code"] in {"configuration_invalid", "uri_refused"}


def test_no_wallet_here(machine: Machine, tmp_path: Path) -> None:
    machine.data = tmp_path / "nowhere"
    for words in (["list"], ["export", str(tmp_path / "x")], ["serve"]):
        result = machine.run(*words)
        assert result.exit_code == 2
        assert "hint: " in result.stderr


def test_every_command_has_an_example(machine: Machine) -> None:
    assert set(cli.wallet.commands) == {
        "init", "accept", "list", "show", "present", "sync", "log", "export", "restore", "serve",
    }  # fmt: skip
    for name, command in cli.wallet.commands.items():
        help = CliRunner().invoke(cli.wallet, [name, "--help"])
        assert "Example:" in help.output
        assert f"bauhinia wallet {name}" in help.output
        assert isinstance(command, click.Command)


def test_no_command_prints_a_claim_value_on_refusal(machine: Machine) -> None:
    machine.json("accept", offer(machine), "--tx-code", TX_CODE)
    link = machine.world.verifier.ask(sd_query("age_over_18", age_over_18=[False]))
    result = machine.run("present", link, "--yes")
    assert isinstance(result.exception, SystemExit | BauhiniaError)
    assert "True" not in result.output
    assert "true" not in result.output


def test_values_are_said_in_words(machine: Machine) -> None:
    def values(_: int) -> dict[str, Value]:
        return {"is_hk_resident": True, "home_district": "WC"}

    machine.world.issuer.mint["values"] = values
    machine.json("accept", offer(machine, "residency-1.sd-jwt"), "--tx-code", TX_CODE)
    shown = machine.run("show", "residency-1.sd-jwt").stdout
    assert "Home district / 居住地區: Wan Chai / 灣仔區" in shown
    assert "Yes / 是" in shown
    assert "True" not in shown
    assert machine.json("show", "residency-1.sd-jwt")["claims"]["home_district"] == "WC"
    query = sd_query("is_hk_resident", type="residency/1")
    asked = machine.run("present", machine.world.verifier.ask(query, purpose="resident-discount"), "--yes")
    assert asked.exit_code == 0
    assert "Yes / 是" in asked.stdout
    assert "True" not in asked.stdout
    log = machine.run("log").stdout
    assert "香港居民" in log
    assert "is_hk_resident" not in log
    assert "residency/1" not in log


def test_the_list_has_one_line_for_each_credential(machine: Machine) -> None:
    machine.json("accept", offer(machine), "--tx-code", TX_CODE)
    machine.world.time += DAY
    machine.json("sync", "--all")
    (row,) = machine.json("list")["credentials"]
    assert (row["id"], row["copies"], row["usable"], row["revoked"]) == ("age-1.sd-jwt", 60, True, False)
    assert machine.run("list").stdout.count("age-1.sd-jwt") == 1
    # The batch that ends last counts, and what has ended is gone.
    assert row["valid_until"] == midnight(machine.world.time) + 7 * DAY
    machine.world.time = row["valid_until"] - 1
    assert [row["copies"] for row in machine.json("list")["credentials"]] == [30]
    machine.world.time += 1
    listed = machine.json("list")
    assert listed["credentials"] == []
    assert [w["reason"] for w in listed["warnings"]] == ["gone"]


@pytest.mark.parametrize(
    ("copies", "days", "reason", "told"),
    [
        (6, 0, None, ""),
        (5, 0, "copies", "Few copies are left"),
        (6, 4, None, ""),
        (6, 5, "time", "It ends soon"),
    ],
)
def test_the_list_warns_early(
    machine: Machine, copies: int, days: int, reason: str | None, told: str
) -> None:
    """At five copies, and two days before the window ends."""
    machine.world.time = midnight(machine.world.time) + DAY
    machine.world.issuer.batch = copies
    machine.json("accept", offer(machine), "--tx-code", TX_CODE)
    machine.world.time += days * DAY
    assert [w["reason"] for w in machine.json("list")["warnings"]] == ([reason] if reason else [])
    printed = machine.run("list").stdout
    assert (told in printed) if told else ("wallet sync" not in printed)


def test_sync_tells_what_was_revoked(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.json("accept", offer(machine), "--tx-code", TX_CODE)

    def synced(*_: object, **options: object) -> Synced:
        return Synced(False, (), 0, (), ("residency-1.mdoc",))

    monkeypatch.setattr(cli, "sync", synced)
    assert machine.json("sync")["revoked"] == ["residency-1.mdoc"]
    assert "residency-1.mdoc: revoked by its issuer" in machine.run("sync").stdout
