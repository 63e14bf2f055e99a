"""The frame of all services: W7 to W17, C8 and C9, languages, errors."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, render_template_string, request, session
from flask.testing import FlaskClient

from credentials.errors import ConfigurationInvalid, Revoked, StatusStale, StoreUnavailable
from web.body import bearer, form_fields, json_object
from web.service import (
    Settings,
    allow_form_redirect,
    allow_scripts,
    cacheable,
    create_service,
    without_csrf,
)
from web.texts import load_texts

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = [
    path
    for party in ("web", "issuer", "wallet", "verifier")
    for path in ROOT.glob(f"{party}/templates/**/*.html")
]
BASE = "https://shop.test"
FORM = "application/x-www-form-urlencoded"
HTML = {"Accept": "text/html"}
SECRET = "a-value-that-must-not-be-seen"


def service(base_url: str = BASE, **more: Any) -> Flask:
    app = create_service(
        "verifier", settings=Settings(base_url, bytes(range(32)), **more), texts=load_texts()
    )

    @app.get("/form")
    def form() -> str:
        return render_template_string("<form method=post>{{ csrf_field() }}</form>")

    @app.post("/form")
    def act() -> str:
        session["acted"] = True
        return "done"

    @app.route("/put", methods=["PUT", "DELETE"])
    def put() -> str:
        return "done"

    @app.post("/json")
    @without_csrf
    def read_json() -> dict[str, Any]:
        return json_object(max_bytes=100)

    @app.post("/fields")
    @without_csrf
    def read_fields() -> dict[str, str]:
        return form_fields(max_bytes=100)

    @app.get("/bearer")
    @without_csrf
    def read_bearer() -> dict[str, Any]:
        return {"bearer": bearer(), "dpop": bearer("DPoP")}

    @app.get("/name")
    def name() -> str:
        return render_template_string("<h1>{{ name | plain }}</h1><p>{{ name }}</p>", name=request.args["n"])

    @app.get("/scripts")
    def scripts() -> str:
        allow_scripts()
        return "x"

    @app.get("/public")
    def public() -> Any:
        return cacheable(app.make_response("x"), seconds=60)

    @app.get("/leave")
    def leave() -> str:
        allow_form_redirect(request.args["to"])
        return "x"

    @app.get("/boom/<kind>")
    def boom(kind: str) -> str:
        errors = {
            "value": ValueError(SECRET),
            "fault": StoreUnavailable(SECRET),
            "refusal": Revoked("the credential was revoked"),
            "amber": StatusStale("old"),
        }
        raise errors[kind]

    return app


@pytest.fixture
def client() -> FlaskClient:
    return service().test_client()


def code(answer: Any) -> str:
    return str((answer.json or {}).get("code"))


def token(client: FlaskClient) -> str:
    page = client.get("/form", base_url=BASE).text
    return page.split('value="')[1].split('"')[0]


# --- W7: forms


@pytest.mark.hostile("W7")
def test_w7_form_without_the_token_of_this_session(client: FlaskClient) -> None:
    good = token(client)
    stranger = service().test_client()
    for who, sent in ((client, ""), (client, "x" * 43), (client, good[:-1]), (stranger, good)):
        refused = who.post("/form", base_url=BASE, data={"csrf_token": sent})
        assert (refused.status_code, code(refused)) == (403, "csrf_refused")
    assert client.post("/form", base_url=BASE, data={"csrf_token": good}).text == "done"


@pytest.mark.hostile("W7")
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.test"}, {"Origin": "null"}, {"Origin": "http://shop.test.evil.test"},
        {"Origin": "http://shop.test"}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"},
    ],
)  # fmt: skip
def test_w7_form_from_elsewhere_even_with_the_token(client: FlaskClient, headers: dict[str, str]) -> None:
    refused = client.post("/form", base_url=BASE, data={"csrf_token": token(client)}, headers=headers)
    assert code(refused) == "csrf_refused"


def test_form_of_our_own_page_as_browsers_send_it_under_no_referrer(client: FlaskClient) -> None:
    sent = {"csrf_token": token(client)}
    headers = {"Origin": "null", "Sec-Fetch-Site": "same-origin"}
    assert client.post("/form", base_url=BASE, data=sent, headers=headers).text == "done"
    assert client.post("/form", base_url=BASE, data=sent, headers={"Origin": BASE}).text == "done"


@pytest.mark.hostile("W7")
def test_w7_every_method_that_changes_needs_the_token(client: FlaskClient) -> None:
    assert code(client.put("/put", base_url=BASE)) == "csrf_refused"
    assert code(client.delete("/put", base_url=BASE)) == "csrf_refused"


@pytest.mark.hostile("W7")
def test_w7_only_marked_endpoints_do_without(client: FlaskClient) -> None:
    assert client.post("/json", base_url=BASE, json={"a": 1}).json == {"a": 1}


# --- W8, W9, W16: what the browser is told


@pytest.mark.hostile("W8", "W9")
@pytest.mark.parametrize("path", ["/form", "/healthz", "/static/style.css", "/nowhere", "/boom/value"])
def test_w8_every_answer_forbids_framing_and_inline_script(client: FlaskClient, path: str) -> None:
    with client.get(path, base_url=BASE) as answer:
        policy = dict(part.split(" ", 1) for part in answer.headers["Content-Security-Policy"].split("; "))
        assert policy["default-src"] == "'none'"
        assert policy["frame-ancestors"] == "'none'"
        assert policy["base-uri"] == "'none'"
        assert "unsafe" not in str(policy)
        assert "script-src" not in policy
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "same-origin"
        assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert "camera=()" in answer.headers["Permissions-Policy"]


@pytest.mark.hostile("W9")
def test_w9_scripts_are_files_of_our_own_where_a_page_needs_them(client: FlaskClient) -> None:
    policy = client.get("/scripts", base_url=BASE).headers["Content-Security-Policy"]
    assert "script-src 'self';" in f"{policy};"


@pytest.mark.hostile("W9")
def test_w9_no_template_has_inline_script_or_style() -> None:
    from pathlib import Path

    root = Path(__file__).resolve().parents[2]
    pages = [
        p
        for party in ("web", "issuer", "wallet", "verifier")
        for p in root.glob(f"{party}/templates/**/*.html")
    ]
    assert len(pages) > 5
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert "<style" not in text, page
        assert " style=" not in text, page
        assert " onclick=" not in text, page
        assert "<script>" not in text, page
        assert "http://" not in text.replace("http://www.w3.org/", ""), page
        assert "| safe" not in text, page
        assert "|safe" not in text, page


@pytest.mark.hostile("W16")
def test_w16_no_answer_opens_itself_to_other_origins(client: FlaskClient) -> None:
    for method in ("GET", "OPTIONS", "POST"):
        answer = client.open("/json", method=method, base_url=BASE, headers={"Origin": "https://evil.test"})
        assert not [name for name in answer.headers.keys() if name.lower().startswith("access-control")]
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"


# --- W10, W17: other people's text


@pytest.mark.hostile("W10")
@pytest.mark.parametrize("text", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7*7 }}"])
def test_w10_text_of_others_stays_text(client: FlaskClient, text: str) -> None:
    page = client.get("/name", base_url=BASE, query_string={"n": text}).text
    assert "<script" not in page
    assert "<img" not in page
    assert "49" not in page


@pytest.mark.hostile("W17")
@pytest.mark.parametrize(
    "text",
    [
        "Bank\u202efdp.exe",
        "Bank\x00fdp.exe",
        "Bank\u200b\ufeffName",
        "Bank\u2066x\u2069",
        "A\r\nB",
        "a\u2028b",
    ],
)
def test_w17_hidden_and_turning_characters_are_gone(client: FlaskClient, text: str) -> None:
    shown = (
        client.get("/name", base_url=BASE, query_string={"n": text}).text.split("<h1>")[1].split("</h1>")[0]
    )
    assert not set("\u202e\x00\u200b\ufeff\u2066\u2069\r\n\u2028") & set(shown)
    assert shown[:1] in "BAa"


# --- W11: the Host header


@pytest.mark.hostile("W11")
@pytest.mark.parametrize(
    "host", ["evil.test", "shop.test.evil.test", "shop.test:8443", "shop.test@evil.test", ""]
)
def test_w11_another_host_is_refused(client: FlaskClient, host: str) -> None:
    refused = client.get("/form", base_url=BASE, headers={"Host": host})
    assert (refused.status_code, code(refused)) == (400, "host_refused")


@pytest.mark.hostile("W11")
def test_w11_forwarded_headers_change_nothing(client: FlaskClient) -> None:
    headers = {"X-Forwarded-Host": "evil.test", "X-Forwarded-Proto": "http", "Forwarded": "host=evil.test"}
    page = client.get("/nowhere", base_url=BASE, headers={**headers, **HTML})
    assert "evil" not in page.text + str(page.headers)


# --- W12: cookies


@pytest.mark.hostile("W12")
def test_w12_cookies_are_bound_to_the_host_and_hidden_from_scripts(client: FlaskClient) -> None:
    answers = [client.get("/form", base_url=BASE), client.get("/form?lang=en", base_url=BASE)]
    cookies = [value for answer in answers for value in answer.headers.getlist("Set-Cookie")]
    assert len(cookies) == 2
    for cookie in cookies:
        assert cookie.startswith("__Host-bauhinia-")
        parts = {part.strip() for part in cookie.split(";")}
        assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"} <= parts
        assert "Domain" not in cookie


@pytest.mark.hostile("W12")
def test_w12_changed_cookie_is_no_session(client: FlaskClient) -> None:
    sent = token(client)
    cookie = client.get_cookie("__Host-bauhinia-verifier", domain="shop.test")
    assert cookie is not None
    client.set_cookie("__Host-bauhinia-verifier", cookie.value[:-2] + "AA", domain="shop.test", secure=True)
    assert code(client.post("/form", base_url=BASE, data={"csrf_token": sent})) == "csrf_refused"


# --- W13: bodies


@pytest.mark.hostile("W13")
@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
)
def test_w13_json_under_another_name(client: FlaskClient, kind: str) -> None:
    refused = client.post("/json", base_url=BASE, data='{"a":1}', content_type=kind)
    assert (refused.status_code, code(refused)) == (415, "media_type_refused")


@pytest.mark.hostile("W13")
@pytest.mark.parametrize("body", ["a=1&a=2", "a=%ff", "a", "&".join(f"a{i}=" for i in range(60))])
def test_w13_form_that_reads_two_ways(client: FlaskClient, body: str) -> None:
    kind = "application/x-www-form-urlencoded"
    refused = client.post("/fields", base_url=BASE, data=body, content_type=kind)
    assert code(refused) in ("request_invalid", "too_large")
    assert code(client.post("/fields", base_url=BASE, data=body, content_type="application/json")) == (
        "media_type_refused"
    )


@pytest.mark.hostile("W13")
def test_w13_method_override_is_ignored(client: FlaskClient) -> None:
    headers = {"X-HTTP-Method-Override": "POST", "X-HTTP-Method": "POST", "X-Method-Override": "POST"}
    assert code(client.get("/json", base_url=BASE, headers=headers)) == "method_refused"
    assert code(client.get("/json?_method=POST", base_url=BASE)) == "method_refused"


def test_form_and_json_are_read(client: FlaskClient) -> None:
    assert client.post("/fields", base_url=BASE, data={"a": "ä&", "b": ""}).json == {"a": "ä&", "b": ""}
    assert (
        client.post("/fields", base_url=BASE, data="", content_type="application/x-www-form-urlencoded").json
        == {}
    )
    told = client.get("/bearer", base_url=BASE, headers={"Authorization": "bearer abc"})
    assert told.json == {"bearer": "abc", "dpop": None}
    assert client.get("/bearer", base_url=BASE, headers={"Authorization": "Bearer"}).json == {
        "bearer": None,
        "dpop": None,
    }


# --- W15: leaving


@pytest.mark.hostile("W15")
def test_w15_language_link_goes_nowhere_else(client: FlaskClient) -> None:
    page = client.get("/nowhere?lang=//evil.test&next=https://evil.test", base_url=BASE, headers=HTML)
    assert "evil.test" not in page.text
    assert "Location" not in page.headers


@pytest.mark.hostile("W15")
@pytest.mark.parametrize("to", ["https://evil.test; script-src *", "javascript:x", "http://evil.test/"])
def test_w15_form_target_is_a_plain_origin_or_refused(client: FlaskClient, to: str) -> None:
    assert code(client.get("/leave", base_url=BASE, query_string={"to": to})) == "uri_refused"
    good = client.get("/leave", base_url=BASE, query_string={"to": "https://wallet.test/cb?x=1"})
    assert "form-action 'self' https://wallet.test;" in good.headers["Content-Security-Policy"]


# --- C8, C9: bodies without end


@pytest.mark.hostile("C8")
@pytest.mark.parametrize("path", ["/form", "/json", "/fields"])
def test_c8_four_gigabytes_announced(client: FlaskClient, path: str) -> None:
    """Refused by the number, before a byte of it is read."""
    refused = client.post(path, base_url=BASE, environ_overrides={"CONTENT_LENGTH": str(4 << 30)})
    assert (refused.status_code, code(refused)) == (413, "too_large")


@pytest.mark.hostile("C9")
def test_c9_body_of_unknown_length(client: FlaskClient) -> None:
    refused = client.post("/json", base_url=BASE, headers={"Transfer-Encoding": "chunked"}, data=b"{}")
    assert (refused.status_code, code(refused)) == (400, "request_invalid")


# --- answers


def test_pages_are_not_kept_but_public_files_are(client: FlaskClient) -> None:
    assert client.get("/form", base_url=BASE).headers["Cache-Control"] == "no-store"
    assert client.get("/public", base_url=BASE).headers["Cache-Control"] == "public, max-age=60"


def test_production_asks_for_https_for_good() -> None:
    answer = service(production=True).test_client().get("/healthz", base_url=BASE)
    assert "max-age" in answer.headers["Strict-Transport-Security"]
    assert "Strict-Transport-Security" not in service().test_client().get("/healthz", base_url=BASE).headers


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, "en"), ({"Accept-Language": "zh-HK,en;q=0.5"}, "zh-Hant"),
        ({"Accept-Language": "fr, en;q=0.4"}, "en"),
        ({"Accept-Language": "en;q=0.1, zh-TW;q=0.9"}, "zh-Hant"), ({"Accept-Language": "zh;q=0"}, "en"),
        ({"Accept-Language": ";;q=x,,"}, "en"),
    ],
)  # fmt: skip
def test_language_is_negotiated(client: FlaskClient, headers: dict[str, str], expected: str) -> None:
    assert (
        f'<html lang="{expected}">' in client.get("/nowhere", base_url=BASE, headers={**HTML, **headers}).text
    )


def test_language_once_chosen_is_kept(client: FlaskClient) -> None:
    client.get("/form?lang=zh-Hant", base_url=BASE)
    page = client.get("/nowhere", base_url=BASE, headers={**HTML, "Accept-Language": "en"})
    assert '<html lang="zh-Hant">' in page.text


@pytest.mark.parametrize(
    ("accept", "page"),
    [
        ("*/*", False),
        ("text/*", False),
        ("text/html;q=0, */*", False),
        ("", False),
        ("text/html", True),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", True),
    ],
)
@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/api/nope", 404), ("GET", "/json", 405)])
def test_wrong_address_or_method_is_json_for_a_program(
    client: FlaskClient, method: str, path: str, status: int, accept: str, page: bool
) -> None:
    """A till that mistypes an address reads a code; a person who does, a page."""
    answer = client.open(path, method=method, base_url=BASE, headers={"Accept": accept} if accept else {})
    assert answer.status_code == status
    assert answer.mimetype == ("text/html" if page else "application/json")
    if not page:
        assert (answer.json or {})["code"] == {404: "not_found", 405: "method_refused"}[status]


@pytest.mark.hostile("V9")
@pytest.mark.parametrize("kind", ["value", "fault"])
@pytest.mark.parametrize("accept", ["text/html", "application/json"])
def test_v9_faults_say_nothing_of_values(
    client: FlaskClient,
    kind: str,
    accept: str,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    answer = client.get(f"/boom/{kind}", base_url=BASE, headers={"Accept": accept})
    assert answer.status_code in (500, 503)
    out, err = capsys.readouterr()
    assert SECRET not in answer.text + out + err + caplog.text
    assert ("ValueError" if kind == "value" else "store_unavailable") in err + caplog.text


def test_refusals_are_json_for_programs_and_pages_for_people(client: FlaskClient) -> None:
    machine = client.get("/boom/refusal", base_url=BASE, headers={"Accept": "application/json"})
    assert (machine.status_code, code(machine)) == (400, "revoked")
    person = client.get("/boom/refusal", base_url=BASE, headers={**HTML, "Accept-Language": "zh"})
    assert "證明已被撤銷" in person.text
    assert 'class="verdict refused"' in person.text
    assert 'class="verdict amber"' in client.get("/boom/amber", base_url=BASE, headers=HTML).text


@pytest.mark.parametrize(
    ("base_url", "production"),
    [
        ("http://shop.test", False), ("http://127.0.0.1:8702", True), ("https://shop.test/path", False),
        ("https://u@shop.test", False), ("ftp://127.0.0.1", False), ("https://", False), ("shop.test", False),
    ],
)  # fmt: skip
def test_base_url_is_an_origin_we_may_serve(base_url: str, production: bool) -> None:
    with pytest.raises(ConfigurationInvalid):
        Settings(base_url, bytes(32), production)


def test_base_url_good_and_secret_short() -> None:
    Settings("http://127.0.0.1:8702", bytes(32))
    Settings("https://127.0.0.1:8702", bytes(32))
    assert Settings("https://shop.test:443", bytes(32)).netloc == "shop.test"
    with pytest.raises(ConfigurationInvalid):
        Settings(BASE, bytes(31))
