"""A short, seeded run of every fuzzing target: only typed refusals come out. The long run: ``make fuzz``."""

from __future__ import annotations

import contextlib
import random

import pytest
from fuzz import mutate
from fuzz_targets import targets

from credentials.errors import BauhiniaError

TARGETS = targets()
EXECUTIONS = 300


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_are_valid(name: str) -> None:
    """A target whose seeds are refused would test the first check and nothing behind it."""
    parse, seeds = TARGETS[name]
    for seed in seeds:
        parse(seed)


@pytest.mark.parametrize("name", TARGETS)
def test_mutations_end_in_our_own_refusals(name: str) -> None:
    parse, seeds = TARGETS[name]
    chance = random.Random(20261122)
    refused = 0
    for _ in range(EXECUTIONS):
        data = mutate(chance.choice(seeds), chance)
        with contextlib.suppress(BauhiniaError):
            try:
                parse(data)
            except BauhiniaError:
                refused += 1
                raise
            except BaseException as error:
                error.add_note(f"{name}: {data.hex()}")
                raise
    assert refused > 0
