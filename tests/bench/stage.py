"""The one situation that all format figures share: ten claims, a batch of thirty, a real chain."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

from bauhinia.pki import make_pki
from credentials.calendar import HONG_KONG, window
from credentials.catalog import load_catalogue
from credentials.keys import HolderKey, PublicKey, Signer, software_sign
from credentials.model import Claims, Session, StatusRef, Value, Window
from credentials.trust import Trust, open_trust_list

BATCH = 30
NOW = int(datetime(2026, 11, 22, 12, tzinfo=HONG_KONG).timestamp())
ISSUER = "https://issuer.bauhinia.example"
STATUS = StatusRef(f"{ISSUER}/status/residency-1/2026-11-22", 421_337)
SESSION = Session(
    "x509_hash:Uvo3HtuIxuhC92rShpgqcT3YXwrqRxWEviRiA0OZszk",
    "n-0S6_WzA2MjXhd8yIhZvQ",
    "https://verifier.bauhinia.example/response/1",
    bytes(range(32)),
)
TYPE = load_catalogue().types["age/1"]
"""Ten claims."""


def private_key(der: bytes) -> ec.EllipticCurvePrivateKey:
    key = load_der_private_key(der, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def key_bytes(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


@dataclass
class Stage:
    """Keys as bytes, as a program finds them: loading them is part of the work, and of the floor."""

    format: str
    claims: Claims
    window: Window
    signer_key: bytes
    chain: tuple[bytes, ...]
    holder_keys: list[bytes]
    holder_points: list[bytes]
    trust_list: bytes
    trust_root: PublicKey
    signer_point: bytes
    anchors: tuple[bytes, ...]
    values: dict[str, Value] = field(default_factory=dict[str, Value])

    def trust(self) -> Trust:
        return open_trust_list(self.trust_list, root=self.trust_root, now=NOW)

    def signer(self) -> Signer:
        return Signer(software_sign(private_key(self.signer_key)), self.chain)

    def holder(self, position: int = 0) -> HolderKey:
        key = private_key(self.holder_keys[position])
        return HolderKey(software_sign(key), PublicKey.of(key.public_key()))


def stage(format: str) -> Stage:
    pki = make_pki(issuer_url=ISSUER, verifier_url="https://verifier.bauhinia.example", now=NOW)
    signer = pki.signers[format, TYPE.name]
    holders = [ec.generate_private_key(ec.SECP256R1()) for _ in range(BATCH)]
    values: dict[str, Value] = {
        claim.name: "21-59" if claim.enum else claim.name not in ("age_over_60", "age_over_65", "age_over_70")
        for claim in TYPE.claims
    }
    return Stage(
        format=format,
        claims=Claims(TYPE, values),
        window=window(NOW, TYPE.validity_days),
        signer_key=key_bytes(signer.key),
        chain=signer.signer.chain,
        holder_keys=[key_bytes(key) for key in holders],
        holder_points=[PublicKey.of(key.public_key()).point for key in holders],
        trust_list=pki.trust_list,
        trust_root=pki.trust_root,
        signer_point=PublicKey.of(signer.key.public_key()).point,
        anchors=(pki.root.der,),
        values=values,
    )


RANDOM = os.urandom
