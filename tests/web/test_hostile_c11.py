"""C11 on the way out: what we put into a QR code ourselves always fits, and the bound counts bytes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from world import PEOPLE, World

from credentials.errors import TooLarge
from openid4vc import vci
from web import qr

FITS = "https://verifier.test/" + "a" * (qr.MAX_TEXT - len("https://verifier.test/"))


@pytest.mark.hostile("C11")
@pytest.mark.parametrize("write", [qr.svg, qr.png])
@pytest.mark.parametrize("text", [FITS + "a", "7" * 7090, "雨" * (qr.MAX_TEXT // 3 + 1), "\0" * 100_000])
def test_c11_payload_over_the_capacity(write: Callable[[str], object], text: str) -> None:
    """By one byte, by kind of character, by far: one error of ours, with nothing of the text in it."""
    with pytest.raises(TooLarge) as refused:
        write(text)
    assert refused.value.code == "too_large"
    assert text[:20] not in str(refused.value)


@pytest.mark.hostile("C11")
def test_c11_the_largest_payload_is_drawn_whole() -> None:
    assert qr.read_image(qr.png(FITS, scale=3)) == FITS


@pytest.mark.hostile("C11")
def test_c11_an_offer_of_everything_fits_by_reference(tmp_path: Path) -> None:
    """By value an offer grows with what is offered; the reference that is drawn does not."""
    world = World(tmp_path)
    enrolled = world.enrol(PEOPLE.adult)
    ids = [*world.everything(enrolled, "dc+sd-jwt"), *world.everything(enrolled, "mso_mdoc")]
    many, one = (world.desk.issuer.offer(enrolled.id, chosen) for chosen in (ids, ids[:1]))
    assert len(many.uri) == len(one.uri) < 200
    assert len(many.by_value) > len(one.by_value)
    assert isinstance(vci.parse_offer_link(many.uri), str)
    assert qr.read_image(qr.png(many.uri, scale=4)) == many.uri
