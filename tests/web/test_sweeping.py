"""A thread that does something again and again, whatever goes wrong."""

from __future__ import annotations

import threading

import pytest

from credentials.errors import StoreUnavailable
from web.sweeping import every


def test_goes_on_after_errors_and_says_only_their_kind(capsys: pytest.CaptureFixture[str]) -> None:
    errors: list[Exception] = [StoreUnavailable("the database is locked"), ValueError("Q123456")]
    third = threading.Event()

    def act() -> None:
        if errors:
            raise errors.pop(0)
        third.set()

    stop = every(0, act, name="test")
    assert third.wait(10)
    stop.set()
    said = capsys.readouterr().err
    assert said == "bauhinia: error: the database is locked\nbauhinia: error: ValueError\n"


def test_acts_at_once_and_stops_when_told() -> None:
    acted = threading.Event()
    stop = every(3600, acted.set, name="test-stop")
    assert acted.wait(10)
    (thread,) = [one for one in threading.enumerate() if one.name == "test-stop"]
    assert thread.daemon
    stop.set()
    thread.join(10)
    assert not thread.is_alive()
