"""From a person of the register to the claims of a credential. Pure: the day comes in as the window.

The claims of a type are the same set for everybody, whatever document showed who they are; what cannot be
stated is left out and a decoy stands in its place.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from datetime import date
from types import MappingProxyType
from typing import Final, Protocol

from credentials import calendar
from credentials.catalog import ClaimType, CredentialType
from credentials.encoding import b64u
from credentials.errors import MintRefused, NotEntitled
from credentials.model import Claims, Value, Window
from credentials.rules import Fact, Facts, Range, entitle

from .person import NOT_RESIDENT, Identity, Person, identity_record

NULLIFIER_BYTES: Final = 16
"""Enough that no two of some millions of people collide, short enough for an mdoc item."""

NOT_ORDINARILY_RESIDENT: Final = frozenset(
    {"imported_worker", "domestic_helper", "visitor", "consular", "refugee"}
)
"""Stays that are not ordinary residence (Immigration Ordinance, Cap. 115 s.2(4))."""

_CLASSES: Final = {
    "A": "right_of_abode",
    "R": "right_to_land",
    "U": "unconditional_stay",
    "C": "conditional_stay",
}
_SPONSORED: Final = frozenset({"employment", "imported_worker", "domestic_helper"})
_FREE_TO_WORK: Final = frozenset({"dependant", "one_way_permit", "iang"})
_CVS_DAY: Final = date(2023, 5, 29)


class ClaimKeys(Protocol):
    """The two keys that claims need, 32 bytes each."""

    @property
    def record(self) -> bytes:
        """MACs an identity into the issuer's record of it."""
        ...

    @property
    def scheme(self) -> bytes:
        """Root of the per-scheme nullifier keys."""
        ...


def claims_for(type: CredentialType, person: Person, window: Window, keys: ClaimKeys) -> Claims:
    """What the issuer states about ``person`` in a credential of ``type`` valid for ``window``.

    Raises :class:`NotEntitled` where the rule of a scheme says no, or where there is no number to state.
    """
    if type.rule is not None:
        values = _eligibility(type, person, window, keys)
    elif type.name in _BY_TYPE:
        values = _BY_TYPE[type.name](type, person, window)
    else:
        raise MintRefused(f"nobody can state {type.name}")
    for name, value in values.items():
        _check(type.claim(name), value)
    return Claims(type, MappingProxyType(values))


def nullifier(type: CredentialType, identity: Identity, keys: ClaimKeys) -> str:
    """One value per person and scheme, unrelated between schemes: PRF(K_scheme, rec), 16 bytes base64url."""
    scheme_key = hmac.digest(keys.scheme, f"bauhinia/scheme/v1|{type.scheme}".encode(), hashlib.sha256)
    record = identity_record(keys.record, identity)
    return b64u(hmac.digest(scheme_key, record, hashlib.sha256)[:NULLIFIER_BYTES])


def facts_of(person: Person, window: Window) -> Facts:
    """The facts that rules may name, true on every day of ``window``; unknown ones are missing.

    Ages, and years of residence, are the range they have over the window and over what is unknown of the
    birth date. Status of residence is that of the first day: when it lapses, :func:`lapsed` finds it and
    the next publication revokes.
    """
    first, last = calendar.first_day(window), calendar.last_day(window)
    facts: dict[str, Fact] = {
        **person.reported,
        **_residence(person, first),
        "age": Range(*calendar.age_range(person.birth, window)),
        "year_age": Range(*calendar.year_age_range(person.birth, window)),
        "age_on_2023_05_29": _age_on(person, _CVS_DAY, _CVS_DAY),
        "age_on_voter_cut_off": _age_on(person, _voter_cut_off(first), _voter_cut_off(last)),
        "evidence": person.evidence,
        "purpose": person.purpose,
    }
    if facts.get("resident") is False:
        facts["years_resident"] = 0
    elif person.resident_since is not None:
        facts["years_resident"] = Range(
            calendar.years_between(person.resident_since, first),
            calendar.years_between(person.resident_since, last),
        )
    return facts


def _age_on(person: Person, first: date, last: date) -> Range:
    return Range(
        calendar.years_between(person.birth.latest(), first),
        calendar.years_between(person.birth.earliest(), last),
    )


def _voter_cut_off(day: date) -> date:
    cut_off = date(day.year, 9, 25)
    return cut_off if day <= cut_off else date(day.year + 1, 9, 25)


def permission_expired(person: Person, day: date) -> bool | None:
    """Whether a limited stay is over on ``day``; ``None`` when the register does not say until when it is."""
    if person.stay in ("A", "R", "U"):
        return False
    if person.stay != "C" or person.stay_until is None:
        return None
    return person.stay_until < day


def lapsed(type: CredentialType, person: Person, window: Window, today: Window) -> bool:
    """Whether a copy of ``window`` says what the register no longer does. ``today`` is one day long.

    An entitlement lapses when its rule is not certainly met today; residence, when a status that held on the
    first day of the window has ended; the number, when none is registered. Personal details do not lapse.
    """
    if type.rule is not None:
        try:
            entitle(type.rule, facts_of(person, today))
        except NotEntitled:
            return True
        return False
    if type.name == "residency/1":
        first, now = calendar.first_day(window), calendar.first_day(today)
        return _residence(person, first) != _residence(person, now)
    return type.name == "hkid-number/1" and person.hkid is None


def _residence(person: Person, day: date) -> dict[str, Fact]:
    """Symbols of the card to rights, one by one; what depends on an unknown end of stay is missing."""
    facts: dict[str, Fact] = {
        "permanent_resident": person.stay == "A",
        "right_of_abode": person.stay == "A",
        "right_to_land": person.stay in ("A", "R"),
    }
    expired = permission_expired(person, day)
    if expired is not None:
        facts["permission_expired"] = expired
    if person.stay == "none" or person.evidence in NOT_RESIDENT:
        facts["resident"] = False
    elif expired is not None:
        facts["resident"] = not expired
    excluded = [
        facts.get("resident") is False,
        person.purpose in NOT_ORDINARILY_RESIDENT,
        person.reported.get("detained"),
        person.reported.get("permanently_departed"),
    ]
    if True in excluded:
        facts["ordinarily_resident"] = False
    elif None not in excluded and "resident" in facts:
        facts["ordinarily_resident"] = True
    return facts


# --- One function per type


def _age(_type: CredentialType, person: Person, window: Window) -> dict[str, Value]:
    return calendar.age_claims(person.birth, window)


def _residency(_type: CredentialType, person: Person, window: Window) -> dict[str, Value]:
    facts = facts_of(person, window)
    resident = facts.get("resident")
    values: dict[str, Value | None] = {
        # Nobody is said to live here who does not; nor does the absence of the claim say where else.
        "resident_country": "HK" if resident is True else None,
        "is_hk_resident": _boolean(resident),
        "is_permanent_resident": _boolean(facts["permanent_resident"]),
        "has_right_of_abode": _boolean(facts["right_of_abode"]),
        "has_right_to_land": _boolean(facts["right_to_land"]),
        "stay_unconditional": person.stay in ("A", "R", "U"),
        "residency_class": _class(person, resident),
        "resident_years_ge_3": _at_least(facts.get("years_resident"), 3),
        "resident_years_ge_7": _at_least(facts.get("years_resident"), 7),
        "ordinarily_resident": _boolean(facts.get("ordinarily_resident")),
        "continuous_1y_absence_le_90d": _continuous(facts),
        "as_of_week": calendar.week(window),
        "permission_to_work": _permission_to_work(person, resident),
        "home_district": person.home_district or None,
    }
    return {name: value for name, value in values.items() if value is not None}


def _boolean(fact: Fact | None) -> bool | None:
    return fact if isinstance(fact, bool) else None


def _at_least(fact: Fact | None, limit: int) -> bool | None:
    if isinstance(fact, Range):
        # A year that is completed inside the window is stated by a credential of a later day.
        return fact.low >= limit if (fact.low >= limit) == (fact.high >= limit) else None
    return fact >= limit if isinstance(fact, int) else None


def _class(person: Person, resident: Fact | None) -> str | None:
    if person.evidence == "consular_card":
        return "exempt"
    if resident is None:
        return None
    return _CLASSES[person.stay] if resident else "none"


def _continuous(facts: Facts) -> bool | None:
    if facts.get("resident") is False:
        return False
    a_year, absence = _at_least(facts.get("years_resident"), 1), facts.get("absence_last_1y")
    if a_year is None or not isinstance(absence, int):
        return None
    return a_year and absence <= 90


def _permission_to_work(person: Person, resident: Fact | None) -> str | None:
    if resident is None:
        return None
    if not resident:
        return "none"
    if person.stay in ("A", "R", "U") or person.purpose in _FREE_TO_WORK:
        return "any"
    return "sponsored" if person.purpose in _SPONSORED else "none"


def _base(type: CredentialType, person: Person, _window: Window) -> dict[str, Value]:
    values: dict[str, Value] = {
        "family_name": person.family_name,
        "given_name": person.given_name,
        "name_zh": person.name_zh,
        "name_zh_ccc": person.name_zh_ccc,
        "birthdate": str(person.birth),
        "birthdate_precision": person.birth.precision,
        "sex": person.sex,
        "nationalities": person.nationalities,
        "identity_evidence": person.evidence,
        "card_first_registered": person.card_first_registered,
        "issuing_country": "HK",
        "issuing_authority": "Bauhinia",
    }
    # A name too long for an mdoc item is left out rather than cut: half a name is another name.
    return {
        name: value for name, value in values.items() if value not in ("", ()) and _fits(type, name, value)
    }


def unstated(type: CredentialType, person: Person) -> tuple[str, ...]:
    """The names of ``person`` that are too long for ``base/1`` and so are left out of it, by claim name."""
    names = ("family_name", "given_name", "name_zh", "name_zh_ccc")
    return tuple(name for name in names if not _fits(type, name, getattr(person, name)))


def _fits(type: CredentialType, name: str, value: Value) -> bool:
    limit = type.claim(name).max_bytes
    return limit is None or not isinstance(value, str) or len(value.encode()) <= limit


def _hkid_number(_type: CredentialType, person: Person, _window: Window) -> dict[str, Value]:
    if person.hkid is None:
        raise NotEntitled("the register has no identity card number for this person")
    return {"personal_administrative_number": person.hkid.canonical}


def _eligibility(type: CredentialType, person: Person, window: Window, keys: ClaimKeys) -> dict[str, Value]:
    if type.rule is None:
        raise MintRefused(f"{type.name} has no rule")
    entitlement = entitle(type.rule, facts_of(person, window))
    return {
        "eligible": True,
        "tier": entitlement.tier,
        "valid_week": calendar.week(window),
        "rule_version": entitlement.version,
        "scheme_nullifier": nullifier(type, person.identity, keys),
    }


_BY_TYPE: Final[Mapping[str, Callable[[CredentialType, Person, Window], dict[str, Value]]]] = {
    "age/1": _age,
    "residency/1": _residency,
    "base/1": _base,
    "hkid-number/1": _hkid_number,
}


def _check(claim: ClaimType, value: Value) -> None:
    """The catalogue is what verifiers read values by: nothing else is signed."""
    kind = (
        "boolean"
        if isinstance(value, bool)
        else "integer"
        if isinstance(value, int)
        else "strings"
        if isinstance(value, tuple)
        else "date"
        if claim.kind == "date"
        else "string"
    )
    if kind != claim.kind:
        raise MintRefused(f"{claim.name} is of another kind than the catalogue says")
    if claim.enum is not None and value not in claim.enum:
        raise MintRefused(f"{claim.name} holds a value that the catalogue does not list")
    if isinstance(value, str) and claim.max_bytes is not None and len(value.encode()) > claim.max_bytes:
        raise MintRefused(f"{claim.name} is longer than the catalogue allows")
    if isinstance(value, tuple) and claim.max_items is not None and len(value) > claim.max_items:
        raise MintRefused(f"{claim.name} has more entries than the catalogue allows")
