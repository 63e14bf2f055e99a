"""The cashier's result page: one of each outcome, in both languages, as the browser that began sees it."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from pki_fixture import VERIFIER
from verifier_fixture import BOTH, HTML, Copy, Shop, issue

from credentials.model import Value
from openid4vc.vp import AuthorizationRequest, build_error_response
from web.texts import load_texts

HOUR = 3600
LANGUAGES = ("en", "zh-Hant")
RESIDENT = "residency/1"


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path / "shop")


def begin(shop: Shop, policy: str, lang: str) -> tuple[FlaskClient, str, AuthorizationRequest]:
    """A till that shows a request: the browser, the result's path, the request as the wallet opens it."""
    till = shop.browser()
    page = till.get(f"/counter/{policy}?lang={lang}", base_url=VERIFIER, headers=HTML)
    token = page.text.split('name="csrf_token" value="')[1].split('"')[0]
    form = {"csrf_token": token, "device": "cross"}
    path = till.post(f"/counter/{policy}", base_url=VERIFIER, data=form, headers=HTML).headers["Location"]
    waiting = till.get(path, base_url=VERIFIER, headers=HTML)
    link = waiting.text.split('id="link">')[1].split("<")[0].replace("&amp;", "&")
    return till, path, shop.fetch(link)


def resident() -> Copy:
    return issue(RESIDENT, {"is_hk_resident": True}, "mso_mdoc", index=9)


def show(copy: Callable[[], Copy], *names: str) -> Callable[[Shop, AuthorizationRequest], None]:
    def act(shop: Shop, request: AuthorizationRequest) -> None:
        assert shop.answer(request, copy(), names).status_code in (200, 400)

    return act


def age(value: Value) -> Callable[[], Copy]:
    return lambda: issue("age/1", {"age_over_18": value}, "dc+sd-jwt")


def after(seconds: int, act: Callable[[Shop, AuthorizationRequest], None]) -> Callable[..., None]:
    """Lists were fetched ``seconds`` ago."""

    def later(shop: Shop, request: AuthorizationRequest) -> None:
        shop.publish(issued=shop.clock.now - seconds)
        act(shop, request)

    return later


def revoked(shop: Shop, request: AuthorizationRequest) -> None:
    shop.publish({RESIDENT: [9]})
    show(resident, "is_hk_resident")(shop, request)


def declined(shop: Shop, request: AuthorizationRequest) -> None:
    shop.post(request, build_error_response(request))


def another_type(shop: Shop, request: AuthorizationRequest) -> None:
    shop.post(request, {"response": "nonsense"})


@pytest.mark.parametrize(("lang", "said"), [("en", "Deleted after 90 seconds."), ("zh-Hant", "90秒後刪除。")])
def test_retention_is_said_in_its_own_unit(tmp_path: Path, lang: str, said: str) -> None:
    policy = json.loads(files("verifier").joinpath("policies/liquor18.json").read_bytes())
    folder = tmp_path / "shop" / "policies"
    folder.mkdir(parents=True)
    (folder / "liquor18.json").write_text(json.dumps({**policy, "retention_seconds": 90}))
    shop = Shop(tmp_path / "shop")
    page = shop.browser().get(f"/counter/liquor18?lang={lang}", base_url=VERIFIER, headers=HTML)
    assert said in page.text
    till, path, request = begin(shop, "liquor18", lang)
    show(age(True), "age_over_18")(shop, request)
    assert said in till.get(path, base_url=VERIFIER, headers=HTML).text


@pytest.mark.parametrize(
    ("lang", "basis", "other"),
    [
        ("en", "Dutiable Commodities (Liquor) Regulations, Cap. 109B, Part 5", "第109B章"),
        ("zh-Hant", "《應課稅品（酒類）規例》（第109B章）第5部", "Cap. 109B"),
    ],
)
def test_legal_basis_is_said_in_the_language_of_the_page(
    shop: Shop, lang: str, basis: str, other: str
) -> None:
    till, path, _ = begin(shop, "liquor18", lang)
    for page in ("/counter/liquor18", path):
        text = till.get(page, base_url=VERIFIER, headers=HTML).text
        assert f'<dd id="legal-basis">{basis}</dd>' in text
        assert other not in text


@pytest.mark.parametrize("format", BOTH)
@pytest.mark.parametrize(
    ("lang", "words"), [("en", ("Right of abode", "Yes")), ("zh-Hant", ("居留權", "是"))]
)
def test_learned_values_are_said_in_words(
    tmp_path: Path, lang: str, words: tuple[str, str], format: str
) -> None:
    claims: dict[str, Value] = {
        "residency_class": "right_of_abode",
        "is_hk_resident": True,
        "as_of_week": "2026-W47",
    }
    policy = json.loads(files("verifier").joinpath("policies/resident-discount.json").read_bytes())
    policy |= {
        "ask": [{"type": RESIDENT, "claims": list(claims), "expect": {}}],
        "allow_unregistered": True,
    }
    folder = tmp_path / "shop" / "policies"
    folder.mkdir(parents=True)
    (folder / "resident-discount.json").write_text(json.dumps(policy))
    shop = Shop(tmp_path / "shop")
    shop.publish()
    till, path, request = begin(shop, "resident-discount", lang)
    show(lambda: issue(RESIDENT, claims, format, index=9), *claims)(shop, request)
    page = till.get(path, base_url=VERIFIER, headers=HTML).text
    for said in (*words, "2026-W47"):
        assert f"<dd>{said}</dd>" in page
    assert "right_of_abode" not in page


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize(
    ("policy", "act", "kind", "code", "learns"),
    [
        ("liquor18", show(age(True), "age_over_18"), "accepted", None, True),
        ("resident-discount", after(HOUR, show(resident, "is_hk_resident")), "accepted", None, True),
        ("resident-discount", after(9 * HOUR, show(resident, "is_hk_resident")), "amber", None, True),
        ("liquor18", another_type, "refused", "response_encryption_invalid", False),
        ("liquor18", show(age(False), "age_over_18"), "refused", "policy_not_met", True),
        ("resident-discount", revoked, "refused", "revoked", True),
        ("resident-discount", after(31 * HOUR, show(resident, "is_hk_resident")), "undetermined",
         "status_stale", False),
        ("resident-discount", show(resident, "is_hk_resident"), "undetermined", "status_unavailable", False),
        ("liquor18", declined, "refused", "nothing_presented", False),
    ],
    ids=["accepted", "fresh-list", "amber", "refused", "policy-not-met", "revoked", "stale", "no-list",
         "nothing-presented"],
)  # fmt: skip
def test_result_page_of_every_outcome(
    shop: Shop,
    policy: str,
    act: Callable[[Shop, AuthorizationRequest], None],
    kind: str,
    code: str | None,
    learns: bool,
    lang: str,
) -> None:
    """The word, the sign, the reason, what was learned and nothing else; the way to the next customer."""
    texts = load_texts()
    till, path, request = begin(shop, policy, lang)
    act(shop, request)
    page = till.get(path, base_url=VERIFIER, headers=HTML)
    assert page.status_code == 200
    assert f'<html lang="{lang}"' in page.text
    assert f'data-outcome="{kind}"' in page.text
    assert texts.text(f"verifier.verdict.{kind}", lang) in page.text
    assert texts.text("verifier.next", lang) in page.text
    assert ('id="learned"' in page.text) == learns
    if code is None:
        assert 'id="reason"' not in page.text
    else:
        assert f'data-code="{code}"' in page.text
        assert texts.error(code, lang) in page.text
    assert ("2026-11-2" in page.text) == (kind == "amber")
