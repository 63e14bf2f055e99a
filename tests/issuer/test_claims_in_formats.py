"""Whatever the register says of somebody, both formats carry it: issued, shown whole and verified."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from pki_fixture import ISSUER, NOW, signer, trust

from credentials.calendar import PartialDate, window
from credentials.catalog import MDOC, SD_JWT, CredentialType, load_catalogue
from credentials.encoding import load_cbor, load_json_object, unb64u
from credentials.errors import NotEntitled
from credentials.formats import FORMATS
from credentials.keys import HolderKey, PublicKey, software_sign
from credentials.model import EVERYTHING, Claims, Session
from issuer.claims import claims_for, unstated
from issuer.person import Person
from issuer.population import demo_residents, population

TYPES = load_catalogue().types
TODAY = date(2026, 11, 22)
SESSION = Session("x509_hash:verifier", "nonce-0123456789", "https://verifier.test/response")
_KEY = ec.generate_private_key(ec.SECP256R1())
HOLDER = HolderKey(software_sign(_KEY), PublicKey.of(_KEY.public_key()))


@dataclass(frozen=True)
class Keys:
    record: bytes = b"r" * 32
    scheme: bytes = b"s" * 32


def people() -> list[Person]:
    """Some of everything, and birth dates of every precision."""
    elder = demo_residents(TODAY).elder
    births = (PartialDate(1950), PartialDate(1950, 3), PartialDate(2008), PartialDate(2008, 2, 29))
    # Every name as long as the catalogue takes, and as many nationalities as a register may hold.
    lengths = {claim.name: claim.max_bytes or 0 for claim in TYPES["base/1"].claims}
    longest = replace(
        elder,
        family_name="X" * lengths["family_name"],
        given_name="X" * lengths["given_name"],
        name_zh="雨" * (lengths["name_zh"] // 3),
        name_zh_ccc=" ".join(["9900"] * ((lengths["name_zh_ccc"] + 1) // 5)),
        nationalities=("AA", "BB", "CC", "DD"),
    )
    assert not unstated(TYPES["base/1"], longest)
    return [
        longest,
        *population(40, seed=3, today=TODAY),
        *(replace(elder, birth=birth) for birth in births),
    ]


def issue(type: CredentialType, person: Person, format: str) -> tuple[Claims, bytes]:
    valid = window(NOW, type.validity_days)
    claims = claims_for(type, person, valid, Keys())
    credential = FORMATS[format].issue(
        claims,
        holder=HOLDER.public,
        window=valid,
        status=None,
        issuer=ISSUER,
        signer=signer(format, type.name),
        randomness=os.urandom,
    )
    return claims, credential


def disclosed(type: CredentialType, credential: bytes, format: str) -> Mapping[str, Any]:
    presentation = FORMATS[format].present(
        credential, show=EVERYTHING, session=SESSION, holder=HOLDER, now=NOW, randomness=os.urandom
    )
    verified = FORMATS[format].verify(
        presentation, type=type.identifier(format), session=SESSION, trust=trust(), now=NOW
    )
    if format == SD_JWT:
        return verified.claims
    elements: Mapping[str, Any] = verified.claims
    return {
        type.claim_at((namespace, element)).name: value
        for namespace in elements
        for element, value in elements[namespace].items()
    }


def digests(credential: bytes, format: str) -> int:
    if format == SD_JWT:
        token = credential.decode().split("~")[0]
        payload: Mapping[str, Any] = load_json_object(unb64u(token.split(".")[1]))
        return len(payload["_sd"])
    mso = load_cbor(load_cbor(load_cbor(unb64u(credential))["issuerAuth"][2]).value)
    return sum(len(namespace) for namespace in mso["valueDigests"].values())


@pytest.mark.parametrize("format", [SD_JWT, MDOC])
@pytest.mark.parametrize("type", TYPES.values(), ids=lambda type: type.slug)
def test_every_resident_gets_what_the_register_says(type: CredentialType, format: str) -> None:
    counts: defaultdict[int, int] = defaultdict(int)
    for person in people():
        try:
            claims, credential = issue(type, person, format)
        except NotEntitled:
            continue
        stated = {
            name: list(value) if isinstance(value, tuple) else value for name, value in claims.values.items()
        }
        assert disclosed(type, credential, format) == stated
        counts[digests(credential, format)] += 1
    # V6: the number of digests is that of the claims of the type, for everybody.
    assert list(counts) == [len(type.claims)]
