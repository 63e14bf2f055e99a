"""Sealed values of the store: right key, right place, unchanged, and of no telling size."""

from __future__ import annotations

import pytest

from credentials.errors import ConfigurationInvalid, StoreInvalid
from verifier.sealing import Seal

KEY = bytes(range(32))


def test_opens_in_its_place_and_nowhere_else() -> None:
    sealed = Seal(KEY).close('{"age/1": {"age_over_18": true}}', place="learned a")
    assert Seal(KEY).open(sealed, place="learned a") == '{"age/1": {"age_over_18": true}}'
    flipped = sealed[:-3] + ("A" if sealed[-3] != "A" else "B") + sealed[-2:]
    for seal, text, place in (
        (Seal(KEY), sealed, "learned b"),
        (Seal(bytes(32)), sealed, "learned a"),
        (Seal(KEY), flipped, "learned a"),
        (Seal(KEY), "", "learned a"),
        (Seal(KEY), "AAAA", "learned a"),
        (Seal(KEY), "not base64!", "learned a"),
    ):
        with pytest.raises(StoreInvalid):
            seal.open(text, place=place)


def test_size_does_not_tell_true_from_false() -> None:
    sizes = {len(Seal(KEY).close(text, place="p")) for text in ("true", "false", "x" * 200)}
    assert len(sizes) == 1
    assert Seal(KEY).close("true", place="p") != Seal(KEY).close("true", place="p")


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_key_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(ConfigurationInvalid):
        Seal(bytes(length))
