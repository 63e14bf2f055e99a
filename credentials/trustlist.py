"""The content of a trust list: its nouns, and the reader that refuses every other shape.

    {"version": 1, "environment": "development" | "production", "sequence": 1, "issued": s, "expires": s,
     "issuers": [{"id": URL, "name": {"en", "zh-Hant"}, "jurisdictions": ["HK"], "anchors": [base64 DER],
                  "types": {"dc+sd-jwt": [vct], "mso_mdoc": [doctype]},
                  "status": {"anchors": [base64 DER], "uris": [prefix ending in "/"]},
                  "retired": [{"key_thumbprint": b64u (RFC 7638), "since": s}]}],
     "verifier_anchors": [base64 DER],
     "verifiers": [{"certificate_sha256": b64u, "name": {…}, "origins": [origin],
                    "purposes": [{"id", "text": {…}, "legal_basis": {…}, "basis_code",
                                  "claims": {type name: [claim name]}}]}]}

Times are seconds since 1970. A member that is not listed here is refused: a list that means more than its
reader understands is not trusted halfway.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, TypeVar

from .certificates import Certificate, read_certificate
from .encoding import unb64u
from .errors import Malformed, TrustListInvalid, Untrusted
from .model import Seconds

VERSION: Final = 1
ENVIRONMENTS: Final = ("development", "production")
LANGUAGES: Final = frozenset({"en", "zh-Hant"})
FORMATS: Final = frozenset({"dc+sd-jwt", "mso_mdoc"})

_T = TypeVar("_T")
_ORIGIN_TEXT: Final = r"https?://(?:[a-z0-9.\-]+|\[::1\])(?::[0-9]{1,5})?"
_ORIGIN: Final = re.compile(_ORIGIN_TEXT)
_URL: Final = re.compile(_ORIGIN_TEXT + r"(?:/[A-Za-z0-9._~\-/]*)?")
_NAME: Final = re.compile(r"[A-Za-z0-9_/\-]{1,100}")
_MAX_TEXT: Final = 1000


@dataclass(frozen=True, slots=True)
class Purpose:
    """Why a verifier asks, and the most it may ask for: claim names by type name of the catalogue.

    ``legal_basis`` is for people. ``basis_code`` names the ground for programs (``pcpd-2.3.1``: paragraph
    2.3.1 of the Code of Practice on the Identity Card Number); types may demand certain ones.
    """

    id: str
    text: Mapping[str, str]
    legal_basis: Mapping[str, str]
    basis_code: str
    claims: Mapping[str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Registration:
    """A verifier that registered. ``certificate_sha256`` is the SHA-256 of its access certificate, DER."""

    certificate_sha256: bytes
    name: Mapping[str, str]
    origins: tuple[str, ...]
    purposes: Mapping[str, Purpose]


@dataclass(frozen=True, slots=True)
class IssuerEntry:
    """An issuer, where its chains end, and what it may issue: identifiers (vct or doctype) by format.

    ``jurisdictions`` are the countries (ISO 3166-1 alpha-2) it may issue for; a signer's certificate names
    one of them.

    ``retired`` gives, by JWK thumbprint of a signer's key, the moment from which on its signatures count no
    more; 0 for a key that was stolen, since a thief writes whatever date helps. Keys are retired and not
    certificates: of an ECDSA signature anybody can make a second one, so a certificate has no one hash.
    """

    id: str
    name: Mapping[str, str]
    jurisdictions: frozenset[str]
    anchors: tuple[Certificate, ...]
    types: Mapping[str, frozenset[str]]
    status_anchors: tuple[Certificate, ...]
    status_uris: tuple[str, ...]
    retired: Mapping[bytes, Seconds]


@dataclass(frozen=True, slots=True)
class Content:
    """All of a trust list, its signature not judged."""

    environment: str
    sequence: int
    issued: Seconds
    expires: Seconds
    issuers: tuple[IssuerEntry, ...]
    verifier_anchors: tuple[Certificate, ...]
    verifiers: Mapping[bytes, Registration]


def read_content(payload: object) -> Content:
    """JSON value to :class:`Content`. Raises :class:`TrustListInvalid`, and nothing else."""
    top = _object(
        payload,
        "version environment sequence issued expires issuers verifiers verifier_anchors",
        "trust list",
    )
    if _integer(top["version"], "version") != VERSION:
        raise TrustListInvalid("trust list of an unknown version")
    environment = _text(top["environment"], "environment")
    if environment not in ENVIRONMENTS:
        raise TrustListInvalid("trust list for an unknown environment")
    sequence = _integer(top["sequence"], "sequence")
    issued, expires = _integer(top["issued"], "issued"), _integer(top["expires"], "expires")
    if sequence < 1 or issued >= expires:
        raise TrustListInvalid("sequence starts at 1, and a list expires after it is issued")
    issuers = _array(top["issuers"], _issuer, "issuers")
    if len({issuer.id for issuer in issuers}) != len(issuers):
        raise TrustListInvalid("an issuer is listed twice")
    # A chain must lead to one issuer only, or a credential could claim to be either's.
    anchors = [anchor.der for issuer in issuers for anchor in issuer.anchors]
    if len(set(anchors)) != len(anchors):
        raise TrustListInvalid("an anchor is listed twice")
    verifiers = _array(top["verifiers"], _registration, "verifiers")
    return Content(
        environment=environment,
        sequence=sequence,
        issued=issued,
        expires=expires,
        issuers=issuers,
        verifier_anchors=_array(top["verifier_anchors"], _anchor, "verifier_anchors"),
        verifiers=_by(verifiers, lambda entry: entry.certificate_sha256, "a verifier"),
    )


def _issuer(value: object) -> IssuerEntry:
    entry = _object(value, "id name jurisdictions anchors types status retired", "issuer")
    types = _object(entry["types"], " ".join(FORMATS), "types")
    status = _object(entry["status"], "anchors uris", "status")
    retired = _array(entry["retired"], _retirement, "retired")
    jurisdictions = _array(entry["jurisdictions"], _country, "jurisdictions")
    if not jurisdictions:
        raise TrustListInvalid("an issuer of no jurisdiction")
    uris = _array(status["uris"], _url, "uris")
    # Without the slash, "https://a.example/status" would also vouch for "https://a.example/status-of-eve".
    if not all(uri.endswith("/") for uri in uris):
        raise TrustListInvalid("a status prefix does not end in a slash")
    return IssuerEntry(
        id=_url(entry["id"]),
        name=_languages(entry["name"], "name"),
        jurisdictions=frozenset(jurisdictions),
        anchors=_array(entry["anchors"], _anchor, "anchors"),
        types=MappingProxyType(
            {name: frozenset(_array(types[name], _identifier, "types")) for name in sorted(FORMATS)}
        ),
        status_anchors=_array(status["anchors"], _anchor, "status anchors"),
        status_uris=uris,
        retired=MappingProxyType(
            {key: since for key, (_, since) in _by(retired, lambda pair: pair[0], "a retired signer").items()}
        ),
    )


def _retirement(value: object) -> tuple[bytes, Seconds]:
    entry = _object(value, "key_thumbprint since", "retired")
    return _sha256(entry["key_thumbprint"]), _integer(entry["since"], "since")


def _registration(value: object) -> Registration:
    entry = _object(value, "certificate_sha256 name origins purposes", "verifier")
    purposes = _array(entry["purposes"], _purpose, "purposes")
    return Registration(
        certificate_sha256=_sha256(entry["certificate_sha256"]),
        name=_languages(entry["name"], "name"),
        origins=_array(entry["origins"], _origin, "origins"),
        purposes=_by(purposes, lambda purpose: purpose.id, "a purpose"),
    )


def _purpose(value: object) -> Purpose:
    entry = _object(value, "id text legal_basis basis_code claims", "purpose")
    claims = entry["claims"]
    if not isinstance(claims, dict):
        raise TrustListInvalid("claims of a purpose are not an object")
    by_type: dict[str, Any] = claims  # pyright: ignore[reportUnknownVariableType]
    return Purpose(
        id=_name(entry["id"]),
        text=_languages(entry["text"], "purpose text"),
        legal_basis=_languages(entry["legal_basis"], "legal_basis"),
        basis_code=_basis_code(entry["basis_code"]),
        claims=MappingProxyType(
            {
                _name(type_name): frozenset(_array(names, _name, "claims"))
                for type_name, names in by_type.items()
            }
        ),
    )


def _object(value: object, members: str, what: str) -> dict[str, Any]:
    """An object with exactly ``members`` (names separated by spaces)."""
    if not isinstance(value, dict) or value.keys() != set(members.split()):
        raise TrustListInvalid(f"{what}: not exactly the members {members}")
    return value  # pyright: ignore[reportUnknownVariableType]


def _array(value: object, read: Callable[[object], _T], what: str) -> tuple[_T, ...]:
    if not isinstance(value, list):
        raise TrustListInvalid(f"{what}: not an array")
    items: list[object] = value  # pyright: ignore[reportUnknownVariableType]
    return tuple(read(item) for item in items)


def _by(entries: tuple[_T, ...], key: Callable[[_T], Any], what: str) -> Mapping[Any, _T]:
    mapping = {key(entry): entry for entry in entries}
    if len(mapping) != len(entries):
        raise TrustListInvalid(f"{what} is listed twice")
    return MappingProxyType(mapping)


def _integer(value: object, what: str) -> int:
    if type(value) is not int or not 0 <= value < 1 << 53:
        raise TrustListInvalid(f"{what}: not a whole number of at most 53 bits")
    return value


def _text(value: object, what: str) -> str:
    """A line for people; control and direction-changing characters could make one name look like another."""
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_TEXT or not value.isprintable():
        raise TrustListInvalid(f"{what}: not a line of printable text")
    return value


def _languages(value: object, what: str) -> Mapping[str, str]:
    texts = _object(value, " ".join(LANGUAGES), what)
    return MappingProxyType({language: _text(texts[language], what) for language in sorted(LANGUAGES)})


def _name(value: object) -> str:
    if not isinstance(value, str) or _NAME.fullmatch(value) is None:
        raise TrustListInvalid("not a name of letters, digits, '_', '-' and '/'")
    return value


def _basis_code(value: object) -> str:
    if not isinstance(value, str) or re.fullmatch(r"[a-z0-9][a-z0-9.\-]{0,63}", value) is None:
        raise TrustListInvalid("not a code of a legal basis")
    return value


def _country(value: object) -> str:
    if not isinstance(value, str) or re.fullmatch("[A-Z]{2}", value) is None:
        raise TrustListInvalid("jurisdiction is not two capital letters")
    return value


def _identifier(value: object) -> str:
    if not isinstance(value, str) or re.fullmatch(r"[!-~]{1,200}", value) is None:
        raise TrustListInvalid("not a type identifier")
    return value


def _url(value: object) -> str:
    if not isinstance(value, str) or _URL.fullmatch(value) is None:
        raise TrustListInvalid("not a URL of scheme, host and path")
    return value


def _origin(value: object) -> str:
    if not isinstance(value, str) or _ORIGIN.fullmatch(value) is None:
        raise TrustListInvalid("not an origin")
    return value


def _sha256(value: object) -> bytes:
    try:
        digest = unb64u(value) if isinstance(value, str) else b""
    except Malformed:
        digest = b""
    if len(digest) != 32:
        raise TrustListInvalid("a SHA-256 is not 32 bytes in base64url")
    return digest


def _anchor(value: object) -> Certificate:
    """Standard base64 of DER, as in ``x5c`` (RFC 7515, 4.1.6)."""
    try:
        der = b64decode(value, validate=True) if isinstance(value, str) else b""
    except ValueError:
        raise TrustListInvalid("an anchor is not base64") from None
    try:
        certificate = read_certificate(der)
    except (Malformed, Untrusted):
        raise TrustListInvalid("an anchor is not a certificate of this profile") from None
    if not certificate.ca or not certificate.signs_certificates:
        raise TrustListInvalid("an anchor is not a CA certificate")
    return certificate
