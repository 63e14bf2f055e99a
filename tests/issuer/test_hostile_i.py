"""Hostile cases of group I (OpenID4VCI) against the issuer, with its state: one test an id.

I8 (deferred issuance), I9 (presentation during issuance) and I14 (client attestation) are about features that
are not built; I10, I12 and I16 are the wallet's.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from issuer_fixture import (
    IDS,
    REDIRECT,
    Desk,
    Granted,
    assert_refused,
    authorize_fields,
    code_form,
    code_of,
    new_key,
    pre_authorized,
    redeem_form,
    sign_in,
)
from pki_fixture import ISSUER, NOW

from credentials.encoding import b64u, dump_json
from credentials.jose import sign_compact
from issuer.nonces import dpop_nonce
from issuer.office import Enrolled
from openid4vc import oauth, vci
from openid4vc.uris import parse_query

NOT_ASKED_WELL = ("credential_request_invalid", "invalid_credential_request")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture
def adult(desk: Desk) -> Enrolled:
    return desk.enrol("adult")


@pytest.fixture
def grant(desk: Desk, adult: Enrolled) -> Granted:
    return desk.redeem(adult.id, IDS)


# --- Proofs


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
    assert read.holder == key.public.point


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


# --- Grants and tokens


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
    for typed in (wrong, "0", "1", wrong):
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
    assert answer.status_code == 303
    fields = parse_query(answer.location.removeprefix(f"{REDIRECT}?"))
    assert fields["error"] == "invalid_request"
    assert (fields["state"], fields["iss"]) == ("state-of-the-wallet", ISSUER)
    assert desk.counts()["codes"] == 0


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
    with sqlite3.connect(desk.place.data / "register.sqlite") as register:
        register.execute("DELETE FROM people")
    answer = desk.send(grant, desk.body("age-1.mdoc", [new_key()]))
    assert_refused(answer, "person_unknown", "credential_request_denied")
