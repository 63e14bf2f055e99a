"""Presentation: the signed request object and how a wallet finds and opens it (OpenID4VP 1.0, HAIP 1.0).

Both ends; responses are in ``vpresponse.py``, the comparison with what a verifier registered is in
``asking.py``. One profile only: ``client_id`` prefix ``x509_hash``, request by ``request_uri``, DCQL,
``direct_post`` or ``direct_post.jwt``. What else a request may demand is refused, not skipped.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from credentials.encoding import b64u, unb64u
from credentials.errors import (
    Base64Malformed,
    ClientIdInvalid,
    ConfigurationInvalid,
    KeyMalformed,
    RequestExpired,
    RequestObjectInvalid,
    TransactionDataMismatch,
    UriRefused,
)
from credentials.jose import parse_compact, sign_compact
from credentials.keys import PublicKey, Signer
from credentials.model import Seconds, Session
from credentials.trust import Trust, TrustedVerifier

from .asking import Asked as Asked
from .asking import over_asking as over_asking
from .dcql import MDOC, SD_JWT, Query, parse_query
from .members import Members
from .uris import build_query, parse_link, parse_url
from .vpresponse import VpRefusal as VpRefusal
from .vpresponse import VpResponse as VpResponse
from .vpresponse import build_error_response as build_error_response
from .vpresponse import build_response as build_response
from .vpresponse import parse_response as parse_response

REQUEST_TYP: Final = "oauth-authz-req+jwt"
AUDIENCE: Final = "https://self-issued.me/v2"
PREFIX: Final = "x509_hash:"
LINK_SCHEMES: Final = frozenset({"openid4vp", "haip-vp"})
PURPOSE_FORMAT: Final = "bauhinia-purpose"
ENCODINGS: Final = ("A128GCM", "A256GCM")
MAX_REQUEST: Final = 1 << 17
MAX_LIFE: Final = 3600
MAX_FUTURE: Final = 60
_URL_SAFE: Final = re.compile(r"[A-Za-z0-9._~-]{1,512}")
_PURPOSE: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")

ResponseMode: TypeAlias = Literal["direct_post", "direct_post.jwt"]
RESPONSE_MODES: Final[tuple[ResponseMode, ...]] = ("direct_post", "direct_post.jwt")


@dataclass(frozen=True, slots=True)
class ResponseKey:
    """The key a response is encrypted to: ``kid`` goes into the JWE, ``enc`` is the content encryption."""

    key: PublicKey
    kid: str
    enc: str


@dataclass(frozen=True, slots=True)
class RequestClaims:
    """What a request object says, whoever says it. ``encryption`` is set if and only if the response mode is
    ``direct_post.jwt``. ``purpose`` is the id of a registered purpose."""

    client_id: str
    response_uri: str
    response_mode: ResponseMode
    nonce: str
    state: str | None
    query: Query
    purpose: str | None
    encryption: ResponseKey | None
    issued: Seconds
    expires: Seconds


@dataclass(frozen=True, slots=True)
class AuthorizationRequest(RequestClaims):
    """A request whose signature holds, and who signed it."""

    verifier: TrustedVerifier


@dataclass(frozen=True, slots=True)
class RequestLink:
    """What a link or QR code carries: who claims to ask, and where the signed request is."""

    client_id: str
    request_uri: str


# --- Link (section 5.7)


def client_id(certificate_hash: bytes) -> str:
    """``x509_hash:`` and the SHA-256 of the access certificate (section 5.9.3)."""
    return f"{PREFIX}{b64u(certificate_hash)}"


def request_link(client_id: str, request_uri: str) -> str:
    return f"openid4vp://?{build_query({'client_id': client_id, 'request_uri': request_uri})}"


def parse_request_link(text: str) -> RequestLink:
    """Read a link. Raises :class:`UriRefused`, :class:`ClientIdInvalid`, :class:`RequestObjectInvalid`.

    ``request_uri_method=post`` is an offer, not a demand (section 5.10): the request is fetched with GET.
    """
    fields = parse_link(text.strip(), schemes=LINK_SCHEMES)
    identifier = fields.get("client_id", "")
    _certificate_hash(identifier)
    if "request" in fields or "request_uri" not in fields:
        raise RequestObjectInvalid("the link does not say where the signed request is (request_uri)")
    parse_url(fields["request_uri"])
    return RequestLink(identifier, fields["request_uri"])


def _certificate_hash(identifier: str) -> bytes:
    # The prefix is part of the identifier: without it, the same text could mean another kind of client.
    if not identifier.startswith(PREFIX):
        raise ClientIdInvalid("client_id does not have the prefix x509_hash")
    try:
        digest = unb64u(identifier.removeprefix(PREFIX))
    except Base64Malformed:
        digest = b""
    if len(digest) != 32:
        raise ClientIdInvalid("client_id does not hold a SHA-256 hash")
    return digest


# --- The verifier's side


def build_request(
    *,
    client_id: str,
    response_uri: str,
    nonce: str,
    state: str,
    response_mode: ResponseMode,
    query: Mapping[str, Any],
    purpose: str,
    encryption_jwk: Mapping[str, Any] | None,
    issued: Seconds,
    expires: Seconds,
) -> dict[str, Any]:
    """The claims of a request object. ``nonce`` and ``state`` are fresh, with 128 random bits or more each;
    ``encryption_jwk`` is the public half of a key made for this request alone, and its ``kid``.

    The claims are read back as a wallet would read them: a verifier never sends what our own wallet refuses.
    Raises :class:`ConfigurationInvalid`, :class:`QueryInvalid`, :class:`RequestObjectInvalid`.
    """
    if (response_mode == "direct_post.jwt") != (encryption_jwk is not None):
        raise ConfigurationInvalid("a key is given for an encrypted response, and only then")
    metadata: dict[str, Any] = {
        "vp_formats_supported": {
            SD_JWT: {"sd-jwt_alg_values": ["ES256"], "kb-jwt_alg_values": ["ES256"]},
            MDOC: {"issuerauth_alg_values": [-7], "deviceauth_alg_values": [-7]},
        }
    }
    if encryption_jwk is not None:
        metadata["jwks"] = {"keys": [{**encryption_jwk, "use": "enc", "alg": "ECDH-ES"}]}
        metadata["encrypted_response_enc_values_supported"] = list(ENCODINGS)
    claims: dict[str, Any] = {
        "aud": AUDIENCE,
        "iat": issued,
        "exp": expires,
        "client_id": client_id,
        "response_type": "vp_token",
        "response_mode": response_mode,
        "response_uri": response_uri,
        "nonce": nonce,
        "state": state,
        "dcql_query": query,
        "client_metadata": metadata,
        "verifier_info": [{"format": PURPOSE_FORMAT, "data": {"id": purpose}}],
    }
    read_request(claims)
    return claims


def sign_request(claims: Mapping[str, Any], signer: Signer) -> str:
    """The request object (RFC 9101), with the access certificate's chain in ``x5c``."""
    return sign_compact(claims, typ=REQUEST_TYP, sign=signer)


# --- The wallet's side


def open_request(jws: str, *, link: RequestLink, trust: Trust, now: Seconds) -> AuthorizationRequest:
    """Open a fetched request object (OpenID4VP 1.0, sections 5 and 14; RFC 9101; HAIP 1.0, section 5).

    Left to the wallet: that the nonce of this verifier is new, over-asking (:func:`over_asking`), consent.
    """
    # 1. One JWS with ES256, explicitly typed (RFC 9101, 10.8).
    signed = parse_compact(jws, typ=REQUEST_TYP, max_bytes=MAX_REQUEST)
    # 2. The chain leads to an anchor for verifiers; the anchor is not in it, the leaf is not its own issuer.
    verifier = trust.verifier(signed.chain(), now=now)
    # 3. The client identifier of the link is the hash of the leaf (5.9.3, x509_hash).
    if _certificate_hash(link.client_id) != verifier.certificate_hash:
        raise ClientIdInvalid("client_id is not the hash of the certificate that signed the request")
    # 4. The signature.
    payload = signed.verify(verifier.key)
    # 5. It is for a wallet (5.8) and everything in it is understood.
    request = read_request(payload)
    # 6. The signed client identifier is that of the link (RFC 9101, 6.3): no swapped requests.
    if request.client_id != link.client_id:
        raise ClientIdInvalid("client_id of the link and of the signed request differ")
    # 7. It is fresh.
    if request.issued > now + MAX_FUTURE:
        raise RequestExpired("the request was made in the future: check the clock")
    if now >= request.expires:
        raise RequestExpired("the request has expired")
    # 8. The answer goes to where this verifier registered (5.9.3: x509_hash alone binds no origin).
    registration = verifier.registration
    if registration is not None and parse_url(request.response_uri).origin not in registration.origins:
        raise RequestObjectInvalid("response_uri is not on an origin this verifier registered")
    return AuthorizationRequest(
        client_id=request.client_id,
        response_uri=request.response_uri,
        response_mode=request.response_mode,
        nonce=request.nonce,
        state=request.state,
        query=request.query,
        purpose=request.purpose,
        encryption=request.encryption,
        issued=request.issued,
        expires=request.expires,
        verifier=verifier,
    )


# --- Both sides


def read_request(claims: Mapping[str, Any]) -> RequestClaims:
    """Read the claims of a request object; who signed them, and when it is now, is for the caller.

    The verifier reads its own stored claims with it, so that both ends see the same request. Raises
    :class:`RequestObjectInvalid`, :class:`ClientIdInvalid`, :class:`QueryInvalid`,
    :class:`TransactionDataMismatch`.
    """
    members = Members(dict(claims), refusal=RequestObjectInvalid, where="request object")
    # 1. For a wallet (5.8); `iss` is ignored (5.1).
    if members.raw("aud") != AUDIENCE:
        raise RequestObjectInvalid("request object: aud is not the one for wallets")
    # 2. Who asks.
    identifier = members.text("client_id", limit=256)
    _certificate_hash(identifier)
    # 3. For what: a presentation, and nothing beside it.
    if members.text("response_type") != "vp_token":
        raise RequestObjectInvalid("request object: response_type is not vp_token")
    if members.has("transaction_data"):
        # An unknown type must not be passed over (8.4): the holder would sign what nobody showed.
        raise TransactionDataMismatch("request object: no type of transaction_data is supported")
    members.forbid("scope", "presentation_definition", "presentation_definition_uri", "expected_origins")
    query = parse_query(members.raw("dcql_query"))
    # 4. How the answer travels: posted to one URL, with no second way out (8.2).
    mode: ResponseMode = members.choice("response_mode", RESPONSE_MODES)
    members.forbid("redirect_uri")
    response_uri = members.text("response_uri", limit=2048)
    try:
        parse_url(response_uri)
    except UriRefused:
        raise RequestObjectInvalid("request object: response_uri is not an https URL") from None
    # 5. Bound to this one exchange (14.1).
    nonce = members.text("nonce", limit=512)
    _check_nonce(nonce)
    state = members.optional_text("state", limit=512)
    if state is not None and not _URL_SAFE.fullmatch(state):
        raise RequestObjectInvalid("request object: state has characters that are not URL-safe")
    # 6. Short-lived.
    issued = members.integer("iat", least=0, most=1 << 53)
    expires = members.integer("exp", least=0, most=1 << 53)
    if not issued < expires <= issued + MAX_LIFE:
        raise RequestObjectInvalid("request object: it does not expire within an hour of being made")
    return RequestClaims(
        client_id=identifier,
        response_uri=response_uri,
        response_mode=mode,
        nonce=nonce,
        state=state,
        query=query,
        purpose=_purpose(members),
        encryption=_response_key(members) if mode == "direct_post.jwt" else None,
        issued=issued,
        expires=expires,
    )


def _check_nonce(nonce: str) -> None:
    """128 random bits fit into 22 characters of base64url, 32 of hex, 39 digits; a few letters repeated are
    none at all. What looks random and is not cannot be seen from outside."""
    if not _URL_SAFE.fullmatch(nonce):
        raise RequestObjectInvalid("request object: nonce has characters that are not URL-safe")
    letters = set(nonce.lower()) - set("-._~")
    least = 39 if letters <= set("0123456789") else 32 if letters <= set("0123456789abcdef") else 22
    if len(nonce) < least or len(letters) < 8:
        raise RequestObjectInvalid("request object: nonce has fewer than 128 random bits")


def session_of(request: RequestClaims) -> Session:
    """What a presentation is bound to: the same on both ends, or nothing verifies (appendix B.2.6, B.3.6)."""
    return Session(
        audience=request.client_id,
        nonce=request.nonce,
        response_uri=request.response_uri,
        thumbprint=None if request.encryption is None else request.encryption.key.thumbprint(),
    )


def _purpose(members: Members) -> str | None:
    """The purpose id out of ``verifier_info`` (5.11), whose other formats are ignored."""
    if not members.has("verifier_info"):
        return None
    purpose: str | None = None
    for entry in members.members("verifier_info", limit=20):
        if entry.text("format") != PURPOSE_FORMAT:
            continue
        if purpose is not None:
            raise RequestObjectInvalid("request object: two purposes")
        purpose = entry.member("data").text("id", limit=64)
        if not _PURPOSE.fullmatch(purpose):
            raise RequestObjectInvalid("request object: the purpose is not an identifier")
    return purpose


def _response_key(members: Members) -> ResponseKey:
    """The first key we can encrypt to (8.3; OIDF: unusable keys are passed over)."""
    metadata = members.member("client_metadata")
    offered: tuple[str, ...] = ("A128GCM",)
    if metadata.has("encrypted_response_enc_values_supported"):
        offered = metadata.texts("encrypted_response_enc_values_supported", limit=20)
    enc = next((enc for enc in reversed(ENCODINGS) if enc in offered), None)
    if enc is None:
        raise RequestObjectInvalid("request object: no content encryption that we do")
    for jwk in metadata.member("jwks").members("keys", limit=20):
        if jwk.optional_text("use") not in (None, "enc") or jwk.optional_text("alg") != "ECDH-ES":
            continue
        try:
            return ResponseKey(PublicKey.from_jwk(jwk.mapping()), jwk.text("kid", limit=256), enc)
        except KeyMalformed:
            continue
    raise RequestObjectInvalid("request object: no key that we can encrypt the response to")
