"""The answer to a presentation request: ``vp_token``, in the clear or encrypted (OpenID4VP 1.0, section 8).

Both ends. A refusal looks the same whatever its cause (declined, no such credential, value does not match):
else a verifier could learn what somebody has by asking (section 15.5.2).
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from credentials.encoding import dump_json, load_json_object
from credentials.errors import (
    ConfigurationInvalid,
    JweMalformed,
    Malformed,
    QueryNotSatisfied,
    ResponseEncryptionInvalid,
    ResponseInvalid,
    StateMismatch,
)
from credentials.jose import decrypt_jwe, encrypt_jwe

from .dcql import MAX_PRESENTATIONS
from .members import Members

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

    from .vp import RequestClaims

MAX_RESPONSE: Final = 1 << 20
MAX_PRESENTATION: Final = 1 << 17


@dataclass(frozen=True, slots=True)
class VpResponse:
    """Presentations as wire text, by id of the credential query: unverified, but each id is of the query."""

    vp_token: Mapping[str, tuple[str, ...]]
    state: str | None


@dataclass(frozen=True, slots=True)
class VpRefusal:
    """The wallet said no. ``error`` is an OAuth error code; why it said no is not ours to know."""

    error: str
    state: str | None


# --- The wallet's side


def build_response(vp_token: Mapping[str, Sequence[str]], *, request: RequestClaims) -> dict[str, str]:
    """Form fields to post to ``request.response_uri``. ``vp_token`` maps query ids to presentations."""
    answer: dict[str, Any] = {"vp_token": {name: list(items) for name, items in vp_token.items()}}
    if request.encryption is None:
        answer["vp_token"] = dump_json(answer["vp_token"]).decode("utf-8")
    return _fields(answer, request)


def build_error_response(request: RequestClaims) -> dict[str, str]:
    """Form fields that say no: one answer for all reasons, ``access_denied`` without a description (8.5)."""
    return _fields({"error": "access_denied"}, request)


def _fields(answer: dict[str, Any], request: RequestClaims) -> dict[str, str]:
    if request.state is not None:
        answer["state"] = request.state
    if request.encryption is None:
        return answer
    # 8.3: the parameters are the payload; alg and kid are those of the verifier's key. Nothing in 1.0 uses
    # apu or apv: the presentations themselves are bound to the nonce and to this key.
    token = encrypt_jwe(
        dump_json(answer),
        recipient_jwk={**request.encryption.key.jwk(), "alg": "ECDH-ES"},
        enc=request.encryption.enc,
        kid=request.encryption.kid,
    )
    return {"response": token}


# --- The verifier's side


def parse_response(
    form: Mapping[str, str],
    *,
    request: RequestClaims,
    private_key: ec.EllipticCurvePrivateKey | None,
) -> VpResponse | VpRefusal:
    """Read the form posted to the response URI of ``request``, which is the verifier's own stored request.

    ``private_key`` is the one made for this request, where it asked for encryption. Raises
    :class:`ResponseInvalid`, :class:`ResponseEncryptionInvalid`, :class:`StateMismatch`,
    :class:`QueryNotSatisfied` (an id that was not asked for). Left to the caller: that this request was not
    answered before, and the verification of every presentation.
    """
    if (request.encryption is None) != (private_key is None):
        raise ConfigurationInvalid("the key to decrypt a response goes with a request for encryption")
    # 1. The parameters, encrypted if that was asked for (8.2, 8.3). An error may come in the clear.
    encrypted = private_key is not None and "error" not in form
    if private_key is not None and encrypted:
        parameters = _decrypted(form, request, private_key)
    else:
        parameters = Members(dict(form), refusal=ResponseInvalid, where="response")
        parameters.forbid("response")
    # 2. The answer to this request and no other.
    state = parameters.optional_text("state", limit=512)
    if state is None or request.state is None:
        if state != request.state:
            raise StateMismatch("the response does not carry the state of the request")
    elif not hmac.compare_digest(state.encode("utf-8"), request.state.encode("utf-8")):
        raise StateMismatch("the response carries the state of another request")
    # 3. Yes or no, not both.
    if parameters.has("error"):
        parameters.forbid("vp_token")
        return VpRefusal(parameters.text("error", limit=100), state)
    token = parameters.raw("vp_token")
    if not encrypted:
        try:
            token = load_json_object(parameters.text("vp_token", limit=MAX_RESPONSE), max_bytes=MAX_RESPONSE)
        except Malformed:
            raise ResponseInvalid("response: vp_token is not a JSON object") from None
    # 4. For each credential query a non-empty array of presentations (8.1).
    entries = Members(token, refusal=ResponseInvalid, where="vp_token")
    known = {credential.id: credential for credential in request.query.credentials}
    if not entries.names():
        raise ResponseInvalid("response: vp_token is empty")
    if not known.keys() >= set(entries.names()):
        raise QueryNotSatisfied("vp_token answers a credential query that was not asked")
    presentations: dict[str, tuple[str, ...]] = {}
    for name in entries.names():
        limit = MAX_PRESENTATIONS if known[name].multiple else 1
        presentations[name] = _presentations(entries.raw(name), limit)
    return VpResponse(presentations, state)


def _decrypted(
    form: Mapping[str, str], request: RequestClaims, private_key: ec.EllipticCurvePrivateKey
) -> Members:
    if form.keys() & {"vp_token", "state"} or "response" not in form:
        raise ResponseEncryptionInvalid("the response is not encrypted, or not as a whole")
    kid = None if request.encryption is None else request.encryption.kid
    try:
        plaintext = decrypt_jwe(form["response"], private_key=private_key, kid=kid, max_bytes=MAX_RESPONSE)
    except JweMalformed:
        raise ResponseEncryptionInvalid("the response is not encrypted to the key of this request") from None
    try:
        payload = load_json_object(plaintext, max_bytes=MAX_RESPONSE)
    except Malformed:
        raise ResponseInvalid("the encrypted response is not a JSON object") from None
    return Members(payload, refusal=ResponseInvalid, where="response")


def _presentations(value: object, limit: int) -> tuple[str, ...]:
    items = cast("list[object]", value) if isinstance(value, list) else []
    if not 1 <= len(items) <= limit:
        raise QueryNotSatisfied("a credential query was answered with the wrong number of presentations")
    wire: list[str] = []
    for item in items:
        if not isinstance(item, str) or not 0 < len(item) <= MAX_PRESENTATION or not item.isascii():
            raise ResponseInvalid("response: a presentation is not a text of a bearable size")
        wire.append(item)
    if len(set(wire)) != len(wire):
        raise ResponseInvalid("response: a presentation is there twice")
    return tuple(wire)
