"""The identity card number: official examples, every known trap, and that nothing prints it."""

from __future__ import annotations

import hashlib
import hmac
import random
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credentials import hkid as hkids
from credentials.errors import HkidCheckFailed, HkidMalformed, RealNumberRefused
from credentials.hkid import Hkid, check_character, of_body, parse

# Published worked examples, and computed ones with the made-up prefixes Q and QQ.
EXAMPLES = {
    "A123456": "3",
    "AB123456": "9",
    "E364912": "5",
    "AB987654": "3",
    "D288754": "2",
    "G123456": "A",
    "K000000": "0",
    "WX123456": "9",
    "Q000000": "7",
    "Q000001": "5",
    "Q000002": "3",
    "Q000003": "1",
    "Q000004": "A",
    "Q000005": "8",
    "Q000006": "6",
    "Q000007": "4",
    "Q000008": "2",
    "Q000009": "0",
    "Q000013": "9",
    "Q123456": "7",
    "QQ123456": "9",
}
EQUAL_MOD_11 = ("ALW", "BMX", "CNY", "DOZ", "EP", "FQ", "GR", "HS", "IT", "JU", "KV")
BODIES = st.from_regex(r"\A[A-Z]{1,2}[0-9]{6}\Z")


def weighted(body: str, *, letter: int, space: int) -> str:
    """The check character by some formula: A is ``letter``, the padding is ``space``."""
    values = [
        space if c == " " else int(c) if c.isdigit() else ord(c) - ord("A") + letter for c in body.rjust(8)
    ]
    total = sum(weight * value for weight, value in zip(range(9, 1, -1), values, strict=True))
    return "0123456789A"[(11 - total % 11) % 11]


@pytest.mark.parametrize(("body", "check"), EXAMPLES.items())
def test_check_character_of_the_examples(body: str, check: str) -> None:
    assert check_character(body) == check
    assert parse(f"{body}({check})") == Hkid(body, check) == of_body(body)


@pytest.mark.parametrize(("body", "check"), EXAMPLES.items())
def test_every_other_check_character_is_refused(body: str, check: str) -> None:
    for other in set("0123456789A") - {check}:
        with pytest.raises(HkidCheckFailed) as refusal:
            parse(f"{body}({other})")
        assert refusal.value.code == "hkid_check_failed"
        assert body not in str(refusal.value)


def test_space_as_58_is_the_same() -> None:
    assert all(weighted(body, letter=10, space=58) == check for body, check in EXAMPLES.items())


def test_space_as_0_with_a_as_1_is_right_for_one_letter_only() -> None:
    assert weighted("A123456", letter=1, space=0) == "3"
    assert weighted("AB123456", letter=1, space=0) == "8"
    with pytest.raises(HkidCheckFailed):
        parse("AB123456(8)")


def test_space_as_36_with_a_as_1_is_wrong() -> None:
    assert weighted("A123456", letter=1, space=36) == "9"
    with pytest.raises(HkidCheckFailed):
        parse("A123456(9)")


def test_x_for_ten_is_not_a_check_character() -> None:
    with pytest.raises(HkidMalformed) as refusal:
        parse("G123456(X)")
    assert refusal.value.code == "hkid_malformed"


@pytest.mark.parametrize("letters", EQUAL_MOD_11)
def test_letters_equal_mod_11_share_their_check_character(letters: str) -> None:
    # So a right check character does not show that the letter was read right.
    assert len({check_character(f"{letter}123456") for letter in letters}) == 1
    assert len({of_body(f"{letter}123456") for letter in letters}) == len(letters)


def test_letters_that_differ_mod_11_do_not() -> None:
    assert len({check_character(f"{letters[0]}123456") for letters in EQUAL_MOD_11}) == 11


@given(BODIES, st.integers(0, 5), st.integers(1, 9))
def test_every_wrong_digit_is_found(body: str, place: int, change: int) -> None:
    at = len(body) - 6 + place
    wrong = body[:at] + str((int(body[at]) + change) % 10) + body[at + 1 :]
    with pytest.raises(HkidCheckFailed):
        Hkid(wrong, check_character(body))


@given(BODIES, st.integers(0, 4))
def test_every_swap_of_neighbouring_digits_is_found(body: str, place: int) -> None:
    at = len(body) - 6 + place
    swapped = body[:at] + body[at + 1] + body[at] + body[at + 2 :]
    if swapped != body:
        with pytest.raises(HkidCheckFailed):
            Hkid(swapped, check_character(body))


@pytest.mark.parametrize(
    "text",
    [
        "A123456(3)",
        "A1234563",
        " A123456(3)",
        "A123456 (3)",
        " A 123456 (3) ",
        "a123456(3)",
        "\uff21\uff11\uff12\uff13\uff14\uff15\uff16\uff08\uff13\uff09",  # all full-width
        "A123456\uff083\uff09",
        "\uff41123456(3)",
        "\u3000A123456(3)",
        "a1234563",
        "A123456[3]",
        "A123456\u30103\u3011",
        "A123456\u30143\u3015",
        "AI23456(3)",
        "Ai23456(3)",
        "\tA123456(3)\r\n",
        "A123456(3)\n",
    ],
)
def test_written_forms(text: str) -> None:
    assert parse(text).canonical == "A123456"


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("QOOOOO9(O)", "Q000009"),
        ("qoooo13(9)", "Q000013"),
        ("O123456(1)", "O123456"),
        ("G123456A", "G123456"),
        ("g123456(a)", "G123456"),
    ],
)
def test_o_and_0_are_told_apart_by_place(text: str, canonical: str) -> None:
    assert parse(text).canonical == canonical


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A123456",
        "AB123456",
        "A12345(3)",
        "A12345678(3)",
        "ABC123456(3)",
        "123456(3)",
        "A123456(3",
        "A123456 3)",
        "A123456(3]",
        "A123456()",
        "A123456((3))",
        "A123456(33)",
        "A123456(B)",
        "A-123456(3)",
        "A123456(3)\v",
        "0123456(1)",
        "1123456(5)",
        "A01234564",
        "A12345673",
        "A123456(3)\x00",
        "A\t123456(3)",
        "Α123456(3)",  # a Greek Alpha
        "A①23456(3)",
        "A¹23456(3)",
        "A١23456(3)",  # an Arabic-Indic digit
        "ı123456(0)",  # upper-cases to I
        "ſ123456(0)",  # upper-cases to S
        "A123456(3)" + " " * 40,
    ],
)
def test_refused_forms(text: str) -> None:
    with pytest.raises(HkidMalformed) as refusal:
        parse(text)
    assert refusal.value.code == "hkid_malformed"
    assert "123456" not in str(refusal.value)


@pytest.mark.parametrize(
    "body", ["", "A12345", "a123456", "A1234567", "A123456\n", "\uff21123456", "ABC123456"]
)
def test_a_body_is_canonical_or_refused(body: str) -> None:
    with pytest.raises(HkidMalformed):
        check_character(body)
    with pytest.raises(HkidMalformed):
        Hkid(body, "3")


def test_a_check_is_one_character() -> None:
    with pytest.raises(HkidMalformed):
        Hkid("A123456", "33")


def test_no_number_with_a_digit_too_many_is_read() -> None:
    """A digit is never taken for a letter, so what is one character too long is no number at all."""
    source = random.Random(20)
    for _ in range(20_000):
        body = source.choice(("Q", "QQ", "A", "I", "O", "AO")) + f"{source.randrange(10**6):06}"
        place = source.randrange(len(body) + 1)
        longer = body[:place] + str(source.randrange(10)) + body[place:]
        for text in (f"{longer}({check_character(body)})", longer + check_character(body)):
            with pytest.raises(HkidMalformed):
                parse(text)


@given(st.text(max_size=20))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        number = parse(text)
    except (HkidMalformed, HkidCheckFailed):
        return
    assert check_character(number.canonical) == number.check


def test_nothing_prints_a_number() -> None:
    number = of_body("Q123456")
    for text in (repr(number), str(number), f"{number}", repr([number]), f"{number!r:>20}"):
        assert "123456" not in text
    with pytest.raises(HkidCheckFailed) as refusal:
        Hkid("Q123456", "0")
    assert "Q123456" not in "".join(traceback.format_exception_only(refusal.value))


def test_record_is_the_keyed_prf_of_the_canonical_form() -> None:
    number = parse(" q123456(7)")
    expected = hmac.new(b"k" * 32, b"bauhinia/v1|Q123456", hashlib.sha256).digest()
    assert hkids.record(b"k" * 32, number) == expected
    assert hkids.record(b"l" * 32, number) != expected


@pytest.mark.parametrize("body", ["Q000004", "QQ123456"])
def test_synthetic_numbers_pass(body: str) -> None:
    assert hkids.refuse_real(of_body(body)).canonical == body


@pytest.mark.parametrize("body", ["A123456", "F123456", "QA123456", "AQ123456", "O123456"])
def test_other_prefixes_are_refused(body: str) -> None:
    with pytest.raises(RealNumberRefused) as refusal:
        hkids.refuse_real(of_body(body))
    assert refusal.value.code == "real_number_refused"
    assert "123456" not in str(refusal.value)
