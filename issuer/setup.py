"""Make an issuer's directory: keys copied from the trust authority, secrets, register, store, settings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from credentials.errors import ConfigurationInvalid, FileUnreadable
from credentials.model import Randomness
from web.keyfiles import TLS_FILES, read_file, replace_file, write_private_file

from .app import IssuerSettings, Place, load_signers, load_status_signer, write_settings
from .keyring import create_keyring, load_keyring
from .register import SqliteRegister
from .store import open_store


def set_up(
    place: Place,
    settings: IssuerSettings,
    *,
    trust: Path,
    fill: Callable[[SqliteRegister], int],
    randomness: Randomness,
) -> int:
    """Make the directory; ``fill`` puts people into the new register. How many people it holds then.

    ``trust`` is where ``issuer/*.crt``, ``issuer/*.key`` and ``trust-list.jwt`` are. Raises
    :class:`ConfigurationInvalid` where an issuer is there already, :class:`FileUnreadable`,
    :class:`DevelopmentKeyRefused`.
    """
    if place.settings.exists():
        raise ConfigurationInvalid(f"{place.data} already holds an issuer", hint="Choose another --data.")
    place.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    # 1. Keys that may sign here.
    _copy_signers(trust, place)
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


def _copy_signers(trust: Path, place: Place) -> None:
    source = trust / "issuer"
    files = sorted((*source.glob("*.crt"), *source.glob("*.key")))
    if not files:
        raise FileUnreadable(
            f"there are no issuer keys in {trust}", hint="Make some with `bauhinia trust init`."
        )
    for file in files:
        write = write_private_file if file.suffix == ".key" else replace_file
        write(place.signers / file.name, read_file(file))
    replace_file(place.trust_list, read_file(trust / "trust-list.jwt"))
    # A development PKI brings the server's TLS certificate along; elsewhere `serve` is told of one.
    for name in TLS_FILES:
        if (trust / name).is_file():
            write = write_private_file if name.endswith(".key") else replace_file
            write(place.data / name, read_file(trust / name))
