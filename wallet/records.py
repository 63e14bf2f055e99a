"""What the vault keeps, as values: grants, batches, copies, log entries, settings.

Each has ``body()``, what is written, and ``of(record)``, the way back. A record that does not read back means
that another version wrote the vault: :class:`VaultInvalid`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from cryptography.hazmat.primitives.asymmetric import ec

from credentials.encoding import b64u, unb64u
from credentials.errors import Refusal, VaultInvalid
from credentials.keys import HolderKey, PublicKey, software_sign
from credentials.model import Seconds, Window

from .vault import Record

_CURVE: Final = ec.SECP256R1()
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A P-256 private key as its scalar (32 bytes, big-endian). Held in software: docs/limitations.md."""

    scalar: bytes

    @classmethod
    def generate(cls) -> StoredKey:
        number = ec.generate_private_key(_CURVE).private_numbers().private_value
        return cls(number.to_bytes(32, "big"))

    def holder(self) -> HolderKey:
        try:
            key = ec.derive_private_key(int.from_bytes(self.scalar, "big"), _CURVE)
        except ValueError:
            raise VaultInvalid("a key in the vault is not a P-256 key") from None
        return HolderKey(software_sign(key), PublicKey.of(key.public_key()))

    def __repr__(self) -> str:
        return "StoredKey(…)"


@dataclass(frozen=True, slots=True)
class Grant:
    """A standing with one issuer: what may be fetched there again, and the key its tokens are bound to.

    Without ``refresh_token`` (after a restore, or when the issuer gave none) the holder signs in again.
    """

    id: str
    issuer: str
    configurations: tuple[str, ...]
    refresh_token: str | None
    key: StoredKey

    def body(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "configurations": list(self.configurations),
            "refresh_token": self.refresh_token,
            "key": b64u(self.key.scalar),
        }

    @classmethod
    def of(cls, record: Record) -> Grant:
        body = record.body
        return _read(
            lambda: cls(
                record.id,
                body["issuer"],
                tuple(body["configurations"]),
                body["refresh_token"],
                StoredKey(unb64u(body["key"])),
            )
        )


@dataclass(frozen=True, slots=True)
class Batch:
    """What the copies of one issuance have in common. ``type`` is the vct or docType.

    ``claims`` is shaped as in ``Disclosed.claims``, read once when the batch was accepted. ``refill_at`` was
    drawn at random then, so that nobody's fetching keeps a rhythm of its own. ``revoked`` is what a status
    list said: it is final.
    """

    id: str
    issuer: str
    configuration: str
    format: str
    type: str
    window: Window
    claims: Mapping[str, Any]
    status_uri: str | None
    refill_at: Seconds
    revoked: bool = False

    def body(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "configuration": self.configuration,
            "format": self.format,
            "type": self.type,
            "window": [self.window.start, self.window.end],
            "claims": self.claims,
            "status_uri": self.status_uri,
            "refill_at": self.refill_at,
            "revoked": self.revoked,
        }

    @classmethod
    def of(cls, record: Record) -> Batch:
        body = record.body
        return _read(
            lambda: cls(
                id=record.id,
                issuer=body["issuer"],
                configuration=body["configuration"],
                format=body["format"],
                type=body["type"],
                window=Window(*body["window"]),
                claims=body["claims"],
                status_uri=body["status_uri"],
                refill_at=body["refill_at"],
                revoked=bool(body.get("revoked", False)),
            )
        )


@dataclass(frozen=True, slots=True)
class Copy:
    """One copy, to be shown once. A spent one keeps neither credential nor key, only its place.

    ``index`` is its place in the status list, where it has one.
    """

    id: str
    batch: str
    spent: bool
    credential: bytes
    key: StoredKey | None
    index: int | None = None

    def spend(self) -> Copy:
        return replace(self, spent=True, credential=b"", key=None, index=None)

    def body(self) -> dict[str, Any]:
        return {
            "batch": self.batch,
            "spent": self.spent,
            "credential": self.credential.decode("ascii"),
            "key": b64u(self.key.scalar) if self.key else None,
            "index": self.index,
        }

    @classmethod
    def of(cls, record: Record) -> Copy:
        body = record.body
        return _read(
            lambda: cls(
                record.id,
                body["batch"],
                bool(body["spent"]),
                body["credential"].encode("ascii"),
                StoredKey(unb64u(body["key"])) if body["key"] else None,
                body.get("index"),
            )
        )


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the holder's log. ``event`` is accepted, refilled, shown, declined, unanswered, refused
    or revoked.

    ``claims`` are names, never values. ``code`` is the error code where the event was not a success.
    ``serial`` keeps the order of entries of one second.
    """

    when: Seconds
    event: str
    who: Mapping[str, str]
    party: str
    purpose: Mapping[str, str]
    types: tuple[str, ...] = ()
    formats: tuple[str, ...] = ()
    claims: tuple[str, ...] = ()
    code: str = ""
    serial: int = 0

    def body(self) -> dict[str, Any]:
        return {
            "when": self.when,
            "event": self.event,
            "who": dict(self.who),
            "party": self.party,
            "purpose": dict(self.purpose),
            "types": list(self.types),
            "formats": list(self.formats),
            "claims": list(self.claims),
            "code": self.code,
            "serial": self.serial,
        }

    @classmethod
    def of(cls, record: Record) -> Entry:
        return cls.read(record.body)

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Entry:
        return _read(
            lambda: cls(
                when=int(body["when"]),
                event=str(body["event"]),
                who=_texts(body["who"]),
                party=str(body["party"]),
                purpose=_texts(body["purpose"]),
                types=tuple(map(str, body["types"])),
                formats=tuple(map(str, body["formats"])),
                claims=tuple(map(str, body["claims"])),
                code=str(body["code"]),
                serial=int(body["serial"]),
            )
        )


@dataclass(frozen=True, slots=True)
class Settings:
    """``trust_root`` is the pinned key of the trust list (JWK); ``newest_sequence`` only ever grows."""

    trust_root: Mapping[str, str]
    trust_list: str
    newest_sequence: int
    ca: str | None
    loopback_origins: tuple[str, ...]

    def body(self) -> dict[str, Any]:
        return {
            "trust_root": dict(self.trust_root),
            "trust_list": self.trust_list,
            "newest_sequence": self.newest_sequence,
            "ca": self.ca,
            "loopback_origins": list(self.loopback_origins),
        }

    @classmethod
    def of(cls, record: Record) -> Settings:
        return cls.read(record.body)

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Settings:
        return _read(
            lambda: cls(
                trust_root=_texts(body["trust_root"]),
                trust_list=str(body["trust_list"]),
                newest_sequence=int(body["newest_sequence"]),
                ca=None if body["ca"] is None else str(body["ca"]),
                loopback_origins=tuple(map(str, body["loopback_origins"])),
            )
        )


def _texts(value: Mapping[str, Any]) -> dict[str, str]:
    return {str(name): str(text) for name, text in value.items()}


def _read(make: Callable[[], T]) -> T:
    try:
        return make()
    except (KeyError, TypeError, ValueError, AttributeError, Refusal):
        raise VaultInvalid("a record of the vault does not read") from None
