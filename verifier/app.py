"""The composition root of the verifier: a data directory to a desk, a desk to a Flask application."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flask import Flask

from credentials.catalog import load_catalogue
from credentials.certificates import refuse_development
from credentials.encoding import load_json
from credentials.errors import ConfigurationInvalid
from credentials.keys import PublicKey
from credentials.model import Randomness, Seconds
from openid4vc.members import Members
from web.database import sqlite_url
from web.keyfiles import TLS_FILES, load_chain, load_public_jwk, load_signer, read_file, read_private_file
from web.service import Settings, create_service
from web.texts import load_texts

from . import offline
from .desk import Desk
from .holdings import Holdings
from .policy import load_policies
from .routes import add_routes
from .store import MAX_PENDING, Store

CONFIG: Final = "verifier.json"
COOKIE_KEY: Final = "cookie.key"
DATA_KEY: Final = "data.key"
ROOT: Final = "trust-root.jwk"
ACCESS: Final = ("access.crt", "access.key")
TLS_CA: Final = "tls/ca.crt"
POLICIES: Final = "policies"
DATABASE: Final = "verifier.db"


@dataclass(frozen=True, slots=True)
class Config:
    """What ``verifier init`` wrote: the public origin, whether this is production, and where the store is."""

    data: Path
    base_url: str
    production: bool
    database: str

    def root(self) -> PublicKey:
        """The pinned key that opens trust lists."""
        return load_public_jwk(self.data / ROOT)

    def store(self, *, max_pending: int = MAX_PENDING) -> Store:
        key = read_private_file(self.data / DATA_KEY)
        return Store(self.database, key=key, max_pending=max_pending)


def load_config(data: Path, *, base_url: str | None = None) -> Config:
    """Read ``DATA/verifier.json``. Raises :class:`ConfigurationInvalid`, :class:`FileUnreadable`."""
    if not (data / CONFIG).is_file():
        raise ConfigurationInvalid(
            f"{data} is not a verifier's data directory", hint="bauhinia verifier init --help"
        )
    read = Members(load_json(read_file(data / CONFIG)), refusal=ConfigurationInvalid, where=CONFIG)
    return Config(
        data=data,
        base_url=(base_url or read.text("base_url")).rstrip("/"),
        production=read.boolean("production", default=False),
        database=read.optional_text("database") or sqlite_url((data / DATABASE).resolve()),
    )


def open_desk(
    config: Config,
    store: Store,
    *,
    now: Callable[[], Seconds] = lambda: int(time.time()),
    randomness: Randomness = os.urandom,
) -> Desk:
    """Everything a verifier needs, from its data directory."""
    data = config.data
    signer = load_signer(data / ACCESS[0], data / ACCESS[1])
    if config.production:
        for der in (*signer.chain, *load_chain(data / TLS_FILES[0])):
            refuse_development(der)
    folder = data / POLICIES
    return Desk(
        base_url=config.base_url,
        signer=signer,
        policies=load_policies(load_catalogue(), folder if folder.is_dir() else None),
        store=store,
        holdings=Holdings(data, root=config.root(), numbers=store, now=now),
        now=now,
        randomness=randomness,
    )


def create_app(
    data: Path,
    *,
    base_url: str | None = None,
    now: Callable[[], Seconds] = lambda: int(time.time()),
    randomness: Randomness = os.urandom,
    max_pending: int = MAX_PENDING,
) -> Flask:
    """The verifier as a WSGI application; the audit hook of :mod:`offline` is in place before it serves."""
    offline.install()
    config = load_config(data, base_url=base_url)
    settings = Settings(
        base_url=config.base_url, secret=read_private_file(data / COOKIE_KEY), production=config.production
    )
    app = create_service(__name__, settings=settings, texts=load_texts())
    desk = open_desk(config, config.store(max_pending=max_pending), now=now, randomness=randomness)
    app.extensions["verifier"] = desk
    add_routes(app, desk)
    return app
