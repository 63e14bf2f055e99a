"""The short import names are ours, and the kernel keeps its direction."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ["bauhinia", "credentials", "issuer", "openid4vc", "revocation", "verifier", "wallet", "web"]


@pytest.mark.parametrize("name", PACKAGES)
def test_package_is_imported_from_this_tree(name: str) -> None:
    """A stranger's package of the same generic name would otherwise win without a word."""
    module = importlib.import_module(name)
    assert module.__file__ is not None
    assert Path(module.__file__).resolve().parent == ROOT / name


@pytest.mark.parametrize("name", PACKAGES)
def test_no_module_is_above_500_lines(name: str) -> None:
    long = {
        path.name: count
        for path in (ROOT / name).rglob("*.py")
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > 500
    }
    assert long == {}


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_lock_file_names_no_host(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    assert "--hash=sha256:" in text
    assert "://" not in text
    assert "--index" not in text
