"""The composition root of the issuer: a data directory to an :class:`Issuer`, an :class:`Issuer` to an app.

settings.json     base URL, production or not
secrets.json      keys of the store (0600)
signers/          one certificate and key per format and type, and the status signer's
trust-list.jwt    as the trust authority signed it
issuer.sqlite     the store            register.sqlite   the register, a database of its own
published/        what `bauhinia issuer publish` wrote
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flask import Flask

from credentials.catalog import FORMAT_SLUGS, load_catalogue
from credentials.certificates import refuse_development
from credentials.encoding import dump_json, load_json_object
from credentials.errors import ConfigurationInvalid, FileUnreadable
from credentials.formats import FORMATS
from credentials.keys import Signer
from credentials.model import Randomness, Seconds
from web.database import sqlite_url
from web.keyfiles import load_signer, read_file, replace_file
from web.service import Settings, create_service
from web.texts import load_texts

from .keyring import load_keyring
from .office import Issuer
from .pages import pages
from .register import SqliteRegister
from .routes import Limits, protocol
from .store import open_store


@dataclass(frozen=True, slots=True)
class Place:
    """Where everything of one issuer lies."""

    data: Path

    @property
    def settings(self) -> Path:
        return self.data / "settings.json"

    @property
    def secrets(self) -> Path:
        return self.data / "secrets.json"

    @property
    def signers(self) -> Path:
        return self.data / "signers"

    @property
    def trust_list(self) -> Path:
        return self.data / "trust-list.jwt"

    @property
    def store(self) -> str:
        return sqlite_url(self.data / "issuer.sqlite")

    @property
    def register(self) -> str:
        return sqlite_url(self.data / "register.sqlite")

    @property
    def published(self) -> Path:
        return self.data / "published"


@dataclass(frozen=True, slots=True)
class IssuerSettings:
    """What ``settings.json`` holds. ``redirect_uris`` are wallets' own, beside loopback addresses."""

    base_url: str
    production: bool = False
    require_dpop_nonce: bool = False
    redirect_uris: tuple[str, ...] = ()
    name: Mapping[str, str] = field(
        default_factory=lambda: {"en": "Bauhinia issuer (synthetic)", "zh-Hant": "洋紫荊發證機構（虛構）"}
    )


def write_settings(place: Place, settings: IssuerSettings) -> None:
    members: dict[str, Any] = {
        "base_url": settings.base_url,
        "production": settings.production,
        "require_dpop_nonce": settings.require_dpop_nonce,
        "redirect_uris": list(settings.redirect_uris),
        "name": dict(settings.name),
    }
    replace_file(place.settings, dump_json(members), mode=0o600)


def read_settings(place: Place) -> IssuerSettings:
    """Raises :class:`FileUnreadable` or :class:`ConfigurationInvalid`."""
    if not place.settings.exists():
        raise FileUnreadable(
            f"there is no issuer in {place.data}", hint="Make one with `bauhinia issuer init`."
        )
    members = load_json_object(read_file(place.settings))
    try:
        return IssuerSettings(
            base_url=members["base_url"],
            production=members["production"],
            require_dpop_nonce=members["require_dpop_nonce"],
            redirect_uris=tuple(members["redirect_uris"]),
            name=members["name"],
        )
    except (TypeError, KeyError):
        raise ConfigurationInvalid(f"{place.settings} is damaged") from None


def load_signers(place: Place, *, production: bool) -> dict[tuple[str, str], Signer]:
    """By format and type name. Raises :class:`DevelopmentKeyRefused` in production."""
    signers = {
        (format, type.name): load_signer(
            place.signers / f"{FORMAT_SLUGS[format]}--{type.slug}.crt",
            place.signers / f"{FORMAT_SLUGS[format]}--{type.slug}.key",
        )
        for format in FORMATS
        for type in load_catalogue().types.values()
    }
    for signer in signers.values():
        _check_signer(signer, production=production)
    return signers


def load_status_signer(place: Place, *, production: bool) -> Signer:
    """Raises :class:`DevelopmentKeyRefused` in production."""
    signer = load_signer(place.signers / "status.crt", place.signers / "status.key")
    _check_signer(signer, production=production)
    return signer


def _check_signer(signer: Signer, *, production: bool) -> None:
    if production:
        for certificate in signer.chain:
            refuse_development(certificate)


def system_clock() -> Seconds:
    return int(time.time())


def open_issuer(
    place: Place,
    *,
    clock: Callable[[], Seconds] = system_clock,
    randomness: Randomness = os.urandom,
    base_url: str | None = None,
) -> Issuer:
    """Open stores and keys. Every process of a server opens its own. ``base_url`` overrides the settings."""
    settings = read_settings(place)
    secrets = load_keyring(place.secrets)
    return Issuer(
        url=base_url or settings.base_url,
        catalogue=load_catalogue(),
        register=SqliteRegister(place.register, key=secrets.register),
        store=open_store(place.store),
        secrets=secrets,
        signers=load_signers(place, production=settings.production),
        clock=clock,
        randomness=randomness,
        production=settings.production,
        require_dpop_nonce=settings.require_dpop_nonce,
        redirect_uris=frozenset(settings.redirect_uris),
    )


def create_app(
    data: Path | str,
    *,
    clock: Callable[[], Seconds] = system_clock,
    randomness: Randomness = os.urandom,
    limits: Limits | None = None,
    base_url: str | None = None,
) -> Flask:
    """The issuer's web application over the data directory ``data``."""
    place = Place(Path(data))
    settings = read_settings(place)
    issuer = open_issuer(place, clock=clock, randomness=randomness, base_url=base_url)
    app = create_service(
        "issuer",
        settings=Settings(issuer.url, issuer.secrets.web, production=settings.production),
        texts=load_texts(),
    )
    app.extensions["issuer"] = issuer
    bounds = limits or Limits.default()
    app.register_blueprint(
        protocol(issuer, published=place.published, name=settings.name, limits=bounds),
    )
    app.register_blueprint(pages(issuer, limits=bounds, production=settings.production))
    return app
