"""What was issued and no longer holds: found and marked before the status lists are signed.

A stay that ended, an entitlement that another department took back: once a day, with ``publish``, the
register is asked again about everybody who has copies that could still be shown. The lists that follow say
so to verifiers, and nothing of the kind is issued anew, because issuing asks the register too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from credentials import calendar
from credentials.errors import PersonUnknown
from credentials.model import Window

from .claims import lapsed
from .office import Issuer

_STEP: Final = 500


def people_to_review(issuer: Issuer) -> int:
    """How many enrolments have copies that may still be shown and can be revoked."""
    return issuer.store.count_live(now=issuer.clock())


def revoke_lapsed(issuer: Issuer) -> Iterator[int]:
    """Mark every copy that states what is true no more; yields once for each enrolment, the sum is of copies.

    Each person is read once, a page of people at a time; the marks of a page are one transaction. Stopped
    half-way it has marked some and harmed nothing: the next run marks the rest. People whom the register
    does not know are left as they are, since a register that is out of place would revoke everybody.
    """
    now = issuer.clock()
    today = Window(calendar.midnight(now), calendar.midnight(now) + calendar.DAY)
    last = ""
    while page := issuer.store.live(now=now, after=last, limit=_STEP):
        ended: list[tuple[str, str, Window]] = []
        for enrolment, reference, held in page:
            try:
                person = issuer.register.read(reference)
            except PersonUnknown:
                continue
            ended += [
                (enrolment, name, window)
                for name, window in held
                if lapsed(issuer.catalogue.types[name], person, window, today)
            ]
        yield issuer.store.mark(ended) if ended else 0
        yield from [0] * (len(page) - 1)
        last = page[-1][0]
