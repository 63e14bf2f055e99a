"""The hostile catalogue, group P, as far as a message alone decides it.

What needs memory (nonces, states, sessions already used), a browser or a network is tested at the parties.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwcrypto.common import json_decode
from jwcrypto.jwe import JWE
from jwcrypto.jwk import JWK
from pki_fixture import NOW, development_pki, trust
from protocol_messages import (
    AGE_QUERY,
    DOCTYPE,
    ISO,
    NONCE,
    REQUEST_URI,
    STATE,
    VCT,
    client_id,
    disclosed,
    encryption_jwk,
    link,
    private_key,
    request_claims,
)

from bauhinia.pki import make_pki
from credentials.catalog import load_catalogue
from credentials.encoding import b64u, unb64u
from credentials.errors import (
    AlgorithmRefused,
    BauhiniaError,
    ChainInvalid,
    ClientIdInvalid,
    JwsMalformed,
    NoMatchingCredential,
    QueryInvalid,
    QueryNotSatisfied,
    RequestExpired,
    RequestObjectInvalid,
    ResponseEncryptionInvalid,
    ResponseInvalid,
    SignatureInvalid,
    StateMismatch,
    TransactionDataMismatch,
    TypMismatch,
    UriRefused,
)
from credentials.jose import encrypt_jwe, sign_compact
from credentials.keys import Signer, software_sign
from openid4vc import vp
from openid4vc.dcql import Candidate, check, parse_query, plan

VERIFIER = development_pki().verifier


def refused(error: type[BauhiniaError], code: str, call: Any, *args: Any, **named: Any) -> BauhiniaError:
    with pytest.raises(error) as caught:
        call(*args, **named)
    assert (type(caught.value), caught.value.code) == (error, code)
    return caught.value


def open_refused(error: type[BauhiniaError], code: str, jws: str, *, now: int = NOW, **named: Any) -> None:
    arguments: dict[str, Any] = {"link": link(), "trust": trust(), "now": now, **named}
    message = str(refused(error, code, vp.open_request, jws, **arguments))
    assert NONCE not in message
    assert STATE not in message


def signed(**members: Any) -> str:
    return vp.sign_request(request_claims(**members), VERIFIER.signer)


def test_the_request_that_is_spoiled_below_is_good() -> None:
    assert vp.open_request(signed(), link=link(), trust=trust(), now=NOW).nonce == NONCE


# --- The request


@pytest.mark.hostile("P1")
@pytest.mark.parametrize("nonce", [None, "", "short", "n-0S6_WzA2Mjp9Qx7LkTf", "0" * 64, "a b" * 20, 7])
def test_p1_nonce_missing_or_short(nonce: object) -> None:
    open_refused(RequestObjectInvalid, "request_object_invalid", signed(nonce=nonce))


@pytest.mark.hostile("P2")
def test_p2_client_id_of_the_link_is_another() -> None:
    other = vp.client_id(bytes(32))
    open_refused(ClientIdInvalid, "client_id_invalid", signed(), link=vp.RequestLink(other, REQUEST_URI))
    open_refused(ClientIdInvalid, "client_id_invalid", signed(client_id=other))
    # A trusted verifier that calls itself another one, in the link and in the request.
    impostor = vp.RequestLink(other, REQUEST_URI)
    open_refused(ClientIdInvalid, "client_id_invalid", signed(client_id=other), link=impostor)


@pytest.mark.hostile("P3")
@pytest.mark.parametrize(
    "identifier",
    [
        "verifier.test",
        "https://verifier.test",
        "redirect_uri:https://verifier.test/cb",
        "x509_san_dns:verifier.test",
        "did:example:1",
        "origin:https://verifier.test",
        "X509_HASH:" + b64u(bytes(32)),
        "x509_hash:",
        "x509_hash:" + b64u(bytes(31)),
        "x509_hash:" + b64u(bytes(32)) + "=",
        b64u(bytes(32)),
        "",
    ],
)
def test_p3_client_id_prefix_unknown_or_dropped(identifier: str) -> None:
    text = vp.request_link(identifier, REQUEST_URI)
    refused(ClientIdInvalid, "client_id_invalid", vp.parse_request_link, text)
    if identifier:
        open_refused(ClientIdInvalid, "client_id_invalid", signed(client_id=identifier))
    outer = vp.RequestLink(identifier, REQUEST_URI)
    open_refused(ClientIdInvalid, "client_id_invalid", signed(), link=outer)


@pytest.mark.hostile("P4")
def test_p4_unsigned() -> None:
    header = {"alg": "none", "typ": vp.REQUEST_TYP}
    text = ".".join(b64u(json.dumps(part).encode()) for part in (header, request_claims()))
    open_refused(AlgorithmRefused, "algorithm_refused", f"{text}.")
    unsigned = sign_compact(request_claims(), typ=vp.REQUEST_TYP, sign=VERIFIER.signer.sign)
    open_refused(ChainInvalid, "chain_invalid", unsigned)
    plain = vp.request_link(client_id(), REQUEST_URI) + "&request=ey"
    refused(RequestObjectInvalid, "request_object_invalid", vp.parse_request_link, plain)


@pytest.mark.hostile("P4")
def test_p4_signed_by_another_key() -> None:
    thief = Signer(software_sign(private_key("thief")), VERIFIER.signer.chain)
    open_refused(SignatureInvalid, "signature_invalid", vp.sign_request(request_claims(), thief))


@pytest.mark.hostile("P4")
def test_p4_payload_altered() -> None:
    header, _, signature = signed().split(".")
    payload = b64u(json.dumps(request_claims(state="another-state-123456789")).encode())
    open_refused(SignatureInvalid, "signature_invalid", f"{header}.{payload}.{signature}")


@pytest.mark.hostile("P4")
def test_p4_multi_signed() -> None:
    header, payload, signature = signed().split(".")
    one = {"protected": header, "signature": signature}
    both = json.dumps({"payload": payload, "signatures": [one, {**one, "signature": b64u(bytes(64))}]})
    open_refused(JwsMalformed, "jws_malformed", both)


@pytest.mark.hostile("P5")
@pytest.mark.parametrize("typ", ["JWT", "jwt", "dc+sd-jwt", "kb+jwt", "oauth-authz-req+JWT"])
def test_p5_typ(typ: str) -> None:
    jws = sign_compact(request_claims(), typ=typ, sign=VERIFIER.signer)
    open_refused(TypMismatch, "typ_mismatch", jws)


@pytest.mark.hostile("P5")
@pytest.mark.parametrize("aud", [None, "https://wallet.test", "", ["https://self-issued.me/v2"], 7])
def test_p5_aud(aud: object) -> None:
    open_refused(RequestObjectInvalid, "request_object_invalid", signed(aud=aud))


@pytest.mark.hostile("P5")
def test_p5_expired_or_from_the_future() -> None:
    open_refused(RequestExpired, "request_expired", signed(), now=NOW + 300)
    open_refused(RequestExpired, "request_expired", signed(), now=NOW - 61)
    assert vp.open_request(signed(), link=link(), trust=trust(), now=NOW + 299).nonce == NONCE
    assert vp.open_request(signed(), link=link(), trust=trust(), now=NOW - 60).nonce == NONCE


@pytest.mark.hostile("P5")
def test_p5_that_never_expires() -> None:
    for members in ({"exp": None}, {"exp": NOW + 10 * 365 * 86_400}, {"iat": None}):
        open_refused(RequestObjectInvalid, "request_object_invalid", signed(**members))


@pytest.mark.hostile("P6")
def test_p6_certificate_of_a_stranger() -> None:
    stranger = make_pki(
        issuer_url="https://issuer.test", verifier_url="https://verifier.test", now=NOW
    ).verifier
    identifier = vp.client_id(stranger.sha256)
    jws = vp.sign_request(request_claims(client_id=identifier), stranger.signer)
    open_refused(ChainInvalid, "chain_invalid", jws, link=vp.RequestLink(identifier, REQUEST_URI))


@pytest.mark.hostile("P6")
def test_p6_certificate_for_something_else() -> None:
    status = development_pki().status
    identifier = vp.client_id(status.sha256)
    jws = vp.sign_request(request_claims(client_id=identifier), status.signer)
    with pytest.raises(ChainInvalid) as caught:
        vp.open_request(jws, link=vp.RequestLink(identifier, REQUEST_URI), trust=trust(), now=NOW)
    assert caught.value.code == "certificate_purpose"


@pytest.mark.hostile("P7")
@pytest.mark.parametrize(
    "uri",
    [
        "https://evil.test/response/1",
        "https://verifier.test.evil.test/response/1",
        "https://verifier.test:8443/response/1",
        "https://sub.verifier.test/response/1",
    ],
)
def test_p7_response_uri_on_another_origin(uri: str) -> None:
    open_refused(RequestObjectInvalid, "request_object_invalid", signed(response_uri=uri))


@pytest.mark.hostile("P8")
@pytest.mark.parametrize(
    "members",
    [
        {"redirect_uri": "https://verifier.test/return"},
        {"response_uri": None},
        {"response_uri": ""},
        {"response_uri": "http://verifier.test/response/1"},
        {"response_uri": "https://user@verifier.test/"},
        {"response_uri": ["https://verifier.test/"]},
    ],
)
def test_p8_redirect_uri_beside_direct_post_or_no_response_uri(members: dict[str, Any]) -> None:
    open_refused(RequestObjectInvalid, "request_object_invalid", signed(**members))


@pytest.mark.hostile("P9")
def test_p9_expected_origins_belong_to_another_transport() -> None:
    jws = signed(expected_origins=["https://verifier.test"])
    open_refused(RequestObjectInvalid, "request_object_invalid", jws)
    open_refused(RequestObjectInvalid, "request_object_invalid", signed(response_mode="dc_api"))


@pytest.mark.hostile("P10")
@pytest.mark.parametrize(
    "uri",
    [
        "http://verifier.test/request/1",
        "http://169.254.169.254/latest/meta-data",
        "file:///etc/passwd",
        "https://user@verifier.test/",
        "https://[::ffff:127.0.0.1]/",
        "https://0x7f000001/",
        "https://2130706433/",
        "https://127.1/",
        "https://verifier.test/%2e%2e/admin",
        "https://verifier.test/#x",
        "//verifier.test/",
    ],
)
def test_p10_request_uri_that_is_a_trap(uri: str) -> None:
    refused(UriRefused, "uri_refused", vp.parse_request_link, vp.request_link(client_id(), uri))


@pytest.mark.hostile("P10")
def test_p10_request_object_too_large() -> None:
    jws = signed(padding="x" * (1 << 18))
    open_refused_size(jws)


def open_refused_size(jws: str) -> None:
    with pytest.raises(BauhiniaError) as caught:
        vp.open_request(jws, link=link(), trust=trust(), now=NOW)
    assert caught.value.code == "too_large"


@pytest.mark.hostile("K11")
@pytest.mark.parametrize("data", [["eyJ0eXBlIjoieCJ9"], [], "x"])
def test_k11_transaction_data_is_not_passed_over(data: object) -> None:
    jws = signed(transaction_data=data)
    open_refused(TransactionDataMismatch, "transaction_data_mismatch", jws)
    assert TransactionDataMismatch.protocol == "invalid_transaction_data"


# --- The response


def request(*, encrypted: bool = False, **members: Any) -> vp.RequestClaims:
    return vp.read_request(request_claims(encrypted=encrypted, **members))


def parse(
    form: dict[str, str], wanted: vp.RequestClaims, key: ec.EllipticCurvePrivateKey | None = None
) -> Any:
    return vp.parse_response(form, request=wanted, private_key=key)


@pytest.mark.hostile("P13")
@pytest.mark.parametrize("state", [None, "another-state", STATE.lower(), f"{STATE}A"])
def test_p13_state_wrong_or_absent(state: str | None) -> None:
    good = vp.build_response({"age": ["a~b~c"]}, request=request())
    assert parse(good, request()).state == STATE
    spoiled = {"vp_token": good["vp_token"]} if state is None else {**good, "state": state}
    refused(StateMismatch, "state_mismatch", parse, spoiled, request())
    wanted = request(encrypted=True)
    other = replace(wanted, state=state)
    form = vp.build_response({"age": ["a~b~c"]}, request=other)
    refused(StateMismatch, "state_mismatch", parse, form, wanted, private_key("response"))
    refusal = vp.build_error_response(replace(request(), state=state))
    refused(StateMismatch, "state_mismatch", parse, refusal, request())


def jwe(
    payload: dict[str, Any] | None = None, *, key: Any = None, alg: str = "ECDH-ES", **header: Any
) -> str:
    """A JWE as jwcrypto alone would make it, without our checks."""
    plaintext = json.dumps(payload or {"vp_token": {"age": ["a~b~c"]}, "state": STATE})
    protected = {"alg": alg, "enc": "A256GCM", "kid": "kid-response", **header}
    protected = {name: value for name, value in protected.items() if value is not None}
    token = JWE(plaintext.encode(), json.dumps(protected), algs=[alg, protected["enc"]])
    jwk = encryption_jwk()
    token.add_recipient(key or JWK(kty=jwk["kty"], crv=jwk["crv"], x=jwk["x"], y=jwk["y"]))
    return str(token.serialize(compact=True))


@pytest.mark.hostile("P14")
def test_p14_the_response_that_is_spoiled_below_is_good() -> None:
    wanted = request(encrypted=True)
    for token in (jwe(), jwe(apu=b64u(b"wallet"), apv=b64u(NONCE.encode()))):
        assert parse({"response": token}, wanted, private_key("response")).state == STATE


@pytest.mark.hostile("P14")
@pytest.mark.parametrize(
    "header",
    [
        {"enc": "A128CBC-HS256"},
        {"enc": "A192GCM"},
        {"alg": "ECDH-ES+A128KW"},
        {"zip": "DEF"},
        {"kid": "other"},
        {"kid": None},
        {"crit": ["exp"], "exp": 1},
        {"jku": "https://evil.test/"},
    ],
)
def test_p14_header_that_is_not_ours(header: dict[str, Any]) -> None:
    encryption_refused({"response": jwe(**header)})


def encryption_refused(form: dict[str, str]) -> None:
    wanted = request(encrypted=True)
    error = refused(
        ResponseEncryptionInvalid, "response_encryption_invalid", parse, form, wanted, private_key("response")
    )
    assert "a~b~c" not in str(error)


@pytest.mark.hostile("P14")
def test_p14_not_encrypted() -> None:
    encryption_refused({"vp_token": '{"age":["a~b~c"]}', "state": STATE})
    encryption_refused({"response": jwe(), "vp_token": '{"age":["a~b~c"]}'})
    encryption_refused({"response": jwe(), "state": STATE})
    encryption_refused({})
    encryption_refused({"response": ""})
    encryption_refused({"response": "a.b.c"})
    encryption_refused({"response": signed()})
    none = {"alg": "none", "typ": "JWT"}
    encryption_refused({"response": f"{b64u(json.dumps(none).encode())}.{b64u(b'{}')}."})


@pytest.mark.hostile("P14")
def test_p14_key_of_another_session() -> None:
    theirs = encryption_jwk("another session")
    token = encrypt_jwe(b"{}", recipient_jwk={**theirs, "kid": "kid-response"}, enc="A256GCM")
    encryption_refused({"response": token})


@pytest.mark.hostile("P14")
def test_p14_party_information_swapped() -> None:
    header, *rest = jwe(apu=b64u(b"wallet"), apv=b64u(NONCE.encode())).split(".")
    members = json_decode(unb64u(header).decode())
    members["apu"], members["apv"] = members["apv"], members["apu"]
    encryption_refused({"response": ".".join((b64u(json.dumps(members).encode()), *rest))})


@pytest.mark.hostile("P14")
def test_p14_ephemeral_key_off_the_curve() -> None:
    header, *rest = jwe().split(".")
    members = json_decode(unb64u(header).decode())
    members["epk"]["y"] = members["epk"]["x"]
    encryption_refused({"response": ".".join((b64u(json.dumps(members).encode()), *rest))})


@pytest.mark.hostile("P14")
def test_p14_encrypted_where_the_clear_was_asked_for() -> None:
    refused(ResponseInvalid, "response_invalid", parse, {"response": jwe(), "state": STATE}, request())


@pytest.mark.hostile("P15")
@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize(
    "vp_token",
    [{"other": ["a"]}, {"age": ["a"], "other": ["b"]}, {"age": []}, {"age": ["a", "b"]}, {"age": "a"}],
)
def test_p15_vp_token_of_another_shape(vp_token: Any, encrypted: bool) -> None:
    wanted = request(encrypted=encrypted)
    key = private_key("response") if encrypted else None
    answer: dict[str, str]
    if encrypted:
        answer = {"response": jwe({"vp_token": vp_token, "state": STATE})}
    else:
        answer = {"vp_token": json.dumps(vp_token), "state": STATE}
    refused(QueryNotSatisfied, "query_not_satisfied", parse, answer, wanted, key)


AGE = parse_query(AGE_QUERY)
ADULT = {"age_over_18": True}


def check_refused(query: Any, presented: dict[str, Any], **named: Any) -> None:
    error = refused(QueryNotSatisfied, "query_not_satisfied", check, query, presented, **named)
    assert "age_over_18" not in str(error)


@pytest.mark.hostile("P15")
def test_p15_presentation_of_another_format_or_count() -> None:
    assert check(AGE, {"age": [disclosed(ADULT)]})["age"][0].claims == ADULT
    check_refused(AGE, {"age": [disclosed(ADULT, format="mso_mdoc")]})
    check_refused(AGE, {"other": [disclosed(ADULT)]})
    check_refused(AGE, {"age": [disclosed(ADULT)], "other": [disclosed(ADULT)]})
    check_refused(AGE, {"age": [disclosed(ADULT, holder=b"1"), disclosed(ADULT, holder=b"2")]})
    check_refused(AGE, {"age": []})
    check_refused(AGE, {})


@pytest.mark.hostile("P16")
def test_p16_credential_that_was_not_asked_for() -> None:
    check_refused(AGE, {"age": [disclosed(ADULT, type="https://bauhinia.example/vct/residency/1")]})
    mdoc = parse_query(
        {"credentials": [{"id": "m", "format": "mso_mdoc", "meta": {"doctype_value": DOCTYPE}}]}
    )
    check_refused(mdoc, {"m": [disclosed({}, format="mso_mdoc", type="org.iso.18013.5.1.mDL")]})


@pytest.mark.hostile("P16")
def test_p16_issuer_outside_the_trusted_authorities() -> None:
    credential = {**AGE_QUERY["credentials"][0], "trusted_authorities": [{"type": "aki", "values": ["AQID"]}]}
    query = parse_query({"credentials": [credential]})
    shown = {"age": [disclosed(ADULT)]}
    assert check(query, shown, authority_keys={"https://issuer.test": frozenset({"AQID"})})
    check_refused(query, shown, authority_keys={"https://issuer.test": frozenset({"other"})})
    check_refused(query, shown, authority_keys={"https://other.test": frozenset({"AQID"})})
    check_refused(query, shown)


def sets_query() -> Any:
    """``claim_sets``: either the band, or both thresholds."""
    claims = [{"id": name, "path": [name]} for name in ("age_band", "age_over_18", "age_over_65")]
    sets = [["age_band"], ["age_over_18", "age_over_65"]]
    return parse_query(
        {"credentials": [{**AGE_QUERY["credentials"][0], "claims": claims, "claim_sets": sets}]}
    )


@pytest.mark.hostile("P17")
def test_p17_fewer_claims_than_asked_or_other_values() -> None:
    check_refused(AGE, {"age": [disclosed({})]})
    check_refused(AGE, {"age": [disclosed({"age_over_21": True})]})
    for value in (False, 1, "true", None, [True]):
        check_refused(AGE, {"age": [disclosed({"age_over_18": value})]})


@pytest.mark.hostile("P17")
def test_p17_no_claim_set_is_complete() -> None:
    query = sets_query()
    assert check(query, {"age": [disclosed({"age_band": "21-59"})]})
    assert check(query, {"age": [disclosed({"age_over_18": True, "age_over_65": False})]})
    check_refused(query, {"age": [disclosed({"age_over_18": True})]})
    check_refused(query, {"age": [disclosed({})]})


@pytest.mark.hostile("P17")
def test_p17_mdoc_element_in_another_namespace() -> None:
    claims = [{"path": [ISO, "age_over_18"]}]
    credential = {"id": "m", "format": "mso_mdoc", "meta": {"doctype_value": DOCTYPE}, "claims": claims}
    query = parse_query({"credentials": [credential]})
    check_refused(query, {"m": [disclosed({"other": ADULT}, format="mso_mdoc", type=DOCTYPE)]})


@pytest.mark.hostile("P18")
def test_p18_required_credential_set_is_missing() -> None:
    two = [{**AGE_QUERY["credentials"][0], "id": name} for name in ("a", "b", "c")]
    sets = [{"options": [["a", "b"], ["c"]]}, {"options": [["b"]], "required": False}]
    query = parse_query({"credentials": two, "credential_sets": sets})
    shown = [disclosed(ADULT)]
    assert check(query, {"c": shown})
    assert check(query, {"a": shown, "b": shown})
    for presented in ({"a": shown}, {"b": shown}, {}):
        check_refused(query, presented)
    everything = parse_query({"credentials": two})
    check_refused(everything, {"a": shown, "b": shown})


@pytest.mark.hostile("P19")
def test_p19_second_credential_of_a_slot_is_not_passed_over() -> None:
    query = parse_query({"credentials": [{**AGE_QUERY["credentials"][0], "multiple": True}]})
    good = disclosed(ADULT, holder=b"1")
    assert len(check(query, {"age": [good, disclosed(ADULT, holder=b"2")]})["age"]) == 2
    for second in (
        disclosed({"age_over_18": False}, holder=b"2"),
        disclosed({}, holder=b"2"),
        disclosed(ADULT, holder=b"2", type="https://bauhinia.example/vct/base/1"),
        disclosed(ADULT, holder=b"2", format="mso_mdoc"),
        disclosed(ADULT, holder=b"1"),
    ):
        check_refused(query, {"age": [good, second]})
    check_refused(query, {"age": [disclosed(ADULT, holder=bytes([i])) for i in range(21)]})


@pytest.mark.hostile("P20")
def test_p20_more_than_was_asked_is_dropped_and_reported() -> None:
    shown = disclosed({"age_over_18": True, "birthdate": "1990-01-01", "nationalities": ["XXA", "XXB"]})
    result = check(AGE, {"age": [shown]})["age"][0]
    assert result.claims == {"age_over_18": True}
    assert set(result.extra) == {("birthdate",), ("nationalities", 0), ("nationalities", 1)}
    assert "1990" not in repr(result.extra)
    both = {"age_band": "21-59", "age_over_18": True, "age_over_65": False}
    result = check(sets_query(), {"age": [disclosed(both)]})["age"][0]
    assert result.claims == {"age_band": "21-59"}
    assert set(result.extra) == {("age_over_18",), ("age_over_65",)}
    bare = parse_query({"credentials": [{"id": "b", "format": "dc+sd-jwt", "meta": {"vct_values": [VCT]}}]})
    result = check(bare, {"b": [disclosed(ADULT)]})["b"][0]
    assert (result.claims, result.extra) == ({}, (("age_over_18",),))


# --- The query as a weapon


def many(count: int) -> list[dict[str, Any]]:
    return [{**AGE_QUERY["credentials"][0], "id": f"q{i}"} for i in range(count)]


def claimed(*paths: Any, **members: Any) -> dict[str, Any]:
    claims = [{"path": path, **members} for path in paths]
    return {"credentials": [{**AGE_QUERY["credentials"][0], "claims": claims}]}


def nested(depth: int) -> Any:
    value: Any = "x"
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.hostile("P21")
@pytest.mark.parametrize(
    "query",
    [
        {"credentials": many(21)},
        claimed(*([f"c{i}"] for i in range(101))),
        claimed(*([f"c{i}"] for i in range(10_000))),
        claimed(["a"] * 9),
        claimed(["a", -1]),
        claimed(["a", 10_001]),
        claimed(["a", 1 << 70]),
        claimed(["a", 1.0]),
        claimed(["a", True]),
        claimed(["a", {"$regex": ".*"}]),
        claimed(["a", ["b"]]),
        claimed(["a"], values=list(range(51))),
        claimed(["a"], values=[{"$ne": None}]),
        claimed(["a"], values=[{"$regex": "^a"}]),
        claimed(["a"], values=[nested(900)]),
        {"credentials": many(3), "credential_sets": [{"options": [["q0"]]}] * 11},
        {"credentials": many(3), "credential_sets": [{"options": [["q0"]] * 21}]},
        {
            "credentials": many(3),
            "credential_sets": [{"options": [["q0"], ["q1"], ["q2"], ["q0", "q1"]]}] * 7,
        },
        {"credentials": many(3), "credential_sets": [{"options": [["q0"], ["q1"]], "required": False}] * 10},
    ],
)
def test_p21_query_that_is_a_bomb(query: dict[str, Any]) -> None:
    error = refused(QueryInvalid, "query_invalid", parse_query, query)
    assert len(str(error)) < 200


@pytest.mark.hostile("P21")
def test_p21_bomb_in_a_signed_request() -> None:
    query = claimed(*([f"c{i}"] for i in range(101)))
    open_refused(QueryInvalid, "query_invalid", signed(dcql_query=query))
    deep = claimed(["a"], values=[nested(30)])
    open_refused(JwsMalformed, "jws_malformed", signed(dcql_query=deep))


@pytest.mark.hostile("P21")
def test_p21_largest_query_that_is_read() -> None:
    paths = [["a", *(None for _ in range(6)), f"c{i}"] for i in range(100)]
    credentials = [
        {**claimed(*paths, values=list(range(50)))["credentials"][0], "id": f"q{i}"} for i in range(20)
    ]
    sets = [{"options": [["q0"], ["q1"]], "required": True}] * 10
    query = parse_query({"credentials": credentials, "credential_sets": sets})
    wide: Any = 1
    for _ in range(6):
        wide = [wide]
    with pytest.raises(NoMatchingCredential):
        plan(query, [Candidate("a", "dc+sd-jwt", VCT, {"a": wide})])


@pytest.mark.hostile("P21")
def test_p21_nothing_in_a_query_is_executed() -> None:
    held = [Candidate("a", "dc+sd-jwt", VCT, {"age_band": "21-59"})]
    for value in (".*", "21-5.", "%", "*", "21-59\n"):
        query = parse_query(claimed(["age_band"], values=[value]))
        refused(NoMatchingCredential, "no_matching_credential", plan, query, held)
    for path in (["*"], ["$.age_band"], ["age_band", "__class__"], ["..", "age_band"]):
        refused(NoMatchingCredential, "no_matching_credential", plan, parse_query(claimed(path)), held)


@pytest.mark.hostile("P26")
def test_p26_over_asking() -> None:
    catalogue = load_catalogue()
    base, hkid = catalogue.types["base/1"], catalogue.types["hkid-number/1"]
    for type_ in (base, hkid):
        for format_ in ("dc+sd-jwt", "mso_mdoc"):
            identifier = type_.identifier(format_)
            meta = {"vct_values": [identifier]} if format_ == "dc+sd-jwt" else {"doctype_value": identifier}
            claims = [{"path": list(type_.path(format_, claim.name))} for claim in type_.claims]
            extra = {"id": "extra", "format": format_, "meta": meta, "claims": claims}
            query = {"credentials": [*AGE_QUERY["credentials"], extra]}
            jws = vp.sign_request(request_claims(query=query), VERIFIER.signer)
            asking = vp.open_request(jws, link=link(), trust=trust(), now=NOW)
            over = vp.over_asking(asking, catalogue)
            assert set(over) == {vp.Asked(type_.name, claim.name) for claim in type_.claims}


@pytest.mark.hostile("P26")
def test_p26_over_asking_in_an_option_that_the_wallet_would_not_choose() -> None:
    claims = [{"id": "a", "path": ["age_over_18"]}, {"id": "b", "path": ["age_band"]}]
    credential = {**AGE_QUERY["credentials"][0], "claims": claims, "claim_sets": [["a"], ["b"]]}
    query = {
        "credentials": [credential, {**credential, "id": "unused"}],
        "credential_sets": [{"options": [["age"]]}],
    }
    jws = vp.sign_request(request_claims(query=query), VERIFIER.signer)
    asking = vp.open_request(jws, link=link(), trust=trust(), now=NOW)
    assert vp.over_asking(asking, load_catalogue()) == (vp.Asked("age/1", "age_band"),)


@pytest.mark.hostile("P27")
def test_p27_probing_values_tells_nothing_apart() -> None:
    """No credential, another value, no such claim: one error, one text, and answers of one size."""
    held = [Candidate("a", "dc+sd-jwt", VCT, {"age_band": "21-59"})]
    bands = ["under_11", "11-14", "15", "16-17", "18-20", "60-64", "65-69", "70+"]
    probes = [claimed(["age_band"], values=[band]) for band in bands] + [claimed(["no_such_claim"])]
    texts = {
        str(refused(NoMatchingCredential, "no_matching_credential", plan, parse_query(p), held))
        for p in probes
    }
    texts |= {str(refused(NoMatchingCredential, "no_matching_credential", plan, AGE, []))}
    assert len(texts) == 1
    answers = [vp.build_error_response(request(encrypted=True))["response"] for _ in probes]
    assert len({len(answer) for answer in answers}) == 1
    assert "21-59" not in texts.pop()
