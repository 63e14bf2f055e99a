"""The development PKI: root, signers, verifier access, TLS, and the trust list that names them.

Everything here is for trying Bauhinia out. Every certificate says ``OU=development only`` and is refused in
production (:func:`credentials.certificates.refuse_development`); keys lie in files.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from credentials.calendar import DAY
from credentials.catalog import FORMAT_SLUGS, Catalogue, load_catalogue
from credentials.certificates import DEVELOPMENT, STATUS_SIGNER, VERIFIER_ACCESS
from credentials.encoding import b64u
from credentials.errors import ConfigurationInvalid
from credentials.keys import PublicKey, Signer, software_sign
from credentials.model import Seconds
from credentials.trust import SIGNER_PURPOSES, sign_trust_list
from openid4vc.uris import LOOPBACK_NAMES

ROOT_DAYS: Final = 5 * 365
LEAF_DAYS: Final = 456
"""Under the 457 days that ISO/IEC 18013-5 B.1.4 allows a document signer."""
TLS_DAYS: Final = 397
LIST_DAYS: Final = 365
"""A development list lives a year (``bauhinia trust renew`` makes the next); a production list lives days."""
EARLIER: Final = 2 * DAY
"""How long before ``now`` certificates begin: a credential of today is valid from Hong Kong midnight."""


MakeKey = Callable[[], ec.EllipticCurvePrivateKey]


@dataclass(frozen=True, slots=True)
class Identity:
    """A private key and the certificate over its public half."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def sha256(self) -> bytes:
        return self.certificate.fingerprint(hashes.SHA256())

    @property
    def signer(self) -> Signer:
        """The chain is the leaf alone: the root above it is the anchor, and stays out."""
        return Signer(software_sign(self.key), (self.der,))

    def certificate_pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    def key_pem(self) -> bytes:
        return private_pem(self.key)


@dataclass(frozen=True, slots=True)
class Pki:
    """A development PKI in memory. ``signers`` is by format and type name of the catalogue."""

    catalogue: Catalogue
    root: Identity
    list_key: ec.EllipticCurvePrivateKey
    signers: Mapping[tuple[str, str], Identity]
    status: Identity
    verifier: Identity
    desk: Identity
    tls_ca: Identity
    tls_server: Identity
    content: Mapping[str, Any]
    trust_list: bytes

    @property
    def trust_root(self) -> PublicKey:
        """The key that wallets and verifiers pin."""
        return PublicKey.of(self.list_key.public_key())

    def files(self) -> dict[str, bytes]:
        """Relative path to content; a path that ends in ``.key`` holds a private key."""
        pairs = {
            "root/root": self.root,
            "issuer/status": self.status,
            "verifier/access": self.verifier,
            "desk/access": self.desk,
            "tls/server": self.tls_server,
            **{
                f"issuer/{FORMAT_SLUGS[format]}--{self.catalogue.types[name].slug}": identity
                for (format, name), identity in self.signers.items()
            },
        }
        return {
            "trust-root.jwk": json.dumps(self.trust_root.jwk(), indent=2).encode() + b"\n",
            "root/list.key": private_pem(self.list_key),
            # The key of the TLS authority is not kept: nothing else is to be signed with it.
            "tls/ca.crt": self.tls_ca.certificate_pem(),
            **{f"{path}.crt": identity.certificate_pem() for path, identity in pairs.items()},
            **{f"{path}.key": identity.key_pem() for path, identity in pairs.items()},
            # Last: where it stands, the directory is complete.
            "trust-list.jwt": self.trust_list,
        }


def private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def generate_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@cache
def registrations() -> dict[str, Any]:
    """The two verifiers of the development list and their purposes (``registrations.json``): an ordinary one,
    and a government desk that alone may ask for the identity card number."""
    content: dict[str, Any] = json.loads(
        resources.files("bauhinia").joinpath("registrations.json").read_bytes()
    )
    return content


def make_pki(
    *,
    issuer_url: str,
    verifier_url: str,
    desk_url: str | None = None,
    now: Seconds,
    days: int = LIST_DAYS,
    catalogue: Catalogue | None = None,
    make_key: MakeKey = generate_key,
) -> Pki:
    """A whole development PKI: one signing key for each format and type, all under one root.

    ``days`` is the life of the trust list; ``desk_url`` is the government desk's, by default the verifier's.
    Raises :class:`ConfigurationInvalid` for URLs that are neither
    https nor loopback, and for registered claims that the catalogue does not have.
    """
    issuer, verifier_site, desk_site = _site(issuer_url), _site(verifier_url), _site(desk_url or verifier_url)
    catalogue = catalogue if catalogue is not None else load_catalogue()
    root = _authority("Bauhinia development root", now=now, make_key=make_key)
    tls_ca = _authority("Bauhinia development TLS", now=now, make_key=make_key)

    def leaf(name: str, purpose: str, *, under: Identity = root, days: int = LEAF_DAYS) -> Identity:
        key = make_key()
        return Identity(key, _certificate(name, key, under, purpose=purpose, now=now, days=days))

    signers = {
        (format, name): leaf(f"{FORMAT_SLUGS[format]} signer of {name}", purpose)
        for format, purpose in SIGNER_PURPOSES.items()
        for name in catalogue.types
    }
    status = leaf("status list signer", STATUS_SIGNER)
    verifier = leaf("verifier access", VERIFIER_ACCESS)
    desk = leaf("government desk access", VERIFIER_ACCESS)
    server_key = make_key()
    sites = (issuer, verifier_site, desk_site)
    hosts = dict.fromkeys((*sorted(LOOPBACK_NAMES), *(str(site.hostname) for site in sites)))
    server = Identity(
        server_key,
        _certificate(
            "server",
            server_key,
            tls_ca,
            purpose=ExtendedKeyUsageOID.SERVER_AUTH.dotted_string,
            now=now,
            days=TLS_DAYS,
            hosts=tuple(hosts),
        ),
    )

    list_key = make_key()
    content = trust_content(
        catalogue,
        root=root.der,
        issuer_url=issuer_url.rstrip("/"),
        verifiers={
            "verifier": (_origin(verifier_site), verifier.sha256),
            "desk": (_origin(desk_site), desk.sha256),
        },
        issued=now,
        expires=now + days * DAY,
    )
    return Pki(
        catalogue=catalogue,
        root=root,
        list_key=list_key,
        signers=signers,
        status=status,
        verifier=verifier,
        desk=desk,
        tls_ca=tls_ca,
        tls_server=server,
        content=content,
        trust_list=sign_trust_list(content, software_sign(list_key)),
    )


def trust_content(
    catalogue: Catalogue,
    *,
    root: bytes,
    issuer_url: str,
    verifiers: Mapping[str, tuple[str, bytes]],
    issued: Seconds,
    expires: Seconds,
    sequence: int = 1,
) -> dict[str, Any]:
    """The trust list of a development PKI (shape: ``credentials/trustlist.py``).

    ``verifiers``: by name in ``registrations.json``, the origin and the SHA-256 of the access certificate.
    """
    registered = registrations()
    for name in verifiers:
        for purpose in registered[name]["purposes"]:
            _check_purpose(purpose, catalogue)
    anchors = [b64encode(root).decode("ascii")]
    return {
        "version": 1,
        "environment": "development",
        "sequence": sequence,
        "issued": issued,
        "expires": expires,
        "issuers": [
            {
                "id": issuer_url,
                "name": {"en": "Bauhinia development issuer", "zh-Hant": "洋紫荊開發用發證機構"},
                "jurisdictions": ["HK"],
                "anchors": anchors,
                "types": {
                    format: sorted(type.identifier(format) for type in catalogue.types.values())
                    for format in SIGNER_PURPOSES
                },
                "status": {"anchors": anchors, "uris": [f"{issuer_url}/status/"]},
                "retired": [],
            }
        ],
        "verifier_anchors": anchors,
        "verifiers": [
            {
                "certificate_sha256": b64u(certificate),
                "name": registered[name]["name"],
                "origins": [origin],
                "purposes": registered[name]["purposes"],
            }
            for name, (origin, certificate) in verifiers.items()
        ],
    }


def _check_purpose(purpose: Mapping[str, Any], catalogue: Catalogue) -> None:
    """Claims that exist and mean something as they are asked, on a ground that the type takes."""
    where = f"purpose {purpose['id']} is registered for"
    for type_name, names in purpose["claims"].items():
        known = catalogue.types.get(type_name)
        if known is None or not set(names) <= {claim.name for claim in known.claims}:
            raise ConfigurationInvalid(f"{where} claims that the catalogue does not have")
        if not any(known.claim(name).alone for name in names):
            raise ConfigurationInvalid(f"{where} claims of {type_name} that say nothing by themselves")
        if known.grounds and purpose["basis_code"] not in known.grounds:
            raise ConfigurationInvalid(f"{where} {type_name} without one of the grounds that it takes")


def renewed(content: Mapping[str, Any], *, now: Seconds, days: int) -> dict[str, Any]:
    """The same list under the next number, from ``now`` and for ``days``."""
    return {**content, "sequence": content["sequence"] + 1, "issued": now, "expires": now + days * DAY}


def _origin(site: SplitResult) -> str:
    return f"{site.scheme}://{site.netloc}"


def _site(url: str) -> SplitResult:
    """https anywhere, http on loopback only."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ConfigurationInvalid("not a URL") from None
    allowed = parts.scheme == "https" or (parts.scheme == "http" and host in LOOPBACK_NAMES)
    if not host or not allowed or parts.query or parts.fragment or parts.username is not None:
        raise ConfigurationInvalid("a party's URL is https (http on loopback), a host and perhaps a path")
    return parts


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "HK"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Bauhinia"),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, DEVELOPMENT),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _builder(subject: x509.Name, issuer: x509.Name, now: Seconds, days: int) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.fromtimestamp(now - EARLIER, UTC))
        .not_valid_after(datetime.fromtimestamp(now - EARLIER + days * DAY, UTC))
    )


def _usage(*, certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=certificates,
        crl_sign=certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _authority(name: str, *, now: Seconds, make_key: MakeKey) -> Identity:
    key = make_key()
    public = key.public_key()
    certificate = (
        _builder(_name(name), _name(name), now, ROOT_DAYS)
        .public_key(public)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Identity(key, certificate)


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    under: Identity,
    *,
    purpose: str,
    now: Seconds,
    days: int,
    hosts: Sequence[str] = (),
) -> x509.Certificate:
    public = key.public_key()
    builder = (
        _builder(_name(name), under.certificate.subject, now, days)
        .public_key(public)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([x509.ObjectIdentifier(purpose)]), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(under.key.public_key()), critical=False
        )
    )
    if hosts:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([_general_name(host) for host in hosts]), critical=False
        )
    return builder.sign(under.key, hashes.SHA256())


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)
