"""The issuer's store, over SQLAlchemy Core: what has to be true of several processes at once.

:class:`Store` joins its parts: people here, grants in :mod:`issuer.grants`, copies in :mod:`issuer.copies`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

from sqlalchemy import Connection, delete, func, insert, select, update

from credentials.errors import AlreadyEnrolled, EnrolmentUnknown, SignInRefused
from credentials.model import Seconds
from web.database import open_database

from . import schema
from .copies import Copies
from .grants import Grants
from .issuance import Attempt, Enrolment
from .rows import find, save, to_record, to_row
from .schema import codes, copies, enrolments, offers, refusals, responses, tokens


class Store(Grants, Copies):
    """Everything the issuer remembers."""

    def add_enrolment(self, enrolment: Enrolment) -> None:
        """Raises :class:`AlreadyEnrolled` while an enrolment with the same ``rec`` is active."""

        def act(connection: Connection) -> None:
            active = select(enrolments.c.id).where(
                enrolments.c.rec == enrolment.rec, enrolments.c.state == "active"
            )
            if connection.execute(active).first() is not None:
                raise AlreadyEnrolled(
                    "this person has an active enrolment",
                    hint="Lost phone: revoke everything first with `bauhinia issuer revoke --all`.",
                )
            connection.execute(insert(enrolments).values(to_row(enrolment)))

        self.write(act)

    def enrolment(self, id: str) -> Enrolment:
        """Raises :class:`EnrolmentUnknown`."""
        with self.read() as connection:
            found = find(connection, Enrolment, enrolments, id)
        if found is None:
            raise EnrolmentUnknown("no such enrolment")
        return found

    def sign_in(self, code: bytes, judge: Callable[[Enrolment], Attempt[Enrolment]]) -> Enrolment:
        """``code`` is the MAC of the sign-in code. Raises :class:`SignInRefused`."""

        def act(connection: Connection) -> Attempt[Enrolment] | None:
            query = select(enrolments).where(enrolments.c.sign_in == code).with_for_update()
            row = connection.execute(query).mappings().first()
            if row is None:
                return None
            attempt = judge(to_record(Enrolment, row))
            save(connection, enrolments, attempt.state)
            return attempt

        attempt = self.write(act)
        if attempt is None:
            raise SignInRefused("the sign-in code or the passcode is wrong, or the sign-in is locked")
        if attempt.refusal is not None:
            raise attempt.refusal
        return attempt.state

    def withdraw_consent(self, id: str) -> None:
        """A guardian's change of mind: from now on the minor gets no fresh copies.

        Raises :class:`EnrolmentUnknown`.
        """

        def act(connection: Connection) -> None:
            found = find(connection, Enrolment, enrolments, id)
            if found is None:
                raise EnrolmentUnknown("no such enrolment")
            save(connection, enrolments, replace(found, consent=False))

        self.write(act)

    def revoke(self, id: str, *, types: Collection[str] | None = None, end: bool = False) -> int:
        """Mark the statuses of an enrolment's copies, of ``types`` or of all; how many were newly marked.

        ``end`` ends the enrolment too (lost phone): its offers, tokens and stored answers go in the same
        transaction. Raises :class:`EnrolmentUnknown`.
        """

        def act(connection: Connection) -> int:
            found = find(connection, Enrolment, enrolments, id)
            if found is None:
                raise EnrolmentUnknown("no such enrolment")
            marked = update(copies).where(copies.c.enrolment == id, copies.c.status == 0)
            if types is not None:
                marked = marked.where(copies.c.type.in_(types))
            count = connection.execute(marked.values(status=1)).rowcount
            if end:
                save(connection, enrolments, replace(found, state="revoked"))
                for table in (offers, codes, tokens, responses):
                    connection.execute(delete(table).where(table.c.enrolment == id))
            return count

        return self.write(act)

    def count_refusal(self, code: str, *, now: Seconds) -> None:
        """One more refused attempt with that error code in this hour: no who, no what."""
        hour = now - now % 3600

        def act(connection: Connection) -> None:
            here = (refusals.c.hour == hour, refusals.c.code == code)
            more = update(refusals).where(*here).values(attempts=refusals.c.attempts + 1)
            if connection.execute(more).rowcount == 0:
                connection.execute(insert(refusals).values(hour=hour, code=code, attempts=1))

        self.write(act)

    def refusals(self) -> Mapping[str, int]:
        """Refused attempts by error code, over all hours kept."""
        query = select(refusals.c.code, func.sum(refusals.c.attempts)).group_by(refusals.c.code)
        with self.read() as connection:
            return {code: int(attempts) for code, attempts in connection.execute(query).all()}

    def purge(self, *, now: Seconds) -> int:
        """Forget everything whose time is over; stored answers go within ten minutes of being made."""

        def act(connection: Connection) -> int:
            return sum(
                connection.execute(delete(table).where(table.c.expires <= now)).rowcount
                for table in schema.EXPIRING
            )

        return self.write(act)


def open_store(url: str) -> Store:
    """``url`` is SQLAlchemy's, for example ``sqlite:////var/lib/bauhinia/issuer.sqlite``."""
    return Store(open_database(url, schema.MIGRATIONS))
