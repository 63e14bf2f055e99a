"""Messages of the protocols as the tests need them: good ones, to be spoiled one member at a time."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec
from pki_fixture import NOW, development_pki

from credentials.keys import HolderKey, PublicKey, software_sign
from credentials.model import Disclosed, Window
from openid4vc import vp

NONCE: Final = "n-0S6_WzA2Mjp9Qx7LkTf4"
STATE: Final = "s-5V7bKq2Rz8Ym1Wd3Xc9Ue"
RESPONSE_URI: Final = "https://verifier.test/response/1"
REQUEST_URI: Final = "https://verifier.test/request/1"
VCT: Final = "https://bauhinia.example/vct/age/1"
DOCTYPE: Final = "example.bauhinia.age.1"
ISO: Final = "org.iso.23220.1"

AGE_QUERY: Final[dict[str, Any]] = {
    "credentials": [
        {
            "id": "age",
            "format": "dc+sd-jwt",
            "meta": {"vct_values": [VCT]},
            "claims": [{"path": ["age_over_18"], "values": [True]}],
        }
    ]
}


@cache
def private_key(name: str) -> ec.EllipticCurvePrivateKey:
    """One key for each name and run."""
    del name
    return ec.generate_private_key(ec.SECP256R1())


def holder_key(name: str = "holder") -> HolderKey:
    key = private_key(name)
    return HolderKey(software_sign(key), PublicKey.of(key.public_key()))


def encryption_jwk(name: str = "response") -> dict[str, Any]:
    return {**PublicKey.of(private_key(name).public_key()).jwk(), "kid": f"kid-{name}"}


def client_id() -> str:
    return vp.client_id(development_pki().verifier.sha256)


def request_claims(
    *, encrypted: bool = False, query: dict[str, Any] | None = None, **members: Any
) -> dict[str, Any]:
    """Claims of a request object; ``members`` replace, and ``None`` removes."""
    claims = vp.build_request(
        client_id=client_id(),
        response_uri=RESPONSE_URI,
        nonce=NONCE,
        state=STATE,
        response_mode="direct_post.jwt" if encrypted else "direct_post",
        query=query or AGE_QUERY,
        purpose="liquor18",
        encryption_jwk=encryption_jwk() if encrypted else None,
        issued=NOW,
        expires=NOW + 300,
    )
    return {name: value for name, value in {**claims, **members}.items() if value is not None}


def link() -> vp.RequestLink:
    return vp.RequestLink(client_id(), REQUEST_URI)


def disclosed(
    claims: dict[str, Any], *, format: str = "dc+sd-jwt", type: str = VCT, holder: bytes = b"h"
) -> Disclosed:
    """What a verified presentation says."""
    return Disclosed(
        format=format,
        type=type,
        issuer="https://issuer.test",
        claims=claims,
        valid=Window(NOW, NOW + 86_400),
        status=None,
        holder=holder,
    )
