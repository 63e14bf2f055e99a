"""Issuance: offer, key proofs, credential request and response, notification (OpenID4VCI 1.0). Both ends.

Only the final 1.0 wire format; what older drafts did is refused with a message that says so. Issuer metadata
is in ``issuermetadata.py``, tokens are in ``oauth.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from credentials.encoding import dump_json, load_json_object
from credentials.errors import (
    BauhiniaError,
    CredentialRequestInvalid,
    EncryptionParametersInvalid,
    JsonMalformed,
    KeyMalformed,
    Malformed,
    NotificationInvalid,
    OfferInvalid,
    ProofInvalid,
    ResponseInvalid,
    Untrusted,
    UriRefused,
)
from credentials.jose import parse_compact, sign_compact
from credentials.keys import HolderKey, PublicKey
from credentials.model import Seconds

from .issuermetadata import Configuration as Configuration
from .issuermetadata import IssuerMetadata as IssuerMetadata
from .issuermetadata import configuration_id as configuration_id
from .issuermetadata import issuer_metadata as issuer_metadata
from .issuermetadata import parse_issuer_metadata as parse_issuer_metadata
from .members import Members
from .oauth import MAX_CODE, PRE_AUTHORIZED
from .uris import build_query, parse_link, parse_url

PROOF_TYP: Final = "openid4vci-proof+jwt"
OFFER_SCHEMES: Final = frozenset({"openid-credential-offer", "haip-vci"})
GrantKind: TypeAlias = Literal["authorization_code", "pre-authorized_code"]
InputMode: TypeAlias = Literal["numeric", "text"]
INPUT_MODES: Final[tuple[InputMode, ...]] = ("numeric", "text")
Event: TypeAlias = Literal["credential_accepted", "credential_failure", "credential_deleted"]
EVENTS: Final[tuple[Event, ...]] = ("credential_accepted", "credential_failure", "credential_deleted")
MAX_OFFER: Final = 16384
MAX_PROOF: Final = 4096
MAX_PAST: Final = 300
MAX_FUTURE: Final = 60
MAX_CREDENTIAL: Final = 1 << 17
MAX_RESPONSE: Final = 1 << 23


# --- Offer (section 4)


@dataclass(frozen=True, slots=True)
class TxCode:
    """What the wallet asks the person for. ``length`` and ``description`` help, they prove nothing."""

    input_mode: InputMode = "numeric"
    length: int | None = None
    description: str | None = None


@dataclass(frozen=True, slots=True)
class AuthorizationCodeOffer:
    issuer_state: str | None = None


@dataclass(frozen=True, slots=True)
class PreAuthorizedOffer:
    code: str
    tx_code: TxCode | None = None


@dataclass(frozen=True, slots=True)
class Offer:
    """An offer, by value. The specification allows both grants at once; :meth:`choose` picks one."""

    issuer: str
    configuration_ids: tuple[str, ...]
    authorization_code: AuthorizationCodeOffer | None = None
    pre_authorized: PreAuthorizedOffer | None = None

    def choose(self, grant: GrantKind | None = None) -> AuthorizationCodeOffer | PreAuthorizedOffer:
        """The grant to use. With two on offer the holder's side decides, never the order of the JSON.

        An offer without grants leaves the choice to the wallet (4.1.1): then it is the authorization code.
        Raises :class:`OfferInvalid` where two are offered and none is named, or the named one is not offered.
        """
        if grant is None:
            if self.authorization_code is not None and self.pre_authorized is not None:
                raise OfferInvalid("the offer has two grants: choose one")
            return self.pre_authorized or self.authorization_code or AuthorizationCodeOffer()
        if self.pre_authorized is None and self.authorization_code is None and grant == "authorization_code":
            return AuthorizationCodeOffer()
        chosen = self.authorization_code if grant == "authorization_code" else self.pre_authorized
        if chosen is None:
            raise OfferInvalid("the offer does not have this grant")
        return chosen


def offer_object(offer: Offer) -> dict[str, Any]:
    """The offer as the JSON object that the issuer serves or puts into the link."""
    grants: dict[str, Any] = {}
    if offer.authorization_code is not None:
        state = offer.authorization_code.issuer_state
        grants["authorization_code"] = {} if state is None else {"issuer_state": state}
    if offer.pre_authorized is not None:
        grant: dict[str, Any] = {"pre-authorized_code": offer.pre_authorized.code}
        if (tx_code := offer.pre_authorized.tx_code) is not None:
            hints = {"length": tx_code.length, "description": tx_code.description}
            grant["tx_code"] = {
                "input_mode": tx_code.input_mode,
                **{name: hint for name, hint in hints.items() if hint is not None},
            }
        grants[PRE_AUTHORIZED] = grant
    body: dict[str, Any] = {
        "credential_issuer": offer.issuer,
        "credential_configuration_ids": list(offer.configuration_ids),
    }
    return {**body, "grants": grants} if grants else body


def offer_link(offer: Offer | str) -> str:
    """A link (or the content of a QR code) for an offer by value, or by the URL where the offer is."""
    fields = (
        {"credential_offer_uri": offer}
        if isinstance(offer, str)
        else {"credential_offer": dump_json(offer_object(offer)).decode("utf-8")}
    )
    return f"openid-credential-offer://?{build_query(fields)}"


def parse_offer_link(text: str) -> Offer | str:
    """An offer, or the URL to fetch it from (judged again by whoever fetches).

    Raises :class:`UriRefused` or :class:`OfferInvalid`.
    """
    fields = parse_link(text.strip(), schemes=OFFER_SCHEMES)
    value, uri = fields.get("credential_offer"), fields.get("credential_offer_uri")
    if value is not None and uri is None:
        return parse_offer(value.encode("utf-8"))
    if uri is not None and value is None:
        parse_url(uri)
        return uri
    raise OfferInvalid("the link holds no offer, or two")


def parse_offer(data: bytes) -> Offer:
    """Read an offer (4.1.1), which anybody may have written. Raises :class:`OfferInvalid`."""
    try:
        obj = load_json_object(data, max_bytes=MAX_OFFER)
    except Malformed:
        raise OfferInvalid("the offer is not a JSON object") from None
    members = Members(obj, refusal=OfferInvalid, where="offer")
    issuer = members.text("credential_issuer", limit=2048)
    try:
        url = parse_url(issuer)
    except UriRefused:
        raise OfferInvalid("the offer names no https issuer") from None
    if url.query or "%" in url.path:
        raise OfferInvalid("the issuer of the offer has a query or an escaped path")
    authorization_code, pre_authorized = None, None
    grants = members.optional_member("grants")
    if grants is not None:
        code_grant = grants.optional_member("authorization_code")
        if code_grant is not None:
            _own_server(code_grant, issuer)
            authorization_code = AuthorizationCodeOffer(
                code_grant.optional_text("issuer_state", limit=MAX_CODE)
            )
        pre_grant = grants.optional_member(PRE_AUTHORIZED)
        if pre_grant is not None:
            _own_server(pre_grant, issuer)
            pre_authorized = PreAuthorizedOffer(
                pre_grant.text("pre-authorized_code", limit=MAX_CODE),
                _tx_code(pre_grant.optional_member("tx_code")),
            )
        if authorization_code is None and pre_authorized is None:
            raise OfferInvalid("the offer has no grant that we know")
    return Offer(
        issuer=issuer,
        configuration_ids=members.texts("credential_configuration_ids", limit=50, each=256),
        authorization_code=authorization_code,
        pre_authorized=pre_authorized,
    )


def _own_server(grant: Members, issuer: str) -> None:
    if grant.optional_text("authorization_server") not in (None, issuer):
        raise OfferInvalid("the offer names another authorization server than the issuer")


def _tx_code(members: Members | None) -> TxCode | None:
    if members is None:
        return None
    return TxCode(
        input_mode=members.choice("input_mode", INPUT_MODES) if members.has("input_mode") else "numeric",
        length=members.integer("length", least=1, most=64) if members.has("length") else None,
        description=members.optional_text("description", limit=300),
    )


# --- Nonce (section 7)


def nonce_response(c_nonce: str) -> dict[str, str]:
    return {"c_nonce": c_nonce}


def parse_nonce_response(data: bytes) -> str:
    """Raises :class:`ResponseInvalid`."""
    return _response(data, "nonce response").text("c_nonce", limit=1024)


# --- Key proof (appendix F.1)


@dataclass(frozen=True, slots=True)
class Proof:
    """A proof that holds: somebody has the private half of ``key``. The server knows ``nonce`` or refuses.

    Nothing else in the proof is used: above all not ``iss``, which the wallet writes itself.
    """

    key: PublicKey
    nonce: str


def proof_jwt(key: HolderKey, *, audience: str, nonce: str, now: Seconds) -> str:
    """A proof of possession of ``key`` for the issuer ``audience``."""
    payload = {"aud": audience, "iat": now, "nonce": nonce}
    return sign_compact(payload, typ=PROOF_TYP, sign=key.sign, header={"jwk": key.public.jwk()})


def verify_proof(jwt: str, *, audience: str, now: Seconds) -> Proof:
    """Check one key proof (appendix F.4). Raises :class:`ProofInvalid`.

    Left to the server: that ``nonce`` is one of its own, fresh and unused.
    """
    try:
        # 1. One well-formed JWT, explicitly typed, ES256.
        jws = parse_compact(jwt, typ=PROOF_TYP, max_bytes=MAX_PROOF, allow=frozenset({"jwk"}))
        # 2. The key is in `jwk` alone (exactly one of kid, jwk, x5c), and it is not private.
        if {"kid", "x5c", "trust_chain", "key_attestation"} & jws.header.keys():
            raise ProofInvalid("key proof names its key in another way than jwk")
        key = PublicKey.from_jwk(jws.header.get("jwk"))
        # 3. The signature verifies with that key.
        claims = Members(jws.verify(key), refusal=ProofInvalid, where="key proof")
    except KeyMalformed:
        raise ProofInvalid("key proof has no usable public key") from None
    except (Malformed, Untrusted):
        raise ProofInvalid("key proof is not a JWT that verifies") from None
    # 4. It was made for this issuer.
    if claims.raw("aud") != audience:
        raise ProofInvalid("key proof is for another issuer")
    # 5. It was made now.
    issued = claims.integer("iat", least=0, most=1 << 53)
    if not now - MAX_PAST <= issued <= now + MAX_FUTURE:
        raise ProofInvalid(f"key proof was made at {issued}, it is now {now}: check the clock")
    # 6. It answers a nonce of the server's.
    return Proof(key, claims.text("nonce", limit=1024))


def verify_proofs(proofs: Sequence[str], *, audience: str, now: Seconds) -> tuple[Proof, ...]:
    """Check all proofs of a request: one bad proof refuses all. Raises :class:`ProofInvalid`.

    Each key once (two copies on one key would be linked, and one person's key in another's copy would be a
    clone), one nonce for all.
    """
    verified = tuple(verify_proof(jwt, audience=audience, now=now) for jwt in proofs)
    if len({proof.key.point for proof in verified}) != len(verified):
        raise ProofInvalid("two key proofs are for the same key")
    if len({proof.nonce for proof in verified}) != 1:
        raise ProofInvalid("there is no key proof, or they answer different nonces")
    return verified


# --- Credential request (section 8.2)


@dataclass(frozen=True, slots=True)
class CredentialRequest:
    """Asks for one copy for each proof. Exactly one of ``configuration_id`` and ``identifier`` is set."""

    configuration_id: str | None
    proofs: tuple[str, ...]
    identifier: str | None = None


def credential_request(request: CredentialRequest) -> dict[str, Any]:
    """The JSON object that the wallet posts."""
    what = (
        {"credential_identifier": request.identifier}
        if request.identifier is not None
        else {"credential_configuration_id": request.configuration_id}
    )
    return {**what, "proofs": {"jwt": list(request.proofs)}}


def parse_credential_request(data: bytes, *, batch_size: int) -> CredentialRequest:
    """Read a credential request.

    Raises :class:`CredentialRequestInvalid`, :class:`ProofInvalid` (no proofs, too many, or not strings),
    :class:`EncryptionParametersInvalid` or :class:`TooLarge`.
    """
    try:
        obj = load_json_object(data, max_bytes=(batch_size + 1) * MAX_PROOF)
    except JsonMalformed:
        raise CredentialRequestInvalid("credential request is not a JSON object") from None
    members = Members(obj, refusal=CredentialRequestInvalid, where="credential request")
    # 1. What is asked for, said in exactly one way.
    configuration_id_ = members.optional_text("credential_configuration_id", limit=256)
    identifier = members.optional_text("credential_identifier", limit=256)
    if (configuration_id_ is None) == (identifier is None):
        raise CredentialRequestInvalid(
            "credential request: give exactly one of credential_configuration_id and credential_identifier"
        )
    # 2. Encryption of the response is not offered in the metadata, so nothing can be agreed on.
    if members.has("credential_response_encryption"):
        raise EncryptionParametersInvalid("credential response encryption is not supported")
    # 3. Proofs, in the form of 1.0.
    if members.has("proof"):
        raise CredentialRequestInvalid(
            "credential request: proof is from a draft; OpenID4VCI 1.0 has proofs",
            hint='Send "proofs": {"jwt": ["…"]}.',
        )
    proofs = members.optional_member("proofs")
    if proofs is None:
        raise ProofInvalid("credential request: no key proof")
    if proofs.names() != ("jwt",):
        raise ProofInvalid("credential request: proofs is not of the one type jwt")
    jwts = Members(proofs.mapping(), refusal=ProofInvalid, where="proofs").texts(
        "jwt", limit=batch_size, each=MAX_PROOF
    )
    return CredentialRequest(configuration_id_, jwts, identifier)


# --- Credential response (section 8.3)


@dataclass(frozen=True, slots=True)
class CredentialResponse:
    """Credentials as wire text, in the order of the proofs."""

    credentials: tuple[bytes, ...]
    notification_id: str | None


def credential_response(credentials: Sequence[bytes], notification_id: str | None) -> dict[str, Any]:
    """The JSON object that the issuer answers."""
    body: dict[str, Any] = {"credentials": [{"credential": c.decode("ascii")} for c in credentials]}
    return body if notification_id is None else {**body, "notification_id": notification_id}


def parse_credential_response(data: bytes, *, expected: int) -> CredentialResponse:
    """Read the answer to a request with ``expected`` proofs. Raises :class:`ResponseInvalid`.

    Fewer copies than proofs are allowed, more or repeated ones are not.
    """
    members = _response(data, "credential response")
    if members.has("transaction_id"):
        raise ResponseInvalid("credential response: deferred issuance is not supported")
    wire: list[bytes] = []
    for item in members.members("credentials", limit=expected):
        try:
            wire.append(item.text("credential", limit=MAX_CREDENTIAL).encode("ascii"))
        except UnicodeEncodeError:
            raise ResponseInvalid("credential response: a credential is not ASCII") from None
    if len(set(wire)) != len(wire):
        raise ResponseInvalid("credential response: a credential is there twice")
    return CredentialResponse(tuple(wire), members.optional_text("notification_id", limit=256))


# --- Notification (section 11)


@dataclass(frozen=True, slots=True)
class Notification:
    """What became of the credentials. A description is free text and is not kept: it could name anything."""

    notification_id: str
    event: Event


def notification(message: Notification) -> dict[str, str]:
    """The JSON object that the wallet posts."""
    return {"notification_id": message.notification_id, "event": message.event}


def parse_notification(data: bytes) -> Notification:
    """Raises :class:`NotificationInvalid`."""
    members = _read(data, NotificationInvalid, "notification", MAX_OFFER)
    return Notification(members.text("notification_id", limit=256), members.choice("event", EVENTS))


def _response(data: bytes, where: str) -> Members:
    return _read(data, ResponseInvalid, where, MAX_RESPONSE)


def _read(data: bytes, refusal: type[BauhiniaError], where: str, limit: int) -> Members:
    try:
        obj: Mapping[str, Any] = load_json_object(data, max_bytes=limit)
    except Malformed:
        raise refusal(f"{where} is not a JSON object") from None
    return Members(obj, refusal=refusal, where=where)
