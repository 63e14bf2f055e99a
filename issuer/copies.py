"""The part of the store that holds what was issued: nonces burned, keys bound, indices taken, answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, func, insert, select, update

from credentials.errors import (
    CredentialNonceInvalid,
    EnrolmentRevoked,
    NotificationUnknown,
    ProofInvalid,
    StatusListFull,
)
from credentials.model import Seconds, Window

from .issuance import Enrolment, Token
from .rows import Rows, any_taken, find
from .schema import burned_nonces, copies, enrolments, issued, notifications, responses, tokens, used_keys


@dataclass(frozen=True, slots=True)
class Issuance:
    """All that one answered credential request changes; stored whole or not at all."""

    token: bytes
    enrolment: str
    type: str
    format: str
    window: Window
    nonces: Mapping[bytes, Seconds]
    """Hash of each nonce to when it expires."""
    keys: frozenset[bytes]
    """MAC of each proof key."""
    indices: tuple[int, ...]
    copies: int
    request: bytes
    """What identifies a retry: hash of token, DPoP key and body."""
    sealed: bytes
    sealed_until: Seconds
    notification: bytes
    family: str
    notification_until: Seconds


class IndexTaken(Exception):
    """Another process drew the same status index first: draw again. Never leaves the issuer."""


class Copies(Rows):
    """Status indices and issuance."""

    def draw_indices(
        self, type: str, window: Window, count: int, *, size: int, draw: Callable[[], int]
    ) -> tuple[int, ...]:
        """``count`` free indices of the list of ``type`` and ``window``, each an independent ``draw``.

        Free now: :meth:`record` has the last word. A list half full is full, so that draws stay random and
        quick. Raises :class:`StatusListFull`.
        """
        here = (copies.c.type == type, copies.c.window_start == window.start)
        with self.read() as connection:
            used = connection.execute(select(func.count()).select_from(copies).where(*here)).scalar_one()
            if (used + count) * 2 > size:
                raise StatusListFull("the status list of this period is full")
            chosen: dict[int, None] = {}
            while len(chosen) < count:
                drawn = {draw() for _ in range(count - len(chosen))} - chosen.keys()
                taken = connection.execute(select(copies.c.idx).where(*here, copies.c.idx.in_(drawn)))
                chosen |= dict.fromkeys(drawn - set(taken.scalars()))
        return tuple(chosen)

    def issued(self, enrolment: str, type: str, format: str, window: Window) -> int:
        """Copies of that type and format which the enrolment got for that window."""
        query = select(issued.c.copies).where(
            issued.c.enrolment == enrolment,
            issued.c.type == type,
            issued.c.format == format,
            issued.c.window_start == window.start,
        )
        with self.read() as connection:
            return connection.execute(query).scalar() or 0

    def stored_response(self, request: bytes, *, now: Seconds) -> bytes | None:
        """The sealed answer to the same request, if it was answered within the life of its nonce."""
        query = select(responses.c.sealed).where(responses.c.request == request, responses.c.expires > now)
        with self.read() as connection:
            return connection.execute(query).scalar()

    def record(self, issuance: Issuance) -> None:
        """Burn the nonces, bind the keys, take the indices, keep the answer: one transaction.

        Raises :class:`EnrolmentRevoked`, :class:`CredentialNonceInvalid`, :class:`ProofInvalid` or
        :class:`IndexTaken`; then nothing was changed.
        """

        def act(connection: Connection) -> None:
            # 1. The enrolment and the token still live: revoking may have come between.
            found = find(connection, Enrolment, enrolments, issuance.enrolment)
            token = find(connection, Token, tokens, issuance.token)
            if found is None or found.state != "active" or token is None:
                raise EnrolmentRevoked("this enrolment was revoked")
            # 2. No nonce was used before.
            if any_taken(connection, burned_nonces.c.nonce, issuance.nonces.keys()):
                raise CredentialNonceInvalid("the nonce was used before")
            # 3. No key has a copy already, this holder's or another's.
            if any_taken(connection, used_keys.c.key_hash, issuance.keys):
                raise ProofInvalid("a key has a credential already")
            # 4. No index is taken.
            taken = select(copies.c.idx).where(
                copies.c.type == issuance.type,
                copies.c.window_start == issuance.window.start,
                copies.c.idx.in_(issuance.indices),
            )
            if connection.execute(taken.limit(1)).first() is not None:
                raise IndexTaken
            # 5. Write all of it.
            connection.execute(
                insert(burned_nonces),
                [{"nonce": nonce, "expires": until} for nonce, until in issuance.nonces.items()],
            )
            connection.execute(
                insert(used_keys),
                [{"key_hash": key, "expires": issuance.window.end} for key in sorted(issuance.keys)],
            )
            if issuance.indices:
                # Sorted, so that the order of rows says nothing about the order of copies.
                connection.execute(
                    insert(copies),
                    [
                        {
                            "type": issuance.type,
                            "window_start": issuance.window.start,
                            "window_end": issuance.window.end,
                            "idx": index,
                            "enrolment": issuance.enrolment,
                            "status": 0,
                        }
                        for index in sorted(issuance.indices)
                    ],
                )
            self._count_issued(connection, issuance)
            connection.execute(
                insert(responses).values(
                    request=issuance.request,
                    enrolment=issuance.enrolment,
                    sealed=issuance.sealed,
                    expires=issuance.sealed_until,
                )
            )
            connection.execute(
                insert(notifications).values(
                    notification=issuance.notification,
                    family=issuance.family,
                    type=issuance.type,
                    event=None,
                    expires=issuance.notification_until,
                )
            )

        self.write(act)

    def _count_issued(self, connection: Connection, issuance: Issuance) -> None:
        here = (
            issued.c.enrolment == issuance.enrolment,
            issued.c.type == issuance.type,
            issued.c.format == issuance.format,
            issued.c.window_start == issuance.window.start,
        )
        more = update(issued).where(*here).values(copies=issued.c.copies + issuance.copies)
        if connection.execute(more).rowcount == 0:
            connection.execute(
                insert(issued).values(
                    enrolment=issuance.enrolment,
                    type=issuance.type,
                    format=issuance.format,
                    window_start=issuance.window.start,
                    copies=issuance.copies,
                )
            )

    def notify(self, notification: bytes, *, family: str, event: str, now: Seconds) -> None:
        """Keep what the wallet says of a delivery; repeating it is no error (OpenID4VCI 1.0, 11).

        Raises :class:`NotificationUnknown`.
        """

        def act(connection: Connection) -> int:
            return connection.execute(
                update(notifications)
                .where(
                    notifications.c.notification == notification,
                    notifications.c.family == family,
                    notifications.c.expires > now,
                )
                .values(event=event)
            ).rowcount

        if self.write(act) == 0:
            raise NotificationUnknown("no such notification")

    def lists(self, *, now: Seconds) -> tuple[tuple[str, Window], ...]:
        """Every (type, window) that has copies which may still be shown."""
        query = select(copies.c.type, copies.c.window_start, copies.c.window_end).distinct()
        with self.read() as connection:
            rows = connection.execute(query.where(copies.c.window_end > now)).all()
        return tuple(sorted((type, Window(start, end)) for type, start, end in rows))

    def marked(self, type: str, window: Window) -> tuple[int, ...]:
        """The indices of a list whose copies were revoked."""
        query = select(copies.c.idx).where(
            copies.c.type == type, copies.c.window_start == window.start, copies.c.status != 0
        )
        with self.read() as connection:
            return tuple(connection.execute(query).scalars())

    def held(self, enrolment: str) -> tuple[tuple[str, str, int], ...]:
        """(type, format, copies) of what an enrolment got, for the portal: numbers, no claims."""
        query = (
            select(issued.c.type, issued.c.format, func.sum(issued.c.copies))
            .where(issued.c.enrolment == enrolment)
            .group_by(issued.c.type, issued.c.format)
            .order_by(issued.c.type, issued.c.format)
        )
        with self.read() as connection:
            return tuple((type, format, int(n)) for type, format, n in connection.execute(query).all())
