"""How the issuer's records become rows, and what every method of the store is: one transaction.

A method that hits a uniqueness rule of the database because another process was faster is run again, and
then sees what the other wrote.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Generator, Mapping
from contextlib import contextmanager
from dataclasses import astuple, fields
from typing import Any, Final, TypeVar, cast

from sqlalchemy import Connection, Engine, Table, delete, select, update
from sqlalchemy.exc import IntegrityError

from credentials.errors import StoreUnavailable
from web.database import faults
from web.database import write as writing

from .issuance import AuthorizationCode, Enrolment, Offer, Token

MAX_PENDING: Final = 10_000
"""Rows of offers and of codes: the oldest go when more come (hostile case C10)."""

_RETRIES: Final = 5

T = TypeVar("T")
Record = TypeVar("Record", Enrolment, Offer, AuthorizationCode, Token)


class _Again(Exception):
    """Another process inserted the same key between our reading and our writing: run the method again."""


@contextmanager
def _again() -> Generator[None, None, None]:
    try:
        yield
    except IntegrityError:
        raise _Again from None


def to_row(record: Enrolment | Offer | AuthorizationCode | Token) -> dict[str, Any]:
    row = dict(zip((field.name for field in fields(record)), astuple(record), strict=True))
    if "configurations" in row:
        row["configurations"] = json.dumps(row["configurations"])
    if "consent" in row:
        row["consent"] = int(row["consent"])
    return row


def to_record(kind: type[Record], row: Mapping[Any, Any]) -> Record:
    members = dict(cast("Mapping[str, Any]", row))
    if "configurations" in members:
        members["configurations"] = tuple(json.loads(members["configurations"]))
    if "consent" in members:
        members["consent"] = bool(members["consent"])
    return kind(**members)


def find(connection: Connection, kind: type[Record], table: Table, key: str | bytes) -> Record | None:
    """The row whose primary key is ``key``, locked until the transaction ends."""
    (column,) = table.primary_key.columns
    row = connection.execute(select(table).where(column == key).with_for_update()).mappings().first()
    return None if row is None else to_record(kind, row)


def save(connection: Connection, table: Table, record: Enrolment | Offer | AuthorizationCode) -> None:
    (column,) = table.primary_key.columns
    row = to_row(record)
    connection.execute(update(table).where(column == row[column.name]).values(row))


def bounded(connection: Connection, table: Table, bound: int) -> None:
    (column,) = table.primary_key.columns
    surplus = select(column).order_by(table.c.expires.desc(), column).offset(bound)
    connection.execute(delete(table).where(column.in_(surplus)))


def any_taken(connection: Connection, column: Any, keys: Collection[bytes]) -> bool:
    return connection.execute(select(column).where(column.in_(keys)).limit(1)).first() is not None


class Rows:
    """A database of the issuer, shared by threads. Times are seconds, always an argument."""

    def __init__(self, engine: Engine, *, max_pending: int = MAX_PENDING) -> None:
        self.engine = engine
        self._max_pending = max_pending

    def write(self, act: Callable[[Connection], T]) -> T:
        for _ in range(_RETRIES):
            try:
                with faults(), _again(), writing(self.engine) as connection:
                    return act(connection)
            except _Again:
                continue
        raise StoreUnavailable("the store is too busy")

    @contextmanager
    def read(self) -> Generator[Connection, None, None]:
        with faults(), self.engine.connect() as connection:
            yield connection
