"""HTTP to and from the rules: OpenID4VCI 1.0, its authorization server, and the published files.

No rules here: a view reads the request, calls one function, and writes the answer or the refusal.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from flask import Blueprint, Response, current_app, request
from flask.typing import ResponseReturnValue
from werkzeug.security import safe_join

from credentials.catalog import type_metadata
from credentials.encoding import dump_json
from credentials.errors import (
    BauhiniaError,
    DpopInvalid,
    DpopNonceRequired,
    Fault,
    IssuanceRefused,
    MediaTypeRefused,
    NotAcceptable,
    NotFound,
    RequestInvalid,
    StatusTimeUnsupported,
    TokenInvalid,
    TooLarge,
)
from openid4vc import oauth, vci
from web.body import form_fields
from web.service import cacheable, without_csrf

from . import authorization, delivery, nonces
from .limits import Buckets, Rate
from .office import Issuer, token_hash

MAX_BODY: Final = 1 << 18
_STATUS_TYPES: Final = {"jwt": "application/statuslist+jwt", "cwt": "application/statuslist+cwt"}
_FILE_TYPES: Final = {
    "trust-list.jwt": "application/jwt",
    ".jwt": _STATUS_TYPES["jwt"],
    ".cwt": _STATUS_TYPES["cwt"],
    ".json": "application/json",
}
_HOUR: Final = 3600


@dataclass(frozen=True, slots=True)
class Limits:
    """Rates of the endpoints that cost something. ``clock`` is any clock that goes forward, in seconds."""

    token: Buckets
    nonce: Buckets
    per_token: Buckets
    sign_in: Buckets
    per_code: Buckets
    clock: Callable[[], float] = time.monotonic

    @classmethod
    def default(cls) -> Limits:
        return cls(
            token=Buckets(Rate(200, 1000)),
            nonce=Buckets(Rate(500, 2000)),
            per_token=Buckets(Rate(10, 200)),
            sign_in=Buckets(Rate(10, 100)),
            per_code=Buckets(Rate(0.1, 10)),
        )


def protocol(issuer: Issuer, *, published: Path, name: Mapping[str, str], limits: Limits) -> Blueprint:
    """All endpoints that programs speak to."""
    views = Blueprint("protocol", __name__)
    url = issuer.url

    # --- Metadata

    @views.get("/.well-known/openid-credential-issuer")
    @without_csrf
    def metadata() -> ResponseReturnValue:
        body = vci.issuer_metadata(
            issuer=url,
            credential_endpoint=f"{url}/credential",
            nonce_endpoint=f"{url}/nonce",
            notification_endpoint=f"{url}/notification",
            types=issuer.catalogue.types.values(),
            name=name,
            batch_size=issuer.batch_size,
        )
        return _public({**body, "synthetic": True})

    @views.get("/.well-known/oauth-authorization-server")
    @without_csrf
    def server_metadata() -> ResponseReturnValue:
        return _public(
            oauth.authorization_server_metadata(
                issuer=url,
                token_endpoint=f"{url}/token",
                authorization_endpoint=f"{url}/authorize",
                scopes=[type.slug for type in issuer.catalogue.types.values()],
            )
        )

    @views.get("/vct/<path:name>")
    @without_csrf
    def vct(name: str) -> ResponseReturnValue:
        for type in issuer.catalogue.types.values():
            if type.vct == f"{issuer.catalogue.base}/vct/{name}":
                return _public(type_metadata(type))
        raise NotFound("no such credential type")

    # --- Offer, token, nonce, credential, notification

    @views.get("/offers/<id>")
    @without_csrf
    def offer(id: str) -> ResponseReturnValue:
        found = issuer.store.offer(id, now=issuer.clock())
        return vci.offer_object(issuer.offer_message(found))

    @views.post("/token")
    @without_csrf
    def token() -> ResponseReturnValue:
        limits.token.take("", now=limits.clock())
        _no_token_elsewhere()
        form = form_fields(max_bytes=MAX_BODY)
        proof = authorization.prove(
            issuer, request.headers.getlist("DPoP"), method="POST", url=f"{url}/token", access_token=None
        )
        return authorization.token(issuer, form, proof)

    @views.post("/nonce")
    @without_csrf
    def nonce() -> ResponseReturnValue:
        limits.nonce.take("", now=limits.clock())
        proofs = request.headers.getlist("DPoP")
        proof = (
            authorization.prove(issuer, proofs, method="POST", url=f"{url}/nonce", access_token=None)
            if proofs
            else None
        )
        return delivery.nonce(issuer, proof)

    @views.post("/credential")
    @without_csrf
    def credential() -> ResponseReturnValue:
        access_token, proof = _authorized("/credential")
        body = delivery.credential(issuer, _json_body(), access_token=access_token, proof=proof)
        return Response(body, mimetype="application/json")

    @views.post("/notification")
    @without_csrf
    def notification() -> ResponseReturnValue:
        access_token, proof = _authorized("/notification")
        try:
            delivery.notify(issuer, _json_body(), access_token=access_token, proof=proof)
        except RequestInvalid as error:
            # OpenID4VCI 1.0, 11.3 has a code of its own for what RFC 6749 calls invalid_request.
            return {**oauth.error_body(error), "error": "invalid_notification_request"}, 400
        return "", 204

    def _authorized(path: str) -> tuple[str, Any]:
        access_token = oauth.access_token_of(
            request.headers.get("Authorization"), parameters=[*request.args, *_form_names()]
        )
        limits.per_token.take(token_hash(access_token), now=limits.clock())
        proof = authorization.prove(
            issuer,
            request.headers.getlist("DPoP"),
            method="POST",
            url=f"{url}{path}",
            access_token=access_token,
        )
        return access_token, proof

    # --- Published files

    @views.get("/status/<slug>/<day>")
    @without_csrf
    def status(slug: str, day: str) -> ResponseReturnValue:
        if "time" in request.args:
            # What a list said at another time is not kept (Token Status List, 8.4).
            raise StatusTimeUnsupported("only the current status list is served")
        accepts = request.accept_mimetypes
        offered = [*_STATUS_TYPES.values()]
        chosen = accepts.best_match(offered) if accepts else offered[0]
        if chosen is None:
            raise NotAcceptable("a status list is statuslist+jwt or statuslist+cwt")
        suffix = chosen.rsplit("+", 1)[1]
        answer = _file(f"status/{slug}/{day}.{suffix}")
        answer.headers["Vary"] = "Accept"
        return answer

    @views.get("/published/<path:name>")
    @without_csrf
    def file(name: str) -> ResponseReturnValue:
        return _file(name)

    def _file(name: str) -> Response:
        kind = _FILE_TYPES.get(name) or _FILE_TYPES.get(Path(name).suffix)
        path = safe_join(str(published.resolve()), name)
        if kind is None or path is None or any(part.startswith(".") for part in Path(name).parts):
            raise NotFound("no such file")
        try:
            answer = Response(Path(path).read_bytes(), mimetype=kind)
        except OSError:
            raise NotFound("no such file") from None
        answer.add_etag()
        return cacheable(answer.make_conditional(request), seconds=300)  # type: ignore[arg-type]

    # --- Refusals

    @views.errorhandler(BauhiniaError)
    def refused(error: BauhiniaError) -> ResponseReturnValue:
        count_refusal(issuer, error)
        if isinstance(error, Fault):
            current_app.logger.error("%s: %s", error.code, error)
        answer = Response(dump_json(_error_body(error)), _status(error), mimetype="application/json")
        if isinstance(error, DpopNonceRequired):
            answer.headers["DPoP-Nonce"] = nonces.dpop_nonce(
                issuer.secrets.nonce, now=issuer.clock(), randomness=issuer.randomness
            )
        if answer.status_code == 401:
            answer.headers["WWW-Authenticate"] = f'DPoP algs="ES256", error="{error.protocol}"'
        return answer

    return views


def _status(error: BauhiniaError) -> int:
    # A refusal to mint is a credential error response (OpenID4VCI 1.0, 8.3.1.2): always 400.
    if isinstance(error, IssuanceRefused) and error.http == 403:
        return 400
    # At a resource a bad proof is a failed authentication (RFC 9449, 7.1).
    if isinstance(error, (DpopInvalid, DpopNonceRequired)) and request.path in (
        "/credential",
        "/notification",
    ):
        return 401
    return error.http


def _error_body(error: BauhiniaError) -> dict[str, str]:
    # What is wrong on our side is for the log, not for the wire.
    return oauth.error_body(error if not isinstance(error, Fault) else type(error)("internal fault"))


def count_refusal(issuer: Issuer, error: BauhiniaError) -> None:
    """Count it by its code. That the count fails must not hide the refusal."""
    if isinstance(error, (TokenInvalid, NotFound, NotAcceptable, StatusTimeUnsupported, TooLarge)):
        return  # Anybody can cause these without end: they are not worth a write each.
    try:
        issuer.store.count_refusal(error.code, now=issuer.clock())
    except BauhiniaError:
        return


def _public(body: Mapping[str, Any]) -> Response:
    return cacheable(Response(dump_json(body), mimetype="application/json"), seconds=_HOUR)


def _form_names() -> list[str]:
    return list(request.form) if request.mimetype == "application/x-www-form-urlencoded" else []


def _no_token_elsewhere() -> None:
    if request.args:
        raise RequestInvalid("parameters belong in the body")


def _json_body() -> bytes:
    if request.mimetype != "application/json":
        raise MediaTypeRefused("the body must be application/json")
    if (request.content_length or 0) > MAX_BODY:
        raise TooLarge("the body is too large")
    return request.get_data(cache=False)
