"""QR codes: text to SVG or PNG, and a PNG picture back to text."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any, Final

import numpy as np
import segno
import zxingcpp

from credentials.errors import ImageUnreadable, TooLarge

MAX_TEXT: Final = 2000
MAX_IMAGE_BYTES: Final = 8 << 20
MAX_PIXELS: Final = 24_000_000
_PNG: Final = b"\x89PNG\r\n\x1a\n"
_CHANNELS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


def _make(text: str) -> segno.QRCode:
    # Beyond this a camera at arm's length fails long before the symbol's own limit (2953 bytes).
    if len(text.encode()) > MAX_TEXT:
        raise TooLarge(f"a QR code holds at most {MAX_TEXT} bytes here; give a link by reference")
    return segno.make(text, error="m", micro=False)


def svg(text: str) -> str:
    """An ``<svg>`` element without style or size, to place in a page; always dark on light."""
    inline: str = _make(text).svg_inline(
        border=4, light="#fff", dark="#000", omitsize=True, svgclass="qr", lineclass=None
    )
    return inline


def png(text: str, scale: int = 8) -> bytes:
    """A PNG picture, ``scale`` pixels a module."""
    out = io.BytesIO()
    _make(text).save(out, kind="png", scale=scale, border=4)
    return out.getvalue()


def read_image(data: bytes) -> str:
    """The text of the one QR code in a PNG picture (8 or fewer bits a channel, not interlaced).

    Raises :class:`ImageUnreadable` or :class:`TooLarge`.
    """
    if len(data) > MAX_IMAGE_BYTES:
        raise TooLarge(f"picture over {MAX_IMAGE_BYTES} bytes")
    pixels = _grey(data)
    found = zxingcpp.read_barcodes(pixels, formats=zxingcpp.BarcodeFormats(zxingcpp.BarcodeFormat.QRCode))
    texts = {code.text for code in found}
    if len(texts) != 1:
        raise ImageUnreadable("no QR code in the picture" if not texts else "more than one QR code")
    return str(texts.pop())


def _grey(data: bytes) -> Any:
    """PNG bytes to an array of grey levels (height, width), by the W3C PNG specification, chapters 5 to 9."""
    if not data.startswith(_PNG):
        raise ImageUnreadable("only PNG pictures are read")
    try:
        # 1. Chunks (5.3), until IEND; the checksum of each must hold.
        head, palette, packed, at = b"", b"", bytearray(), len(_PNG)
        while True:
            size, kind = struct.unpack_from(">I4s", data, at)
            body = data[at + 8 : at + 8 + size]
            (check,) = struct.unpack_from(">I", data, at + 8 + size)
            if zlib.crc32(kind + body) != check:
                raise ImageUnreadable("damaged picture")
            if kind == b"IHDR":
                head = body
            elif kind == b"PLTE":
                palette = body
            elif kind == b"IDAT":
                packed += body
            elif kind == b"IEND":
                break
            at += 12 + size
        # 2. Header (11.2.1): what we read, and how large it will be.
        width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", head)
        channels = _CHANNELS[colour]
        if interlaced or depth > 8 or (depth < 8 and channels > 1) or not 0 < width * height <= MAX_PIXELS:
            raise ImageUnreadable("this kind of PNG picture is not read")
        row = (width * channels * depth + 7) // 8
        raw = zlib.decompressobj().decompress(bytes(packed), height * (row + 1))
        # 3. Undo the filters, row by row (9.2).
        rows = _unfilter(raw, height, row, max(1, channels * depth // 8))
    except (struct.error, KeyError, zlib.error, ValueError):
        raise ImageUnreadable("damaged picture") from None
    # 4. Samples to grey.
    if depth < 8:
        bits = np.unpackbits(rows, axis=1).reshape(height, -1, depth)[:, :width]
        rows = (bits * (1 << np.arange(depth - 1, -1, -1))).sum(axis=2).astype(np.uint8)
    if colour == 3:
        levels = np.zeros(256, np.uint8)
        table = np.frombuffer(palette, np.uint8).reshape(-1, 3).mean(axis=1).astype(np.uint8)
        levels[: len(table)] = table
        return np.ascontiguousarray(levels[rows])
    if depth < 8:
        return np.ascontiguousarray(rows * (255 // ((1 << depth) - 1)))
    samples = rows.reshape(height, width, channels)
    grey = samples[:, :, :3].mean(axis=2) if channels >= 3 else samples[:, :, 0].astype(float)
    if channels in (2, 4):  # Transparent is paper.
        alpha = samples[:, :, -1] / 255.0
        grey = grey * alpha + 255.0 * (1 - alpha)
    return np.ascontiguousarray(grey.astype(np.uint8))


def _unfilter(raw: bytes, height: int, row: int, step: int) -> Any:
    lines = np.frombuffer(raw, np.uint8).reshape(height, row + 1)
    out = np.zeros((height, row), np.uint8)
    above = np.zeros(row, np.uint8)
    for y in range(height):
        kind, line = int(lines[y, 0]), lines[y, 1:]
        if kind == 0:
            out[y] = line
        elif kind == 2:
            out[y] = line + above
        elif kind == 1 and row % step == 0:
            out[y] = np.cumsum(line.reshape(-1, step), axis=0, dtype=np.uint8).reshape(-1)
        else:
            out[y] = _unfilter_slow(kind, line.tolist(), above.tolist(), step)
        above = out[y]
    return out


def _unfilter_slow(kind: int, line: list[int], above: list[int], step: int) -> list[int]:
    """Sub, Average and Paeth, which need the byte just restored."""
    done: list[int] = []
    for x, value in enumerate(line):
        left = done[x - step] if x >= step else 0
        corner = above[x - step] if x >= step else 0
        up = above[x]
        if kind == 1:
            predicted = left
        elif kind == 3:
            predicted = (left + up) // 2
        elif kind == 4:
            p = left + up - corner
            # In case of a tie: left, then up, then corner (9.4).
            predicted = min((left, up, corner), key=lambda candidate: abs(p - candidate))
        else:
            raise ImageUnreadable("damaged picture")
        done.append((value + predicted) & 255)
    return done
