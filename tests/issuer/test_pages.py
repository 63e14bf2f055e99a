"""The issuer's pages: sign-in, portal, lost phone; in both languages, and behind form tokens."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from issuer_fixture import PEOPLE, Desk, new_key
from pki_fixture import ISSUER
from werkzeug.test import TestResponse

from credentials.errors import StoreUnavailable
from credentials.hkid import Hkid
from issuer.app import IssuerSettings, create_app
from issuer.office import Enrolled
from openid4vc import oauth, vci
from openid4vc.uris import parse_query

REDIRECT = "http://127.0.0.1:8403/signed-in"
FIELDS = {
    "response_type": "code",
    "client_id": "bauhinia-wallet",
    "redirect_uri": REDIRECT,
    "state": "state-of-the-wallet",
    "code_challenge": oauth.code_challenge("v" * 43),
    "code_challenge_method": "S256",
    "scope": "age-1",
}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def submit(desk: Desk, path: str, form: dict[str, Any]) -> TestResponse:
    """Post a form as the browser that loaded the page would."""
    desk.get("/")
    with desk.client.session_transaction(base_url=ISSUER) as session:
        token = session.get("csrf", "")
    if not token:
        desk.get("/authorize", query_string=FIELDS)
        with desk.client.session_transaction(base_url=ISSUER) as session:
            token = session["csrf"]
    return desk.post(path, data={**form, "csrf_token": token})


def text(answer: TestResponse, id: str) -> str:
    found = re.search(rf'id="{id}"[^>]*>([^<]+)<', answer.text)
    assert found is not None
    return found[1]


def signed_in(desk: Desk, who: str = "adult") -> Enrolled:
    enrolled = desk.enrol(who, guardian=True)
    answer = submit(desk, "/sign-in", {"sign_in_code": enrolled.sign_in_code, "passcode": enrolled.passcode})
    assert (answer.status_code, answer.location) == (303, "/")
    return enrolled


# --- Portal


def test_a_resident_enrols_signs_in_and_gets_an_offer(desk: Desk) -> None:
    """The codes on the page are the ones that work; the offer on the page is the one a wallet redeems."""
    enrolled = submit(desk, "/enrol", {"person": "demo-adult"})
    assert enrolled.status_code == 200
    codes = {"sign_in_code": text(enrolled, "sign-in-code"), "passcode": text(enrolled, "passcode")}
    assert submit(desk, "/sign-in", {**codes, "passcode": codes["passcode"].lower()}).status_code == 303
    assert "<table>" not in desk.get("/").text
    page = submit(desk, "/offer", {"type": "age-1", "format": "mso_mdoc"})
    link = vci.parse_offer_link(text(page, "offer-uri").replace("&amp;", "&"))
    assert isinstance(link, str)
    offer = vci.parse_offer(desk.get(link.removeprefix(ISSUER)).data)
    assert offer.configuration_ids == ("age-1.mdoc",)
    assert "<svg" in page.text
    grant = oauth.PreAuthorizedGrant(offer.pre_authorized.code, text(page, "tx-code"))  # type: ignore[union-attr]
    assert desk.token(oauth.token_form(grant), new_key()).status_code == 200


def test_an_offer_to_sign_in_again(desk: Desk) -> None:
    signed_in(desk)
    page = submit(desk, "/offer", {"type": "age-1", "format": "dc+sd-jwt", "grant": "authorization-code"})
    assert 'id="tx-code"' not in page.text
    assert 'id="offer-link"' in page.text


def test_nothing_chosen(desk: Desk) -> None:
    signed_in(desk)
    answer = submit(desk, "/offer", {"format": "mso_mdoc"})
    assert answer.status_code == 400
    assert "Choose at least one credential" in answer.text


def test_types_without_entitlement_are_not_shown_and_not_given(desk: Desk) -> None:
    """A minor of 15 sees the junior library scheme, not the 60+ ones."""
    signed_in(desk, "minor")
    page = desk.get("/").text
    assert 'value="eligibility-library-junior-1"' in page
    assert 'value="eligibility-two-dollar-60-1"' not in page
    answer = submit(desk, "/offer", {"type": "eligibility-two-dollar-60-1", "format": "mso_mdoc"})
    assert answer.status_code == 403
    assert "not_entitled" in answer.text


@pytest.mark.parametrize(
    ("form", "status", "code"),
    [
        ({"person": "demo-minor"}, 403, "guardian_consent_missing"),
        ({"person": "nobody"}, 400, "request_invalid"),
        ({"person": "demo-minor", "guardian": "demo-exempt"}, 403, "guardian_consent_missing"),
        ({"hkid": "Q123456(7)"}, 403, "person_unknown"),
        ({"hkid": "A123456(3)"}, 403, "real_number_refused"),
        ({"hkid": "Q123456(Z)"}, 400, "hkid_malformed"),
        ({"hkid": "Q000004(1)"}, 400, "hkid_check_failed"),
    ],
)
def test_who_is_not_enrolled(desk: Desk, form: dict[str, str], status: int, code: str) -> None:
    answer = submit(desk, "/enrol", form)
    assert (answer.status_code, code in answer.text) == (status, True), answer.text
    assert form.get("hkid", "no number") not in answer.text
    assert desk.counts()["enrolments"] == 0


def test_enrolling_by_number_and_twice(desk: Desk) -> None:
    assert isinstance(PEOPLE.minor.identity, Hkid)
    number = PEOPLE.minor.identity
    guardian = PEOPLE.adult.identity
    assert isinstance(guardian, Hkid)
    form = {
        "hkid": f"{number.body}({number.check})",
        "guardian_hkid": f"{guardian.body}({guardian.check})",
    }
    assert submit(desk, "/enrol", form).status_code == 200
    answer = submit(desk, "/enrol", form)
    assert answer.status_code == 409
    assert "already_enrolled" in answer.text


def test_lost_phone(desk: Desk) -> None:
    """After one question everything is revoked, and the same person is enrolled anew with new codes."""
    old = signed_in(desk)
    grant = desk.redeem(old.id, ["residency-1.mdoc"])
    desk.ask(grant, "residency-1.mdoc", [new_key(), new_key()])
    assert "residency" in desk.get("/").text
    assert submit(desk, "/lost", {}).status_code == 200
    assert desk.store.enrolment(old.id).state == "active", "not before it was confirmed"
    answer = submit(desk, "/lost", {"confirm": "yes"})
    (listed,) = desk.store.lists(now=desk.clock.now)
    assert len(desk.store.marked(*listed)) == 2
    assert desk.store.enrolment(old.id).state == "revoked"
    assert desk.send(grant, {}).status_code == 401
    refused = submit(desk, "/sign-in", {"sign_in_code": old.sign_in_code, "passcode": old.passcode})
    assert refused.status_code == 403
    codes = {"sign_in_code": text(answer, "sign-in-code"), "passcode": text(answer, "passcode")}
    assert submit(desk, "/sign-in", codes).status_code == 303


def test_lost_phone_of_a_minor_keeps_the_consent(desk: Desk) -> None:
    signed_in(desk, "minor")
    answer = submit(desk, "/lost", {"confirm": "yes"})
    assert answer.status_code == 200
    assert 'id="sign-in-code"' in answer.text


def test_a_lost_phone_is_all_or_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that fails half-way has revoked nobody; the page can be sent again."""
    old = signed_in(desk)
    desk.ask(desk.redeem(old.id, ["residency-1.mdoc"]), "residency-1.mdoc", [new_key()])
    before = desk.counts()

    def fail(*_: object) -> None:
        raise StoreUnavailable("the database is full")

    with monkeypatch.context() as broken:
        broken.setattr(type(desk.store), "_withhold", fail)
        assert submit(desk, "/lost", {"confirm": "yes"}).status_code == 503
    assert desk.store.enrolment(old.id).state == "active"
    assert desk.counts() == before
    (listed,) = desk.store.lists(now=desk.clock.now)
    assert desk.store.marked(*listed) == ()
    assert submit(desk, "/lost", {"confirm": "yes"}).status_code == 200


def test_a_minor_without_consent_can_still_revoke(desk: Desk) -> None:
    """Whoever lost a phone gets everything revoked and codes, whatever may be issued after that."""
    old = signed_in(desk, "minor")
    desk.store.withdraw_consent(old.id)
    answer = submit(desk, "/lost", {"confirm": "yes"})
    assert 'id="sign-in-code"' in answer.text
    assert desk.store.enrolment(old.id).state == "revoked"
    codes = {"sign_in_code": text(answer, "sign-in-code"), "passcode": text(answer, "passcode")}
    anew = desk.issuer.sign_in(**{"code": codes["sign_in_code"], "passcode": codes["passcode"]})
    assert anew.consent is False


def test_signing_out_and_coming_back(desk: Desk) -> None:
    signed_in(desk)
    assert 'action="/lost"' in desk.get("/").text
    assert submit(desk, "/sign-out", {}).status_code == 303
    assert 'action="/lost"' not in desk.get("/").text
    for path in ("/offer", "/lost"):
        assert submit(desk, path, {"confirm": "yes"}).status_code == 403


def test_sign_in_locks_after_five_wrong_passcodes(desk: Desk) -> None:
    enrolled = desk.enrol("adult")
    wrong = {"sign_in_code": enrolled.sign_in_code, "passcode": "0000-0000"}
    for _ in range(5):
        assert submit(desk, "/sign-in", wrong).status_code == 403
    right = {"sign_in_code": enrolled.sign_in_code, "passcode": enrolled.passcode}
    answer = submit(desk, "/sign-in", right)
    assert (answer.status_code, "sign_in_refused" in answer.text) == (403, True)


def test_production_has_no_enrolment_by_web_page(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    from issuer.app import write_settings

    monkeypatch.setattr("issuer.app.refuse_development", lambda certificate: None)
    write_settings(desk.place, IssuerSettings(ISSUER, production=True))
    desk.client = create_app(desk.place.data, clock=desk.clock).test_client()
    assert 'action="/enrol"' not in desk.get("/").text
    assert submit(desk, "/enrol", {"person": "demo-adult"}).status_code == 404


# --- Authorization endpoint


def authorize(desk: Desk, enrolled: Enrolled, **members: Any) -> TestResponse:
    typed = {"sign_in_code": enrolled.sign_in_code, "passcode": enrolled.passcode}
    fields = {**FIELDS, **typed, **members}
    return submit(desk, "/authorize", {k: v for k, v in fields.items() if v is not None})


def test_the_sign_in_page_says_what_is_asked_for(desk: Desk) -> None:
    page = desk.get("/authorize", query_string=FIELDS)
    type_ = desk.issuer.catalogue.types["age/1"]
    assert type_.label["en"] in page.text
    assert type_.label["zh-Hant"] in desk.get("/authorize", query_string={**FIELDS, "lang": "zh-Hant"}).text
    # The browser may follow the redirect to the wallet, and nowhere else.
    assert "form-action 'self' http://127.0.0.1:8403;" in page.headers["Content-Security-Policy"]


def test_the_browser_returns_with_code_state_and_issuer(desk: Desk) -> None:
    answer = authorize(desk, desk.enrol("adult"))
    assert answer.status_code == 303
    assert answer.location.startswith(f"{REDIRECT}?")
    fields = parse_query(answer.location.partition("?")[2])
    assert set(fields) == {"code", "state", "iss"}
    assert fields["iss"] == ISSUER


def test_declining_tells_the_wallet(desk: Desk) -> None:
    answer = authorize(desk, desk.enrol("adult"), decline="yes")
    fields = parse_query(answer.location.partition("?")[2])
    assert (fields["error"], fields["state"], fields["iss"]) == ("access_denied", FIELDS["state"], ISSUER)
    assert desk.counts()["codes"] == 0


def test_a_wrong_passcode_stays_on_the_page(desk: Desk) -> None:
    answer = authorize(desk, desk.enrol("adult"), passcode="wrong")
    assert (answer.status_code, "sign_in_refused" in answer.text) == (403, True)
    assert 'name="state"' in answer.text
    assert "wrong" not in re.sub(r"is wrong", "", answer.text)


@pytest.mark.parametrize(
    ("state", "error"),
    [("unknown", "invalid_grant"), ("another's", "access_denied"), ("pre", "invalid_grant")],
)
def test_an_issuer_state_is_for_its_own_person(desk: Desk, state: str, error: str) -> None:
    adult, elder = desk.enrol("adult"), desk.enrol("elder")
    owner = elder if state == "another's" else adult
    grant: Any = "pre-authorized" if state == "pre" else "authorization-code"
    made = desk.issuer.offer(owner.id, ["age-1.mdoc"], grant_type=grant)
    issuer_state = "unknown" if state == "unknown" else desk.issuer.offer_code(made.id)
    answer = authorize(desk, adult, issuer_state=issuer_state)
    assert parse_query(answer.location.partition("?")[2])["error"] == error
    assert desk.counts()["codes"] == 0


def test_a_scheme_without_entitlement_is_refused_at_sign_in(desk: Desk) -> None:
    answer = authorize(desk, desk.enrol("adult"), scope="eligibility-two-dollar-60-1")
    fields = parse_query(answer.location.partition("?")[2])
    assert fields["error"] == "credential_request_denied"


@pytest.mark.hostile("W15")
@pytest.mark.parametrize(
    "uri",
    [
        "https://evil.test/cb",
        "http://127.0.0.1.evil.test/cb",
        "http://127.0.0.1@evil.test/cb",
        "javascript:alert(1)",
        "//evil.test",
        "",
    ],
)
def test_w15_redirect_uri_of_a_stranger(desk: Desk, uri: str) -> None:
    """Refused on a page of ours: the browser is never sent there, not even with an error."""
    enrolled = desk.enrol("adult")
    for answer in (
        desk.get("/authorize", query_string={**FIELDS, "redirect_uri": uri}),
        authorize(desk, enrolled, redirect_uri=uri),
    ):
        assert answer.status_code == 400
        assert "Location" not in answer.headers
        assert "evil" not in answer.headers["Content-Security-Policy"]
    assert desk.counts()["codes"] == 0


@pytest.mark.parametrize(
    ("members", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": None}, "invalid_request"),
        ({"scope": "nothing-1"}, "invalid_scope"),
        ({"scope": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"request_uri": "urn:x"}, "invalid_request"),
    ],
)
def test_a_request_that_cannot_be_read_goes_back(
    desk: Desk, members: dict[str, str | None], error: str
) -> None:
    """RFC 6749, 4.1.2.1: to the address that is known, with the state, instead of a page of ours."""
    fields = {name: value for name, value in {**FIELDS, **members}.items() if value is not None}
    answer = desk.get("/authorize", query_string=fields)
    assert answer.status_code == 303
    assert answer.location.startswith(f"{REDIRECT}?")
    sent = parse_query(answer.location.partition("?")[2])
    assert (sent["error"], sent["state"], sent["iss"]) == (error, FIELDS["state"], ISSUER)
    del fields["client_id"]
    assert desk.get("/authorize", query_string=fields).status_code == 400, "nobody asked"


def test_unknown_scopes_beside_a_known_one_are_ignored(desk: Desk) -> None:
    page = desk.get("/authorize", query_string={**FIELDS, "scope": "openid age-1"})
    assert page.status_code == 200


@pytest.mark.parametrize("state", [None, "s" * 513])
def test_without_a_good_state_the_refusal_carries_none(desk: Desk, state: str | None) -> None:
    fields = {name: value for name, value in {**FIELDS, "state": state}.items() if value is not None}
    answer = desk.get("/authorize", query_string=fields)
    assert "state" not in parse_query(answer.location.partition("?")[2])


def test_a_wrong_pkce_is_not_told_as_a_used_offer(desk: Desk) -> None:
    from web.texts import load_texts

    for language in ("en", "zh-Hant"):
        texts = load_texts()
        assert texts.error("pkce_invalid", language) != texts.error("grant_invalid", language)


def test_a_known_redirect_uri_beside_loopback(tmp_path: Path) -> None:
    known = "https://wallet.test/cb"
    desk = Desk(tmp_path, settings=IssuerSettings(ISSUER, redirect_uris=(known,)))
    answer = authorize(desk, desk.enrol("adult"), redirect_uri=known)
    assert answer.location.startswith(f"{known}?code=")
    other = authorize(desk, desk.enrol("elder"), redirect_uri=f"{known}/x")
    assert other.status_code == 400


def test_a_parameter_twice_is_refused(desk: Desk) -> None:
    query = [*FIELDS.items(), ("scope", "base-1")]
    from openid4vc.uris import build_query

    text_ = "&".join(build_query({name: value}) for name, value in query)
    assert desk.get(f"/authorize?{text_}").status_code == 400


# --- Every page


@pytest.mark.hostile("W7")
@pytest.mark.parametrize("path", ["/enrol", "/sign-in", "/sign-out", "/offer", "/lost", "/authorize"])
@pytest.mark.parametrize("how", ["no token", "wrong token", "other origin", "other site"])
def test_w7_forms_of_other_sites(desk: Desk, path: str, how: str) -> None:
    enrolled = signed_in(desk)
    with desk.client.session_transaction(base_url=ISSUER) as session:
        token = session["csrf"]
    form = {**FIELDS, "confirm": "yes", "person": "demo-exempt", "csrf_token": token}
    headers = {
        "other origin": {"Origin": "https://evil.test"},
        "other site": {"Sec-Fetch-Site": "cross-site"},
    }.get(how, {})
    if how == "no token":
        del form["csrf_token"]
    if how == "wrong token":
        form["csrf_token"] = "x" * 43
    before = desk.counts()
    answer = desk.post(path, data=form, headers=headers)
    assert (answer.status_code, answer.get_json(silent=True) or answer.text) != (200, "")
    assert answer.status_code == 403
    assert "csrf_refused" in answer.text
    assert desk.counts() == before
    assert desk.store.enrolment(enrolled.id).state == "active"


@pytest.mark.hostile("W8", "W9", "W12", "W16")
def test_w8_w9_w12_w16_headers_of_pages(desk: Desk) -> None:
    signed_in(desk)
    answer = desk.get("/")
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "script-src" not in policy
    assert "unsafe-inline" not in policy
    assert "Access-Control-Allow-Origin" not in answer.headers
    cookie = desk.client.get_cookie("__Host-bauhinia-issuer", domain="issuer.test")
    assert cookie is not None
    assert (cookie.secure, cookie.http_only, cookie.same_site, cookie.path) == (True, True, "Lax", "/")


@pytest.mark.parametrize("lang", ["en", "zh-Hant"])
def test_every_page_in_both_languages(desk: Desk, lang: str) -> None:
    """No page lacks a text, says it is about synthetic people, or loads anything from elsewhere."""
    desk.get(f"/?lang={lang}")
    pages = [desk.get("/"), desk.get("/authorize", query_string=FIELDS)]
    pages.append(submit(desk, "/enrol", {"person": "demo-exempt"}))
    signed_in(desk)
    pages += [desk.get("/"), submit(desk, "/lost", {})]
    pages.append(submit(desk, "/offer", {"type": "age-1", "format": "mso_mdoc"}))
    pages.append(submit(desk, "/lost", {"confirm": "yes"}))
    notice = {"en": "Synthetic: no real person", "zh-Hant": "虛構資料"}[lang]
    for page in pages:
        assert page.status_code == 200
        assert f'<html lang="{lang}">' in page.text
        assert notice in page.text
        assert not re.search(r'(src|href)="(https?:)?//', page.text)
