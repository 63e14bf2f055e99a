"""Is this copy revoked? Answered from lists that are already here: nothing is fetched, whatever it says.

Three outcomes: evidence that it is not, a refusal, or undetermined (no list, or too old a list).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from credentials.errors import (
    ConfigurationInvalid,
    Revoked,
    StatusListInvalid,
    StatusListTooSmall,
    StatusMissing,
    StatusReferenceInvalid,
    StatusStale,
    StatusUnavailable,
    StatusValueUnknown,
    Suspended,
)
from credentials.model import Seconds, StatusRef

from .statuslist import INVALID, SUSPENDED, VALID
from .token import CLOCK_SKEW, Encoding, SignedList

MIN_SIZE: Final = 131_072
"""The smallest crowd to be one of. A shorter list would point at its few holders."""

ENCODINGS: Final[dict[str, Encoding]] = {"dc+sd-jwt": "jwt", "mso_mdoc": "cwt"}
"""Which encoding of a list a format's credentials are looked up in."""

_URI: Final = re.compile(
    r"https://[a-z0-9](?:[a-z0-9.-]{0,250}[a-z0-9])?(?::[1-9][0-9]{0,4})?((?:/[A-Za-z0-9_~.-]+)+)"
)
_MAX_URI: Final = 300


@dataclass(frozen=True, slots=True)
class Freshness:
    """How old a list may be, in seconds since it was issued: up to ``green``, up to ``amber``, no older."""

    green: int = 8 * 3600
    amber: int = 30 * 3600


@dataclass(frozen=True, slots=True)
class StatusEvidence:
    """Not revoked, and how we know: a ``fresh`` or ``amber`` list ``issued`` then, or ``none`` was needed."""

    level: Literal["fresh", "amber", "none"]
    issued: Seconds | None


class Lists(Protocol):
    """The lists at hand."""

    def get(self, uri: str, encoding: Encoding) -> SignedList | None:
        """The newest list that calls itself ``uri``, or ``None``; must not fetch it."""
        ...


def check(
    status: StatusRef | None,
    *,
    format: str,
    required: bool,
    lists: Lists,
    now: Seconds,
    freshness: Freshness,
) -> StatusEvidence:
    """Look up a verified credential's ``status`` (Token Status List, section 8.3).

    ``required``: whether the policy insists that the type has a status. Raises :class:`Revoked`,
    :class:`Suspended`, :class:`StatusValueUnknown`, :class:`StatusMissing`, :class:`StatusIndexOutOfRange`,
    :class:`StatusListInvalid`, :class:`StatusListTooSmall`; undetermined: :class:`StatusUnavailable`,
    :class:`StatusStale`.
    """
    # 1. A type that is revoked needs a status; the credential cannot choose to have none.
    if status is None:
        if required:
            raise StatusMissing("the credential has no status, and this type needs one")
        return StatusEvidence("none", None)
    # 2. The list must be here already (step 2, "alternative methods of distribution").
    if format not in ENCODINGS:
        raise ConfigurationInvalid("no status list encoding for this credential format")
    encoding = ENCODINGS[format]
    signed = lists.get(status.uri, encoding)
    if signed is None:
        raise StatusUnavailable("the status list is not at hand")
    # 3. It is the list that the credential names (step 4: sub equals uri).
    if signed.uri != status.uri or signed.encoding != encoding:
        raise StatusListInvalid("the status list calls itself by another name")
    # 4. Its crowd is large enough to be lost in.
    if signed.list.size < MIN_SIZE:
        raise StatusListTooSmall(f"the status list has fewer than {MIN_SIZE} entries")
    # 5. The entry; an index outside the list is a refusal (step 6).
    value = signed.list.get(status.index)
    # 6. Revocation is final, so even an old list proves it.
    if value == INVALID:
        raise Revoked("the credential was revoked")
    # 7. Anything else holds only as long as the list is fresh (step 4, exp; the rest is policy).
    age = now - signed.issued
    if age < -CLOCK_SKEW:
        raise StatusListInvalid("status list was issued in the future")
    if age > freshness.amber or (signed.expires is not None and now >= signed.expires):
        raise StatusStale("the status list is too old")
    # 8. Only 0 is valid: reserved and application-specific values are not (section 7).
    if value == SUSPENDED:
        raise Suspended("the credential is suspended")
    if value != VALID:
        raise StatusValueUnknown("the status has a value that is not known")
    return StatusEvidence("fresh" if age <= freshness.green else "amber", signed.issued)


def refuse_tracking_uri(uri: str) -> None:
    """For the wallet: refuse a list address that could be made for one person.

    https, a host and a plain path; no query, fragment, user name, escape, or dot segment. Raises
    :class:`StatusReferenceInvalid`.
    """
    match = _URI.fullmatch(uri) if len(uri) <= _MAX_URI else None
    if match is None or any(segment in ("", ".", "..") for segment in match[1].split("/")[1:]):
        raise StatusReferenceInvalid("the status list's address is not https, host and plain path")


def refuse_tracking(copies: Sequence[StatusRef]) -> None:
    """For the wallet: refuse a batch whose status references would tell its copies or its holder apart.

    All copies of one batch share one list, each with an index of its own. Raises
    :class:`StatusReferenceInvalid`.
    """
    for status in copies:
        refuse_tracking_uri(status.uri)
    if len({status.uri for status in copies}) > 1:
        raise StatusReferenceInvalid("the copies of one batch are in different status lists")
    if len({status.index for status in copies}) != len(copies):
        raise StatusReferenceInvalid("two copies share one status index")
