"""Credential issuer metadata (OpenID4VCI 1.0, section 12.2). Both ends.

What our issuer publishes says everything a wallet needs to ask well; what our wallet reads it judges by one
rule: an issuer speaks for itself only, and with nothing weaker than we use.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from credentials.catalog import FORMAT_SLUGS
from credentials.encoding import load_json_object
from credentials.errors import ConfigurationUnknown, Malformed, MetadataInvalid

from .dcql import MDOC, SD_JWT
from .members import Members
from .oauth import endpoint

if TYPE_CHECKING:
    from credentials.catalog import CredentialType

MAX_METADATA: Final = 1 << 19
MAX_CONFIGURATIONS: Final = 200
MAX_BATCH: Final = 1000

_BINDING: Final = {SD_JWT: "jwk", MDOC: "cose_key"}
_ES256: Final[Mapping[str, str | int]] = {SD_JWT: "ES256", MDOC: -7}
_TYPE_MEMBER: Final = {SD_JWT: "vct", MDOC: "doctype"}


@dataclass(frozen=True, slots=True)
class Configuration:
    """One credential a wallet can ask for: ``type`` is its vct or doctype; ``display``: names by locale."""

    id: str
    format: str
    type: str
    scope: str | None
    display: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class IssuerMetadata:
    """What an issuer says of itself. ``batch_size`` is 1 where it issues one copy at a time."""

    issuer: str
    credential_endpoint: str
    nonce_endpoint: str | None
    notification_endpoint: str | None
    batch_size: int
    display: Mapping[str, str]
    configurations: Mapping[str, Configuration]

    def configuration(self, configuration_id: str) -> Configuration:
        """Raises :class:`ConfigurationUnknown`."""
        found = self.configurations.get(configuration_id)
        if found is None:
            raise ConfigurationUnknown("the issuer does not offer this credential, or not in a way we accept")
        return found


def configuration_id(type: CredentialType, format: str) -> str:
    """``age-1.sd-jwt``, ``age-1.mdoc``."""
    return f"{type.slug}.{FORMAT_SLUGS[format]}"


def issuer_metadata(
    *,
    issuer: str,
    credential_endpoint: str,
    nonce_endpoint: str,
    notification_endpoint: str,
    types: Iterable[CredentialType],
    name: Mapping[str, str],
    batch_size: int,
) -> dict[str, Any]:
    """The metadata object of our issuer; ``name`` by language. The issuer is its own authorization server."""
    return {
        "credential_issuer": issuer,
        "credential_endpoint": credential_endpoint,
        "nonce_endpoint": nonce_endpoint,
        "notification_endpoint": notification_endpoint,
        "batch_credential_issuance": {"batch_size": batch_size},
        "display": _display(name),
        "credential_configurations_supported": {
            configuration_id(type_, format_): _configuration(type_, format_)
            for type_ in types
            for format_ in (SD_JWT, MDOC)
        },
    }


def _configuration(type_: CredentialType, format_: str) -> dict[str, Any]:
    return {
        "format": format_,
        "scope": type_.slug,
        _TYPE_MEMBER[format_]: type_.identifier(format_),
        "cryptographic_binding_methods_supported": [_BINDING[format_]],
        "credential_signing_alg_values_supported": [_ES256[format_]],
        "proof_types_supported": {"jwt": {"proof_signing_alg_values_supported": ["ES256"]}},
        "credential_metadata": {
            "display": _display(type_.label),
            "claims": [
                {"path": list(type_.path(format_, claim.name)), "display": _display(claim.label)}
                for claim in type_.claims
            ],
        },
    }


def _display(label: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": text, "locale": language} for language, text in label.items()]


def parse_issuer_metadata(data: bytes, *, issuer: str) -> IssuerMetadata:
    """Read metadata fetched for ``issuer``. Raises :class:`MetadataInvalid`.

    Configurations in formats, algorithms, bindings or proof types other than ours are left out: they may be
    fine for others. Members of the wrong type are refused.
    """
    try:
        obj = load_json_object(data, max_bytes=MAX_METADATA)
    except Malformed:
        raise MetadataInvalid("issuer metadata is not a JSON object") from None
    members = Members(obj, refusal=MetadataInvalid, where="issuer metadata")
    # 1. The issuer speaks for itself (12.2.1): else one issuer could pose as another.
    if members.text("credential_issuer") != issuer:
        raise MetadataInvalid("issuer metadata is of another issuer")
    # 2. It is its own authorization server. The specification allows others; following them would let
    #    metadata send the wallet's codes elsewhere (mix-up), and none of our issuers needs one.
    if members.has("authorization_servers") and members.texts("authorization_servers") != (issuer,):
        raise MetadataInvalid("issuer metadata names another authorization server")
    # 3. Encryption on top of TLS is optional here; an issuer that insists cannot be served.
    for name in ("credential_request_encryption", "credential_response_encryption"):
        encryption = members.optional_member(name)
        if encryption is not None and encryption.boolean("encryption_required", default=False):
            raise MetadataInvalid("the issuer requires message encryption, which is not supported")
    batch = members.optional_member("batch_credential_issuance")
    offered = members.member("credential_configurations_supported")
    if len(offered.names()) > MAX_CONFIGURATIONS:
        raise MetadataInvalid(f"issuer metadata has more than {MAX_CONFIGURATIONS} configurations")
    configurations = {
        name: found for name in offered.names() if (found := _parse_configuration(name, offered)) is not None
    }
    return IssuerMetadata(
        issuer=issuer,
        credential_endpoint=endpoint(members, "credential_endpoint"),
        nonce_endpoint=endpoint(members, "nonce_endpoint") if members.has("nonce_endpoint") else None,
        notification_endpoint=(
            endpoint(members, "notification_endpoint") if members.has("notification_endpoint") else None
        ),
        # 4. A batch of one is no batch: the specification wants 2 or more (12.2.4).
        batch_size=1 if batch is None else batch.integer("batch_size", least=2, most=MAX_BATCH),
        display=_parse_display(members),
        configurations=configurations,
    )


def _parse_configuration(name: str, offered: Members) -> Configuration | None:
    members = offered.member(name)
    format_ = members.text("format")
    if format_ not in FORMAT_SLUGS:
        return None
    algorithms = members.array("credential_signing_alg_values_supported")
    bindings = members.texts("cryptographic_binding_methods_supported")
    proof = members.member("proof_types_supported").optional_member("jwt")
    usable = (
        _ES256[format_] in algorithms
        and _BINDING[format_] in bindings
        and proof is not None
        and "ES256" in proof.texts("proof_signing_alg_values_supported")
        and not proof.has("key_attestations_required")
    )
    if not usable:
        return None
    metadata = members.optional_member("credential_metadata")
    return Configuration(
        id=name,
        format=format_,
        type=members.text(_TYPE_MEMBER[format_], limit=512),
        scope=members.optional_text("scope", limit=256),
        display={} if metadata is None else _parse_display(metadata),
    )


def _parse_display(members: Members) -> dict[str, str]:
    """Names by locale; an entry without locale stands under the empty one. Logos are never looked at: to
    fetch one would tell its host that somebody looks at an offer."""
    if not members.has("display"):
        return {}
    return {
        entry.optional_text("locale", limit=35) or "": entry.text("name", limit=200)
        for entry in members.members("display", limit=20)
    }
