"""``bauhinia issuer …``: make an issuer, enrol people, offer, revoke, publish, serve."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from credentials import calendar
from credentials.errors import ConfigurationInvalid, TypeMismatch
from openid4vc import vci
from web.console import CommandGroup, answer, example, json_option, progress, serve_options
from web.keyfiles import read_file, replace_file, whole_or_nothing
from web.sweeping import every

from .app import (
    IssuerSettings,
    Place,
    create_app,
    load_signers,
    load_status_signer,
    open_issuer,
    read_settings,
    system_clock,
)
from .keyring import load_keyring
from .lapse import people_to_review, revoke_lapsed
from .office import Enrolled, Issuer
from .population import population
from .publishing import publication, put
from .register import SqliteRegister
from .register_file import Report, check_file, import_file
from .report import print_report
from .setup import MADE, set_up
from .store import Store
from .whom import enrolment_of, enrolment_options, guardian_of, identity_of, person_options

if TYPE_CHECKING:
    from flask import Flask

PURGE_SECONDS: Final = 60
"""So often each worker of `serve` forgets what is over, also while nobody asks for anything."""

_data = click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="The issuer's directory.",
)


@click.group(cls=CommandGroup)
def issuer() -> None:
    """The issuer: a register of residents to credentials in their wallets."""


# --- init, register


@issuer.command(
    epilog=example(
        "bauhinia issuer init --data ./issuer --trust ./trust --base-url https://localhost:8701",
        "bauhinia issuer init --data ./issuer --trust ./trust --base-url https://localhost:8701 "
        "--register residents.csv --dry-run",
    )
)
@_data
@click.option(
    "--trust",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    required=True,
    help="Where the trust authority left this issuer's keys and the trust list.",
)
@click.option("--base-url", required=True, help="The issuer's public origin, and its identifier.")
@click.option(
    "--residents", type=click.IntRange(3), default=1000, show_default=True, help="Synthetic people."
)
@click.option("--seed", type=int, default=1, show_default=True, help="Of the synthetic people.")
@click.option(
    "--register",
    "csv",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Import this CSV file instead of making people up.",
)
@click.option("--dry-run", is_flag=True, help="With --register: list every bad row, make nothing.")
@click.option("--production", is_flag=True, help="Refuse development keys, http, and enrolment by web page.")
@click.option("--redirect-uri", multiple=True, help="A wallet's own redirect URI (loopback ones are known).")
@click.option("--require-dpop-nonce", is_flag=True, help="Ask every token request for a DPoP nonce.")
@json_option
def init(
    data: Path,
    trust: Path,
    base_url: str,
    residents: int,
    seed: int,
    csv: Path | None,
    dry_run: bool,
    production: bool,
    redirect_uri: tuple[str, ...],
    require_dpop_nonce: bool,
    as_json: bool,
) -> None:
    """Make an issuer: secrets, signing keys, store, register, and a first publication."""
    place = Place(data)
    if dry_run:
        if csv is None:
            raise click.UsageError("--dry-run goes with --register")
        print_report(_checked_apart(csv), done=False, as_json=as_json)
        return
    settings = IssuerSettings(
        base_url.rstrip("/"),
        production=production,
        require_dpop_nonce=require_dpop_nonce,
        redirect_uris=redirect_uri,
    )
    today = calendar.day_of(system_clock())

    def fill(register: SqliteRegister) -> int:
        if csv is not None:
            return import_file(csv, register, today=today, synthetic_only=not production).people
        made = population(residents, seed=seed, today=today)
        return register.add(progress(made, "Making residents", residents))

    if place.settings.exists():
        raise ConfigurationInvalid(f"{data} already holds an issuer", hint="Choose another --data.")
    with whole_or_nothing(data, MADE):
        people = set_up(place, settings, trust=trust, fill=fill, randomness=os.urandom, now=system_clock())
        _publish(place, place.published)
    answer(
        {"ok": True, "data": str(data), "issuer": settings.base_url, "residents": people},
        f"Issuer {settings.base_url} in {data}: {people} residents in the register.",
        f"Next: bauhinia issuer serve --data {data}",
        as_json=as_json,
    )


def _checked_apart(csv: Path) -> Report:
    """A dry run before there is an issuer: against an empty register that is thrown away."""
    empty = SqliteRegister("sqlite://", key=os.urandom(32))
    return check_file(csv, empty, today=calendar.day_of(system_clock()))


@issuer.command(
    "register", epilog=example("bauhinia issuer register residents.csv --data ./issuer --dry-run")
)
@click.argument("csv", type=click.Path(dir_okay=False, path_type=Path))
@_data
@click.option("--dry-run", is_flag=True, help="List every bad row, change nothing.")
@json_option
def register_(csv: Path, data: Path, dry_run: bool, as_json: bool) -> None:
    """Import residents from a CSV file: all of it, or nothing where one row is wrong."""
    place = Place(data)
    production = read_settings(place).production
    register = SqliteRegister(place.register, key=load_keyring(place.secrets).register)
    today = calendar.day_of(system_clock())
    if dry_run:
        report = check_file(csv, register, today=today, synthetic_only=not production)
    else:
        report = import_file(csv, register, today=today, synthetic_only=not production)
    print_report(report, done=not dry_run, as_json=as_json)


# --- enrol, offer, revoke


@issuer.command(
    epilog=example(
        "bauhinia issuer enrol --data ./issuer --person demo-minor --guardian demo-adult",
        "bauhinia issuer enrol --data ./issuer --hkid - < number.txt",
        "bauhinia issuer enrol --data ./issuer --hkid - --new-codes < number.txt",
    )
)
@_data
@person_options
@click.option(
    "--guardian",
    help="The registered guardian, who is here and consents (11 to 17 years): a synthetic person's name, a "
    "reference, or - for the number on standard input, in a line after the person's own.",
)
@click.option(
    "--new-codes",
    is_flag=True,
    help="The person is enrolled, and lost the codes or locked them: void those, print new ones.",
)
@json_option
def enrol(
    data: Path,
    hkid: str | None,
    person: str | None,
    reference: str | None,
    guardian: str | None,
    new_codes: bool,
    as_json: bool,
) -> None:
    """Enrol a resident of the register; prints the two codes for signing in, once."""
    with _opened(data) as opened:
        identity = identity_of(opened, hkid, person, reference)
        consents = guardian_of(opened, guardian)
        if new_codes:
            enrolled: Enrolled = opened.new_codes(opened.enrolment_of(identity), guardian=consents)
        else:
            enrolled = opened.enrol(identity, guardian=consents)
    answer(
        {
            "ok": True,
            "enrolment": enrolled.id,
            "sign_in_code": enrolled.sign_in_code,
            "passcode": enrolled.passcode,
        },
        f"{'New codes for' if new_codes else 'Enrolled:'} {enrolled.id}",
        f"Sign-in code {enrolled.sign_in_code}, passcode {enrolled.passcode}: shown once, for the resident.",
        as_json=as_json,
    )


@issuer.command(
    epilog=example(
        "bauhinia issuer offer --data ./issuer --enrolment ID --types age/1,residency/1 --json",
        "bauhinia issuer offer --data ./issuer --enrolment=ID --format mso_mdoc",
    )
)
@_data
@enrolment_options
@click.option(
    "--types", help="Type names with commas; by default all that this person may have, but not hkid-number/1."
)
@click.option("--also", multiple=True, help="A type beside those, such as hkid-number/1; may be repeated.")
@click.option(
    "--format",
    "format_",
    type=click.Choice(("dc+sd-jwt", "mso_mdoc", "both")),
    default="both",
    show_default=True,
    help="Which of the two formats.",
)
@click.option(
    "--grant",
    type=click.Choice(("pre-authorized", "authorization-code")),
    default="pre-authorized",
    show_default=True,
    help="A code with this offer, or signing in at the issuer's page.",
)
@click.option("--by-value", is_flag=True, help="Put the whole offer into the link.")
@json_option
def offer(
    data: Path,
    enrolment: str | None,
    hkid: str | None,
    person: str | None,
    reference: str | None,
    types: str | None,
    also: tuple[str, ...],
    format_: str,
    grant: Any,
    by_value: bool,
    as_json: bool,
) -> None:
    """Offer credentials to an enrolled resident: a link for the wallet, and a code that goes another way."""
    with _opened(data) as opened:
        id = enrolment_of(opened, enrolment, hkid, person, reference)
        wanted = (
            # What only certain grounds open is offered to those who name it.
            [type for type in opened.issuable(opened.store.enrolment(id)) if not type.grounds]
            if types is None
            else [_type(opened, name.strip()) for name in types.split(",")]
        )
        wanted += [type for name in also if (type := _type(opened, name)) not in wanted]
        formats = ("dc+sd-jwt", "mso_mdoc") if format_ == "both" else (format_,)
        ids = [vci.configuration_id(type, format) for type in wanted for format in formats]
        made = opened.offer(id, ids, grant_type=grant)
    link = made.by_value if by_value else made.uri
    answer(
        {
            "ok": True,
            "offer_uri": link,
            "tx_code": made.tx_code,
            "configurations": ids,
            "expires": made.expires,
        },
        link,
        f"Transaction code: {made.tx_code}"
        if made.tx_code
        else "The resident signs in at the issuer's page.",
        "Good for ten minutes.",
        as_json=as_json,
    )


def _type(opened: Issuer, name: str) -> Any:
    if name not in opened.catalogue.types:
        raise TypeMismatch(
            "the catalogue has no such type", hint=f"One of {', '.join(opened.catalogue.types)}."
        )
    return opened.catalogue.types[name]


@issuer.command(
    epilog=example(
        "bauhinia issuer revoke --data ./issuer --enrolment ID --type residency/1",
        "bauhinia issuer revoke --data ./issuer --hkid - --all < number.txt",
        "bauhinia issuer revoke --data ./issuer --enrolment ID --consent",
        "bauhinia issuer revoke --data ./issuer --enrolment ID --type residency/1 --lift",
    )
)
@_data
@enrolment_options
@click.option(
    "--type", "types", multiple=True, help="Revoke this type, and issue it no more; may be repeated."
)
@click.option(
    "--all", "everything", is_flag=True, help="Lost phone: revoke everything and end the enrolment."
)
@click.option(
    "--consent", is_flag=True, help="A guardian withdraws the consent: the minor gets no fresh copies."
)
@click.option(
    "--lift", is_flag=True, help="With --type: issue it again; what was revoked stays revoked all the same."
)
@json_option
def revoke(
    data: Path,
    enrolment: str | None,
    hkid: str | None,
    person: str | None,
    reference: str | None,
    types: tuple[str, ...],
    everything: bool,
    consent: bool,
    lift: bool,
    as_json: bool,
) -> None:
    """Mark issued copies as revoked, and issue no fresh ones of a revoked type until that is lifted.

    The marks take effect with the next `publish`; age/1 expires by itself.
    """
    if (types and everything) or not (types or everything or consent):
        raise click.UsageError("give --type or --all, or --consent, alone or with one of them")
    if lift and (consent or not types):
        raise click.UsageError("--lift goes with --type alone")
    with _opened(data) as opened:
        id = enrolment_of(opened, enrolment, hkid, person, reference)
        chosen = [_type(opened, name) for name in types]
        if lift:
            lifted = opened.store.lift(id, types)
            answer({"ok": True, "lifted": lifted}, f"{lifted} types are issued again.", as_json=as_json)
            return
        if everything:
            chosen = [*opened.catalogue.types.values()]
        expiring = [type.name for type in chosen if not type.revocable]
        if consent:
            opened.store.withdraw_consent(id)
        count = 0
        if types or everything:
            count = opened.revoke(id, types=None if everything else types, end=everything)
    answer(
        {
            "ok": True,
            "revoked": count,
            "expire_by_themselves": expiring,
            "withheld": [*types],
            "enrolment_ended": everything,
            "consent_withdrawn": consent,
        },
        *(["The guardian's consent is withdrawn: there will be no fresh copies."] if consent else []),
        f"{count} copies revoked; verifiers refuse them after `bauhinia issuer publish` and their next sync.",
        *(f"{name} is not issued to this enrolment again until `--lift`." for name in types),
        *(f"{name} has no status: its copies expire by themselves." for name in expiring),
        as_json=as_json,
    )


# --- publish, serve


def _publish(place: Place, target: Path) -> tuple[list[str], int, int]:
    """The files written, how many copies were revoked because they hold no more, lists out of decoys."""
    signer = load_status_signer(place, production=read_settings(place).production)
    with _opened(place.data) as opened:
        opened.store.purge(now=opened.clock())
        people = people_to_review(opened)
        lapsed = sum(progress(revoke_lapsed(opened), "Asking the register again", people))
        files = publication(opened, signer=signer, trust_list=read_file(place.trust_list))
        bare = opened.store.spent_reserves(now=opened.clock())
    return list(progress(put(files, target), "Publishing", len(files))), lapsed, bare


@issuer.command(epilog=example("bauhinia issuer publish --data ./issuer --out ./public"))
@_data
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Default: what `serve` serves.")
@click.option(
    "--trust-list",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A newer trust list, to publish from now on.",
)
@json_option
def publish(data: Path, out: Path | None, trust_list: Path | None, as_json: bool) -> None:
    """Sign all status lists and put them, with the trust list, where verifiers and mirrors fetch them.

    Before that the register is asked again, and what holds no more (a stay that ended) is revoked: run it at
    least once a day.
    """
    place = Place(data)
    target = out or place.published
    if trust_list is not None:
        replace_file(place.trust_list, read_file(trust_list))
    files, lapsed, bare = _publish(place, target)
    lists = sum(path.endswith(".cwt") for path in files)
    answer(
        {
            "ok": True,
            "out": str(target),
            "files": len(files),
            "lists": lists,
            "lapsed": lapsed,
            "out_of_decoys": bare,
        },
        *([f"{lapsed} copies were revoked because what they state has ended."] if lapsed else []),
        *(
            [f"warning: {bare} lists have no decoys left: what changes in them is revocations alone."]
            if bare
            else []
        ),
        f"{lists} status lists in two encodings, and the trust list, in {target}.",
        as_json=as_json,
    )


@issuer.command(epilog=example("bauhinia issuer serve --data ./issuer"))
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
    """Serve until stopped: OpenID4VCI for wallets, pages for people, published files for everybody."""
    from web.serving import serve as run

    place = Place(data)
    settings = read_settings(place)
    load_keyring(place.secrets)
    load_signers(place, production=settings.production)

    def app() -> Flask:
        made = create_app(data, base_url=base_url)
        store: Store = made.extensions["issuer"].store
        every(PURGE_SECONDS, lambda: store.purge(now=system_clock()), name="purge")
        return made

    run(
        app,
        name="issuer",
        url=base_url or settings.base_url,
        host=host,
        port=port,
        certificate=tls_cert,
        key=tls_key,
        data=data,
        workers=workers,
    )


@contextmanager
def _opened(data: Path) -> Generator[Issuer, None, None]:
    opened = open_issuer(Place(data), clock=system_clock)
    try:
        yield opened
    finally:
        opened.store.engine.dispose()
