"""QR codes out and in; a picture is untrusted input (C11)."""

from __future__ import annotations

import io
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from credentials.errors import ImageUnreadable, Malformed, TooLarge
from web import qr

LINK = "openid4vp://?client_id=x509_hash%3Aabc&request_uri=https%3A%2F%2Fshop.test%2Frequest%2F1"


@pytest.mark.parametrize("scale", [3, 8])
@pytest.mark.parametrize("text", [LINK, "x" * 1500, "中文"])
def test_round_trip(text: str, scale: int) -> None:
    assert qr.read_image(qr.png(text, scale)) == text


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_every_kind_of_png_that_programs_write(mode: str) -> None:
    """Pillow's encoder uses all five filters on colour pictures."""
    picture = Image.open(io.BytesIO(qr.png(LINK, 6))).convert("RGB")
    for x in range(0, picture.width, 3):
        picture.putpixel((x, 2), (x % 256, 200, 255 - x % 256))
    out = io.BytesIO()
    picture.convert(mode).save(out, "PNG")
    assert qr.read_image(out.getvalue()) == LINK


def test_svg_has_no_style_and_is_dark_on_light() -> None:
    drawn = qr.svg(LINK)
    assert drawn.startswith("<svg ")
    assert "style" not in drawn
    assert 'fill="#fff"' in drawn
    assert LINK not in drawn


@pytest.mark.hostile("C11")
def test_c11_text_beyond_what_a_camera_reads() -> None:
    with pytest.raises(TooLarge):
        qr.svg("x" * 2001)
    with pytest.raises(TooLarge):
        qr.png("x" * 4000)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def picture(
    width: int, height: int, data: bytes, *, depth: int = 8, colour: int = 0, interlaced: int = 0
) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(data))
        + chunk(b"IEND", b"")
    )


def written(kind: str) -> bytes:
    out = io.BytesIO()
    Image.open(io.BytesIO(qr.png(LINK, 6))).convert("RGB").save(out, kind)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_what_phone_cameras_write(kind: str) -> None:
    assert qr.read_image(written(kind)) == LINK


@pytest.mark.hostile("C11", "C3")
@pytest.mark.parametrize(
    "data",
    [
        b"", b"not a picture", b"\x89PNG\r\n\x1a\n", qr.png("x")[:100], picture(4, 4, b"\0" * 10),
        picture(0, 4, b""), picture(2, 2, b"\x09" + b"\0" * 5), picture(2, 2, b"\0" * 6, colour=7),
        picture(100, 100, b"\0" * (101 * 100)), written("JPEG")[:200], written("GIF"), written("BMP"),
    ],
)  # fmt: skip
def test_c11_bad_pictures_are_refused(data: bytes) -> None:
    with pytest.raises(ImageUnreadable) as caught:
        qr.read_image(data)
    assert caught.value.code == "image_unreadable"


@pytest.mark.hostile("C11", "C3")
@pytest.mark.parametrize(("side", "error"), [(5000, TooLarge), (1 << 16, ImageUnreadable)])
def test_c11_a_picture_that_would_swell_is_refused_before_it_is_decoded(
    side: int, error: type[Malformed]
) -> None:
    with pytest.raises(error):
        qr.read_image(picture(side, side, b""))


@pytest.mark.hostile("C11")
def test_c11_too_large_a_file() -> None:
    with pytest.raises(TooLarge):
        qr.read_image(b"\x89PNG" + bytes(9 << 20))


@given(st.binary(max_size=400))
def test_any_bytes_are_refused_in_our_own_words(data: bytes) -> None:
    with pytest.raises(Malformed):
        qr.read_image(b"\x89PNG\r\n\x1a\n" + data)
