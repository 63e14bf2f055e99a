"""The Flask application that every party starts from: headers, languages, forms, refusals.

A browser's form carries a token and comes from our own origin; a protocol endpoint says that it does without
(:func:`without_csrf`). What goes wrong becomes JSON for a program, and a page in two languages for a person.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, TypeVar, cast
from urllib.parse import urlsplit

from flask import Flask, Response, current_app, g, render_template, request, session
from flask.sessions import SecureCookieSessionInterface
from flask.typing import ResponseReturnValue
from jinja2 import ChoiceLoader, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from sqlalchemy.exc import DBAPIError
from werkzeug.exceptions import HTTPException

from credentials.errors import (
    BauhiniaError,
    ConfigurationInvalid,
    CsrfRefused,
    Fault,
    HostRefused,
    MediaTypeRefused,
    MethodRefused,
    NotFound,
    RequestInvalid,
    TooLarge,
    Undetermined,
)
from openid4vc.oauth import error_body as error_body
from openid4vc.uris import LOOPBACK_NAMES, parse_url

from . import qr
from .database import store_fault
from .egress import check_url
from .texts import DEFAULT, LANGUAGES, Texts, accepted, choose, plain

View = TypeVar("View", bound=Callable[..., Any])

_STATIC: Final = "static"
_CLEAR_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_POLICY: Final = {
    "default-src": "'none'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}
_SCRIPTS: Final = {"script-src": "'self'", "connect-src": "'self'"}
_SILENT: Final = "camera=(), microphone=(), geolocation=(), payment=(), usb=(), interest-cohort=()"


@dataclass(frozen=True, slots=True)
class Settings:
    """``base_url`` is the public origin, without a path; ``secret`` (32 bytes or more) signs the cookies."""

    base_url: str
    secret: bytes
    production: bool = False
    max_body: int = 1 << 20

    def __post_init__(self) -> None:
        parts = urlsplit(self.base_url)
        if parts.path or parts.query or parts.fragment or not parts.hostname or "@" in parts.netloc:
            raise ConfigurationInvalid("the base URL is an origin: https://host or https://host:port")
        local = parts.hostname in LOOPBACK_NAMES
        if parts.scheme != "https" and (self.production or parts.scheme != "http" or not local):
            raise ConfigurationInvalid("the base URL must be https (http only on loopback, in development)")
        if parts.scheme == "https":
            check_url(self.base_url)
        if len(self.secret) < 32:
            raise ConfigurationInvalid("the cookie secret is under 32 bytes")

    @property
    def secure(self) -> bool:
        return self.base_url.startswith("https:")

    @property
    def netloc(self) -> str:
        """What a Host header must say: the port is left out where it is the scheme's own."""
        return urlsplit(self.base_url).netloc.lower().removesuffix(":443" if self.secure else ":80")

    @property
    def origin(self) -> str:
        """What an Origin header must say."""
        return f"{'https' if self.secure else 'http'}://{self.netloc}"


class _Sessions(SecureCookieSessionInterface):
    digest_method = staticmethod(hashlib.sha256)


def create_service(import_name: str, *, settings: Settings, texts: Texts) -> Flask:
    """A Flask application with everything but views.

    ``import_name`` is the party's package: its ``templates/`` come first, then those of ``web``. Templates
    know ``t(key, **values)``, ``lang``, ``label(mapping)``, ``csrf_field()``, ``qr(text)`` and the filter
    ``plain`` (for names that others chose). ``/healthz`` answers ``{"status":"ok"}``.
    """
    app = Flask(import_name, static_folder=None)
    party = import_name.split(".")[0]
    prefix = "__Host-" if settings.secure else ""
    app.secret_key = settings.secret
    app.session_interface = _Sessions()
    app.config.from_mapping(
        MAX_CONTENT_LENGTH=settings.max_body,
        MAX_FORM_MEMORY_SIZE=settings.max_body,
        MAX_FORM_PARTS=100,
        SESSION_COOKIE_NAME=f"{prefix}bauhinia-{party}",
        SESSION_COOKIE_SECURE=settings.secure,
        SESSION_COOKIE_HTTPONLY=True,
        # Strict would lose the session when a wallet sends the browser back.
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_PATH="/",
    )
    app.extensions["bauhinia"] = (settings, texts, f"{prefix}bauhinia-lang")
    _pages(app)
    app.before_request(_check_host)
    app.before_request(_check_body)
    app.before_request(_choose_language)
    app.before_request(_check_form)
    app.after_request(_headers)
    app.register_error_handler(BauhiniaError, _refusal)
    app.register_error_handler(DBAPIError, lambda error: _refusal(store_fault(error)))
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _unexpected)
    app.add_url_rule("/healthz", "healthz", lambda: {"status": "ok"})
    app.add_url_rule("/static/<path:filename>", _STATIC, _static)
    return app


def settings_of(app: Flask) -> Settings:
    settings: Settings = app.extensions["bauhinia"][0]
    return settings


def _texts() -> Texts:
    texts: Texts = current_app.extensions["bauhinia"][1]
    return texts


# --- pages


def _pages(app: Flask) -> None:
    from importlib.resources import files

    shared = FileSystemLoader(str(files("web").joinpath("templates")))
    own = app.jinja_loader
    app.jinja_env.loader = ChoiceLoader([own, shared] if own else [shared])
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters["plain"] = plain
    known: dict[str, Any] = {
        "t": t,
        "label": label,
        "csrf_field": csrf_field,
        "qr": _qr,
        "error_text": error_text,
        "duration": duration,
    }
    cast("dict[str, Any]", app.jinja_env.globals).update(known)
    app.context_processor(lambda: {"lang": language(), "other_lang": _other_language()})


def language() -> str:
    """The language of this request: ``en`` or ``zh-Hant``."""
    chosen: str = g.get("lang", DEFAULT)
    return chosen


def _other_language() -> str:
    return LANGUAGES[1 - LANGUAGES.index(language())]


def t(key: str, **values: object) -> str:
    """The text of ``key`` in this request's language."""
    return _texts().text(key, language(), **values)


def error_text(error: BauhiniaError | str) -> str:
    """What a person is told about an error or its code, in this request's language."""
    return _texts().error(error, language())


def duration(seconds: int) -> str:
    """A time as a person says it, in this request's language."""
    return _texts().duration(seconds, language())


def _qr(text: str) -> Markup:
    return Markup(qr.svg(text))  # noqa: S704 - segno wrote it: the text is drawn, not quoted


def label(texts: Mapping[str, str]) -> str:
    """The text of this request's language out of ``{"en": …, "zh-Hant": …}``."""
    return texts.get(language()) or texts.get(DEFAULT, "")


def csrf_field() -> Markup:
    """The hidden field that every form carries."""
    return Markup('<input type="hidden" name="csrf_token" value="{}">').format(csrf_token())


def csrf_token() -> str:
    """The token of this browser's session, made at first need."""
    if "csrf" not in session:
        session["csrf"] = secrets.token_urlsafe(32)
    return str(session["csrf"])


def allow_scripts() -> None:
    """Let this page load scripts of our own from files and call back to our own origin."""
    g.scripts = True


def allow_form_redirect(url: str) -> None:
    """Let this page's form end at another origin: browsers hold ``form-action`` against redirects too."""
    g.form_target = parse_url(url).origin


def _static(filename: str) -> Response:
    from importlib.resources import files

    from flask import send_from_directory

    g.cacheable = True
    return send_from_directory(str(files("web").joinpath("static")), filename, max_age=3600)


# --- what comes in


def without_csrf(view: View) -> View:
    """Mark a protocol endpoint: no browser form posts to it, refusals are JSON, no cookie counts."""
    view.without_csrf = True  # type: ignore[attr-defined]  # pyright: ignore[reportFunctionMemberAccess]
    return view


def _is_protocol() -> bool:
    view = current_app.view_functions.get(request.endpoint or "")
    return bool(getattr(view, "without_csrf", False))


def _wants_page() -> bool:
    """Whether a person is to read the refusal. Where no view answers, only a browser's own word counts: it
    names ``text/html``, and a program that called a wrong address says ``*/*``."""
    if request.endpoint is not None:
        return request.accept_mimetypes.accept_html
    return any(kind == "text/html" and weight > 0 for kind, weight in request.accept_mimetypes)


def _check_host() -> None:
    # Links, metadata and QR codes are built from base_url, never from the Host header; and it must agree.
    if request.headers.get("Host", "").lower() != settings_of(current_app).netloc:
        raise HostRefused("the Host header is not ours")


def _check_body() -> None:
    if "Transfer-Encoding" in request.headers:
        raise RequestInvalid("a body needs a Content-Length")
    if (request.content_length or 0) > settings_of(current_app).max_body:
        raise TooLarge("the body is too large")


def _choose_language() -> None:
    _, _, cookie = current_app.extensions["bauhinia"]
    asked = choose(request.args.get("lang"))
    g.lang = (
        asked
        or choose(request.cookies.get(cookie))
        or accepted(request.headers.get("Accept-Language", ""))
        or DEFAULT
    )
    g.remember_lang = asked


def _check_form() -> None:
    if request.method in _CLEAR_METHODS or _is_protocol() or request.endpoint is None:
        return
    # 1. The browser says where the form was: our own origin, or (typed by hand) nowhere.
    site = request.headers.get("Sec-Fetch-Site")
    if site not in (None, "same-origin", "none"):
        raise CsrfRefused("the form came from another site")
    settings = settings_of(current_app)
    origin = request.headers.get("Origin")
    # Our own Referrer-Policy, no-referrer, makes browsers send "null"; then Sec-Fetch-Site must speak for us.
    unsaid = origin == "null" and site == "same-origin"
    if origin is not None and not unsaid and origin.lower() != settings.origin:
        raise CsrfRefused("the form came from another origin")
    # 2. The token of this browser's session.
    sent, kept = request.form.get("csrf_token", ""), str(session.get("csrf", ""))
    if not kept or not hmac.compare_digest(sent.encode(), kept.encode()):
        raise CsrfRefused("the form's token is missing or old", hint="Load the page again.")


# --- what goes out


def _headers(response: Response) -> Response:
    settings, _, cookie = current_app.extensions["bauhinia"]
    policy = {**_POLICY, **(_SCRIPTS if g.get("scripts") else {})}
    if target := g.get("form_target"):
        policy["form-action"] = f"'self' {target}"
    headers = response.headers
    headers["Content-Security-Policy"] = "; ".join(f"{name} {value}" for name, value in policy.items())
    headers["X-Content-Type-Options"] = "nosniff"
    headers["X-Frame-Options"] = "DENY"
    # Not "no-referrer": with that, browsers send "Origin: null" with our own forms.
    headers["Referrer-Policy"] = "same-origin"
    headers["Permissions-Policy"] = _SILENT
    headers["Cross-Origin-Opener-Policy"] = "same-origin"
    headers["Cross-Origin-Resource-Policy"] = "same-origin"
    if settings.production:
        headers["Strict-Transport-Security"] = "max-age=31536000"
    if not g.get("cacheable"):
        headers["Cache-Control"] = "no-store"
    if g.get("remember_lang"):
        response.set_cookie(
            cookie, g.remember_lang, secure=settings.secure, httponly=True, samesite="Lax", max_age=31536000
        )
    return response


def cacheable(response: Response, *, seconds: int) -> Response:
    """Public data that anyone may keep: status lists, trust lists, type metadata."""
    g.cacheable = True
    response.headers["Cache-Control"] = f"public, max-age={seconds}"
    return response


def _refusal(error: BauhiniaError) -> ResponseReturnValue:
    if isinstance(error, Fault):
        current_app.logger.error("%s (%s)", error.code, _place(error))
    if _is_protocol() or not _wants_page():
        body = error_body(error)
        if isinstance(error, Fault):
            body["error_description"] = "internal fault"
        return body, error.http
    kind = "fault" if isinstance(error, Fault) else "amber" if isinstance(error, Undetermined) else "refused"
    return render_template("error.html", error=error, kind=kind), error.http


def _http_error(error: HTTPException) -> ResponseReturnValue:
    if error.code is not None and error.code < 400:
        return error.get_response()
    ours: dict[int | None, type[BauhiniaError]] = {
        404: NotFound, 405: MethodRefused, 413: TooLarge, 415: MediaTypeRefused,
    }  # fmt: skip
    if error.code is None or error.code >= 500:
        return _unexpected(error)
    known = ours.get(error.code, RequestInvalid)
    return _refusal(known(HTTPStatus(error.code).phrase.lower()))


def _unexpected(error: Exception) -> ResponseReturnValue:
    current_app.logger.error("internal fault: %s (%s)", type(error).__name__, _place(error))
    return _refusal(Fault("internal fault"))


def _place(error: Exception) -> str:
    """Where it happened, never with what: the values in a message may be personal."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    return f"{Path(last.tb_frame.f_code.co_filename).name}:{last.tb_lineno}" if last else "?"
