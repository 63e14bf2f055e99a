"""QR codes: text to SVG or PNG, and a picture back to text."""

from __future__ import annotations

import io
import struct
import warnings
from typing import Final

import segno
import zxingcpp
from PIL import Image, ImageOps

from credentials.errors import ImageUnreadable, TooLarge

MAX_TEXT: Final = 2000
MAX_IMAGE_BYTES: Final = 8 << 20
MAX_PIXELS: Final = 24_000_000
FORMATS: Final = ("PNG", "JPEG", "WEBP")
"""What screens and phone cameras write."""


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
    """The text of the one QR code in a PNG, JPEG or WebP picture of at most 24 million pixels.

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


def _grey(data: bytes) -> Image.Image:
    """The picture in levels of grey, on white, the right way up. What is too large is never decoded."""
    try:
        with warnings.catch_warnings():
            # Pillow only warns of pictures over its own limit; ours is below it and refuses.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
                if picture.width * picture.height > MAX_PIXELS:
                    raise TooLarge(f"picture over {MAX_PIXELS} pixels")
                upright = ImageOps.exif_transpose(picture).convert("RGBA")
    except TooLarge:
        raise
    except (OSError, ValueError, SyntaxError, EOFError, struct.error, Image.DecompressionBombError):
        raise ImageUnreadable("not a PNG, JPEG or WebP picture, or damaged") from None
    paper = Image.new("RGBA", upright.size, "white")
    return Image.alpha_composite(paper, upright).convert("L")
