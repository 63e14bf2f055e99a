"""With issuers: accepting an offer, signing in, fetching again. What comes back is checked before it is kept.

Order of every issuance: make keys, write down the request, send it, check the batch, then in one transaction
keep the batch and strike the request. A crash or a lost answer leaves the request in the vault; sending it
again (within its life) gives the same batch, because the issuer knows the body.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from credentials.encoding import b64u, unb64u
from credentials.errors import (
    BauhiniaError,
    GrantInvalid,
    NetworkUnavailable,
    OfferInvalid,
    PeerRefused,
    Refusal,
    StateMismatch,
    TxCodeInvalid,
    TypeMismatch,
    Untrusted,
)
from credentials.model import Seconds
from openid4vc.oauth import (
    CodeGrant,
    CodeRequest,
    PreAuthorizedGrant,
    RefreshGrant,
    TokenResponse,
    code_challenge,
    code_request_url,
    parse_code_response,
)
from openid4vc.oauth import Grant as TokenGrant
from openid4vc.uris import parse_query
from openid4vc.vci import (
    AuthorizationCodeOffer,
    CredentialRequest,
    IssuerMetadata,
    Offer,
    PreAuthorizedOffer,
    credential_request,
    proof_jwt,
)

from .acceptance import check_batch
from .holding import awaited, discard_ended, refill_moment, refills, shuffled
from .issuing import IssuerClient, fetch_offer, origin_of
from .records import Batch, Copy, Entry, Grant, StoredKey
from .status import mark_revoked
from .wallet import Wallet, write_log

CLIENT_ID: Final = "bauhinia-wallet"
"""The same for every wallet: it names the program, not the person."""
REDIRECT_URI: Final = "http://127.0.0.1:8403/signed-in"
"""Where a browser comes back to after signing in: the wallet's own page on loopback (RFC 8252, 7.3)."""
PENDING_SECONDS: Final = 600
SIGN_IN_SECONDS: Final = 900


@dataclass(frozen=True, slots=True)
class Received:
    """One configuration of an issuance: how many copies were kept, or why none."""

    configuration: str
    copies: int
    ends: Seconds
    error: BauhiniaError | None = None


@dataclass(frozen=True, slots=True)
class Synced:
    """``trust_list`` says whether a newer one came; ``sign_in`` lists issuers that need a new sign-in;
    ``revoked`` are configurations that were found revoked just now."""

    trust_list: bool
    received: tuple[Received, ...]
    discarded: int
    sign_in: tuple[str, ...]
    revoked: tuple[str, ...] = ()


def open_offer(wallet: Wallet, link: str) -> Offer:
    """Read an offer and see that its issuer is trusted; nothing is accepted yet."""
    return fetch_offer(link, trust=wallet.trust(), egress=wallet.egress)


def accept(wallet: Wallet, offer: Offer, *, tx_code: str | None = None) -> tuple[Received, ...]:
    """Accept an offer with a pre-authorized code. Raises :class:`TxCodeInvalid` where a code is missing,
    :class:`OfferInvalid` where the offer needs a sign-in, or the error if no configuration was received."""
    chosen = offer.choose("pre-authorized_code" if tx_code is not None else None)
    if not isinstance(chosen, PreAuthorizedOffer):
        raise OfferInvalid(
            "this offer is accepted by signing in at the issuer",
            hint="`bauhinia wallet accept LINK --sign-in`",
        )
    if chosen.tx_code is not None and tx_code is None:
        raise TxCodeInvalid("the offer needs its transaction code", hint="Give it with --tx-code.")
    return _obtain(
        wallet,
        offer.issuer,
        offer.configuration_ids,
        PreAuthorizedGrant(chosen.code, tx_code if chosen.tx_code else None),
    )


# --- Signing in (authorization code with PKCE)


def begin_sign_in(wallet: Wallet, offer: Offer, *, redirect_uri: str = REDIRECT_URI) -> str:
    """The URL to open in a browser. What belongs to it stays in the vault until :func:`finish_sign_in`."""
    chosen = offer.choose("authorization_code" if offer.authorization_code else None)
    if not isinstance(chosen, AuthorizationCodeOffer):
        raise OfferInvalid("this offer is accepted with its transaction code, not by signing in")
    key = wallet.make_key()
    client = _client(wallet, offer.issuer, key)
    metadata, server = client.metadata()
    if server.authorization_endpoint is None:
        raise OfferInvalid("the issuer has no sign-in page")
    scopes = tuple(
        dict.fromkeys(
            scope for name in offer.configuration_ids if (scope := metadata.configuration(name).scope)
        )
    )
    if not scopes:
        raise OfferInvalid("the issuer names no scope for what it offers")
    verifier, state = b64u(wallet.randomness(32)), b64u(wallet.randomness(16))
    request = CodeRequest(
        client_id=CLIENT_ID,
        redirect_uri=redirect_uri,
        state=state,
        code_challenge=code_challenge(verifier),
        scope=scopes,
        issuer_state=chosen.issuer_state,
    )
    with wallet.vault.writing() as rows:
        _discard_expired(wallet, rows.records("sign-in"), rows.delete)
        rows.put(
            "sign-in",
            {
                "issuer": offer.issuer,
                "configurations": list(offer.configuration_ids),
                "verifier": verifier,
                "state": state,
                "redirect_uri": redirect_uri,
                "key": b64u(key.scalar),
                "expires": wallet.now() + SIGN_IN_SECONDS,
            },
        )
    return code_request_url(server.authorization_endpoint, request)


def finish_sign_in(wallet: Wallet, answer: str | Mapping[str, str]) -> tuple[Received, ...]:
    """The browser came back: ``answer`` is the address it came to, or its query parameters.

    A sign-in is finished once; whatever the outcome it is struck. Raises :class:`StateMismatch` for one that
    this wallet did not begin, :class:`IssuerMixUp`, :class:`PeerRefused`.
    """
    fields = parse_query(answer.strip().partition("?")[2]) if isinstance(answer, str) else answer
    with wallet.vault.writing() as rows:
        _discard_expired(wallet, rows.records("sign-in"), rows.delete)
        begun = {str(record.body["state"]): record for record in rows.records("sign-in")}
        record = begun.get(fields.get("state", ""))
        if record is not None:
            rows.delete(record.id)
    if record is None:
        raise StateMismatch("this wallet did not begin that sign-in, or too long ago")
    body = record.body
    code = parse_code_response(fields, state=body["state"], issuer=body["issuer"])
    return _obtain(
        wallet,
        body["issuer"],
        tuple(body["configurations"]),
        CodeGrant(code, body["redirect_uri"], body["verifier"], CLIENT_ID),
        key=StoredKey(unb64u(body["key"])),
    )


def _discard_expired(wallet: Wallet, records: Sequence[Any], delete: Any) -> None:
    for record in records:
        if int(record.body["expires"]) <= wallet.now():
            delete(record.id)


# --- One issuance


def _client(wallet: Wallet, issuer: str, key: StoredKey) -> IssuerClient:
    return IssuerClient(issuer, key, egress=wallet.egress, now=wallet.now, randomness=wallet.randomness)


def _obtain(
    wallet: Wallet,
    issuer: str,
    configurations: Sequence[str],
    grant: TokenGrant,
    *,
    key: StoredKey | None = None,
) -> tuple[Received, ...]:
    key = key or wallet.make_key()
    client = _client(wallet, issuer, key)
    metadata, server = client.metadata()
    for configuration in configurations:
        metadata.configuration(configuration)
    token = client.token(server, grant)
    fresh = Grant("", issuer, tuple(configurations), token.refresh_token, key)
    with wallet.vault.writing() as rows:
        fresh = replace(fresh, id=rows.put("grant", fresh.body()))
    received = tuple(_fetch(wallet, client, metadata, token, name, "accepted") for name in configurations)
    _settle(wallet, fresh, tuple(item.configuration for item in received if item.error is None))
    if all(item.error is not None for item in received):
        raise received[0].error or PeerRefused("the issuer sent nothing")
    return received


def _settle(wallet: Wallet, fresh: Grant, kept: tuple[str, ...]) -> None:
    """The newest grant refills what it brought; older grants lose that, and go when nothing is left."""
    with wallet.vault.writing() as rows:
        for record in rows.records("grant"):
            grant = Grant.of(record)
            if grant.issuer != fresh.issuer:
                continue
            left = kept if grant.id == fresh.id else tuple(n for n in grant.configurations if n not in kept)
            if not left:
                rows.delete(grant.id)
            elif left != grant.configurations:
                rows.put("grant", replace(grant, configurations=left).body(), id=grant.id)


def _fetch(
    wallet: Wallet,
    client: IssuerClient,
    metadata: IssuerMetadata,
    token: TokenResponse,
    configuration: str,
    event: Literal["accepted", "refilled"],
) -> Received:
    """Ask for one batch. What the issuer or the checks refuse is reported, and the next batch goes on."""
    try:
        found = metadata.configuration(configuration)
        count = min(metadata.batch_size, wallet.catalogue.by_identifier(found.type).batch)
        keys = [wallet.make_key() for _ in range(count)]
        nonce = client.nonce(metadata)
        proofs = tuple(
            proof_jwt(key.holder(), audience=client.issuer, nonce=nonce, now=wallet.now()) for key in keys
        )
        identifiers = token.credential_identifiers.get(configuration)
        request = CredentialRequest(
            None if identifiers else configuration, proofs, identifiers[0] if identifiers else None
        )
        pending: dict[str, Any] = {
            "issuer": client.issuer,
            "configuration": configuration,
            "request": credential_request(request),
            "keys": [b64u(key.scalar) for key in keys],
            "token": token.access_token,
            "dpop": b64u(client.key.scalar),
            "event": event,
            "expires": wallet.now() + min(PENDING_SECONDS, token.expires_in),
        }
        with wallet.vault.writing() as rows:
            id = rows.put("pending", pending)
        return _receive(wallet, client, metadata, pending, id)
    except (Refusal, PeerRefused) as error:
        return Received(configuration, 0, 0, error)


def _receive(
    wallet: Wallet, client: IssuerClient, metadata: IssuerMetadata, pending: Mapping[str, Any], id: str
) -> Received:
    keys = [StoredKey(unb64u(text)) for text in pending["keys"]]
    configuration = metadata.configuration(pending["configuration"])
    try:
        answer = client.credentials(metadata, pending["token"], pending["request"], expected=len(keys))
        try:
            accepted = check_batch(
                answer.credentials,
                [key.holder() for key in keys],
                configuration=configuration,
                issuer=client.issuer,
                catalogue=wallet.catalogue,
                trust=wallet.trust(),
                now=wallet.now(),
                randomness=wallet.randomness,
            )
        except BauhiniaError:
            client.notify(metadata, pending["token"], answer.notification_id, "credential_failure")
            raise
    except NetworkUnavailable:
        raise  # The request stays in the vault: `sync` sends it again.
    except BauhiniaError as error:
        with wallet.vault.writing() as rows:
            rows.delete(id)
            write_log(rows, _entry(wallet, client.issuer, "refused", configuration.type, error.code))
        raise
    type = wallet.catalogue.by_identifier(configuration.type)
    lacks = awaited(accepted.claims, type=type, format=configuration.format)
    batch = Batch(
        id="",
        issuer=client.issuer,
        configuration=configuration.id,
        format=configuration.format,
        type=configuration.type,
        window=accepted.window,
        claims=accepted.claims,
        status_uri=accepted.status_uri,
        refill_at=refill_moment(accepted.window, wallet.randomness, now=wallet.now(), incomplete=bool(lacks)),
    )
    with wallet.vault.writing() as rows:
        rows.delete(id)
        batch_id = rows.put("batch", batch.body())
        for credential, key, index in zip(answer.credentials, keys, accepted.indices, strict=False):
            rows.put("copy", Copy("", batch_id, False, credential, key, index).body())
        write_log(rows, _entry(wallet, client.issuer, str(pending["event"]), configuration.type, ""))
    client.notify(metadata, pending["token"], answer.notification_id, "credential_accepted")
    return Received(configuration.id, len(answer.credentials), accepted.window.end)


def _entry(wallet: Wallet, issuer: str, event: str, type: str, code: str) -> Entry:
    return Entry(
        when=wallet.now(),
        event=event,
        who=wallet.issuer_name(issuer),
        party=hashlib.sha256(issuer.encode()).hexdigest(),
        purpose={},
        types=(_type_name(wallet, type),),
        code=code,
    )


def _type_name(wallet: Wallet, identifier: str) -> str:
    try:
        return wallet.catalogue.by_identifier(identifier).name
    except TypeMismatch:
        return identifier


# --- Fetching again


def sync(wallet: Wallet, *, all: bool = False) -> Synced:
    """Bring the trust list up to date, finish interrupted issuances, drop what has ended, see what was
    revoked, fetch what is due (or, with ``all``, everything). Grants are visited in a random order."""
    newer = _sync_trust_list(wallet)
    received = list(_resume(wallet))
    with wallet.vault.writing() as rows:
        discarded = discard_ended(rows, now=wallet.now())
    revoked = mark_revoked(wallet)
    due = {
        (grant.id, name)
        for grant, name in refills(() if all else wallet.holdings(), wallet.grants(), now=wallet.now())
    }
    sign_in: list[str] = []
    for grant in shuffled(wallet.grants(), wallet.randomness):
        names = [name for name in grant.configurations if (grant.id, name) in due]
        if not names:
            continue
        try:
            received += _refill(wallet, grant, names)
        except GrantInvalid:
            sign_in.append(grant.issuer)
        except (NetworkUnavailable, Refusal, PeerRefused) as error:
            received += [Received(name, 0, 0, error) for name in names]
    return Synced(newer, tuple(received), discarded, tuple(dict.fromkeys(sign_in)), revoked)


def _refill(wallet: Wallet, grant: Grant, names: Sequence[str]) -> list[Received]:
    if grant.refresh_token is None:
        raise GrantInvalid("the holder signs in again")
    client = _client(wallet, grant.issuer, grant.key)
    metadata, server = client.metadata()
    try:
        token = client.token(server, RefreshGrant(grant.refresh_token))
    except PeerRefused as error:
        if "invalid_grant" in str(error):
            raise GrantInvalid("the issuer wants the holder to sign in again") from None
        raise
    if token.refresh_token is not None and token.refresh_token != grant.refresh_token:
        with wallet.vault.writing() as rows:
            rows.put("grant", {**grant.body(), "refresh_token": token.refresh_token}, id=grant.id)
    return [_fetch(wallet, client, metadata, token, name, "refilled") for name in names]


def _resume(wallet: Wallet) -> list[Received]:
    with wallet.vault.writing() as rows:
        _discard_expired(wallet, rows.records("pending"), rows.delete)
    received: list[Received] = []
    for record in wallet.vault.records("pending"):
        body = record.body
        client = _client(wallet, body["issuer"], StoredKey(unb64u(body["dpop"])))
        try:
            metadata, _ = client.metadata()
            received.append(_receive(wallet, client, metadata, body, record.id))
        except (NetworkUnavailable, Refusal, PeerRefused) as error:
            received.append(Received(str(body["configuration"]), 0, 0, error))
    return received


def _sync_trust_list(wallet: Wallet) -> bool:
    """From whichever issuer serves it first: it is signed, so it does not matter who hands it over."""
    origins = {origin_of(grant.issuer) for grant in wallet.grants()}
    try:
        origins |= {origin_of(issuer.id) for issuer in wallet.trust().issuers}
    except Untrusted:
        pass  # Expired: that is what this is for.
    newer = False
    for origin in sorted(origins):
        try:
            answer = wallet.egress.get(f"{origin}/published/trust-list.jwt", accept="*/*")
            if answer.status == 200:
                newer = wallet.learn_trust_list(answer.body) or newer
        except (NetworkUnavailable, Refusal):
            continue
    return newer
