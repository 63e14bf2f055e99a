"""A whole verifier in memory of one test, and a wallet just able to answer it, with real formats and PKI."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric import ec
from flask import Flask
from flask.testing import FlaskClient
from pki_fixture import ISSUER, NOW, VERIFIER, development_pki, trust
from werkzeug.test import TestResponse

from bauhinia.pki import Pki
from credentials.calendar import window
from credentials.catalog import load_catalogue
from credentials.encoding import dump_json
from credentials.formats import FORMATS
from credentials.keys import HolderKey, PublicKey, software_sign
from credentials.model import ClaimPath, Claims, StatusRef, Value
from openid4vc.vp import (
    AuthorizationRequest,
    build_response,
    open_request,
    parse_request_link,
    session_of,
)
from revocation.publish import publication, uri
from revocation.statuslist import StatusList
from verifier.app import CONFIG, COOKIE_KEY, DATA_KEY, create_app, load_config
from verifier.holdings import replace, sync
from verifier.store import Store
from web.keyfiles import replace_file, write_private_file

BOTH = ("dc+sd-jwt", "mso_mdoc")
HTML = {"Accept": "text/html"}


@dataclass
class Clock:
    now: int = NOW

    def __call__(self) -> int:
        return self.now


@dataclass(frozen=True)
class Copy:
    """One credential copy and its key."""

    format: str
    type: str
    wire: bytes
    holder: HolderKey


def issue(
    type_name: str,
    values: Mapping[str, Value],
    format: str,
    *,
    index: int | None = None,
    now: int = NOW,
    pki: Pki | None = None,
) -> Copy:
    """A credential as the issuer of the test PKI mints it; ``index`` is its place in the status list."""
    type_ = load_catalogue().types[type_name]
    key = ec.generate_private_key(ec.SECP256R1())
    holder = HolderKey(software_sign(key), PublicKey.of(key.public_key()))
    span = window(now, type_.validity_days)
    status = None if index is None else StatusRef(uri(ISSUER, type_.slug, span.start), index)
    wire = FORMATS[format].issue(
        Claims(type_, values),
        holder=holder.public,
        window=span,
        status=status,
        issuer=ISSUER,
        signer=(pki or development_pki()).signers[format, type_name].signer,
        randomness=os.urandom,
    )
    return Copy(format, type_name, wire, holder)


def present(
    copy: Copy, request: AuthorizationRequest, names: Sequence[str], *, now: int = NOW
) -> dict[str, list[str]]:
    """The vp_token that shows ``names`` of ``copy``."""
    type_ = load_catalogue().types[copy.type]
    show: list[ClaimPath] = [type_.path(copy.format, name) for name in names]
    wire = FORMATS[copy.format].present(
        copy.wire,
        show=show,
        session=session_of(request),
        holder=copy.holder,
        now=now,
        randomness=os.urandom,
    )
    slug = "sd-jwt" if copy.format == "dc+sd-jwt" else "mdoc"
    return {f"{type_.slug}_{slug}": [wire.decode("ascii")]}


@dataclass
class Shop:
    """A verifier with its data directory, its clock and its Flask application."""

    data: Path
    clock: Clock = field(default_factory=Clock)
    max_pending: int = 10_000
    access: str = "verifier"
    api_key: str = "test-key-of-the-till"

    def __post_init__(self) -> None:
        if not (self.data / CONFIG).exists():
            files = development_pki().files()
            for name in ("access.crt", "access.key"):
                write_private_file(self.data / name, files[f"{self.access}/{name}"])
            write_private_file(self.data / COOKIE_KEY, bytes(range(32)))
            write_private_file(self.data / DATA_KEY, bytes(reversed(range(32))))
            replace_file(self.data / "trust-root.jwk", files["trust-root.jwk"])
            replace_file(self.data / CONFIG, dump_json({"base_url": VERIFIER}))
            replace(self.data, development_pki().trust_list, {})
        self.app: Flask = create_app(self.data, now=self.clock, max_pending=self.max_pending)
        self.store: Store = load_config(self.data).store()
        self.store.add_api_key(self.api_key, NOW)

    def browser(self) -> FlaskClient:
        return self.app.test_client()

    def publish(
        self, revoked: Mapping[str, Sequence[int]] | None = None, *, issued: int | None = None
    ) -> None:
        """Publish the lists of all revocable types of today's window, and take them over."""
        moment = self.clock.now if issued is None else issued
        lists: dict[str, StatusList] = {}
        for type_ in load_catalogue().types.values():
            if type_.revocable:
                listed = StatusList.empty(1 << 17)
                for index in (revoked or {}).get(type_.name, ()):
                    listed.set(index, 1)
                lists[uri(ISSUER, type_.slug, window(NOW, type_.validity_days).start)] = listed
        pki = development_pki()
        files = publication(
            lists, base=ISSUER, trust_list=pki.trust_list, issued=moment, signer=pki.status.signer
        )
        sync(
            files.__getitem__,
            data=self.data,
            root=pki.trust_root,
            numbers=self.store,
            now=self.clock.now,
        )

    # --- the till

    def till(self, method: str, path: str, **kwargs: Any) -> TestResponse:
        headers = {"Authorization": f"Bearer {self.api_key}", **kwargs.pop("headers", {})}
        return self.browser().open(path, method=method, base_url=VERIFIER, headers=headers, **kwargs)

    def ask(self, policy: str, **body: Any) -> dict[str, Any]:
        answer = self.till("POST", "/api/requests", json={"policy": policy, **body})
        assert answer.status_code == 201, answer.json
        return dict(answer.json or {})

    def result(self, id: str) -> dict[str, Any]:
        return dict(self.till("GET", f"/api/requests/{id}").json or {})

    # --- the wallet

    def fetch(self, link: str) -> AuthorizationRequest:
        """Open the request behind a link, as a wallet does."""
        parsed = parse_request_link(link)
        answer = self.browser().get(urlsplit(parsed.request_uri).path, base_url=VERIFIER)
        assert answer.status_code == 200, answer.text
        assert answer.content_type == "application/oauth-authz-req+jwt"
        return open_request(answer.text, link=parsed, trust=trust(), now=self.clock.now)

    def post(self, request: AuthorizationRequest, form: Mapping[str, str]) -> TestResponse:
        return self.browser().post(urlsplit(request.response_uri).path, base_url=VERIFIER, data=dict(form))

    def answer(self, request: AuthorizationRequest, copy: Copy, names: Sequence[str]) -> TestResponse:
        token = present(copy, request, names, now=self.clock.now)
        return self.post(request, build_response(token, request=request))
