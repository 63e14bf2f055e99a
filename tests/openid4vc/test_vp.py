"""Presentation messages: link, request object, session, response, over-asking."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pki_fixture import NOW, development_pki, trust
from protocol_messages import (
    AGE_QUERY,
    DOCTYPE,
    ISO,
    NONCE,
    REQUEST_URI,
    RESPONSE_URI,
    STATE,
    VCT,
    client_id,
    encryption_jwk,
    link,
    private_key,
    request_claims,
)

from credentials.catalog import load_catalogue
from credentials.encoding import b64u, load_json_object, unb64u
from credentials.errors import (
    BauhiniaError,
    ClientIdInvalid,
    ConfigurationInvalid,
    QueryInvalid,
    RequestObjectInvalid,
    ResponseEncryptionInvalid,
    ResponseInvalid,
    StateMismatch,
    UriRefused,
)
from credentials.jose import encrypt_jwe
from credentials.keys import PublicKey
from openid4vc import vp

SIGNER = development_pki().verifier.signer


def opened(claims: dict[str, Any]) -> vp.AuthorizationRequest:
    return vp.open_request(vp.sign_request(claims, SIGNER), link=link(), trust=trust(), now=NOW)


# --- Link


def test_link_round_trip() -> None:
    text = vp.request_link(client_id(), REQUEST_URI)
    assert text.startswith("openid4vp://?client_id=x509_hash%3A")
    assert vp.parse_request_link(text) == link()
    assert vp.parse_request_link(f"{text}&request_uri_method=post\n") == link()
    assert vp.parse_request_link(text.replace("openid4vp:", "haip-vp:")) == link()


def test_link_refused() -> None:
    good = vp.request_link(client_id(), REQUEST_URI)
    with pytest.raises(UriRefused):
        vp.parse_request_link(good.replace("openid4vp:", "https:"))
    with pytest.raises(UriRefused):
        vp.parse_request_link(vp.request_link(client_id(), "http://verifier.test/request/1"))
    with pytest.raises(RequestObjectInvalid):
        vp.parse_request_link(f"{good}&request=ey")
    with pytest.raises(RequestObjectInvalid):
        vp.parse_request_link(good.partition("&")[0])


# --- Request


@pytest.mark.parametrize("encrypted", [False, True])
def test_request_round_trip(encrypted: bool) -> None:
    claims = request_claims(encrypted=encrypted)
    request = opened(claims)
    assert request.client_id == client_id()
    assert request.response_uri == RESPONSE_URI
    assert request.response_mode == ("direct_post.jwt" if encrypted else "direct_post")
    assert (request.nonce, request.state, request.purpose) == (NONCE, STATE, "liquor18")
    assert (request.issued, request.expires) == (NOW, NOW + 300)
    assert request.verifier.certificate_hash == development_pki().verifier.sha256
    assert request.verifier.registration is not None
    assert (request.encryption is not None) == encrypted
    # What the verifier reads of its own claims is what the wallet sees.
    own = vp.read_request(claims)
    for field in fields(vp.RequestClaims):
        assert getattr(own, field.name) == getattr(request, field.name), field.name


def test_request_says_what_haip_wants() -> None:
    claims = request_claims(encrypted=True)
    assert claims["response_type"] == "vp_token"
    assert claims["aud"] == "https://self-issued.me/v2"
    metadata = claims["client_metadata"]
    assert metadata["encrypted_response_enc_values_supported"] == ["A128GCM", "A256GCM"]
    (key,) = metadata["jwks"]["keys"]
    assert (key["use"], key["alg"], key["kid"], key["crv"]) == ("enc", "ECDH-ES", "kid-response", "P-256")
    assert set(metadata["vp_formats_supported"]) == {"dc+sd-jwt", "mso_mdoc"}
    assert claims["verifier_info"] == [{"format": "bauhinia-purpose", "data": {"id": "liquor18"}}]
    plain = request_claims()
    assert "jwks" not in plain["client_metadata"]


def test_verifier_does_not_build_what_a_wallet_refuses() -> None:
    good: dict[str, Any] = {
        "client_id": client_id(),
        "response_uri": RESPONSE_URI,
        "nonce": NONCE,
        "state": STATE,
        "response_mode": "direct_post",
        "query": AGE_QUERY,
        "purpose": "liquor18",
        "encryption_jwk": None,
        "issued": NOW,
        "expires": NOW + 300,
    }
    vp.build_request(**good)
    for error, members in (
        (RequestObjectInvalid, {"nonce": "short"}),
        (QueryInvalid, {"query": {}}),
        (ClientIdInvalid, {"client_id": "verifier.test"}),
        (RequestObjectInvalid, {"response_uri": "http://verifier.test/"}),
        (RequestObjectInvalid, {"purpose": "a b"}),
        (ConfigurationInvalid, {"response_mode": "direct_post.jwt"}),
        (ConfigurationInvalid, {"encryption_jwk": encryption_jwk()}),
    ):
        with pytest.raises(error):
            vp.build_request(**{**good, **members})


@pytest.mark.parametrize(
    "members",
    [
        {"state": "a b"},
        {"state": ""},
        {"state": 7},
        {"iat": None},
        {"iat": "1"},
        {"iat": True},
        {"exp": None},
        {"exp": NOW},
        {"exp": NOW + 3601},
        {"exp": 1.5},
        {"response_type": None},
        {"response_type": "vp_token id_token"},
        {"response_type": "code"},
        {"response_mode": None},
        {"response_mode": "fragment"},
        {"response_mode": "dc_api.jwt"},
        {"scope": "com.example"},
        {"dcql_query": None},
        {"presentation_definition": {}},
        {"presentation_definition_uri": "https://verifier.test/pd"},
        {"verifier_info": {}},
        {"verifier_info": []},
        {"verifier_info": [7]},
        {"verifier_info": [{"data": {}}]},
        {"verifier_info": [{"format": "bauhinia-purpose"}]},
        {"verifier_info": [{"format": "bauhinia-purpose", "data": "liquor18"}]},
        {"verifier_info": [{"format": "bauhinia-purpose", "data": {"id": "a b"}}]},
        {"verifier_info": [{"format": "bauhinia-purpose", "data": {"id": "a"}}] * 2},
    ],
)
def test_request_refused(members: dict[str, Any]) -> None:
    with pytest.raises(RequestObjectInvalid) as caught:
        opened(request_claims(**members))
    assert caught.value.code == "request_object_invalid"


def test_request_members_that_may_be_absent_or_unknown() -> None:
    request = opened(request_claims(state=None, verifier_info=None, iss="ignored", jti="ignored"))
    assert (request.state, request.purpose) == (None, None)
    foreign = [
        {"format": "registration_cert", "data": "ey"},
        {"format": "bauhinia-purpose", "data": {"id": "p"}},
    ]
    assert opened(request_claims(verifier_info=foreign)).purpose == "p"


@pytest.mark.parametrize(
    ("nonce", "good"),
    [
        ("n-0S6_WzA2Mjp9Qx7LkTf4", True),
        ("0123456789abcdef0123456789abcdef", True),
        ("123e4567-e89b-42d3-a456-426614174000", True),
        ("0123456789abcdef0123456789abcde", False),
        ("012345678901234567890123456789012345678", True),
        ("01234567890123456789012345678901234567", False),
        ("n-0S6_WzA2Mjp9Qx7LkTf", False),
        ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", False),
        ("xyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxyxy", False),
        ("n-0S6_WzA2Mjp9Qx7LkTf+", False),
        ("n-0S6_WzA2Mjp9Qx7LkTf香", False),
        ("", False),
    ],
)
def test_nonce_has_128_bits(nonce: str, good: bool) -> None:
    if good:
        assert opened(request_claims(nonce=nonce)).nonce == nonce
    else:
        with pytest.raises(RequestObjectInvalid):
            opened(request_claims(nonce=nonce))


@given(st.binary(min_size=16, max_size=32))
def test_random_nonces_are_good(data: bytes) -> None:
    """Only nonces whose bytes are plainly not random are refused."""
    nonce = b64u(data)
    if len(set(data)) > 12:
        assert vp.read_request(request_claims(nonce=nonce)).nonce == nonce


def test_unusable_encryption_keys_are_passed_over() -> None:
    claims = request_claims(encrypted=True)
    (good,) = claims["client_metadata"]["jwks"]["keys"]
    unusable = [
        {"kty": "OKP", "crv": "X25519", "x": "AAAA", "alg": "ECDH-ES", "kid": "1"},
        {**good, "use": "sig", "kid": "2"},
        {**good, "alg": "ECDH-ES+A128KW", "kid": "3"},
        {**good, "d": "AAAA", "kid": "4"},
        {name: value for name, value in good.items() if name != "alg"},
        {**good, "x": good["y"], "kid": "5"},
    ]
    metadata = {**claims["client_metadata"], "jwks": {"keys": [*unusable, good]}}
    request = opened({**claims, "client_metadata": metadata})
    assert request.encryption is not None
    assert request.encryption.kid == "kid-response"
    metadata = {**metadata, "jwks": {"keys": unusable}}
    with pytest.raises(RequestObjectInvalid):
        opened({**claims, "client_metadata": metadata})


@pytest.mark.parametrize(
    ("offered", "enc"),
    [
        (["A128GCM", "A256GCM"], "A256GCM"),
        (["A128GCM"], "A128GCM"),
        (None, "A128GCM"),
        (["A128CBC-HS256"], None),
    ],
)
def test_content_encryption(offered: list[str] | None, enc: str | None) -> None:
    claims = request_claims(encrypted=True)
    metadata = {**claims["client_metadata"], "encrypted_response_enc_values_supported": offered}
    metadata = {name: value for name, value in metadata.items() if value is not None}
    if enc is None:
        with pytest.raises(RequestObjectInvalid):
            opened({**claims, "client_metadata": metadata})
    else:
        request = opened({**claims, "client_metadata": metadata})
        assert request.encryption is not None
        assert request.encryption.enc == enc


@pytest.mark.parametrize(
    "metadata",
    [None, [], {}, {"jwks": {}}, {"jwks": {"keys": []}}, {"jwks": {"keys": [7]}}, "no kid"],
)
def test_client_metadata_refused(metadata: Any) -> None:
    claims = request_claims(encrypted=True)
    if metadata == "no kid":
        (key,) = claims["client_metadata"]["jwks"]["keys"]
        metadata = {"jwks": {"keys": [{name: value for name, value in key.items() if name != "kid"}]}}
    claims["client_metadata"] = metadata
    with pytest.raises(RequestObjectInvalid):
        opened({name: value for name, value in claims.items() if value is not None})


# --- Session


def test_session_is_the_same_on_both_ends() -> None:
    claims = request_claims(encrypted=True)
    wallet, verifier = vp.session_of(opened(claims)), vp.session_of(vp.read_request(claims))
    assert wallet == verifier
    assert (wallet.audience, wallet.nonce, wallet.response_uri) == (client_id(), NONCE, RESPONSE_URI)
    assert wallet.thumbprint == PublicKey.of(private_key("response").public_key()).thumbprint()
    assert wallet.transaction_data == ()


def test_session_without_encryption_has_no_thumbprint() -> None:
    claims = request_claims()
    assert vp.session_of(vp.read_request(claims)).thumbprint is None
    # A key that nobody uses binds nothing.
    claims["client_metadata"] = request_claims(encrypted=True)["client_metadata"]
    assert vp.session_of(opened(claims)).thumbprint is None


# --- Response


def asked(*, encrypted: bool = False, **members: Any) -> vp.RequestClaims:
    return vp.read_request(request_claims(encrypted=encrypted, **members))


def key_for(request: vp.RequestClaims) -> Any:
    return None if request.encryption is None else private_key("response")


@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("state", [STATE, None])
def test_response_round_trip(encrypted: bool, state: str | None) -> None:
    request = asked(encrypted=encrypted, state=state)
    form = vp.build_response({"age": ["a~b~c"]}, request=request)
    assert set(form) == ({"response"} if encrypted else {"vp_token", "state"} if state else {"vp_token"})
    assert all(isinstance(value, str) for value in form.values())
    answer = vp.parse_response(form, request=request, private_key=key_for(request))
    assert answer == vp.VpResponse({"age": ("a~b~c",)}, state)


def test_response_is_encrypted_as_the_request_says() -> None:
    request = asked(encrypted=True)
    token = vp.build_response({"age": ["a"]}, request=request)["response"]
    header = load_json_object(unb64u(token.partition(".")[0]))
    assert (header["alg"], header["enc"], header["kid"]) == ("ECDH-ES", "A256GCM", "kid-response")
    assert set(header) == {"alg", "enc", "kid", "epk"}


@pytest.mark.parametrize("encrypted", [False, True])
def test_refusal_round_trip(encrypted: bool) -> None:
    request = asked(encrypted=encrypted)
    form = vp.build_error_response(request)
    assert "description" not in json.dumps(form)
    answer = vp.parse_response(form, request=request, private_key=key_for(request))
    assert answer == vp.VpRefusal("access_denied", STATE)


def test_refusal_in_the_clear_is_understood() -> None:
    request = asked(encrypted=True)
    form = {"error": "access_denied", "state": STATE}
    answer = vp.parse_response(form, request=request, private_key=key_for(request))
    assert answer == vp.VpRefusal("access_denied", STATE)


def test_all_refusals_look_alike() -> None:
    """One function and no reason to pass: declined, nothing held and another value cannot differ."""
    one, two = (vp.build_error_response(asked(encrypted=True))["response"] for _ in range(2))
    assert len(one) == len(two)


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"vp_token": ""},
        {"vp_token": "a~b~c"},
        {"vp_token": "[]"},
        {"vp_token": "{}"},
        {"vp_token": '{"age":["a"],"age":["a"]}'},
        {"vp_token": '{"age":[7]}'},
        {"vp_token": '{"age":[""]}'},
        {"vp_token": '{"age":["\\u9999"]}'},
        {"vp_token": json.dumps({"age": ["a" * ((1 << 17) + 1)]})},
        {"vp_token": '{"age":["a"]}', "response": "ey"},
        {"vp_token": '{"age":["a"]}', "error": "access_denied"},
        {"error": ""},
        {"response": "ey"},
    ],
)
def test_response_refused(form: dict[str, str]) -> None:
    with pytest.raises(ResponseInvalid) as caught:
        vp.parse_response({"state": STATE, **form}, request=asked(), private_key=None)
    assert caught.value.code == "response_invalid"


def test_vp_token_is_json() -> None:
    form = {"vp_token": '{"age":["a"],"age":["b"]}', "state": STATE}
    with pytest.raises(ResponseInvalid, match="vp_token is not a JSON object"):
        vp.parse_response(form, request=asked(), private_key=None)


def test_same_presentation_twice() -> None:
    query = {"credentials": [{**AGE_QUERY["credentials"][0], "multiple": True}]}
    request = asked(query=query)
    both = vp.parse_response(
        vp.build_response({"age": ["a", "b"]}, request=request), request=request, private_key=None
    )
    assert both == vp.VpResponse({"age": ("a", "b")}, STATE)
    with pytest.raises(ResponseInvalid):
        vp.parse_response(
            vp.build_response({"age": ["a", "a"]}, request=request), request=request, private_key=None
        )


@pytest.mark.parametrize(
    "plaintext", [b" ", b"[]", b"{", b'{"vp_token":"{}"}', b'{"vp_token":{"age":["a"]},"vp_token":1}']
)
def test_encrypted_payload_refused(plaintext: bytes) -> None:
    request = asked(encrypted=True, state=None)
    token = encrypt_jwe(plaintext, recipient_jwk=encryption_jwk(), enc="A256GCM")
    with pytest.raises(ResponseInvalid):
        vp.parse_response({"response": token}, request=request, private_key=key_for(request))


def test_key_goes_with_a_request_for_encryption() -> None:
    for request, key in ((asked(encrypted=True), None), (asked(), private_key("response"))):
        with pytest.raises(ConfigurationInvalid):
            vp.parse_response({}, request=request, private_key=key)


def test_state_where_none_was_sent() -> None:
    with pytest.raises(StateMismatch):
        vp.parse_response(
            {"vp_token": '{"age":["a"]}', "state": "s"}, request=asked(state=None), private_key=None
        )


@given(
    st.dictionaries(st.sampled_from(["vp_token", "state", "response", "error", "x"]), st.text(max_size=30))
)
def test_any_form_is_read_or_refused(form: dict[str, str]) -> None:
    for encrypted in (False, True):
        request = asked(encrypted=encrypted)
        try:
            vp.parse_response(form, request=request, private_key=key_for(request))
        except (ResponseInvalid, ResponseEncryptionInvalid, StateMismatch) as error:
            assert isinstance(error, BauhiniaError)


# --- Over-asking


def asking(credentials: list[dict[str, Any]], *, purpose: str | None = "liquor18") -> tuple[vp.Asked, ...]:
    request = opened(request_claims(query={"credentials": credentials}))
    return vp.over_asking(replace(request, purpose=purpose), load_catalogue())


def age_query(
    *paths: list[Any], format: str = "dc+sd-jwt", meta: dict[str, Any] | None = None
) -> dict[str, Any]:
    default = {"vct_values": [VCT]} if format == "dc+sd-jwt" else {"doctype_value": DOCTYPE}
    query: dict[str, Any] = {"id": "age", "format": format, "meta": meta or default}
    return {**query, "claims": [{"path": path} for path in paths]} if paths else query


def test_what_is_registered_is_not_over_asked() -> None:
    assert asking([age_query(["age_over_18"])]) == ()
    assert asking([age_query([ISO, "age_over_18"], format="mso_mdoc")]) == ()
    assert asking([age_query()]) == ()


def test_more_than_is_registered_is_over_asked() -> None:
    assert asking([age_query(["age_over_18"], ["age_band"])]) == (vp.Asked("age/1", "age_band"),)
    assert asking([age_query([ISO, "age_over_21"], format="mso_mdoc")]) == (vp.Asked("age/1", "age_over_21"),)
    base = load_catalogue().types["base/1"]
    born = age_query([ISO, "birth_date"], format="mso_mdoc", meta={"doctype_value": base.doctype})
    assert asking([born]) == (vp.Asked("base/1", "birthdate"),)
    bare = age_query(meta={"vct_values": [base.vct]})
    assert asking([bare]) == (vp.Asked("base/1", ""),)
    either = age_query(["age_over_18"], meta={"vct_values": [VCT, base.vct]})
    assert asking([either]) == (vp.Asked("base/1", "[age_over_18]"),)


def test_what_the_catalogue_does_not_know_is_over_asked() -> None:
    assert asking([age_query(["age_over_18", "x"])]) == ()
    assert asking([age_query(["unheard_of", None])]) == (vp.Asked("age/1", "[unheard_of/*]"),)
    assert asking([age_query(["other", "age_over_18"], format="mso_mdoc")]) == (
        vp.Asked("age/1", "[other/age_over_18]"),
    )
    stranger = age_query(["age_over_18"], meta={"vct_values": ["https://other.test/vct"]})
    assert asking([stranger]) == (vp.Asked("https://other.test/vct", "[age_over_18]"),)
    # A docType in place of a vct is not that type.
    crossed = age_query(["age_over_18"], meta={"vct_values": [DOCTYPE]})
    assert asking([crossed]) == (vp.Asked(DOCTYPE, "[age_over_18]"),)
    assert asking([{"id": "x", "format": "ldp_vc", "meta": {}}]) == (vp.Asked("ldp_vc", ""),)


def test_without_a_registered_purpose_everything_is_over_asked() -> None:
    everything = (vp.Asked("age/1", "age_over_18"),)
    assert asking([age_query(["age_over_18"])], purpose=None) == everything
    assert asking([age_query(["age_over_18"])], purpose="unheard-of") == everything
    request = opened(request_claims())
    unregistered = replace(request, verifier=replace(request.verifier, registration=None))
    assert vp.over_asking(unregistered, load_catalogue()) == everything


@pytest.mark.parametrize(("ground", "over"), [("pcpd-2.3.1", False), ("pcpd-2.2", True), ("consent", True)])
def test_the_number_needs_one_of_its_grounds(ground: str, over: bool) -> None:
    """Registered or not: without a ground of paragraph 2.3 the identity card number is over-asked."""
    kind = load_catalogue().types["hkid-number/1"]
    query = age_query(["personal_administrative_number"], meta={"vct_values": [kind.vct]})
    request = opened(request_claims(query={"credentials": [query]}))
    registration = request.verifier.registration
    assert registration is not None
    purpose = replace(
        registration.purposes["liquor18"],
        basis_code=ground,
        claims={kind.name: frozenset({"personal_administrative_number"})},
    )
    registered = replace(registration, purposes={"liquor18": purpose})
    asked = replace(request, verifier=replace(request.verifier, registration=registered))
    expected = (vp.Asked(kind.name, "personal_administrative_number"),) if over else ()
    assert vp.over_asking(asked, load_catalogue()) == expected
