"""A backup that cannot clone a wallet: where to fetch again, the settings and the log. No key, no copy.

One-time copies and their keys never leave the vault: two places that hold them would show them twice. So a
restored wallet knows which issuers to go back to, and the holder signs in there again.

    {"bauhinia_backup": 1, "kdf": "argon2id13", "operations": …, "memory": …, "salt": …, "sealed": …}

``sealed`` is padded JSON under a key from the passphrase; the other members are its associated data.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from credentials.encoding import b64u, canonical_json, dump_json, load_json_object, unb64u
from credentials.errors import BackupInvalid, Refusal, VaultInvalid
from credentials.model import Randomness

from .records import Entry, Settings
from .sealing import MODERATE, SALT_BYTES, Cost, SealBroken, pad, passphrase_key, seal, unpad, unseal

VERSION: Final = 1
MAX_BYTES: Final = 32 << 20


@dataclass(frozen=True, slots=True)
class Reissue:
    """An instruction: fetch these configurations again from this issuer."""

    issuer: str
    configurations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Backup:
    reissue: tuple[Reissue, ...]
    settings: Settings
    log: tuple[Entry, ...]


def write_backup(
    reissue: Iterable[Reissue],
    settings: Settings,
    log: Iterable[Entry],
    *,
    passphrase: str,
    randomness: Randomness,
    cost: Cost = MODERATE,
) -> bytes:
    """One JSON text, ASCII."""
    header: dict[str, Any] = {
        "bauhinia_backup": VERSION,
        "kdf": "argon2id13",
        "operations": cost.operations,
        "memory": cost.memory,
        "salt": b64u(randomness(SALT_BYTES)),
    }
    content = dump_json(
        {
            "reissue": [
                {"issuer": item.issuer, "configurations": list(item.configurations)} for item in reissue
            ],
            "settings": settings.body(),
            "log": [entry.body() for entry in log],
        }
    )
    sealed = seal(
        pad(content),
        key=passphrase_key(passphrase, salt=unb64u(header["salt"]), cost=cost),
        place=canonical_json(header),
        randomness=randomness,
    )
    return dump_json({**header, "sealed": b64u(sealed)}) + b"\n"


def read_backup(data: bytes, *, passphrase: str) -> Backup:
    """The way back. Raises :class:`BackupInvalid` for everything: a wrong passphrase, a truncated file, a
    file of another version, a changed byte."""
    try:
        header = load_json_object(data, max_bytes=MAX_BYTES)
        sealed = header.pop("sealed")
        if header.get("bauhinia_backup") != VERSION or header.get("kdf") != "argon2id13":
            raise BackupInvalid("not a backup of this version")
        cost = Cost(int(header["operations"]), int(header["memory"]))
        content = load_json_object(
            unpad(
                unseal(
                    unb64u(sealed),
                    key=passphrase_key(passphrase, salt=unb64u(header["salt"]), cost=cost),
                    place=canonical_json(header),
                )
            ),
            max_bytes=MAX_BYTES,
        )
        return Backup(
            reissue=tuple(
                Reissue(str(item["issuer"]), tuple(map(str, item["configurations"])))
                for item in content["reissue"]
            ),
            settings=Settings.read(content["settings"]),
            log=tuple(Entry.read(entry) for entry in content["log"]),
        )
    except (SealBroken, Refusal, VaultInvalid, KeyError, ValueError, TypeError, AttributeError):
        raise BackupInvalid(
            "the backup does not open", hint="The passphrase is wrong, or the file was changed or cut short."
        ) from None
