"""Commands: errors in two voices, exit codes, examples; and key files."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from pki_fixture import development_pki

from credentials.errors import (
    BauhiniaError,
    ConfigurationInvalid,
    FileUnreadable,
    PeerRefused,
    PortInUse,
    Revoked,
    StatusStale,
    StoreUnavailable,
    VaultLocked,
    VaultMissing,
    every_error,
)
from web.console import EXIT_CODES, CommandGroup, answer, ask, example, exit_code, json_option, progress
from web.keyfiles import (
    load_chain,
    load_public_jwk,
    load_signer,
    read_private_file,
    replace_file,
    write_private_file,
)


@click.group(cls=CommandGroup)
def group() -> None:
    """A group."""


@group.command(epilog=example("bauhinia group fail revoked"))
@click.argument("kind")
@json_option
def fail(kind: str, as_json: bool) -> int:
    """Fail in one of several ways."""
    errors: dict[str, Exception] = {
        "revoked": Revoked("the credential was revoked"),
        "stale": StatusStale("too old"),
        "fault": StoreUnavailable("locked", hint="try again"),
        "bug": ValueError("Q123456"),
    }
    if kind in errors:
        raise errors[kind]
    if kind == "ask":
        ask(lambda: click.confirm("Go on?"), option="--yes")
    if kind == "interrupt":
        raise KeyboardInterrupt
    answer({"kind": kind}, f"kind {kind}", as_json=as_json)
    return 3 if kind == "three" else 0


def run(*words: str) -> Result:
    return CliRunner().invoke(group, list(words))


@pytest.mark.parametrize(
    ("kind", "exit_code", "code"),
    [
        ("revoked", 1, "revoked"),
        ("stale", 3, "status_stale"),
        ("fault", 4, "store_unavailable"),
        ("bug", 4, "fault"),
    ],
)
def test_errors_have_an_exit_code_and_two_voices(kind: str, exit_code: int, code: str) -> None:
    told, machine = run("fail", kind), run("fail", kind, "--json")
    assert told.exit_code == machine.exit_code == exit_code
    assert "bauhinia: error: " in told.stderr
    said = json.loads(machine.stderr.splitlines()[-1])
    assert (said["ok"], said["error"]["code"]) == (False, code)
    assert "Q123456" not in told.output + machine.output


def test_hint_is_a_line_of_its_own() -> None:
    assert run("fail", "fault").stderr.splitlines() == ["bauhinia: error: locked", "hint: try again"]


def test_usage_is_exit_code_2() -> None:
    for words in (["fail"], ["nothing"], ["fail", "x", "--what"]):
        told = run(*words)
        assert told.exit_code == 2
        assert told.stderr.startswith("bauhinia: error: ")
    assert json.loads(run("fail", "--json").stderr)["error"]["code"] == "usage"


def test_answer_and_exit_code_of_a_command() -> None:
    assert (run("fail", "no").stdout, run("fail", "no").exit_code) == ("kind no\n", 0)
    assert (run("fail", "three", "--json").stdout, run("fail", "three").exit_code) == (
        '{"ok":true,"kind":"three"}\n',
        3,
    )
    assert "Example:\n    bauhinia group fail revoked" in run("fail", "--help").output


def test_what_the_answer_says_of_itself_stands() -> None:
    @group.command()
    def report() -> int:
        answer({"ok": False, "bad": 1}, as_json=True)
        return 1

    assert json.loads(run("report").stdout) == {"ok": False, "bad": 1}


def test_exit_codes_are_one_table_that_every_help_prints() -> None:
    assert set(EXIT_CODES) == {0, 1, 2, 3, 4, 130}
    assert {exit_code(error) for error in every_error()} == {1, 2, 3, 4}
    assert [exit_code(kind) for kind in (Revoked, PeerRefused, VaultLocked)] == [1, 1, 1]
    assert [exit_code(kind) for kind in (ConfigurationInvalid, FileUnreadable, PortInUse, VaultMissing)] == [
        2
    ] * 4
    assert [exit_code(kind) for kind in (StatusStale, StoreUnavailable)] == [3, 4]
    for words in (["fail", "--help"], ["--help"]):
        shown = run(*words).output
        assert all(f"{code} " in shown.split("Exit codes:")[1] for code in EXIT_CODES)
        assert "130 " in shown


def test_a_question_that_nobody_can_answer_names_the_option() -> None:
    told = run("fail", "ask")
    assert told.exit_code == 2
    assert "--yes" in told.stderr
    assert "interrupted" not in told.output
    assert CliRunner().invoke(group, ["fail", "ask"], input="n\n").exit_code == 0


def test_interrupted_is_130() -> None:
    assert run("fail", "interrupt").exit_code == 130


@pytest.mark.parametrize("error", every_error()[1:], ids=lambda error: error.code)
def test_every_error_says_what_to_do(error: type[BauhiniaError]) -> None:
    if error.code not in ("refused", "undetermined"):
        assert error.advice.endswith(".")


def test_progress_passes_items_through() -> None:
    assert list(progress(iter(range(3)), "label", 3)) == [0, 1, 2]


# --- key files


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    for name, content in development_pki().files().items():
        if name.startswith("verifier/"):
            write_private_file(tmp_path / name, content)
    return tmp_path / "verifier"


def test_signer_signs_and_knows_its_chain(keys: Path) -> None:
    signer = load_signer(keys / "access.crt", keys / "access.key")
    assert signer.chain == (development_pki().verifier.der,)
    assert len(signer.sign(b"x")) == 64


def test_key_that_others_can_read_is_refused(keys: Path) -> None:
    (keys / "access.key").chmod(0o640)
    with pytest.raises(ConfigurationInvalid) as caught:
        load_signer(keys / "access.crt", keys / "access.key")
    assert caught.value.hint.startswith("chmod 600")


def test_key_of_another_certificate_or_none(keys: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.key"
    write_private_file(other, development_pki().status.key_pem())
    with pytest.raises(ConfigurationInvalid):
        load_signer(keys / "access.crt", other)
    write_private_file(other, b"no key")
    with pytest.raises(ConfigurationInvalid):
        load_signer(keys / "access.crt", other)
    with pytest.raises(ConfigurationInvalid):
        load_chain(other)
    with pytest.raises(FileUnreadable):
        load_signer(tmp_path / "absent.crt", other)


def test_anchor_is_left_out_of_the_chain(tmp_path: Path) -> None:
    pki = development_pki()
    path = tmp_path / "chain.crt"
    path.write_bytes(pki.verifier.certificate_pem() + pki.root.certificate_pem())
    assert load_chain(path) == (pki.verifier.der,)


def test_trust_root_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "root.jwk"
    path.write_bytes(development_pki().files()["trust-root.jwk"])
    assert load_public_jwk(path).point == development_pki().trust_root.point


def test_replaced_whole_with_the_right_mode(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    replace_file(path, b"one")
    write_private_file(path, b"two")
    assert read_private_file(path) == b"two"
    assert (path.stat().st_mode & 0o777) == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["file"]
    with pytest.raises(FileUnreadable):
        replace_file(path / "below", b"x")
