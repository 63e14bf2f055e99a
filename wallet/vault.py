"""One person's vault on disk: rows that show nothing but how many there are.

    vault.db   header(json)             who may open it: Argon2id parameters and the wrapped data key
               rows(id, sealed)         everything else, one table, random ids, padded, sealed

A random 256-bit data key is wrapped by the passphrase. There is no PIN flag and no attempt counter to edit:
whoever guesses pays Argon2id for each guess, and without the key nothing decrypts. What kind of record a
row is, who issued it, whether it is spent and when it was written are inside the seal.

Putting an older file back must not make a spent copy fresh again. Three numbers stand against it: every
write raises a counter inside the vault, the vault remembers a digest of all its rows (so that no single row
can be put back), and a stamp outside the vault's folder remembers the counter (so that not even the whole
file can). The order is: commit, stamp, and only then is a copy sent. The stamp is sealed too, so that it does
not count the holder's visits for others.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import resource
import sqlite3
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlite_utils import Database

from credentials.encoding import b64u, canonical_json, dump_json, load_json_object, unb64u
from credentials.errors import Refusal, StoreUnavailable, VaultInvalid, VaultLocked, VaultRolledBack
from credentials.model import Randomness

from .sealing import (
    KEY_BYTES,
    MODERATE,
    NONCE_BYTES,
    SALT_BYTES,
    Cost,
    SealBroken,
    pad,
    passphrase_key,
    seal,
    unpad,
    unseal,
)

VERSION: Final = 1
_STATE_ROW: Final = bytes(16)
_MAX_RECORD: Final = 8 << 20


@dataclass(frozen=True, slots=True)
class Record:
    """One unsealed row: ``id`` is 32 hexadecimal digits, ``kind`` says how to read ``body``."""

    id: str
    kind: str
    body: Mapping[str, Any]


def stamp_path(vault_id: str) -> Path:
    """Where the stamp of a vault stands: in the user's state folder, apart from the vault and its backups."""
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(state) / "bauhinia" / f"{vault_id}.stamp"


def forbid_core_dumps() -> None:
    """An unlocked vault's key must not land in a crash dump."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


class Writing:
    """One transaction: all of it happens, or none."""

    def __init__(self, vault: Vault, connection: sqlite3.Connection) -> None:
        self._vault = vault
        self._connection = connection

    def put(self, kind: str, body: Mapping[str, Any], *, id: str | None = None) -> str:
        """Write a record, anew or over the one with ``id``; gives its id."""
        key = bytes.fromhex(id) if id else self._vault.randomness(16)
        if len(key) != 16 or key == _STATE_ROW:
            raise VaultInvalid("a row id is 16 bytes, not all zero")
        self._write(key, kind, body)
        return key.hex()

    def delete(self, id: str) -> None:
        self._connection.execute("delete from rows where id = ?", (bytes.fromhex(id),))

    def records(self, kind: str) -> list[Record]:
        """As :meth:`Vault.records`, inside this transaction."""
        return self._vault.read(kind)

    def _write(self, key: bytes, kind: str, body: Mapping[str, Any]) -> None:
        self._connection.execute(
            "insert or replace into rows(id, sealed) values (?, ?)",
            (key, self._vault.seal_row(key, {"kind": kind, "body": body})),
        )


class Vault:
    """An open vault. ``Vault.create`` and ``Vault.open`` make one; ``close`` forgets the key."""

    def __init__(self, path: Path, stamp: Path, vault_id: str, key: bytes, randomness: Randomness) -> None:
        self.path = path
        self.stamp = stamp
        self.vault_id = vault_id
        self.randomness = randomness
        self._key = key
        self._database = _connect(path)
        self._threads = threading.RLock()
        self._kinds: dict[tuple[bytes, bytes], str] = {}

    # -- making and opening

    @classmethod
    def create(
        cls,
        path: Path,
        passphrase: str,
        *,
        randomness: Randomness,
        cost: Cost = MODERATE,
        stamp: Path | None = None,
    ) -> Vault:
        """A new, empty vault; refuses to write over an existing one (:class:`VaultInvalid`)."""
        forbid_core_dumps()
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        except FileExistsError:
            raise VaultInvalid(
                "a vault is already there", hint="Choose another --data folder, or remove the old vault."
            ) from None
        vault_id = randomness(16).hex()
        key = randomness(KEY_BYTES)
        header: dict[str, Any] = {
            "version": VERSION,
            "vault": vault_id,
            "kdf": "argon2id13",
            "operations": cost.operations,
            "memory": cost.memory,
            "salt": b64u(randomness(SALT_BYTES)),
        }
        wrapped = seal(
            key,
            key=passphrase_key(passphrase, salt=unb64u(header["salt"]), cost=cost),
            place=canonical_json(header),
            randomness=randomness,
        )
        vault = cls(path, stamp or stamp_path(vault_id), vault_id, key, randomness)
        with vault._connection:
            vault._connection.execute("create table header(json text not null)")
            # WITHOUT ROWID: rows lie in the order of their random ids, not in the order they came.
            vault._connection.execute(
                "create table rows(id blob primary key, sealed blob not null) without rowid"
            )
            vault._connection.execute(
                "insert into header values (?)", (dump_json({**header, "wrapped": b64u(wrapped)}).decode(),)
            )
            vault._write_state(0)
        vault._write_stamp(0)
        return vault

    @classmethod
    def open(
        cls,
        path: Path,
        passphrase: str,
        *,
        randomness: Randomness,
        stamp: Path | None = None,
        discard_copies: bool = False,
    ) -> Vault:
        """Open a vault.

        Raises :class:`VaultLocked` for a wrong passphrase or any change of the header, :class:`VaultInvalid`
        for a changed row, :class:`VaultRolledBack` when an older state was put back. With ``discard_copies``
        a rolled-back vault opens all the same, without the copies in it: none of them can be trusted to be
        unspent.
        """
        forbid_core_dumps()
        if not path.is_file():
            raise VaultInvalid("there is no vault here", hint="`bauhinia wallet init` makes one.")
        os.chmod(path, 0o600)
        header = _read_header(path)
        wrapped = header.pop("wrapped", None)
        try:
            cost = Cost(int(header["operations"]), int(header["memory"]))
            key = unseal(
                unb64u(wrapped or ""),
                key=passphrase_key(passphrase, salt=unb64u(header["salt"]), cost=cost),
                place=canonical_json(header),
            )
            vault_id = str(header["vault"])
        except (SealBroken, Refusal, KeyError, ValueError, TypeError, AttributeError):
            raise VaultLocked("the vault does not open") from None
        if header.get("version") != VERSION:
            raise VaultInvalid("the vault was made by another version")
        vault = cls(path, stamp or stamp_path(vault_id), vault_id, key, randomness)
        try:
            vault._check_age()
        except VaultRolledBack:
            if not discard_copies:
                vault.close()
                raise
            vault._forget_copies()
        return vault

    def close(self) -> None:
        """Forget the data key. Python cannot wipe every copy of it: see docs/limitations.md."""
        # Not in the middle of another thread's transaction.
        with self._threads:
            self._key = b""
            self._database.close()

    # -- reading and writing

    def records(self, kind: str) -> list[Record]:
        """All records of one kind, in no order. Raises :class:`VaultRolledBack` if rows were put back."""
        with self._guarded():
            # Inside `writing` the age was checked when the transaction began.
            if self._connection.in_transaction:
                return self.read(kind)
            self._connection.execute("begin")
            try:
                self._check_age()
                return self.read(kind)
            finally:
                self._connection.execute("rollback")

    @contextmanager
    def writing(self) -> Generator[Writing]:
        """A transaction. When the block ends, all of it is on disk and the stamp outside says so."""
        with self._guarded(), self._locked():
            self._connection.execute("begin immediate")
            try:
                counter = self._check_age()
                yield Writing(self, self._connection)
                self._write_state(counter + 1)
                self._connection.execute("commit")
            except BaseException:
                self._connection.execute("rollback")
                raise
            self._write_stamp(counter + 1)

    def read(self, kind: str) -> list[Record]:
        found: list[Record] = []
        versions = self._connection.execute(
            "select id, substr(sealed, 1, ?) from rows where id != ?", (NONCE_BYTES, _STATE_ROW)
        ).fetchall()
        for key, nonce in versions:
            # What kind a version of a row is does not change: rows of other kinds are not unsealed again.
            if self._kinds.get((key, nonce), kind) == kind:
                (sealed,) = self._connection.execute(
                    "select sealed from rows where id = ?", (key,)
                ).fetchone()
                row = self.unseal_row(key, sealed)
                self._kinds[key, nonce] = row["kind"]
                if row["kind"] == kind:
                    found.append(Record(key.hex(), kind, row["body"]))
        return found

    def seal_row(self, key: bytes, row: Mapping[str, Any]) -> bytes:
        plaintext = dump_json(row)
        if len(plaintext) > _MAX_RECORD:
            raise VaultInvalid("record is too large for the vault")
        return seal(pad(plaintext), key=self._key, place=self._place(key), randomness=self.randomness)

    def unseal_row(self, key: bytes, sealed: bytes) -> dict[str, Any]:
        try:
            return load_json_object(
                unpad(unseal(sealed, key=self._key, place=self._place(key))), max_bytes=_MAX_RECORD
            )
        except (SealBroken, Refusal):
            raise VaultInvalid("a row of the vault was changed") from None

    # -- protection against older states

    @property
    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection = self._database.conn
        return connection

    def _place(self, row: bytes) -> bytes:
        return b"bauhinia vault|" + self.vault_id.encode() + b"|rows|" + row

    def _rows_digest(self) -> str:
        # A nonce is never used twice, so it names the version of its row.
        digest = hashlib.blake2b(digest_size=32)
        for key, nonce in self._connection.execute(
            "select id, substr(sealed, 1, ?) from rows where id != ? order by id", (NONCE_BYTES, _STATE_ROW)
        ):
            digest.update(key + nonce)
        return digest.hexdigest()

    def _write_state(self, counter: int) -> None:
        body = {"counter": counter, "rows": self._rows_digest()}
        self._connection.execute(
            "insert or replace into rows(id, sealed) values (?, ?)",
            (_STATE_ROW, self.seal_row(_STATE_ROW, {"kind": "state", "body": body})),
        )

    def _check_age(self) -> int:
        """The counter, once the rows are the ones it was written with and the stamp is not ahead of it."""
        row = self._connection.execute("select sealed from rows where id = ?", (_STATE_ROW,)).fetchone()
        if row is None:
            raise VaultInvalid("the vault lost its state")
        state = self.unseal_row(_STATE_ROW, row[0])["body"]
        counter: int = state["counter"]
        if state["rows"] != self._rows_digest():
            raise VaultRolledBack("rows of the vault were removed or put back")
        if self._read_stamp() > counter:
            raise VaultRolledBack("an older vault was put back")
        return counter

    def _read_stamp(self) -> int:
        try:
            sealed = self.stamp.read_bytes()
            return int.from_bytes(unseal(sealed, key=self._key, place=self._place(b"stamp")), "big")
        except FileNotFoundError:
            raise VaultRolledBack("the stamp that tells this vault's age is missing") from None
        except SealBroken:
            raise VaultRolledBack("the stamp that tells this vault's age was changed") from None
        except OSError:
            raise StoreUnavailable("the stamp that tells this vault's age cannot be read") from None

    def _write_stamp(self, counter: int) -> None:
        sealed = seal(
            counter.to_bytes(8, "big"),
            key=self._key,
            place=self._place(b"stamp"),
            randomness=self.randomness,
        )
        self.stamp.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = self.stamp.with_suffix(".new")
        try:
            with os.fdopen(os.open(fresh, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as file:
                file.write(sealed)
                file.flush()
                os.fsync(file.fileno())
            os.replace(fresh, self.stamp)
        except OSError:
            raise StoreUnavailable("the stamp that tells this vault's age cannot be written") from None

    def _forget_copies(self) -> None:
        with self._guarded(), self._locked():
            self._connection.execute("begin immediate")
            copies = [record.id for record in self.read("copy")]
            self._connection.executemany(
                "delete from rows where id = ?", [(bytes.fromhex(key),) for key in copies]
            )
            row = self._connection.execute("select sealed from rows where id = ?", (_STATE_ROW,)).fetchone()
            counter = self.unseal_row(_STATE_ROW, row[0])["body"]["counter"] if row else 0
            try:
                counter = max(counter, self._read_stamp())
            except VaultRolledBack:
                pass  # No usable stamp: a fresh one is written below.
            self._write_state(counter + 1)
            self._connection.execute("commit")
            self._write_stamp(counter + 1)

    @contextmanager
    def _locked(self) -> Generator[None]:
        """One writer at a time across processes, from the counter's reading to the stamp's writing."""
        self.stamp.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(self.stamp.with_suffix(".lock"), os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    @contextmanager
    def _guarded(self) -> Generator[None]:
        if not self._key:
            raise VaultLocked("the vault is closed")
        try:
            with self._threads:
                yield
        except sqlite3.Error:
            raise StoreUnavailable("the vault's file cannot be read or written") from None


def _connect(path: Path) -> Any:
    connection = sqlite3.connect(path, isolation_level=None, timeout=10, check_same_thread=False)
    try:
        for pragma in (
            "secure_delete=on",  # freed pages are zeroed
            "journal_mode=delete",  # no file beside the vault once a transaction has ended
            "temp_store=memory",
            "synchronous=extra",
            "trusted_schema=off",
        ):
            connection.execute(f"pragma {pragma}")
    except sqlite3.Error:
        connection.close()
        raise VaultInvalid("the file is not a vault") from None
    return Database(connection)


def _read_header(path: Path) -> dict[str, Any]:
    database = _connect(path)
    try:
        rows = database.conn.execute("select json from header").fetchall()
        return load_json_object(str(rows[0][0])) if len(rows) == 1 else {}
    except (sqlite3.Error, Refusal):
        raise VaultLocked("the vault's header was changed") from None
    finally:
        database.close()
