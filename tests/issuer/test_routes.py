"""The issuer over HTTP: OpenID4VCI 1.0 from offer to notification, and what it refuses."""

from __future__ import annotations

import hashlib
import json
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from issuer_fixture import (
    IDS,
    PEOPLE,
    Desk,
    Granted,
    assert_refused,
    code_form,
    code_of,
    new_key,
    pre_authorized,
    redeem_form,
    sign_in,
)
from pki_fixture import ISSUER, NOW, trust

from credentials.calendar import DAY
from credentials.encoding import dump_json
from credentials.errors import StoreUnavailable
from credentials.hkid import Hkid
from issuer.app import IssuerSettings, create_app, load_status_signer
from issuer.limits import Buckets, Rate
from issuer.office import Enrolled
from issuer.publishing import publication, put
from issuer.routes import Limits
from openid4vc import oauth, vci
from revocation.token import open_token


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture
def adult(desk: Desk) -> Enrolled:
    return desk.enrol("adult")


@pytest.fixture
def grant(desk: Desk, adult: Enrolled) -> Granted:
    return desk.redeem(adult.id, IDS)


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
    assert [one.holder for one in read] == [key.public.point for key in keys]
    assert {one.issuer for one in read} == {ISSUER}
    if id.startswith("residency"):
        indices = [one.status.index for one in read if one.status]
        assert len(set(indices)) == 5
        assert {one.status.uri for one in read if one.status} == {f"{ISSUER}/status/residency-1/2026-11-22"}
    else:
        assert {one.status for one in read} == {None}
    event = {"notification_id": answer.notification_id, "event": "credential_accepted"}
    assert desk.send(grant, event, path="/notification").status_code == 204


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
        answer = desk.app.test_client().post("/credential", base_url=ISSUER, json=body, headers=headers)
        return bytes(answer.data)

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
    assert desk.get(path, headers={"Accept": "text/html"}).status_code == 406
    assert_refused(desk.get(f"{path}?time={NOW}"), "status_time_unsupported", "invalid_request", 501)
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
    assert answer.status_code == 404
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
