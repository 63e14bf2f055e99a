"""``bauhinia wallet …``: one person's wallet on the command line.

The passphrase comes from ``BAUHINIA_PASSPHRASE`` or is asked for; it is never an argument, where every user
of the machine could read it.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import click

from credentials.calendar import HONG_KONG
from credentials.encoding import dump_json
from credentials.errors import (
    BackupInvalid,
    BauhiniaError,
    ConfigurationInvalid,
    ConsentDeclined,
    NoMatchingCredential,
    TypeMismatch,
    VaultMissing,
)
from credentials.model import Seconds
from openid4vc.vci import Offer
from web.console import CommandGroup, answer, ask, example, json_option, serve_options
from web.keyfiles import read_file, write_private_file
from web.words import value_words

from .backup import MAX_BYTES, Reissue, read_backup, write_backup
from .exchange import Received, accept, begin_sign_in, finish_sign_in, open_offer, sync
from .holding import awaited, stocks, warnings
from .opening import create_wallet, open_wallet, restore_wallet, settings_from, vault_path
from .presenting import answer as send_answer
from .presenting import decline, look, prepare
from .records import Batch
from .screen import asked, consent_screen, label, low_line
from .wallet import Wallet, clock
from .words import about

PASSPHRASE: Final = "BAUHINIA_PASSPHRASE"  # noqa: S105 - the name of the setting
DEFAULT_PORT: Final = 8403
AWAITED: Final = "some statements not available until the next refresh / 部分資料須待下次更新"

_data = click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    envvar="BAUHINIA_WALLET",
    help="Folder of the wallet.",
)


def _passphrase(*, new: bool = False) -> str:
    given = os.environ.get(PASSPHRASE)
    if given:
        return given
    if not sys.stdin.isatty():
        raise ConfigurationInvalid("no passphrase", hint=f"Set {PASSPHRASE}, or run this on a terminal.")
    return str(click.prompt("Passphrase", hide_input=True, confirmation_prompt=new, err=True))


def _open(data: Path, *, discard_copies: bool = False) -> Wallet:
    if not vault_path(data).is_file():
        raise VaultMissing(f"there is no wallet in {data}")
    return open_wallet(data, _passphrase(), discard_copies=discard_copies)


def _day(moment: Seconds) -> str:
    return datetime.fromtimestamp(moment, HONG_KONG).strftime("%Y-%m-%d %H:%M")


@click.group(cls=CommandGroup)
def wallet() -> None:
    """Hold credentials, and show no more of them than the holder agrees to."""


@wallet.command(
    epilog=example(
        "bauhinia wallet init --data ./wallet --trust ./trust --ca ./trust/tls/ca.crt \\",
        "  --allow-loopback https://localhost:8701 --allow-loopback https://localhost:8702",
    )
)
@_data
@click.option(
    "--trust",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    required=True,
    help="Folder with trust-root.jwk, which is pinned, and trust-list.jwt.",
)
@click.option(
    "--ca",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="TLS authority in PEM, instead of the public ones.",
)
@click.option(
    "--allow-loopback",
    multiple=True,
    metavar="ORIGIN",
    help="An exact origin on this machine that may be contacted. Development only; repeatable.",
)
@json_option
def init(data: Path, trust: Path, ca: Path | None, allow_loopback: tuple[str, ...], as_json: bool) -> None:
    """Make a new, empty wallet, sealed with a passphrase. Choose a long one: it is the only protection."""
    settings = settings_from(trust, ca=ca, loopback_origins=allow_loopback, now=clock())
    if vault_path(data).exists():
        raise ConfigurationInvalid("a wallet is already there", hint="Choose another --data folder.")
    made = create_wallet(data, _passphrase(new=True), settings)
    made.vault.close()
    answer({"data": str(data), "vault": made.vault.vault_id}, f"New wallet in {data}.", as_json=as_json)


# --- receiving


@wallet.command(
    name="accept",
    epilog=example(
        "bauhinia wallet accept --data ./wallet 'openid-credential-offer://?…' --tx-code 123456",
        "bauhinia wallet accept --data ./wallet 'openid-credential-offer://?…' --sign-in",
        "bauhinia wallet accept --data ./wallet 'http://127.0.0.1:8403/signed-in?code=…'",
    ),
)
@click.argument("link")
@_data
@click.option("--tx-code", help="The transaction code that came apart from the offer.")
@click.option("--sign-in", is_flag=True, help="Print the issuer's sign-in page to open in a browser.")
@json_option
def accept_(link: str, data: Path, tx_code: str | None, sign_in: bool, as_json: bool) -> None:
    """Accept the offer in LINK, or finish a sign-in: then LINK is the address the browser came back to."""
    mine = _open(data)
    if link.startswith("http://127.0.0.1:"):
        _report(finish_sign_in(mine, link), as_json)
        return
    offer = open_offer(mine, link)
    if sign_in:
        url = begin_sign_in(mine, offer)
        if as_json or not sys.stdin.isatty():
            answer({"sign_in": url}, f"Sign in here: {url}", as_json=as_json)
            return
        click.echo(f"Sign in here: {url}")
        _report(finish_sign_in(mine, click.prompt("Address the browser came back to")), as_json)
        return
    if offer.pre_authorized and offer.pre_authorized.tx_code and tx_code is None and sys.stdin.isatty():
        tx_code = click.prompt("Transaction code", err=True)
    _report(accept(mine, offer, tx_code=tx_code), as_json)


def _report(received: Sequence[Received], as_json: bool) -> None:
    answer(
        {"received": [_received(item) for item in received]},
        *(
            f"{item.configuration}: {item.copies} copies until {_day(item.ends)}"
            if item.error is None
            else f"{item.configuration}: none ({item.error})"
            for item in received
        ),
        as_json=as_json,
    )


def _received(item: Received) -> dict[str, Any]:
    if item.error is not None:
        return {"configuration": item.configuration, "copies": 0, "error": item.error.code}
    return {"configuration": item.configuration, "copies": item.copies, "valid_until": item.ends}


@wallet.command(name="sync", epilog=example("bauhinia wallet sync --data ./wallet"))
@_data
@click.option("--all", "everything", is_flag=True, help="Fetch fresh copies of everything, due or not.")
@click.option("--sign-in", is_flag=True, help="Print the sign-in pages of issuers that want a new sign-in.")
@click.option(
    "--discard-copies",
    is_flag=True,
    help="After an older vault was put back: drop its copies, which may be spent, and go on.",
)
@json_option
def sync_(data: Path, everything: bool, sign_in: bool, discard_copies: bool, as_json: bool) -> None:
    """Fetch the newest trust list and what was revoked, and fresh copies where they run low or end soon."""
    mine = _open(data, discard_copies=discard_copies)
    done = sync(mine, all=everything)
    pages = _sign_in_pages(mine, done.sign_in) if sign_in else {}
    lines = [
        *(["The trust list is newer."] if done.trust_list else []),
        *(
            f"{item.configuration}: {item.copies} fresh copies"
            if item.error is None
            else f"{item.configuration}: {item.error}"
            for item in done.received
        ),
        *(
            f"Sign in here: {pages[i]}" if i in pages else f"{i} wants you to sign in again: --sign-in"
            for i in done.sign_in
        ),
        *(f"{name}: revoked by its issuer, and not shown any more" for name in done.revoked),
    ]
    answer(
        {
            "trust_list": done.trust_list,
            "received": [_received(item) for item in done.received],
            "discarded": done.discarded,
            "revoked": list(done.revoked),
            "sign_in": [{"issuer": issuer, "url": pages.get(issuer)} for issuer in done.sign_in],
        },
        *(lines or ["Nothing was due."]),
        as_json=as_json,
    )


def _sign_in_pages(mine: Wallet, issuers: Sequence[str]) -> dict[str, str]:
    pages: dict[str, str] = {}
    for issuer in issuers:
        names = tuple(
            dict.fromkeys(
                n for grant in mine.grants() if grant.issuer == issuer for n in grant.configurations
            )
        )
        pages[issuer] = begin_sign_in(mine, Offer(issuer, names))
    return pages


# --- looking


@wallet.command(name="list", epilog=example("bauhinia wallet list --data ./wallet"))
@_data
@json_option
def list_(data: Path, as_json: bool) -> None:
    """What the wallet holds, how many copies are left, and what runs low."""
    mine = _open(data)
    held, now = mine.holdings(), mine.now()
    found = stocks(held, now=now)
    rows = [
        {
            "id": s.batch.configuration,
            "type": mine.catalogue.by_identifier(s.batch.type).name,
            "format": s.batch.format,
            "issuer": s.batch.issuer,
            "copies": s.copies,
            "valid_until": s.ends,
            "usable": s.usable,
            "revoked": s.revoked,
            "awaited": _awaited(mine, s.batch),
        }
        for s in found
    ]
    low = [{"id": w.configuration, "reason": w.reason, "copies": w.left} for w in warnings(held, now=now)]
    lines: list[str] = []
    for s in found:
        lines.append(
            f"{s.batch.configuration:36} {s.copies:3} copies  until {_day(s.ends)}  "
            f"{label(mine.catalogue.by_identifier(s.batch.type).label)}"
        )
        lines += [f"  {AWAITED}"] if _awaited(mine, s.batch) else []
    lines += [f"{w['id']}: {low_line(str(w['reason']))}" for w in low]
    answer({"credentials": rows, "warnings": low}, *(lines or ["The wallet is empty."]), as_json=as_json)


def _awaited(mine: Wallet, batch: Batch) -> list[str]:
    type = mine.catalogue.by_identifier(batch.type)
    return [claim.name for claim in awaited(batch.claims, type=type, format=batch.format)]


@wallet.command(epilog=example("bauhinia wallet show --data ./wallet age-1.sd-jwt"))
@click.argument("id")
@_data
@json_option
def show(id: str, data: Path, as_json: bool) -> None:
    """All claims of one credential, on this screen only. ID is as printed by `list`."""
    mine = _open(data)
    found = [h.batch for h in mine.holdings() if h.batch.configuration == id]
    if not found:
        raise NoMatchingCredential("the wallet holds no such credential", hint="bauhinia wallet list")
    batch, missing = found[-1], _awaited(mine, found[-1])
    type = mine.catalogue.by_identifier(batch.type)
    claims: dict[str, Any] = {}
    lines = [label(type.label), f"from {label(mine.issuer_name(batch.issuer))}"]
    for path, value in _leaves(batch.claims, batch.format):
        try:
            claim = type.claim_at(path)
            claims[claim.name] = value
            lines.append(f"  {label(claim.label)}: {label(value_words(claim, value))}")
        except TypeMismatch:
            claims["/".join(path)] = value
    answer(
        {
            "id": id,
            "type": type.name,
            "format": batch.format,
            "valid_until": batch.window.end,
            "claims": claims,
            "awaited": missing,
        },
        *lines,
        *([AWAITED] if missing else []),
        as_json=as_json,
    )


def _leaves(claims: Mapping[str, Any], format: str) -> list[tuple[tuple[str, ...], Any]]:
    if format == "mso_mdoc":
        return [((ns, name), value) for ns, items in claims.items() for name, value in items.items()]
    return [((name,), value) for name, value in claims.items()]


@wallet.command(name="log", epilog=example("bauhinia wallet log --data ./wallet"))
@_data
@json_option
def log_(data: Path, as_json: bool) -> None:
    """Who asked for what, when, and what was sent: names of claims, never values."""
    mine = _open(data)
    entries = mine.log()
    answer(
        {"log": [entry.body() for entry in entries]},
        *(
            f"{_day(entry.when)}  {entry.event:10} {label(entry.who)}"
            + (f"; {label(entry.purpose)}" if entry.purpose else "")
            + (f": {', '.join(map(label, about(mine.catalogue, entry)))}" if entry.types else "")
            + (f" ({entry.code})" if entry.code else "")
            for entry in entries
        ),
        as_json=as_json,
    )


# --- showing


@wallet.command(
    epilog=example("bauhinia wallet present --data ./wallet 'openid4vp://?client_id=…&request_uri=…'")
)
@click.argument("link")
@_data
@click.option("--yes", is_flag=True, help="Agree without being asked.")
@click.option(
    "--allow-unregistered",
    is_flag=True,
    help="Answer a verifier that is registered for nothing: your own risk.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write request and answer to this file instead of sending; `bauhinia verifier verify` reads it.",
)
@json_option
def present(
    link: str, data: Path, yes: bool, allow_unregistered: bool, out: Path | None, as_json: bool
) -> None:
    """Answer the request in LINK: shows who asks for what and why, asks, sends.

    With --json and without --yes only the question is printed, and nothing is sent.
    """
    mine = _open(data)
    question = look(mine, link, allow_unregistered=allow_unregistered)
    consent = question.consent
    if consent is None:
        if yes:
            decline(mine, question, by_person=False)
        elif not as_json and ask(
            lambda: click.confirm("Nothing here answers this request. Tell the verifier no?"), option="--yes"
        ):
            decline(mine, question)
        raise NoMatchingCredential("the wallet holds nothing that answers this request")
    if as_json and not yes:
        answer({"outcome": "asked", **asked(consent)}, as_json=True)
        return
    if not as_json:
        click.echo("\n".join(consent_screen(consent)))
    if not yes and not ask(lambda: click.confirm("Send this?", default=False), option="--yes"):
        decline(mine, question)
        raise ConsentDeclined("nothing was shown")
    if out is not None:
        carried = {
            "request": question.request_object,
            "response": prepare(mine, question).fields,
            "response_uri": question.request.response_uri,
        }
        write_private_file(out, dump_json(carried))
        answer({"outcome": "written", **asked(consent)}, f"Written to {out}.", as_json=as_json)
        return
    outcome = send_answer(mine, question)
    answer(
        {
            "outcome": outcome.event,
            "confirmed": outcome.confirmed,
            **asked(consent),
            "redirect_uri": outcome.redirect_uri,
        },
        ("Sent." if outcome.confirmed else "Sent, but the verifier's answer was lost: ask there.")
        + (f" Go on here: {outcome.redirect_uri}" if outcome.redirect_uri else ""),
        as_json=as_json,
    )


# --- backup


@wallet.command(epilog=example("bauhinia wallet export --data ./wallet backup.bauhinia"))
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@_data
@json_option
def export(file: Path, data: Path, as_json: bool) -> None:
    """Write where to fetch again, the settings and the log to FILE, sealed with the wallet's passphrase.

    Never keys or copies: a second wallet with the same copies would show them twice.
    """
    if not vault_path(data).is_file():
        raise VaultMissing(f"there is no wallet in {data}")
    passphrase = _passphrase()
    mine = open_wallet(data, passphrase)
    issuers: dict[str, tuple[str, ...]] = {}
    for grant in mine.grants():
        issuers[grant.issuer] = tuple(dict.fromkeys((*issuers.get(grant.issuer, ()), *grant.configurations)))
    sealed = write_backup(
        [Reissue(issuer, names) for issuer, names in sorted(issuers.items())],
        mine.settings(),
        mine.log(),
        passphrase=passphrase,
        randomness=os.urandom,
    )
    write_private_file(file, sealed)
    answer({"file": str(file), "issuers": len(issuers)}, f"Written to {file}.", as_json=as_json)


@wallet.command(epilog=example("bauhinia wallet restore --data ./new-wallet backup.bauhinia"))
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_data
@json_option
def restore(file: Path, data: Path, as_json: bool) -> None:
    """Make a new wallet from FILE with the same passphrase, and print where to sign in to fetch again."""
    if vault_path(data).exists():
        raise ConfigurationInvalid("a wallet is already there", hint="Choose another --data folder.")
    passphrase = _passphrase()
    if file.stat().st_size > MAX_BYTES:
        raise BackupInvalid("the backup does not open")
    mine = restore_wallet(data, passphrase, read_backup(read_file(file), passphrase=passphrase))
    pages: dict[str, str | None] = {}
    for issuer in dict.fromkeys(grant.issuer for grant in mine.grants()):
        try:
            pages |= _sign_in_pages(mine, [issuer])
        except BauhiniaError:
            pages[issuer] = None
    answer(
        {"data": str(data), "sign_in": [{"issuer": issuer, "url": url} for issuer, url in pages.items()]},
        f"Restored to {data}; the credentials are to be fetched again.",
        *(
            f"Sign in here: {url}" if url else f"{issuer} was not reached: bauhinia wallet sync --sign-in"
            for issuer, url in pages.items()
        ),
        as_json=as_json,
    )


@wallet.command(epilog=example("bauhinia wallet serve --data ./wallet --port 8403"))
@_data
@serve_options
def serve(
    data: Path,
    base_url: str | None,
    host: str,
    port: int | None,
    tls_cert: Path | None,
    tls_key: Path | None,
) -> None:
    """Serve the wallet's pages for this machine's own browser. The page asks for the passphrase."""
    from web.service import Settings
    from web.serving import serve as run

    from .app import create_app

    if not vault_path(data).is_file():
        raise VaultMissing(f"there is no wallet in {data}")
    scheme = "https" if tls_cert else "http"
    url = base_url or f"{scheme}://{host}:{DEFAULT_PORT if port is None else port}"
    settings = Settings(base_url=url, secret=secrets.token_bytes(32))
    # One worker: the open vault lives in its memory, and nowhere else.
    run(
        lambda: create_app(data, settings=settings),
        name="wallet",
        url=url,
        host=host,
        port=port,
        certificate=tls_cert,
        key=tls_key,
        workers=1,
    )
