"""The part of the store that holds what was issued: nonces burned, keys bound, indices taken, answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, func, insert, select, update

from credentials.errors import (
    CredentialNonceInvalid,
    EnrolmentRevoked,
    NotificationUnknown,
    ProofInvalid,
    StatusListFull,
    TypeWithheld,
)
from credentials.model import Seconds, Window

from .decoys import Decoys
from .issuance import Enrolment, Token, check_number
from .rows import any_taken, find
from .schema import (
    burned_nonces,
    copies,
    enrolments,
    issued,
    notifications,
    responses,
    tokens,
    used_keys,
    withheld,
)


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
    limit: int
    """Copies of that type and format which the enrolment may have for the window."""
    request: bytes
    """What identifies a retry: hash of token, DPoP key and body."""
    sealed: bytes
    sealed_until: Seconds
    notification: bytes
    family: str
    notification_until: Seconds


class IndexTaken(Exception):
    """Another process drew the same status index first: draw again. Never leaves the issuer."""


def _live(now: Seconds) -> tuple[ColumnElement[bool], ...]:
    return (copies.c.status == 0, copies.c.window_end > now)


class Copies(Decoys):
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
                free = drawn - set(taken.scalars()) - self.decoys_among(connection, type, window, drawn)
                chosen |= dict.fromkeys(free)
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

        Raises :class:`EnrolmentRevoked`, :class:`TypeWithheld`, :class:`CredentialNonceInvalid`,
        :class:`ProofInvalid`, :class:`RateLimited` or :class:`IndexTaken`; then nothing was changed.
        """

        def act(connection: Connection) -> None:
            # 1. The enrolment and the token still live: revoking may have come between.
            found = find(connection, Enrolment, enrolments, issuance.enrolment)
            token = find(connection, Token, tokens, issuance.token)
            if found is None or found.state != "active" or token is None:
                raise EnrolmentRevoked("this enrolment was revoked")
            # 2. Nor was this type of it revoked.
            here = (withheld.c.enrolment == issuance.enrolment, withheld.c.type == issuance.type)
            if connection.execute(select(withheld.c.type).where(*here)).first() is not None:
                raise TypeWithheld("this credential was revoked for this enrolment")
            # 3. No nonce was used before.
            if any_taken(connection, burned_nonces.c.nonce, issuance.nonces.keys()):
                raise CredentialNonceInvalid("the nonce was used before")
            # 4. No key has a copy already, this holder's or another's.
            if any_taken(connection, used_keys.c.key_hash, issuance.keys):
                raise ProofInvalid("a key has a credential already")
            # 5. Requests that came at once do not get more together than one after the other.
            self._count_issued(connection, issuance)
            # 6. No index is taken, nor kept back as a decoy.
            taken = select(copies.c.idx).where(
                copies.c.type == issuance.type,
                copies.c.window_start == issuance.window.start,
                copies.c.idx.in_(issuance.indices),
            )
            if connection.execute(taken.limit(1)).first() is not None:
                raise IndexTaken
            if self.decoys_among(connection, issuance.type, issuance.window, issuance.indices):
                raise IndexTaken
            # 7. Write all of it.
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
            connection.execute(
                insert(responses).values(
                    request=issuance.request,
                    enrolment=issuance.enrolment,
                    type=issuance.type,
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
        before = connection.execute(select(issued.c.copies).where(*here)).scalar()
        check_number((before or 0) + issuance.copies, limit=issuance.limit)
        if before is not None:
            connection.execute(update(issued).where(*here).values(copies=before + issuance.copies))
        else:
            connection.execute(
                insert(issued).values(
                    enrolment=issuance.enrolment,
                    type=issuance.type,
                    format=issuance.format,
                    window_start=issuance.window.start,
                    window_end=issuance.window.end,
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
        open_ones = query.where(copies.c.window_end > now)
        with self.read() as connection:
            rows = connection.execute(open_ones.order_by(copies.c.type, copies.c.window_start)).all()
        return tuple((type, Window(start, end)) for type, start, end in rows)

    def marked(self, type: str, window: Window) -> tuple[int, ...]:
        """The indices of a list whose copies were revoked."""
        query = select(copies.c.idx).where(
            copies.c.type == type, copies.c.window_start == window.start, copies.c.status != 0
        )
        with self.read() as connection:
            return tuple(connection.execute(query).scalars())

    def count_live(self, *, now: Seconds) -> int:
        """How many enrolments have copies that are not revoked and may still be shown."""
        query = select(func.count(copies.c.enrolment.distinct())).where(*_live(now))
        with self.read() as connection:
            return connection.execute(query).scalar_one()

    def live(
        self, *, now: Seconds, after: str, limit: int
    ) -> tuple[tuple[str, str, tuple[tuple[str, Window], ...]], ...]:
        """(enrolment, reference, what of such copies it has) of the ``limit`` enrolments that come after
        ``after`` by id."""
        here = select(copies.c.enrolment).where(copies.c.enrolment > after, *_live(now)).distinct()
        page = here.order_by(copies.c.enrolment).limit(limit).subquery()
        query = (
            select(
                copies.c.enrolment,
                enrolments.c.reference,
                copies.c.type,
                copies.c.window_start,
                copies.c.window_end,
            )
            .distinct()
            .join(page, page.c.enrolment == copies.c.enrolment)
            .join(enrolments, enrolments.c.id == copies.c.enrolment)
            .where(*_live(now))
            .order_by(copies.c.enrolment)
        )
        found: dict[tuple[str, str], list[tuple[str, Window]]] = {}
        with self.read() as connection:
            for id, reference, type, start, end in connection.execute(query):
                found.setdefault((id, reference), []).append((type, Window(start, end)))
        return tuple((id, reference, tuple(held)) for (id, reference), held in found.items())

    def mark(self, ended: Iterable[tuple[str, str, Window]]) -> int:
        """Mark the copies of each (enrolment, type, window), all in one transaction; how many newly."""

        def act(connection: Connection) -> int:
            return sum(
                connection.execute(
                    update(copies)
                    .where(
                        copies.c.enrolment == enrolment,
                        copies.c.type == type,
                        copies.c.window_start == window.start,
                        copies.c.status == 0,
                    )
                    .values(status=1)
                ).rowcount
                for enrolment, type, window in ended
            )

        ended = tuple(ended)
        return self.write(act)

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
