"""The backup: what it carries, what it never carries, and what it refuses."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from credentials.errors import BackupInvalid
from wallet.backup import Reissue, read_backup, write_backup
from wallet.records import Entry, Settings
from wallet.sealing import CHEAPEST

PASSPHRASE = "a long walk on Lantau"
CANARY = "canary-off-licence-7Qx9"
SETTINGS = Settings({"kty": "EC", "crv": "P-256"}, "a.b.c", 4, None, ("https://127.0.0.1:8443",))
ENTRY = Entry(1_800_000_000, "shown", {"en": CANARY}, "aa", {"en": "age check"}, claims=("age_over_18",))
REISSUE = Reissue("https://issuer.test", ("age-1.sd-jwt", "age-1.mdoc"))


def backup() -> bytes:
    return write_backup(
        [REISSUE], SETTINGS, [ENTRY], passphrase=PASSPHRASE, randomness=os.urandom, cost=CHEAPEST
    )


def test_what_is_written_reads_back() -> None:
    read = read_backup(backup(), passphrase=PASSPHRASE)
    assert read.reissue == (REISSUE,)
    assert read.settings == SETTINGS
    assert read.log == (ENTRY,)


def test_nothing_shows_in_the_file() -> None:
    data = backup()
    assert CANARY.encode() not in data
    assert b"issuer.test" not in data
    empty = write_backup([], SETTINGS, [], passphrase=PASSPHRASE, randomness=os.urandom, cost=CHEAPEST)
    assert len(empty) == len(data)


@pytest.mark.hostile("Y6")
def test_y6_wrong_passphrase() -> None:
    with pytest.raises(BackupInvalid) as caught:
        read_backup(backup(), passphrase="a short walk on Lantau")
    assert caught.value.code == "backup_invalid"


@pytest.mark.hostile("Y6")
def test_y6_truncated_at_every_kilobyte() -> None:
    data = backup()
    for size in [*range(0, len(data), 1024), len(data) - 3]:
        with pytest.raises(BackupInvalid):
            read_backup(data[:size], passphrase=PASSPHRASE)


@pytest.mark.hostile("Y6")
@pytest.mark.parametrize(
    "change",
    [
        {"bauhinia_backup": 0},
        {"bauhinia_backup": 2},
        {"kdf": "none"},
        {"operations": 1 << 30},
        {"memory": 1 << 45},
        {"memory": "x"},
        {"salt": "AAAA"},
        {"salt": 3},
        {"sealed": ""},
        {"sealed": None},
        {"extra": 1},
    ],
)
def test_y6_downgraded_or_changed_header(change: dict[str, Any]) -> None:
    data = json.dumps({**json.loads(backup()), **change}).encode()
    with pytest.raises(BackupInvalid):
        read_backup(data, passphrase=PASSPHRASE)


@given(data=st.binary(max_size=300) | st.just(b"[]") | st.just(b"{}"))
@settings(max_examples=60, deadline=None)
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(BackupInvalid):
        read_backup(data, passphrase=PASSPHRASE)


@given(where=st.integers(min_value=0), bit=st.integers(0, 7))
@settings(max_examples=40, deadline=None)
def test_no_changed_byte_is_accepted_with_another_content(where: int, bit: int) -> None:
    data = bytearray(DATA)
    data[where % len(data)] ^= 1 << bit
    try:
        read = read_backup(bytes(data), passphrase=PASSPHRASE)
    except BackupInvalid:
        return
    assert read == read_backup(DATA, passphrase=PASSPHRASE)


DATA = backup()
