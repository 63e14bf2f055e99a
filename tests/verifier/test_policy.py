"""Policies are data: checked at load, the same in both formats, and registered for what they ask."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pki_fixture import trust
from verifier_fixture import BOTH

from credentials.catalog import load_catalogue
from credentials.errors import ConfigurationInvalid, NotFound, RequestObjectInvalid
from openid4vc.dcql import parse_query
from verifier.policy import load_policies, read_policy

CATALOGUE = load_catalogue()
OURS = load_policies(CATALOGUE)
REGISTERED = {id: purpose for entry in trust().verifiers.values() for id, purpose in entry.purposes.items()}
ORDINARY, DESK = trust().verifiers.values()


@pytest.mark.parametrize("name", sorted(OURS.by_name))
def test_policy_asks_no_more_than_it_registered(name: str) -> None:
    policy = OURS.get(name)
    purpose = REGISTERED[name]
    for ask in policy.asks:
        assert set(ask.claims) <= purpose.claims[ask.type.name]
    assert policy.purpose == purpose.text
    assert policy.legal_basis == purpose.legal_basis


@pytest.mark.parametrize("name", sorted(OURS.by_name))
@pytest.mark.parametrize("format", [None, *BOTH])
def test_query_is_one_that_wallets_read(name: str, format: str | None) -> None:
    """Either format, or one; and the policy recognises its own query again."""
    policy = OURS.get(name)
    query = parse_query(policy.query(format))
    assert {c.format for c in query.credentials} == ({format} if format else set(BOTH))
    policy.check_query(query)


def test_each_verifier_asks_what_its_own_certificate_is_registered_for() -> None:
    OURS.get("liquor18").check_registration(ORDINARY)
    OURS.get("hkid-registration").check_registration(DESK)
    for name, registration in (("liquor18", DESK), ("hkid-registration", ORDINARY), ("liquor18", None)):
        with pytest.raises(ConfigurationInvalid) as refusal:
            OURS.get(name).check_registration(registration)
        assert "trust show" in refusal.value.hint


def test_beyond_the_purpose_or_its_ground_is_not_registered() -> None:
    liquor = OURS.get("liquor18")
    wider = {
        **ORDINARY.purposes,
        "liquor18": replace(ORDINARY.purposes["liquor18"], claims={"age/1": frozenset()}),
    }
    with pytest.raises(ConfigurationInvalid):
        liquor.check_registration(replace(ORDINARY, purposes=wider))
    ground = {"hkid-registration": replace(DESK.purposes["hkid-registration"], basis_code="consent")}
    with pytest.raises(ConfigurationInvalid):
        OURS.get("hkid-registration").check_registration(replace(DESK, purposes=ground))


def test_a_demonstration_may_ask_unregistered_but_for_the_number() -> None:
    replace(OURS.get("liquor18"), allow_unregistered=True).check_registration(None)
    with pytest.raises(ConfigurationInvalid):
        replace(OURS.get("hkid-registration"), allow_unregistered=True).check_registration(ORDINARY)


@pytest.mark.parametrize(
    "ask",
    [
        {"type": "base/1", "claims": ["birthdate_precision"], "expect": {}},
        {"type": "base/1", "claims": ["issuing_country", "issuing_authority"], "expect": {}},
        {"type": "residency/1", "alternatives": [["is_hk_resident"], ["as_of_week"]], "expect": {}},
    ],
)
def test_a_claim_that_says_nothing_alone_is_not_asked_alone(ask: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationInvalid, match="says nothing by itself"):
        read_policy(json.dumps({**a_policy(), "ask": [ask]}).encode(), catalogue=CATALOGUE, where="x.json")
    beside = {"type": "base/1", "claims": ["birthdate", "birthdate_precision"], "expect": {}}
    read_policy(json.dumps({**a_policy(), "ask": [beside]}).encode(), catalogue=CATALOGUE, where="x.json")


def test_policy_does_not_take_another_policys_query() -> None:
    with pytest.raises(RequestObjectInvalid):
        OURS.get("liquor18").check_query(parse_query(OURS.get("game-centre-under-16").query()))


def test_values_travel_only_where_the_wallet_must_choose() -> None:
    """To ask for a value is to learn it from a refusal: only alternatives carry them."""
    carrying = {name for name, policy in OURS.by_name.items() if '"values"' in json.dumps(policy.query())}
    assert carrying == {"student-finance"}


def a_policy() -> dict[str, Any]:
    path = Path(__file__).resolve().parents[2] / "verifier" / "policies" / "liquor18.json"
    return dict(json.loads(path.read_text()))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda p: p.update(extra=1),
        lambda p: p.pop("legal_basis"),
        lambda p: p["title"].pop("zh-Hant"),
        lambda p: p["legal_basis"].pop("zh-Hant"),
        lambda p: p.update(legal_basis="Cap. 109B"),
        lambda p: p["ask"][0].update(type="age/9"),
        lambda p: p["ask"][0].update(claims=["birthdate"]),
        lambda p: p["ask"][0].update(expect={"age_over_21": True}),
        lambda p: p["ask"][0].update(expect={"age_over_18": 1}),
        lambda p: p["ask"][0].update(expect={"age_over_18": "yes"}),
        lambda p: p["freshness"].update(green_seconds=200000),
        lambda p: p.update(retention_seconds=100_000),
        lambda p: p.update(response_mode="fragment"),
    ],
)
def test_bad_policy_is_a_fault_of_configuration(spoil: Callable[[dict[str, Any]], object]) -> None:
    policy = a_policy()
    spoil(policy)
    with pytest.raises(ConfigurationInvalid, match=r"^spoiled\.json: "):
        read_policy(json.dumps(policy).encode(), catalogue=CATALOGUE, where="spoiled.json")


def test_bad_json_names_the_file() -> None:
    with pytest.raises(ConfigurationInvalid, match=r"^bad\.json: "):
        read_policy(b'{"name": 1, "name": 2}', catalogue=CATALOGUE, where="bad.json")


def test_operators_folder_goes_first(tmp_path: Path) -> None:
    own = {**a_policy(), "version": 7}
    (tmp_path / "liquor18.json").write_text(json.dumps(own))
    policies = load_policies(CATALOGUE, tmp_path)
    assert policies.get("liquor18").version == 7
    assert policies.get("tobacco18").version == 1


def test_file_is_named_after_its_policy(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text(json.dumps(a_policy()))
    with pytest.raises(ConfigurationInvalid):
        load_policies(CATALOGUE, tmp_path)
    with pytest.raises(ConfigurationInvalid):
        load_policies(CATALOGUE, tmp_path / "absent")


def test_unknown_policy_lists_the_known_ones() -> None:
    with pytest.raises(NotFound) as caught:
        OURS.get("everything")
    assert "liquor18" in caught.value.hint
