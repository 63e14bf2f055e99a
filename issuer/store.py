"""The issuer's store, over SQLAlchemy Core: what has to be true of several processes at once.

:class:`Store` joins its parts: people here, grants in :mod:`issuer.grants`, copies in :mod:`issuer.copies`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Final

from sqlalchemy import Connection, delete, func, insert, select, update

from credentials import calendar
from credentials.errors import AlreadyEnrolled, EnrolmentRevoked, EnrolmentUnknown, SignInRefused
from credentials.model import Seconds
from web.database import open_database

from . import schema
from .copies import Copies
from .grants import Grants
from .issuance import Attempt, Enrolment
from .rows import find, save, to_record, to_row
from .schema import GRACE, codes, copies, enrolments, issued, offers, refusals, responses, tokens, withheld

REFUSALS_KEPT: Final = 30 * calendar.DAY
_FORGOTTEN_AT_THE_END: Final = (offers, codes, tokens, responses, withheld)


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
                    hint="Lost phone: `bauhinia issuer revoke --data DIR --hkid - --all`, then enrol again. "
                    "Lost codes: `bauhinia issuer enrol --data DIR --hkid - --new-codes`.",
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

    def active_enrolment(self, rec: bytes) -> Enrolment:
        """The living enrolment of the person whose identity has the MAC ``rec``.

        Raises :class:`EnrolmentUnknown`.
        """
        query = select(enrolments).where(enrolments.c.rec == rec, enrolments.c.state == "active")
        with self.read() as connection:
            row = connection.execute(query).mappings().first()
        if row is None:
            raise EnrolmentUnknown("this person has no active enrolment")
        return to_record(Enrolment, row)

    def change(self, id: str, next: Callable[[Enrolment], Enrolment]) -> Enrolment:
        """Put what ``next`` makes of an enrolment in its place. Raises :class:`EnrolmentUnknown` and
        :class:`EnrolmentRevoked`."""

        def act(connection: Connection) -> Enrolment:
            changed = next(_living(connection, id))
            save(connection, enrolments, changed)
            return changed

        return self.write(act)

    def replace(self, id: str, anew: Callable[[Enrolment], Enrolment]) -> int:
        """Lost phone: end an enrolment, and start the one that ``anew`` makes of it, in one transaction.

        What was withheld stays withheld. How many copies were newly marked. Raises
        :class:`EnrolmentUnknown` or :class:`EnrolmentRevoked`; then nothing was changed.
        """

        def act(connection: Connection) -> int:
            old = _living(connection, id)
            new = anew(old)
            kept = (
                connection.execute(select(withheld.c.type).where(withheld.c.enrolment == id)).scalars().all()
            )
            count = self._mark(connection, id, None)
            self._end(connection, old)
            connection.execute(insert(enrolments).values(to_row(new)))
            self._withhold(connection, new.id, kept)
            return count

        return self.write(act)

    def withheld(self, id: str) -> frozenset[str]:
        """The types that were revoked for an enrolment, and not lifted since."""
        with self.read() as connection:
            found = connection.execute(select(withheld.c.type).where(withheld.c.enrolment == id))
            return frozenset(found.scalars())

    def lift(self, id: str, types: Collection[str]) -> int:
        """Let an enrolment have ``types`` again; copies that were revoked stay so. How many were withheld.

        Raises :class:`EnrolmentUnknown` or :class:`EnrolmentRevoked`.
        """

        def act(connection: Connection) -> int:
            _living(connection, id)
            here = (withheld.c.enrolment == id, withheld.c.type.in_(types))
            return connection.execute(delete(withheld).where(*here)).rowcount

        return self.write(act)

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
            save(connection, enrolments, replace(found, consent=False, guardian=None, consented=None))
            # Copies that were made and not fetched are not fetched any more.
            connection.execute(delete(responses).where(responses.c.enrolment == id))

        self.write(act)

    def revoke(self, id: str, *, types: Collection[str] | None = None, end: bool = False) -> int:
        """Mark the statuses of an enrolment's copies, of ``types`` or of all; how many were newly marked.

        What is revoked is withheld too: no fresh copies of it until :meth:`lift`, and no stored answer that
        holds some. ``end`` ends the enrolment (lost phone): its offers, tokens and stored answers go in the
        same transaction. Raises :class:`EnrolmentUnknown`.
        """

        def act(connection: Connection) -> int:
            found = find(connection, Enrolment, enrolments, id)
            if found is None:
                raise EnrolmentUnknown("no such enrolment")
            count = self._mark(connection, id, types)
            if end:
                self._end(connection, found)
                return count
            named = types
            if named is None:
                query = select(issued.c.type).where(issued.c.enrolment == id).distinct()
                named = connection.execute(query).scalars().all()
            self._withhold(connection, id, named)
            connection.execute(
                delete(responses).where(responses.c.enrolment == id, responses.c.type.in_(named))
            )
            return count

        return self.write(act)

    def _mark(self, connection: Connection, id: str, types: Collection[str] | None) -> int:
        marked = update(copies).where(copies.c.enrolment == id, copies.c.status == 0)
        if types is not None:
            marked = marked.where(copies.c.type.in_(types))
        return connection.execute(marked.values(status=1)).rowcount

    def _end(self, connection: Connection, enrolment: Enrolment) -> None:
        save(connection, enrolments, replace(enrolment, state="revoked"))
        for table in _FORGOTTEN_AT_THE_END:
            connection.execute(delete(table).where(table.c.enrolment == enrolment.id))

    def _withhold(self, connection: Connection, id: str, types: Collection[str]) -> None:
        there = connection.execute(select(withheld.c.type).where(withheld.c.enrolment == id)).scalars()
        for type in sorted(set(types) - set(there)):
            connection.execute(insert(withheld).values(enrolment=id, type=type))

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
        """Forget everything whose time is over; stored answers go within ten minutes of being made.

        What was issued is forgotten a day after its validity, counts of refusals after 30 days.
        """

        def act(connection: Connection) -> int:
            over = [delete(table).where(table.c.expires <= now) for table in schema.EXPIRING]
            over += [delete(table).where(table.c.window_end <= now - GRACE) for table in schema.WINDOWED]
            over.append(delete(refusals).where(refusals.c.hour <= now - REFUSALS_KEPT))
            return sum(connection.execute(statement).rowcount for statement in over)

        return self.write(act)


def _living(connection: Connection, id: str) -> Enrolment:
    found = find(connection, Enrolment, enrolments, id)
    if found is None:
        raise EnrolmentUnknown("no such enrolment")
    if found.state != "active":
        raise EnrolmentRevoked("this enrolment was revoked")
    return found


def open_store(url: str) -> Store:
    """``url`` is SQLAlchemy's, for example ``sqlite:////var/lib/bauhinia/issuer.sqlite``."""
    return Store(open_database(url, schema.migrations(url)))
