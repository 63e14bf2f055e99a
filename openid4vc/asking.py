"""Over-asking: what a verifier asks beyond the purpose it registered, decided without a network.

The registration is in the wallet's signed trust list; it names claims as the catalogue does, for both
formats, so that a verifier gains nothing by asking for the mdoc instead of the SD-JWT.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from credentials.errors import TypeMismatch

from .dcql import MDOC, CredentialQuery

if TYPE_CHECKING:
    from credentials.catalog import Catalogue
    from credentials.model import ClaimPath

    from .vp import AuthorizationRequest


@dataclass(frozen=True, slots=True, order=True)
class Asked:
    """A claim asked for: names of the catalogue where it knows them, else as the request wrote them.

    ``claim`` is empty where the credential was asked for without any claim: that too says that one has it.
    """

    type: str
    claim: str


def over_asking(request: AuthorizationRequest, catalogue: Catalogue) -> tuple[Asked, ...]:
    """What the request asks and the verifier did not register for the purpose it names; empty is good.

    Claims of every option count, also of those that the wallet would not choose. An unregistered verifier, no
    purpose, or an unknown one: everything is over-asked.
    """
    registration = request.verifier.registration
    purpose = None
    if registration is not None and request.purpose is not None:
        purpose = registration.purposes.get(request.purpose)
    registered = {} if purpose is None else purpose.claims
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
        try:
            type_ = catalogue.by_identifier(identifier)
            known = type_.identifier(credential.format) == identifier
        except TypeMismatch:
            known = False
        if not known:
            asked |= {Asked(identifier, _written(claim.path)) for claim in credential.claims}
            asked |= set() if credential.claims else {Asked(identifier, "")}
            continue
        asked |= set() if credential.claims else {Asked(type_.name, "")}
        for claim in credential.claims:
            # An SD-JWT path may go on into the claim; what is disclosed is the claim.
            path = claim.path if credential.format == MDOC else claim.path[:1]
            try:
                asked.add(Asked(type_.name, type_.claim_at(path).name))
            except TypeMismatch:
                asked.add(Asked(type_.name, _written(claim.path)))
    return asked


def _written(path: ClaimPath) -> str:
    return "/".join("*" if part is None else str(part) for part in path)
