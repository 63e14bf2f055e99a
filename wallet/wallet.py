"""An unlocked wallet: the vault, the way out to the network, the clock, the randomness, in one value.

``exchange.py`` (with issuers) and ``presenting.py`` (with verifiers) act on it; ``holding.py`` judges.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from credentials.catalog import Catalogue
from credentials.errors import VaultInvalid
from credentials.keys import PublicKey
from credentials.model import Randomness, Seconds
from credentials.trust import Trust, open_trust_list
from web.egress import Egress

from .holding import Holding, holdings
from .records import Batch, Copy, Entry, Grant, Settings, StoredKey
from .vault import Record, Vault, Writing

LOG_LIMIT: Final = 1000
"""Entries kept; the oldest go first."""


def clock() -> Seconds:
    return int(time.time())


@dataclass(frozen=True)
class Wallet:
    """``pause`` waits a number of seconds; ``make_key`` makes the key of one copy."""

    vault: Vault
    egress: Egress
    catalogue: Catalogue
    now: Callable[[], Seconds] = clock
    randomness: Randomness = os.urandom
    pause: Callable[[float], None] = time.sleep
    make_key: Callable[[], StoredKey] = StoredKey.generate

    def settings(self) -> Settings:
        return read_settings(self.vault)

    def trust(self) -> Trust:
        """The trust list as last fetched, opened again with the pinned key. Raises as ``open_trust_list``."""
        return open_trust(self.settings(), now=self.now())

    def learn_trust_list(self, data: bytes) -> bool:
        """Keep a newer trust list; gives whether it was newer. Raises as ``open_trust_list``."""
        settings = self.settings()
        trust = open_trust_list(
            data,
            root=PublicKey.from_jwk(settings.trust_root),
            now=self.now(),
            newest_sequence=settings.newest_sequence,
        )
        newer = data.decode("ascii") != settings.trust_list
        if newer:
            with self.vault.writing() as rows:
                for record in rows.records("settings"):
                    fresh = replace(
                        Settings.of(record), trust_list=data.decode("ascii"), newest_sequence=trust.sequence
                    )
                    rows.put("settings", fresh.body(), id=record.id)
        return newer

    def holdings(self) -> tuple[Holding, ...]:
        return holdings(map(Batch.of, self.vault.records("batch")), map(Copy.of, self.vault.records("copy")))

    def grants(self) -> tuple[Grant, ...]:
        return tuple(map(Grant.of, self.vault.records("grant")))

    def log(self) -> tuple[Entry, ...]:
        """The holder's log, newest first."""
        return tuple(sorted(map(Entry.of, self.vault.records("log")), key=lambda e: e.serial, reverse=True))

    def issuer_name(self, issuer: str) -> Mapping[str, str]:
        for entry in self.trust().issuers:
            if entry.id == issuer:
                return entry.name
        return {"en": issuer}


def read_settings(vault: Vault) -> Settings:
    records = vault.records("settings")
    if len(records) != 1:
        raise VaultInvalid("the vault has no settings", hint="`bauhinia wallet init` makes a new vault.")
    return Settings.of(records[0])


def open_trust(settings: Settings, *, now: Seconds) -> Trust:
    return open_trust_list(
        settings.trust_list.encode("ascii"),
        root=PublicKey.from_jwk(settings.trust_root),
        now=now,
        newest_sequence=settings.newest_sequence,
    )


def write_log(rows: Writing, entry: Entry) -> tuple[str, Entry]:
    """Append to the log, never beyond :data:`LOG_LIMIT` entries; gives the row id and the numbered entry."""
    kept: list[Record] = sorted(rows.records("log"), key=lambda record: int(record.body["serial"]))
    for record in kept[: max(0, len(kept) - LOG_LIMIT + 1)]:
        rows.delete(record.id)
    numbered = replace(entry, serial=int(kept[-1].body["serial"]) + 1 if kept else 1)
    return rows.put("log", numbered.body()), numbered
