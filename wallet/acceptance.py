"""What an issuer sent is looked at as if a stranger had sent it, before any of it is kept.

The wallet presents each new copy to itself, showing everything, and verifies that with the trust list: the
same two verbs as any presentation. Then it looks at the batch as a whole for what would let the issuer, or
two verifiers, recognise the holder: a repeated salt or key, indices in a row, times off the common grid, a
status list that is nobody else's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from credentials import mdoc, sdjwt
from credentials.calendar import DAY, day_of, midnight
from credentials.catalog import Catalogue, CredentialType
from credentials.encoding import b64u, load_cbor, load_json, unb64u
from credentials.errors import CredentialNotAccepted, StatusRefused, TypeMismatch
from credentials.formats import FORMATS
from credentials.keys import HolderKey
from credentials.model import EVERYTHING, ClaimPath, Disclosed, Randomness, Seconds, Session, Window
from credentials.trust import Trust
from openid4vc.issuermetadata import Configuration
from revocation.check import refuse_tracking

_RUN: Final = 16
"""Indices of a batch that lie within this many places per copy were not drawn at random from a list of 2^17
places or more (the chance is below 10^-6 from three copies on)."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """What the copies of an accepted batch have in common, beside what was asked for; ``indices`` are their
    places in the status list, one by one."""

    window: Window
    claims: Mapping[str, Any]
    status_uri: str | None
    indices: tuple[int | None, ...]


def check_batch(
    credentials: Sequence[bytes],
    keys: Sequence[HolderKey],
    *,
    configuration: Configuration,
    issuer: str,
    catalogue: Catalogue,
    trust: Trust,
    now: Seconds,
    randomness: Randomness,
) -> Accepted:
    """Check a batch; ``credentials[i]`` must be bound to ``keys[i]``.

    Raises what :meth:`.Format.verify` raises, :class:`StatusReferenceInvalid`, and
    :class:`CredentialNotAccepted` for what is wrong with the batch as a whole.
    """
    # 1. A type and a format this wallet can show to its holder.
    type = _type(configuration, catalogue)
    if not credentials or len(credentials) > len(keys):
        raise CredentialNotAccepted("the issuer sent no copy, or more than were asked for")
    # 2. Every copy verifies: issuer on the trust list for this type, signature, validity, digests, own key.
    session = Session(
        audience="wallet", nonce=b64u(randomness(16)), response_uri="https://wallet.invalid/self-check"
    )
    seen: list[Disclosed] = []
    atoms: list[bytes] = []
    format = FORMATS[configuration.format]
    for credential, key in zip(credentials, keys, strict=False):
        presentation = format.present(
            credential, show=EVERYTHING, session=session, holder=key, now=now, randomness=randomness
        )
        disclosed = format.verify(
            presentation, type=configuration.type, session=session, trust=trust, now=now
        )
        if disclosed.issuer != issuer:
            raise CredentialNotAccepted("a copy is from another issuer than the one asked")
        if disclosed.holder != key.public.point:
            raise CredentialNotAccepted("a copy is bound to another key")
        seen.append(disclosed)
        atoms += _salts(credential, presentation, configuration.format)
    first = seen[0]
    # 3. It says something, and nothing that the catalogue does not know for the type.
    if not _names(first.claims, type, configuration.format):
        raise CredentialNotAccepted("a copy says nothing")
    # 4. All copies say the same, for the same time.
    if any((d.claims, d.valid) != (first.claims, first.valid) for d in seen):
        raise CredentialNotAccepted("the copies of the batch differ in what they say or how long it holds")
    # 5. No key, no salt twice: else two presentations are linked.
    if len({d.holder for d in seen}) != len(seen) or len(set(atoms)) != len(atoms):
        raise CredentialNotAccepted("a key or a salt occurs twice in the batch")
    # 6. Times on the grid that is the same for everybody: they must say nothing about the person.
    window = first.valid
    if window.start != midnight(window.start) or window.end - window.start != type.validity_days * DAY:
        raise CredentialNotAccepted("the validity is not on the grid that is the same for everybody")
    # 7. Status: one list shared with everybody else, indices that do not tell the copies' family.
    prefixes = next((entry.status_uris for entry in trust.issuers if entry.id == issuer), ())
    indices = tuple(d.status.index if d.status else None for d in seen)
    return Accepted(window, first.claims, _status(seen, type, prefixes), indices)


def _type(configuration: Configuration, catalogue: Catalogue) -> CredentialType:
    try:
        type = catalogue.by_identifier(configuration.type)
        if type.identifier(configuration.format) == configuration.type:
            return type
    except TypeMismatch:
        pass
    raise CredentialNotAccepted("the issuer offers a type of credential that this wallet does not know")


def _status(seen: Sequence[Disclosed], type: CredentialType, prefixes: Sequence[str]) -> str | None:
    references = [d.status for d in seen if d.status is not None]
    if not references and not type.revocable:
        return None
    if len(references) != len(seen) or not type.revocable:
        raise CredentialNotAccepted("a copy has a status where its type has none, or none where it has one")
    try:
        refuse_tracking(references)
    except StatusRefused:
        raise CredentialNotAccepted(
            "the status references would tell the copies or their holder apart"
        ) from None
    # One list for everybody with this type and window, or it could be a list for one person.
    common = f"{type.slug}/{day_of(seen[0].valid.start).isoformat()}"
    if references[0].uri not in {f"{prefix}{common}" for prefix in prefixes}:
        raise CredentialNotAccepted("the status list is not the one that all holders of this type share")
    indices = sorted(reference.index for reference in references)
    if len(indices) > 2 and indices[-1] - indices[0] < _RUN * len(indices):
        raise CredentialNotAccepted("the status indices lie in a row")
    return references[0].uri


def _names(claims: Mapping[str, object], type: CredentialType, format: str) -> tuple[str, ...]:
    paths: list[ClaimPath] = []
    for name, value in claims.items():
        if format == sdjwt.FORMAT:
            paths.append((name,))
        elif isinstance(value, Mapping):
            paths += [(name, element) for element in cast("Mapping[str, object]", value)]
    try:
        return tuple(type.claim_at(path).name for path in paths)
    except TypeMismatch:
        raise CredentialNotAccepted("a copy says something that its type does not have") from None


def _salts(credential: bytes, presentation: bytes, format: str) -> list[bytes]:
    """The randomness that makes each statement of a copy unguessable; it has been verified already."""
    if format == sdjwt.FORMAT:
        disclosures = credential.decode("ascii").split("~")[1:-1]
        return [str(load_json(unb64u(text))[0]).encode() for text in disclosures]
    document = mdoc.read_document(unb64u(presentation))
    return [
        bytes(load_cbor(load_cbor(item.tagged).value)["random"])
        for items in document.items.values()
        for item in items
    ]
