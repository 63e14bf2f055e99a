"""Certificates with any one thing wrong, for tests of chains and trust lists."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from credentials.certificates import (
    MDOC_SIGNER,
    SD_JWT_SIGNER,
    STATUS_SIGNER,
    VERIFIER_ACCESS,
    Certificate,
    read_certificate,
)
from credentials.encoding import b64u
from credentials.keys import PublicKey, Signer, software_sign

NOW = 1_795_305_600
DAY = 86_400
PURPOSES = {
    "sd-jwt": SD_JWT_SIGNER,
    "mdoc": MDOC_SIGNER,
    "status": STATUS_SIGNER,
    "access": VERIFIER_ACCESS,
}


@cache
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@dataclass(frozen=True)
class Forged:
    key: Any
    x509: x509.Certificate

    @property
    def der(self) -> bytes:
        return self.x509.public_bytes(Encoding.DER)

    @property
    def sha256(self) -> bytes:
        return self.x509.fingerprint(hashes.SHA256())

    @property
    def base64(self) -> str:
        return b64encode(self.der).decode()

    @property
    def anchor(self) -> Certificate:
        return read_certificate(self.der)

    @property
    def public(self) -> PublicKey:
        return PublicKey.of(self.key.public_key())

    def signer(self, *above: Forged) -> Signer:
        return Signer(software_sign(self.key), (self.der, *(link.der for link in above)))


def usage(*, data: bool, certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=data,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=certificates,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def forge(
    name: str,
    issuer: Forged | None = None,
    *,
    key: Any = None,
    ca: bool = False,
    path_length: int | None = None,
    signs_data: bool | None = None,
    signs_certificates: bool | None = None,
    purposes: tuple[str, ...] = (),
    before: int = NOW - DAY,
    after: int = NOW + DAY,
    unit: str | None = None,
    countries: tuple[str, ...] = ("HK",),
    extra: tuple[tuple[x509.ExtensionType, bool], ...] = (),
    digest: Any = None,
    issuer_name: str | None = None,
) -> Forged:
    """A certificate of the profile unless told otherwise; self-signed without ``issuer``."""
    key = key if key is not None else new_key()
    units = [x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit)] if unit else []
    named_countries = [x509.NameAttribute(NameOID.COUNTRY_NAME, country) for country in countries]
    subject = x509.Name([*named_countries, *units, x509.NameAttribute(NameOID.COMMON_NAME, name)])
    if issuer_name is not None:
        issued_by = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer_name)])
    else:
        issued_by = issuer.x509.subject if issuer is not None else subject
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issued_by)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.fromtimestamp(before, UTC))
        .not_valid_after(datetime.fromtimestamp(after, UTC))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=path_length if ca else None), critical=True)
        .add_extension(
            usage(
                data=not ca if signs_data is None else signs_data,
                certificates=ca if signs_certificates is None else signs_certificates,
            ),
            critical=True,
        )
    )
    if purposes:
        named = [x509.ObjectIdentifier(PURPOSES.get(purpose, purpose)) for purpose in purposes]
        builder = builder.add_extension(x509.ExtendedKeyUsage(named), critical=True)
    for extension, critical in extra:
        builder = builder.add_extension(extension, critical=critical)
    signing = key if issuer is None else issuer.key
    return Forged(key, builder.sign(signing, digest or hashes.SHA256()))


@cache
def root(name: str = "root") -> Forged:
    return forge(name, ca=True, after=NOW + 1000 * DAY)


def content(**members: Any) -> dict[str, Any]:
    """A trust list's content with one issuer under :func:`root`, changed by ``members``."""
    return {
        "version": 1,
        "environment": "development",
        "sequence": 7,
        "issued": NOW - 3600,
        "expires": NOW + 30 * DAY,
        "issuers": [issuer()],
        "verifier_anchors": [root().base64],
        "verifiers": [],
        **members,
    }


def issuer(**members: Any) -> dict[str, Any]:
    return {
        "id": "https://issuer.test",
        "name": {"en": "Issuer", "zh-Hant": "發證機構"},
        "jurisdictions": ["HK"],
        "anchors": [root().base64],
        "types": {
            "dc+sd-jwt": ["https://bauhinia.example/vct/age/1"],
            "mso_mdoc": ["example.bauhinia.age.1"],
        },
        "status": {"anchors": [root().base64], "uris": ["https://issuer.test/status/"]},
        "retired": [],
        **members,
    }


def verifier(certificate: Forged, **members: Any) -> dict[str, Any]:
    return {
        "certificate_sha256": b64u(certificate.sha256),
        "name": {"en": "Shop", "zh-Hant": "商店"},
        "origins": ["https://shop.test"],
        "purposes": [purpose()],
        **members,
    }


def purpose(**members: Any) -> dict[str, Any]:
    return {
        "id": "liquor18",
        "text": {"en": "Check your age", "zh-Hant": "查核年齡"},
        "legal_basis": {"en": "Cap. 109B", "zh-Hant": "第109B章"},
        "basis_code": "hk-cap-109b",
        "claims": {"age/1": ["age_over_18"]},
        **members,
    }
