"""Random bytes, mutated from valid ones, into every parser: only typed refusals may come out.

A long run for a maintainer's machine: ``make fuzz SECONDS=600``. The short, seeded version is in the suite.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable

from fuzz_targets import targets  # tests/ is on the path when this file is the program

from credentials.errors import BauhiniaError


def mutate(data: bytes, chance: random.Random) -> bytes:
    """One to three of: flip, insert, delete, repeat, splice."""
    body = bytearray(data)
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(body) + 1)
        match chance.randrange(5):
            case 0 if body:
                body[at % len(body)] ^= 1 << chance.randrange(8)
            case 1:
                body[at:at] = chance.randbytes(chance.randint(1, 8))
            case 2:
                del body[at : at + chance.randint(1, 16)]
            case 3:
                body[at:at] = body[max(0, at - 32) : at]
            case _:
                start = chance.randrange(len(data) + 1)
                body[at : at + 16] = data[start : start + 16]
    return bytes(body)


def run(
    parse: Callable[[bytes], object], seeds: list[bytes], *, seconds: float, seed: int
) -> tuple[int, int]:
    """Executions and refusals; any exception outside the error tree ends the run."""
    chance = random.Random(seed)
    executions = refusals = 0
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for _ in range(200):
            data = mutate(chance.choice(seeds), chance)
            executions += 1
            try:
                parse(data)
            except BauhiniaError:
                refusals += 1
            except BaseException:
                print(f"seed {seed}, execution {executions}: {data.hex()}", file=sys.stderr)
                raise
    return executions, refusals


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=time.time_ns() & 0xFFFF)
    options = parser.parse_args()
    found = targets()
    for name, (parse, seeds) in found.items():
        executions, refusals = run(parse, seeds, seconds=options.seconds / len(found), seed=options.seed)
        print(f"{name:28} {executions:10} executions, {refusals:10} refusals, seed {options.seed}")


if __name__ == "__main__":
    main()
