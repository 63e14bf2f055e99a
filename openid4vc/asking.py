"""Over-asking: what a verifier asks beyond the purpose it registered, decided without a network.

The registration is in the wallet's signed trust list; it names claims as the catalogue does, for both
formats, so that a verifier gains nothing by asking for the mdoc instead of the SD-JWT.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from credentials.errors import TypeMismatch

from .dcql import MDOC, CredentialQuery

if TYPE_CHECKING:
    from credentials.catalog import Catalogue, CredentialType
    from credentials.model import ClaimPath

    from .vp import AuthorizationRequest


@dataclass(frozen=True, slots=True, order=True)
class Asked:
    """A claim asked for: names of the catalogue where it knows them, else the identifier and
    the path in brackets, as the request wrote them.

    ``claim`` is empty where the credential was asked for without any claim: that too says that one has it.
    """

    type: str
    claim: str


def over_asking(request: AuthorizationRequest, catalogue: Catalogue) -> tuple[Asked, ...]:
    """What the request asks and the verifier did not register for the purpose it names; empty is good.

    Claims of every option count, also of those that the wallet would not choose. An unregistered verifier, no
    purpose, or an unknown one: everything is over-asked; so is a type that takes certain grounds only, when
    the purpose was registered on another one.
    """
    registration = request.verifier.registration
    registered: Mapping[str, frozenset[str]] = {}
    if registration is not None and request.purpose is not None:
        purpose = registration.purposes.get(request.purpose)
        if purpose is not None:
            registered = {
                name: claims
                for name, claims in purpose.claims.items()
                if (type_ := catalogue.types.get(name)) is None
                or not type_.grounds
                or purpose.basis_code in type_.grounds
            }
    asked = {item for credential in request.query.credentials for item in _asked(credential, catalogue)}
    return tuple(
        sorted(
            item
            for item in asked
            if item.type not in registered or (item.claim and item.claim not in registered[item.type])
        )
    )


def _asked(credential: CredentialQuery, catalogue: Catalogue) -> set[Asked]:
    """For each type the query accepts, the claims it points to."""
    asked: set[Asked] = set()
    for identifier in credential.types or (credential.format,):
        type_ = _type(identifier, credential.format, catalogue)
        name = identifier if type_ is None else type_.name
        if not credential.claims:
            asked.add(Asked(name, ""))
        for claim in credential.claims:
            asked.add(Asked(name, _claim(claim.path, credential.format, type_)))
    return asked


def _type(identifier: str, format_: str, catalogue: Catalogue) -> CredentialType | None:
    try:
        type_ = catalogue.by_identifier(identifier)
        return type_ if type_.identifier(format_) == identifier else None
    except TypeMismatch:
        return None


def _claim(path: ClaimPath, format_: str, type_: CredentialType | None) -> str:
    """The catalogue's name, or the path in brackets: no registered name looks like that."""
    if type_ is not None:
        with suppress(TypeMismatch):
            # An SD-JWT path may go on into the claim; what is disclosed is the claim.
            return type_.claim_at(path if format_ == MDOC else path[:1]).name
    return f"[{'/'.join('*' if part is None else str(part) for part in path)}]"
