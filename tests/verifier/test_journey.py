"""The whole way with real credentials: asked, shown, judged; and the three outcomes kept apart."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pki_fixture import NOW, VERIFIER
from verifier_fixture import BOTH, HTML, Shop, issue

from openid4vc.vp import build_error_response, build_response

HOUR = 3600


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path / "shop")


@pytest.fixture
def desk(tmp_path: Path) -> Shop:
    """The government desk: it alone may ask for the identity card number."""
    return Shop(tmp_path / "desk", access="desk")


@pytest.mark.parametrize("format", BOTH)
def test_adult_buys_liquor(shop: Shop, format: str) -> None:
    """One bit is learned, in either format, through an encrypted response."""
    asked = shop.ask("liquor18", format=format)
    request = shop.fetch(asked["link"])
    assert request.response_mode == "direct_post.jwt"
    assert shop.result(asked["id"])["state"] == "fetched"
    copy = issue("age/1", {"age_over_18": True, "age_over_16": True}, format)
    reply = shop.answer(request, copy, ["age_over_18"])
    assert (reply.status_code, reply.json) == (200, {})
    found = shop.result(asked["id"])
    assert found["outcome"] == "accepted"
    assert found["disclosed"] == {"age/1": {"age_over_18": True}}
    assert found["formats"] == [format]
    assert found["status"] == {"level": "none", "issued": None}
    assert found["receipt"] == {
        "policy": "liquor18", "policy_version": 1, "outcome": "accepted", "hour": NOW // HOUR * HOUR,
    }  # fmt: skip


@pytest.mark.parametrize("format", BOTH)
def test_either_format_answers_an_open_request(shop: Shop, format: str) -> None:
    asked = shop.ask("liquor18")
    copy = issue("age/1", {"age_over_18": True}, format)
    shop.answer(shop.fetch(asked["link"]), copy, ["age_over_18"])
    assert shop.result(asked["id"])["outcome"] == "accepted"


@pytest.mark.parametrize("format", BOTH)
@pytest.mark.parametrize(
    ("policy", "claim", "value"),
    [("liquor18", "age_over_18", False), ("game-centre-under-16", "age_over_16", True)],
)
def test_wrong_value_is_a_refusal_of_its_own(
    shop: Shop, format: str, policy: str, claim: str, value: bool
) -> None:
    """Genuine and no: the code says so, and the wallet is told that its answer arrived."""
    asked = shop.ask(policy)
    reply = shop.answer(shop.fetch(asked["link"]), issue("age/1", {claim: value}, format), [claim])
    assert reply.status_code == 200
    found = shop.result(asked["id"])
    assert (found["outcome"], found["error_code"]) == ("refused", "policy_not_met")


@pytest.mark.parametrize("format", BOTH)
def test_under_16_is_an_answer(shop: Shop, format: str) -> None:
    asked = shop.ask("game-centre-under-16")
    copy = issue("age/1", {"age_over_16": False}, format)
    shop.answer(shop.fetch(asked["link"]), copy, ["age_over_16"])
    assert shop.result(asked["id"])["outcome"] == "accepted"


@pytest.mark.parametrize("format", BOTH)
def test_eligibility_fresh_then_revoked(shop: Shop, format: str) -> None:
    """A revocation counts once it was published and fetched."""
    type_name = "eligibility/two_dollar_60/1"
    shop.publish()
    for index, expected in ((4711, ("accepted", None)), (4711, ("refused", "revoked"))):
        asked = shop.ask("two-dollar-60")
        copy = issue(type_name, {"eligible": True}, format, index=index)
        shop.answer(shop.fetch(asked["link"]), copy, ["eligible"])
        found = shop.result(asked["id"])
        assert (found["outcome"], found["error_code"]) == expected
        shop.clock.now += 60
        shop.publish({type_name: [4711]})


@pytest.mark.parametrize("format", BOTH)
@pytest.mark.parametrize(
    ("age", "expected"),
    [
        (8 * HOUR, ("accepted", None, "fresh")),
        (9 * HOUR, ("accepted", None, "amber")),
        (31 * HOUR, ("undetermined", "status_stale", None)),
    ],
)
def test_age_of_the_status_list(
    shop: Shop, format: str, age: int, expected: tuple[str, str | None, str | None]
) -> None:
    shop.publish()
    shop.clock.now += age
    asked = shop.ask("resident-discount")
    copy = issue("residency/1", {"is_hk_resident": True}, format, index=9)
    shop.answer(shop.fetch(asked["link"]), copy, ["is_hk_resident"])
    found = shop.result(asked["id"])
    level = None if found["status"] is None else found["status"]["level"]
    assert (found["outcome"], found["error_code"], level) == expected


def test_amber_is_not_enough_for_a_strict_policy(desk: Shop) -> None:
    desk.publish()
    desk.clock.now += 9 * HOUR
    asked = desk.ask("hkid-registration")
    copy = issue("hkid-number/1", {"personal_administrative_number": "Q123456"}, "dc+sd-jwt", index=9)
    desk.answer(desk.fetch(asked["link"]), copy, ["personal_administrative_number"])
    assert desk.result(asked["id"])["error_code"] == "status_stale"


@pytest.mark.parametrize("format", BOTH)
def test_no_list_at_hand_is_undetermined(shop: Shop, format: str) -> None:
    asked = shop.ask("resident-discount")
    copy = issue("residency/1", {"is_hk_resident": True}, format, index=9)
    shop.answer(shop.fetch(asked["link"]), copy, ["is_hk_resident"])
    found = shop.result(asked["id"])
    assert (found["outcome"], found["error_code"], found["disclosed"]) == (
        "undetermined", "status_unavailable", {},
    )  # fmt: skip


def test_revocable_type_without_status_is_refused(shop: Shop) -> None:
    asked = shop.ask("resident-discount")
    copy = issue("residency/1", {"is_hk_resident": True}, "dc+sd-jwt")
    shop.answer(shop.fetch(asked["link"]), copy, ["is_hk_resident"])
    assert shop.result(asked["id"])["error_code"] == "status_missing"


@pytest.mark.parametrize("format", BOTH)
@pytest.mark.parametrize("claim", ["has_right_of_abode", "resident_years_ge_3"])
def test_student_finance_takes_either(shop: Shop, format: str, claim: str) -> None:
    shop.publish()
    asked = shop.ask("student-finance")
    copy = issue("residency/1", {claim: True}, format, index=12)
    shop.answer(shop.fetch(asked["link"]), copy, [claim])
    found = shop.result(asked["id"])
    assert found["outcome"] == "accepted"
    assert found["disclosed"] == {"residency/1": {claim: True}}


def test_wallet_says_no(shop: Shop) -> None:
    """Whatever the reason, the verifier learns one thing: nothing was presented."""
    asked = shop.ask("liquor18")
    request = shop.fetch(asked["link"])
    assert shop.post(request, build_error_response(request)).status_code == 200
    assert shop.result(asked["id"])["error_code"] == "nothing_presented"


def test_expired_credential_is_refused_on_the_wire(shop: Shop) -> None:
    copy = issue("age/1", {"age_over_18": True}, "dc+sd-jwt")
    shop.clock.now += 7 * 24 * HOUR
    asked = shop.ask("liquor18")
    reply = shop.answer(shop.fetch(asked["link"]), copy, ["age_over_18"])
    assert (reply.status_code, (reply.json or {})["code"]) == (400, "credential_expired")
    assert shop.result(asked["id"])["error_code"] == "credential_expired"


def test_claims_are_forgotten_after_the_retention(desk: Shop) -> None:
    """The row keeps the outcome, the file keeps no value, the receipt is a count for an hour."""
    asked = desk.ask("hkid-registration", format="dc+sd-jwt")
    desk.publish()
    copy = issue("hkid-number/1", {"personal_administrative_number": "Q123456"}, "dc+sd-jwt", index=9)
    desk.answer(desk.fetch(asked["link"]), copy, ["personal_administrative_number"])
    assert desk.result(asked["id"])["disclosed"] == {
        "hkid-number/1": {"personal_administrative_number": "Q123456"}
    }
    desk.clock.now += 900
    found = desk.result(asked["id"])
    assert (found["outcome"], found["disclosed"], found["claims_forgotten"]) == ("accepted", {}, True)
    assert desk.store.receipts() == [
        {"policy": "hkid-registration", "policy_version": 1, "outcome": "accepted", "code": "",
         "hour": NOW // HOUR * HOUR, "checks": 1}
    ]  # fmt: skip
    with desk.store._engine.connect() as db:
        rows = json.dumps([list(map(str, row)) for row in db.exec_driver_sql("SELECT * FROM transactions")])
    assert "Q123456" not in rows


def test_expired_request_is_neither_fetched_nor_answered(shop: Shop) -> None:
    asked = shop.ask("liquor18")
    request = shop.fetch(asked["link"])
    shop.clock.now += 300
    copy = issue("age/1", {"age_over_18": True}, "dc+sd-jwt")
    assert (shop.answer(request, copy, ["age_over_18"]).json or {})["code"] == "request_expired"
    path = asked["request_uri"].removeprefix(VERIFIER)
    assert (shop.browser().get(path, base_url=VERIFIER).json or {})["code"] == "request_expired"
    assert shop.result(asked["id"])["state"] == "expired"


def test_expired_trust_list_fails_closed(shop: Shop) -> None:
    copy = issue("age/1", {"age_over_18": True}, "dc+sd-jwt")
    asked = shop.ask("liquor18")
    request = shop.fetch(asked["link"])
    token = build_response({"age-1_sd-jwt": [copy.wire.decode()]}, request=request)
    pinned = shop.app  # The clock alone moves: requests live minutes, the trust list a year.
    shop.store._engine.dispose()
    shop.clock.now += 366 * 24 * HOUR
    again = Shop(shop.data, clock=shop.clock, api_key="second")
    asked = again.ask("liquor18")
    path = asked["request_uri"].removeprefix(VERIFIER)
    again.browser().get(path, base_url=VERIFIER)
    reply = again.browser().post(path.replace("/request/", "/response/"), base_url=VERIFIER, data=token)
    assert (reply.json or {})["code"] == "trust_list_expired"
    assert pinned is not again.app


def test_counter_from_first_tap_to_verdict(shop: Shop) -> None:
    """What a cashier does: one tap, a QR code, a verdict in shape, word and reason, in the own language."""
    till = shop.browser()
    page = till.get("/counter/liquor18?lang=zh-Hant", base_url=VERIFIER, headers=HTML)
    assert "售酒：年滿18歲" in page.text
    token = page.text.split('name="csrf_token" value="')[1].split('"')[0]
    made = till.post(
        "/counter/liquor18", base_url=VERIFIER, data={"csrf_token": token, "device": "cross"}, headers=HTML
    )
    assert made.status_code == 303
    path = made.headers["Location"]
    waiting = till.get(path, base_url=VERIFIER, headers=HTML)
    assert "<svg" in waiting.text
    assert "script-src 'self'" in waiting.headers["Content-Security-Policy"]
    assert (till.get(f"{path}/state", base_url=VERIFIER).json or {}) == {"state": "created"}
    link = waiting.text.split('id="link">')[1].split("<")[0].replace("&amp;", "&")
    request = shop.fetch(link)
    assert "顧客正在查看要求" in till.get(path, base_url=VERIFIER, headers=HTML).text
    shop.answer(request, issue("age/1", {"age_over_18": False}, "mso_mdoc"), ["age_over_18"])
    assert (till.get(f"{path}/state", base_url=VERIFIER).json or {}) == {"state": "answered"}
    verdict = till.get(path, base_url=VERIFIER, headers=HTML)
    assert 'data-outcome="refused"' in verdict.text
    assert 'data-code="policy_not_met"' in verdict.text
    assert "不通過" in verdict.text
    assert "下一位顧客" in verdict.text


def test_the_number_is_not_asked_for_by_the_shop(shop: Shop) -> None:
    """The wallet would refuse, and our own verifier does not even ask."""
    answer = shop.till("POST", "/api/requests", json={"policy": "hkid-registration"})
    assert (answer.status_code, (answer.json or {})["code"]) == (500, "configuration_invalid")
