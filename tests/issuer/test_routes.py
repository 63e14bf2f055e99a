"""The issuer over HTTP: OpenID4VCI 1.0 from offer to notification, and what it refuses."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from issuer_fixture import PEOPLE, Desk, Granted, new_key
from pki_fixture import ISSUER, NOW, trust
from werkzeug.test import TestResponse

from credentials.calendar import DAY
from credentials.encoding import b64u, dump_json
from credentials.errors import StoreUnavailable
from credentials.hkid import Hkid
from credentials.jose import sign_compact
from issuer.app import IssuerSettings, create_app, load_status_signer
from issuer.limits import Buckets, Rate
from issuer.office import Enrolled
from issuer.publishing import publication, put
from issuer.routes import Limits
from openid4vc import oauth, vci
from openid4vc.uris import parse_query
from revocation.token import open_token

IDS = ("age-1.sd-jwt", "age-1.mdoc", "residency-1.sd-jwt", "residency-1.mdoc")
VERIFIER = "v" * 43
NOT_ASKED_WELL = ("credential_request_invalid", "invalid_credential_request")
REDIRECT = "http://127.0.0.1:8403/signed-in"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture
def adult(desk: Desk) -> Enrolled:
    return desk.enrol("adult")


@pytest.fixture
def grant(desk: Desk, adult: Enrolled) -> Granted:
    return desk.redeem(adult.id, IDS)


def assert_refused(answer: TestResponse, code: str, error: str, status: int = 400) -> None:
    """Exactly this refusal, in ASCII, and nothing about the person in it."""
    body = answer.get_json()
    assert (body["code"], body["error"], answer.status_code) == (code, error, status)
    assert answer.headers["Cache-Control"] == "no-store"
    assert body["error_description"].isascii()
    assert_silent(answer.data)


def assert_silent(data: bytes) -> None:
    for person in PEOPLE:
        assert isinstance(person.identity, Hkid)
        for value in (person.identity.canonical, person.family_name, person.name_zh, str(person.birth)):
            assert value.encode() not in data


def publish(desk: Desk) -> None:
    signer = load_status_signer(desk.place, production=False)
    files = publication(desk.issuer, signer=signer, trust_list=desk.place.trust_list.read_bytes())
    assert len(list(put(files, desk.place.published))) == len(files)


# --- The journey


def test_metadata_says_what_it_is(desk: Desk) -> None:
    answer = desk.get("/.well-known/openid-credential-issuer")
    body = answer.get_json()
    assert body["synthetic"] is True
    read = vci.parse_issuer_metadata(answer.data, issuer=ISSUER)
    assert read.batch_size == 30
    assert set(read.configurations) == set(desk.issuer.configurations)
    assert {read.credential_endpoint, read.nonce_endpoint, read.notification_endpoint} == {
        f"{ISSUER}/credential",
        f"{ISSUER}/nonce",
        f"{ISSUER}/notification",
    }
    server = oauth.parse_authorization_server(
        desk.get("/.well-known/oauth-authorization-server").data, issuer=ISSUER
    )
    assert server.token_endpoint == f"{ISSUER}/token"


def test_type_metadata_is_at_the_end_of_every_vct(desk: Desk) -> None:
    for type_ in desk.issuer.catalogue.types.values():
        answer = desk.get(type_.vct.removeprefix(desk.issuer.catalogue.base))
        assert answer.get_json()["vct"] == type_.vct
    assert_refused(desk.get("/vct/none/1"), "not_found", "invalid_request", 404)


@pytest.mark.parametrize("id", IDS)
def test_pre_authorized_journey(desk: Desk, adult: Enrolled, id: str) -> None:
    """Offer by reference, code and transaction code, token, nonce, batch; each copy verifies for its key."""
    grant = desk.redeem(adult.id, [id])
    keys = [new_key() for _ in range(5)]
    answer = desk.ask(grant, id, keys)
    read = [desk.read(copy, key, id) for copy, key in zip(answer.credentials, keys, strict=True)]
    assert [one.holder for one in read] == [key.public.thumbprint() for key in keys]
    assert {one.issuer for one in read} == {ISSUER}
    if id.startswith("residency"):
        indices = [one.status.index for one in read if one.status]
        assert len(set(indices)) == 5
        assert {one.status.uri for one in read if one.status} == {f"{ISSUER}/status/residency-1/2026-11-22"}
    else:
        assert {one.status for one in read} == {None}
    event = {"notification_id": answer.notification_id, "event": "credential_accepted"}
    assert desk.send(grant, event, path="/notification").status_code == 204


def authorize_fields(**members: Any) -> dict[str, str]:
    fields: dict[str, Any] = {
        "response_type": "code",
        "client_id": "bauhinia-wallet",
        "redirect_uri": REDIRECT,
        "state": "state-of-the-wallet",
        "code_challenge": oauth.code_challenge(VERIFIER),
        "code_challenge_method": "S256",
        "scope": "age-1 residency-1",
    }
    return {name: value for name, value in {**fields, **members}.items() if value is not None}


def sign_in(desk: Desk, enrolled: Enrolled, *, passcode: str | None = None, **members: Any) -> TestResponse:
    fields = authorize_fields(**members)
    page = desk.get("/authorize", query_string=fields)
    assert page.status_code == 200, page.data
    with desk.client.session_transaction(base_url=ISSUER) as session:
        token = session["csrf"]
    typed = {"sign_in_code": enrolled.sign_in_code, "passcode": passcode or enrolled.passcode}
    return desk.post("/authorize", data={**fields, **typed, "csrf_token": token})


def code_of(answer: TestResponse) -> str:
    assert answer.status_code == 303, answer.data
    query = answer.location.partition("?")[2]
    return oauth.parse_code_response(parse_query(query), state="state-of-the-wallet", issuer=ISSUER)


def code_form(earned: str, **members: Any) -> dict[str, str]:
    fields = oauth.token_form(oauth.CodeGrant(earned, REDIRECT, VERIFIER, "bauhinia-wallet"))
    return {name: value for name, value in {**fields, **members}.items() if value is not None}


@pytest.mark.parametrize("id", ["age-1.sd-jwt", "residency-1.mdoc"])
def test_authorization_code_journey(desk: Desk, adult: Enrolled, id: str) -> None:
    """Sign-in page with PKCE and `iss` in the answer, from an offer with an issuer state."""
    made = desk.issuer.offer(adult.id, [id], grant_type="authorization-code")
    assert made.tx_code is None
    offer = vci.parse_offer_link(made.by_value)
    assert isinstance(offer, vci.Offer)
    assert offer.authorization_code is not None
    code = code_of(sign_in(desk, adult, issuer_state=offer.authorization_code.issuer_state))
    key = new_key()
    answer = desk.token(code_form(code), key)
    read = oauth.parse_token_response(answer.data)
    assert read.scope == (id.split(".")[0],), "an offer bounds the scope that is asked for"
    grant = Granted(read.access_token, read.refresh_token, key)
    holder = new_key()
    (copy,) = desk.ask(grant, id, [holder]).credentials
    assert desk.read(copy, holder, id).issuer == ISSUER


def test_a_refill_with_the_refresh_token(desk: Desk, grant: Granted) -> None:
    """Next day, next window: the same grant fetches fresh copies."""
    assert grant.refresh_token is not None
    first = desk.ask(grant, "age-1.mdoc", [key := new_key()])
    old = desk.read(first.credentials[0], key, "age-1.mdoc").valid
    desk.clock.now += DAY
    answer = desk.token(oauth.token_form(oauth.RefreshGrant(grant.refresh_token)), grant.key)
    read = oauth.parse_token_response(answer.data)
    assert read.refresh_token is None
    again = desk.ask(Granted(read.access_token, None, grant.key), "age-1.mdoc", [key := new_key()])
    new = desk.read(again.credentials[0], key, "age-1.mdoc").valid
    assert (new.start - old.start, new.end - old.end) == (DAY, DAY)


def test_a_stolen_refresh_token_is_worth_nothing(desk: Desk, grant: Granted) -> None:
    form = oauth.token_form(oauth.RefreshGrant(grant.refresh_token or ""))
    assert_refused(desk.token(form, new_key()), "grant_invalid", "invalid_grant")


# --- Retry


def test_a_retry_gets_the_same_bytes(desk: Desk, grant: Granted) -> None:
    """Same token, DPoP key and body: the answer that was lost, to the byte, and nothing issued twice."""
    body = desk.body("residency-1.mdoc", [new_key(), new_key()])
    first = desk.send(grant, body)
    before = desk.counts()
    assert desk.send(grant, body).data == first.data
    assert desk.counts() == before
    # Another process answers the same.
    desk.client = create_app(desk.place.data, clock=desk.clock).test_client()
    assert desk.send(grant, body).data == first.data


def test_the_same_request_at_once_gets_one_answer(desk: Desk, grant: Granted) -> None:
    """Replay storm (G6): eight at once, one issuance, the same bytes for all."""
    body = desk.body("residency-1.mdoc", [new_key(), new_key()])
    proofs = [desk.proof(grant.key, "/credential", token=grant.access_token) for _ in range(8)]

    def send(proof: str) -> bytes:
        headers = {"Authorization": f"DPoP {grant.access_token}", "DPoP": proof}
        return desk.app.test_client().post("/credential", base_url=ISSUER, json=body, headers=headers).data

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(send, proofs))
    assert len(set(answers)) == 1
    assert desk.counts()["copies"] == 2
    assert desk.counts()["responses"] == 1


def test_a_fault_of_ours_says_nothing_on_the_wire(
    desk: Desk, grant: Granted, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise StoreUnavailable("cannot open /secret/place")

    monkeypatch.setattr(desk.store, "record", broken)
    answer = desk.send(grant, desk.body("age-1.mdoc", [new_key()]))
    assert_refused(answer, "store_unavailable", "temporarily_unavailable", 503)
    assert b"secret" not in answer.data


def test_another_body_with_the_same_nonce_is_refused(desk: Desk, grant: Granted) -> None:
    nonce, key = desk.nonce(), new_key()
    assert desk.send(grant, desk.body("age-1.mdoc", [key], nonce=nonce)).status_code == 200
    before = desk.counts()
    changed = desk.body("age-1.mdoc", [key, new_key()], nonce=nonce)
    assert_refused(desk.send(grant, changed), "credential_nonce_invalid", "invalid_nonce")
    assert desk.counts() == before


def test_a_retry_with_another_token_or_key_is_refused(desk: Desk, adult: Enrolled, grant: Granted) -> None:
    body = desk.body("age-1.mdoc", [new_key()])
    assert desk.send(grant, body).status_code == 200
    other = desk.redeem(adult.id, IDS)
    assert_refused(desk.send(other, body), "credential_nonce_invalid", "invalid_nonce")
    assert_refused(desk.send(grant, body, key=new_key()), "token_invalid", "invalid_token", 401)


def test_a_stored_answer_dies_with_its_nonce(desk: Desk, adult: Enrolled) -> None:
    """At most ten minutes; then the retry is an ordinary request with an old nonce."""
    body = desk.body("age-1.mdoc", [new_key()])
    desk.clock.now += 290
    grant = desk.redeem(adult.id, IDS)
    first = desk.send(grant, body)
    assert first.status_code == 200
    desk.clock.now += 309
    assert desk.send(grant, body).data == first.data
    desk.clock.now += 1
    assert desk.send(grant, body).status_code == 400
    desk.store.purge(now=desk.clock.now)
    assert desk.counts()["responses"] == 0


# --- Hostile: proofs


@pytest.mark.hostile("I1")
@pytest.mark.parametrize(
    "proofs", [None, {}, {"jwt": []}, {"jwt": ["", "x"]}, {"jwt": "x"}, {"jwt": [None]}, "one bad"]
)
def test_i1_no_proof_or_one_bad(desk: Desk, grant: Granted, proofs: Any) -> None:
    body = desk.body("age-1.mdoc", [new_key(), new_key()])
    if proofs == "one bad":
        head, payload, signature = body["proofs"]["jwt"][1].split(".")
        body["proofs"]["jwt"][1] = f"{head}.{payload}.{signature[::-1]}"
    elif proofs is None:
        del body["proofs"]
    else:
        body["proofs"] = proofs
    before = desk.counts()
    assert_refused(desk.send(grant, body), "proof_invalid", "invalid_proof")
    assert desk.counts() == before


def _dpop_nonce(desk: Desk) -> str:
    from issuer.nonces import dpop_nonce

    return dpop_nonce(desk.issuer.secrets.nonce, now=desk.clock.now, randomness=os.urandom)


def _anothers_nonce(desk: Desk) -> str:
    """Fetched with another wallet's DPoP proof."""
    answer = desk.post("/nonce", headers={"DPoP": desk.proof(new_key(), "/nonce")})
    return vci.parse_nonce_response(answer.data)


@pytest.mark.hostile("I2")
@pytest.mark.parametrize(
    "nonce",
    [lambda _: "unknown", lambda _: b64u(os.urandom(41)), _dpop_nonce, _anothers_nonce],
    ids=["unknown", "random", "dpop", "another session"],
)
def test_i2_nonce_not_ours(desk: Desk, grant: Granted, nonce: Callable[[Desk], str]) -> None:
    body = desk.body("age-1.mdoc", [new_key()], nonce=nonce(desk))
    before = desk.counts()
    assert_refused(desk.send(grant, body), "credential_nonce_invalid", "invalid_nonce")
    assert desk.counts() == before


@pytest.mark.hostile("I2")
def test_i2_nonce_expired(desk: Desk, adult: Enrolled) -> None:
    nonce = desk.nonce()
    desk.clock.now += 600
    body = desk.body("age-1.mdoc", [new_key()], nonce=nonce)
    assert_refused(desk.send(desk.redeem(adult.id, IDS), body), "credential_nonce_invalid", "invalid_nonce")


def test_a_nonce_of_ones_own_session_is_good(desk: Desk, grant: Granted) -> None:
    answer = desk.post("/nonce", headers={"DPoP": desk.proof(grant.key, "/nonce")})
    nonce = vci.parse_nonce_response(answer.data)
    assert desk.send(grant, desk.body("age-1.mdoc", [new_key()], nonce=nonce)).status_code == 200


@pytest.mark.hostile("I3")
@pytest.mark.parametrize("flaw", ["signature", "alg", "typ", "aud", "stale", "future"])
def test_i3_proof_not_good(desk: Desk, grant: Granted, flaw: str) -> None:
    key, nonce = new_key(), desk.nonce()
    spoiled: dict[str, dict[str, Any]] = {
        "aud": {"aud": "https://other.test"},
        "stale": {"iat": NOW - 301},
        "future": {"iat": NOW + 61},
    }
    claims = {"aud": ISSUER, "iat": NOW, "nonce": nonce, **spoiled.get(flaw, {})}
    typ = "jwt" if flaw == "typ" else vci.PROOF_TYP
    jwt = sign_compact(claims, typ=typ, sign=key.sign, header={"jwk": key.public.jwk()})
    if flaw == "signature":
        jwt = jwt[:-8] + ("AAAAAAAA" if jwt[-8:] != "AAAAAAAA" else "BBBBBBBA")
    if flaw == "alg":
        header = b64u(dump_json({"alg": "none", "typ": typ, "jwk": key.public.jwk()}))
        jwt = f"{header}.{jwt.split('.')[1]}."
    body = {"credential_configuration_id": "age-1.mdoc", "proofs": {"jwt": [jwt]}}
    before = desk.counts()
    assert_refused(desk.send(grant, body), "proof_invalid", "invalid_proof")
    assert desk.counts() == before


@pytest.mark.hostile("I4")
def test_i4_same_key_twice_in_a_batch(desk: Desk, grant: Granted) -> None:
    key = new_key()
    before = desk.counts()
    answer = desk.send(grant, desk.body("age-1.mdoc", [key, new_key(), key]))
    assert_refused(answer, "proof_invalid", "invalid_proof")
    assert desk.counts() == before


@pytest.mark.hostile("I4")
@pytest.mark.parametrize("holder", ["another", "same"])
def test_i4_key_bound_already(desk: Desk, grant: Granted, holder: str) -> None:
    """A copy's key is never used for a second copy, by nobody, in no type and no format."""
    key = new_key()
    desk.ask(grant, "residency-1.sd-jwt", [key])
    other = desk.redeem(desk.enrol("elder").id, IDS) if holder == "another" else grant
    before = desk.counts()
    answer = desk.send(other, desk.body("age-1.mdoc", [new_key(), key]))
    assert_refused(answer, "proof_invalid", "invalid_proof")
    assert desk.counts() == before


@pytest.mark.hostile("I5")
@pytest.mark.parametrize("extra", ["private", "kid", "x5c"])
def test_i5_key_said_badly(desk: Desk, grant: Granted, extra: str) -> None:
    key = new_key()
    jwk: dict[str, Any] = dict(key.public.jwk())
    header: dict[str, Any] = {"jwk": jwk}
    if extra == "private":
        jwk["d"] = b64u(bytes(31) + b"\1")
    else:
        header[extra] = "did:example:1" if extra == "kid" else ["AA=="]
    payload = {"aud": ISSUER, "iat": NOW, "nonce": desk.nonce()}
    jwt = sign_compact(payload, typ=vci.PROOF_TYP, sign=key.sign, header=header)
    body = {"credential_configuration_id": "age-1.mdoc", "proofs": {"jwt": [jwt]}}
    assert_refused(desk.send(grant, body), "proof_invalid", "invalid_proof")


@pytest.mark.hostile("I6")
def test_i6_holder_is_never_taken_from_iss(desk: Desk, grant: Granted) -> None:
    """A proof that claims to be somebody else's (`iss`, `sub`) binds the key it proves and nothing more."""
    elder = desk.enrol("elder")
    key = new_key()
    payload = {"iss": elder.id, "sub": elder.id, "aud": ISSUER, "iat": NOW, "nonce": desk.nonce()}
    jwt = sign_compact(payload, typ=vci.PROOF_TYP, sign=key.sign, header={"jwk": key.public.jwk()})
    body = {"credential_configuration_id": "age-1.sd-jwt", "proofs": {"jwt": [jwt]}}
    answer = vci.parse_credential_response(desk.send(grant, body).data, expected=1)
    read = desk.read(answer.credentials[0], key, "age-1.sd-jwt")
    assert read.claims["age_over_60"] is False, "the person of the token, who is 41"
    assert read.holder == key.public.thumbprint()


@pytest.mark.hostile("I7")
@pytest.mark.parametrize(
    ("members", "code", "error"),
    [
        (
            {"credential_configuration_id": "none.mdoc"},
            "configuration_unknown",
            "unknown_credential_configuration",
        ),
        ({"credential_configuration_id": "base-1.mdoc"}, *NOT_ASKED_WELL),
        (
            {"credential_configuration_id": None, "credential_identifier": "x"},
            "identifier_unknown",
            "unknown_credential_identifier",
        ),
        ({"credential_identifier": "x"}, *NOT_ASKED_WELL),
        ({"credential_configuration_id": None}, *NOT_ASKED_WELL),
    ],
)
def test_i7_configuration_unknown(
    desk: Desk, grant: Granted, members: dict[str, Any], code: str, error: str
) -> None:
    body = {**desk.body("age-1.mdoc", [new_key()]), **members}
    before = desk.counts()
    answer = desk.send(grant, {name: value for name, value in body.items() if value is not None})
    assert_refused(answer, code, error)
    assert desk.counts() == before


# --- Hostile: grants


def pre_authorized(desk: Desk, enrolled: Enrolled) -> tuple[str, str]:
    code, tx_code = desk.offer(enrolled.id, ["age-1.mdoc"])
    assert tx_code is not None
    return code, tx_code


def redeem_form(code: str, tx_code: str | None) -> dict[str, str]:
    return oauth.token_form(oauth.PreAuthorizedGrant(code, tx_code))


@pytest.mark.hostile("I11")
def test_i11_code_replayed_or_on_a_second_device(desk: Desk, adult: Enrolled) -> None:
    code, tx_code = pre_authorized(desk, adult)
    first = new_key()
    assert desk.token(redeem_form(code, tx_code), first).status_code == 200
    before = desk.counts()
    for key in (first, new_key()):
        assert_refused(desk.token(redeem_form(code, tx_code), key), "grant_invalid", "invalid_grant")
    assert desk.counts() == before


@pytest.mark.hostile("I11")
def test_i11_wrong_tx_code_locks(desk: Desk, adult: Enrolled) -> None:
    """Five wrong tries end the offer; the right code does not help after that, not even at reading it."""
    code, tx_code = pre_authorized(desk, adult)
    wrong = f"{(int(tx_code) + 1) % 10**6:06}"
    for typed in (wrong, None, "1", wrong):
        assert_refused(desk.token(redeem_form(code, typed), new_key()), "tx_code_invalid", "invalid_grant")
    assert_refused(desk.token(redeem_form(code, wrong), new_key()), "tx_code_locked", "invalid_grant")
    assert_refused(desk.token(redeem_form(code, tx_code), new_key()), "tx_code_locked", "invalid_grant")
    assert desk.counts()["tokens"] == 0


@pytest.mark.hostile("I11")
def test_i11_code_expired_unknown_or_of_another_kind(desk: Desk, adult: Enrolled) -> None:
    code, tx_code = pre_authorized(desk, adult)
    made = desk.issuer.offer(adult.id, ["age-1.mdoc"], grant_type="authorization-code")
    state = desk.issuer.offer_code(made.id)
    for bad in (state, "x", code[:-1]):
        assert_refused(desk.token(redeem_form(bad, tx_code), new_key()), "grant_invalid", "invalid_grant")
    desk.clock.now += 600
    assert_refused(desk.token(redeem_form(code, tx_code), new_key()), "grant_invalid", "invalid_grant")
    assert desk.counts()["tokens"] == 0


def test_an_offer_can_be_read_again_until_it_is_spent(desk: Desk, adult: Enrolled) -> None:
    made = desk.issuer.offer(adult.id, ["age-1.mdoc"])
    path = f"/offers/{made.id}"
    assert desk.get(path).data == desk.get(path).data
    desk.clock.now += 600
    assert_refused(desk.get(path), "offer_invalid", "invalid_request")


@pytest.mark.hostile("I13")
@pytest.mark.parametrize(
    ("members", "code", "error"),
    [
        ({"url": f"{ISSUER}/token"}, "dpop_invalid", "invalid_dpop_proof"),
        ({"url": "https://other.test/credential"}, "dpop_invalid", "invalid_dpop_proof"),
        ({"method": "GET"}, "dpop_invalid", "invalid_dpop_proof"),
        ({"access_token": "other"}, "dpop_invalid", "invalid_dpop_proof"),
        ({"access_token": None}, "dpop_invalid", "invalid_dpop_proof"),
        ({"now": NOW - 301}, "dpop_invalid", "invalid_dpop_proof"),
        ({"now": NOW + 61}, "dpop_invalid", "invalid_dpop_proof"),
        ({"nonce": "not ours"}, "dpop_nonce_required", "use_dpop_nonce"),
    ],
)
def test_i13_dpop_proof_for_something_else(
    desk: Desk, grant: Granted, members: dict[str, Any], code: str, error: str
) -> None:
    body = desk.body("age-1.mdoc", [new_key()])
    arguments = {"token": grant.access_token, **members}
    if "access_token" in members:
        arguments = {"token": members["access_token"]}
    headers = {
        "Authorization": f"DPoP {grant.access_token}",
        "DPoP": desk.proof(grant.key, "/credential", **arguments),
    }
    before = desk.counts()
    answer = desk.post("/credential", json=body, headers=headers)
    assert_refused(answer, code, error, 401)
    assert answer.headers["WWW-Authenticate"] == f'DPoP algs="ES256", error="{error}"'
    assert desk.counts() == before


@pytest.mark.hostile("I13")
def test_i13_dpop_proof_replayed(desk: Desk, grant: Granted) -> None:
    headers = {
        "Authorization": f"DPoP {grant.access_token}",
        "DPoP": desk.proof(grant.key, "/credential", token=grant.access_token),
    }
    body = desk.body("age-1.mdoc", [new_key()])
    assert desk.post("/credential", json=body, headers=headers).status_code == 200
    answer = desk.post("/credential", json=body, headers=headers)
    assert_refused(answer, "dpop_invalid", "invalid_dpop_proof", 401)


@pytest.mark.hostile("I13")
@pytest.mark.parametrize("number", [0, 2])
def test_i13_dpop_header_missing_or_twice(desk: Desk, grant: Granted, number: int) -> None:
    proofs = [("DPoP", desk.proof(grant.key, "/credential", token=grant.access_token)) for _ in range(number)]
    headers = [("Authorization", f"DPoP {grant.access_token}"), *proofs]
    answer = desk.post("/credential", json=desk.body("age-1.mdoc", [new_key()]), headers=headers)
    assert_refused(answer, "dpop_invalid", "invalid_dpop_proof", 401)


@pytest.mark.hostile("I13")
@pytest.mark.parametrize("how", ["bearer", "query", "none", "unknown", "refresh"])
def test_i13_access_token_elsewhere(desk: Desk, grant: Granted, how: str) -> None:
    token = {"unknown": "unknown", "refresh": grant.refresh_token or ""}.get(how, grant.access_token)
    headers = {
        "DPoP": desk.proof(grant.key, "/credential", token=token),
        "Authorization": f"{'Bearer' if how == 'bearer' else 'DPoP'} {token}",
    }
    if how == "none":
        del headers["Authorization"]
    path = f"/credential?access_token={token}" if how == "query" else "/credential"
    before = desk.counts()
    answer = desk.post(path, json=desk.body("age-1.mdoc", [new_key()]), headers=headers)
    assert_refused(answer, "token_invalid", "invalid_token", 401)
    assert desk.counts() == before


@pytest.mark.hostile("I13")
def test_i13_token_of_another_key_or_expired(desk: Desk, grant: Granted) -> None:
    body = desk.body("age-1.mdoc", [new_key()])
    assert_refused(desk.send(grant, body, key=new_key()), "token_invalid", "invalid_token", 401)
    desk.clock.now += 600
    assert_refused(
        desk.send(grant, desk.body("age-1.mdoc", [new_key()])), "token_invalid", "invalid_token", 401
    )


@pytest.mark.hostile("I15")
@pytest.mark.parametrize(
    "members",
    [
        {"code_challenge": None},
        {"code_challenge_method": None},
        {"code_challenge_method": "plain"},
        {"code_challenge": "short"},
    ],
)
def test_i15_pkce_missing_or_plain(desk: Desk, members: dict[str, Any]) -> None:
    answer = desk.get("/authorize", query_string=authorize_fields(**members))
    assert_refused(answer, "pkce_invalid", "invalid_grant")


@pytest.mark.hostile("I15")
def test_i15_pkce_wrong_verifier_spends_the_code(desk: Desk, adult: Enrolled) -> None:
    code = code_of(sign_in(desk, adult))
    wrong = desk.token(code_form(code, code_verifier="w" * 43), new_key())
    assert_refused(wrong, "pkce_invalid", "invalid_grant")
    assert_refused(desk.token(code_form(code), new_key()), "grant_invalid", "invalid_grant")
    assert desk.counts()["tokens"] == 0


@pytest.mark.hostile("I15")
@pytest.mark.parametrize(
    ("members", "code", "error"),
    [
        ({"redirect_uri": f"{REDIRECT}/"}, "grant_invalid", "invalid_grant"),
        ({"client_id": "another"}, "grant_invalid", "invalid_grant"),
        ({"code_verifier": None}, "pkce_invalid", "invalid_grant"),
        ({"code": "x"}, "grant_invalid", "invalid_grant"),
        ({"grant_type": "password"}, "grant_type_unsupported", "unsupported_grant_type"),
    ],
)
def test_i15_code_of_somebody_else(
    desk: Desk, adult: Enrolled, members: dict[str, Any], code: str, error: str
) -> None:
    earned = code_of(sign_in(desk, adult))
    assert_refused(desk.token(code_form(earned, **members), new_key()), code, error)
    assert desk.counts()["tokens"] == 0


@pytest.mark.hostile("I15")
def test_i15_code_replay_withdraws_the_tokens(desk: Desk, adult: Enrolled) -> None:
    code, key = code_of(sign_in(desk, adult)), new_key()
    read = oauth.parse_token_response(desk.token(code_form(code), key).data)
    assert_refused(desk.token(code_form(code), new_key()), "grant_invalid", "invalid_grant")
    stolen = Granted(read.access_token, None, key)
    answer = desk.send(stolen, desk.body("age-1.mdoc", [new_key()]))
    assert_refused(answer, "token_invalid", "invalid_token", 401)


@pytest.mark.hostile("I15")
def test_i15_code_expired(desk: Desk, adult: Enrolled) -> None:
    code = code_of(sign_in(desk, adult))
    desk.clock.now += 60
    assert_refused(desk.token(code_form(code), new_key()), "grant_invalid", "invalid_grant")


@pytest.mark.hostile("I17")
def test_i17_response_encryption_is_not_offered(desk: Desk, grant: Granted) -> None:
    jwk = {**new_key().public.jwk(), "alg": "ECDH-ES"}
    body = {
        **desk.body("age-1.mdoc", [new_key()]),
        "credential_response_encryption": {"jwk": jwk, "enc": "A128CBC-HS256"},
    }
    assert_refused(desk.send(grant, body), "encryption_parameters_invalid", "invalid_encryption_parameters")


@pytest.mark.hostile("I18")
def test_i18_entitlement_withdrawn_between_token_and_request(
    desk: Desk, adult: Enrolled, grant: Granted
) -> None:
    """Lost phone: the token that the thief holds is worth nothing from that moment."""
    body = desk.body("age-1.mdoc", [new_key()])
    desk.issuer.revoke(adult.id, end=True)
    assert_refused(desk.send(grant, body), "token_invalid", "invalid_token", 401)
    form = oauth.token_form(oauth.RefreshGrant(grant.refresh_token or ""))
    assert_refused(desk.token(form, grant.key), "grant_invalid", "invalid_grant")


@pytest.mark.hostile("I18")
def test_i18_consent_withdrawn(desk: Desk) -> None:
    minor = desk.enrol("minor", guardian=True)
    grant = desk.redeem(minor.id, IDS)
    desk.store.withdraw_consent(minor.id)
    before = desk.counts()
    answer = desk.send(grant, desk.body("age-1.mdoc", [new_key()]))
    assert_refused(answer, "guardian_consent_missing", "credential_request_denied")
    assert desk.counts() == before


@pytest.mark.hostile("I18")
def test_i18_forgotten_by_the_register(desk: Desk, grant: Granted) -> None:
    """The register is read at the moment of issuing; a person who is gone from it gets nothing."""
    import sqlite3

    with sqlite3.connect(desk.place.data / "register.sqlite") as register:
        register.execute("DELETE FROM people")
    answer = desk.send(grant, desk.body("age-1.mdoc", [new_key()]))
    assert_refused(answer, "person_unknown", "credential_request_denied")


# --- DPoP nonce


def test_dpop_nonce_challenge_at_the_token_endpoint(tmp_path: Path) -> None:
    """RFC 9449, 8: asked for, the proof comes again with the nonce of the answer."""
    desk = Desk(tmp_path, settings=IssuerSettings(ISSUER, require_dpop_nonce=True))
    code, tx_code = pre_authorized(desk, desk.enrol("adult"))
    key = new_key()
    first = desk.token(redeem_form(code, tx_code), key)
    assert_refused(first, "dpop_nonce_required", "use_dpop_nonce")
    nonce = first.headers["DPoP-Nonce"]
    assert desk.token(redeem_form(code, tx_code), key, nonce=nonce).status_code == 200


# --- Notification


def test_notifications_belong_to_their_grant(desk: Desk, adult: Enrolled, grant: Granted) -> None:
    answer = desk.ask(grant, "age-1.mdoc", [new_key()])
    event = {"notification_id": answer.notification_id, "event": "credential_deleted"}
    other = desk.redeem(adult.id, IDS)
    refused = desk.send(other, event, path="/notification")
    assert_refused(refused, "notification_unknown", "invalid_notification_id")
    bad = desk.send(grant, {**event, "event": "x"}, path="/notification")
    assert bad.get_json()["error"] == "invalid_notification_request"
    for _ in range(2):
        assert desk.send(grant, event, path="/notification").status_code == 204


# --- Rates


def test_too_many_requests_are_refused_before_any_work(desk: Desk, grant: Granted) -> None:
    tight = Buckets(Rate(per_second=0, burst=1))
    limits = Limits(tight, tight, tight, tight, tight, clock=lambda: 0.0)
    desk.app = create_app(desk.place.data, clock=desk.clock, limits=limits)
    desk.client = desk.app.test_client()
    assert desk.post("/nonce").status_code == 200
    assert_refused(desk.post("/nonce"), "rate_limited", "temporarily_unavailable", 429)
    assert_refused(
        desk.token(redeem_form("x", None), new_key()), "rate_limited", "temporarily_unavailable", 429
    )


# --- Status lists


def test_status_lists_are_negotiated_and_verify(desk: Desk, adult: Enrolled, grant: Granted) -> None:
    """Revoked copies read 1 after the next publication, in both encodings; their neighbours read 0."""
    keys = [new_key(), new_key()]
    answer = desk.ask(grant, "residency-1.mdoc", keys)
    status = [
        desk.read(c, k, "residency-1.mdoc").status for c, k in zip(answer.credentials, keys, strict=True)
    ]
    publish(desk)
    assert status[0] is not None
    path = status[0].uri.removeprefix(ISSUER)
    desk.issuer.revoke(adult.id, types=["residency/1"])

    def values(encoding: Any) -> list[int]:
        answer = desk.get(path, headers={"Accept": f"application/statuslist+{encoding}"})
        assert answer.mimetype == f"application/statuslist+{encoding}"
        assert "max-age" in answer.headers["Cache-Control"]
        opened = open_token(answer.data, encoding=encoding, trust=trust(), now=NOW)
        assert opened.uri == status[0].uri if status[0] else None
        return [opened.list.get(one.index) for one in status if one]

    assert values("jwt") == values("cwt") == [0, 0], "revoking takes effect with publishing"
    publish(desk)
    assert values("jwt") == values("cwt") == [1, 1]
    assert desk.get(path).mimetype == "application/statuslist+jwt"
    assert desk.get(path, headers={"Accept": "text/html"}).status_code == 415
    index = desk.get("/published/status/index.json").get_json()
    assert {ISSUER + path} <= set(index["status_lists"])
    assert desk.get("/published/trust-list.jwt").data == desk.place.trust_list.read_bytes()


@pytest.mark.parametrize(
    "path",
    [
        "/status/none/2026-11-22",
        "/status/residency-1/..%2f..%2fsecrets",
        "/published/../secrets.json",
        "/published/..%2fsecrets.json",
        "/published/.hidden.jwt",
        "/published/secrets.txt",
    ],
)
def test_nothing_but_what_is_published(desk: Desk, path: str) -> None:
    publish(desk)
    (desk.place.published / ".hidden.jwt").write_text("x")
    (desk.place.published / "secrets.txt").write_text("x")
    answer = desk.get(path)
    assert answer.status_code in (404, 503)
    assert b"record" not in answer.data


def test_publishing_is_all_or_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that fails half-way changes no published file and leaves no litter."""
    publish(desk)
    before = {path: path.read_bytes() for path in desk.place.published.rglob("*") if path.is_file()}
    desk.clock.now += 60
    written = iter(range(5))
    from web.keyfiles import replace_file as real

    def fails(path: Any, data: bytes) -> None:
        if next(written, None) is None:
            from credentials.errors import FileUnreadable

            raise FileUnreadable("cannot write: No space left on device")
        real(path, data)

    monkeypatch.setattr("issuer.publishing.replace_file", fails)
    with pytest.raises(Exception, match="No space left"):
        publish(desk)
    assert {path: path.read_bytes() for path in desk.place.published.rglob("*") if path.is_file()} == before


# --- What is not observable


@pytest.mark.hostile("V9")
def test_v9_no_number_in_logs_urls_or_answers(
    desk: Desk, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Everything an operator sees of a whole journey of the number itself, good and refused."""
    caplog.set_level(logging.DEBUG)
    enrolled = desk.enrol("adult")
    seen = []
    for id in ("hkid-number-1.sd-jwt", "base-1.mdoc"):
        made = desk.issuer.offer(enrolled.id, [id])
        seen += [made.uri, made.by_value]
        grant = desk.redeem(enrolled.id, [id])
        desk.ask(grant, id, [new_key()])
        desk.send(grant, desk.body(id, [new_key()], nonce="bad"))
        desk.send(grant, {"proofs": {}})
    assert isinstance(PEOPLE.adult.identity, Hkid)
    number = PEOPLE.adult.identity.canonical
    hashes = [hashlib.new(name, number.encode()).hexdigest() for name in ("md5", "sha1", "sha256")]
    out, err = capfd.readouterr()
    text = "\n".join([caplog.text, out, err, *seen, json.dumps(dict(desk.store.refusals()))])
    for value in (number, PEOPLE.adult.family_name, PEOPLE.adult.name_zh, *hashes, enrolled.passcode):
        assert value not in text


@pytest.mark.hostile("V5")
@pytest.mark.parametrize("id", ["residency-1.sd-jwt", "residency-1.mdoc"])
def test_v5_indices_of_a_batch_are_not_neighbours(desk: Desk, grant: Granted, id: str) -> None:
    """Ten indices out of a million, drawn independently: neither ordered nor close."""
    keys = [new_key() for _ in range(10)]
    answer = desk.ask(grant, id, keys)
    statuses = [desk.read(c, k, id).status for c, k in zip(answer.credentials, keys, strict=True)]
    indices = [status.index for status in statuses if status]
    assert len(set(indices)) == 10
    assert indices != sorted(indices)
    # Ten in a row would span 9; at random, less than 2^17 of 2^20 happens once in ten million.
    assert max(indices) - min(indices) > 1 << 17


@pytest.mark.hostile("V6")
@pytest.mark.parametrize("id", ["residency-1.sd-jwt", "residency-1.mdoc"])
def test_v6_everybody_has_the_same_number_of_digests(desk: Desk, id: str) -> None:
    from credentials.encoding import load_cbor, load_json_object, unb64u

    counts: set[Any] = set()
    for enrolled in (desk.enrol("adult"), desk.enrol("elder"), desk.enrol("minor", guardian=True)):
        (copy,) = desk.ask(desk.redeem(enrolled.id, [id]), id, [new_key()]).credentials
        if id.endswith("sd-jwt"):
            counts.add(len(load_json_object(unb64u(copy.split(b".")[1]))["_sd"]))
        else:
            mso = load_cbor(load_cbor(load_cbor(unb64u(copy))["issuerAuth"][2]).value)
            counts.add(tuple(sorted(len(digests) for digests in mso["valueDigests"].values())))
    assert len(counts) == 1


# --- Web


@pytest.mark.hostile("W11")
def test_w11_host_header_does_not_reach_metadata(desk: Desk) -> None:
    answer = desk.client.get("/.well-known/openid-credential-issuer", base_url="https://evil.test")
    assert_refused(answer, "host_refused", "invalid_request")


@pytest.mark.hostile("W13")
@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_w13_content_type_confusion(desk: Desk, grant: Granted, kind: str) -> None:
    headers = {
        "Authorization": f"DPoP {grant.access_token}",
        "DPoP": desk.proof(grant.key, "/credential", token=grant.access_token),
    }
    body = dump_json(desk.body("age-1.mdoc", [new_key()]))
    answer = desk.post("/credential", data=body, headers=headers, content_type=kind)
    assert_refused(answer, "media_type_refused", "invalid_request", 415)
    assert_refused(
        desk.post("/token", json={}, headers={"DPoP": desk.proof(new_key(), "/token")}),
        "media_type_refused",
        "invalid_request",
        415,
    )


@pytest.mark.hostile("C8")
def test_c8_body_too_large(desk: Desk, grant: Granted) -> None:
    headers = {
        "Authorization": f"DPoP {grant.access_token}",
        "DPoP": desk.proof(grant.key, "/credential", token=grant.access_token),
    }
    answer = desk.post("/credential", data=b"[" * (1 << 19), headers=headers, content_type="application/json")
    assert_refused(answer, "too_large", "invalid_request", 413)
