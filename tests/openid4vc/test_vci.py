"""Issuance messages: offer, metadata, proofs, request, response, notification."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pki_fixture import NOW
from protocol_messages import holder_key

from credentials.catalog import load_catalogue
from credentials.errors import (
    ConfigurationUnknown,
    CredentialRequestInvalid,
    MetadataInvalid,
    NotificationInvalid,
    OfferInvalid,
    ProofInvalid,
    ResponseInvalid,
    TooLarge,
    UriRefused,
)
from credentials.jose import sign_compact
from openid4vc import vci
from openid4vc.oauth import PRE_AUTHORIZED

ISSUER = "https://issuer.test"
C_NONCE = "c-nonce-1"


def encoded(value: object) -> bytes:
    return json.dumps(value).encode()


# --- Offer

OFFERS = [
    vci.Offer(ISSUER, ("age-1.sd-jwt",)),
    vci.Offer(ISSUER, ("age-1.sd-jwt", "age-1.mdoc"), authorization_code=vci.AuthorizationCodeOffer()),
    vci.Offer(ISSUER, ("age-1.mdoc",), authorization_code=vci.AuthorizationCodeOffer("state-1")),
    vci.Offer(ISSUER, ("age-1.mdoc",), pre_authorized=vci.PreAuthorizedOffer("pre-1")),
    vci.Offer(
        f"{ISSUER}/tenant",
        ("age-1.mdoc",),
        authorization_code=vci.AuthorizationCodeOffer("state-1"),
        pre_authorized=vci.PreAuthorizedOffer("pre-1", vci.TxCode("numeric", 6, "在領取通知上的號碼")),
    ),
    vci.Offer(ISSUER, ("a",), pre_authorized=vci.PreAuthorizedOffer("p", vci.TxCode("text"))),
]


@pytest.mark.parametrize("offer", OFFERS)
def test_offer_round_trip(offer: vci.Offer) -> None:
    assert vci.parse_offer(encoded(vci.offer_object(offer))) == offer
    assert vci.parse_offer_link(vci.offer_link(offer)) == offer
    assert vci.parse_offer_link(f"  {vci.offer_link(offer)}\n") == offer


def test_offer_by_reference() -> None:
    link = vci.offer_link(f"{ISSUER}/offers/1")
    assert link == "openid-credential-offer://?credential_offer_uri=https%3A%2F%2Fissuer.test%2Foffers%2F1"
    assert vci.parse_offer_link(link) == f"{ISSUER}/offers/1"


def test_tx_code_defaults_to_numeric() -> None:
    offer = offer_body(grants={PRE_AUTHORIZED: {"pre-authorized_code": "p", "tx_code": {}}})
    parsed = vci.parse_offer(offer).pre_authorized
    assert parsed is not None
    assert parsed.tx_code == vci.TxCode("numeric", None, None)


def test_unknown_grants_are_ignored_beside_known_ones() -> None:
    body = offer_body(grants={"urn:other": {"x": 1}, "authorization_code": {}})
    assert vci.parse_offer(body).choose() == vci.AuthorizationCodeOffer()


def offer_body(**members: Any) -> bytes:
    body = {"credential_issuer": ISSUER, "credential_configuration_ids": ["age-1.sd-jwt"], **members}
    return encoded({name: value for name, value in body.items() if value is not None})


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"\xff",
        b'{"credential_issuer":"https://a.test","credential_issuer":"https://b.test"}',
        offer_body(credential_issuer=None),
        offer_body(credential_issuer=7),
        offer_body(credential_issuer="issuer.test"),
        offer_body(credential_issuer="https://issuer.test?x=1"),
        offer_body(credential_issuer="https://issuer.test/%61"),
        offer_body(credential_configuration_ids=None),
        offer_body(credential_configuration_ids=[]),
        offer_body(credential_configuration_ids=["a", "a"]),
        offer_body(credential_configuration_ids=[""]),
        offer_body(credential_configuration_ids=[7]),
        offer_body(credential_configuration_ids=[f"c{i}" for i in range(51)]),
        offer_body(credential_configuration_ids="age-1.sd-jwt"),
        offer_body(grants=[]),
        offer_body(grants={}),
        offer_body(grants={"urn:other": {}}),
        offer_body(grants={"authorization_code": "x"}),
        offer_body(grants={"authorization_code": {"issuer_state": 7}}),
        offer_body(grants={"authorization_code": {"authorization_server": "https://evil.test"}}),
        offer_body(grants={PRE_AUTHORIZED: {}}),
        offer_body(grants={PRE_AUTHORIZED: {"pre-authorized_code": ""}}),
        offer_body(grants={PRE_AUTHORIZED: {"pre-authorized_code": "p", "tx_code": 6}}),
        offer_body(grants={PRE_AUTHORIZED: {"pre-authorized_code": "p", "tx_code": {"input_mode": "voice"}}}),
        offer_body(grants={PRE_AUTHORIZED: {"pre-authorized_code": "p", "tx_code": {"length": 0}}}),
        offer_body(grants={PRE_AUTHORIZED: {"pre-authorized_code": "p", "tx_code": {"length": True}}}),
        offer_body(
            grants={PRE_AUTHORIZED: {"pre-authorized_code": "p", "tx_code": {"description": "d" * 301}}}
        ),
        offer_body(
            grants={PRE_AUTHORIZED: {"pre-authorized_code": "p", "authorization_server": "https://e.test"}}
        ),
        offer_body(padding="x" * 20_000),
    ],
)
def test_offer_refused(data: bytes) -> None:
    with pytest.raises(OfferInvalid):
        vci.parse_offer(data)


def test_offer_link_refused() -> None:
    with pytest.raises(OfferInvalid):
        vci.parse_offer_link("openid-credential-offer://?x=1")
    with pytest.raises(OfferInvalid):
        vci.parse_offer_link(
            "openid-credential-offer://?credential_offer=%7B%7D&credential_offer_uri=https%3A%2F%2Fi.test"
        )
    with pytest.raises(UriRefused):
        vci.parse_offer_link("openid4vp://?credential_offer=%7B%7D")


def test_own_authorization_server_may_be_named() -> None:
    body = offer_body(grants={"authorization_code": {"authorization_server": ISSUER}})
    assert vci.parse_offer(body).authorization_code == vci.AuthorizationCodeOffer()


def test_choosing_a_grant() -> None:
    nothing, code, _, pre, both, _ = OFFERS
    assert nothing.choose() == vci.AuthorizationCodeOffer()
    assert nothing.choose("authorization_code") == vci.AuthorizationCodeOffer()
    assert code.choose() == code.authorization_code
    assert pre.choose() == pre.pre_authorized
    assert both.choose("authorization_code") == both.authorization_code
    assert both.choose("pre-authorized_code") == both.pre_authorized
    for offer, kind in (
        (nothing, "pre-authorized_code"),
        (code, "pre-authorized_code"),
        (pre, "authorization_code"),
    ):
        with pytest.raises(OfferInvalid):
            offer.choose(kind)  # type: ignore[arg-type]


# --- Issuer metadata


def our_metadata() -> dict[str, Any]:
    return vci.issuer_metadata(
        issuer=ISSUER,
        credential_endpoint=f"{ISSUER}/credential",
        nonce_endpoint=f"{ISSUER}/nonce",
        notification_endpoint=f"{ISSUER}/notification",
        types=load_catalogue().types.values(),
        name={"en": "Synthetic issuer", "zh-Hant": "虛構發證機構"},
        batch_size=30,
    )


def metadata(**members: Any) -> bytes:
    return encoded({k: v for k, v in {**our_metadata(), **members}.items() if v is not None})


def test_metadata_round_trip() -> None:
    parsed = vci.parse_issuer_metadata(metadata(), issuer=ISSUER)
    catalogue = load_catalogue()
    assert parsed.credential_endpoint == f"{ISSUER}/credential"
    assert parsed.nonce_endpoint == f"{ISSUER}/nonce"
    assert parsed.notification_endpoint == f"{ISSUER}/notification"
    assert parsed.batch_size == 30
    assert parsed.display == {"en": "Synthetic issuer", "zh-Hant": "虛構發證機構"}
    assert len(parsed.configurations) == 2 * len(catalogue.types)
    age = catalogue.types["age/1"]
    for format_, name in (("dc+sd-jwt", "age-1.sd-jwt"), ("mso_mdoc", "age-1.mdoc")):
        assert vci.configuration_id(age, format_) == name
        assert parsed.configuration(name) == vci.Configuration(
            name, format_, age.identifier(format_), "age-1", dict(age.label)
        )
    with pytest.raises(ConfigurationUnknown):
        parsed.configuration("age-1.other")


def test_metadata_says_what_openid4vci_wants() -> None:
    """Section 12.2.4 and HAIP 4.1: scope everywhere, algorithms in the format's notation, both languages."""
    body = our_metadata()
    for name, configuration in body["credential_configurations_supported"].items():
        mdoc = name.endswith(".mdoc")
        assert configuration["scope"]
        assert configuration["format"] == ("mso_mdoc" if mdoc else "dc+sd-jwt")
        assert ("doctype" in configuration) == mdoc
        assert ("vct" in configuration) != mdoc
        assert configuration["cryptographic_binding_methods_supported"] == ["cose_key" if mdoc else "jwk"]
        assert configuration["credential_signing_alg_values_supported"] == [-7 if mdoc else "ES256"]
        assert configuration["proof_types_supported"] == {
            "jwt": {"proof_signing_alg_values_supported": ["ES256"]}
        }
        shown = configuration["credential_metadata"]
        assert {entry["locale"] for entry in shown["display"]} == {"en", "zh-Hant"}
        for claim in shown["claims"]:
            assert len(claim["path"]) == (2 if mdoc else 1)
            assert {entry["locale"] for entry in claim["display"]} == {"en", "zh-Hant"}


def test_metadata_optional_members() -> None:
    data = metadata(
        nonce_endpoint=None, notification_endpoint=None, batch_credential_issuance=None, display=None
    )
    parsed = vci.parse_issuer_metadata(data, issuer=ISSUER)
    assert (parsed.nonce_endpoint, parsed.notification_endpoint, parsed.batch_size) == (None, None, 1)
    assert parsed.display == {}
    named = vci.parse_issuer_metadata(metadata(authorization_servers=[ISSUER]), issuer=ISSUER)
    assert named.issuer == ISSUER


def one_configuration(**members: Any) -> bytes:
    good = our_metadata()["credential_configurations_supported"]["age-1.sd-jwt"]
    configuration = {k: v for k, v in {**good, **members}.items() if v is not None}
    return metadata(credential_configurations_supported={"age-1.sd-jwt": configuration})


@pytest.mark.parametrize(
    "members",
    [
        {"format": "jwt_vc_json"},
        {"credential_signing_alg_values_supported": ["ES384"]},
        {"cryptographic_binding_methods_supported": ["did:key"]},
        {"proof_types_supported": {"attestation": {}}},
        {"proof_types_supported": {"jwt": {"proof_signing_alg_values_supported": ["EdDSA"]}}},
        {
            "proof_types_supported": {
                "jwt": {"proof_signing_alg_values_supported": ["ES256"], "key_attestations_required": {}}
            }
        },
    ],
)
def test_configurations_we_cannot_use_are_left_out(members: dict[str, Any]) -> None:
    parsed = vci.parse_issuer_metadata(one_configuration(**members), issuer=ISSUER)
    assert parsed.configurations == {}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        metadata(credential_endpoint=None),
        metadata(credential_endpoint="http://issuer.test/credential"),
        metadata(nonce_endpoint=7),
        metadata(notification_endpoint="javascript:x"),
        metadata(batch_credential_issuance={}),
        metadata(batch_credential_issuance={"batch_size": 1}),
        metadata(batch_credential_issuance={"batch_size": 1001}),
        metadata(batch_credential_issuance={"batch_size": "30"}),
        metadata(display={}),
        metadata(display=[{"locale": "en"}]),
        metadata(credential_configurations_supported=None),
        metadata(credential_configurations_supported=[]),
        metadata(credential_configurations_supported={"a": 1}),
        metadata(credential_configurations_supported={f"c{i}": {} for i in range(201)}),
        one_configuration(format=None),
        one_configuration(vct=None),
        one_configuration(scope=7),
        one_configuration(credential_signing_alg_values_supported=None),
        one_configuration(cryptographic_binding_methods_supported="jwk"),
        one_configuration(proof_types_supported=None),
        one_configuration(credential_metadata=[]),
        b'{"x":"' + b"x" * (1 << 19) + b'"}',
    ],
)
def test_metadata_refused(data: bytes) -> None:
    with pytest.raises(MetadataInvalid):
        vci.parse_issuer_metadata(data, issuer=ISSUER)


def test_too_many_configurations_are_counted_before_they_are_read() -> None:
    data = metadata(credential_configurations_supported={f"c{i}": {"format": "other"} for i in range(201)})
    with pytest.raises(MetadataInvalid, match="more than 200"):
        vci.parse_issuer_metadata(data, issuer=ISSUER)


# --- Nonce


def test_nonce_round_trip() -> None:
    assert vci.parse_nonce_response(encoded(vci.nonce_response(C_NONCE))) == C_NONCE


@pytest.mark.parametrize("data", [b"", b"{}", b'{"c_nonce":""}', b'{"c_nonce":7}'])
def test_nonce_refused(data: bytes) -> None:
    with pytest.raises(ResponseInvalid):
        vci.parse_nonce_response(data)


# --- Proof


def proof(name: str = "holder", nonce: str = C_NONCE, audience: str = ISSUER, now: int = NOW) -> str:
    return vci.proof_jwt(holder_key(name), audience=audience, nonce=nonce, now=now)


def forged_proof(claims: dict[str, Any], header: dict[str, Any] | None = None) -> str:
    """A proof whose signature holds and whose content is ours to choose; ``None`` removes a claim."""
    good = {"aud": ISSUER, "iat": NOW, "nonce": C_NONCE}
    payload = {name: value for name, value in {**good, **claims}.items() if value is not None}
    chosen = {"jwk": holder_key().public.jwk()} if header is None else header
    return sign_compact(payload, typ=vci.PROOF_TYP, sign=holder_key().sign, header=chosen)


def test_proof_round_trip() -> None:
    verified = vci.verify_proof(proof(), audience=ISSUER, now=NOW)
    assert verified.key.point == holder_key().public.point
    assert verified.nonce == C_NONCE


@pytest.mark.parametrize("skew", [-60, 300])
def test_proof_within_the_time(skew: int) -> None:
    assert vci.verify_proof(proof(now=NOW - skew), audience=ISSUER, now=NOW).nonce == C_NONCE


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": None},
        {"aud": [ISSUER]},
        {"iat": None},
        {"iat": "1"},
        {"iat": True},
        {"nonce": None},
        {"nonce": ""},
        {"nonce": 7},
        {"nonce": "n" * 1025},
    ],
)
def test_proof_members(claims: dict[str, Any]) -> None:
    with pytest.raises(ProofInvalid):
        vci.verify_proof(forged_proof(claims), audience=ISSUER, now=NOW)


def test_proofs_of_a_batch() -> None:
    names = ("copy 1", "copy 2", "copy 3")
    verified = vci.verify_proofs([proof(name) for name in names], audience=ISSUER, now=NOW)
    assert [item.key.point for item in verified] == [holder_key(name).public.point for name in names]


def test_proofs_of_a_batch_answer_one_nonce() -> None:
    with pytest.raises(ProofInvalid):
        vci.verify_proofs([proof("copy 1"), proof("copy 2", nonce="other")], audience=ISSUER, now=NOW)


# --- Credential request


def test_credential_request_round_trip() -> None:
    for request in (
        vci.CredentialRequest("age-1.sd-jwt", ("p1", "p2")),
        vci.CredentialRequest(None, ("p1",), identifier="x"),
    ):
        body = encoded(vci.credential_request(request))
        assert vci.parse_credential_request(body, batch_size=2) == request


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b'{"credential_configuration_id":"a","credential_configuration_id":"a"}',
        encoded({"proofs": {"jwt": ["p"]}}),
        encoded({"credential_configuration_id": 7, "proofs": {"jwt": ["p"]}}),
        encoded({"credential_configuration_id": "", "proofs": {"jwt": ["p"]}}),
        encoded({"credential_configuration_id": "a", "proofs": ["p"]}),
    ],
)
def test_credential_request_refused(data: bytes) -> None:
    with pytest.raises(CredentialRequestInvalid):
        vci.parse_credential_request(data, batch_size=2)


def test_credential_request_size() -> None:
    body = encoded({"credential_configuration_id": "a", "proofs": {"jwt": ["p"]}, "x": "x" * 20_000})
    with pytest.raises(TooLarge):
        vci.parse_credential_request(body, batch_size=2)


def test_draft_proof_is_named() -> None:
    body = encoded({"credential_configuration_id": "a", "proof": {"proof_type": "jwt", "jwt": "p"}})
    with pytest.raises(CredentialRequestInvalid, match="proof is from a draft") as caught:
        vci.parse_credential_request(body, batch_size=2)
    assert '"proofs"' in caught.value.hint


# --- Credential response


def test_credential_response_round_trip() -> None:
    for notification_id in (None, "n-1"):
        body = encoded(vci.credential_response((b"a~b~", b"c"), notification_id))
        assert vci.parse_credential_response(body, expected=2) == vci.CredentialResponse(
            (b"a~b~", b"c"), notification_id
        )


def test_fewer_copies_than_proofs_are_accepted() -> None:
    body = encoded(vci.credential_response((b"a",), None))
    assert vci.parse_credential_response(body, expected=30).credentials == (b"a",)


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"credential": "a"},
        {"credentials": []},
        {"credentials": ["a"]},
        {"credentials": [{"credential": {}}]},
        {"credentials": [{"credential": ""}]},
        {"credentials": [{"credential": "香"}]},
        {"credentials": [{"credential": "a" * ((1 << 17) + 1)}]},
        {"credentials": [{"credential": "a"}, {"credential": "a"}]},
        {"credentials": [{"credential": "a"}, {"credential": "b"}, {"credential": "c"}]},
        {"credentials": [{"credential": "a"}], "notification_id": 7},
        {"credentials": [{"credential": "a"}], "transaction_id": "t"},
        {"transaction_id": "t", "interval": 5},
    ],
)
def test_credential_response_refused(body: Any) -> None:
    with pytest.raises(ResponseInvalid):
        vci.parse_credential_response(encoded(body), expected=2)


def test_deferred_issuance_is_named() -> None:
    with pytest.raises(ResponseInvalid, match="deferred"):
        vci.parse_credential_response(b'{"transaction_id":"t","interval":5}', expected=1)


# --- Notification


@pytest.mark.parametrize("event", vci.EVENTS)
def test_notification_round_trip(event: vci.Event) -> None:
    message = vci.Notification("n-1", event)
    assert vci.parse_notification(encoded(vci.notification(message))) == message


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b'{"notification_id":"n"}',
        b'{"event":"credential_accepted"}',
        b'{"notification_id":"n","event":"credential_lost"}',
        b'{"notification_id":7,"event":"credential_accepted"}',
    ],
)
def test_notification_refused(data: bytes) -> None:
    with pytest.raises(NotificationInvalid) as caught:
        vci.parse_notification(data)
    assert caught.value.protocol == "invalid_notification_request"
