"""Every text in both languages, and every key that is used exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from credentials.errors import BauhiniaError, ConfigurationInvalid, every_error
from web.texts import LANGUAGES, Texts, accepted, choose, load_texts, plain

ROOT = Path(__file__).resolve().parents[2]
PARTIES = ("web", "issuer", "wallet", "verifier")
TEXTS = load_texts()
USED = re.compile(r"""\bt\(\s*["']([a-z0-9_.-]+)["'](\s*[~+])?""")


def sources() -> list[Path]:
    return [
        path
        for party in PARTIES
        for pattern in ("templates/**/*.html", "*.py")
        for path in ROOT.glob(f"{party}/{pattern}")
    ]


@pytest.mark.parametrize("key", sorted(TEXTS.entries))
def test_text_is_there_in_both_languages_with_the_same_blanks(key: str) -> None:
    entry = TEXTS.entries[key]
    assert set(entry) == set(LANGUAGES)
    blanks = {lang: set(re.findall(r"\{(\w+)\}", text)) for lang, text in entry.items()}
    assert blanks["en"] == blanks["zh-Hant"]
    assert all(text.strip() for text in entry.values())


def test_chinese_texts_are_chinese() -> None:
    """No text was left in English; a name of a format or a language's own name may be."""
    plain_ascii = {key for key, entry in TEXTS.entries.items() if entry["zh-Hant"].isascii()}
    assert not {key for key in plain_ascii if re.search("[a-z]{3}", TEXTS.entries[key]["zh-Hant"])} - {
        "lang.other"
    }


def test_every_key_that_is_used_exists() -> None:
    """A key that is put together from a prefix needs at least one entry under it."""
    missing: list[str] = []
    for path in sources():
        for key, joined in USED.findall(path.read_text(encoding="utf-8")):
            known = any(k.startswith(key) for k in TEXTS.entries) if joined else key in TEXTS.entries
            if not known:
                missing.append(f"{path.relative_to(ROOT)}: {key}")
    assert missing == []


@pytest.mark.parametrize("code", [leaf.code for leaf in every_error()])
@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_error_says_something_to_a_person(code: str, lang: str) -> None:
    assert TEXTS.error(code, lang)


@pytest.mark.parametrize("error", every_error(), ids=lambda error: error.code)
def test_what_has_advice_of_its_own_has_a_text_of_its_own(error: type[BauhiniaError]) -> None:
    """On a command line and on a page alike; a branch speaks for the rest."""
    if vars(error).get("advice"):
        assert f"error.{error.code}" in TEXTS.entries


def test_leaf_without_text_speaks_through_its_branch() -> None:
    assert TEXTS.error("status_list_too_small", "en") == TEXTS.error("status_refused", "en")
    assert TEXTS.error("network_forbidden", "en") == TEXTS.error("fault", "en")
    assert TEXTS.error("no_such_code", "en") == TEXTS.error("refused", "en")


def test_missing_key_or_value_is_a_fault() -> None:
    texts = Texts({"a": {"en": "{x}", "zh-Hant": "{x}"}})
    assert texts.text("a", "en", x=1) == "1"
    for key in ("b", "a"):
        with pytest.raises(ConfigurationInvalid):
            texts.text(key, "en")


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("zh", "zh-Hant"),
        ("zh-HK", "zh-Hant"),
        ("ZH-hant-TW", "zh-Hant"),
        ("en-GB", "en"),
        ("fr", None),
        (None, None),
    ],
)
def test_choose(tag: str | None, expected: str | None) -> None:
    assert choose(tag) == expected


def test_accepted_prefers_by_weight() -> None:
    assert accepted("fr;q=1, en;q=0.2, zh-HK;q=0.3") == "zh-Hant"
    assert accepted("fr") is None
    assert accepted("en;q=bad") is None


@pytest.mark.hostile("W17")
def test_w17_plain_keeps_words_and_drops_what_hides() -> None:
    assert plain("  陳大文  Café\u0301 ") == "陳大文 Café\u0301"
    assert plain("a\u202eb\x00c\u200dd") == "a b c d"
    assert len(plain("x" * 5000)) == 200


@pytest.mark.parametrize(
    ("seconds", "en", "zh"),
    [
        (0, "0 seconds", "0秒"),
        (1, "1 second", "1秒"),
        (60, "1 minute", "1分鐘"),
        (90, "90 seconds", "90秒"),
        (900, "15 minutes", "15分鐘"),
        (3600, "1 hour", "1小時"),
        (86400, "24 hours", "24小時"),
    ],
)
def test_durations_have_the_right_unit_and_number(seconds: int, en: str, zh: str) -> None:
    assert (TEXTS.duration(seconds, "en"), TEXTS.duration(seconds, "zh-Hant")) == (en, zh)
