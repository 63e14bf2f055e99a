"""Who stands at the counter: the options that name a person, the same for every command.

A number is best typed to standard input (``-``): an argument is seen by everybody on the machine.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from credentials.hkid import parse

from .office import Issuer
from .pages import DEMO_PEOPLE, demo_identity
from .person import Identity

Command = TypeVar("Command", bound=Callable[..., Any])

_HKID = click.option("--hkid", help="Identity card number as printed; - reads it from standard input.")
_PERSON = click.option(
    "--person", type=click.Choice(DEMO_PEOPLE), help="One of the synthetic people with a part."
)
_REFERENCE = click.option("--reference", help="The register's reference.")
_ENROLMENT = click.option("--enrolment", help="As `enrol` printed it.")


def person_options(command: Command) -> Command:
    """``--hkid``, ``--person``, ``--reference``."""
    return _HKID(_PERSON(_REFERENCE(command)))


def enrolment_options(command: Command) -> Command:
    """``--enrolment``, or a person by the other three."""
    return _ENROLMENT(person_options(command))


def identity_of(opened: Issuer, hkid: str | None, person: str | None, reference: str | None) -> Identity:
    """The person that exactly one of the three names. Raises :class:`PersonUnknown` and others."""
    if sum(given is not None for given in (hkid, person, reference)) != 1:
        raise click.UsageError("give one of --hkid, --person, --reference")
    if hkid is not None:
        return parse(_line() if hkid == "-" else hkid)
    if person is not None:
        return demo_identity(opened, person)
    return opened.register.read(reference or "").identity


def enrolment_of(
    opened: Issuer, enrolment: str | None, hkid: str | None, person: str | None, reference: str | None
) -> str:
    """The enrolment named by its id, or the living one of the person. Raises :class:`EnrolmentUnknown`."""
    if sum(given is not None for given in (enrolment, hkid, person, reference)) != 1:
        raise click.UsageError("give one of --enrolment, --hkid, --person, --reference")
    if enrolment is not None:
        return enrolment
    return opened.enrolment_of(identity_of(opened, hkid, person, reference))


def guardian_of(opened: Issuer, named: str | None) -> Identity | None:
    """Who consents: a synthetic person's name, a reference, or ``-`` for a number on standard input."""
    if named is None:
        return None
    if named == "-":
        return parse(_line())
    return demo_identity(opened, named) if named in DEMO_PEOPLE else opened.register.read(named).identity


def _line() -> str:
    return sys.stdin.readline().strip()
