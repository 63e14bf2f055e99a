"""The part of the store that holds offers, codes, tokens and DPoP proofs.

A method that judges a state reads it, applies the pure transition from :mod:`issuer.issuance`, writes the
result and only then raises the refusal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import Connection, delete, insert, select, update

from credentials.errors import DpopInvalid, EnrolmentRevoked, GrantInvalid, OfferInvalid
from credentials.model import Seconds

from .issuance import Attempt, AuthorizationCode, Enrolment, Offer, Token
from .rows import Rows, any_taken, bounded, find, save, to_record, to_row
from .schema import codes, dpop_proofs, enrolments, offers, tokens


class Grants(Rows):
    """Offers, authorization codes, tokens."""

    def add_offer(self, offer: Offer) -> None:
        """Beyond the bound on pending offers the oldest is forgotten."""

        def act(connection: Connection) -> None:
            connection.execute(insert(offers).values(to_row(offer)))
            bounded(connection, offers, self._max_pending)

        self.write(act)

    def offer(self, id: str, *, now: Seconds) -> Offer:
        """A pending offer, by the id in its URL. Raises :class:`OfferInvalid`."""
        with self.read() as connection:
            found = find(connection, Offer, offers, id)
        if found is None or found.state != "pending" or now >= found.expires:
            raise OfferInvalid("the offer is unknown, expired or used")
        return found

    def offer_by_code(self, code: bytes, *, now: Seconds) -> Offer | None:
        """The authorization-code offer whose issuer state hashes to ``code``, while it is good."""
        query = select(offers).where(offers.c.code == code)
        with self.read() as connection:
            row = connection.execute(query).mappings().first()
        found = None if row is None else to_record(Offer, row)
        return found if found is not None and found.state == "pending" and now < found.expires else None

    def redeem_offer(
        self,
        code: bytes,
        judge: Callable[[Offer], Attempt[Offer]],
        grant: Callable[[Offer], Sequence[Token]],
    ) -> Offer:
        """Spend the pre-authorized code that hashes to ``code`` and store the tokens it earns, at once."""

        def act(connection: Connection) -> Attempt[Offer]:
            query = select(offers).where(offers.c.code == code).with_for_update()
            row = connection.execute(query).mappings().first()
            if row is None:
                raise GrantInvalid("the pre-authorized code is unknown, expired or used")
            attempt = judge(to_record(Offer, row))
            save(connection, offers, attempt.state)
            if attempt.refusal is None:
                self._add_tokens(connection, grant(attempt.state))
            return attempt

        attempt = self.write(act)
        if attempt.refusal is not None:
            raise attempt.refusal
        return attempt.state

    def add_code(self, code: AuthorizationCode) -> None:
        """Beyond the bound on pending codes the oldest is forgotten."""

        def act(connection: Connection) -> None:
            connection.execute(insert(codes).values(to_row(code)))
            bounded(connection, codes, self._max_pending)

        self.write(act)

    def redeem_code(
        self,
        code: bytes,
        judge: Callable[[AuthorizationCode], Attempt[AuthorizationCode]],
        grant: Callable[[AuthorizationCode], Sequence[Token]],
    ) -> AuthorizationCode:
        """As :meth:`redeem_offer`. A code seen twice was stolen once: its tokens go (RFC 6749, 4.1.2)."""

        def act(connection: Connection) -> Attempt[AuthorizationCode]:
            found = find(connection, AuthorizationCode, codes, code)
            if found is None:
                raise GrantInvalid("the authorization code is unknown, expired or used")
            if found.state == "redeemed":
                connection.execute(delete(tokens).where(tokens.c.family == found.family))
            attempt = judge(found)
            if attempt.refusal is None and found.offer is not None and not _spend(connection, found.offer):
                # Two sign-ins for one offer: the first to come here has it.
                attempt = Attempt(attempt.state, GrantInvalid("the offer is unknown, expired or used"))
            save(connection, codes, attempt.state)
            if attempt.refusal is None:
                self._add_tokens(connection, grant(attempt.state))
            return attempt

        attempt = self.write(act)
        if attempt.refusal is not None:
            raise attempt.refusal
        return attempt.state

    def _add_tokens(self, connection: Connection, granted: Sequence[Token]) -> None:
        for token in granted:
            found = find(connection, Enrolment, enrolments, token.enrolment)
            if found is None or found.state != "active":
                raise EnrolmentRevoked("this enrolment was revoked")
            connection.execute(insert(tokens).values(to_row(token)))

    def add_tokens(self, granted: Sequence[Token]) -> None:
        """Raises :class:`EnrolmentRevoked`."""
        self.write(lambda connection: self._add_tokens(connection, granted))

    def token(self, hash: bytes) -> Token | None:
        """The token with that hash, of either kind, good or expired."""
        with self.read() as connection:
            return find(connection, Token, tokens, hash)

    def burn_dpop_proof(self, jti: bytes, *, expires: Seconds) -> None:
        """Raises :class:`DpopInvalid` where the proof was seen before (RFC 9449, 11.1)."""

        def act(connection: Connection) -> None:
            if any_taken(connection, dpop_proofs.c.jti, (jti,)):
                raise DpopInvalid("the DPoP proof was used before")
            connection.execute(insert(dpop_proofs).values(jti=jti, expires=expires))

        self.write(act)


def _spend(connection: Connection, offer: str) -> int:
    pending = update(offers).where(offers.c.id == offer, offers.c.state == "pending")
    return connection.execute(pending.values(state="redeemed")).rowcount
