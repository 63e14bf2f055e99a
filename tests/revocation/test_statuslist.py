"""The array and its packing, against the official vectors and against a slow model."""

from __future__ import annotations

import gzip
import zlib
from typing import Any

import pytest
from conftest import load_vectors
from hypothesis import given
from hypothesis import strategies as st

from credentials.encoding import b64u, load_cbor, unb64u
from credentials.errors import StatusIndexOutOfRange, StatusListInvalid, StatusValueUnknown, TooLarge
from revocation.statuslist import StatusList, pack, unpack


def official() -> Any:
    return load_vectors("token-status-list", "token_status_list.json")


def both_encodings(case: dict[str, Any]) -> list[StatusList]:
    cbor = load_cbor(bytes.fromhex(case["cbor_hex"]))
    return [
        unpack(unb64u(case["json"]["lst"]), bits=case["json"]["bits"]),
        unpack(cbor["lst"], bits=cbor["bits"]),
    ]


def test_short_lists_of_the_draft() -> None:
    cases = official()["short"]
    assert [case["bits"] for case in cases] == [1, 2]
    for case in cases:
        for statuses in both_encodings(case):
            assert statuses.size == case["size"]
            assert [statuses.get(index) for index in range(statuses.size)] == case["statuses"]
            assert statuses.data == bytes.fromhex(case["byte_array_hex"])


def test_long_lists_of_the_draft() -> None:
    cases = official()["long"]
    assert [case["bits"] for case in cases] == [1, 2, 4, 8]
    for case in cases:
        expected = dict(case["nonzero"])
        for statuses in both_encodings(case):
            assert statuses.size == case["size"] == 1 << 20
            per_byte = 8 // case["bits"]
            listed = [
                at * per_byte + i for at, byte in enumerate(statuses.data) if byte for i in range(per_byte)
            ]
            assert {i: value for i in listed if (value := statuses.get(i))} == expected


def test_writing_the_long_lists_of_the_draft() -> None:
    for case in official()["long"]:
        statuses = StatusList.empty(case["size"], bits=case["bits"])
        for index, value in case["nonzero"]:
            statuses.set(index, value)
        lst = pack(statuses)
        assert zlib.decompress(lst) == zlib.decompress(unb64u(case["json"]["lst"]))
        assert b64u(lst) == case["json"]["lst"]  # zlib of the same kind, octet for octet


@given(bits=st.sampled_from([1, 2, 4, 8]), data=st.data())
def test_any_writes_read_back(bits: int, data: st.DataObject) -> None:
    size = 8 * data.draw(st.integers(1, 20))
    writes = data.draw(
        st.dictionaries(st.integers(0, size - 1), st.integers(0, (1 << bits) - 1), max_size=30)
    )
    statuses = StatusList.empty(size, bits=bits)
    for index, value in writes.items():
        statuses.set(index, value ^ 1 if bits > 1 else 1)  # written over by the next line
        statuses.set(index, value)
    again = unpack(pack(statuses), bits=bits)
    assert again.size == size
    assert [again.get(index) for index in range(size)] == [writes.get(index, 0) for index in range(size)]
    # The definition: bits of the whole as one little-endian number.
    whole = int.from_bytes(again.data, "little")
    assert all(again.get(i) == whole >> i * bits & (1 << bits) - 1 for i in range(size))


@given(st.sets(st.integers(0, 4095)))
def test_a_list_made_whole_equals_one_written_entry_by_entry(indices: set[int]) -> None:
    statuses = StatusList.empty(4096)
    for index in indices:
        statuses.set(index, 1)
    assert StatusList.with_invalid(sorted(indices), size=4096).data == bytes(statuses.data)


@pytest.mark.parametrize(("indices", "size"), [([-1], 8), ([8], 8), ([], 7), ([], 0)])
def test_a_list_made_whole_refuses_what_does_not_fit(indices: list[int], size: int) -> None:
    with pytest.raises(StatusIndexOutOfRange):
        StatusList.with_invalid(indices, size=size)


@pytest.mark.parametrize("bits", [0, 3, 5, 16, -1, True, 1.0, "1", None])
def test_bits(bits: Any) -> None:
    with pytest.raises(StatusListInvalid, match="bits"):
        StatusList(bits, b"\x00")


def test_sizes() -> None:
    for size in (0, -8, 7, 9):
        with pytest.raises(StatusListInvalid):
            StatusList.empty(size)
    with pytest.raises(StatusListInvalid, match="no entries"):
        StatusList(1, b"")
    assert StatusList.empty(8).size == 8
    assert StatusList.empty(2, bits=4).size == 2


@pytest.mark.parametrize("index", [16, 17, -1, 1 << 63, 1.0, "1", None, True])
def test_indices(index: Any) -> None:
    statuses = StatusList.empty(16)
    with pytest.raises(StatusIndexOutOfRange):
        statuses.get(index)
    with pytest.raises(StatusIndexOutOfRange):
        statuses.set(index, 1)


@pytest.mark.parametrize("value", [4, -1, True, 1.0, None])
def test_values_that_do_not_fit(value: Any) -> None:
    statuses = StatusList.empty(16, bits=2)
    with pytest.raises(StatusValueUnknown):
        statuses.set(3, value)
    assert statuses.data == bytes(4)


def test_a_received_list_is_not_written_to() -> None:
    received = unpack(pack(StatusList.empty(16)), bits=1)
    with pytest.raises(StatusListInvalid, match="not written"):
        received.set(0, 1)


def test_streams_that_are_not_exactly_one_zlib_stream() -> None:
    good = pack(StatusList.empty(1 << 17))
    deflate = zlib.compressobj(wbits=-15)
    raw = deflate.compress(bytes(100)) + deflate.flush()
    for data in (b"", b"\x78", raw, gzip.compress(bytes(100)), bytes(100), good[:-1], good[: len(good) // 2]):
        with pytest.raises(StatusListInvalid):
            unpack(data, bits=1)
    for after in (b"\x00", good):
        with pytest.raises(StatusListInvalid, match="bytes follow"):
            unpack(good + after, bits=1)
    wrong_sum = good[:-1] + bytes([good[-1] ^ 1])
    with pytest.raises(StatusListInvalid):
        unpack(wrong_sum, bits=1)


def test_the_bound_is_exact() -> None:
    lst = pack(StatusList.empty(8 * 1000))
    assert unpack(lst, bits=1, max_bytes=1000).size == 8000
    with pytest.raises(TooLarge):
        unpack(lst, bits=1, max_bytes=999)
