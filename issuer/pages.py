"""The pages of the issuer: sign-in for the authorization code, and a portal for the resident.

Everything here is for synthetic people, and every page says so. A browser's session holds an enrolment's
random id and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, redirect, render_template, request, session
from flask.typing import ResponseReturnValue

from credentials import calendar
from credentials.errors import (
    BauhiniaError,
    EnrolmentUnknown,
    IssuanceRefused,
    Malformed,
    NotFound,
    RequestInvalid,
    SignInRefused,
)
from credentials.hkid import parse
from openid4vc import oauth
from web.service import allow_form_redirect

from . import authorization
from .issuance import Enrolment
from .office import Enrolled, Issuer
from .person import Identity
from .population import demo_residents
from .routes import Limits, count_refusal

_KEY = "enrolment"
_REQUEST_FIELDS = (
    "response_type",
    "client_id",
    "redirect_uri",
    "state",
    "code_challenge",
    "code_challenge_method",
    "scope",
    "issuer_state",
)
DEMO_PEOPLE = ("demo-adult", "demo-minor", "demo-exempt")


def demo_identity(issuer: Issuer, name: str) -> Identity:
    """One of the three people with a part to play. Raises :class:`RequestInvalid`."""
    adult, minor, exempt = demo_residents(calendar.day_of(issuer.clock()))
    people = dict(zip(DEMO_PEOPLE, (adult, minor, exempt), strict=True))
    if name not in people:
        raise RequestInvalid("there is no such synthetic resident")
    return people[name].identity


def pages(issuer: Issuer, *, limits: Limits, production: bool) -> Blueprint:
    """All pages that people look at."""
    views = Blueprint("pages", __name__)

    # --- Authorization endpoint (RFC 6749, 3.1)

    @views.get("/authorize")
    def authorize() -> ResponseReturnValue:
        fields = _single(request.args)
        try:
            wanted = authorization.code_request(issuer, fields)
        except BauhiniaError as error:
            return _sent_back(fields, error)
        return _sign_in_page(wanted, fields, refusal=None)

    @views.post("/authorize")
    def sign_in() -> ResponseReturnValue:
        fields = _single(request.form)
        try:
            wanted = authorization.code_request(issuer, fields)
        except BauhiniaError as error:
            return _sent_back(fields, error)
        if "decline" in fields:
            declined = SignInRefused("the person declined")
            return redirect(oauth.refusal_redirect(wanted, declined, issuer=issuer.url), 303)
        try:
            enrolment = _signed_in(fields)
        except SignInRefused as error:
            count_refusal(issuer, error)
            return _sign_in_page(wanted, fields, refusal=error), error.http
        try:
            target = authorization.authorize(issuer, wanted, enrolment)
        except BauhiniaError as error:
            count_refusal(issuer, error)
            target = oauth.refusal_redirect(wanted, error, issuer=issuer.url)
        return redirect(target, 303)

    def _sent_back(fields: Mapping[str, str], error: BauhiniaError) -> ResponseReturnValue:
        target = authorization.refusal_target(issuer, fields, error)
        if target is None:
            raise error
        count_refusal(issuer, error)
        return redirect(target, 303)

    def _sign_in_page(
        wanted: oauth.CodeRequest, fields: Mapping[str, str], *, refusal: BauhiniaError | None
    ) -> str:
        # Browsers hold a form's target to the policy through its redirect too.
        allow_form_redirect(wanted.redirect_uri)
        return render_template(
            "authorize.html",
            types=[type for type in issuer.catalogue.types.values() if type.slug in wanted.scope],
            fields={name: fields[name] for name in _REQUEST_FIELDS if name in fields},
            refusal=refusal,
        )

    def _signed_in(fields: Mapping[str, str]) -> Enrolment:
        code, passcode = fields.get("sign_in_code", ""), fields.get("passcode", "")
        limits.sign_in.take("", now=limits.clock())
        limits.per_code.take(issuer.sign_in_hash(code[:64]), now=limits.clock())
        return issuer.sign_in(code, passcode)

    # --- Portal

    @views.get("/")
    def home() -> ResponseReturnValue:
        enrolment = _current()
        if enrolment is None:
            return _front(None)
        return _portal(enrolment)

    @views.post("/enrol")
    def enrol() -> ResponseReturnValue:
        # In production a person is enrolled at a counter that sees the card, never by typing a number.
        if production:
            raise NotFound("enrolment is at the counter")
        form = _single(request.form)
        limits.sign_in.take("", now=limits.clock())
        try:
            typed = form.get("hkid", "").strip()
            identity = parse(typed) if typed else demo_identity(issuer, form.get("person", ""))
            enrolled = issuer.enrol(identity, guardian=_guardian(form))
        except (IssuanceRefused, Malformed) as error:
            count_refusal(issuer, error)
            return _front(error), error.http
        return _enrolled(enrolled)

    @views.post("/sign-in")
    def portal_sign_in() -> ResponseReturnValue:
        try:
            enrolment = _signed_in(_single(request.form))
        except SignInRefused as error:
            count_refusal(issuer, error)
            return _front(error), error.http
        session[_KEY] = enrolment.id
        return redirect("/", 303)

    @views.post("/sign-out")
    def sign_out() -> ResponseReturnValue:
        session.clear()
        return redirect("/", 303)

    @views.post("/offer")
    def offer() -> ResponseReturnValue:
        enrolment = _required()
        form = request.form
        formats = form.getlist("format")
        slugs = form.getlist("type")
        wanted = [
            one.id
            for one in issuer.configurations.values()
            if one.type.slug in slugs and one.format in formats
        ]
        if not wanted:
            return _portal(enrolment, choose=True), 400
        signs_in = form.get("grant") == "authorization-code"
        try:
            made = issuer.offer(
                enrolment.id, wanted, grant_type="authorization-code" if signs_in else "pre-authorized"
            )
        except IssuanceRefused as error:
            count_refusal(issuer, error)
            return _portal(enrolment, refusal=error), error.http
        return render_template("offer.html", offer=made)

    @views.post("/lost")
    def lost() -> ResponseReturnValue:
        enrolment = _required()
        if "confirm" not in request.form:
            return render_template("lost.html")
        enrolled = issuer.enrol_anew(enrolment.id)
        session.clear()
        return _enrolled(enrolled, anew=True)

    def _guardian(form: Mapping[str, str]) -> Identity | None:
        typed = form.get("guardian_hkid", "").strip()
        if typed:
            return parse(typed)
        return demo_identity(issuer, form["guardian"]) if "guardian" in form else None

    def _current() -> Enrolment | None:
        try:
            enrolment = issuer.store.enrolment(str(session.get(_KEY, "")))
        except EnrolmentUnknown:
            return None
        return enrolment if enrolment.state == "active" else None

    def _required() -> Enrolment:
        enrolment = _current()
        if enrolment is None:
            raise SignInRefused("sign in first")
        return enrolment

    def _front(refusal: BauhiniaError | None) -> str:
        return render_template(
            "front.html", refusal=refusal, people=DEMO_PEOPLE, open_enrolment=not production
        )

    def _portal(enrolment: Enrolment, *, refusal: BauhiniaError | None = None, choose: bool = False) -> str:
        held = [
            (issuer.catalogue.types[name], format, number)
            for name, format, number in issuer.store.held(enrolment.id)
        ]
        types = issuer.issuable(enrolment)
        return render_template("portal.html", held=held, types=types, refusal=refusal, choose=choose)

    def _enrolled(enrolled: Enrolled, *, anew: bool = False) -> str:
        return render_template("enrolled.html", enrolled=enrolled, anew=anew)

    return views


def _single(fields: Any) -> dict[str, str]:
    """Parameters by name; one given twice is refused (RFC 6749, 3.1)."""
    if any(len(fields.getlist(name)) != 1 for name in fields):
        raise RequestInvalid("a parameter is given twice")
    return dict(fields.items())
