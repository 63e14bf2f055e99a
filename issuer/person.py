"""What a register says of one person. It never leaves the issuer whole; claims are derived from it."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Final, TypeAlias

from credentials import hkid as hkids
from credentials.calendar import PartialDate
from credentials.errors import RegisterRowInvalid
from credentials.hkid import Hkid

EVIDENCE: Final = (
    "hkic",
    "hkpic",
    "exemption_certificate",
    "consular_card",
    "travel_document",
    "recognizance",
    "sponsor_attested",
)
"""Documents that show who somebody is; ``hkic`` and ``hkpic`` carry an identity card number."""

NOT_RESIDENT: Final = frozenset(EVIDENCE[3:])
"""Evidence of people without a status of residence."""

STAY: Final = ("A", "R", "U", "C", "none")
"""Right of abode, right to land, stay not limited, stay limited, no status of residence."""

PURPOSES: Final = (
    "settled",
    "employment",
    "imported_worker",
    "domestic_helper",
    "dependant",
    "one_way_permit",
    "student",
    "iang",
    "visitor",
    "consular",
    "refugee",
)
"""Why somebody stays."""

DISTRICTS: Final = (
    "CW", "EST", "STH", "WC", "KT", "KLC", "SSP", "WTS", "YTM",
    "ILD", "KC", "NTH", "SK", "ST", "TM", "TP", "TW", "YL",
)  # fmt: skip
"""The eighteen districts, by the codes of the government address service."""

REPORTED_BOOLEANS: Final = (
    "conditions_of_stay",
    "permanently_departed",
    "receives_cssa",
    "cssa_100pct_disabled",
    "receives_da",
    "receives_oaa",
    "receives_oala",
    "owns_property",
    "detained",
    "disqualified_voter",
    "enrolled_student",
)
REPORTED_INTEGERS: Final = ("absence_last_1y", "monthly_income", "assets")
"""Facts of ``credentials.rules`` that other departments report; one that is absent is unknown."""

_DOCUMENT: Final = re.compile(r"[A-Z0-9]{4,20}")


@dataclass(frozen=True, slots=True, repr=False)
class Document:
    """Evidence without an identity card number: its kind, and its number in capitals without spaces."""

    kind: str
    number: str

    def __post_init__(self) -> None:
        if self.kind not in EVIDENCE[2:] or not _DOCUMENT.fullmatch(self.number):
            raise RegisterRowInvalid("not a document of identity")

    def __repr__(self) -> str:
        return "Document(…)"


Identity: TypeAlias = "Hkid | Document"
"""What tells one person from every other."""


@dataclass(frozen=True, slots=True, repr=False)
class Person:
    """One row. Empty text and ``None`` mean unknown. ``repr`` says nothing.

    ``resident_since`` is the first day of the present continuous residence; ``stay_until`` is the last
    day of a limited stay. ``guardian`` is set for minors whose guardian is registered.
    """

    identity: Identity
    evidence: str
    birth: PartialDate
    family_name: str
    given_name: str
    sex: int
    stay: str
    purpose: str
    name_zh: str = ""
    name_zh_ccc: str = ""
    nationalities: tuple[str, ...] = ()
    card_first_registered: str = ""
    stay_until: date | None = None
    resident_since: date | None = None
    home_district: str = ""
    guardian: Identity | None = None
    reported: Mapping[str, bool | int] = field(default_factory=dict[str, "bool | int"])

    @property
    def hkid(self) -> Hkid | None:
        return self.identity if isinstance(self.identity, Hkid) else None

    def __repr__(self) -> str:
        return "Person(…)"


def identity_record(key: bytes, identity: Identity) -> bytes:
    """The issuer's only trace of who somebody is: a keyed PRF of the number, 32 bytes.

    For an identity card number ``credentials.hkid.record``; for a document the same over its kind and
    number, which can never equal one of the former.
    """
    if isinstance(identity, Hkid):
        return hkids.record(key, identity)
    message = f"bauhinia/v1|{identity.kind}|{identity.number}"
    return hmac.digest(key, message.encode("ascii"), hashlib.sha256)
