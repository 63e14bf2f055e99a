"""The composition root of the wallet: a folder and a passphrase to an open :class:`Wallet`.

DIR/vault.db    the vault, and nothing beside it: settings, trust list and log are sealed inside
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterable
from pathlib import Path

import httpx

from credentials.catalog import load_catalogue
from credentials.encoding import load_json_object
from credentials.errors import ConfigurationInvalid
from credentials.keys import PublicKey
from credentials.model import Seconds
from credentials.trust import open_trust_list
from openid4vc.uris import LOOPBACK_HOSTS, parse_url
from web.egress import Egress, EgressPolicy, PinnedTransport
from web.keyfiles import read_file

from .backup import Backup
from .records import Grant, Settings, StoredKey
from .sealing import MODERATE, Cost
from .vault import Vault
from .wallet import Wallet, read_settings


def vault_path(data: Path) -> Path:
    return data / "vault.db"


def settings_from(
    trust_folder: Path, *, ca: Path | None, loopback_origins: Iterable[str], now: Seconds
) -> Settings:
    """Settings of a new wallet from a trust folder (``trust-root.jwk`` and ``trust-list.jwt``).

    The root is pinned from here on. Raises as ``open_trust_list``, :class:`FileUnreadable`, and
    :class:`ConfigurationInvalid` for a loopback origin that is none, or beside a production trust list.
    """
    root = load_json_object(read_file(trust_folder / "trust-root.jwk"))
    trust_list = read_file(trust_folder / "trust-list.jwt").strip()
    trust = open_trust_list(trust_list, root=PublicKey.from_jwk(root), now=now)
    origins = tuple(dict.fromkeys(origin.rstrip("/") for origin in loopback_origins))
    if origins and trust.environment == "production":
        raise ConfigurationInvalid("loopback origins are for development; this trust list is for production")
    for origin in origins:
        if parse_url(origin).host not in LOOPBACK_HOSTS or parse_url(origin).origin != origin:
            raise ConfigurationInvalid("--allow-loopback takes an origin such as https://localhost:8701")
    return Settings(
        trust_root=PublicKey.from_jwk(root).jwk(),
        trust_list=trust_list.decode("ascii"),
        newest_sequence=trust.sequence,
        ca=read_file(ca).decode("ascii", "replace") if ca else None,
        loopback_origins=origins,
    )


def create_wallet(data: Path, passphrase: str, settings: Settings, *, cost: Cost = MODERATE) -> Wallet:
    """A new wallet in ``data``."""
    egress = egress_for(settings, production=_production(settings))
    vault = Vault.create(vault_path(data), passphrase, randomness=os.urandom, cost=cost)
    with vault.writing() as rows:
        rows.put("settings", settings.body())
    return Wallet(vault, egress, load_catalogue())


def restore_wallet(data: Path, passphrase: str, backup: Backup, *, cost: Cost = MODERATE) -> Wallet:
    """A new wallet from a backup: settings, log, and grants without tokens, to sign in for again."""
    wallet = create_wallet(data, passphrase, backup.settings, cost=cost)
    with wallet.vault.writing() as rows:
        for entry in backup.log:
            rows.put("log", entry.body())
        for item in backup.reissue:
            grant = Grant("", item.issuer, item.configurations, None, StoredKey.generate())
            rows.put("grant", grant.body())
    return wallet


def open_wallet(data: Path, passphrase: str, *, discard_copies: bool = False) -> Wallet:
    """The wallet in ``data``. Raises as :meth:`.Vault.open`."""
    vault = Vault.open(vault_path(data), passphrase, randomness=os.urandom, discard_copies=discard_copies)
    settings = read_settings(vault)
    return Wallet(vault, egress_for(settings, production=_production(settings)), load_catalogue())


def _production(settings: Settings) -> bool:
    # `init` refused loopback origins beside a production list; without any there is nothing to loosen.
    return not settings.loopback_origins


def egress_for(settings: Settings, *, production: bool) -> Egress:
    """The way out: public addresses by https, and the loopback origins that `init` was given."""
    policy = EgressPolicy(production, frozenset(settings.loopback_origins), max_bytes=8 << 20)
    try:
        context = (
            httpx.create_ssl_context()
            if settings.ca is None
            else ssl.create_default_context(cadata=settings.ca)
        )
    except (ssl.SSLError, ValueError):
        raise ConfigurationInvalid("--ca is not a file of certificates in PEM") from None
    return Egress(policy, httpx.Client(transport=PinnedTransport(context), trust_env=False))
