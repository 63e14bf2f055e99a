"""``bauhinia trust init | renew | show``: a development PKI, and in words what a trust list trusts."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from credentials.calendar import HONG_KONG
from credentials.catalog import load_catalogue
from credentials.encoding import b64u
from credentials.errors import ConfigurationInvalid, FileUnreadable, TrustListInvalid, TypeMismatch
from credentials.jose import parse_compact
from credentials.keys import PublicKey, software_sign
from credentials.model import Seconds
from credentials.trust import MAX_LIST_BYTES, TYP, Trust, open_trust_list, sign_trust_list
from web.console import CommandGroup, answer, example, json_option
from web.keyfiles import load_private_key, load_public_jwk, read_file, replace_file, write_private_file

from .pki import LIST_DAYS, Pki, make_pki, renewed

LIST: str = "trust-list.jwt"
ROOT: str = "trust-root.jwk"
LIST_KEY: str = "root/list.key"


@click.group(cls=CommandGroup)
def trust() -> None:
    """Whom wallets and verifiers believe: a signed trust list, and a PKI to try things out with."""


@trust.command(
    epilog=example(
        "bauhinia trust init --data ./trust --issuer-url https://localhost:8701 "
        "--verifier-url https://localhost:8702"
    )
)
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Directory to write; made if it is missing.",
)
@click.option("--issuer-url", required=True, help="Base URL of the issuer; https, or http on loopback.")
@click.option("--verifier-url", required=True, help="Base URL of the verifier.")
@click.option("--desk-url", help="Base URL of the government desk; the verifier's if left out.")
@click.option(
    "--days",
    type=click.IntRange(1, 450),
    default=LIST_DAYS,
    show_default=True,
    help="Life of the trust list, in days.",
)
@click.option(
    "--force", is_flag=True, help="Replace what is there: credentials of the old keys stop working."
)
@json_option
def init(
    data: Path,
    issuer_url: str,
    verifier_url: str,
    desk_url: str | None,
    days: int,
    force: bool,
    as_json: bool,
) -> None:
    """Make a development PKI: root, document signers, status signer, verifier access, TLS, trust list.

    Every certificate says "development only". Private keys are readable by you alone (mode 0600).
    """
    if not force and any((data / name).exists() for name in (LIST, ROOT, "root")):
        raise ConfigurationInvalid(
            f"{data} already holds a PKI", hint="Choose another --data, or --force to replace all its keys."
        )
    pki = make_pki(
        issuer_url=issuer_url,
        verifier_url=verifier_url,
        desk_url=desk_url,
        now=int(time.time()),
        days=days,
    )
    write_pki(pki, data)
    rows = [
        ("trust root (pin this)", ROOT, f"opens {LIST}"),
        ("trust list", LIST, f"until {_day(pki.content['expires'])}"),
        ("root", "root/root.crt", "issues all signers; keep root/*.key off line"),
        ("document signers", "issuer/*--*.crt", f"{len(pki.signers)}: one for each format and type"),
        ("status signer", "issuer/status.crt", "signs status lists"),
        ("verifier access", "verifier/access.crt", "signs requests of the verifier"),
        ("desk access", "desk/access.crt", "of the government desk, for the identity card number"),
        ("TLS", "tls/server.crt", "localhost and the hosts of both URLs; authority tls/ca.crt"),
    ]
    if as_json:
        answer(
            {
                "ok": True,
                "data": str(data),
                "trust_root": ROOT,
                "trust_list": LIST,
                "expires": pki.content["expires"],
                "signers": len(pki.signers),
                "files": sorted(pki.files()),
            },
            as_json=True,
        )
        return
    table = Table(title=f"Development PKI in {data}", title_justify="left")
    for heading in ("what", "file", "for"):
        table.add_column(heading)
    for row in rows:
        table.add_row(*row)
    Console().print(table)
    click.echo("For development only: production refuses these keys.")


def write_pki(pki: Pki, data: Path) -> None:
    """Write all files of ``pki`` under ``data``; private keys with mode 0600, in directories with 0700."""
    for name, content in pki.files().items():
        path = data / name
        if name.endswith(".key"):
            write_private_file(path, content)
            path.parent.chmod(0o700)
        else:
            replace_file(path, content)


@trust.command(epilog=example("bauhinia trust renew --data ./trust --days 90"))
@click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    required=True,
    help="Directory that `bauhinia trust init` made.",
)
@click.option(
    "--days",
    type=click.IntRange(1, 450),
    default=LIST_DAYS,
    show_default=True,
    help="Life of the new list, in days.",
)
@json_option
def renew(data: Path, days: int, as_json: bool) -> None:
    """Sign the trust list anew, with the next number: same content, a new time. Keys stay as they are.

    Issuers take it with `bauhinia issuer publish --trust-list`, everybody else with `sync`.
    """
    key = load_private_key(data / LIST_KEY)
    root = PublicKey.of(key.public_key())
    # An expired list is renewed too: what matters is that this key signed it.
    listed = parse_compact(_ascii(read_file(data / LIST)), typ=TYP, max_bytes=MAX_LIST_BYTES).verify(root)
    content = renewed(listed, now=int(time.time()), days=days)
    replace_file(data / LIST, sign_trust_list(content, software_sign(key)))
    answer(
        {
            "ok": True,
            "trust_list": str(data / LIST),
            "sequence": content["sequence"],
            "expires": content["expires"],
        },
        f"Trust list number {content['sequence']}, until {_day(content['expires'])}.",
        f"Next: bauhinia issuer publish --data … --trust-list {data / LIST}",
        as_json=as_json,
    )


def _ascii(data: bytes) -> str:
    try:
        return data.decode("ascii")
    except UnicodeDecodeError:
        raise TrustListInvalid("the trust list is not a compact JWS") from None


@trust.command(
    epilog=example("bauhinia trust show ./trust", "bauhinia trust show list.jwt --root trust-root.jwk")
)
@click.argument("file", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--root",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help=f"Pinned public key of the list (JWK); {ROOT} beside the list if left out.",
)
@json_option
def show(file: Path, root: Path | None, as_json: bool) -> None:
    """Say in words what a trust list trusts, for what and until when. FILE is the list or its directory."""
    path = file / LIST if file.is_dir() else file
    pinned = root if root is not None else path.with_name(ROOT)
    if not pinned.is_file():
        raise FileUnreadable(
            f"there is no {ROOT} beside the list", hint="Give the pinned key of the list: --root FILE."
        )
    key = load_public_jwk(pinned)
    opened = open_trust_list(read_file(path), root=key, now=int(time.time()))
    answer(summary(opened), *_words(opened), as_json=as_json)


def summary(opened: Trust) -> dict[str, Any]:
    """What ``trust show --json`` prints."""
    return {
        "ok": True,
        "environment": opened.environment,
        "sequence": opened.sequence,
        "issued": opened.issued,
        "expires": opened.expires,
        "issuers": [
            {
                "id": issuer.id,
                "name": dict(issuer.name),
                "jurisdictions": sorted(issuer.jurisdictions),
                "types": {format: sorted(types) for format, types in issuer.types.items()},
                "anchors": [
                    {"subject": anchor.subject, "sha256": b64u(anchor.sha256), "not_after": anchor.not_after}
                    for anchor in issuer.anchors
                ],
                "status_uris": list(issuer.status_uris),
                "retired": {b64u(digest): since for digest, since in issuer.retired.items()},
            }
            for issuer in opened.issuers
        ],
        "verifiers": [
            {
                "certificate_sha256": b64u(verifier.certificate_sha256),
                "name": dict(verifier.name),
                "origins": list(verifier.origins),
                "purposes": {
                    purpose.id: {
                        "text": dict(purpose.text),
                        "legal_basis": dict(purpose.legal_basis),
                        "basis_code": purpose.basis_code,
                        "claims": {name: sorted(claims) for name, claims in purpose.claims.items()},
                    }
                    for purpose in verifier.purposes.values()
                },
            }
            for verifier in opened.verifiers.values()
        ],
    }


def _words(opened: Trust) -> list[str]:
    lines = [
        f"Trust list number {opened.sequence}, for {opened.environment}.",
        f"Signed by the pinned root. Holds from {_day(opened.issued)} until {_day(opened.expires)}.",
    ]
    for issuer in opened.issuers:
        lines += ["", f"Issuer {issuer.id}: {_both(issuer.name)}"]
        lines.append(f"  may issue for {', '.join(sorted(issuer.jurisdictions))}")
        for anchor in issuer.anchors:
            lines.append(f"  anchor {anchor.subject}, until {_day(anchor.not_after)}")
        for format, identifiers in issuer.types.items():
            lines.append(f"  may issue as {format}:")
            lines += [f"    {_type_words(identifier)}" for identifier in sorted(identifiers)]
        lines += [f"  its status lists are under {uri}" for uri in issuer.status_uris]
        for digest, since in issuer.retired.items():
            lines.append(f"  signer {b64u(digest)} counts no more from {_day(since)}")
    for verifier in opened.verifiers.values():
        lines += ["", f"Verifier {', '.join(verifier.origins)}: {_both(verifier.name)}"]
        for purpose in verifier.purposes.values():
            asked = "; ".join(f"{name}: {', '.join(sorted(c))}" for name, c in purpose.claims.items())
            lines.append(f"  {purpose.id}: may ask {asked}")
            lines.append(f"    {_both(purpose.text)}")
            lines.append(f"    {_both(purpose.legal_basis)} ({purpose.basis_code})")
    return lines


def _type_words(identifier: str) -> str:
    try:
        return f"{identifier}: {_both(load_catalogue().by_identifier(identifier).label)}"
    except TypeMismatch:
        return identifier


def _both(text: Mapping[str, str]) -> str:
    return f"{text['en']} / {text['zh-Hant']}"


def _day(when: Seconds) -> str:
    return datetime.fromtimestamp(when, HONG_KONG).strftime("%Y-%m-%d %H:%M (Hong Kong)")
