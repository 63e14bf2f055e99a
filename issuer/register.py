"""The register of residents: the only place that knows who somebody is. A database of its own.

The issuer reaches it through :class:`Register` alone, so that a department's own register can take its
place. ``find`` answers with a reference that says nothing; ``read`` is called at the moment of issuing and
what it returns is not kept.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Callable, Iterable
from datetime import date
from itertools import islice
from typing import Final, Protocol

from sqlalchemy import Column, LargeBinary, MetaData, Table, Text, func, select
from sqlalchemy.dialects.sqlite import insert

from credentials.encoding import b64u, dump_json, load_json_object
from credentials.errors import Malformed, PersonUnknown, StoreInvalid
from credentials.hkid import Hkid
from credentials.model import Randomness
from web.database import faults, open_database, write

from .columns import read_row, write_row
from .person import Identity, Person

REFERENCE_BYTES: Final = 15
_CHUNK: Final = 1000

Progress = Callable[[int], None]
"""Called now and then with how many rows are done."""


def silent(_done: int) -> None:
    """Progress that nobody watches."""


class Register(Protocol):
    """What the issuer asks of a register."""

    def find(self, identity: Identity) -> str:
        """The reference of a person. Raises :class:`PersonUnknown`."""
        ...

    def read(self, reference: str) -> Person:
        """What the register says now. Raises :class:`PersonUnknown`."""
        ...


_MIGRATIONS: Final = (
    # ``lookup`` is a MAC: no index holds an identity number in the clear.
    "CREATE TABLE people (reference TEXT PRIMARY KEY, lookup BLOB NOT NULL UNIQUE, person TEXT NOT NULL)",
)
_people: Final = Table(
    "people",
    MetaData(),
    Column("reference", Text, primary_key=True),
    Column("lookup", LargeBinary),
    Column("person", Text),
)


class SqliteRegister:
    """A register in one SQLite file (mode 0600). ``key`` (32 bytes) makes people findable."""

    def __init__(self, url: str, *, key: bytes, randomness: Randomness = os.urandom) -> None:
        self._engine = open_database(url, _MIGRATIONS)
        self._key = key
        self._randomness = randomness

    def find(self, identity: Identity) -> str:
        query = select(_people.c.reference).where(_people.c.lookup == self.lookup(identity))
        with faults(), self._engine.connect() as connection:
            reference = connection.scalar(query)
        if reference is None:
            raise PersonUnknown("the register does not know this person")
        return str(reference)

    def read(self, reference: str) -> Person:
        query = select(_people.c.person).where(_people.c.reference == reference)
        with faults(), self._engine.connect() as connection:
            row = connection.scalar(query)
        if row is None:
            raise PersonUnknown("the register does not know this person")
        try:
            person = read_row(load_json_object(row), today=date.max, synthetic_only=False)
        except Malformed:
            raise StoreInvalid("a row of the register is damaged") from None
        if not isinstance(person, Person):
            raise StoreInvalid("a row of the register is damaged")
        return person

    def count(self) -> int:
        """How many people there are."""
        with faults(), self._engine.connect() as connection:
            return connection.scalar(select(func.count()).select_from(_people)) or 0

    def add(self, people: Iterable[Person], *, progress: Progress = silent) -> int:
        """Put people in, all or none; who is there already is updated and keeps the reference."""
        done, remaining = 0, iter(people)
        statement = insert(_people)
        statement = statement.on_conflict_do_update(
            index_elements=["lookup"], set_={"person": statement.excluded.person}
        )
        with faults(), write(self._engine) as connection:
            while chunk := list(islice(remaining, _CHUNK)):
                connection.execute(statement, [self._row(person) for person in chunk])
                done += len(chunk)
                progress(done)
        return done

    def lookup(self, identity: Identity) -> bytes:
        """The keyed index of an identity, 32 bytes."""
        text = (
            f"hkid|{identity.canonical}"
            if isinstance(identity, Hkid)
            else f"{identity.kind}|{identity.number}"
        )
        return hmac.digest(self._key, f"bauhinia/register/v1|{text}".encode("ascii"), hashlib.sha256)

    def _row(self, person: Person) -> dict[str, str | bytes]:
        return {
            "reference": b64u(self._randomness(REFERENCE_BYTES)),
            "lookup": self.lookup(person.identity),
            "person": dump_json(write_row(person)).decode(),
        }
