"""The hostile catalogue, group I, as far as a message alone decides it.

What needs the issuer's memory (nonces and codes already used, attempts, entitlement) is tested at the issuer.
"""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest
from pki_fixture import NOW, development_pki
from protocol_messages import holder_key, private_key

from credentials.encoding import b64u
from credentials.errors import (
    BauhiniaError,
    CredentialRequestInvalid,
    DpopInvalid,
    EncryptionParametersInvalid,
    IssuerMixUp,
    MetadataInvalid,
    OfferInvalid,
    PkceInvalid,
    ProofInvalid,
    RequestInvalid,
    ResponseInvalid,
    TokenInvalid,
    UriRefused,
)
from credentials.jose import sign_compact
from openid4vc import oauth, vci
from openid4vc.uris import build_query, parse_query

ISSUER = "https://issuer.test"
URL = f"{ISSUER}/credential"
C_NONCE = "c-nonce-1"
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"


def refused(
    error: type[BauhiniaError], code: str, protocol: str, call: Any, *args: Any, **named: Any
) -> None:
    with pytest.raises(error) as caught:
        call(*args, **named)
    assert (type(caught.value), caught.value.code, caught.value.protocol) == (error, code, protocol)


def request(proofs: object, **members: Any) -> bytes:
    body = {"credential_configuration_id": "age-1.sd-jwt", "proofs": proofs, **members}
    return json.dumps({name: value for name, value in body.items() if value is not None}).encode()


def proof(name: str = "holder", *, audience: str = ISSUER, nonce: str = C_NONCE, now: int = NOW) -> str:
    return vci.proof_jwt(holder_key(name), audience=audience, nonce=nonce, now=now)


def forged(
    *, typ: str = vci.PROOF_TYP, header: dict[str, Any] | None = None, signer: str = "holder", **claims: Any
) -> str:
    payload = {"aud": ISSUER, "iat": NOW, "nonce": C_NONCE, **claims}
    chosen = {"jwk": holder_key().public.jwk()} if header is None else header
    return sign_compact(payload, typ=typ, sign=holder_key(signer).sign, header=chosen)


def proof_refused(jwt: str) -> None:
    refused(ProofInvalid, "proof_invalid", "invalid_proof", vci.verify_proof, jwt, audience=ISSUER, now=NOW)


@pytest.mark.hostile("I1")
@pytest.mark.parametrize(
    "proofs", [None, {}, {"jwt": []}, {"jwt": "p"}, {"jwt": [""]}, {"jwt": [7]}, {"attestation": ["p"]},
               {"jwt": ["p"], "attestation": ["q"]}, {"jwt": ["p1", "p2", "p3"]}],
)  # fmt: skip
def test_i1_no_proof_or_not_of_the_one_kind(proofs: object) -> None:
    refused(
        ProofInvalid,
        "proof_invalid",
        "invalid_proof",
        vci.parse_credential_request,
        request(proofs),
        batch_size=2,
    )


@pytest.mark.hostile("I1")
@pytest.mark.parametrize("bad", [0, 1, 2])
def test_i1_one_bad_proof_refuses_all(bad: int) -> None:
    proofs = [proof("copy 1"), proof("copy 2"), proof("copy 3")]
    proofs[bad] = f"{proofs[bad][:-4]}AAAA"
    refused(
        ProofInvalid, "proof_invalid", "invalid_proof", vci.verify_proofs, proofs, audience=ISSUER, now=NOW
    )


@pytest.mark.hostile("I1")
def test_i1_empty_list_of_proofs() -> None:
    refused(ProofInvalid, "proof_invalid", "invalid_proof", vci.verify_proofs, [], audience=ISSUER, now=NOW)


@pytest.mark.hostile("I2")
def test_i2_proof_without_nonce_and_proofs_with_two() -> None:
    proof_refused(forged(nonce=""))
    mixed = [proof("copy 1", nonce="session a"), proof("copy 2", nonce="session b")]
    refused(
        ProofInvalid, "proof_invalid", "invalid_proof", vci.verify_proofs, mixed, audience=ISSUER, now=NOW
    )


@pytest.mark.hostile("I3")
def test_i3_signature_of_another_key() -> None:
    proof_refused(forged(signer="thief"))


@pytest.mark.hostile("I3")
def test_i3_alg_none() -> None:
    header = {"alg": "none", "typ": vci.PROOF_TYP, "jwk": holder_key().public.jwk()}
    payload = {"aud": ISSUER, "iat": NOW, "nonce": C_NONCE}
    body = ".".join(b64u(json.dumps(part).encode()) for part in (header, payload))
    proof_refused(f"{body}.")


@pytest.mark.hostile("I3")
@pytest.mark.parametrize("typ", ["JWT", "jwt", "kb+jwt", "dpop+jwt", "dc+sd-jwt", "key-attestation+jwt"])
def test_i3_token_of_another_kind(typ: str) -> None:
    proof_refused(forged(typ=typ))


@pytest.mark.hostile("I3")
@pytest.mark.parametrize(
    "audience", ["https://other.test", "https://issuer.test/", "https://issuer.test.evil.test", ""]
)
def test_i3_for_another_issuer(audience: str) -> None:
    proof_refused(proof(audience=audience))


@pytest.mark.hostile("I3")
@pytest.mark.parametrize("now", [NOW - 301, NOW - 86_400, NOW + 61, 0])
def test_i3_stale_or_from_the_future(now: int) -> None:
    proof_refused(proof(now=now))


@pytest.mark.hostile("I4")
def test_i4_same_key_twice() -> None:
    twice = [proof("copy 1"), proof("copy 2"), proof("copy 1", now=NOW - 1)]
    refused(
        ProofInvalid, "proof_invalid", "invalid_proof", vci.verify_proofs, twice, audience=ISSUER, now=NOW
    )
    body = request({"jwt": ["same", "same"]})
    refused(ProofInvalid, "proof_invalid", "invalid_proof", vci.parse_credential_request, body, batch_size=2)


@pytest.mark.hostile("I5")
def test_i5_private_key_in_the_proof() -> None:
    number = private_key("holder").private_numbers().private_value.to_bytes(32, "big")
    jwk = {**holder_key().public.jwk(), "d": b64u(number)}
    with pytest.raises(ProofInvalid) as caught:
        vci.verify_proof(forged(header={"jwk": jwk}), audience=ISSUER, now=NOW)
    assert caught.value.code == "proof_invalid"
    assert jwk["d"] not in str(caught.value)


@pytest.mark.hostile("I5")
@pytest.mark.parametrize(
    "extra", [{"kid": "did:example:1"}, {"x5c": True}, {"trust_chain": []}, {"key_attestation": "ey"}]
)
def test_i5_two_ways_to_name_the_key(extra: dict[str, Any]) -> None:
    if "x5c" in extra:
        extra = {"x5c": [b64encode(development_pki().verifier.der).decode()]}
    proof_refused(forged(header={"jwk": holder_key().public.jwk(), **extra}))


@pytest.mark.hostile("I5")
def test_i5_no_key_or_a_key_of_another_kind() -> None:
    proof_refused(forged(header={}))
    proof_refused(forged(header={"kid": "did:example:1"}))
    proof_refused(forged(header={"jwk": {"kty": "oct", "k": "AAAA"}}))
    proof_refused(forged(header={"jwk": {**holder_key().public.jwk(), "crv": "P-384"}}))


@pytest.mark.hostile("I6")
def test_i6_holder_is_the_key_and_not_what_the_wallet_says() -> None:
    jwt = forged(iss="somebody-else", sub="somebody-else")
    verified = vci.verify_proof(jwt, audience=ISSUER, now=NOW)
    assert verified == vci.verify_proof(forged(), audience=ISSUER, now=NOW)
    assert verified.key.thumbprint() == holder_key().public.thumbprint()


@pytest.mark.hostile("I6")
def test_i6_key_attestation_is_not_passed_over() -> None:
    proof_refused(forged(header={"jwk": holder_key().public.jwk(), "key_attestation": "ey"}))


@pytest.mark.hostile("I7")
@pytest.mark.parametrize("members", [{"credential_identifier": "x"}, {"credential_configuration_id": None}])
def test_i7_both_identifiers_or_neither(members: dict[str, Any]) -> None:
    refused(
        CredentialRequestInvalid,
        "credential_request_invalid",
        "invalid_credential_request",
        vci.parse_credential_request,
        request({"jwt": ["p"]}, **members),
        batch_size=2,
    )


@pytest.mark.hostile("I10")
def test_i10_more_copies_than_proofs_or_one_twice() -> None:
    for wire in ((b"a", b"b", b"c"), (b"a", b"a")):
        body = json.dumps(vci.credential_response(wire, None)).encode()
        refused(
            ResponseInvalid,
            "response_invalid",
            "invalid_request",
            vci.parse_credential_response,
            body,
            expected=2,
        )


@pytest.mark.hostile("I11")
def test_i11_code_and_transaction_code_are_bounded() -> None:
    form = oauth.token_form(oauth.PreAuthorizedGrant("p", "1"))
    for members in ({"tx_code": ""}, {"tx_code": "1" * 65}, {"pre-authorized_code": ""}):
        refused(
            RequestInvalid,
            "request_invalid",
            "invalid_request",
            oauth.parse_token_request,
            {**form, **members},
        )


@pytest.mark.hostile("I12")
@pytest.mark.parametrize(
    "uri",
    [
        "http://issuer.test/offers/1",
        "file:///etc/passwd",
        "https://user@issuer.test/",
        "https://0x7f000001/",
        "https://2130706433/",
        "https://127.1/",
        "https://[::ffff:127.0.0.1]/",
        "https://issuer.test/a/../../b",
        "https://issuer.test/%2e%2e/b",
    ],
)
def test_i12_offer_uri_that_is_a_trap(uri: str) -> None:
    link = f"openid-credential-offer://?{build_query({'credential_offer_uri': uri})}"
    refused(UriRefused, "uri_refused", "invalid_request", vci.parse_offer_link, link)


@pytest.mark.hostile("I12")
@pytest.mark.parametrize(
    "issuer",
    [
        "https://issuer.test/../admin",
        "https://issuer.test/%2e%2e/admin",
        "https://issuer.test//admin",
        "https://issuer.test/a?b",
        "https://issuer.test/#a",
        "http://issuer.test",
        "https://issuer.test@evil.test",
    ],
)
def test_i12_issuer_url_that_is_a_trap(issuer: str) -> None:
    offer = json.dumps({"credential_issuer": issuer, "credential_configuration_ids": ["a"]}).encode()
    refused(OfferInvalid, "offer_invalid", "invalid_request", vci.parse_offer, offer)


@pytest.mark.hostile("I12")
def test_i12_two_grants_need_a_choice() -> None:
    offer = vci.Offer(ISSUER, ("a",), vci.AuthorizationCodeOffer(), vci.PreAuthorizedOffer("p"))
    assert vci.parse_offer(json.dumps(vci.offer_object(offer)).encode()) == offer
    refused(OfferInvalid, "offer_invalid", "invalid_request", offer.choose)
    assert offer.choose("pre-authorized_code") == vci.PreAuthorizedOffer("p")


@pytest.mark.hostile("I13")
def test_i13_token_in_the_query_or_the_form() -> None:
    refused(
        TokenInvalid,
        "token_invalid",
        "invalid_token",
        oauth.access_token_of,
        "DPoP at-1",
        parameters={"access_token": "at-1"},
    )


@pytest.mark.hostile("I13")
@pytest.mark.parametrize(
    "header", [None, "", "Bearer at-1", "bearer at-1", "DPoP", "DPoP ", "DPoP a b", "DPoP  a", "DPoP é"]
)
def test_i13_not_a_bound_token(header: str | None) -> None:
    refused(TokenInvalid, "token_invalid", "invalid_token", oauth.access_token_of, header, parameters={})
    assert oauth.access_token_of("dpop at-1", parameters={}) == "at-1"


def dpop(**overrides: Any) -> str:
    arguments: dict[str, Any] = {
        "method": "POST", "url": URL, "now": NOW, "jti": "j", "nonce": None, "access_token": "at-1",
    }  # fmt: skip
    return oauth.dpop_proof(holder_key(), **{**arguments, **overrides})


def dpop_refused(proof: str, *, with_token: bool = True) -> None:
    refused(
        DpopInvalid,
        "dpop_invalid",
        "invalid_dpop_proof",
        oauth.verify_dpop,
        proof,
        method="POST",
        url=URL,
        now=NOW,
        access_token="at-1" if with_token else None,
    )


@pytest.mark.hostile("I13")
@pytest.mark.parametrize(
    "overrides",
    [
        {"method": "GET"},
        {"method": "post"},
        {"url": f"{ISSUER}/token"},
        {"url": "https://evil.test/credential"},
        {"url": f"{URL}/"},
        {"access_token": "at-2"},
        {"access_token": None},
        {"now": NOW - 301},
        {"now": NOW + 61},
    ],
)
def test_i13_dpop_proof_for_something_else(overrides: dict[str, Any]) -> None:
    dpop_refused(dpop(**overrides))


@pytest.mark.hostile("I13")
def test_i13_dpop_proof_with_a_token_where_there_is_none() -> None:
    dpop_refused(dpop(), with_token=False)


@pytest.mark.hostile("I13")
def test_i13_dpop_proof_forged() -> None:
    jwk = holder_key().public.jwk()
    number = private_key("holder").private_numbers().private_value.to_bytes(32, "big")
    claims = {"jti": "j", "htm": "POST", "htu": URL, "iat": NOW}

    def signed(name: str = "holder", typ: str = "dpop+jwt", **header: Any) -> str:
        return sign_compact(claims, typ=typ, sign=holder_key(name).sign, header=header)

    assert oauth.verify_dpop(signed(jwk=jwk), method="POST", url=URL, now=NOW, access_token=None).jti == "j"
    for proof in (
        signed("thief", jwk=jwk),
        signed(typ="JWT", jwk=jwk),
        signed(typ="openid4vci-proof+jwt", jwk=jwk),
        signed(),
        signed(jwk={**jwk, "d": b64u(number)}),
        signed(jwk=jwk, crit=["x"]),
        "",
        "a.b.c",
        signed(jwk=jwk) + "A" * 5000,
    ):
        dpop_refused(proof, with_token=False)
    for members in ({"htu": 7}, {"htm": 7}, {"iat": "1"}, {"iat": 1.5}, {"iat": -1}, {"jti": 7}):
        bad = sign_compact({**claims, **members}, typ="dpop+jwt", sign=holder_key().sign, header={"jwk": jwk})
        dpop_refused(bad, with_token=False)


@pytest.mark.hostile("I13")
def test_i13_token_of_another_key() -> None:
    verified = oauth.verify_dpop(dpop(), method="POST", url=URL, now=NOW, access_token="at-1")
    refused(
        TokenInvalid,
        "token_invalid",
        "invalid_token",
        oauth.check_binding,
        verified,
        thumbprint=holder_key("other").public.thumbprint(),
    )


@pytest.mark.hostile("I13")
def test_i13_answer_of_a_bearer_token() -> None:
    body = {**oauth.token_response(access_token="a", expires_in=1, scope=()), "token_type": "Bearer"}
    data = json.dumps(body).encode()
    refused(ResponseInvalid, "response_invalid", "invalid_request", oauth.parse_token_response, data)


def code_fields(**members: str | None) -> dict[str, str]:
    wanted = oauth.CodeRequest(
        "w", "http://127.0.0.1:8000/cb", "state-1", oauth.code_challenge(VERIFIER), ("age-1",)
    )
    fields = {**parse_query(oauth.code_request_url(URL, wanted).partition("?")[2]), **members}
    return {name: value for name, value in fields.items() if value is not None}


@pytest.mark.hostile("I15")
@pytest.mark.parametrize(
    "members",
    [
        {"code_challenge": None},
        {"code_challenge": ""},
        {"code_challenge": "short"},
        {"code_challenge_method": None},
        {"code_challenge_method": "plain"},
        {"code_challenge_method": "s256"},
        {"code_challenge": None, "code_challenge_method": None},
    ],
)
def test_i15_pkce_missing_or_plain(members: dict[str, str | None]) -> None:
    refused(PkceInvalid, "pkce_invalid", "invalid_grant", oauth.parse_code_request, code_fields(**members))


@pytest.mark.hostile("I15")
def test_i15_pkce_verifier_malformed() -> None:
    wanted = oauth.parse_code_request(code_fields())
    grant = oauth.CodeGrant("c", wanted.redirect_uri, "x" * 43, wanted.client_id)
    form = {**oauth.token_form(grant), "code_verifier": ""}
    refused(PkceInvalid, "pkce_invalid", "invalid_grant", oauth.parse_token_request, form)


@pytest.mark.hostile("I15")
@pytest.mark.parametrize("iss", [None, "", "https://evil.test", "https://issuer.test/"])
def test_i15_answer_of_another_issuer(iss: str | None) -> None:
    fields = {"code": "c", "state": "s"} if iss is None else {"code": "c", "state": "s", "iss": iss}
    for answer in (fields, {**fields, "error": "access_denied"}):
        refused(
            IssuerMixUp,
            "issuer_mix_up",
            "access_denied",
            oauth.parse_code_response,
            answer,
            state="s",
            issuer=ISSUER,
        )


def metadata(**members: Any) -> bytes:
    body = vci.issuer_metadata(
        issuer=ISSUER,
        credential_endpoint=URL,
        nonce_endpoint=f"{ISSUER}/nonce",
        notification_endpoint=f"{ISSUER}/notification",
        types=(),
        name={"en": "Synthetic issuer"},
        batch_size=30,
    )
    return json.dumps({**body, **members}).encode()


@pytest.mark.hostile("I16")
@pytest.mark.parametrize(
    "members",
    [
        {"credential_issuer": "https://other.test"},
        {"credential_issuer": "https://issuer.test/"},
        {"credential_issuer": None},
        {"authorization_servers": ["https://evil.test"]},
        {"authorization_servers": [ISSUER, "https://evil.test"]},
        {"authorization_servers": []},
    ],
)
def test_i16_metadata_of_another_issuer(members: dict[str, Any]) -> None:
    refused(
        MetadataInvalid,
        "metadata_invalid",
        "invalid_request",
        vci.parse_issuer_metadata,
        metadata(**members),
        issuer=ISSUER,
    )


@pytest.mark.hostile("I16")
def test_i16_authorization_server_of_another_issuer() -> None:
    body = oauth.authorization_server_metadata(
        issuer="https://evil.test", token_endpoint=URL, authorization_endpoint=URL, scopes=()
    )
    refused(
        MetadataInvalid,
        "metadata_invalid",
        "invalid_request",
        oauth.parse_authorization_server,
        json.dumps(body).encode(),
        issuer=ISSUER,
    )


@pytest.mark.hostile("I16")
def test_i16_offer_that_names_another_server() -> None:
    for grant, members in (("authorization_code", {}), (oauth.PRE_AUTHORIZED, {"pre-authorized_code": "p"})):
        offer = {
            "credential_issuer": ISSUER,
            "credential_configuration_ids": ["a"],
            "grants": {grant: {**members, "authorization_server": "https://evil.test"}},
        }
        refused(OfferInvalid, "offer_invalid", "invalid_request", vci.parse_offer, json.dumps(offer).encode())


@pytest.mark.hostile("I17")
@pytest.mark.parametrize(
    "encryption", [{"jwk": {}, "enc": "A128CBC-HS256"}, {"jwk": {}, "enc": "none"}, {}, None, "x"]
)
def test_i17_response_encryption_is_refused_and_not_ignored(encryption: object) -> None:
    body = {
        "credential_configuration_id": "a",
        "proofs": {"jwt": ["p"]},
        "credential_response_encryption": encryption,
    }
    refused(
        EncryptionParametersInvalid,
        "encryption_parameters_invalid",
        "invalid_encryption_parameters",
        vci.parse_credential_request,
        json.dumps(body).encode(),
        batch_size=2,
    )


@pytest.mark.hostile("I17")
@pytest.mark.parametrize("name", ["credential_request_encryption", "credential_response_encryption"])
def test_i17_issuer_that_insists_on_encryption(name: str) -> None:
    data = metadata(**{name: {"encryption_required": True}})
    refused(
        MetadataInvalid, "metadata_invalid", "invalid_request", vci.parse_issuer_metadata, data, issuer=ISSUER
    )
    optional = metadata(**{name: {"encryption_required": False}})
    # No configuration is offered in this fixture, but encryption is no longer what stands in the way.
    assert vci.parse_issuer_metadata(optional, issuer=ISSUER).issuer == ISSUER
