"""The wallet's pages: a phone-sized view for the browser of this machine. No rules here.

Unlocking is a passphrase typed into the page; the open vault stays in this process's memory, for one browser,
until it is locked or left alone for ten minutes. Every page of the open wallet lies below ``/open/<key>/``:
the browser shows its cookie to every port of 127.0.0.1, but it tells the key to no other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from flask import Flask, g, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue

from credentials.calendar import HONG_KONG
from credentials.errors import (
    BauhiniaError,
    HolderRefused,
    NotFound,
    OverAsking,
    TypeMismatch,
    VaultLocked,
)
from openid4vc.dcql import select
from openid4vc.vci import AuthorizationCodeOffer, Offer, PreAuthorizedOffer
from web.qr import read_image
from web.service import Settings, create_service
from web.texts import load_texts
from web.words import value_words

from .desk import Desk, Refused, Result
from .exchange import accept, begin_sign_in, finish_sign_in, open_offer, sync
from .holding import Stock, awaited, stocks, warnings
from .opening import open_wallet
from .presenting import Question, answer, decline, look
from .wallet import Wallet
from .words import about

_TOKEN = "unlocked"  # noqa: S105 - the name of a cookie's member


def create_app(data: Path, *, settings: Settings, opening: Callable[[str], Wallet] | None = None) -> Flask:
    """The application for the wallet in ``data``; ``opening`` replaces how it is opened (tests)."""
    app = create_service(__name__, settings=settings, texts=load_texts())
    desk = Desk(opening or (lambda passphrase: open_wallet(data, passphrase)), data)
    app.jinja_env.filters["day"] = _day
    app.extensions["desk"] = desk

    @app.url_value_preprocessor
    def take_key(_: str | None, values: dict[str, Any] | None) -> None:  # pyright: ignore[reportUnusedFunction]
        g.key = str((values or {}).pop("key", ""))

    @app.url_defaults
    def give_key(endpoint: str, values: dict[str, Any]) -> None:  # pyright: ignore[reportUnusedFunction]
        if app.url_map.is_endpoint_expecting(endpoint, "key"):
            values.setdefault("key", g.key)

    @app.context_processor
    def places() -> dict[str, str]:  # pyright: ignore[reportUnusedFunction]
        # Only ever the key that this very request came with.
        inside = f"/open/{g.key}" if g.get("key") else ""
        return {"inside": inside, "home": f"{inside}/"}

    def mine() -> Wallet:
        return desk.wallet(_cookie(), g.key)

    @app.errorhandler(VaultLocked)
    def locked(_: VaultLocked) -> ResponseReturnValue:  # pyright: ignore[reportUnusedFunction]
        # A link that came along from elsewhere waits for the passphrase.
        return redirect(url_for("unlock", link=request.args.get("link") or None), 303)

    # --- Lock

    @app.get("/")
    def outside() -> ResponseReturnValue:  # pyright: ignore[reportUnusedFunction]
        raise VaultLocked("the address has no key")

    @app.get("/unlock")
    def unlock() -> ResponseReturnValue:
        return render_template("unlock.html", refusal=None, link=request.args.get("link", ""))

    @app.post("/unlock")
    def unlock_() -> ResponseReturnValue:  # pyright: ignore[reportUnusedFunction]
        link = request.form.get("link", "")
        try:
            given = desk.unlock(request.form.get("passphrase", "")[:1024])
        except BauhiniaError as error:
            return render_template("unlock.html", refusal=error, link=link), 403
        session[_TOKEN] = given.cookie
        return redirect(url_for("front", key=given.key, link=link or None), 303)

    @app.post("/open/<key>/lock")
    def lock() -> ResponseReturnValue:  # pyright: ignore[reportUnusedFunction]
        mine()
        desk.lock()
        session.pop(_TOKEN, None)
        return redirect(url_for("unlock"), 303)

    # --- Cards

    @app.get("/open/<key>/")
    def front() -> ResponseReturnValue:
        wallet = mine()
        held, now = wallet.holdings(), wallet.now()
        low = {w.configuration: w for w in warnings(held, now=now)}
        found = stocks(held, now=now)
        return render_template(
            "wallet.html",
            cards=[_card(wallet, stock) for stock in found],
            gone=[
                {**_title(wallet, name), "id": name}
                for name in low
                if name not in {stock.batch.configuration for stock in found}
            ],
            low=low,
            link=request.args.get("link", ""),
            refusal=None,
        )

    @app.get("/open/<key>/card/<configuration>")
    def card(configuration: str) -> ResponseReturnValue:  # pyright: ignore[reportUnusedFunction]
        wallet = mine()
        held, now = wallet.holdings(), wallet.now()
        for stock in stocks(held, now=now):
            if stock.batch.configuration == configuration:
                low = {w.configuration: w for w in warnings(held, now=now)}
                return render_template("card.html", card=_card(wallet, stock), low=low.get(configuration))
        raise NotFound("the wallet holds no such credential")

    @app.post("/open/<key>/sync")
    def sync_() -> ResponseReturnValue:  # pyright: ignore[reportUnusedFunction]
        wallet = mine()
        done = sync(wallet)
        return redirect(
            url_for("result", id=desk.put(Result(received=done.received, revoked=done.revoked))), 303
        )

    @app.get("/open/<key>/log")
    def log() -> ResponseReturnValue:  # pyright: ignore[reportUnusedFunction]
        wallet = mine()
        lines = [(entry, about(wallet.catalogue, entry)) for entry in wallet.log()]
        return render_template("log.html", lines=lines)

    # --- What comes in: a link pasted, or a picture of a QR code

    @app.post("/open/<key>/open")
    def open_() -> ResponseReturnValue:  # pyright: ignore[reportUnusedFunction]
        wallet = mine()
        picture = request.files.get("picture")
        text = read_image(picture.read()) if picture and picture.filename else request.form.get("link", "")
        if text.strip().startswith(("openid4vp:", "haip-vp:")):
            try:
                asked = look(wallet, text)
            except HolderRefused as error:
                return redirect(url_for("refused", id=desk.put(_refused(wallet, error))), 303)
            return redirect(url_for("question", id=desk.put(asked)), 303)
        return redirect(url_for("offer", id=desk.put(open_offer(wallet, text))), 303)

    @app.get("/open/<key>/refused/<id>")
    def refused(id: str) -> ResponseReturnValue:
        mine()
        return render_template("refused.html", refused=desk.get(id, Refused))

    @app.get("/open/<key>/offer/<id>")
    def offer(id: str) -> ResponseReturnValue:
        wallet = mine()
        found: Offer = desk.get(id, Offer)
        return _offer_page(wallet, id, found, None)

    @app.post("/open/<key>/offer/<id>")
    def accept_(id: str) -> ResponseReturnValue:  # pyright: ignore[reportUnusedFunction]
        wallet = mine()
        found: Offer = desk.get(id, Offer)
        try:
            received = accept(wallet, found, tx_code=request.form.get("tx_code", "").strip() or None)
        except BauhiniaError as error:
            return _offer_page(wallet, id, found, error), error.http
        desk.take(id, Offer)
        return redirect(url_for("result", id=desk.put(Result(received=received))), 303)

    @app.post("/open/<key>/offer/<id>/sign-in")
    def sign_in(id: str) -> ResponseReturnValue:  # pyright: ignore[reportUnusedFunction]
        wallet = mine()
        found: Offer = desk.take(id, Offer)
        url = begin_sign_in(wallet, found, redirect_uri=f"{settings.base_url}/signed-in")
        # A link to click, not a redirect: where the browser goes is the holder's to see.
        return render_template("sign_in.html", url=url, issuer=wallet.issuer_name(found.issuer))

    @app.get("/signed-in")
    def signed_in() -> ResponseReturnValue:  # pyright: ignore[reportUnusedFunction]
        # The issuer sends the browser here and must not know the key. What stands for it is `state`: told to
        # nobody but this browser and the issuer, and good once.
        wallet, known = desk.returned(_cookie())
        received = finish_sign_in(wallet, request.args.to_dict())
        id = desk.put(Result(received=received))
        return redirect(url_for("result", key=known.key, id=id), 303)

    # --- Questions

    @app.get("/open/<key>/question/<id>")
    def question(id: str) -> ResponseReturnValue:
        mine()
        asked: Question = desk.get(id, Question)
        return render_template("question.html", id=id, consent=asked.consent, origin=_origin(asked))

    @app.post("/open/<key>/question/<id>/yes")
    def yes(id: str) -> ResponseReturnValue:  # pyright: ignore[reportUnusedFunction]
        wallet = mine()
        asked: Question = desk.take(id, Question)
        done = Result(outcome=answer(wallet, asked), question=asked)
        return redirect(url_for("result", id=desk.put(done)), 303)

    @app.post("/open/<key>/question/<id>/no")
    def no(id: str) -> ResponseReturnValue:  # pyright: ignore[reportUnusedFunction]
        wallet = mine()
        asked: Question = desk.take(id, Question)
        done = Result(outcome=decline(wallet, asked), question=asked)
        return redirect(url_for("result", id=desk.put(done)), 303)

    @app.get("/open/<key>/result/<id>")
    def result(id: str) -> ResponseReturnValue:
        wallet = mine()
        done: Result = desk.get(id, Result)
        return render_template(
            "result.html",
            result=done,
            labels={
                name: _title(wallet, name)
                for name in (*(item.configuration for item in done.received), *done.revoked)
            },
        )

    return app


def _cookie() -> str:
    return str(session.get(_TOKEN, ""))


def _offer_page(wallet: Wallet, id: str, offer: Offer, refusal: BauhiniaError | None) -> str:
    pre, code = offer.pre_authorized, offer.authorization_code
    return render_template(
        "offer.html",
        id=id,
        issuer=wallet.issuer_name(offer.issuer),
        names=[_title(wallet, name) for name in offer.configuration_ids],
        tx_code=pre.tx_code if isinstance(pre, PreAuthorizedOffer) else None,
        pre_authorized=pre is not None,
        sign_in=isinstance(code, AuthorizationCodeOffer) or pre is None,
        refusal=refusal,
    )


def _refused(wallet: Wallet, error: HolderRefused) -> Refused:
    if not isinstance(error, OverAsking):
        return Refused(error.code, {}, ())
    # Whoever asks too much was named in the log a moment ago.
    return Refused(error.code, wallet.log()[0].who, tuple(_claim(wallet, *asked) for asked in error.asked))


def _claim(wallet: Wallet, type: str, claim: str) -> Mapping[str, str]:
    """How a claim is called; the words of a stranger's request where the catalogue does not know it."""
    try:
        return wallet.catalogue.types[type].claim(claim).label
    except (KeyError, TypeMismatch):
        return {"en": f"{type} {claim}", "zh-Hant": f"{type} {claim}"}


def _title(wallet: Wallet, configuration: str) -> dict[str, Any]:
    slug, _, suffix = configuration.rpartition(".")
    form = {"sd-jwt": "SD-JWT VC", "mdoc": "ISO mdoc"}.get(suffix, suffix)
    try:
        return {"label": wallet.catalogue.by_slug(slug).label, "format": form}
    except TypeMismatch:
        return {"label": {"en": configuration, "zh-Hant": configuration}, "format": ""}


def _card(wallet: Wallet, stock: Stock) -> dict[str, Any]:
    batch = stock.batch
    type = wallet.catalogue.by_identifier(batch.type)
    facts: list[tuple[Mapping[str, str], Mapping[str, str]]] = []
    for claim in type.claims:
        path = type.path(batch.format, claim.name)
        facts += [(claim.label, value_words(claim, value)) for _, value in select(batch.claims, path)]
    return {
        **_title(wallet, batch.configuration),
        "id": batch.configuration,
        "issuer": wallet.issuer_name(batch.issuer),
        "copies": stock.copies,
        "ends": stock.ends,
        "facts": facts,
        "awaited": bool(awaited(batch.claims, type=type, format=batch.format)),
    }


def _origin(asked: Question) -> str:
    return asked.request.response_uri.split("/", 3)[2]


def _day(moment: int) -> str:
    return datetime.fromtimestamp(moment, HONG_KONG).strftime("%Y-%m-%d %H:%M")
