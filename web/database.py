"""A SQLAlchemy Core engine with numbered migrations: SQLite now, PostgreSQL when one machine is outgrown."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final, TypeAlias

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from credentials.errors import ConfigurationInvalid, StoreInvalid, StoreUnavailable

Migration: TypeAlias = "str | tuple[str, ...]"

_PRAGMAS: Final = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA busy_timeout=10000",
    "PRAGMA foreign_keys=ON",
    # Deleted rows are overwritten: retention means gone.
    "PRAGMA secure_delete=ON",
)
# Any constant: one lock for "somebody writes", so that PostgreSQL gives what BEGIN IMMEDIATE gives.
_WRITER_LOCK: Final = 0x6261756


def sqlite_url(path: str | os.PathLike[str]) -> str:
    """The URL of a SQLite file."""
    return f"sqlite:///{os.fspath(path)}"


def open_database(url: str, migrations: tuple[Migration, ...]) -> Engine:
    """Open (creating it, mode 0600) the database at ``url`` and bring it to the newest schema.

    ``migrations`` is the whole history, oldest first; migration n is applied once, in one transaction. A
    database newer than the program is refused with :class:`StoreInvalid`.
    """
    try:
        parsed = make_url(url)
        engine = create_engine(parsed)
    except (ArgumentError, ImportError):
        raise ConfigurationInvalid("the database URL is not understood", hint="sqlite:///FILE") from None
    if engine.dialect.name == "sqlite":
        _prepare_sqlite(engine, parsed.database)
    with faults(), write(engine) as connection:
        connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)")
        done = connection.exec_driver_sql("SELECT max(version) FROM schema_version").scalar() or 0
        if done > len(migrations):
            raise StoreInvalid(f"database schema {done} is newer than this program ({len(migrations)})")
        for number, migration in enumerate(migrations[done:], done + 1):
            for statement in (migration,) if isinstance(migration, str) else migration:
                connection.exec_driver_sql(statement)
            connection.exec_driver_sql(f"INSERT INTO schema_version (version) VALUES ({number})")  # noqa: S608
    return engine


def _prepare_sqlite(engine: Engine, path: str | None) -> None:
    if path and path != ":memory:":
        # An existing file is not opened here: closing it again would drop every lock that this process
        # holds on it through another connection (sqlite.org, How To Corrupt, 2.2).
        try:
            with contextlib.suppress(FileExistsError):
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
            os.chmod(path, 0o600)
        except OSError as error:
            raise StoreUnavailable(f"cannot open {path}: {error.strerror}") from None

    def connect(dbapi: Any, _record: object) -> None:
        # The driver's own notion of transactions is switched off: BEGIN is ours (below).
        dbapi.isolation_level = None
        for pragma in _PRAGMAS:
            dbapi.execute(pragma)

    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    event.listen(engine, "connect", connect)
    event.listen(engine, "begin", begin)


@contextmanager
def write(engine: Engine) -> Generator[Connection, None, None]:
    """One writing transaction that excludes other writers from its start: read, decide, write, commit."""
    with engine.connect().execution_options(write=True) as connection, connection.begin():
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITER_LOCK})")
        yield connection


def checkpoint(engine: Engine) -> bool:
    """Bring SQLite's write-ahead log to nothing: what was overwritten in the database stands there still.

    ``False`` where a reader was in the way. Other databases keep no such file that is ours to empty.
    """
    if engine.dialect.name != "sqlite":
        return True
    connection = engine.raw_connection()
    try:
        with faults():
            busy, _, _ = connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        connection.close()
    return not busy


@contextmanager
def faults() -> Generator[None, None, None]:
    """Say storage errors in our own words: a locked or missing database, or one that is not ours."""
    try:
        yield
    except DBAPIError as error:
        raise store_fault(error) from None


def store_fault(error: DBAPIError) -> StoreUnavailable | StoreInvalid:
    """The fault that a driver error stands for; its text (which may hold values) is dropped."""
    kind = type(error.orig).__name__
    if kind == "OperationalError":
        return StoreUnavailable("the database is locked, full or out of reach")
    return StoreInvalid(f"the database refused a statement ({kind})")
