"""RFC 7049 Appendix A through the strict reader: what it refuses, it refuses for a reason."""

from __future__ import annotations

import math
from typing import Any

import cbor2
import pytest
from conftest import load_vectors

from credentials.encoding import dump_cbor, load_cbor
from credentials.errors import CborMalformed, TooLarge

HALF_OR_SINGLE = "floating point is read in double precision only: one number, one form"
NAN = "NaN equals nothing, not even itself"
INDEFINITE = "indefinite length"

REFUSED = {
    **dict.fromkeys(
        (
            "f90000 f98000 f93c00 f93e00 f97bff f90001 f90400 f9c400 fa47c35000 fa7f7fffff "
            "fa7f800000 faff800000 fb7ff0000000000000 fbfff0000000000000"
        ).split(),
        HALF_OR_SINGLE,
    ),
    **dict.fromkeys(("f97e00", "fa7fc00000", "fb7ff8000000000000"), NAN),
    **dict.fromkeys(
        (
            "5f42010243030405ff 7f657374726561646d696e67ff 9fff 9f018202039f0405ffff 9f01820203820405ff "
            "83018202039f0405ff 83019f0203ff820405 "
            "9f0102030405060708090a0b0c0d0e0f101112131415161718181819ff "
            "bf61610161629f0203ffff 826161bf61626163ff bf6346756ef563416d7421ff"
        ).split(),
        INDEFINITE,
    ),
    "f818": "a simple value below 32 in two bytes, which RFC 8949 no longer allows",
}
"""Encodings of the appendix that the reader refuses, and why."""


def plain(value: Any) -> Any:
    """Tags away, for comparison with what the appendix says in JSON."""
    if isinstance(value, cbor2.CBORTag):
        return (
            int.from_bytes(value.value, "big") if value.tag == 2 else -1 - int.from_bytes(value.value, "big")
        )
    return value


def test_appendix_a() -> None:
    cases = load_vectors("cbor-rfc7049", "appendix_a.json")
    assert len(cases) == 82
    refused = set()
    for case in cases:
        data = bytes.fromhex(case["hex"])
        try:
            value = load_cbor(data)
        except CborMalformed:
            refused.add(case["hex"])
            continue
        assert dump_cbor(value) == data, case["hex"]
        if "decoded" in case:
            assert plain(value) == case["decoded"], case["hex"]
    assert refused == {case["hex"] for case in cases} & REFUSED.keys()


@pytest.mark.parametrize("value", [1.1, -4.1, 1e300, math.inf])
def test_one_form_of_a_number(value: float) -> None:
    assert load_cbor(dump_cbor(value)) == value


@pytest.mark.parametrize(
    "data",
    (
        " 0000 1800 190001 1a00000001 1b0000000000000001 3800 5800 7800 9800 b800 c10000 "
        "a1f97e0000 82f97e0000 c1f97e00 a200010002 a201000100 61ff ff"
    ).split(" "),
)
def test_refused(data: str) -> None:
    with pytest.raises(CborMalformed):
        load_cbor(bytes.fromhex(data))


def test_the_bytes_of_nan_inside_a_string_are_just_bytes() -> None:
    assert load_cbor(b"\x43\xf9\x7e\x00") == b"\xf9\x7e\x00"
    assert load_cbor(b"\xa1\x01\x43\xf9\x7e\x00") == {1: b"\xf9\x7e\x00"}


def test_too_large() -> None:
    with pytest.raises(TooLarge):
        load_cbor(bytes(11), max_bytes=10)
