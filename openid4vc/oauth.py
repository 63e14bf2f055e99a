"""OAuth 2.0 as OpenID4VCI uses it: authorization code with PKCE, tokens, errors. Both ends.

RFC 6749, RFC 7636 (S256 only), RFC 8414 (metadata), RFC 9207 (`iss` in the response), RFC 9449 (DPoP, in
``dpop.py``), OpenID4VCI 1.0 sections 5 and 6.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from credentials.encoding import b64u, load_json_object
from credentials.errors import (
    BauhiniaError,
    GrantTypeUnsupported,
    IssuerMixUp,
    Malformed,
    MetadataInvalid,
    PeerRefused,
    PkceInvalid,
    RequestInvalid,
    ResponseInvalid,
    ResponseTypeUnsupported,
    StateMismatch,
    UriRefused,
)

from .dpop import Dpop as Dpop
from .dpop import access_token_of as access_token_of
from .dpop import check_binding as check_binding
from .dpop import dpop_proof as dpop_proof
from .dpop import verify_dpop as verify_dpop
from .members import Members
from .uris import parse_url, with_query

PRE_AUTHORIZED: Final = "urn:ietf:params:oauth:grant-type:pre-authorized_code"
MAX_CODE: Final = 1024
MAX_MESSAGE: Final = 65536
_MAX_STATE: Final = 512
_VERIFIER: Final = re.compile(r"[A-Za-z0-9._~-]{43,128}")
_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_ERROR_CODE: Final = re.compile(r"[a-z0-9_.-]{1,80}")
_SCOPE: Final = re.compile(r"[!#-\[\]-~]+(?: [!#-\[\]-~]+)*")


# --- PKCE


def code_challenge(verifier: str) -> str:
    """S256 of a code verifier (RFC 7636, 4.2). Raises :class:`PkceInvalid` for a verifier out of form."""
    if not _VERIFIER.fullmatch(verifier):
        raise PkceInvalid("code_verifier is not 43 to 128 unreserved characters")
    return b64u(hashlib.sha256(verifier.encode("ascii")).digest())


# --- Authorization request and response


@dataclass(frozen=True, slots=True)
class CodeRequest:
    """What a wallet brings to the sign-in page (RFC 6749, 4.1.1; OpenID4VCI 5.1.2). ``scope`` is split."""

    client_id: str
    redirect_uri: str
    state: str
    code_challenge: str
    scope: tuple[str, ...]
    issuer_state: str | None = None


def code_request_url(endpoint: str, request: CodeRequest) -> str:
    """The URL that the wallet opens in a browser."""
    fields = {
        "response_type": "code",
        "client_id": request.client_id,
        "redirect_uri": request.redirect_uri,
        "state": request.state,
        "code_challenge": request.code_challenge,
        "code_challenge_method": "S256",
        "scope": " ".join(request.scope),
    }
    if request.issuer_state is not None:
        fields["issuer_state"] = request.issuer_state
    return with_query(endpoint, fields)


def parse_code_request(fields: Mapping[str, str]) -> CodeRequest:
    """Read the parameters of an authorization request. Raises :class:`RequestInvalid`, :class:`PkceInvalid`.

    Whether ``client_id`` may use ``redirect_uri`` is the server's to decide, before it redirects anywhere.
    """
    members = Members(dict(fields), refusal=RequestInvalid, where="authorization request")
    if members.text("response_type") != "code":
        raise ResponseTypeUnsupported("authorization request: response_type is not code")
    members.forbid("request", "request_uri", "authorization_details")
    challenge = fields.get("code_challenge", "")
    # `plain` is also what a missing method means (RFC 7636, 4.3): refused alike.
    if fields.get("code_challenge_method") != "S256" or not _CHALLENGE.fullmatch(challenge):
        raise PkceInvalid("authorization request: PKCE with S256 is required")
    redirect_uri = members.text("redirect_uri", limit=2048)
    parse_url(redirect_uri)
    return CodeRequest(
        client_id=members.text("client_id", limit=512),
        redirect_uri=redirect_uri,
        state=members.text("state", limit=_MAX_STATE),
        code_challenge=challenge,
        scope=_scope(members.text("scope", limit=2048)),
        issuer_state=members.optional_text("issuer_state", limit=MAX_CODE),
    )


def code_redirect(request: CodeRequest, *, code: str, issuer: str) -> str:
    """Where the browser is sent with the code; ``iss`` tells the wallet who answered (RFC 9207)."""
    return with_query(request.redirect_uri, {"code": code, "state": request.state, "iss": issuer})


def refusal_redirect(request: CodeRequest, error: BauhiniaError, *, issuer: str) -> str:
    """Where the browser is sent when the person or the server says no (RFC 6749, 4.1.2.1)."""
    body = error_body(error)
    fields = {"error": body["error"], "error_description": body["error_description"]}
    return with_query(request.redirect_uri, {**fields, "state": request.state, "iss": issuer})


def malformed_redirect(fields: Mapping[str, str], error: BauhiniaError, *, issuer: str) -> str:
    """As :func:`refusal_redirect`, for a request that could not be read; its redirect URI was checked.

    A missing or wrong PKCE challenge is ``invalid_request`` here (RFC 7636, 4.4.1).
    """
    body = error_body(error)
    code = "invalid_request" if isinstance(error, PkceInvalid) else body["error"]
    state = fields.get("state", "")
    sent = {"state": state} if 0 < len(state) <= _MAX_STATE else {}
    answer = {"error": code, "error_description": body["error_description"], **sent, "iss": issuer}
    return with_query(fields["redirect_uri"], answer)


def parse_code_response(fields: Mapping[str, str], *, state: str, issuer: str) -> str:
    """The code, from the parameters of the redirect. Raises :class:`StateMismatch`, :class:`IssuerMixUp`,
    :class:`PeerRefused` (the server said no) or :class:`ResponseInvalid`."""
    # 1. The answer belongs to the request of this browser (RFC 6749, 10.12).
    if not hmac.compare_digest(fields.get("state", "").encode(), state.encode()):
        raise StateMismatch("the answer belongs to another authorization request")
    # 2. It comes from the server that was asked (RFC 9207, 2.4), errors too.
    if fields.get("iss") != issuer:
        raise IssuerMixUp("the answer does not name the issuer that was asked")
    if "error" in fields:
        raise PeerRefused(f"the issuer answered {_error_code(fields['error'])}")
    return Members(dict(fields), refusal=ResponseInvalid, where="authorization response").text(
        "code", limit=MAX_CODE
    )


# --- Token request


@dataclass(frozen=True, slots=True)
class PreAuthorizedGrant:
    code: str
    tx_code: str | None


@dataclass(frozen=True, slots=True)
class CodeGrant:
    code: str
    redirect_uri: str
    verifier: str
    client_id: str


@dataclass(frozen=True, slots=True)
class RefreshGrant:
    refresh_token: str


Grant: TypeAlias = PreAuthorizedGrant | CodeGrant | RefreshGrant


def token_form(grant: Grant) -> dict[str, str]:
    """The form fields of a token request (OpenID4VCI 6.1; RFC 6749, 4.1.3 and 6)."""
    match grant:
        case PreAuthorizedGrant(code, tx_code):
            fields = {"grant_type": PRE_AUTHORIZED, "pre-authorized_code": code}
            return fields if tx_code is None else {**fields, "tx_code": tx_code}
        case CodeGrant(code, redirect_uri, verifier, client_id):
            return {
                "grant_type": "authorization_code",
                "code": code,
                "redirect_uri": redirect_uri,
                "code_verifier": verifier,
                "client_id": client_id,
            }
        case RefreshGrant(refresh_token):
            return {"grant_type": "refresh_token", "refresh_token": refresh_token}


def parse_token_request(form: Mapping[str, str]) -> Grant:
    """Read a token request. Raises :class:`RequestInvalid`, :class:`GrantTypeUnsupported`,
    :class:`PkceInvalid`."""
    members = Members(dict(form), refusal=RequestInvalid, where="token request")
    members.forbid("authorization_details")
    match members.text("grant_type"):
        case "urn:ietf:params:oauth:grant-type:pre-authorized_code":
            return PreAuthorizedGrant(
                members.text("pre-authorized_code", limit=MAX_CODE),
                members.optional_text("tx_code", limit=64),
            )
        case "authorization_code":
            verifier = form.get("code_verifier", "")
            code_challenge(verifier)
            return CodeGrant(
                code=members.text("code", limit=MAX_CODE),
                redirect_uri=members.text("redirect_uri", limit=2048),
                verifier=verifier,
                client_id=members.text("client_id", limit=512),
            )
        case "refresh_token":
            return RefreshGrant(members.text("refresh_token", limit=MAX_CODE))
        case _:
            raise GrantTypeUnsupported("token request: this grant type is not offered")


# --- Token response


@dataclass(frozen=True, slots=True)
class TokenResponse:
    """``expires_in`` is in seconds. The token is bound to the key of the DPoP proof of the token request."""

    access_token: str
    expires_in: int
    refresh_token: str | None
    scope: tuple[str, ...]
    credential_identifiers: Mapping[str, tuple[str, ...]]
    """By configuration id, where the server answered with ``authorization_details`` (OpenID4VCI 6.2): then
    the credential request must use one of these."""


def token_response(
    *, access_token: str, expires_in: int, scope: Sequence[str], refresh_token: str | None = None
) -> dict[str, Any]:
    body: dict[str, Any] = {
        "access_token": access_token,
        "token_type": "DPoP",
        "expires_in": expires_in,
        "scope": " ".join(scope),
    }
    return body if refresh_token is None else {**body, "refresh_token": refresh_token}


def parse_token_response(data: bytes) -> TokenResponse:
    """Read a token response (RFC 6749, 5.1; RFC 9449, 5). Raises :class:`ResponseInvalid`."""
    members = _message(data, ResponseInvalid, "token response")
    # A server that ignored the DPoP proof answers Bearer: such a token could be used by whoever steals it.
    if members.text("token_type").lower() != "dpop":
        raise ResponseInvalid("token response: the token is not bound to a key (DPoP)")
    identifiers: dict[str, tuple[str, ...]] = {}
    if members.has("authorization_details"):
        for detail in members.members("authorization_details", limit=40):
            if detail.text("type") == "openid_credential":
                identifiers[detail.text("credential_configuration_id")] = detail.texts(
                    "credential_identifiers"
                )
    return TokenResponse(
        access_token=members.text("access_token", limit=4096),
        expires_in=members.integer("expires_in", least=1, most=366 * 86400),
        refresh_token=members.optional_text("refresh_token", limit=MAX_CODE),
        scope=tuple((members.optional_text("scope") or "").split()),
        credential_identifiers=identifiers,
    )


# --- Errors


def error_body(error: BauhiniaError) -> dict[str, str]:
    """The JSON body of a refusal (RFC 6749, 5.2): ``code`` is ours, ``error`` is the protocol's."""
    # RFC 6749, 5.2 allows %x20-21 / %x23-5B / %x5D-7E in a description.
    description = "".join(c if " " <= c <= "~" and c not in '"\\' else "?" for c in str(error))
    return {"error": error.protocol, "error_description": description, "code": error.code}


@dataclass(frozen=True, slots=True)
class ErrorAnswer:
    """What the other party said when it said no. Untrusted text: show ``error``, log nothing else."""

    error: str
    description: str


def parse_error(data: bytes) -> ErrorAnswer:
    """Read an error response; what cannot be read becomes ``server_error``. Never raises."""
    try:
        members = _message(data, ResponseInvalid, "error response")
        description = members.optional_text("error_description", limit=1000) or ""
        return ErrorAnswer(
            _error_code(members.text("error")), "".join(c for c in description if " " <= c <= "~")
        )
    except ResponseInvalid:
        return ErrorAnswer("server_error", "")


def _error_code(text: str) -> str:
    return text if _ERROR_CODE.fullmatch(text) else "server_error"


# --- Authorization server metadata


@dataclass(frozen=True, slots=True)
class AuthorizationServer:
    issuer: str
    token_endpoint: str
    authorization_endpoint: str | None
    grant_types: frozenset[str]
    anonymous_pre_authorized: bool


def authorization_server_metadata(
    *, issuer: str, token_endpoint: str, authorization_endpoint: str, scopes: Sequence[str]
) -> dict[str, Any]:
    """RFC 8414 metadata of our authorization server."""
    return {
        "issuer": issuer,
        "authorization_endpoint": authorization_endpoint,
        "token_endpoint": token_endpoint,
        "scopes_supported": list(scopes),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", PRE_AUTHORIZED, "refresh_token"],
        "token_endpoint_auth_methods_supported": ["none"],
        "code_challenge_methods_supported": ["S256"],
        "dpop_signing_alg_values_supported": ["ES256"],
        "authorization_response_iss_parameter_supported": True,
        "pre-authorized_grant_anonymous_access_supported": True,
    }


def parse_authorization_server(data: bytes, *, issuer: str) -> AuthorizationServer:
    """Read metadata fetched for ``issuer``. Raises :class:`MetadataInvalid`.

    Servers without DPoP and ES256, or with an authorization endpoint but without PKCE S256 or ``iss`` in the
    response, are refused: nothing weaker is ever spoken.
    """
    members = _message(data, MetadataInvalid, "authorization server metadata")
    # RFC 8414, 3.3: else one server speaks for another (mix-up).
    if members.text("issuer") != issuer:
        raise MetadataInvalid("authorization server metadata is of another issuer")
    if "ES256" not in members.texts("dpop_signing_alg_values_supported"):
        raise MetadataInvalid("the authorization server does not do DPoP with ES256")
    authorization_endpoint = None
    if members.has("authorization_endpoint"):
        authorization_endpoint = endpoint(members, "authorization_endpoint")
        if "S256" not in members.texts("code_challenge_methods_supported"):
            raise MetadataInvalid("the authorization server does not do PKCE with S256")
        if not members.boolean("authorization_response_iss_parameter_supported", default=False):
            raise MetadataInvalid("the authorization server does not name itself in its answers (RFC 9207)")
    grants = frozenset({"authorization_code"})
    if members.has("grant_types_supported"):
        grants = frozenset(members.texts("grant_types_supported"))
    return AuthorizationServer(
        issuer=issuer,
        token_endpoint=endpoint(members, "token_endpoint"),
        authorization_endpoint=authorization_endpoint,
        grant_types=grants,
        anonymous_pre_authorized=members.boolean(
            "pre-authorized_grant_anonymous_access_supported", default=False
        ),
    )


def endpoint(members: Members, name: str) -> str:
    """A member that is an endpoint URL."""
    text = members.text(name, limit=2048)
    try:
        parse_url(text)
    except UriRefused:
        raise members.refuse(name, "is not an https URL") from None
    return text


def _message(data: bytes, refusal: type[BauhiniaError], where: str) -> Members:
    try:
        return Members(load_json_object(data, max_bytes=MAX_MESSAGE), refusal=refusal, where=where)
    except Malformed:
        raise refusal(f"{where} is not a JSON object") from None


def _scope(text: str) -> tuple[str, ...]:
    if not _SCOPE.fullmatch(text):
        raise RequestInvalid("scope is not a list of scope tokens")
    return tuple(dict.fromkeys(text.split(" ")))
