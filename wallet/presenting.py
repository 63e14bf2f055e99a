"""With verifiers: opening a request, asking the holder, answering once.

    look   link → signed request → registered? over-asking? → what would answer it → the question
    answer consent → copies marked spent, on disk → presentations → sent
    decline → the one refusal that all reasons share

Whether the holder said no, holds nothing that fits, or holds it with another value: the verifier gets the
same answer, at a time that a person could have caused, a few times an hour and then none.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Final

from credentials.encoding import load_json_object
from credentials.errors import (
    HolderRefused,
    Malformed,
    NetworkUnavailable,
    NoMatchingCredential,
    NonceReplayed,
    PeerRefused,
    RequestConsumed,
    UriRefused,
    VaultInvalid,
    VerifierUnregistered,
)
from credentials.formats import FORMATS
from openid4vc.dcql import plan as plan_answer
from openid4vc.oauth import parse_error
from openid4vc.uris import parse_url
from openid4vc.vp import AuthorizationRequest, open_request, parse_request_link, session_of
from openid4vc.vpresponse import build_error_response, build_response
from web.egress import Answer

from .consent import Consent, build_consent, check_registration
from .holding import candidates, check_refusals, refusal_pause, spend
from .records import Entry
from .vault import Writing
from .wallet import Wallet, write_log

REQUEST_TYPE: Final = "application/oauth-authz-req+jwt"
ATTEMPTS: Final = 2


@dataclass(frozen=True, slots=True)
class Question:
    """An opened request and what it would cost. ``consent`` is ``None`` where nothing answers it; the holder
    may still have the verifier told no. ``request_object`` is the signed request as it came."""

    request_object: str
    request: AuthorizationRequest
    consent: Consent | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it: ``sent`` names claims; ``redirect_uri`` is where the verifier sends the browser.

    Not ``confirmed``: it arrived, but what the verifier said to it was lost.
    """

    event: str
    sent: tuple[str, ...]
    redirect_uri: str | None
    confirmed: bool = True


def look(wallet: Wallet, link: str, *, allow_unregistered: bool = False) -> Question:
    """Fetch and open a request, and see what would answer it. Nothing is sent but the fetch.

    Raises what :func:`.vp.parse_request_link` and :func:`.vp.open_request` raise, :class:`OverAsking`,
    :class:`VerifierUnregistered`, :class:`RequestConsumed` (answered before) and :class:`RateLimited`.
    """
    trust = wallet.trust()
    found = parse_request_link(link)
    # 1. Not even a fetch goes to a host that no registered verifier named: a link comes from anybody.
    origins = {origin for registration in trust.verifiers.values() for origin in registration.origins}
    if parse_url(found.request_uri).origin not in origins and not allow_unregistered:
        raise VerifierUnregistered("the request lies with nobody who is registered")
    answer = wallet.egress.get(found.request_uri, accept=REQUEST_TYPE)
    if answer.status != 200:
        raise PeerRefused(f"the verifier answered {parse_error(answer.body).error} ({answer.status})")
    try:
        text = answer.body.decode("ascii")
    except UnicodeDecodeError:
        text = ""
    # 2. Signed by who the link says, fresh, answerable.
    request = open_request(text, link=found, trust=trust, now=wallet.now())
    # 3. Within what it registered for; decided before looking at what is held.
    try:
        check_registration(request, wallet.catalogue, allow_unregistered=allow_unregistered)
    except HolderRefused as error:
        with wallet.vault.writing() as rows:
            write_log(rows, replace(_entry(wallet, request, "refused"), code=error.code))
        raise
    # 4. Not answered before: a nonce is answered once. Not one probe of many.
    used = _nonce_mark(request)
    if any(record.body["nonce"] == used for record in wallet.vault.records("answered")):
        raise RequestConsumed("this request was answered before")
    check_refusals(wallet.log(), party=_party(request), now=wallet.now())
    # 5. What would answer it, with the least shown.
    held = wallet.holdings()
    possible = candidates(held, now=wallet.now())
    try:
        plan = plan_answer(request.query, possible)
    except NoMatchingCredential:
        return Question(text, request, None)
    return Question(text, request, build_consent(request, plan, held, possible, wallet.catalogue))


@dataclass(frozen=True, slots=True)
class Prepared:
    """An answer that is ready to go: the form fields, and its line in the log."""

    fields: dict[str, str]
    entry: Entry
    logged: str


def prepare(wallet: Wallet, question: Question) -> Prepared:
    """The holder said yes: spend the copies and build the answer, for :func:`send` or to be carried by hand.

    A spent copy stays spent whatever happens then. Raises :class:`CopiesExhausted`.
    """
    consent, request = question.consent, question.request
    if consent is None:
        raise NoMatchingCredential("the wallet holds nothing that answers this request")
    entry = replace(
        _entry(wallet, request, "shown"),
        types=tuple(item.type for item in consent.items),
        formats=tuple(item.format.format for item in consent.items),
        claims=consent.claims,
        code="unconfirmed",
    )
    # Spent, struck and logged in one transaction: no copy goes without a line in the holder's log.
    with wallet.vault.writing() as rows:
        _strike(wallet, rows, request)
        copies = spend(rows, [item.batch for item in consent.items], randomness=wallet.randomness)
        logged, entry = write_log(rows, entry)
    session = session_of(request)
    presentations: dict[str, list[str]] = {}
    for item, copy in zip(consent.items, copies, strict=True):
        if copy.key is None:
            raise VaultInvalid("an unspent copy lost its key")
        presentation = FORMATS[item.format.format].present(
            copy.credential,
            show=item.show,
            session=session,
            holder=copy.key.holder(),
            now=wallet.now(),
            randomness=wallet.randomness,
        )
        presentations.setdefault(item.query_id, []).append(presentation.decode("ascii"))
    return Prepared(build_response(presentations, request=request), entry, logged)


def answer(wallet: Wallet, question: Question) -> Outcome:
    """:func:`prepare`, then send it. Raises also :class:`PeerRefused`, :class:`NetworkUnavailable`."""
    ready = prepare(wallet, question)
    code = "network_unavailable"
    try:
        redirect, confirmed = _send(wallet, question.request, ready.fields)
        code = "" if confirmed else ready.entry.code
    except PeerRefused as error:
        code = error.code
        raise
    finally:
        with wallet.vault.writing() as rows:
            rows.put("log", replace(ready.entry, code=code).body(), id=ready.logged)
    return Outcome("shown", ready.entry.claims, redirect, confirmed)


def decline(wallet: Wallet, question: Question, *, by_person: bool = True) -> Outcome:
    """Tell the verifier no. Unless a person just decided it, wait as long as one would have taken."""
    if not by_person:
        wallet.pause(refusal_pause(wallet.randomness))
    event = "declined" if question.consent is not None else "unanswered"
    with wallet.vault.writing() as rows:
        _strike(wallet, rows, question.request)
        write_log(rows, _entry(wallet, question.request, event))
    redirect, confirmed = _send(wallet, question.request, build_error_response(question.request))
    return Outcome(event, (), redirect, confirmed)


def _send(wallet: Wallet, request: AuthorizationRequest, body: dict[str, str]) -> tuple[str | None, bool]:
    """Post the same bytes, once more if the answer was lost; gives where to go on, and whether it is known
    what the verifier said."""
    attempt = 1
    while True:
        try:
            answer = wallet.egress.post_form(request.response_uri, body)
            break
        except NetworkUnavailable:
            if attempt == ATTEMPTS:
                raise
            attempt += 1
    # A nonce is answered once: if this is a replay, it was the lost attempt that arrived.
    if attempt > 1 and answer.status == NonceReplayed.http and _code(answer) == NonceReplayed.code:
        return None, False
    return _redirect(answer, request), True


def _code(answer: Answer) -> object:
    try:
        return load_json_object(answer.body).get("code")
    except Malformed:
        return None


def _redirect(answer: Answer, request: AuthorizationRequest) -> str | None:
    if answer.status != 200:
        raise PeerRefused(f"the verifier answered {parse_error(answer.body).error} ({answer.status})")
    try:
        target = load_json_object(answer.body).get("redirect_uri")
    except Malformed:
        return None
    if not isinstance(target, str):
        return None
    # Only back to where the answer went: no open redirect through the wallet (W15).
    try:
        url = parse_url(target)
    except UriRefused:
        return None
    same = url.origin == parse_url(request.response_uri).origin and url.scheme == "https"
    return target if same else None


def _strike(wallet: Wallet, rows: Writing, request: AuthorizationRequest) -> None:
    """Remember, while it lives, that this request was answered. Raises :class:`RequestConsumed`."""
    mark = _nonce_mark(request)
    for record in rows.records("answered"):
        if record.body["nonce"] == mark:
            raise RequestConsumed("this request was answered before")
        if int(record.body["expires"]) <= wallet.now():
            rows.delete(record.id)
    rows.put("answered", {"nonce": mark, "expires": request.expires})


def _nonce_mark(request: AuthorizationRequest) -> str:
    return hashlib.sha256(f"{request.client_id}|{request.nonce}".encode()).hexdigest()


def _party(request: AuthorizationRequest) -> str:
    return request.verifier.certificate_hash.hex()


def _entry(wallet: Wallet, request: AuthorizationRequest, event: str) -> Entry:
    registration = request.verifier.registration
    purpose = None
    if registration is not None and request.purpose is not None:
        purpose = registration.purposes.get(request.purpose)
    return Entry(
        when=wallet.now(),
        event=event,
        who=registration.name if registration else {"en": parse_url(request.response_uri).origin},
        party=_party(request),
        purpose=purpose.text if purpose else {},
    )
