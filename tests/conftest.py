"""What every test shares: where the official vectors are, how hypothesis runs, what a hostile id is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

VECTORS = Path(__file__).resolve().parents[2] / "shared" / "vectors"

# No test asserts a time: a slow machine must not turn into a red build.
settings.register_profile(
    "bauhinia", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("bauhinia")


def vectors(folder: str) -> Path:
    """The folder of official vectors, or a skip that names it."""
    path = VECTORS / folder
    if not path.is_dir():
        pytest.skip(f"folder ../shared/vectors/{folder} is absent")
    return path


def load_vectors(folder: str, file: str) -> Any:
    return json.loads((vectors(folder) / file).read_text(encoding="utf-8"))
