"""The verifier's parts put to work: make a request, hand it out, take the answer, tell the result.

Time, randomness and keys are arguments; HTTP and the command line are elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec

from credentials.certificates import read_certificate
from credentials.encoding import b64u, load_json_object, unb64u
from credentials.errors import (
    BauhiniaError,
    ClientIdInvalid,
    Fault,
    Refusal,
    RequestExpired,
    RequestObjectInvalid,
    ResponseInvalid,
    every_error,
)
from credentials.jose import parse_compact
from credentials.keys import PublicKey, Signer
from credentials.model import Randomness, Seconds
from openid4vc.members import Members
from openid4vc.vp import (
    REQUEST_TYP,
    RequestClaims,
    build_request,
    client_id,
    read_request,
    request_link,
    sign_request,
)

from .holdings import Held, Holdings
from .offline import guard
from .policy import Policies, Policy
from .store import HOUR, Answered, Created, Draft, State, Store, Transaction, digest
from .verification import Accepted, Outcome, Refused, Undetermined, is_answered, verify

MAX_FILE: Final = 1 << 20
_HTTP: Final = {leaf.code: leaf for leaf in every_error()}


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that waits for a wallet. ``id`` is for whoever asked; the wallet never sees it.

    ``start_url`` is set for a same-device request that a program made: the browser that opens it first is the
    one that the answer must return to.
    """

    id: str
    policy: Policy
    request_uri: str
    link: str
    expires: Seconds
    start_url: str | None


@dataclass(frozen=True, slots=True)
class Reply:
    """The HTTP answer to a wallet."""

    status: int
    body: Mapping[str, str]


class Desk:
    """One verifier. ``signer`` holds its access certificate; ``base_url`` is its public origin."""

    def __init__(
        self,
        *,
        base_url: str,
        signer: Signer,
        policies: Policies,
        store: Store,
        holdings: Holdings,
        now: Callable[[], Seconds],
        randomness: Randomness,
    ) -> None:
        self.base_url = base_url
        self.policies = policies
        self.store = store
        self.now = now
        self._signer = signer
        self._holdings = holdings
        self._randomness = randomness
        certificate = read_certificate(signer.chain[0])
        self.client_id = client_id(certificate.sha256)
        self._public_key = certificate.key

    def _fresh(self) -> str:
        """192 random bits."""
        return b64u(self._randomness(24))

    # --- asking

    def ask(
        self,
        policy_name: str,
        *,
        format: str | None = None,
        same_device: bool = False,
        browser: str | None = None,
    ) -> Asked:
        """Make and store a request. ``browser`` is the secret of the browser session that asks, if one does.

        Raises :class:`NotFound` for an unknown policy, :class:`ConfigurationInvalid` for one that this
        verifier is not registered for.
        """
        policy = self.policies.get(policy_name)
        self._check_registration(policy)
        now = self.now()
        id, request_id, nonce = self._fresh(), self._fresh(), self._fresh()
        ticket = self._fresh() if same_device and browser is None else None
        key = ec.generate_private_key(ec.SECP256R1()) if policy.response_mode == "direct_post.jwt" else None
        jwk = None if key is None else {**PublicKey.of(key.public_key()).jwk(), "kid": self._fresh()}
        expires = now + policy.request_seconds
        claims = build_request(
            client_id=self.client_id,
            response_uri=f"{self.base_url}/response/{request_id}",
            nonce=nonce,
            state=self._fresh(),
            response_mode=policy.response_mode,
            query=policy.query(format),
            purpose=policy.name,
            encryption_jwk=jwk,
            issued=now,
            expires=expires,
        )
        self.store.create(
            Draft(
                id=id,
                request_id=request_id,
                policy=policy.name,
                policy_version=policy.version,
                same_device=same_device,
                browser=None if browser is None else digest(browser),
                ticket=None if ticket is None else digest(ticket),
                request_object=sign_request(claims, self._signer),
                response_key=None if key is None else _write_key(key),
                nonce=nonce,
                created=now,
                expires=expires,
            )
        )
        start_url = None if ticket is None else f"{self.base_url}/start/{id}?ticket={ticket}"
        return Asked(id, policy, self.request_uri(request_id), self.link(request_id), expires, start_url)

    def _check_registration(self, policy: Policy) -> None:
        held = self._held()
        # Without a trust list that holds, every answer will be refused for that.
        if not isinstance(held, Refused):
            us = held.trust.verifier(self._signer.chain, now=self.now())
            policy.check_registration(us.registration)

    def request_uri(self, request_id: str) -> str:
        return f"{self.base_url}/request/{request_id}"

    def link(self, request_id: str) -> str:
        """What the QR code holds."""
        return request_link(self.client_id, self.request_uri(request_id))

    def hand_out(self, request_id: str) -> str:
        """The signed request object, for a wallet."""
        return self.store.fetch(request_id, self.now())

    # --- the answer

    def answer(self, request_id: str, form: Mapping[str, str]) -> Reply:
        """Take what a wallet posted: burn the nonce, verify, record, and say what the wallet must know.

        Raises what :meth:`Store.begin_answer` raises; any other refusal becomes the outcome.
        """
        held = self._held()
        fetched = self.store.begin_answer(request_id, self.now())
        with self._finished(fetched):
            policy = self.policies.get(fetched.policy)
            outcome = self._judge(form, fetched.request_object, policy, _read_key(fetched.response_key), held)
            code = self._fresh() if fetched.same_device and is_answered(outcome) else None
            self.store.finish(
                fetched, outcome, now=self.now(), retention=policy.retention_seconds, response_code=code
            )
        if not is_answered(outcome):
            return _refusal(outcome)
        if code is None:
            return Reply(200, {})
        return Reply(200, {"redirect_uri": f"{self.base_url}/return/{fetched.id}?response_code={code}"})

    @contextmanager
    def _finished(self, transaction: Transaction) -> Generator[None, None, None]:
        """The nonce is burned: a fault in this block ends the check, undetermined."""
        try:
            yield
        except Exception as error:
            outcome = Undetermined(error.code if isinstance(error, BauhiniaError) else Fault.code)
            # A store that failed once may fail again; what is told is the first fault.
            with suppress(BauhiniaError):
                self.store.finish(transaction, outcome, now=self.now(), retention=0, response_code=None)
            raise

    def _held(self) -> Held | Refused:
        try:
            return self._holdings.current()
        except Refusal as error:
            return Refused(error.code, {})

    def _judge(
        self,
        form: Mapping[str, str],
        request_object: str,
        policy: Policy,
        key: ec.EllipticCurvePrivateKey | None,
        held: Held | Refused,
    ) -> Outcome:
        if isinstance(held, Refused):
            return held
        try:
            with guard():
                request = self._own(request_object)
                policy.check_query(request.query)
        except Refusal as error:
            return Refused(error.code, {})
        return verify(
            form,
            request=request,
            policy=policy,
            private_key=key,
            trust=held.trust,
            lists=held.lists,
            now=self.now(),
        )

    def _own(self, request_object: str) -> RequestClaims:
        """The claims of a request object that this verifier signed with its present key."""
        # 1. Signed by us: the certificate in the header is our own, and the signature is its.
        signed = parse_compact(request_object, typ=REQUEST_TYP)
        if signed.chain()[:1] != self._signer.chain[:1]:
            raise ClientIdInvalid("the request was made by another verifier")
        claims = read_request(signed.verify(self._public_key))
        # 2. And for us: audience, and the place where the answer goes.
        if claims.client_id != self.client_id or not claims.response_uri.startswith(f"{self.base_url}/"):
            raise ClientIdInvalid("the request was made for another verifier")
        return claims

    # --- a presentation in a file

    def verify_file(self, data: bytes) -> tuple[Outcome, Policy]:
        """Check ``{"request": request object, "response": form fields}`` with no network.

        The request must be our own and unexpired; its nonce is burned in the store before the response is
        looked at. Raises :class:`NonceReplayed`, :class:`RequestExpired` and what reading the file raises.
        """
        # 1. The file, and in it a request that this verifier signed.
        file = load_json_object(data, max_bytes=MAX_FILE)
        members = Members(file, refusal=RequestObjectInvalid, where="file")
        request_object, form = members.text("request", limit=MAX_FILE), _form(members.raw("response"))
        with guard():
            request = self._own(request_object)
        now = self.now()
        if now >= request.expires:
            raise RequestExpired("this request has expired")
        # 2. It asks what one of our policies asks.
        policy = self.policies.get(request.purpose or "")
        with guard():
            policy.check_query(request.query)
        # 3. One answer a request, right or wrong.
        transaction = self.store.by_nonce(request.nonce)
        held = self._held()
        self.store.burn(request.nonce, until=request.expires)
        # 4. Where the answer is encrypted, the key lies with the transaction.
        with nullcontext() if transaction is None else self._finished(transaction):
            key = None if transaction is None else _read_key(self.store.response_key(transaction.id))
            if request.encryption is not None and key is None:
                raise ResponseInvalid("the key of this request is not in the store")
            outcome = self._judge(form, request_object, policy, key, held)
            if transaction is None:
                self.store.add_receipt(policy.name, policy.version, outcome, now)
            else:
                self.store.finish(
                    transaction, outcome, now=now, retention=policy.retention_seconds, response_code=None
                )
        return outcome, policy

    # --- the result

    def state(self, id: str) -> State:
        return self.store.get(id, self.now())


def phase(state: State, now: Seconds) -> str:
    """``created``, ``fetched``, ``answered`` or ``expired``; a same-device answer counts when it is back."""
    if visible(state) is not None:
        return "answered"
    if now >= state.expires:
        return "expired"
    return "created" if isinstance(state, Created) else "fetched"


def visible(state: State) -> Outcome | None:
    """The outcome, if it may be told: in the same-device flow only to the browser that came back (8.2, 14.2).

    What no wallet could have redirected from, a refusal or a fault of ours, is told at once.
    """
    if not isinstance(state, Answered):
        return None
    shown = not state.same_device or state.returned or not is_answered(state.outcome)
    return state.outcome if shown else None


def result_json(state: State, now: Seconds) -> dict[str, Any]:
    """What the API and ``result --json`` tell."""
    outcome = visible(state)
    body: dict[str, Any] = {
        "id": state.id,
        "policy": state.policy,
        "policy_version": state.policy_version,
        "state": phase(state, now),
        "expires": state.expires,
    }
    body |= outcome_json(outcome)
    body["claims_forgotten"] = outcome is not None and isinstance(state, Answered) and state.forgotten
    if outcome is not None and isinstance(state, Answered):
        body["receipt"] = receipt(state.policy, state.policy_version, outcome, state.answered)
    return body


def outcome_json(outcome: Outcome | None) -> dict[str, Any]:
    """``outcome``, ``error_code``, ``disclosed`` by type and claim, ``formats``, the age of the status."""
    return {
        "outcome": None if outcome is None else type(outcome).__name__.lower(),
        "error_code": outcome.code if isinstance(outcome, Refused | Undetermined) else None,
        "disclosed": {} if outcome is None or isinstance(outcome, Undetermined) else dict(outcome.learned),
        "formats": [] if outcome is None or isinstance(outcome, Undetermined) else list(outcome.formats),
        "status": {"level": outcome.level, "issued": outcome.status_issued}
        if isinstance(outcome, Accepted)
        else None,
        "over_disclosed": outcome.over_disclosed if isinstance(outcome, Accepted) else 0,
    }


def receipt(policy: str, version: int, outcome: Outcome, answered: Seconds) -> dict[str, Any]:
    """Proof of diligence without personal data: what was checked, the outcome, the hour."""
    return {
        "policy": policy,
        "policy_version": version,
        "outcome": type(outcome).__name__.lower(),
        "hour": answered // HOUR * HOUR,
    }


def _refusal(outcome: Outcome) -> Reply:
    code = "" if isinstance(outcome, Accepted) else outcome.code
    leaf = _HTTP[code]
    body = {"error": leaf.protocol, "error_description": code.replace("_", " "), "code": code}
    return Reply(leaf.http, body)


def _form(value: object) -> dict[str, str]:
    members = Members(value, refusal=ResponseInvalid, where="response")
    return {name: members.text(name, limit=MAX_FILE) for name in members.names()}


def _write_key(key: ec.EllipticCurvePrivateKey) -> str:
    return b64u(key.private_numbers().private_value.to_bytes(32, "big"))


def _read_key(text: str | None) -> ec.EllipticCurvePrivateKey | None:
    if text is None:
        return None
    return ec.derive_private_key(int.from_bytes(unb64u(text), "big"), ec.SECP256R1())
