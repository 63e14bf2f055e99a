"""``bauhinia verifier init | serve | request | result | verify | sync``."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import click
from flask import Flask

from credentials.encoding import dump_json
from credentials.errors import ConfigurationInvalid, FileUnreadable, PeerRefused
from credentials.formats import FORMATS
from credentials.model import Seconds
from credentials.trust import Trust, open_trust_list
from openid4vc.uris import LOOPBACK_NAMES
from revocation.publish import TRUST_LIST
from revocation.token import Encoding
from web.console import (
    REFUSED,
    UNDETERMINED,
    CommandGroup,
    answer,
    example,
    json_option,
    progress,
    serve_options,
)
from web.egress import Egress, EgressPolicy, open_egress
from web.keyfiles import (
    TLS_FILES,
    load_chain,
    load_public_jwk,
    read_file,
    replace_file,
    whole_or_nothing,
    write_private_file,
)
from web.service import Settings
from web.sweeping import every

from . import offline
from .app import (
    ACCESS,
    CONFIG,
    COOKIE_KEY,
    DATA_KEY,
    DATABASE,
    POLICIES,
    ROOT,
    TLS_CA,
    Config,
    create_app,
    load_config,
    open_desk,
)
from .desk import Desk, outcome_json, receipt, result_json
from .holdings import LINK, replace
from .holdings import sync as take_over
from .routes import asked_json

SWEEP_SECONDS: Final = 60
"""How much longer than its retention a claim may lie in the store of a server."""

MADE: Final = (
    CONFIG,
    COOKIE_KEY,
    DATA_KEY,
    ROOT,
    *ACCESS,
    "tls",
    POLICIES,
    f"{DATABASE}*",
    f"{LINK}*",
)
"""What ``init`` makes in the directory of a verifier."""

_data = click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="The verifier's data directory.",
)


@click.group(cls=CommandGroup)
def verifier() -> None:
    """Check what wallets present: learn only what was asked, and open no socket while checking."""


@verifier.command(
    epilog=example("bauhinia verifier init --data ./shop --trust ./trust --base-url https://localhost:8702")
)
@_data
@click.option(
    "--trust",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    required=True,
    help="Directory that `bauhinia trust init` made.",
)
@click.option("--base-url", required=True, help="Public origin of the verifier.")
@click.option(
    "--policies",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder with policies of your own; they go before those that come with the program.",
)
@click.option(
    "--access",
    type=click.Choice(("verifier", "desk")),
    default="verifier",
    show_default=True,
    help="Whose access certificate: the ordinary verifier's, or the government desk's.",
)
@click.option("--production", is_flag=True, help="Refuse development certificates and loopback addresses.")
@json_option
def init(
    data: Path,
    trust: Path,
    base_url: str,
    policies: Path | None,
    access: str,
    production: bool,
    as_json: bool,
) -> None:
    """Make a data directory: access certificate, TLS, trust root and list, and an API key shown once."""
    if (data / CONFIG).exists():
        raise ConfigurationInvalid(f"{data} is a verifier's data directory already")
    base_url = base_url.rstrip("/")
    Settings(base_url=base_url, secret=bytes(32), production=production)
    source = trust / access
    files = {name: read_file(source / name) for name in ACCESS}
    if base_url.startswith("https:"):
        files |= {name: read_file(trust / name) for name in (*TLS_FILES, TLS_CA)}
    files[ROOT] = read_file(trust / ROOT)
    trust_list = read_file(trust / TRUST_LIST)
    own = [] if policies is None else sorted(policies.glob("*.json"))
    files |= {f"{POLICIES}/{path.name}": read_file(path) for path in own}
    root = load_public_jwk(trust / ROOT)
    check_origin(load_chain(source / ACCESS[0]), base_url, open_trust_list(trust_list, root=root, now=now()))
    with whole_or_nothing(data, MADE):
        key, names = _make(data, files, trust_list, base_url=base_url, production=production)
    answer(
        {"ok": True, "data": str(data), "base_url": base_url, "api_key": key, "policies": names},
        f"Verifier in {data}, to be served at {base_url}.",
        f"Policies: {', '.join(names)}",
        f"API key (shown only now): {key}",
        as_json=as_json,
    )


def now() -> Seconds:
    return int(time.time())


def check_origin(chain: Sequence[bytes], base_url: str, trust: Trust) -> None:
    """Wallets answer a registered verifier at its registered origins only. An unregistered one may be any.

    Raises :class:`ConfigurationInvalid`, and what :meth:`Trust.verifier` raises.
    """
    registration = trust.verifier(chain, now=now()).registration
    if registration is not None and base_url not in registration.origins:
        raise ConfigurationInvalid(
            "the access certificate is registered for another origin than this base URL",
            hint=f"It is registered for {', '.join(registration.origins)}.",
        )


def _make(
    data: Path, files: Mapping[str, bytes], trust_list: bytes, *, base_url: str, production: bool
) -> tuple[str, list[str]]:
    """The directory; gives the API key and the names of the policies."""
    data.mkdir(parents=True, exist_ok=True)
    data.chmod(0o700)
    for name, content in files.items():
        (write_private_file if name.endswith(".key") else replace_file)(data / name, content)
    for name in (COOKIE_KEY, DATA_KEY):
        write_private_file(data / name, secrets.token_bytes(32))
    replace(data, trust_list, {})
    settings = {"base_url": base_url, "production": production}
    replace_file(data / CONFIG, dump_json(settings) + b"\n")
    config = load_config(data)
    store = config.store()
    key = secrets.token_urlsafe(32)
    store.add_api_key(key, int(time.time()))
    # Whatever is wrong shows now: certificates, policies, trust list.
    desk = open_desk(config, store)
    store.close()
    return key, sorted(desk.policies.by_name)


@verifier.command(epilog=example("bauhinia verifier serve --data ./shop --port 8702"))
@_data
@serve_options
@click.option("--workers", type=click.IntRange(1, 64), default=2, show_default=True, help="Processes.")
def serve(
    data: Path,
    base_url: str | None,
    host: str,
    port: int | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    workers: int,
) -> None:
    """Serve the counter pages, the protocol and the API until stopped."""
    from web.serving import serve as run_server

    config = load_config(data, base_url=base_url)
    # Once here, so that a mistake is one message and not one from every worker.
    store = config.store()
    open_desk(config, store)
    store.close()

    def app() -> Flask:
        made = create_app(data, base_url=base_url)
        desk: Desk = made.extensions["verifier"]
        every(SWEEP_SECONDS, lambda: desk.store.sweep(desk.now()), name="sweep")
        return made

    run_server(
        app,
        name="verifier",
        url=config.base_url,
        host=host,
        port=port,
        certificate=tls_cert,
        key=tls_key,
        data=data,
        workers=workers,
    )


@verifier.command(epilog=example("bauhinia verifier request --data ./shop --policy liquor18 --json"))
@_data
@click.option("--policy", required=True, help="Name of a policy.")
@click.option(
    "--format", type=click.Choice(list(FORMATS)), help="Ask for this format only; either if left out."
)
@click.option("--same-device", is_flag=True, help="The wallet is on the device of the browser that asks.")
@json_option
def request(data: Path, policy: str, format: str | None, same_device: bool, as_json: bool) -> None:
    """Make a presentation request; works beside a running server, which hands it out."""
    config = load_config(data)
    store = config.store()
    asked = open_desk(config, store).ask(policy, format=format, same_device=same_device)
    store.close()
    lines = [f"Request {asked.id}", asked.link]
    if asked.start_url is not None:
        lines.append(f"Open in the browser: {asked.start_url}")
    answer(asked_json(asked), *lines, as_json=as_json)


@verifier.command(epilog=example("bauhinia verifier result PZ7Wq… --data ./shop --json"))
@click.argument("id")
@_data
@json_option
def result(id: str, data: Path, as_json: bool) -> int:
    """How a check went. Exit code 0 accepted, 1 refused, 3 undetermined or not answered yet."""
    config = load_config(data)
    store = config.store()
    body = result_json(store.get(id, int(time.time())), int(time.time()))
    store.close()
    return _told(body, as_json=as_json)


@verifier.command(epilog=example("bauhinia verifier verify presentation.json --data ./shop"))
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_data
@json_option
def verify(file: Path, data: Path, as_json: bool) -> int:
    """Check the presentation in FILE with no network. Exit code 0 accepted, 1 refused, 3 undetermined.

    FILE is JSON: {"request": the request object, "response": {the form fields of the answer}}. The request
    must be one that this verifier made; it is used up by this.
    """
    offline.install()
    config = load_config(data)
    store = config.store()
    desk = open_desk(config, store)
    outcome, policy = desk.verify_file(read_file(file))
    store.close()
    body: dict[str, Any] = {
        "policy": policy.name,
        **outcome_json(outcome),
        "receipt": receipt(policy.name, policy.version, outcome, desk.now()),
    }
    return _told(body, as_json=as_json)


@verifier.command(
    epilog=example(
        "bauhinia verifier sync --data ./shop --from https://localhost:8701/published",
        "bauhinia verifier sync --data ./shop --from /media/stick/published",
    )
)
@_data
@click.option("--from", "source", required=True, help="URL of a mirror, or a folder.")
@click.option(
    "--ca",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="TLS authority of the mirror (PEM); in development that of the data directory.",
)
@json_option
def sync(data: Path, source: str, ca: Path | None, as_json: bool) -> int:
    """Fetch the trust list and all status lists ahead of time, from any mirror.

    Everything is verified before anything is replaced, and nothing older than what is here is taken. A list
    that the mirror leaves out stays as it is here, while it holds, with a warning. Exit code 3 where that
    leaves fewer lists than before, or the mirror gave none of those that are here.
    """
    if not source.strip():
        raise click.UsageError("--from names a mirror's URL, or a folder; it is empty")
    config = load_config(data)
    store = config.store()
    read = _mirror(source, config, ca) if "://" in source else _folder(Path(source))

    def bar(items: list[tuple[str, Encoding, str]]) -> Iterable[tuple[str, Encoding, str]]:
        return progress(items, "Status lists", len(items))

    done = take_over(read, data=data, root=config.root(), numbers=store, now=int(time.time()), progress=bar)
    store.close()
    answer(
        {
            "ok": True,
            "trust_list": {"sequence": done.sequence, "expires": done.expires},
            "status_lists": done.lists,
            "expired": done.stale,
            "held_back": {"kept": done.kept, "lost": done.lost},
        },
        f"Trust list number {done.sequence} and {done.lists} status lists are here.",
        *([f"{done.stale} lists have expired at the publisher and were left out."] if done.stale else []),
        as_json=as_json,
    )
    held_back = [f"{uri} (kept)" for uri in done.kept] + [f"{uri} (lost)" for uri in done.lost]
    for line in held_back:
        click.echo(f"bauhinia: warning: the mirror does not give a list that was here: {line}", err=True)
    return UNDETERMINED if done.lost or (done.kept and not done.given) else 0


def _folder(folder: Path) -> Callable[[str], bytes]:
    if not folder.is_dir():
        raise FileUnreadable(f"there is no folder {folder}")
    return lambda path: read_file(folder / path)


def _mirror(source: str, config: Config, ca: Path | None) -> Callable[[str], bytes]:
    url = urlsplit(source)
    origin = f"{url.scheme}://{url.netloc}"
    local = (
        frozenset({origin}) if url.hostname in LOOPBACK_NAMES and not config.production else frozenset[str]()
    )
    if ca is None and local and (config.data / TLS_CA).is_file():
        ca = config.data / TLS_CA
    policy = EgressPolicy(config.production, local, max_bytes=1 << 22, seconds=30)
    return fetcher(open_egress(policy, ca_file=None if ca is None else str(ca)), source)


def fetcher(egress: Egress, source: str) -> Callable[[str], bytes]:
    """Relative path to bytes, by GET below ``source``."""

    def read(path: str) -> bytes:
        found = egress.get(f"{source.rstrip('/')}/{path}", accept="*/*")
        if found.status != 200:
            raise PeerRefused(f"the mirror answered {found.status} for {re.sub('[^!-~]', '?', path)}")
        return found.body

    return read


def _told(body: dict[str, Any], *, as_json: bool) -> int:
    code = {"accepted": 0, "refused": REFUSED}.get(body["outcome"] or "", UNDETERMINED)
    answer({"ok": code == 0, **body}, *_lines(body), as_json=as_json)
    return code


def _lines(body: dict[str, Any]) -> list[str]:
    word = body["outcome"] or body.get("state", "")
    lines = [f"{body['policy']}: {word}" + (f" ({body['error_code']})" if body["error_code"] else "")]
    for type_name, claims in body["disclosed"].items():
        lines += [f"  {type_name} {name}: {_shown(value)}" for name, value in claims.items()]
    if body["status"] is not None and body["status"]["level"] == "amber":
        lines.append("  The status list is some hours old.")
    return lines


def _shown(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
