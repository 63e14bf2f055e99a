"""What the holder is told before anything is sent, and names that mean to deceive."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from wallet_parties import CATALOGUE, World, mdoc_query, sd_query

from credentials.errors import OverAsking, VerifierUnregistered
from wallet.consent import Consent, name_to_show
from wallet.presenting import Question, look


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path).stocked("age-1.sd-jwt", "age-1.mdoc")
    yield world
    world.vault.close()


def consent(question: Question) -> Consent:
    assert question.consent is not None
    return question.consent


@pytest.mark.hostile("P25")
def test_p25_who_and_why_are_told_before_anything_is_sent(world: World) -> None:
    told = consent(look(world.wallet, world.verifier.ask(sd_query("age_over_18"))))
    assert told.registered
    assert told.name["en"].text == "Bauhinia development verifier"
    assert set(told.name) == set(told.purpose) == {"en", "zh-Hant"}
    assert "liquor" in told.purpose["en"]
    assert "Cap. 109B" in told.legal_basis["en"]
    assert "第109B章" in told.legal_basis["zh-Hant"]
    assert told.origin == "https://verifier.test"
    assert len(told.certificate) == 64
    assert world.verifier.raw == []


@pytest.mark.parametrize("query", [sd_query("age_over_18"), mdoc_query("age_over_18")])
def test_what_is_shown_and_what_stays_hidden(world: World, query: dict[str, object]) -> None:
    (item,) = consent(look(world.wallet, world.verifier.ask(query))).items
    assert [(shown.claim, shown.value) for shown in item.shown] == [("age_over_18", True)]
    assert set(item.shown[0].label) == {"en", "zh-Hant"}
    assert len(item.hidden) == 9
    assert item.left_after == 3
    assert item.format.only


@pytest.mark.parametrize(
    ("name", "query"),
    [("age-1.sd-jwt", sd_query("age_over_18")), ("age-1.mdoc", mdoc_query("age_over_18"))],
)
def test_what_a_copy_does_not_hold_it_does_not_hide(
    tmp_path: Path, name: str, query: dict[str, object]
) -> None:
    world = World(tmp_path / "young")
    world.issuer.mint = {"values": lambda _: {"age_over_11": True, "age_over_18": False, "age_band": "16-17"}}
    world.stocked(name)
    (item,) = consent(look(world.wallet, world.verifier.ask(query, purpose="liquor18"))).items
    held = CATALOGUE.types["age/1"]
    assert item.hidden == (held.claim("age_over_11").label, held.claim("age_band").label)
    world.vault.close()


@pytest.mark.hostile("P26")
@pytest.mark.parametrize(
    ("query", "purpose"),
    [
        (sd_query("age_over_18", "age_over_21"), "liquor18"),
        (mdoc_query("age_over_21"), "liquor18"),
        (sd_query("birthdate", type="base/1"), "liquor18"),
        (sd_query("hkid_number", type="hkid-number/1"), "liquor18"),
        (sd_query("age_over_18"), "no-such-purpose"),
    ],
)
def test_p26_over_asking_is_refused_before_the_holder_is_asked(
    world: World, query: dict[str, object], purpose: str
) -> None:
    link = world.verifier.ask(query, purpose=purpose)
    with pytest.raises(OverAsking) as caught:
        look(world.wallet, link, allow_unregistered=True)
    assert caught.value.code == "over_asking"
    assert world.verifier.raw == []
    assert sum(h.unspent for h in world.wallet.holdings()) == 8
    entry = world.wallet.log()[0]
    assert (entry.event, entry.code) == ("refused", "over_asking")


@pytest.mark.hostile("P26")
def test_p26_the_refusal_does_not_depend_on_what_is_held(tmp_path: Path) -> None:
    empty = World(tmp_path / "empty")
    full = World(tmp_path / "full").stocked("age-1.sd-jwt")
    said: list[str] = []
    for world in (empty, full):
        before = len(world.requests)
        with pytest.raises(OverAsking) as caught:
            look(world.wallet, world.verifier.ask(sd_query("age_over_21")))
        said.append(str(caught.value))
        assert len(world.requests) == before + 1
        world.vault.close()
    assert said[0] == said[1]


def test_an_unregistered_verifier_is_refused_and_says_so_when_allowed(world: World) -> None:
    from dataclasses import replace

    from pki_fixture import development_pki

    from credentials.keys import software_sign
    from credentials.trust import sign_trust_list

    pki = development_pki()
    unlisted = sign_trust_list({**pki.content, "sequence": 2, "verifiers": []}, software_sign(pki.list_key))
    with world.vault.writing() as rows:
        (record,) = rows.records("settings")
        settings = replace(world.settings, trust_list=unlisted.decode(), newest_sequence=2)
        rows.put("settings", settings.body(), id=record.id)
    link = world.verifier.ask(sd_query("age_over_18"))
    before = len(world.requests)
    with pytest.raises(VerifierUnregistered) as caught:
        look(world.wallet, link)
    assert caught.value.code == "verifier_unregistered"
    assert len(world.requests) == before
    told = consent(look(world.wallet, link, allow_unregistered=True))
    assert not told.registered
    assert told.purpose == {}
    assert told.name["en"].text == "https://verifier.test"


@pytest.mark.hostile("W17")
@pytest.mark.parametrize(
    ("name", "shown", "deceptive"),
    [
        ("Harbour Wine", "Harbour Wine", False),
        ("洋紫荊 Wine 酒舖", "洋紫荊 Wine 酒舖", False),
        ("Wine\u202eknaB", "Wine knaB", True),
        ("Wine\x00Bank", "Wine Bank", True),
        ("Wi\u200bne", "Wi ne", True),
        ("H\u0430rbour Wine", "H\u0430rbour Wine", True),
        ("ΗARBOUR", "ΗARBOUR", True),
        ("Ｗine", "Ｗine", True),
        ("line\nline", "line line", False),
        ("x" * 500, "x" * 200, False),
    ],
)
def test_w17_deceptive_names(name: str, shown: str, deceptive: bool) -> None:
    found = name_to_show(name)
    assert (found.text, found.deceptive) == (shown, deceptive)


@pytest.mark.hostile("W14")
def test_w14_a_logo_is_never_fetched(world: World) -> None:
    def with_logo(claims: dict[str, object]) -> dict[str, object]:
        metadata = dict(claims["client_metadata"])  # type: ignore[call-overload]
        return {**claims, "client_metadata": {**metadata, "logo_uri": "https://verifier.test/logo.png"}}

    before = len(world.requests)
    look(world.wallet, world.verifier.ask(sd_query("age_over_18"), spoil=with_logo))
    assert [request.url.path.split("/")[1] for request in world.requests[before:]] == ["request"]
