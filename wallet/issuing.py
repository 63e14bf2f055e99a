"""One issuer, as a client sees it: metadata, token, nonce, credentials, notification (OpenID4VCI 1.0).

Nothing here decides or keeps anything: ``exchange.py`` does. Every request to the issuer carries a DPoP proof
of a key that this issuer alone sees, and no header that tells this wallet from another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

from credentials.encoding import b64u
from credentials.errors import (
    IssuanceRefused,
    IssuerMixUp,
    IssuerUnknown,
    MetadataInvalid,
    NetworkUnavailable,
    PeerRefused,
    TokenInvalid,
    TxCodeInvalid,
)
from credentials.model import Randomness, Seconds
from credentials.trust import Trust
from openid4vc.dpop import dpop_proof
from openid4vc.oauth import (
    AuthorizationServer,
    Grant,
    PreAuthorizedGrant,
    TokenResponse,
    parse_authorization_server,
    parse_error,
    parse_token_response,
    token_form,
)
from openid4vc.uris import parse_url, well_known
from openid4vc.vci import (
    CredentialResponse,
    IssuerMetadata,
    Notification,
    Offer,
    notification,
    parse_credential_response,
    parse_issuer_metadata,
    parse_nonce_response,
    parse_offer,
    parse_offer_link,
)
from web.egress import Answer, Egress

from .records import StoredKey

JSON: Final = "application/json"
ATTEMPTS: Final = 3
"""How often the very same credential request is sent when its answer is lost on the way."""


def origin_of(url: str) -> str:
    return parse_url(url).origin


def fetch_offer(link: str, *, trust: Trust, egress: Egress) -> Offer:
    """An offer link to an offer whose issuer is on the trust list.

    An offer comes from anybody (a QR code on a wall), so nothing is requested from a host that the trust list
    does not name. Raises :class:`IssuerUnknown`, and as :func:`.vci.parse_offer_link`.
    """
    found = parse_offer_link(link)
    if isinstance(found, str):
        if origin_of(found) not in {origin_of(issuer.id) for issuer in trust.issuers}:
            raise IssuerUnknown("the offer lies with nobody on the trust list")
        found = parse_offer(_expect(egress.get(found, accept=JSON)))
    if found.issuer not in {issuer.id for issuer in trust.issuers}:
        raise IssuerUnknown("the offer is from nobody on the trust list")
    return found


class IssuerClient:
    """A standing conversation with one issuer, under one DPoP key."""

    def __init__(
        self,
        issuer: str,
        key: StoredKey,
        *,
        egress: Egress,
        now: Callable[[], Seconds],
        randomness: Randomness,
    ) -> None:
        self.issuer = issuer
        self.key = key
        self._holder = key.holder()
        self._egress = egress
        self._now = now
        self._randomness = randomness
        self._dpop_nonce: str | None = None

    def metadata(self) -> tuple[IssuerMetadata, AuthorizationServer]:
        """Both documents, fetched from the issuer itself, naming no endpoint anywhere else.

        Raises :class:`MetadataInvalid` or :class:`IssuerMixUp`.
        """
        issuer = parse_issuer_metadata(
            _expect(
                self._egress.get(well_known(self.issuer, "openid-credential-issuer"), accept=JSON),
                refusal=MetadataInvalid,
            ),
            issuer=self.issuer,
        )
        server = parse_authorization_server(
            _expect(
                self._egress.get(well_known(self.issuer, "oauth-authorization-server"), accept=JSON),
                refusal=MetadataInvalid,
            ),
            issuer=self.issuer,
        )
        endpoints = (
            issuer.credential_endpoint,
            issuer.nonce_endpoint,
            issuer.notification_endpoint,
            server.token_endpoint,
            server.authorization_endpoint,
        )
        for endpoint in endpoints:
            if endpoint is not None and origin_of(endpoint) != origin_of(self.issuer):
                raise IssuerMixUp("the issuer's metadata sends codes or tokens to another origin")
        return issuer, server

    def token(self, server: AuthorizationServer, grant: Grant) -> TokenResponse:
        """Trade a grant for a token. Raises :class:`TxCodeInvalid`, :class:`PeerRefused`."""
        fields = token_form(grant)
        answer = self._with_proof(
            lambda headers: self._egress.post_form(server.token_endpoint, fields, headers=headers),
            server.token_endpoint,
            None,
        )
        if answer.status != 200 and isinstance(grant, PreAuthorizedGrant) and grant.tx_code is not None:
            # The issuer says invalid_grant for a mistyped code, a locked and an expired offer alike.
            if parse_error(answer.body).error == "invalid_grant":
                raise TxCodeInvalid(
                    "the issuer did not accept the offer with this transaction code",
                    hint="Type the code again, or ask for a new offer: five wrong codes lock it.",
                )
        return parse_token_response(_expect(answer))

    def nonce(self, metadata: IssuerMetadata) -> str:
        """A fresh nonce for key proofs."""
        if metadata.nonce_endpoint is None:
            raise MetadataInvalid("the issuer has no nonce endpoint")
        answer = self._egress.post_form(metadata.nonce_endpoint, {})
        self._dpop_nonce = answer.headers.get("dpop-nonce", self._dpop_nonce)
        return parse_nonce_response(_expect(answer))

    def credentials(
        self, metadata: IssuerMetadata, token: str, body: Mapping[str, Any], *, expected: int
    ) -> CredentialResponse:
        """Ask for a batch; where the answer is lost, ask again with the same body, which the issuer knows."""
        attempt = 1
        while True:
            try:
                answer = self._post(metadata.credential_endpoint, token, body)
                break
            except NetworkUnavailable:
                if attempt == ATTEMPTS:
                    raise
                attempt += 1
        return parse_credential_response(_expect(answer), expected=expected)

    def notify(
        self,
        metadata: IssuerMetadata,
        token: str,
        notification_id: str | None,
        event: Literal["credential_accepted", "credential_failure", "credential_deleted"],
    ) -> None:
        """Tell the issuer what became of the batch; that this fails harms nobody."""
        if notification_id is None or metadata.notification_endpoint is None:
            return
        try:
            self._post(
                metadata.notification_endpoint, token, notification(Notification(notification_id, event))
            )
        except NetworkUnavailable:
            pass

    def _post(self, url: str, token: str, body: Mapping[str, Any]) -> Answer:
        return self._with_proof(
            lambda headers: self._egress.post_json(url, body, headers=headers), url, token
        )

    def _with_proof(self, send: Callable[[Mapping[str, str]], Answer], url: str, token: str | None) -> Answer:
        answer = send(self._headers(url, token))
        nonce = answer.headers.get("dpop-nonce")
        if nonce is not None and nonce != self._dpop_nonce:
            self._dpop_nonce = nonce
            # RFC 9449, 8: the server wants its nonce in the proof; once more, with it.
            if answer.status in (400, 401) and _wants_nonce(answer):
                answer = send(self._headers(url, token))
        return answer

    def _headers(self, url: str, token: str | None) -> dict[str, str]:
        proof = dpop_proof(
            self._holder,
            method="POST",
            url=url,
            now=self._now(),
            jti=b64u(self._randomness(16)),
            nonce=self._dpop_nonce,
            access_token=token,
        )
        return {"DPoP": proof} if token is None else {"DPoP": proof, "Authorization": f"DPoP {token}"}


def _wants_nonce(answer: Answer) -> bool:
    challenge = answer.headers.get("www-authenticate", "")
    return "use_dpop_nonce" in challenge or parse_error(answer.body).error == "use_dpop_nonce"


_SAID: Final[Sequence[tuple[str, type[PeerRefused] | type[TokenInvalid] | type[IssuanceRefused]]]] = (
    ("invalid_token", TokenInvalid),
    ("credential_request_denied", IssuanceRefused),
)


def _expect(answer: Answer, *, refusal: type[MetadataInvalid] | None = None) -> bytes:
    """The body of a 200 answer. What the other party says beside its error code is not passed on."""
    if answer.status == 200:
        return answer.body
    if refusal is not None:
        raise refusal("the issuer's metadata is not where it should be")
    said = parse_error(answer.body).error
    for code, error in _SAID:
        if said == code:
            raise error(f"the issuer answered {said}")
    raise PeerRefused(f"the issuer answered {said} ({answer.status})")
