"""The status list itself: many small numbers in one byte string (Token Status List, section 4).

Status ``i`` stands in byte ``i * bits // 8``, the lowest-order bits first.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection
from typing import Final

from credentials.errors import StatusIndexOutOfRange, StatusListInvalid, StatusValueUnknown, TooLarge

VALID: Final = 0
INVALID: Final = 1
SUSPENDED: Final = 2

MAX_BYTES: Final = 1 << 24
"""Most bytes a list may inflate to: 134 million one-bit statuses."""

_LOG_PER_BYTE: Final = {1: 3, 2: 2, 4: 1, 8: 0}


class StatusList:
    """``size`` statuses of ``bits`` bits each over ``data``, which is not copied.

    Over a ``bytearray`` it can be written; a list that was received is over ``bytes`` and stays as it is.
    Raises :class:`StatusListInvalid` unless ``bits`` is 1, 2, 4 or 8 and there is at least one byte.
    """

    __slots__ = ("_in_byte", "_log", "_mask", "bits", "data", "size")

    def __init__(self, bits: int, data: bytes | bytearray) -> None:
        if type(bits) is not int or bits not in _LOG_PER_BYTE:
            raise StatusListInvalid("bits of a status list is not 1, 2, 4 or 8")
        if not data:
            raise StatusListInvalid("a status list of no entries")
        self.bits = bits
        self.data = data
        self.size = len(data) * 8 // bits
        self._log = _LOG_PER_BYTE[bits]
        self._in_byte = 8 // bits - 1
        self._mask = (1 << bits) - 1

    @classmethod
    def empty(cls, size: int, *, bits: int = 1) -> StatusList:
        """A writable list of ``size`` entries, all VALID; ``size`` fills whole bytes."""
        if size < 1 or size * bits % 8:
            raise StatusListInvalid("the size of a status list does not fill whole bytes")
        return cls(bits, bytearray(size * bits // 8))

    @classmethod
    def with_invalid(cls, indices: Collection[int], *, size: int) -> StatusList:
        """A one-bit list of ``size`` entries in which ``indices`` are INVALID; made whole, at once."""
        # Imported here: it takes a tenth of a second, and of all commands only `publish` needs it.
        import numpy as np

        marked = np.fromiter(indices, np.int64, len(indices))
        if size < 1 or size % 8 or (len(marked) and not 0 <= marked.min() <= marked.max() < size):
            raise StatusIndexOutOfRange("status index is not in the list")
        entries = np.zeros(size, np.uint8)
        entries[marked] = INVALID
        return cls(1, np.packbits(entries, bitorder="little").tobytes())

    def get(self, index: int) -> int:
        """The status at ``index``. Raises :class:`StatusIndexOutOfRange`, for what is no integer too."""
        if type(index) is not int or not 0 <= index < self.size:
            raise StatusIndexOutOfRange("status index is not in the list")
        return self.data[index >> self._log] >> (index & self._in_byte) * self.bits & self._mask

    def set(self, index: int, value: int) -> None:
        """Write one status of a writable list."""
        if type(index) is not int or not 0 <= index < self.size:
            raise StatusIndexOutOfRange("status index is not in the list")
        if type(value) is not int or not 0 <= value <= self._mask:
            raise StatusValueUnknown("status value does not fit the list")
        if not isinstance(self.data, bytearray):
            raise StatusListInvalid("a received status list is not written to")
        byte, shift = index >> self._log, (index & self._in_byte) * self.bits
        self.data[byte] = self.data[byte] & ~(self._mask << shift) | value << shift


def pack(statuses: StatusList) -> bytes:
    """``lst``: DEFLATE in the ZLIB format at the highest level (section 4.1)."""
    return zlib.compress(statuses.data, 9)


def unpack(lst: bytes, *, bits: int, max_bytes: int = MAX_BYTES) -> StatusList:
    """Inflate ``lst``, never beyond ``max_bytes``.

    Raises :class:`TooLarge`, or :class:`StatusListInvalid` for what is not exactly one whole ZLIB stream.
    """
    inflater = zlib.decompressobj()
    try:
        data = inflater.decompress(lst, max_bytes + 1)
    except zlib.error:
        raise StatusListInvalid("status list is not a ZLIB stream") from None
    if len(data) > max_bytes:
        raise TooLarge(f"status list inflates to over {max_bytes} bytes")
    if not inflater.eof:
        raise StatusListInvalid("status list is cut short")
    if inflater.unused_data:
        raise StatusListInvalid("bytes follow the status list")
    return StatusList(bits, data)
