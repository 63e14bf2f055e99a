"""Make an issuer's directory: keys copied from the trust authority, secrets, register, store, settings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from credentials.errors import ConfigurationInvalid, FileUnreadable
from credentials.model import Randomness, Seconds
from credentials.trust import open_trust_list
from web.keyfiles import (
    TLS_FILES,
    load_public_jwk,
    read_file,
    replace_file,
    whole_or_nothing,
    write_private_file,
)
from web.service import Settings

from .app import IssuerSettings, Place, load_signers, load_status_signer, write_settings
from .keyring import create_keyring, load_keyring
from .register import SqliteRegister
from .store import open_store

MADE: Final = (
    "settings.json",
    "secrets.json",
    "signers",
    "trust-list.jwt",
    "issuer.sqlite*",
    "register.sqlite*",
    "published",
    "tls",
)
"""What a set-up makes in the directory of an issuer."""


def set_up(
    place: Place,
    settings: IssuerSettings,
    *,
    trust: Path,
    fill: Callable[[SqliteRegister], int],
    randomness: Randomness,
    now: Seconds,
) -> int:
    """Make the directory; ``fill`` puts people into the new register. How many people it holds then.

    ``trust`` is where ``issuer/*.crt``, ``issuer/*.key``, ``trust-list.jwt`` and ``trust-root.jwk`` are.
    Raises :class:`ConfigurationInvalid` where an issuer is there already, for a base URL that is no origin or
    that the trust list does not name, :class:`FileUnreadable`, :class:`DevelopmentKeyRefused`. Then nothing
    that it made is left.
    """
    if place.settings.exists():
        raise ConfigurationInvalid(f"{place.data} already holds an issuer", hint="Choose another --data.")
    Settings(settings.base_url, bytes(32), production=settings.production)
    signers = _issuer_keys(trust)
    _check_listed(settings.base_url, trust, now=now)
    with whole_or_nothing(place.data, MADE):
        return _make(place, settings, trust=trust, signers=signers, fill=fill, randomness=randomness)


def _issuer_keys(trust: Path) -> list[Path]:
    """The first thing to miss in a folder that `trust init` did not make, or made for somebody else."""
    source = trust / "issuer"
    files = sorted((*source.glob("*.crt"), *source.glob("*.key")))
    if not files:
        raise FileUnreadable(
            f"there are no issuer keys in {trust}", hint="Make some with `bauhinia trust init`."
        )
    return files


def _check_listed(url: str, trust: Path, *, now: Seconds) -> None:
    """Nobody would believe what an issuer signs that is not on the list."""
    if not (trust / "trust-list.jwt").is_file():
        raise FileUnreadable(
            f"there is no trust list in {trust}", hint="Make one with `bauhinia trust init`."
        )
    root = load_public_jwk(trust / "trust-root.jwk")
    listed = open_trust_list(read_file(trust / "trust-list.jwt"), root=root, now=now).issuers
    if url not in {issuer.id for issuer in listed}:
        raise ConfigurationInvalid(
            "the trust list names no issuer with this base URL",
            hint=f"It names {', '.join(issuer.id for issuer in listed)}.",
        )


def _make(
    place: Place,
    settings: IssuerSettings,
    *,
    trust: Path,
    signers: list[Path],
    fill: Callable[[SqliteRegister], int],
    randomness: Randomness,
) -> int:
    place.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    # 1. Keys that may sign here.
    _copy_signers(signers, trust, place)
    load_signers(place, production=settings.production)
    load_status_signer(place, production=settings.production)
    # 2. Secrets of this issuer alone; those of a set-up that was interrupted are kept.
    there = place.secrets.exists()
    secrets = load_keyring(place.secrets) if there else create_keyring(place.secrets, randomness=randomness)
    # 3. The databases.
    people = fill(SqliteRegister(place.register, key=secrets.register, randomness=randomness))
    open_store(place.store).engine.dispose()
    # 4. Last: where settings stand, the issuer is complete.
    write_settings(place, settings)
    return people


def _copy_signers(signers: list[Path], trust: Path, place: Place) -> None:
    for file in signers:
        write = write_private_file if file.suffix == ".key" else replace_file
        write(place.signers / file.name, read_file(file))
    replace_file(place.trust_list, read_file(trust / "trust-list.jwt"))
    # A development PKI brings the server's TLS certificate along; elsewhere `serve` is told of one.
    for name in TLS_FILES:
        if (trust / name).is_file():
            write = write_private_file if name.endswith(".key") else replace_file
            write(place.data / name, read_file(trust / name))
