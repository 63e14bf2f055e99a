"""The authorization server of the issuer: a sign-in earns a code, a grant earns tokens.

Every token is bound to the DPoP key of the request that earned it (RFC 9449) and kept as a hash.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from credentials.encoding import b64u
from credentials.errors import (
    BauhiniaError,
    DpopInvalid,
    GrantInvalid,
    ScopeInvalid,
    SignInRefused,
    UriRefused,
)
from credentials.model import Seconds
from openid4vc import oauth
from openid4vc.dpop import MAX_FUTURE, MAX_PAST, Dpop
from openid4vc.uris import LOOPBACK_HOSTS, parse_url

from . import issuance, nonces
from .issuance import AuthorizationCode, Enrolment, Offer, Token
from .office import Issuer, token_hash

_DPOP_LIFE: Final = MAX_PAST + MAX_FUTURE


def prove(issuer: Issuer, proofs: Sequence[str], *, method: str, url: str, access_token: str | None) -> Dpop:
    """Check the DPoP proof of one request, and burn it. ``proofs`` are the values of the DPoP headers.

    Raises :class:`DpopInvalid` or :class:`DpopNonceRequired`.
    """
    now = issuer.clock()
    # 1. Exactly one header (RFC 9449, 4.3 step 1), a proof that holds (steps 2 to 12).
    if len(proofs) != 1:
        raise DpopInvalid("one DPoP header is required")
    proof = oauth.verify_dpop(proofs[0], method=method, url=url, now=now, access_token=access_token)
    # 2. The nonce, where one is asked for or sent (section 8). Only the authorization server asks.
    required = issuer.require_dpop_nonce and access_token is None
    nonces.check_dpop_nonce(proof.nonce, issuer.secrets.nonce, now=now, required=required)
    # 3. Never seen before (section 11.1).
    jti = issuer.secrets.mac("dpop proof", proof.thumbprint, proof.jti.encode())
    issuer.store.burn_dpop_proof(jti, expires=proof.issued + _DPOP_LIFE)
    return proof


# --- Authorization endpoint


def check_redirect_uri(issuer: Issuer, uri: str) -> None:
    """Known in advance, or a loopback address of the person's own machine (RFC 8252, 7.3).

    Judged before anything is sent there: the page never redirects to a stranger. Raises :class:`UriRefused`.
    """
    if uri not in issuer.redirect_uris and parse_url(uri).host not in LOOPBACK_HOSTS:
        raise UriRefused("redirect_uri is not one that this issuer knows")


def code_request(issuer: Issuer, fields: Mapping[str, str]) -> oauth.CodeRequest:
    """Read an authorization request. Raises :class:`UriRefused`, :class:`RequestInvalid` and others.

    Unknown scopes are ignored, unless there is no other (OpenID4VCI 1.0, 5.1.2).
    """
    check_redirect_uri(issuer, fields.get("redirect_uri", ""))
    request = oauth.parse_code_request(fields)
    requested(issuer, request, None)
    return request


def refusal_target(issuer: Issuer, fields: Mapping[str, str], error: BauhiniaError) -> str | None:
    """Where a request that cannot be read is sent back to (RFC 6749, 4.1.2.1), or ``None`` for a page here.

    Nobody is sent to an address that is not known, nor for a client that is not named.
    """
    try:
        check_redirect_uri(issuer, fields.get("redirect_uri", ""))
    except BauhiniaError:
        return None
    if not fields.get("client_id"):
        return None
    return oauth.malformed_redirect(fields, error, issuer=issuer.url)


def requested(issuer: Issuer, request: oauth.CodeRequest, offer: Offer | None) -> tuple[str, ...]:
    """The configurations that the scopes name, at most those of the offer. Raises :class:`ScopeInvalid`."""
    among = issuer.configurations if offer is None else offer.configurations
    found = tuple(id for id in among if issuer.configuration(id).type.slug in request.scope)
    if not found:
        raise ScopeInvalid("the scope names no credential that is offered")
    return found


def authorize(issuer: Issuer, request: oauth.CodeRequest, enrolment: Enrolment) -> str:
    """A code for the person who signed in: the URL the browser is sent to.

    Raises :class:`GrantInvalid` for an offer that is gone, :class:`SignInRefused` where the offer was made to
    somebody else, and what :meth:`issuer.office.Issuer.claims` refuses for a credential asked for.
    """
    now = issuer.clock()
    offer = None
    if request.issuer_state is not None:
        offer = issuer.store.offer_by_code(token_hash(request.issuer_state), now=now)
        if offer is None or offer.grant_type != "authorization-code":
            raise GrantInvalid("the offer is unknown, expired or used")
        if offer.enrolment != enrolment.id:
            raise SignInRefused("the offer was made to another enrolment")
    configurations = requested(issuer, request, offer)
    for type in dict.fromkeys(issuer.configuration(id).type for id in configurations):
        issuer.claims(type, enrolment, now=now)
    code = b64u(issuer.randomness(32))
    issuer.store.add_code(
        AuthorizationCode(
            code=token_hash(code),
            enrolment=enrolment.id,
            configurations=configurations,
            client_id=request.client_id,
            redirect_uri=request.redirect_uri,
            challenge=request.code_challenge,
            family=b64u(issuer.randomness(16)),
            state="pending",
            expires=now + issuance.CODE_SECONDS,
            offer=None if offer is None else offer.id,
        )
    )
    return oauth.code_redirect(request, code=code, issuer=issuer.url)


# --- Token endpoint


def token(issuer: Issuer, form: Mapping[str, str], proof: Dpop) -> dict[str, Any]:
    """A grant to a token response. Raises :class:`GrantInvalid` and its kind, :class:`RequestInvalid`."""
    now = issuer.clock()
    access, refresh = b64u(issuer.randomness(32)), b64u(issuer.randomness(32))
    refresh_until = issuance.end_of_day(now + issuance.REFRESH_TOKEN_SECONDS)

    def tokens(family: str, of: Offer | AuthorizationCode) -> Sequence[Token]:
        return (
            _token(access, "access", family, of, proof, now + issuance.ACCESS_TOKEN_SECONDS),
            _token(refresh, "refresh", family, of, proof, refresh_until),
        )

    match oauth.parse_token_request(form):
        case oauth.PreAuthorizedGrant(code, tx_code):

            def judge(offer: Offer) -> issuance.Attempt[Offer]:
                typed = None if tx_code is None else issuer.tx_code_hash(offer.id, tx_code)
                return issuance.redeem_offer(offer, tx_code=typed, now=now)

            offer = issuer.store.redeem_offer(token_hash(code), judge, lambda o: tokens(o.id, o))
            return _answer(issuer, access, refresh, offer.configurations)
        case oauth.CodeGrant(code, redirect_uri, verifier, client_id):
            redeemed = issuer.store.redeem_code(
                token_hash(code),
                lambda found: issuance.redeem_code(
                    found,
                    client_id=client_id,
                    redirect_uri=redirect_uri,
                    challenge=oauth.code_challenge(verifier),
                    now=now,
                ),
                lambda found: tokens(found.family, found),
            )
            return _answer(issuer, access, refresh, redeemed.configurations)
        case oauth.RefreshGrant(refresh_token):
            # The refresh token is not replaced: it is bound to the key, and a lost answer would lose it.
            kept = issuance.check_token(
                issuer.store.token(token_hash(refresh_token)),
                kind="refresh",
                thumbprint=proof.thumbprint,
                now=now,
            )
            until = now + issuance.ACCESS_TOKEN_SECONDS
            issuer.store.add_tokens([_token(access, "access", kept.family, kept, proof, until)])
            return _answer(issuer, access, None, kept.configurations)


def _token(
    token: str,
    kind: Any,
    family: str,
    of: Offer | AuthorizationCode | Token,
    proof: Dpop,
    expires: Seconds,
) -> Token:
    return Token(
        token=token_hash(token),
        kind=kind,
        family=family,
        enrolment=of.enrolment,
        configurations=of.configurations,
        thumbprint=proof.thumbprint,
        expires=expires,
    )


def _answer(issuer: Issuer, access: str, refresh: str | None, ids: Sequence[str]) -> dict[str, Any]:
    return oauth.token_response(
        access_token=access,
        expires_in=issuance.ACCESS_TOKEN_SECONDS,
        scope=tuple(dict.fromkeys(issuer.configuration(id).type.slug for id in ids)),
        refresh_token=refresh,
    )
