"""A wallet, and the issuer and verifier it meets, in memory: what the wallet does is seen in what they got.

Both parties speak through the real protocol modules; each has handles to make it misbehave. No socket, no
sleep: ``world.clock`` is the time, ``world.pauses`` the waits.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
from cryptography.hazmat.primitives.asymmetric import ec
from pki_fixture import ISSUER, NOW, VERIFIER, development_pki

from credentials.calendar import window
from credentials.catalog import load_catalogue
from credentials.encoding import b64u, dump_json
from credentials.formats import FORMATS
from credentials.keys import PublicKey
from credentials.model import Claims, StatusRef, Value, Window
from openid4vc import oauth, vci, vp
from openid4vc.vpresponse import VpRefusal, VpResponse, parse_response
from revocation import publish
from wallet.records import Settings
from wallet.sealing import CHEAPEST
from wallet.vault import Vault
from wallet.wallet import Wallet
from web.egress import Egress, EgressPolicy

CATALOGUE = load_catalogue()
ADULT: dict[str, Value] = {
    "age_over_11": True,
    "age_over_15": True,
    "age_over_16": True,
    "age_over_18": True,
    "age_over_21": True,
    "age_over_60": False,
    "age_over_65": False,
    "age_over_70": False,
    "year_age_over_65": False,
    "age_band": "21-59",
}
VALUES: dict[str, dict[str, Value]] = {
    "age/1": ADULT,
    "residency/1": {"is_hk_resident": True, "is_permanent_resident": True},
}
TX_CODE = "493536"


@dataclass
class FakeIssuer:
    """``spoil`` changes the credentials on their way out; ``lose`` answers are lost after they were made."""

    clock: Callable[[], int]
    url: str = ISSUER
    spoil: Callable[[list[bytes], dict[str, Any]], list[bytes]] = lambda wire, _: wire
    metadata_spoil: Callable[[str, dict[str, Any]], dict[str, Any]] = lambda _, body: body
    mint: dict[str, Any] = field(default_factory=dict[str, Any])
    lose: int = 0
    want_dpop_nonce: bool = False
    refuse_refresh: bool = False
    refusals: dict[str, str] = field(default_factory=dict[str, str])
    seen: list[tuple[str, dict[str, Any], dict[str, str]]] = field(
        default_factory=list[tuple[str, dict[str, Any], dict[str, str]]]
    )
    kept: dict[bytes, bytes] = field(default_factory=dict[bytes, bytes])
    notifications: list[str] = field(default_factory=list[str])
    trust_list: bytes = b""
    status_lists: dict[str, bytes] = field(default_factory=dict[str, bytes])
    batch: int = 4

    def answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        body = request.content
        if path == "/.well-known/openid-credential-issuer":
            found = vci.issuer_metadata(
                issuer=self.url,
                credential_endpoint=f"{self.url}/credential",
                nonce_endpoint=f"{self.url}/nonce",
                notification_endpoint=f"{self.url}/notification",
                types=CATALOGUE.types.values(),
                name={"en": "Test issuer"},
                batch_size=self.batch,
            )
            return _json(self.metadata_spoil("issuer", found))
        if path == "/.well-known/oauth-authorization-server":
            found = oauth.authorization_server_metadata(
                issuer=self.url,
                token_endpoint=f"{self.url}/token",
                authorization_endpoint=f"{self.url}/authorize",
                scopes=["age-1"],
            )
            return _json(self.metadata_spoil("server", found))
        if path == "/published/trust-list.jwt":
            return httpx.Response(200, content=self.trust_list, headers={"content-type": "application/jwt"})
        if path in self.status_lists:
            content = self.status_lists[path]
            return httpx.Response(
                200, content=content, headers={"content-type": "application/statuslist+jwt"}
            )
        if path == "/offers/1":
            return _json(vci.offer_object(self.offer()))
        if path == "/token":
            return self._token(request)
        if path == "/nonce":
            return _json(vci.nonce_response(b64u(os.urandom(16))))
        if path == "/credential":
            return self._credential(request, body)
        if path == "/notification":
            self.notifications.append(json.loads(body)["event"])
            return httpx.Response(204)
        return httpx.Response(404)

    def offer(self, *names: str, tx_code: bool = True) -> vci.Offer:
        return vci.Offer(
            self.url,
            names or ("age-1.sd-jwt",),
            pre_authorized=vci.PreAuthorizedOffer("pre-code", vci.TxCode(length=6) if tx_code else None),
        )

    def _token(self, request: httpx.Request) -> httpx.Response:
        form = dict(parse_qsl(request.content.decode()))
        proof = oauth.verify_dpop(
            request.headers["dpop"],
            method="POST",
            url=f"{self.url}/token",
            now=self.clock(),
            access_token=None,
        )
        if self.want_dpop_nonce and proof.nonce != "server-nonce":
            return _json({"error": "use_dpop_nonce"}, 400, {"dpop-nonce": "server-nonce"})
        self.seen.append(("token", form, dict(request.headers)))
        grant = oauth.parse_token_request(form)
        if isinstance(grant, oauth.PreAuthorizedGrant) and grant.tx_code not in (None, TX_CODE):
            return _json({"error": "invalid_grant"}, 400)
        if isinstance(grant, oauth.RefreshGrant) and self.refuse_refresh:
            return _json({"error": "invalid_grant"}, 400)
        return _json(
            oauth.token_response(
                access_token="token-" + b64u(os.urandom(9)),
                expires_in=600,
                scope=["age-1"],
                refresh_token="refresh-" + b64u(os.urandom(9)),
            )
        )

    def _credential(self, request: httpx.Request, body: bytes) -> httpx.Response:
        token = request.headers["authorization"].removeprefix("DPoP ")
        oauth.verify_dpop(
            request.headers["dpop"],
            method="POST",
            url=f"{self.url}/credential",
            now=self.clock(),
            access_token=token,
        )
        self.seen.append(("credential", json.loads(body), dict(request.headers)))
        wanted = json.loads(body)["credential_configuration_id"]
        if wanted in self.refusals:
            return _json({"error": self.refusals[wanted]}, 400)
        if body not in self.kept:
            self.kept[body] = dump_json(self._issue(body))
        if self.lose:
            self.lose -= 1
            raise httpx.ReadError("the answer was lost", request=request)
        return httpx.Response(200, content=self.kept[body], headers={"content-type": "application/json"})

    def _issue(self, body: bytes) -> dict[str, Any]:
        asked = vci.parse_credential_request(body, batch_size=self.batch)
        slug, _, suffix = str(asked.configuration_id).rpartition(".")
        format = {"sd-jwt": "dc+sd-jwt", "mdoc": "mso_mdoc"}[suffix]
        type = CATALOGUE.by_slug(slug)
        valid: Window = self.mint.get("window", window(self.clock(), type.validity_days))
        wire: list[bytes] = []
        for number, proof in enumerate(vci.verify_proofs(asked.proofs, audience=self.url, now=self.clock())):
            status = None
            if self.mint.get("status", type.revocable):
                uri = self.mint.get("uri", publish.uri(self.url, type.slug, valid.start))
                index = self.mint.get("index", lambda _: int.from_bytes(os.urandom(2), "big") * 16)(number)
                status = StatusRef(uri(number) if callable(uri) else uri, index)
            wire.append(
                FORMATS[format].issue(
                    Claims(type, self.mint.get("values", lambda _: VALUES[type.name])(number)),
                    holder=self.mint.get("holder", lambda _, key: key)(number, proof.key),
                    window=valid,
                    status=status,
                    issuer=self.mint.get("issuer", self.url),
                    signer=self.mint.get("signer", development_pki().signers[format, type.name].signer),
                    randomness=self.mint.get("randomness", os.urandom),
                )
            )
        return vci.credential_response(self.spoil(wire, json.loads(body)), "n-1")


@dataclass
class FakeVerifier:
    """``ask`` makes a request and gives its link; ``answers`` are the responses, as parsed."""

    clock: Callable[[], int]
    requests: dict[str, tuple[str, vp.RequestClaims, ec.EllipticCurvePrivateKey | None]] = field(
        default_factory=dict[str, tuple[str, vp.RequestClaims, "ec.EllipticCurvePrivateKey | None"]]
    )
    answers: list[VpResponse | VpRefusal] = field(default_factory=list["VpResponse | VpRefusal"])
    raw: list[bytes] = field(default_factory=list[bytes])
    redirect: str | None = None
    lose: int = 0
    lose_after: int = 0
    status: int = 200
    taken: set[bytes] = field(default_factory=set[bytes])

    def ask(
        self,
        query: dict[str, Any],
        *,
        purpose: str = "liquor18",
        encrypted: bool = True,
        identity: Any = None,
        spoil: Callable[[dict[str, Any]], dict[str, Any]] = lambda claims: claims,
        **replace: Any,
    ) -> str:
        identity = identity or development_pki().verifier
        id = b64u(os.urandom(6))
        key = ec.generate_private_key(ec.SECP256R1()) if encrypted else None
        jwk = {**PublicKey.of(key.public_key()).jwk(), "kid": f"k-{id}"} if key else None
        claims = vp.build_request(
            client_id=vp.client_id(identity.sha256),
            response_uri=f"{VERIFIER}/response/{id}",
            nonce=b64u(os.urandom(16)),
            state=b64u(os.urandom(16)),
            response_mode="direct_post.jwt" if encrypted else "direct_post",
            query=query,
            purpose=purpose,
            encryption_jwk=jwk,
            issued=self.clock(),
            expires=self.clock() + 300,
        )
        signed = vp.sign_request(spoil({**claims, **replace}), identity.signer)
        self.requests[id] = (signed, vp.read_request(claims), key)
        return vp.request_link(vp.client_id(identity.sha256), f"{VERIFIER}/request/{id}")

    def answer(self, request: httpx.Request) -> httpx.Response:
        kind, _, id = request.url.path.lstrip("/").partition("/")
        if id not in self.requests:
            return _json({"error": "not_found"}, 404)
        signed, claims, key = self.requests[id]
        if kind == "request":
            return httpx.Response(
                200, content=signed.encode(), headers={"content-type": "application/oauth-authz-req+jwt"}
            )
        form = dict(parse_qsl(request.content.decode()))
        self.raw.append(request.content)
        if self.lose:
            self.lose -= 1
            raise httpx.ReadError("the answer was lost", request=request)
        if request.content in self.taken:
            return _json({"error": "invalid_request", "code": "nonce_replayed"}, 409)
        self.answers.append(parse_response(form, request=claims, private_key=key))
        self.taken.add(request.content)
        if self.lose_after:
            self.lose_after -= 1
            raise httpx.ReadError("the answer was lost", request=request)
        if self.status != 200:
            return _json({"error": "invalid_request"}, self.status)
        return _json({"redirect_uri": self.redirect} if self.redirect else {})


def _resolve(host: str, port: int) -> list[str]:
    return ["127.0.0.1" if host == "localhost" else "93.184.215.14"]


def _json(body: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None) -> httpx.Response:
    return httpx.Response(
        status,
        content=json.dumps(body).encode(),
        headers={"content-type": "application/json", **(headers or {})},
    )


@dataclass
class World:
    """One wallet and its two parties. ``requests`` is every request that left the wallet."""

    folder: Path
    time: int = NOW + 3600
    pauses: list[float] = field(default_factory=list[float])
    requests: list[httpx.Request] = field(default_factory=list[httpx.Request])
    offline: bool = False

    def __post_init__(self) -> None:
        self.issuer = FakeIssuer(self.clock, trust_list=development_pki().trust_list)
        self.verifier = FakeVerifier(self.clock)
        pki = development_pki()
        self.settings = Settings(pki.trust_root.jwk(), pki.trust_list.decode(), 1, None, ())
        self.vault = Vault.create(
            self.folder / "vault.db",
            "passphrase",
            randomness=os.urandom,
            cost=CHEAPEST,
            stamp=self.folder / "state" / "v.stamp",
        )
        with self.vault.writing() as rows:
            rows.put("settings", self.settings.body())
        self.wallet = Wallet(self.vault, self.egress(), CATALOGUE, now=self.clock, pause=self.pauses.append)

    def clock(self) -> int:
        return self.time

    def egress(self) -> Egress:
        client = httpx.Client(transport=httpx.MockTransport(self._route))
        return Egress(EgressPolicy(True), client, resolve=_resolve)

    def _route(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if self.offline:
            raise httpx.ConnectError("offline", request=request)
        origin = f"https://{urlsplit(str(request.url)).netloc}"
        parties: dict[str, FakeIssuer | FakeVerifier] = {ISSUER: self.issuer, VERIFIER: self.verifier}
        answer = parties[origin].answer(request)
        return httpx.Response(
            answer.status_code, headers=answer.headers, stream=httpx.ByteStream(answer.content)
        )

    def stocked(self, *names: str) -> World:
        """With copies of these configurations."""
        from wallet.exchange import accept

        accept(self.wallet, self.issuer.offer(*names, tx_code=False))
        return self


def sd_query(*claims: str, type: str = "age/1", **values: Any) -> dict[str, Any]:
    """A DCQL query for claims of one SD-JWT VC."""
    return {
        "credentials": [
            {
                "id": "one",
                "format": "dc+sd-jwt",
                "meta": {"vct_values": [CATALOGUE.types[type].vct]},
                "claims": [
                    {"path": [name], **({"values": values[name]} if name in values else {})}
                    for name in claims
                ],
            }
        ]
    }


def mdoc_query(*claims: str, type: str = "age/1") -> dict[str, Any]:
    """A DCQL query for elements of one mdoc."""
    kind = CATALOGUE.types[type]
    return {
        "credentials": [
            {
                "id": "one",
                "format": "mso_mdoc",
                "meta": {"doctype_value": kind.doctype},
                "claims": [{"path": list(kind.path("mso_mdoc", name))} for name in claims],
            }
        ]
    }
