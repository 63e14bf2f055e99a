"""OAuth 2.0: PKCE, authorization, tokens, DPoP, metadata, errors."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pki_fixture import NOW
from protocol_messages import holder_key

from credentials.errors import (
    DpopInvalid,
    GrantTypeUnsupported,
    IssuerMixUp,
    MetadataInvalid,
    PeerRefused,
    PkceInvalid,
    RequestInvalid,
    ResponseInvalid,
    StateMismatch,
    TokenInvalid,
    TxCodeInvalid,
    UriRefused,
    every_error,
)
from credentials.jose import sign_compact
from openid4vc import oauth
from openid4vc.uris import parse_query

VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
ISSUER = "https://issuer.test"
URL = "https://issuer.test/token"


# --- PKCE


def test_challenge_of_rfc_7636_appendix_b() -> None:
    assert oauth.code_challenge(VERIFIER) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


@pytest.mark.parametrize("verifier", ["", "a" * 42, "a" * 129, "a" * 42 + "!", "a" * 42 + "香"])
def test_verifier_out_of_form(verifier: str) -> None:
    with pytest.raises(PkceInvalid):
        oauth.code_challenge(verifier)


# --- Authorization


def code_request() -> oauth.CodeRequest:
    return oauth.CodeRequest(
        client_id="bauhinia-wallet",
        redirect_uri="http://127.0.0.1:8000/callback",
        state="state-1",
        code_challenge=oauth.code_challenge(VERIFIER),
        scope=("age-1", "residency-1"),
        issuer_state="is-1",
    )


def code_fields(**members: str | None) -> dict[str, str]:
    url = oauth.code_request_url("https://issuer.test/authorize", code_request())
    fields = {**parse_query(url.partition("?")[2]), **members}
    return {name: value for name, value in fields.items() if value is not None}


def test_code_request_round_trip() -> None:
    assert oauth.parse_code_request(code_fields()) == code_request()
    without = oauth.parse_code_request(code_fields(issuer_state=None))
    assert without.issuer_state is None
    again = oauth.code_request_url("https://issuer.test/authorize", without)
    assert "issuer_state" not in parse_query(again.partition("?")[2])


@pytest.mark.parametrize(
    "members",
    [
        {"response_type": None},
        {"response_type": "token"},
        {"client_id": None},
        {"client_id": ""},
        {"redirect_uri": None},
        {"state": None},
        {"scope": None},
        {"scope": " age-1"},
        {"scope": 'a"b'},
        {"request": "ey"},
        {"request_uri": "urn:x"},
        {"authorization_details": "[]"},
    ],
)
def test_code_request_refused(members: dict[str, str | None]) -> None:
    with pytest.raises(RequestInvalid):
        oauth.parse_code_request(code_fields(**members))


def test_code_request_redirect_uri_is_a_url() -> None:
    with pytest.raises(UriRefused):
        oauth.parse_code_request(code_fields(redirect_uri="javascript:alert(1)"))


def test_code_response() -> None:
    request = code_request()
    redirect = oauth.code_redirect(request, code="code-1", issuer=ISSUER)
    assert redirect.startswith(request.redirect_uri + "?")
    fields = parse_query(redirect.partition("?")[2])
    assert oauth.parse_code_response(fields, state=request.state, issuer=ISSUER) == "code-1"
    with pytest.raises(StateMismatch):
        oauth.parse_code_response(fields, state="other", issuer=ISSUER)
    with pytest.raises(StateMismatch):
        oauth.parse_code_response({"code": "x", "iss": ISSUER}, state=request.state, issuer=ISSUER)
    with pytest.raises(ResponseInvalid):
        oauth.parse_code_response({"state": "state-1", "iss": ISSUER}, state="state-1", issuer=ISSUER)


def test_code_refusal() -> None:
    request = code_request()
    redirect = oauth.refusal_redirect(request, TxCodeInvalid(), issuer=ISSUER)
    fields = parse_query(redirect.partition("?")[2])
    assert fields["error"] == "invalid_grant"
    with pytest.raises(PeerRefused, match="invalid_grant"):
        oauth.parse_code_response(fields, state=request.state, issuer=ISSUER)
    with pytest.raises(PeerRefused, match="server_error"):
        oauth.parse_code_response({**fields, "error": "<script>"}, state=request.state, issuer=ISSUER)


# --- Token request and response

GRANTS: list[oauth.Grant] = [
    oauth.PreAuthorizedGrant("pre-1", None),
    oauth.PreAuthorizedGrant("pre-1", "123456"),
    oauth.CodeGrant("code-1", "http://127.0.0.1:8000/callback", VERIFIER, "bauhinia-wallet"),
    oauth.RefreshGrant("refresh-1"),
]


@pytest.mark.parametrize("grant", GRANTS, ids=lambda grant: type(grant).__name__)
def test_token_request_round_trip(grant: oauth.Grant) -> None:
    assert oauth.parse_token_request(oauth.token_form(grant)) == grant


@pytest.mark.parametrize("grant", GRANTS, ids=lambda grant: type(grant).__name__)
def test_token_request_needs_every_member(grant: oauth.Grant) -> None:
    form = oauth.token_form(grant)
    for name in form.keys() - {"tx_code"}:
        less = {key: value for key, value in form.items() if key != name}
        with pytest.raises((RequestInvalid, PkceInvalid)):
            oauth.parse_token_request(less)
        with pytest.raises((RequestInvalid, PkceInvalid)):
            oauth.parse_token_request({**form, name: ""})


def test_token_request_refused() -> None:
    with pytest.raises(GrantTypeUnsupported) as caught:
        oauth.parse_token_request({"grant_type": "password"})
    assert caught.value.protocol == "unsupported_grant_type"
    form = oauth.token_form(GRANTS[0])
    with pytest.raises(RequestInvalid):
        oauth.parse_token_request({**form, "authorization_details": "[]"})
    with pytest.raises(RequestInvalid):
        oauth.parse_token_request({**form, "tx_code": "1" * 65})
    with pytest.raises(RequestInvalid):
        oauth.parse_token_request({**form, "pre-authorized_code": "a" * 1025})


def token_body(**members: Any) -> bytes:
    body = oauth.token_response(access_token="at-1", expires_in=300, scope=("age-1",), refresh_token="rt-1")
    return json.dumps({k: v for k, v in {**body, **members}.items() if v is not None}).encode()


def test_token_response_round_trip() -> None:
    response = oauth.parse_token_response(token_body())
    assert response == oauth.TokenResponse("at-1", 300, "rt-1", ("age-1",), {})
    assert oauth.parse_token_response(token_body(scope=None, refresh_token=None)).refresh_token is None
    assert "refresh_token" not in oauth.token_response(access_token="a", expires_in=1, scope=())
    assert oauth.parse_token_response(token_body(token_type="dpop")).access_token == "at-1"


def test_token_response_with_identifiers() -> None:
    details = [
        {
            "type": "openid_credential",
            "credential_configuration_id": "age-1.sd-jwt",
            "credential_identifiers": ["x", "y"],
        },
        {"type": "other"},
    ]
    response = oauth.parse_token_response(token_body(authorization_details=details))
    assert response.credential_identifiers == {"age-1.sd-jwt": ("x", "y")}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{",
        token_body(access_token=None),
        token_body(access_token=7),
        token_body(access_token=""),
        token_body(expires_in=None),
        token_body(expires_in="300"),
        token_body(expires_in=True),
        token_body(expires_in=0),
        token_body(expires_in=1.5),
        token_body(refresh_token=[]),
        token_body(scope=1),
        token_body(authorization_details=[]),
        token_body(authorization_details={}),
        token_body(authorization_details=[7]),
        token_body(authorization_details=[{"type": "openid_credential"}]),
        token_body(access_token="a" * 70_000),
    ],
)
def test_token_response_refused(data: bytes) -> None:
    with pytest.raises(ResponseInvalid):
        oauth.parse_token_response(data)


@pytest.mark.parametrize("token_type", [None, "Bearer", "", "N_A"])
def test_token_response_must_be_bound(token_type: str | None) -> None:
    with pytest.raises(ResponseInvalid):
        oauth.parse_token_response(token_body(token_type=token_type))


# --- DPoP


def proof(**overrides: Any) -> str:
    arguments: dict[str, Any] = {
        "method": "POST",
        "url": URL,
        "now": NOW,
        "jti": "jti-1",
        "nonce": "server-nonce",
        "access_token": "at-1",
    }
    return oauth.dpop_proof(holder_key(), **{**arguments, **overrides})


def verify(token: str, **overrides: Any) -> oauth.Dpop:
    arguments: dict[str, Any] = {"method": "POST", "url": URL, "now": NOW, "access_token": "at-1"}
    return oauth.verify_dpop(token, **{**arguments, **overrides})


def forged(claims: dict[str, Any], *, typ: str = "dpop+jwt", header: dict[str, Any] | None = None) -> str:
    """A proof whose signature holds and whose content is ours to choose; ``None`` removes a claim."""
    good = {
        "jti": "jti-1",
        "htm": "POST",
        "htu": URL,
        "iat": NOW,
        "ath": "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo",
    }
    payload = {name: value for name, value in {**good, **claims}.items() if value is not None}
    jwk = {"jwk": holder_key().public.jwk()} if header is None else header
    return sign_compact(payload, typ=typ, sign=holder_key().sign, header=jwk)


def test_dpop_round_trip() -> None:
    dpop = verify(proof())
    assert dpop == oauth.Dpop(holder_key().public.thumbprint(), "jti-1", "server-nonce", NOW)
    assert verify(proof(nonce=None)).nonce is None
    assert verify(proof(access_token=None), access_token=None).jti == "jti-1"


def test_dpop_query_does_not_count() -> None:
    assert verify(proof(url=f"{URL}?a=b"), url=f"{URL}?c=d").jti == "jti-1"
    assert verify(forged({"htu": f"{URL}?a=b#c", "ath": None}), access_token=None).jti == "jti-1"


@pytest.mark.parametrize("skew", [-60, 0, 300])
def test_dpop_within_the_time(skew: int) -> None:
    assert verify(proof(now=NOW - skew)).issued == NOW - skew


@pytest.mark.parametrize("claims", [{"jti": None}, {"jti": ""}, {"jti": 7}, {"jti": "j" * 257}, {"nonce": 7}])
def test_dpop_members(claims: dict[str, Any]) -> None:
    with pytest.raises(DpopInvalid):
        verify(forged({"ath": None, **claims}), access_token=None)


def test_dpop_binding() -> None:
    dpop = verify(proof())
    oauth.check_binding(dpop, thumbprint=holder_key().public.thumbprint())
    with pytest.raises(TokenInvalid):
        oauth.check_binding(dpop, thumbprint=holder_key("other").public.thumbprint())


# --- Errors


@pytest.mark.parametrize("error", every_error(), ids=lambda error: error.code)
def test_error_body_is_what_rfc_6749_allows(error: Any) -> None:
    body = oauth.error_body(error('a "quoted" \\ line\n with 香港'))
    assert set(body) == {"error", "error_description", "code"}
    assert body["code"] == error.code
    assert body["error"] == error.protocol
    assert all(0x20 <= ord(c) <= 0x7E and c not in '"\\' for c in body["error_description"])


@given(st.binary(max_size=200))
def test_error_answer_never_raises(data: bytes) -> None:
    assert oauth.parse_error(data).error


def test_error_answer() -> None:
    answer = oauth.parse_error(b'{"error":"use_dpop_nonce","error_description":"try\\u001b again"}')
    assert answer == oauth.ErrorAnswer("use_dpop_nonce", "try again")
    assert oauth.parse_error(b'{"error":"<b>"}').error == "server_error"
    assert oauth.parse_error(b'{"error":7}').error == "server_error"


# --- Metadata


def server(**members: Any) -> bytes:
    body = oauth.authorization_server_metadata(
        issuer=ISSUER, token_endpoint=URL, authorization_endpoint=f"{ISSUER}/authorize", scopes=("age-1",)
    )
    return json.dumps({k: v for k, v in {**body, **members}.items() if v is not None}).encode()


def test_server_metadata_round_trip() -> None:
    parsed = oauth.parse_authorization_server(server(), issuer=ISSUER)
    assert parsed.token_endpoint == URL
    assert parsed.authorization_endpoint == f"{ISSUER}/authorize"
    assert parsed.grant_types == {"authorization_code", oauth.PRE_AUTHORIZED, "refresh_token"}
    assert parsed.anonymous_pre_authorized


def test_server_without_authorization_endpoint_needs_no_pkce() -> None:
    data = server(
        authorization_endpoint=None,
        code_challenge_methods_supported=None,
        authorization_response_iss_parameter_supported=None,
        grant_types_supported=None,
    )
    parsed = oauth.parse_authorization_server(data, issuer=ISSUER)
    assert parsed.authorization_endpoint is None
    assert parsed.grant_types == {"authorization_code"}


@pytest.mark.parametrize(
    "members",
    [
        {"issuer": None},
        {"token_endpoint": None},
        {"token_endpoint": "http://issuer.test/token"},
        {"token_endpoint": 7},
        {"authorization_endpoint": "file:///x"},
        {"grant_types_supported": "authorization_code"},
        {"grant_types_supported": [7]},
        {"dpop_signing_alg_values_supported": None},
        {"dpop_signing_alg_values_supported": ["RS256"]},
        {"code_challenge_methods_supported": None},
        {"code_challenge_methods_supported": ["plain"]},
        {"authorization_response_iss_parameter_supported": False},
        {"authorization_response_iss_parameter_supported": None},
        {"authorization_response_iss_parameter_supported": "true"},
    ],
)
def test_server_metadata_refused(members: dict[str, Any]) -> None:
    with pytest.raises(MetadataInvalid):
        oauth.parse_authorization_server(server(**members), issuer=ISSUER)


def test_mix_up_is_named() -> None:
    with pytest.raises(IssuerMixUp) as caught:
        oauth.parse_code_response(
            {"state": "s", "code": "c", "iss": "https://evil.test"}, state="s", issuer=ISSUER
        )
    assert caught.value.code == "issuer_mix_up"
