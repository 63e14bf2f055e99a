"""The strict readers: one text, one value."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credentials.encoding import (
    MAX_DEPTH,
    b64u,
    canonical_json,
    dump_json,
    load_json,
    load_json_object,
    unb64u,
)
from credentials.errors import Base64Malformed, JsonMalformed, TooLarge

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@given(st.binary(max_size=100))
def test_base64url_round_trip(data: bytes) -> None:
    text = b64u(data)
    assert text == base64.urlsafe_b64encode(data).rstrip(b"=").decode()
    assert unb64u(text) == unb64u(text.encode()) == data


@given(st.text(alphabet=ALPHABET + "+/= \n.~é\x00\ud800", max_size=12))
def test_base64url_reads_only_what_it_writes(text: str) -> None:
    try:
        data = unb64u(text)
    except Base64Malformed:
        return
    assert b64u(data) == text


def test_base64url_last_characters() -> None:
    """Every ending of one, two and three characters: exactly those that encode something are read."""
    for first in "AQz-_":
        with pytest.raises(Base64Malformed):
            unb64u(first)
        for second in ALPHABET:
            for text in (first + second, first + second + "A", first + "A" + second):
                padded = text + "=" * (-len(text) % 4)
                exact = b64u(base64.urlsafe_b64decode(padded)) == text
                try:
                    unb64u(text)
                except Base64Malformed:
                    assert not exact
                else:
                    assert exact


@pytest.mark.parametrize(
    "text", ["AA==", "AAA=", "A A", "AA\n", "\nAA", "A+A", "A/A", "AAAA=", "=", "AAAAA", "é"]
)
def test_base64url_refused(text: str) -> None:
    with pytest.raises(Base64Malformed):
        unb64u(text)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=9),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(st.text(max_size=5), below, max_size=4),
    max_leaves=12,
)


@given(json_values)
def test_json_round_trip(value: Any) -> None:
    assert load_json(dump_json(value)) == value
    assert load_json(dump_json(value).decode()) == value
    spaced = json.dumps(value, indent=1)
    assert load_json(f" \t\r\n{spaced}\n ") == value


@given(st.text(alphabet='{}[]":,0123456789.eE+-truefalsn\\u \n', max_size=20))
def test_json_reads_nothing_that_python_refuses(text: str) -> None:
    try:
        value = load_json(text)
    except JsonMalformed:
        return
    assert json.loads(text) == value


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1,"a":1}',
        '{"a":{"b":1,"b":2}}',
        '[{"a":1,"\\u0061":2}]',
        "[NaN]",
        "[-Infinity]",
        "[1e999]",
        "[1]]",
        "[1] x",
        "{}{}",
        '{"a":1},',
        "",
        " ",
        "\ufeff{}",
        '"\\ud800"',
        '["\\udc00\\ud800"]',
        "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1),
        '{"a":' * (MAX_DEPTH + 1) + "1" + "}" * (MAX_DEPTH + 1),
        "[" * 100_000,
        "9" * 10_000,
    ],
    ids=range(19),
)
def test_json_refused(text: str) -> None:
    with pytest.raises(JsonMalformed):
        load_json(text)
    with pytest.raises(JsonMalformed):
        load_json(text.encode())


def test_json_bytes_refused() -> None:
    for data in (b'"\xff"', b'"\xed\xa0\x80"', b"\xef\xbb\xbf{}", b'"\xc0\x80"', "{}".encode("utf-16")):
        with pytest.raises(JsonMalformed):
            load_json(data)
    with pytest.raises(JsonMalformed):
        load_json('"\ud800"')


def test_json_limits() -> None:
    assert load_json("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    with pytest.raises(TooLarge):
        load_json("[1,2]", max_bytes=4)
    assert load_json("[1,2]", max_bytes=5) == [1, 2]
    for text in ("[]", "1", "null", '"x"'):
        with pytest.raises(JsonMalformed):
            load_json_object(text)


def test_canonical_json_sorts() -> None:
    assert canonical_json({"b": 1, "a": {"d": 1, "c": "文"}}) == '{"a":{"c":"文","d":1},"b":1}'.encode()
