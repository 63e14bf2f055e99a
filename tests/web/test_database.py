"""Migrations by number, one writer at a time, files for the owner only."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import text

from credentials.errors import ConfigurationInvalid, StoreInvalid, StoreUnavailable
from web.database import faults, open_database, sqlite_url, write

FIRST = "CREATE TABLE a (x INTEGER)"
SECOND = ("CREATE TABLE b (y INTEGER)", "INSERT INTO a VALUES (7)")


def test_migrations_are_applied_once_and_in_order(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "s.db")
    open_database(url, (FIRST,)).dispose()
    for _ in range(2):
        engine = open_database(url, (FIRST, SECOND))
        with engine.connect() as db:
            assert db.execute(text("SELECT x FROM a")).scalars().all() == [7]
            assert db.execute(
                text("SELECT version FROM schema_version ORDER BY version")
            ).scalars().all() == [1, 2]
        engine.dispose()


def test_failed_migration_leaves_nothing_behind(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "s.db")
    with pytest.raises(StoreUnavailable):
        open_database(url, (("CREATE TABLE a (x INTEGER)", "CREATE NONSENSE"),))
    engine = open_database(url, (FIRST,))
    with engine.connect() as db:
        assert db.execute(text("SELECT count(*) FROM a")).scalar() == 0
    engine.dispose()


def test_newer_database_is_refused(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "s.db")
    open_database(url, (FIRST, SECOND)).dispose()
    with pytest.raises(StoreInvalid):
        open_database(url, (FIRST,))


def test_file_is_for_its_owner_and_durable(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    path.touch(0o644)
    engine = open_database(sqlite_url(path), (FIRST,))
    with engine.connect() as db:
        found = {name: db.execute(text(f"PRAGMA {name}")).scalar() for name in
                 ("journal_mode", "synchronous", "foreign_keys", "secure_delete")}  # fmt: skip
    assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "secure_delete": 1}
    assert all(p.stat().st_mode & 0o077 == 0 for p in tmp_path.glob("s.db*"))
    engine.dispose()


def test_write_excludes_other_writers_from_its_start(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    engine = open_database(sqlite_url(path), (FIRST,))
    with write(engine):
        other = sqlite3.connect(path, timeout=0)
        with pytest.raises(sqlite3.OperationalError):
            other.execute("BEGIN IMMEDIATE")
        other.close()
    engine.dispose()


def test_error_inside_rolls_back(tmp_path: Path) -> None:
    engine = open_database(sqlite_url(tmp_path / "s.db"), (FIRST,))

    class Stop(Exception):
        pass

    with suppress(Stop), write(engine) as db:
        db.execute(text("INSERT INTO a VALUES (1)"))
        raise Stop
    with engine.connect() as db:
        assert db.execute(text("SELECT count(*) FROM a")).scalar() == 0
    engine.dispose()


@pytest.mark.hostile("V9")
def test_v9_driver_errors_lose_their_values(tmp_path: Path) -> None:
    engine = open_database(sqlite_url(tmp_path / "s.db"), ("CREATE TABLE a (x TEXT PRIMARY KEY)",))
    twice = [{"x": "Q123456"}, {"x": "Q123456"}]
    with pytest.raises(StoreInvalid) as caught, faults(), write(engine) as db:
        db.execute(text("INSERT INTO a VALUES (:x)"), twice)
    assert "Q123456" not in str(caught.value)
    engine.dispose()


@pytest.mark.parametrize("url", ["nonsense", "nosuch://x", ""])
def test_url_that_is_none(url: str) -> None:
    with pytest.raises(ConfigurationInvalid):
        open_database(url, ())


def test_place_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable):
        open_database(sqlite_url(tmp_path / "no" / "folder.db"), ())
