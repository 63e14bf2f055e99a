"""The credential endpoint: a proved request to signed copies, once, even where the answer was lost.

The order matters. Signing happens before the one transaction that burns the nonce, binds the keys, takes the
indices and keeps the sealed answer: so nothing is ever stored without an answer to give, and what was signed
for a transaction that failed is dropped unsent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

from credentials.encoding import b64u, dump_json
from credentials.errors import (
    CredentialNonceInvalid,
    CredentialRequestInvalid,
    IdentifierUnknown,
    StoreUnavailable,
)
from credentials.keys import PublicKey
from credentials.model import Claims, StatusRef, Window
from openid4vc import vci
from openid4vc.dpop import Dpop
from revocation import publish

from . import issuance, nonces
from .copies import IndexTaken, Issuance
from .issuance import Token
from .office import Configuration, Issuer, token_hash

_DRAWS: Final = 5


def nonce(issuer: Issuer, proof: Dpop | None) -> dict[str, str]:
    """A fresh ``c_nonce``; for a request with a DPoP proof one that serves that key alone."""
    thumbprint = None if proof is None else proof.thumbprint
    return vci.nonce_response(
        nonces.credential_nonce(
            issuer.secrets.nonce, now=issuer.clock(), randomness=issuer.randomness, thumbprint=thumbprint
        )
    )


def credential(issuer: Issuer, body: bytes, *, access_token: str, proof: Dpop) -> bytes:
    """Answer a credential request (OpenID4VCI 1.0, 8). ``proof`` holds for this request and token.

    The same token, DPoP key and body within the life of the nonce give the same bytes again. Raises
    :class:`TokenInvalid`, :class:`CredentialNonceInvalid`, :class:`ProofInvalid`, an issuance refusal, …
    """
    now = issuer.clock()
    # 1. The token lives and belongs to the key (RFC 9449, 7.1).
    token = issuance.check_token(
        issuer.store.token(token_hash(access_token)), kind="access", thumbprint=proof.thumbprint, now=now
    )
    # 2. A retry after a lost answer gets that answer.
    request_hash = hashlib.sha256(token.token + token.thumbprint + hashlib.sha256(body).digest()).digest()
    kept = _kept(issuer, request_hash)
    if kept is not None:
        return kept
    # 3. What is asked for, and that the token covers it (OpenID4VCI 1.0, 8.2).
    request = vci.parse_credential_request(body, batch_size=issuer.batch_size)
    if request.configuration_id is None:
        raise IdentifierUnknown("the token came with no credential identifiers")
    configuration = issuer.configuration(request.configuration_id)
    if configuration.id not in token.configurations:
        raise CredentialRequestInvalid("the access token is not for this credential")
    # 4. Every key proof holds and answers one nonce of ours (appendix F.4).
    proofs = vci.verify_proofs(request.proofs, audience=issuer.url, now=now)
    nonce_expires = nonces.check_credential_nonce(
        proofs[0].nonce, issuer.secrets.nonce, now=now, thumbprint=proof.thumbprint
    )
    # 5. The person may have it, today.
    enrolment = issuer.store.enrolment(token.enrolment)
    claims = issuer.claims(configuration.type, enrolment, now=now)
    # 6. The batch is one copy per key, and not too many.
    window = issuance.window(configuration.type, now=now)
    keys = tuple(proof.key for proof in proofs)
    issued = issuer.store.issued(enrolment.id, configuration.type.name, configuration.format, window)
    issuance.check_batch(configuration.type, keys, issued=issued)
    # 7. Sign, then store everything at once. Only a status index may turn out to be taken: draw again.
    nonce_hash = token_hash(proofs[0].nonce)
    for _ in range(_DRAWS):
        answer, record = _sign(
            issuer, token, claims, configuration, window, keys, nonce_hash, nonce_expires, request_hash
        )
        try:
            issuer.store.record(record)
        except IndexTaken:
            continue
        except CredentialNonceInvalid:
            # The same request, answered by another process meanwhile?
            kept = _kept(issuer, request_hash)
            if kept is None:
                raise
            return kept
        return answer
    raise StoreUnavailable("the store is too busy")


def _kept(issuer: Issuer, request_hash: bytes) -> bytes | None:
    sealed = issuer.store.stored_response(request_hash, now=issuer.clock())
    return None if sealed is None else issuer.secrets.unseal(sealed, bound_to=request_hash)


def _sign(
    issuer: Issuer,
    token: Token,
    claims: Claims,
    configuration: Configuration,
    window: Window,
    keys: Sequence[PublicKey],
    nonce_hash: bytes,
    nonce_expires: int,
    request_hash: bytes,
) -> tuple[bytes, Issuance]:
    type = configuration.type
    indices: tuple[int, ...] = ()
    status: Sequence[StatusRef | None] = [None] * len(keys)
    if type.revocable:
        indices = issuer.store.draw_indices(
            type.name,
            window,
            len(keys),
            size=publish.LIST_SIZE,
            draw=lambda: publish.random_index(issuer.randomness, taken=lambda _: False),
        )
        uri = publish.uri(issuer.url, type.slug, window.start)
        status = [StatusRef(uri, index) for index in indices]
    copies = issuance.mint(
        claims,
        format=configuration.format,
        keys=keys,
        window=window,
        status=status,
        issuer=issuer.url,
        signers=issuer.signers,
        randomness=issuer.randomness,
    )
    notification = b64u(issuer.randomness(16))
    answer = dump_json(vci.credential_response(copies, notification))
    record = Issuance(
        token=token.token,
        enrolment=token.enrolment,
        type=type.name,
        format=configuration.format,
        window=window,
        nonces={nonce_hash: nonce_expires},
        keys=frozenset(issuer.secrets.mac("holder key", key.thumbprint()) for key in keys),
        indices=indices,
        copies=len(copies),
        limit=issuance.most_copies(type),
        request=request_hash,
        sealed=issuer.secrets.seal(answer, bound_to=request_hash, randomness=issuer.randomness),
        sealed_until=nonce_expires,
        notification=token_hash(notification),
        family=token.family,
        notification_until=issuance.end_of_day(issuer.clock() + issuance.NOTIFICATION_SECONDS),
    )
    return answer, record


def notify(issuer: Issuer, body: bytes, *, access_token: str, proof: Dpop) -> None:
    """Keep what became of a delivery (OpenID4VCI 1.0, 11). Raises :class:`NotificationUnknown` and others."""
    now = issuer.clock()
    token = issuance.check_token(
        issuer.store.token(token_hash(access_token)), kind="access", thumbprint=proof.thumbprint, now=now
    )
    message = vci.parse_notification(body)
    issuer.store.notify(
        token_hash(message.notification_id), family=token.family, event=message.event, now=now
    )
