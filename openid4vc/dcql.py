"""A DCQL query, and which credentials satisfy it with the least shown (OpenID4VP 1.0, sections 6 and 7).

Both ends: the wallet plans (:func:`plan`), the verifier checks what came back (:func:`check`). The query is
data from a stranger: it is read under caps, unknown members are ignored, nothing in it is executed.

Where the specification leaves a choice, less is shown: optional credential sets are not answered unless the
caller asks; among credentials that fit equally, the one that shows fewest values; of ``claim_sets`` the
first that the wallet can satisfy, because their order is the verifier's preference (section 6.4.1). Stricter
than the text: a claim pointed to twice makes the query invalid (the text lets wallets ignore the repetition).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Final, cast

from credentials.errors import NoMatchingCredential, QueryInvalid, QueryNotSatisfied
from credentials.model import ClaimPath, Disclosed

from .members import Members

MAX_CREDENTIALS: Final = 20
MAX_CLAIMS: Final = 100
MAX_PATH: Final = 8
MAX_VALUES: Final = 50
MAX_CLAIM_SETS: Final = 20
MAX_CREDENTIAL_SETS: Final = 10
MAX_COMBINATIONS: Final = 4096
MAX_INDEX: Final = 10_000
MAX_PRESENTATIONS: Final = 20
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")

SD_JWT: Final = "dc+sd-jwt"
MDOC: Final = "mso_mdoc"


# --- The query


@dataclass(frozen=True, slots=True)
class ClaimQuery:
    """One claim asked for. ``values`` empty means any value; else one of them, type and value alike."""

    id: str | None
    path: ClaimPath
    values: tuple[str | int | bool, ...] = ()


@dataclass(frozen=True, slots=True)
class TrustedAuthority:
    """``type`` is ``aki``, ``etsi_tl`` or ``openid_federation``; only ``aki`` is ever matched here."""

    type: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CredentialQuery:
    """One credential asked for. ``types`` are vct values, or the one doctype.

    ``claims`` empty means: nothing that can be withheld. ``claim_sets`` holds claims, already looked up;
    without ``claim_sets`` in the query it is the one option "all claims".
    """

    id: str
    format: str
    types: tuple[str, ...]
    claims: tuple[ClaimQuery, ...]
    claim_sets: tuple[tuple[ClaimQuery, ...], ...]
    multiple: bool = False
    trusted_authorities: tuple[TrustedAuthority, ...] = ()


@dataclass(frozen=True, slots=True)
class CredentialSetQuery:
    options: tuple[tuple[str, ...], ...]
    required: bool


@dataclass(frozen=True, slots=True)
class Query:
    """A whole query. ``credential_sets`` empty means every credential is required."""

    credentials: tuple[CredentialQuery, ...]
    credential_sets: tuple[CredentialSetQuery, ...] = ()

    def credential(self, query_id: str) -> CredentialQuery:
        for credential in self.credentials:
            if credential.id == query_id:
                return credential
        raise QueryNotSatisfied("a credential was named that the query does not name")


def parse_query(obj: object) -> Query:
    """Read ``dcql_query`` (section 6). Raises :class:`QueryInvalid`."""
    query = Members(obj, refusal=QueryInvalid, where="dcql_query")
    credentials = tuple(_credential(c) for c in query.members("credentials", limit=MAX_CREDENTIALS))
    ids = {credential.id for credential in credentials}
    if len(ids) != len(credentials):
        raise query.refuse("credentials", "repeats an id")
    sets: tuple[CredentialSetQuery, ...] = ()
    if query.has("credential_sets"):
        sets = tuple(
            _credential_set(s, ids) for s in query.members("credential_sets", limit=MAX_CREDENTIAL_SETS)
        )
        # One more choice for each optional set: leaving it out.
        if prod(len(s.options) + (not s.required) for s in sets) > MAX_COMBINATIONS:
            raise query.refuse("credential_sets", "allow too many combinations")
    return Query(credentials, sets)


def _id(members: Members) -> str:
    text = members.text("id")
    if not _ID.fullmatch(text):
        raise members.refuse("id", "is not 1 to 64 letters, digits, underscores and hyphens")
    return text


def _credential(members: Members) -> CredentialQuery:
    query_id, format_ = _id(members), members.text("format")
    meta = members.member("meta")
    if format_ == SD_JWT:
        types = meta.texts("vct_values", limit=MAX_VALUES)
    elif format_ == MDOC:
        types = (meta.text("doctype_value"),)
    else:
        # An unknown format can never match; it must not make the rest of the query unreadable.
        types = ()
    # Presentations without holder binding can be replayed by anybody who sees one: never answered.
    if not members.boolean("require_cryptographic_holder_binding", default=True):
        raise members.refuse("require_cryptographic_holder_binding", "false is not supported")
    authorities: tuple[TrustedAuthority, ...] = ()
    if members.has("trusted_authorities"):
        authorities = tuple(
            TrustedAuthority(a.text("type"), a.texts("values", limit=MAX_VALUES))
            for a in members.members("trusted_authorities", limit=MAX_VALUES)
        )
    claims: tuple[ClaimQuery, ...] = ()
    if members.has("claims"):
        claims = tuple(_claim(claim, format_) for claim in members.members("claims", limit=MAX_CLAIMS))
    named = {claim.id: claim for claim in claims if claim.id is not None}
    if len(named) != sum(claim.id is not None for claim in claims):
        raise members.refuse("claims", "repeat an id")
    if len({_typed(claim.path) for claim in claims}) != len(claims):
        raise members.refuse("claims", "point to the same claim twice")
    return CredentialQuery(
        id=query_id,
        format=format_,
        types=types,
        claims=claims,
        claim_sets=_claim_sets(members, claims, named),
        multiple=members.boolean("multiple", default=False),
        trusted_authorities=authorities,
    )


def _claim(members: Members, format_: str) -> ClaimQuery:
    path = members.array("path", limit=MAX_PATH)
    for part in path:
        if part is None or (isinstance(part, str) and len(part) <= 256):
            continue
        if isinstance(part, bool) or not isinstance(part, int) or not 0 <= part <= MAX_INDEX:
            raise members.refuse("path", "is not made of names, null and indices")
    if format_ == MDOC:
        if len(path) != 2 or not all(isinstance(part, str) for part in path):
            raise members.refuse("path", "of an mdoc is not a namespace and an element")
        members.boolean("intent_to_retain", default=False)
    values: tuple[object, ...] = ()
    if members.has("values"):
        values = members.array("values", limit=MAX_VALUES)
        if not all(isinstance(v, bool | int) or (isinstance(v, str) and len(v) <= 1024) for v in values):
            raise members.refuse("values", "are not strings, integers and booleans")
    return ClaimQuery(
        id=_id(members) if members.has("id") else None,
        path=cast("ClaimPath", path),
        values=cast("tuple[str | int | bool, ...]", values),
    )


def _claim_sets(
    members: Members, claims: tuple[ClaimQuery, ...], named: Mapping[str, ClaimQuery]
) -> tuple[tuple[ClaimQuery, ...], ...]:
    if not members.has("claim_sets"):
        return (claims,)
    if not claims or len(named) != len(claims):
        raise members.refuse("claim_sets", "need claims, each with an id")
    options: list[tuple[ClaimQuery, ...]] = []
    for option in members.array("claim_sets", limit=MAX_CLAIM_SETS):
        options.append(tuple(named[name] for name in _names(option, set(named), members, "claim_sets")))
    return tuple(options)


def _credential_set(members: Members, ids: set[str]) -> CredentialSetQuery:
    return CredentialSetQuery(
        options=tuple(
            _names(option, ids, members, "options")
            for option in members.array("options", limit=MAX_CLAIM_SETS)
        ),
        required=members.boolean("required", default=True),
    )


def _names(option: object, known: set[str], members: Members, where: str) -> tuple[str, ...]:
    """A non-empty array of ids, each known and named once."""
    if not isinstance(option, list) or not option:
        raise members.refuse(where, "is not an array of non-empty arrays")
    names: list[str] = []
    for name in cast("list[object]", option):
        if not isinstance(name, str) or name not in known or name in names:
            raise members.refuse(where, "names an unknown id, or one id twice")
        names.append(name)
    return tuple(names)


# --- Claims path pointers (section 7)


def _typed(path: ClaimPath) -> tuple[tuple[str, object], ...]:
    """A path whose parts compare with their types, because ``True == 1 == 1.0``."""
    return tuple((type(part).__name__, part) for part in path)


def select(claims: object, path: ClaimPath) -> tuple[tuple[tuple[str | int, ...], object], ...]:
    """The elements that ``path`` points to, each with its concrete path; empty where it points to nothing.

    Section 7.1.1 aborts with an error for a wrong container and for an empty selection: for a query both mean
    that the claim is not there.
    """
    chosen: list[tuple[tuple[str | int, ...], object]] = [((), claims)]
    for part in path:
        following: list[tuple[tuple[str | int, ...], object]] = []
        for at, element in chosen:
            if isinstance(part, str):
                if not isinstance(element, Mapping):
                    return ()
                members = cast("Mapping[str, object]", element)
                if part in members:
                    following.append(((*at, part), members[part]))
            else:
                if not isinstance(element, list | tuple):
                    return ()
                items = cast("Sequence[object]", element)
                if part is None:
                    following.extend(((*at, index), item) for index, item in enumerate(items))
                elif part < len(items):
                    following.append(((*at, part), items[part]))
        chosen = following
    return tuple(chosen)


def _holds(claim: ClaimQuery, claims: object) -> bool:
    found = select(claims, claim.path)
    if not claim.values:
        return bool(found)
    return any(
        type(value) is type(wanted) and value == wanted for _, value in found for wanted in claim.values
    )


def _leaves(value: object, at: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], object]]:
    """Every value that is not a container with members, with its concrete path."""
    if isinstance(value, Mapping) and value:
        for name, member in cast("Mapping[str, object]", value).items():
            yield from _leaves(member, (*at, name))
    elif isinstance(value, list | tuple) and value:
        for index, item in enumerate(cast("Sequence[object]", value)):
            yield from _leaves(item, (*at, index))
    elif at:
        yield at, value


# --- The wallet's side


@dataclass(frozen=True, slots=True)
class Candidate:
    """A credential in the wallet: ``ref`` is the wallet's own name for it, ``type`` its vct or doctype.

    ``claims`` is shaped as in ``Disclosed.claims``. ``authority_keys`` are the base64url key identifiers of
    the certificates that vouch for its issuer, to answer ``trusted_authorities`` of type ``aki``.
    """

    ref: str
    format: str
    type: str
    claims: Mapping[str, object]
    authority_keys: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Choice:
    """For the credential query ``query_id``, present ``ref`` and show ``show``, nothing else."""

    query_id: str
    ref: str
    show: tuple[ClaimPath, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    choices: tuple[Choice, ...]


def matches(query: CredentialQuery, candidates: Sequence[Candidate]) -> tuple[Choice, ...]:
    """Every way to answer one credential query, best first: the verifier's earliest claim set, then the
    fewest values shown, then the order of ``candidates``."""
    ranked: list[tuple[int, int, int, Choice]] = []
    for position, candidate in enumerate(candidates):
        if candidate.format != query.format or candidate.type not in query.types:
            continue
        if not _authorised(query, candidate.authority_keys):
            continue
        for preference, option in enumerate(query.claim_sets):
            if all(_holds(claim, candidate.claims) for claim in option):
                show = tuple(claim.path for claim in option)
                shown = len(_covered(candidate.claims, show))
                ranked.append((preference, shown, position, Choice(query.id, candidate.ref, show)))
                break
    return tuple(choice for *_, choice in sorted(ranked, key=lambda entry: entry[:3]))


def plan(query: Query, candidates: Sequence[Candidate], *, include_optional: bool = False) -> Plan:
    """The answer that shows least: one credential for each query that must be answered (section 6.4).

    Optional credential sets are answered only with ``include_optional``, and only where they can be. Raises
    :class:`NoMatchingCredential` where the query cannot be answered in full: then nothing is answered.
    """
    best = {c.id: options[0] for c in query.credentials if (options := matches(c, candidates))}
    if not query.credential_sets:
        chosen: set[str] = {credential.id for credential in query.credentials}
        if not chosen <= best.keys():
            raise NoMatchingCredential("the wallet holds nothing that answers this request")
    else:
        chosen = _choose(query, best, include_optional)
    if not chosen:
        raise NoMatchingCredential("the request requires nothing, and nothing optional is answered unasked")
    return Plan(tuple(best[credential.id] for credential in query.credentials if credential.id in chosen))


def _choose(query: Query, best: Mapping[str, Choice], include_optional: bool) -> set[str]:
    """Of all combinations of options, the one with the fewest claims, then the fewest credentials."""
    columns: list[list[tuple[str, ...]]] = []
    for wanted in query.credential_sets:
        options = [option for option in wanted.options if best.keys() >= set(option)]
        if wanted.required and not options:
            raise NoMatchingCredential("the wallet holds nothing that answers this request")
        columns.append(options if options and (wanted.required or include_optional) else [()])

    def cost(ids: set[str]) -> tuple[int, int]:
        return sum(len(best[name].show) for name in ids), len(ids)

    # `min` keeps the first of equals, and `product` varies the last set fastest: earlier options win.
    return min(({name for ids in combination for name in ids} for combination in product(*columns)), key=cost)


def _authorised(query: CredentialQuery, authority_keys: frozenset[str]) -> bool:
    return not query.trusted_authorities or any(
        authority.type == "aki" and authority_keys & set(authority.values)
        for authority in query.trusted_authorities
    )


# --- The verifier's side


@dataclass(frozen=True, slots=True)
class Checked:
    """One presentation that answers its query. ``claims`` is what was asked and no more, shaped as in
    ``disclosed.claims``; ``extra`` are the paths of values that came without being asked."""

    disclosed: Disclosed
    claims: Mapping[str, object]
    extra: tuple[ClaimPath, ...]


def check(
    query: Query,
    presented: Mapping[str, Sequence[Disclosed]],
    *,
    authority_keys: Mapping[str, frozenset[str]] | None = None,
) -> Mapping[str, tuple[Checked, ...]]:
    """Check that verified presentations answer the query (section 8.6, last two steps).

    ``presented`` maps ids of credential queries to what each presentation disclosed; ``authority_keys`` maps
    issuers to key identifiers and is needed only for a query with ``trusted_authorities``. Every presentation
    must fit: one that does not fails the whole response. Over-disclosure does not fail it: it is dropped and
    its paths reported. Raises :class:`QueryNotSatisfied`.
    """
    # 1. Only ids of this query, each with as many presentations as it allows (8.1).
    answers: dict[str, tuple[Checked, ...]] = {}
    for query_id, disclosures in presented.items():
        wanted = query.credential(query_id)
        if not 1 <= len(disclosures) <= (MAX_PRESENTATIONS if wanted.multiple else 1):
            raise QueryNotSatisfied("a credential query was answered with the wrong number of presentations")
        # 2. Every presentation answers its own query (6.1 to 6.3).
        keys = authority_keys or {}
        answers[query_id] = tuple(_check_one(wanted, item, keys) for item in disclosures)
        # One copy shown twice in a slot is one credential counted twice.
        if len({item.holder for item in disclosures}) != len(disclosures):
            raise QueryNotSatisfied("the same credential was presented twice")
    # 3. All that was required is there (6.4.2).
    if query.credential_sets:
        satisfied = all(
            not wanted.required or any(answers.keys() >= set(option) for option in wanted.options)
            for wanted in query.credential_sets
        )
    else:
        satisfied = all(credential.id in answers for credential in query.credentials)
    if not satisfied:
        raise QueryNotSatisfied("a required credential was not presented")
    return answers


def _check_one(
    wanted: CredentialQuery, disclosed: Disclosed, authority_keys: Mapping[str, frozenset[str]]
) -> Checked:
    if disclosed.format != wanted.format or disclosed.type not in wanted.types:
        raise QueryNotSatisfied("a credential of another format or type was presented")
    if not _authorised(wanted, authority_keys.get(disclosed.issuer, frozenset())):
        raise QueryNotSatisfied("the issuer is not one of the trusted authorities asked for")
    for option in wanted.claim_sets:
        if all(_holds(claim, disclosed.claims) for claim in option):
            kept = _covered(disclosed.claims, tuple(claim.path for claim in option))
            extra = tuple(at for at, _ in _leaves(disclosed.claims) if at not in kept)
            return Checked(disclosed, _prune(disclosed.claims, kept), extra)
    raise QueryNotSatisfied("claims that were asked for are missing, or have other values")


def _covered(claims: object, paths: tuple[ClaimPath, ...]) -> set[tuple[str | int, ...]]:
    """Concrete paths of all values that lie at or under what ``paths`` point to."""
    return {
        leaf for path in paths for at, element in select(claims, path) for leaf, _ in _leaves(element, at)
    }


def _prune(claims: Mapping[str, object], kept: set[tuple[str | int, ...]]) -> Mapping[str, object]:
    """``claims`` without the values that are not kept, and without the containers that leaves empty."""

    def keep(value: object, at: tuple[str | int, ...]) -> object:
        if at in kept:
            return value
        if isinstance(value, Mapping):
            members = cast("Mapping[str, object]", value)
            return {
                name: keep(member, (*at, name)) for name, member in members.items() if (*at, name) in ways
            }
        items = cast("Sequence[object]", value)
        return [keep(item, (*at, index)) for index, item in enumerate(items) if (*at, index) in ways]

    ways = {leaf[:length] for leaf in kept for length in range(len(leaf) + 1)}
    return cast("Mapping[str, object]", keep(claims, ()))
