"""Policies as data: what is asked, why, on which legal ground, and when the answer is yes.

One JSON file per policy in ``policies/``, and in a folder of the operator's own; both are checked against
``policy.schema.json`` and against the catalogue of credential types.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal

from jsonschema import Draft202012Validator

from credentials.catalog import FORMAT_SLUGS, Catalogue, CredentialType
from credentials.encoding import load_json_object
from credentials.errors import (
    ConfigurationInvalid,
    Malformed,
    NotFound,
    RequestObjectInvalid,
    TypeMismatch,
)
from credentials.formats import FORMATS
from credentials.model import Value
from credentials.trust import Registration
from openid4vc.dcql import Query, parse_query
from openid4vc.vp import ResponseMode
from revocation.check import Freshness
from web.keyfiles import read_file

_SCHEMA: Final = "policy.schema.json"


@dataclass(frozen=True, slots=True)
class Ask:
    """One credential that is needed. ``options`` are sets of claim names, any one of which will do.

    With more than one option the expected values travel in the query: a wallet that could not see them would
    answer with the first option, whatever its value. Otherwise they stay here: to ask for a value is to learn
    it from a refusal.
    """

    type: CredentialType
    options: tuple[tuple[str, ...], ...]
    expect: Mapping[str, Value]

    @property
    def claims(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for option in self.options for name in option))


@dataclass(frozen=True, slots=True)
class Policy:
    """``name`` is also the id of the registered purpose. Times are in seconds."""

    name: str
    version: int
    title: Mapping[str, str]
    purpose: Mapping[str, str]
    legal_basis: Mapping[str, str]
    asks: tuple[Ask, ...]
    freshness: Freshness
    amber: Literal["accept", "undetermined"]
    request_seconds: int
    retention_seconds: int
    response_mode: ResponseMode
    allow_unregistered: bool = False

    def ask_of(self, query_id: str) -> Ask:
        """The credential that an id of :meth:`query` stands for."""
        return {_query_id(ask, slug): ask for ask in self.asks for slug in FORMAT_SLUGS.values()}[query_id]

    def check_registration(self, registration: Registration | None) -> None:
        """That the trust list registers us for all that is asked, under our name of the purpose.

        Raises :class:`ConfigurationInvalid`; ``allow_unregistered`` lifts it, but for the types that take
        certain grounds only.
        """
        purpose = None if registration is None else registration.purposes.get(self.name)
        for ask in self.asks:
            granted = frozenset[str]() if purpose is None else purpose.claims.get(ask.type.name, frozenset())
            grounds = ask.type.grounds
            grounded = not grounds or (purpose is not None and purpose.basis_code in grounds)
            lifted = self.allow_unregistered and not grounds
            if lifted or (grounded and set(ask.claims) <= granted):
                continue
            raise ConfigurationInvalid(
                f"this verifier is not registered to ask for {ask.type.name} as {self.name} does",
                hint="Wallets would refuse. `bauhinia trust show` prints what each verifier may ask; another "
                "access certificate may be the right one (`bauhinia verifier init --access`).",
            )

    def check_query(self, query: Query) -> None:
        """That a request of ours asks what this policy asks now, in one format or in either.

        Raises :class:`RequestObjectInvalid`.
        """
        if query not in [parse_query(self.query(format)) for format in (None, *FORMATS)]:
            raise RequestObjectInvalid("the request does not ask what the policy asks")

    def query(self, format: str | None = None) -> dict[str, Any]:
        """The DCQL query, for ``format`` alone or for whichever of the two the wallet holds."""
        if format is not None and format not in FORMATS:
            raise ConfigurationInvalid("no such credential format", hint=" or ".join(FORMATS))
        formats = tuple(FORMATS) if format is None else (format,)
        query: dict[str, Any] = {
            "credentials": [_credential(ask, f) for ask in self.asks for f in formats],
        }
        if len(formats) > 1:
            query["credential_sets"] = [
                {"options": [[_query_id(ask, FORMAT_SLUGS[f])] for f in formats]} for ask in self.asks
            ]
        return query


def _query_id(ask: Ask, slug: str) -> str:
    return f"{ask.type.slug}_{slug}"


def _credential(ask: Ask, format: str) -> dict[str, Any]:
    identifier = ask.type.identifier(format)
    chosen = len(ask.options) > 1
    credential: dict[str, Any] = {
        "id": _query_id(ask, FORMAT_SLUGS[format]),
        "format": format,
        "meta": {"vct_values": [identifier]} if format == "dc+sd-jwt" else {"doctype_value": identifier},
        "claims": [
            {
                **({"id": name} if chosen else {}),
                "path": list(ask.type.path(format, name)),
                **({"values": [ask.expect[name]]} if chosen and name in ask.expect else {}),
            }
            for name in ask.claims
        ],
    }
    if chosen:
        credential["claim_sets"] = [list(option) for option in ask.options]
    return credential


@cache
def _schema() -> Draft202012Validator:
    return Draft202012Validator(
        load_json_object(files("verifier").joinpath("policies", _SCHEMA).read_bytes())
    )


def read_policy(data: bytes, *, catalogue: Catalogue, where: str) -> Policy:
    """One policy file. Raises :class:`ConfigurationInvalid`, which names the file and the place in it."""
    try:
        read = load_json_object(data)
    except Malformed as error:
        raise ConfigurationInvalid(f"{where}: {error}") from None
    for problem in _schema().iter_errors(read):  # pyright: ignore[reportUnknownMemberType]
        raise ConfigurationInvalid(f"{where}: {problem.json_path}: {problem.message}")
    freshness = read["freshness"]
    if freshness["green_seconds"] > freshness["amber_seconds"]:
        raise ConfigurationInvalid(f"{where}: a list turns amber before it turns too old")
    return Policy(
        name=read["name"],
        version=read["version"],
        title=MappingProxyType(read["title"]),
        purpose=MappingProxyType(read["purpose"]),
        legal_basis=MappingProxyType(read["legal_basis"]),
        asks=tuple(_ask(ask, catalogue, where) for ask in read["ask"]),
        freshness=Freshness(freshness["green_seconds"], freshness["amber_seconds"]),
        amber=freshness["amber"],
        request_seconds=read["request_seconds"],
        retention_seconds=read["retention_seconds"],
        response_mode=read["response_mode"],
        allow_unregistered=read.get("allow_unregistered", False),
    )


def _ask(read: Mapping[str, Any], catalogue: Catalogue, where: str) -> Ask:
    options = tuple(tuple(names) for names in read.get("alternatives") or [read["claims"]])
    if (type_ := catalogue.types.get(read["type"])) is None:
        raise ConfigurationInvalid(f"{where}: the catalogue has no type {read['type']}")
    ask = Ask(type_, options, MappingProxyType(read["expect"]))
    try:
        kinds = {name: type_.claim(name).kind for name in (*ask.claims, *ask.expect)}
    except TypeMismatch as error:
        raise ConfigurationInvalid(f"{where}: {error}") from None
    for option in options:
        if not any(type_.claim(name).alone for name in option):
            raise ConfigurationInvalid(
                f"{where}: {', '.join(option)} of {type_.name} says nothing by itself",
                hint="Ask for a claim beside it that the catalogue lets stand alone.",
            )
    if not set(ask.expect) <= set(ask.claims):
        raise ConfigurationInvalid(f"{where}: a value is expected of a claim that is not asked for")
    python = {"boolean": bool, "integer": int}
    if any(type(value) is not python.get(kinds[name], str) for name, value in ask.expect.items()):
        raise ConfigurationInvalid(f"{where}: an expected value is of another kind than its claim")
    return ask


@dataclass(frozen=True, slots=True)
class Policies:
    """All policies of a verifier, by name."""

    by_name: Mapping[str, Policy]

    def get(self, name: str) -> Policy:
        """Raises :class:`NotFound`."""
        if name not in self.by_name:
            raise NotFound("there is no such policy", hint=f"Policies: {', '.join(sorted(self.by_name))}")
        return self.by_name[name]


def load_policies(catalogue: Catalogue, folder: Path | None = None) -> Policies:
    """The policies that come with the program, and those of ``folder``, which go before them."""
    own = files("verifier").joinpath("policies")
    found: list[tuple[str, bytes]] = [
        (entry.name, entry.read_bytes())
        for entry in own.iterdir()
        if entry.name.endswith(".json") and entry.name != _SCHEMA
    ]
    if folder is not None:
        if not folder.is_dir():
            raise ConfigurationInvalid(f"there is no folder {folder}")
        found += [(path.name, read_file(path)) for path in sorted(folder.glob("*.json"))]
    return Policies(MappingProxyType(dict(_named(found, catalogue))))


def _named(found: Iterable[tuple[str, bytes]], catalogue: Catalogue) -> Iterable[tuple[str, Policy]]:
    for name, data in found:
        policy = read_policy(data, catalogue=catalogue, where=name)
        if name != f"{policy.name}.json":
            raise ConfigurationInvalid(f"{name}: the file is not named after its policy")
        yield policy.name, policy
