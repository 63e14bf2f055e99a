"""The OpenAPI document is the server: same routes, and real answers fit its schemas."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pki_fixture import VERIFIER, development_pki
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012
from verifier_fixture import Shop, issue

from credentials.errors import StoreUnavailable
from verifier.store import Store

PAGES = {
    "/", "/static/<path:filename>", "/counter/<name>", "/result/<id>", "/result/<id>/state",
    "/start/<id>", "/return/<id>",
}  # fmt: skip


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path / "shop")


def document(shop: Shop) -> dict[str, Any]:
    return dict(shop.browser().get("/openapi.json", base_url=VERIFIER).json or {})


def resolved(root: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in node:
        at: Any = root
        for part in node["$ref"].removeprefix("#/").split("/"):
            at = at[part]
        node = at
    return node


def test_document_names_every_route_and_no_other(shop: Shop) -> None:
    served = {
        (rule.rule.replace("<", "{").replace(">", "}"), method.lower())
        for rule in shop.app.url_map.iter_rules()
        if rule.rule not in PAGES
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    said = {(path, method) for path, item in document(shop)["paths"].items() for method in item}
    assert said == served


def test_document_is_openapi_3_1_with_good_schemas(shop: Shop) -> None:
    root = document(shop)
    assert root["openapi"].startswith("3.1.")
    assert root["servers"] == [{"url": VERIFIER}]
    for schema in root["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    operations = [op["operationId"] for item in root["paths"].values() for op in item.values()]
    assert len(set(operations)) == len(operations)


def test_real_answers_fit_the_document(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Good and bad calls of every operation, judged by the schema for their status."""
    root = document(shop)
    registry: Registry[Any] = Registry().with_resource(
        "urn:api", Resource.from_contents(root, default_specification=DRAFT202012)
    )
    tried: set[tuple[str, str, str]] = set()

    def fits(template: str, method: str, answer: Any) -> None:
        operation = root["paths"][template][method.lower()]
        status = str(answer.status_code)
        response = resolved(root, operation["responses"][status])
        ((media, content),) = response["content"].items()
        assert answer.mimetype == media
        if media == "application/json":
            pointer = json.loads(json.dumps(content["schema"]).replace('"#/', '"urn:api#/'))
            Draft202012Validator(pointer, registry=registry).validate(answer.json)
        tried.add((template, method, status))

    browser = shop.browser()
    fits("/healthz", "GET", browser.get("/healthz", base_url=VERIFIER))
    fits("/openapi.json", "GET", browser.get("/openapi.json", base_url=VERIFIER))
    fits("/api/policies", "GET", shop.till("GET", "/api/policies"))
    fits("/api/policies", "GET", browser.get("/api/policies", base_url=VERIFIER))
    listed: Any = shop.till("GET", "/api/policies").json
    liquor = next(policy for policy in listed["policies"] if policy["name"] == "liquor18")
    assert set(liquor["legal_basis"]) == {"en", "zh-Hant"}

    requests = "/api/requests"
    for body in (
        {"policy": "liquor18"},
        {"policy": "liquor18", "format": "mso_mdoc", "same_device": True},
        {"policy": "nothing"},
        {"policy": 1},
        {"policy": "liquor18", "format": "ldp_vc"},
        {"policy": "liquor18", "unknown": 1},
    ):
        fits(requests, "POST", shop.till("POST", requests, json=body))
    fits(requests, "POST", browser.post(requests, base_url=VERIFIER, json={}))
    fits(requests, "POST", shop.till("POST", requests, data="{}", content_type="text/plain"))
    fits(requests, "POST", shop.till("POST", requests, data="x" * 5000, content_type="application/json"))

    def result(id: str) -> None:
        fits("/api/requests/{id}", "GET", shop.till("GET", f"/api/requests/{id}"))

    result("unknown")
    fits("/api/requests/{id}", "GET", browser.get("/api/requests/x", base_url=VERIFIER))
    for value in (True, False):
        asked = shop.ask("liquor18")
        result(asked["id"])
        path = asked["request_uri"].removeprefix(VERIFIER)
        fits("/request/{request_id}", "GET", browser.get(path, base_url=VERIFIER))
        request = shop.fetch(asked["link"])
        copy = issue("age/1", {"age_over_18": value}, "mso_mdoc")
        fits("/response/{request_id}", "POST", shop.answer(request, copy, ["age_over_18"]))
        fits("/response/{request_id}", "POST", shop.answer(request, copy, ["age_over_18"]))
        fits("/request/{request_id}", "GET", browser.get(path, base_url=VERIFIER))
        result(asked["id"])
    same = shop.ask("liquor18", same_device=True)
    copy = issue("age/1", {"age_over_18": True}, "dc+sd-jwt")
    fits("/response/{request_id}", "POST", shop.answer(shop.fetch(same["link"]), copy, ["age_over_18"]))
    for path, kind in (("/response/none", None), ("/response/none", "text/plain")):
        fits("/response/{request_id}", "POST", browser.post(path, base_url=VERIFIER, data="a=b",
             content_type=kind or "application/x-www-form-urlencoded"))  # fmt: skip
    fits("/request/{request_id}", "GET", browser.get("/request/none", base_url=VERIFIER))
    late = shop.ask("liquor18")
    stranger = development_pki("https://elsewhere.test")
    copy = issue("age/1", {"age_over_18": True}, "dc+sd-jwt", pki=stranger)
    fits("/response/{request_id}", "POST", shop.answer(shop.fetch(late["link"]), copy, ["age_over_18"]))
    operations = [(template, method.upper()) for template, item in root["paths"].items() for method in item]
    for template, method in operations:
        path = template.replace("{id}", late["id"]).replace("{request_id}", "none")
        # The wrong host, too much of a body, a store that is locked, and a mistake of ours.
        fits(template, method, browser.open(path, method=method, base_url="https://elsewhere.test"))
        fits(
            template, method, browser.open(path, method=method, base_url=VERIFIER, data=b"x" * (1 << 20 | 1))
        )
        for fault in (StoreUnavailable("locked"), ValueError("a mistake")):
            if template == "/healthz" or (
                template == "/openapi.json" and isinstance(fault, StoreUnavailable)
            ):
                continue

            def fail(*_: object, fault: Exception = fault, **__: object) -> None:
                raise fault

            with monkeypatch.context() as broken:
                broken.setattr("verifier.store.write", fail)
                broken.setattr(Store, "check_api_key", fail)
                broken.setattr("verifier.routes.files", fail)
                form = {"response": "x"} if template.startswith("/response") else None
                fits(template, method, browser.open(path, method=method, base_url=VERIFIER, data=form))
    # And the document lists nothing that was not seen.
    listed = {
        (template, method.upper(), status)
        for template, item in root["paths"].items()
        for method, operation in item.items()
        for status in operation["responses"]
    }
    assert tried == listed
