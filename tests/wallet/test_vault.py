"""The vault at rest: what the file shows, what opens it, and that an older one does not come back."""

from __future__ import annotations

import base64
import json
import os
import resource
import shutil
import sqlite3
import stat
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from credentials.errors import BauhiniaError, VaultInvalid, VaultLocked, VaultRolledBack
from wallet.sealing import CHEAPEST, SMALLEST, SealBroken, pad, seal, unpad, unseal
from wallet.vault import Vault, stamp_path

PASSPHRASE = "nine bauhinia petals"
CANARY = "canary-7Qx9-blake-kowloon"


@pytest.fixture
def place(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / "vault" / "vault.db", tmp_path / "state" / "a.stamp"


def make(place: tuple[Path, Path]) -> Vault:
    return Vault.create(place[0], PASSPHRASE, randomness=os.urandom, cost=CHEAPEST, stamp=place[1])


def reopen(place: tuple[Path, Path], passphrase: str = PASSPHRASE, **options: Any) -> Vault:
    return Vault.open(place[0], passphrase, randomness=os.urandom, stamp=place[1], **options)


@pytest.fixture
def filled(place: tuple[Path, Path]) -> Iterator[Vault]:
    vault = make(place)
    with vault.writing() as rows:
        for number in range(3):
            rows.put("copy", {"spent": False, "number": number, "text": CANARY})
        rows.put("log", {"who": CANARY})
    yield vault
    vault.close()


def edit(path: Path, sql: str, *values: object) -> None:
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(sql, values)
    connection.close()


def header_of(path: Path) -> dict[str, Any]:
    connection = sqlite3.connect(path)
    (text,) = connection.execute("select json from header").fetchone()
    connection.close()
    header: dict[str, Any] = json.loads(text)
    return header


def test_what_was_put_is_there_after_reopening(filled: Vault, place: tuple[Path, Path]) -> None:
    filled.close()
    again = reopen(place)
    assert sorted(record.body["number"] for record in again.records("copy")) == [0, 1, 2]
    assert [record.body["who"] for record in again.records("log")] == [CANARY]
    with again.writing() as rows:
        first = again_id = rows.records("copy")[0].id
        rows.put("copy", {"spent": True}, id=first)
        rows.delete(rows.records("log")[0].id)
    assert [r.body for r in again.records("copy") if r.id == again_id] == [{"spent": True}]
    assert again.records("log") == []
    again.close()


def test_a_failed_block_changes_nothing(filled: Vault) -> None:
    def fail() -> None:
        with filled.writing() as rows:
            rows.put("copy", {"number": 99})
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert len(filled.records("copy")) == 3


def test_a_second_vault_does_not_overwrite_the_first(filled: Vault, place: tuple[Path, Path]) -> None:
    with pytest.raises(VaultInvalid):
        make(place)


def test_no_vault_here(place: tuple[Path, Path]) -> None:
    with pytest.raises(VaultInvalid) as caught:
        reopen(place)
    assert "init" in caught.value.hint


def test_a_file_that_is_no_vault(place: tuple[Path, Path]) -> None:
    place[0].parent.mkdir(parents=True)
    place[0].write_bytes(b"not a database " * 400)
    with pytest.raises(VaultInvalid):
        reopen(place)


def test_wrong_passphrase(filled: Vault, place: tuple[Path, Path]) -> None:
    with pytest.raises(VaultLocked) as caught:
        reopen(place, "another passphrase")
    assert caught.value.code == "vault_locked"
    assert "another" not in str(caught.value)


def test_passphrase_in_another_unicode_form(place: tuple[Path, Path]) -> None:
    Vault.create(place[0], "café", randomness=os.urandom, cost=CHEAPEST, stamp=place[1]).close()
    reopen(place, "cafe\u0301").close()


def test_a_closed_vault_answers_nothing(filled: Vault) -> None:
    filled.close()
    with pytest.raises(VaultLocked):
        filled.records("copy")


def test_the_file_shows_only_a_count_and_one_size(filled: Vault, place: tuple[Path, Path]) -> None:
    connection = sqlite3.connect(place[0])
    assert connection.execute("select name from sqlite_master where type='table' order by 1").fetchall() == [
        ("header",),
        ("rows",),
    ]
    columns = [row[1] for row in connection.execute("pragma table_info(rows)")]
    sizes = {row[0] for row in connection.execute("select length(sealed) from rows")}
    connection.close()
    assert columns == ["id", "sealed"]
    assert sizes == {SMALLEST + 24 + 16}


def test_many_threads_write_and_none_is_lost(filled: Vault) -> None:
    def work(number: int) -> None:
        for _ in range(5):
            with filled.writing() as rows:
                rows.put("note", {"number": number})

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(filled.records("note")) == 20


def test_two_open_handles_see_each_other(filled: Vault, place: tuple[Path, Path]) -> None:
    other = reopen(place)
    with other.writing() as rows:
        rows.put("note", {"by": "other"})
    with filled.writing() as rows:
        rows.put("note", {"by": "first"})
    assert len(other.records("note")) == 2
    other.close()


@pytest.mark.hostile("Y1")
@pytest.mark.parametrize("change", ["delete", "empty", "wrapped", "salt", "vault", "kdf", "extra", "types"])
def test_y1_passphrase_verifier_deleted_or_replaced(
    filled: Vault, place: tuple[Path, Path], change: str
) -> None:
    filled.close()
    header = header_of(place[0])
    if change == "delete":
        edit(place[0], "delete from header")
    else:
        altered: dict[str, Any] = {
            "empty": {},
            "wrapped": {**header, "wrapped": header["wrapped"][:-2] + "AA"},
            "salt": {**header, "salt": base64.urlsafe_b64encode(bytes(16)).decode().rstrip("=")},
            "vault": {**header, "vault": "00" * 16},
            "kdf": {**header, "kdf": "none"},
            "extra": {**header, "unlocked": True},
            "types": {**header, "salt": 7, "wrapped": [1]},
        }[change]
        edit(place[0], "update header set json = ?", json.dumps(altered))
    with pytest.raises(VaultLocked) as caught:
        reopen(place)
    assert caught.value.code == "vault_locked"


@pytest.mark.hostile("Y1")
def test_y1_header_of_another_vault(filled: Vault, place: tuple[Path, Path], tmp_path: Path) -> None:
    """A header whose passphrase the attacker knows opens; the rows do not."""
    filled.close()
    other = (tmp_path / "other.db", place[1])
    Vault.create(
        other[0], "attacker", randomness=os.urandom, cost=CHEAPEST, stamp=tmp_path / "other.stamp"
    ).close()
    edit(place[0], "update header set json = ?", json.dumps(header_of(other[0])))
    with pytest.raises(VaultInvalid) as caught:
        reopen(place, "attacker")
    assert caught.value.code == "vault_invalid"


@pytest.mark.hostile("Y2")
@pytest.mark.parametrize("member", ["operations", "memory"])
def test_y2_there_is_no_attempt_counter_and_the_cost_cannot_be_lowered(
    place: tuple[Path, Path], member: str
) -> None:
    from wallet.sealing import Cost

    cost = Cost(CHEAPEST.operations + 1, CHEAPEST.memory * 2)
    Vault.create(place[0], PASSPHRASE, randomness=os.urandom, cost=cost, stamp=place[1]).close()
    header = header_of(place[0])
    assert set(header) == {"version", "vault", "kdf", "operations", "memory", "salt", "wrapped"}
    header[member] = {"operations": CHEAPEST.operations, "memory": CHEAPEST.memory}[member]
    edit(place[0], "update header set json = ?", json.dumps(header))
    with pytest.raises(VaultLocked):
        reopen(place)


@pytest.mark.hostile("Y2")
def test_y2_a_cost_that_would_exhaust_the_machine_is_not_paid(
    filled: Vault, place: tuple[Path, Path]
) -> None:
    filled.close()
    header = {**header_of(place[0]), "memory": 1 << 45}
    edit(place[0], "update header set json = ?", json.dumps(header))
    with pytest.raises(VaultLocked):
        reopen(place)


@pytest.mark.hostile("Y3")
def test_y3_no_flag_opens_it_every_flipped_row_is_refused(filled: Vault, place: tuple[Path, Path]) -> None:
    connection = sqlite3.connect(place[0])
    rows = connection.execute("select id, sealed from rows").fetchall()
    connection.close()
    for key, sealed in rows:
        for position in (0, 30, len(sealed) - 1):
            flipped = bytearray(sealed)
            flipped[position] ^= 1
            edit(place[0], "update rows set sealed = ? where id = ?", bytes(flipped), key)
            with pytest.raises((VaultInvalid, VaultRolledBack)):
                filled.records("copy")
        edit(place[0], "update rows set sealed = ? where id = ?", sealed, key)
    assert len(filled.records("copy")) == 3


@pytest.mark.hostile("Y3")
def test_y3_rows_exchanged(filled: Vault, place: tuple[Path, Path]) -> None:
    connection = sqlite3.connect(place[0])
    (a, first), (b, second) = connection.execute(
        "select id, sealed from rows where id != ? limit 2", (bytes(16),)
    ).fetchall()
    connection.close()
    edit(place[0], "update rows set sealed = ? where id = ?", second, a)
    edit(place[0], "update rows set sealed = ? where id = ?", first, b)
    with pytest.raises((VaultInvalid, VaultRolledBack)):
        filled.records("copy")


@pytest.mark.hostile("Y4")
def test_y4_older_file_put_back(filled: Vault, place: tuple[Path, Path], tmp_path: Path) -> None:
    older = tmp_path / "older.db"
    shutil.copy(place[0], older)
    with filled.writing() as rows:
        copy = rows.records("copy")[0]
        rows.put("copy", {**copy.body, "spent": True}, id=copy.id)
    filled.close()
    shutil.copy(older, place[0])
    with pytest.raises(VaultRolledBack) as caught:
        reopen(place)
    assert caught.value.code == "vault_rolled_back"
    again = reopen(place, discard_copies=True)
    assert again.records("copy") == []
    assert len(again.records("log")) == 1
    again.close()
    reopen(place).close()


@pytest.mark.hostile("Y4")
def test_y4_older_row_put_back(filled: Vault, place: tuple[Path, Path]) -> None:
    copy = filled.records("copy")[0]
    connection = sqlite3.connect(place[0])
    (older,) = connection.execute(
        "select sealed from rows where id = ?", (bytes.fromhex(copy.id),)
    ).fetchone()
    connection.close()
    with filled.writing() as rows:
        rows.put("copy", {**copy.body, "spent": True}, id=copy.id)
    edit(place[0], "update rows set sealed = ? where id = ?", older, bytes.fromhex(copy.id))
    with pytest.raises(VaultRolledBack):
        filled.records("copy")
    with pytest.raises(VaultRolledBack), filled.writing():
        pass


@pytest.mark.hostile("Y4")
@pytest.mark.parametrize("change", ["removed", "altered", "of another vault"])
def test_y4_stamp_removed_or_changed(
    filled: Vault, place: tuple[Path, Path], tmp_path: Path, change: str
) -> None:
    if change == "removed":
        place[1].unlink()
    elif change == "altered":
        place[1].write_bytes(bytes(len(place[1].read_bytes())))
    else:
        other = tmp_path / "other.stamp"
        Vault.create(tmp_path / "o.db", PASSPHRASE, randomness=os.urandom, cost=CHEAPEST, stamp=other).close()
        shutil.copy(other, place[1])
    filled.close()
    with pytest.raises(VaultRolledBack):
        reopen(place)
    reopen(place, discard_copies=True).close()
    reopen(place).close()


def test_a_crash_between_commit_and_stamp_is_no_rollback(filled: Vault, place: tuple[Path, Path]) -> None:
    stamp = place[1].read_bytes()
    with filled.writing() as rows:
        rows.put("note", {})
    filled.close()
    place[1].write_bytes(stamp)
    again = reopen(place)
    assert len(again.records("note")) == 1
    again.close()


def test_the_stamp_does_not_show_how_often_the_vault_was_used(
    filled: Vault, place: tuple[Path, Path]
) -> None:
    before = place[1].read_bytes()
    with filled.writing() as rows:
        rows.put("note", {})
    after = place[1].read_bytes()
    assert len(before) == len(after) == 24 + 8 + 16
    assert (5).to_bytes(8, "big") not in after


def test_the_stamp_stands_apart_from_the_vault(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert stamp_path("ab") == tmp_path / "state" / "bauhinia" / "ab.stamp"


def _forms(canary: str) -> list[bytes]:
    raw = canary.encode()
    forms = [raw, raw[::-1], canary.encode("utf-16-le"), raw.hex().encode(), canary.upper().encode()]
    forms += [base64.b64encode(b"x" * shift + raw)[4:-4] for shift in range(3)]
    forms += [base64.urlsafe_b64encode(b"x" * shift + raw)[4:-4] for shift in range(3)]
    return forms


@pytest.mark.hostile("Y5")
def test_y5_no_canary_in_file_journal_or_temporary_file(
    filled: Vault, place: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setenv("SQLITE_TMPDIR", str(temporary))
    seen: list[bytes] = []

    def look() -> None:
        for folder in (place[0].parent, place[1].parent, temporary):
            seen.extend(file.read_bytes() for file in folder.iterdir() if file.is_file())

    with filled.writing() as rows:
        for number in range(200):
            rows.put("copy", {"text": CANARY, "number": number})
        look()  # while the journal is there
        for record in rows.records("copy")[::2]:
            rows.delete(record.id)
    look()
    filled.close()
    look()
    assert len(seen) > 4
    for content in seen:
        assert not [form for form in _forms(CANARY) if form in content]
        assert PASSPHRASE.encode() not in content
    assert sorted(file.name for file in place[0].parent.iterdir()) == ["vault.db"]


@pytest.mark.hostile("Y5")
def test_y5_core_dumps_are_off(filled: Vault) -> None:
    assert resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)


@pytest.mark.hostile("Y5")
def test_y5_deleted_rows_are_overwritten(filled: Vault, place: tuple[Path, Path]) -> None:
    connection = sqlite3.connect(place[0])
    sealed = [row[0] for row in connection.execute("select sealed from rows where id != ?", (bytes(16),))]
    connection.close()
    with filled.writing() as rows:
        for record in rows.records("copy") + rows.records("log"):
            rows.delete(record.id)
    content = place[0].read_bytes()
    assert not [text for text in sealed if text[100:600] in content]


@pytest.mark.hostile("Y6")
@pytest.mark.parametrize("version", [0, 2, "1"])
def test_y6_version_changed_in_the_header(
    filled: Vault, place: tuple[Path, Path], version: int | str
) -> None:
    filled.close()
    edit(place[0], "update header set json = ?", json.dumps({**header_of(place[0]), "version": version}))
    with pytest.raises(VaultLocked):
        reopen(place)


@pytest.mark.hostile("Y6")
def test_y6_truncated_vault(filled: Vault, place: tuple[Path, Path]) -> None:
    filled.close()
    data = place[0].read_bytes()
    for size in (0, 100, 5000, len(data) // 2):
        place[0].write_bytes(data[:size])
        with pytest.raises(BauhiniaError) as caught:
            reopen(place).records("copy")
        assert caught.value.code in {"vault_locked", "vault_invalid", "store_unavailable"}


@pytest.mark.hostile("Y7")
def test_y7_another_user_cannot_read_it(filled: Vault, place: tuple[Path, Path]) -> None:
    for file in (place[0], place[1]):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(place[0].parent.stat().st_mode) == 0o700
    with filled.writing() as rows:
        rows.put("note", {"text": "x" * 100})
        journal = place[0].with_name("vault.db-journal")
        assert stat.S_IMODE(journal.stat().st_mode) == 0o600
    filled.close()
    os.chmod(place[0], 0o644)
    reopen(place).close()
    assert stat.S_IMODE(place[0].stat().st_mode) == 0o600


@given(plaintext=st.binary(max_size=3 * SMALLEST))
@settings(max_examples=30, deadline=None)
def test_padding_comes_off_and_sizes_are_classes(plaintext: bytes) -> None:
    padded = pad(plaintext)
    assert unpad(padded) == plaintext
    assert len(padded) in {SMALLEST, 2 * SMALLEST, 4 * SMALLEST}


def test_a_seal_opens_only_in_its_place() -> None:
    sealed = seal(b"text", key=bytes(32), place=b"here", randomness=os.urandom)
    assert unseal(sealed, key=bytes(32), place=b"here") == b"text"
    for key, where, text in [
        (bytes(31) + b"\x01", b"here", sealed),
        (bytes(32), b"there", sealed),
        (bytes(32), b"here", sealed[:-1]),
        (bytes(32), b"here", b""),
    ]:
        with pytest.raises(SealBroken):
            unseal(text, key=key, place=where)
