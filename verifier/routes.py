"""HTTP to and from the desk; no rules here."""

from __future__ import annotations

import secrets
from datetime import datetime
from importlib.resources import files
from typing import Any

from flask import Flask, Response, redirect, render_template, request, session
from flask.typing import ResponseReturnValue

from credentials.calendar import HONG_KONG
from credentials.encoding import load_json_object
from credentials.errors import MethodRefused, RequestInvalid, SessionNotBound
from credentials.formats import FORMATS
from openid4vc.members import Members
from openid4vc.vp import REQUEST_TYP
from web.body import bearer, form_fields, json_object
from web.service import allow_scripts, without_csrf
from web.words import value_words

from .desk import Asked, Desk, phase, result_json, visible
from .store import State, digest
from .verification import Accepted, Undetermined


def _browser() -> str:
    """The secret of this browser's session, made at first need."""
    if "browser" not in session:
        session["browser"] = secrets.token_urlsafe(32)
    return str(session["browser"])


def _not_head() -> None:
    """A link preview or a scanner asks with HEAD: it must not use up what can be had once."""
    if request.method == "HEAD":
        raise MethodRefused("HEAD is not taken here, only GET")


def add_routes(app: Flask, desk: Desk) -> None:
    """All routes: pages for the counter, the protocol, the API."""
    _pages(app, desk)
    _protocol(app, desk)
    _api(app, desk)


# --- pages


def _pages(app: Flask, desk: Desk) -> None:
    def own(id: str) -> State:
        """A check that this very browser started; for any other it might as well not exist (P22, P24)."""
        state = desk.state(id)
        if state.browser is None or state.browser != digest(_browser()):
            raise SessionNotBound("this check was started by somebody else")
        return state

    @app.get("/")
    def index() -> ResponseReturnValue:
        policies = sorted(desk.policies.by_name.values(), key=lambda policy: policy.name)
        return render_template("verifier/index.html", policies=policies)

    @app.get("/counter/<name>")
    def counter(name: str) -> ResponseReturnValue:
        return render_template("verifier/counter.html", policy=desk.policies.get(name))

    @app.post("/counter/<name>")
    def start(name: str) -> ResponseReturnValue:
        same_device = request.form.get("device") == "same"
        asked = desk.ask(name, same_device=same_device, browser=_browser())
        return redirect(f"/result/{asked.id}", 303)

    @app.get("/result/<id>")
    def result(id: str) -> ResponseReturnValue:
        state = own(id)
        policy = desk.policies.get(state.policy)
        outcome = visible(state)
        shown = {
            "state": state,
            "policy": policy,
            "phase": phase(state, desk.now()),
            "outcome": outcome,
            "link": desk.link(state.request_id),
        }
        if outcome is not None:
            return render_template(
                "verifier/verdict.html",
                kind=_kind(outcome),
                list_from=_list_from(outcome),
                value_words=value_words,
                **shown,
            )
        allow_scripts()
        return render_template("verifier/waiting.html", **shown)

    @app.get("/result/<id>/state")
    def poll(id: str) -> ResponseReturnValue:
        return {"state": phase(own(id), desk.now())}

    @app.get("/start/<id>")
    def open_start(id: str) -> ResponseReturnValue:
        _not_head()
        desk.store.bind(id, ticket=request.args.get("ticket", ""), browser=digest(_browser()), now=desk.now())
        return redirect(f"/result/{id}", 303)

    @app.get("/return/<id>")
    def come_back(id: str) -> ResponseReturnValue:
        _not_head()
        browser = session.get("browser")
        desk.store.come_back(
            id,
            response_code=request.args.get("response_code", ""),
            browser=None if browser is None else digest(str(browser)),
            now=desk.now(),
        )
        # The code does not stay in the address bar, nor in the history.
        return redirect(f"/result/{id}", 303)


def _kind(outcome: object) -> str:
    if isinstance(outcome, Accepted):
        return "amber" if outcome.level == "amber" else "accepted"
    return "undetermined" if isinstance(outcome, Undetermined) else "refused"


def _list_from(outcome: object) -> str:
    """When the oldest status list was signed that an acceptance relies on, in Hong Kong time."""
    if not isinstance(outcome, Accepted) or outcome.status_issued is None:
        return ""
    return datetime.fromtimestamp(outcome.status_issued, HONG_KONG).strftime("%Y-%m-%d %H:%M")


# --- OpenID4VP


def _protocol(app: Flask, desk: Desk) -> None:
    @app.get("/request/<request_id>")
    @without_csrf
    def request_object(request_id: str) -> ResponseReturnValue:
        _not_head()
        return Response(desk.hand_out(request_id), mimetype=f"application/{REQUEST_TYP}")

    @app.post("/response/<request_id>")
    @without_csrf
    def response(request_id: str) -> ResponseReturnValue:
        reply = desk.answer(request_id, form_fields(max_bytes=1 << 20))
        return dict(reply.body), reply.status


# --- API


def _api(app: Flask, desk: Desk) -> None:
    @app.get("/openapi.json")
    @without_csrf
    def openapi() -> ResponseReturnValue:
        document = load_json_object(files("verifier").joinpath("openapi.json").read_bytes())
        return {**document, "servers": [{"url": desk.base_url}]}

    @app.get("/api/policies")
    @without_csrf
    def api_policies() -> ResponseReturnValue:
        desk.store.check_api_key(bearer())
        return {"policies": [_policy_json(policy) for policy in desk.policies.by_name.values()]}

    @app.post("/api/requests")
    @without_csrf
    def api_create() -> ResponseReturnValue:
        desk.store.check_api_key(bearer())
        body = Members(json_object(max_bytes=4096), refusal=RequestInvalid, where="request")
        if unknown := set(body.names()) - {"policy", "format", "same_device"}:
            raise RequestInvalid(f"unknown member {min(unknown)}"[:100])
        format = body.choice("format", tuple(FORMATS)) if body.has("format") else None
        same_device = body.boolean("same_device", default=False)
        asked = desk.ask(body.text("policy", limit=64), format=format, same_device=same_device)
        return asked_json(asked), 201

    @app.get("/api/requests/<id>")
    @without_csrf
    def api_result(id: str) -> ResponseReturnValue:
        desk.store.check_api_key(bearer())
        return result_json(desk.state(id), desk.now())


def asked_json(asked: Asked) -> dict[str, Any]:
    """What the API and ``request --json`` answer."""
    body: dict[str, Any] = {
        "id": asked.id,
        "policy": asked.policy.name,
        "request_uri": asked.request_uri,
        "link": asked.link,
        "expires": asked.expires,
    }
    return body if asked.start_url is None else {**body, "start_url": asked.start_url}


def _policy_json(policy: Any) -> dict[str, Any]:
    return {
        "name": policy.name,
        "version": policy.version,
        "title": dict(policy.title),
        "purpose": dict(policy.purpose),
        "legal_basis": dict(policy.legal_basis),
        "claims": {ask.type.name: list(ask.claims) for ask in policy.asks},
        "retention_seconds": policy.retention_seconds,
    }
