"""The catalogue: which credential types exist, what they say, and what each statement serves.

One JSON file per type in ``credentials/schemas/``, read once and checked against
``catalogue.schema.json`` there. Reading these files is the only file access of the kernel.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib import resources
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias, cast

from jsonschema import Draft202012Validator

from .encoding import load_json_object
from .errors import CatalogueMalformed, ConfigurationInvalid, Malformed, TypeMismatch
from .model import MAX_DIGESTS, ClaimPath
from .rules import Rule, parse_rule

BASE: Final = "https://bauhinia.example"
"""Default start of every ``vct``: a reserved domain, so that no test type is anybody's real type."""

LANGUAGES: Final = ("en", "zh-Hant")
ISO_NAMESPACE: Final = "org.iso.23220.1"
"""Where the elements that ISO/IEC 23220 names stand; provers know this namespace."""

SD_JWT: Final = "dc+sd-jwt"
MDOC: Final = "mso_mdoc"
FORMAT_SLUGS: Final[Mapping[str, str]] = MappingProxyType({SD_JWT: "sd-jwt", MDOC: "mdoc"})
"""How formats are called in file names, configuration ids and query ids."""

Kind: TypeAlias = Literal["boolean", "integer", "string", "date", "strings"]
Labels: TypeAlias = Mapping[str, str]
"""Language tag (``en``, ``zh-Hant``) to text for a person."""

_BASE: Final = re.compile(r"https://[a-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~-]+)*")


@dataclass(frozen=True, eq=False)
class ClaimType:
    """One statement. ``name`` is its SD-JWT VC claim, ``element`` its mdoc element in ``namespace``.

    ``alone`` says whether it may be shown without any other claim. ``law`` names what it serves.
    ``max_bytes`` bounds the UTF-8 text: more would not fit an mdoc item (ISO/IEC 18013-5) of 119 bytes.
    ``max_items`` bounds the entries of ``strings``. ``values`` says what each value of ``enum``, as text, is
    called.
    """

    name: str
    element: str
    kind: Kind
    namespace: str
    label: Labels
    alone: bool
    enum: tuple[str | int, ...] | None = None
    law: str | None = None
    max_bytes: int | None = None
    max_items: int | None = None
    values: Mapping[str, Labels] = field(default_factory=dict[str, Labels])


@dataclass(frozen=True, eq=False)
class CredentialType:
    """One type: ``name`` is ``<type>/<major>``, as in ``age/1`` or ``eligibility/two_dollar_60/1``.

    ``grounds`` are the codes of the legal bases on which alone it may be asked for; empty: on any.
    """

    name: str
    vct: str
    doctype: str
    claims: tuple[ClaimType, ...]
    label: Labels
    description: Labels
    validity_days: int
    batch: int
    revocable: bool
    basis: str
    rule: Rule | None = None
    grounds: frozenset[str] = frozenset()

    @property
    def slug(self) -> str:
        """The name for URLs, file names and configuration ids: ``eligibility-two-dollar-60-1``."""
        return re.sub("[/_]", "-", self.name)

    @property
    def scheme(self) -> str | None:
        """``two_dollar_60`` for ``eligibility/two_dollar_60/1``; otherwise ``None``."""
        return self.name.split("/")[1] if self.rule else None

    @cached_property
    def _by_name(self) -> Mapping[str, ClaimType]:
        return {claim.name: claim for claim in self.claims}

    @cached_property
    def _by_path(self) -> Mapping[ClaimPath, ClaimType]:
        return {self.path(format, claim.name): claim for claim in self.claims for format in (SD_JWT, MDOC)}

    def identifier(self, format: str) -> str:
        """The ``vct`` or the docType. Raises :class:`TypeMismatch` for another format."""
        if format == SD_JWT:
            return self.vct
        if format == MDOC:
            return self.doctype
        raise TypeMismatch("no such credential format")

    def claim(self, name: str) -> ClaimType:
        """By claim name. Raises :class:`TypeMismatch` when the type has none of that name."""
        claim = self._by_name.get(name)
        if claim is None:
            raise TypeMismatch(f"{self.name} has no such claim")
        return claim

    def claim_at(self, path: ClaimPath) -> ClaimType:
        """By claims path pointer of either format. Raises :class:`TypeMismatch`."""
        claim = self._by_path.get(path)
        if claim is None:
            raise TypeMismatch(f"{self.name} has no claim at this path")
        return claim

    def path(self, format: str, name: str) -> ClaimPath:
        """``(name,)`` for SD-JWT VC, ``(namespace, element)`` for mdoc."""
        claim = self.claim(name)
        self.identifier(format)
        return (claim.name,) if format == SD_JWT else (claim.namespace, claim.element)


@dataclass(frozen=True, eq=False)
class Catalogue:
    """All types, by name. ``base`` starts every ``vct``."""

    base: str
    types: Mapping[str, CredentialType]

    @cached_property
    def _by_identifier(self) -> Mapping[str, CredentialType]:
        return {name: type for type in self.types.values() for name in (type.vct, type.doctype)}

    @cached_property
    def _by_slug(self) -> Mapping[str, CredentialType]:
        return {type.slug: type for type in self.types.values()}

    def by_identifier(self, identifier: str) -> CredentialType:
        """By ``vct`` or docType. Raises :class:`TypeMismatch`."""
        return _found(self._by_identifier.get(identifier))

    def by_slug(self, slug: str) -> CredentialType:
        """By slug. Raises :class:`TypeMismatch`."""
        return _found(self._by_slug.get(slug))


def _found(type: CredentialType | None) -> CredentialType:
    if type is None:
        raise TypeMismatch("no such credential type")
    return type


@cache
def load_catalogue(base: str = BASE) -> Catalogue:
    """Read every type; ``base`` is an ``https`` URL without trailing slash.

    Raises :class:`CatalogueMalformed`, or :class:`ConfigurationInvalid` for the base.
    """
    if not _BASE.fullmatch(base):
        raise ConfigurationInvalid("the base of type identifiers is an https URL without trailing slash")
    return read_catalogue({name: data for name, data in _files()}, base=base)


def _files() -> Iterator[tuple[str, bytes]]:
    folder = resources.files("credentials") / "schemas"
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.name.endswith(".json"):
            yield entry.name, entry.read_bytes()


_SCHEMA: Final = "catalogue.schema.json"


def read_catalogue(files: Mapping[str, bytes], *, base: str) -> Catalogue:
    """File name to bytes, ``catalogue.schema.json`` among them, to the catalogue.

    Raises :class:`CatalogueMalformed`, which names the file.
    """
    types: dict[str, CredentialType] = {}
    try:
        schema = Draft202012Validator(load_json_object(files[_SCHEMA]))
    except (KeyError, Malformed):
        raise CatalogueMalformed(f"{_SCHEMA} is missing or not JSON") from None
    for file, data in files.items():
        if file == _SCHEMA:
            continue
        try:
            content = load_json_object(data)
        except Malformed:
            raise CatalogueMalformed(f"{file} is not strict JSON") from None
        for error in schema.iter_errors(content):  # pyright: ignore[reportUnknownMemberType]
            raise CatalogueMalformed(f"{file}: {error.json_path}: {error.message}")
        type = _type(content, base)
        if file != f"{type.slug}.json" or type.name in types:
            raise CatalogueMalformed(f"{file} is not named by its type")
        _lint(type, file)
        types[type.name] = type
    return Catalogue(base, MappingProxyType(types))


def _type(data: Mapping[str, Any], base: str) -> CredentialType:
    return CredentialType(
        name=data["name"],
        vct=f"{base}/vct/{data['name']}",
        doctype=data["doctype"],
        claims=tuple(_claim(claim) for claim in data["claims"]),
        label=MappingProxyType(data["label"]),
        description=MappingProxyType(data["description"]),
        validity_days=data["validity_days"],
        batch=data["batch"],
        revocable=data["revocable"],
        basis=data["basis"],
        rule=parse_rule(data["rule"]) if "rule" in data else None,
        grounds=frozenset(data.get("grounds", ())),
    )


def _claim(data: Mapping[str, Any]) -> ClaimType:
    return ClaimType(
        name=data["name"],
        element=data.get("element", data["name"]),
        kind=data["kind"],
        namespace=data["namespace"],
        label=MappingProxyType(data["label"]),
        alone=data["alone"],
        enum=tuple(cast("list[str | int]", data["enum"])) if "enum" in data else None,
        law=data.get("law"),
        max_bytes=data.get("max_bytes"),
        max_items=data.get("max_items"),
        values=MappingProxyType(data.get("values", {})),
    )


def _lint(type: CredentialType, file: str) -> None:
    """What JSON Schema cannot say. A prover does not bind the namespace, so an element name occurs once."""
    if len(type.claims) > MAX_DIGESTS:
        raise CatalogueMalformed(f"{file}: more than {MAX_DIGESTS} claims")
    if len({claim.name for claim in type.claims}) != len(type.claims):
        raise CatalogueMalformed(f"{file}: a claim name is repeated")
    if any(list(claim.values) != [str(value) for value in claim.enum or ()] for claim in type.claims):
        raise CatalogueMalformed(f"{file}: the values of a claim are not those that have names")
    if len({claim.element for claim in type.claims}) != len(type.claims):
        raise CatalogueMalformed(f"{file}: an element name is repeated")
    if any(claim.namespace not in (ISO_NAMESPACE, type.doctype) for claim in type.claims):
        raise CatalogueMalformed(f"{file}: a claim stands in a foreign namespace")
    if type.doctype != "example.bauhinia." + type.name.replace("/", "."):
        raise CatalogueMalformed(f"{file}: the docType does not follow the name")
    if (type.rule is not None) != type.name.startswith("eligibility/"):
        raise CatalogueMalformed(f"{file}: eligibility types have a rule, and no others")
    if type.rule is not None and {tier for tier, _ in type.rule.tiers} != set(type.claim("tier").enum or ()):
        raise CatalogueMalformed(f"{file}: the tiers of the rule are not those of the claim")


def type_metadata(type: CredentialType) -> dict[str, Any]:
    """SD-JWT VC type metadata: what a wallet may show for ``type``, in both languages.

    ``bauhinia`` is a member of our own, which others pass over: ``basis``, what the type rests on; ``law``,
    what each claim serves, by claim name; and for a scheme ``rule``, whose source was read on ``as_of``.
    """
    own: dict[str, Any] = {
        "basis": type.basis,
        "law": {claim.name: claim.law for claim in type.claims if claim.law is not None},
    }
    if type.rule is not None:
        rule = type.rule
        own["rule"] = {
            "version": rule.version,
            "source": rule.source,
            "as_of": rule.as_of,
            "synthetic": rule.synthetic,
        }
    return {
        "vct": type.vct,
        "name": type.label["en"],
        "description": type.description["en"],
        "display": [
            {"locale": language, "name": type.label[language], "description": type.description[language]}
            for language in LANGUAGES
        ],
        "claims": [
            {
                "path": [claim.name],
                "sd": "always",
                "display": [{"locale": language, "label": claim.label[language]} for language in LANGUAGES],
            }
            for claim in type.claims
        ],
        "bauhinia": own,
    }
