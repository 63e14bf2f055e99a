"""Transactions, burned nonces, receipts and API keys, on SQLAlchemy Core.

A transaction is one of three types and goes one way: :class:`Created`, :class:`Fetched`, :class:`Answered`.
Disclosed claims are deleted after the policy's retention; what stays is a receipt without personal data.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    RowMapping,
    Table,
    Text,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from credentials.errors import (
    ApiKeyInvalid,
    BauhiniaError,
    NonceReplayed,
    RequestConsumed,
    RequestExpired,
    ResponseInvalid,
    SessionNotBound,
    TransactionUnknown,
)
from credentials.model import Seconds
from web.database import Migration, checkpoint, faults, open_database, write

from .sealing import Seal
from .verification import Accepted, Learned, Outcome, Refused, Undetermined

MAX_PENDING: Final = 10_000
"""Unanswered requests that are kept; beyond, the oldest make room."""
MAX_FETCHES: Final = 5
"""The same request object, again: a bad line or an eager wallet, not a crowd."""
KEPT: Final = 24 * 3600
"""Seconds that an outcome without claims stays to be looked at."""
HOUR: Final = 3600

MIGRATIONS: Final[tuple[Migration, ...]] = (
    (
        """CREATE TABLE transactions (
            id TEXT PRIMARY KEY, request_id TEXT NOT NULL UNIQUE, policy TEXT NOT NULL,
            policy_version INTEGER NOT NULL, same_device INTEGER NOT NULL, browser TEXT, ticket TEXT,
            request_object TEXT NOT NULL, response_key TEXT, nonce TEXT NOT NULL UNIQUE,
            created BIGINT NOT NULL, expires BIGINT NOT NULL, fetched BIGINT, fetches INTEGER NOT NULL,
            answered BIGINT, outcome TEXT, code TEXT, level TEXT, status_issued BIGINT, formats TEXT,
            over_disclosed INTEGER, learned TEXT, learned_until BIGINT,
            response_code TEXT, returned BIGINT)""",
        "CREATE INDEX pending ON transactions (answered, created)",
        "CREATE TABLE burned (nonce TEXT PRIMARY KEY, until BIGINT NOT NULL)",
        """CREATE TABLE receipts (
            policy TEXT NOT NULL, policy_version INTEGER NOT NULL, outcome TEXT NOT NULL, code TEXT NOT NULL,
            hour BIGINT NOT NULL, checks INTEGER NOT NULL,
            PRIMARY KEY (policy, policy_version, outcome, code, hour))""",
        "CREATE TABLE api_keys (hash TEXT PRIMARY KEY, created BIGINT NOT NULL)",
        "CREATE TABLE newest (name TEXT PRIMARY KEY, number BIGINT NOT NULL)",
    ),
)

_meta = MetaData()


def _table(table: str, /, **columns: type[Text] | type[BigInteger] | type[Integer]) -> Table:
    return Table(table, _meta, *(Column(column, kind) for column, kind in columns.items()))


_transactions = _table(
    "transactions",
    id=Text,
    request_id=Text,
    policy=Text,
    policy_version=Integer,
    same_device=Integer,
    browser=Text,
    ticket=Text,
    request_object=Text,
    response_key=Text,
    nonce=Text,
    created=BigInteger,
    expires=BigInteger,
    fetched=BigInteger,
    fetches=Integer,
    answered=BigInteger,
    outcome=Text,
    code=Text,
    level=Text,
    status_issued=BigInteger,
    formats=Text,
    over_disclosed=Integer,
    learned=Text,
    learned_until=BigInteger,
    response_code=Text,
    returned=BigInteger,
)
_burned = _table("burned", nonce=Text, until=BigInteger)
_receipts = _table(
    "receipts", policy=Text, policy_version=Integer, outcome=Text, code=Text, hour=BigInteger, checks=Integer
)
_api_keys = _table("api_keys", hash=Text, created=BigInteger)
_newest = _table("newest", name=Text, number=BigInteger)


def digest(secret: str) -> str:
    """What is stored of a random secret of 128 bits or more."""
    return hashlib.sha256(secret.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Transaction:
    """What all states share. ``browser`` is the digest of the session of the browser that started it."""

    id: str
    request_id: str
    policy: str
    policy_version: int
    same_device: bool
    browser: str | None
    created: Seconds
    expires: Seconds


@dataclass(frozen=True, slots=True)
class Created(Transaction):
    """Made, not yet fetched by a wallet."""


@dataclass(frozen=True, slots=True)
class Fetched(Transaction):
    """A wallet has the request object. ``response_key`` is the private key of this request, or ``None``."""

    request_object: str
    response_key: str | None
    fetched: Seconds


@dataclass(frozen=True, slots=True)
class Answered(Transaction):
    """Over. ``outcome`` has lost its claims when ``forgotten``; ``returned`` is for the same device only."""

    answered: Seconds
    outcome: Outcome
    forgotten: bool
    returned: bool


State: TypeAlias = Created | Fetched | Answered


@dataclass(frozen=True, slots=True)
class Draft:
    """A transaction to be stored; the secrets in it are digests already."""

    id: str
    request_id: str
    policy: str
    policy_version: int
    same_device: bool
    browser: str | None
    ticket: str | None
    request_object: str
    response_key: str | None
    nonce: str
    created: Seconds
    expires: Seconds


class Store:
    """The configured store. Every method is one transaction; ``key`` seals what is personal."""

    def __init__(self, url: str, *, key: bytes, max_pending: int = MAX_PENDING) -> None:
        self._seal = Seal(key)
        self._engine: Engine = open_database(url, MIGRATIONS)
        self._max_pending = max_pending

    def close(self) -> None:
        self._engine.dispose()

    # --- transactions

    def create(self, draft: Draft) -> None:
        """Store a new transaction; the oldest unanswered ones make room."""
        with faults(), write(self._engine) as db:
            swept = _sweep(db, draft.created)
            pending = db.execute(
                select(func.count()).select_from(_transactions).where(_transactions.c.answered.is_(None))
            ).scalar_one()
            if pending >= self._max_pending:
                oldest = (
                    select(_transactions.c.id)
                    .where(_transactions.c.answered.is_(None))
                    .order_by(_transactions.c.created, _transactions.c.id)
                    .limit(pending - self._max_pending + 1)
                )
                db.execute(delete(_transactions).where(_transactions.c.id.in_(oldest)))
            row = {name: getattr(draft, name) for name in Draft.__slots__}
            row |= {"same_device": int(draft.same_device), "nonce": digest(draft.nonce), "fetches": 0}
            if draft.response_key is not None:
                row["response_key"] = self._seal.close(draft.response_key, place=f"key {draft.id}")
            db.execute(insert(_transactions).values(row))
        self._clean(swept)

    def fetch(self, request_id: str, now: Seconds) -> str:
        """The request object, for the wallet. Again the same for a wallet that asks again, until it answers.

        Raises :class:`TransactionUnknown`, :class:`RequestConsumed`, :class:`RequestExpired`.
        """
        with faults(), write(self._engine) as db:
            row = _row(db, _transactions.c.request_id == request_id)
            if _is_burned(db, row["nonce"]) or row["fetches"] >= MAX_FETCHES:
                raise RequestConsumed("this request was used already")
            if now >= row["expires"]:
                raise RequestExpired("this request has expired")
            db.execute(
                update(_transactions)
                .where(_transactions.c.id == row["id"])
                .values(fetched=row["fetched"] or now, fetches=row["fetches"] + 1)
            )
            return str(row["request_object"])

    def begin_answer(self, request_id: str, now: Seconds) -> Fetched:
        """Burn the nonce, before anything in the answer is looked at: one answer a request, right or wrong.

        Raises :class:`TransactionUnknown`, :class:`NonceReplayed`, :class:`ResponseInvalid`,
        :class:`RequestExpired`.
        """
        with faults(), write(self._engine) as db:
            row = _row(db, _transactions.c.request_id == request_id)
            state = _state(row, self._seal)
            if isinstance(state, Answered) or _is_burned(db, row["nonce"]):
                raise NonceReplayed("this request was answered already")
            if isinstance(state, Created):
                raise ResponseInvalid("an answer to a request that nobody fetched")
            if now >= state.expires:
                raise RequestExpired("this request has expired")
            _burn(db, row["nonce"], state.expires)
            return state

    def finish(
        self,
        transaction: Transaction,
        outcome: Outcome,
        *,
        now: Seconds,
        retention: int,
        response_code: str | None,
    ) -> None:
        """Record the outcome, write the receipt, and delete the key the answer was encrypted to."""
        with faults(), write(self._engine) as db:
            learned: Learned = {} if isinstance(outcome, Undetermined) else outcome.learned
            keep = bool(learned) and retention > 0
            values: dict[str, Any] = {
                "answered": now,
                "outcome": _kind(outcome),
                "code": "" if isinstance(outcome, Accepted) else outcome.code,
                "formats": "" if isinstance(outcome, Undetermined) else " ".join(outcome.formats),
                "learned": self._seal.close(json.dumps(learned), place=f"learned {transaction.id}")
                if keep
                else None,
                "learned_until": now + retention if keep else None,
                "response_code": None if response_code is None else digest(response_code),
                "response_key": None,
            }
            if isinstance(outcome, Accepted):
                values |= {
                    "level": outcome.level,
                    "status_issued": outcome.status_issued,
                    "over_disclosed": outcome.over_disclosed,
                }
            db.execute(update(_transactions).where(_transactions.c.id == transaction.id).values(values))
            _receipt(db, transaction.policy, transaction.policy_version, outcome, now)
            swept = _sweep(db, now)
        self._clean(swept)

    def get(self, id: str, now: Seconds) -> State:
        """One transaction by its own id. Raises :class:`TransactionUnknown`."""
        with faults(), write(self._engine) as db:
            swept = _sweep(db, now)
            row = _row(db, _transactions.c.id == id)
        self._clean(swept)
        return _state(row, self._seal)

    def sweep(self, now: Seconds) -> None:
        """Forget what was kept long enough, to the last byte of the database's files."""
        with faults(), write(self._engine) as db:
            _sweep(db, now)
        self._clean(True)

    def _clean(self, swept: bool) -> None:
        # The change is made by now; where a reader is in the way, the next sweep tries again.
        if swept:
            with suppress(BauhiniaError):
                checkpoint(self._engine)

    def by_nonce(self, nonce: str) -> Fetched | Created | None:
        """The unanswered transaction that a request object belongs to, if it is ours."""
        with faults(), self._engine.connect() as db:
            found = db.execute(select(_transactions).where(_transactions.c.nonce == digest(nonce)))
            row = found.mappings().one_or_none()
            state = None if row is None else _state(row, self._seal)
            return None if isinstance(state, Answered) else state

    def response_key(self, id: str) -> str | None:
        """The private key that the answer to this transaction is encrypted to."""
        with faults(), self._engine.connect() as db:
            sealed = db.execute(select(_transactions.c.response_key).where(_transactions.c.id == id)).scalar()
        return None if sealed is None else self._seal.open(sealed, place=f"key {id}")

    def bind(self, id: str, *, ticket: str, browser: str, now: Seconds) -> None:
        """Give a transaction that a program started to the first browser that brings its ticket.

        Raises :class:`TransactionUnknown`, :class:`SessionNotBound`.
        """
        with faults(), write(self._engine) as db:
            row = _row(db, _transactions.c.id == id)
            fits = hmac.compare_digest(str(row["ticket"] or ""), digest(ticket))
            if row["browser"] is None and fits:
                db.execute(update(_transactions).where(_transactions.c.id == id).values(browser=browser))
            elif not fits or row["browser"] != browser:
                raise SessionNotBound("this check was started by somebody else")

    def come_back(self, id: str, *, response_code: str, browser: str | None, now: Seconds) -> None:
        """The browser returns from the wallet: the same browser that left, with the code, once.

        Raises :class:`TransactionUnknown`, :class:`SessionNotBound`.
        """
        with faults(), write(self._engine) as db:
            row = _row(db, _transactions.c.id == id)
            fits = hmac.compare_digest(str(row["response_code"] or ""), digest(response_code))
            if browser is None or row["browser"] != browser or not fits or row["returned"] is not None:
                raise SessionNotBound("the answer came back to another browser than it left from")
            db.execute(update(_transactions).where(_transactions.c.id == id).values(returned=now))

    # --- nonces, receipts

    def burn(self, nonce: str, *, until: Seconds) -> None:
        """Use up the nonce of a presentation that came in a file. Raises :class:`NonceReplayed`."""
        with faults(), write(self._engine) as db:
            if _is_burned(db, digest(nonce)):
                raise NonceReplayed("this request was answered already")
            _burn(db, digest(nonce), until)

    def add_receipt(self, policy: str, version: int, outcome: Outcome, now: Seconds) -> None:
        with faults(), write(self._engine) as db:
            _receipt(db, policy, version, outcome, now)

    def receipts(self) -> list[dict[str, Any]]:
        """How many checks of which policy had which outcome in which hour: all that is kept for good."""
        with faults(), self._engine.connect() as db:
            found = db.execute(select(_receipts).order_by(_receipts.c.hour, _receipts.c.policy))
            return [dict(row) for row in found.mappings()]

    # --- API keys, newest numbers seen

    def add_api_key(self, key: str, now: Seconds) -> None:
        with faults(), write(self._engine) as db:
            db.execute(insert(_api_keys).values(hash=digest(key), created=now))

    def check_api_key(self, key: str | None) -> None:
        """Raises :class:`ApiKeyInvalid`."""
        with faults(), self._engine.connect() as db:
            known = db.execute(select(_api_keys.c.hash)).scalars().all()
        shown = digest(key or "")
        # Every key is compared, so that the time taken does not say which prefix fits.
        if not any([hmac.compare_digest(shown, stored) for stored in known]):
            raise ApiKeyInvalid("the API key is missing or unknown")

    def newest(self) -> Mapping[str, int]:
        """The highest trust list sequence and status list times ever taken over: nothing older is taken."""
        with faults(), self._engine.connect() as db:
            return {row.name: row.number for row in db.execute(select(_newest))}

    def remember_newest(self, numbers: Mapping[str, int]) -> None:
        with faults(), write(self._engine) as db:
            for name, number in numbers.items():
                known = db.execute(select(_newest.c.number).where(_newest.c.name == name)).scalar()
                if known is None:
                    db.execute(insert(_newest).values(name=name, number=number))
                elif number > known:
                    db.execute(update(_newest).where(_newest.c.name == name).values(number=number))


def _row(db: Connection, condition: Any) -> RowMapping:
    row = db.execute(select(_transactions).where(condition)).mappings().one_or_none()
    if row is None:
        raise TransactionUnknown("there is no such check, or it is long over")
    return row


def _sweep(db: Connection, now: Seconds) -> bool:
    """Forget what was kept long enough; whether there was anything."""
    c = _transactions.c
    old = update(_transactions).where(c.learned_until <= now).values(learned=None, learned_until=None)
    swept = (
        db.execute(old).rowcount + db.execute(delete(_transactions).where(c.expires + KEPT <= now)).rowcount
    )
    db.execute(delete(_burned).where(_burned.c.until + KEPT <= now))
    return swept > 0


def _is_burned(db: Connection, nonce: str) -> bool:
    return db.execute(select(_burned.c.nonce).where(_burned.c.nonce == nonce)).scalar() is not None


def _burn(db: Connection, nonce: str, until: Seconds) -> None:
    try:
        db.execute(insert(_burned).values(nonce=nonce, until=until))
    except IntegrityError:
        raise NonceReplayed("this request was answered already") from None


def _receipt(db: Connection, policy: str, version: int, outcome: Outcome, now: Seconds) -> None:
    key = {
        "policy": policy,
        "policy_version": version,
        "outcome": _kind(outcome),
        "code": "" if isinstance(outcome, Accepted) else outcome.code,
        "hour": now // HOUR * HOUR,
    }
    c = _receipts.c
    same = [c[name] == value for name, value in key.items()]
    if db.execute(update(_receipts).where(*same).values(checks=c.checks + 1)).rowcount == 0:
        db.execute(insert(_receipts).values(**key, checks=1))


def _kind(outcome: Outcome) -> str:
    return type(outcome).__name__.lower()


def _state(row: RowMapping, seal: Seal) -> State:
    shared: dict[str, Any] = {
        "id": row["id"],
        "request_id": row["request_id"],
        "policy": row["policy"],
        "policy_version": row["policy_version"],
        "same_device": bool(row["same_device"]),
        "browser": row["browser"],
        "created": row["created"],
        "expires": row["expires"],
    }
    if row["answered"] is not None:
        return Answered(
            **shared,
            answered=row["answered"],
            outcome=_outcome(row, seal),
            forgotten=bool(row["formats"]) and row["learned"] is None,
            returned=row["returned"] is not None,
        )
    if row["fetched"] is not None:
        return Fetched(
            **shared,
            request_object=row["request_object"],
            response_key=None
            if row["response_key"] is None
            else seal.open(row["response_key"], place=f"key {row['id']}"),
            fetched=row["fetched"],
        )
    return Created(**shared)


def _outcome(row: RowMapping, seal: Seal) -> Outcome:
    sealed = row["learned"]
    learned: Learned = {} if sealed is None else json.loads(seal.open(sealed, place=f"learned {row['id']}"))
    formats = tuple((row["formats"] or "").split())
    if row["outcome"] == "accepted":
        return Accepted(learned, formats, row["level"], row["status_issued"], row["over_disclosed"] or 0)
    return (
        Refused(row["code"], learned, formats) if row["outcome"] == "refused" else Undetermined(row["code"])
    )
