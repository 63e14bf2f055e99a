"""ISO/IEC 18013-5:2021 mdoc, presented over OpenID4VP 1.0: a :class:`.model.Format`.

Bytes are wire text, base64url in ASCII: a credential is an IssuerSigned, a presentation a DeviceResponse.

What is issued keeps the rules under which a zero-knowledge proof over the same bytes is possible later
(Longfellow): device *signature* and never MAC; deviceKey members in the order 1, -1, -2, -3; at most
50 digests, decoys included; every tagged item at most 119 bytes (two SHA-256 blocks), the tagged MSO under
2400; an element name stands in one namespace only; ES256 and SHA-256; no ``undefined``. One signing key per
docType is the issuer's to keep. A claim of several strings is issued, but only scalars can be proven.

What sizes tell: all items of a type have a random of the same length, fixed by the type and not by the
person. Items that are not shown are seen as 32-byte digests only, and a claim that is absent has a digest as
well, so a presentation's size depends on the type, on what is shown, and on the length of the shown values.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import cbor2

from .cose import Sign1, chain_header, parse_sign1, sign1
from .encoding import Cbor, b64u, dump_cbor, load_cbor, unb64u
from .errors import (
    CertificateExpired,
    ClaimCollision,
    ConfigurationInvalid,
    CredentialExpired,
    CredentialNotYetValid,
    DeviceAuthInvalid,
    DeviceDataUnauthorised,
    DigestMismatch,
    DigestRepeated,
    HolderBindingInvalid,
    HolderBindingMissing,
    MdocMalformed,
    MintRefused,
    NoMatchingCredential,
    RandomnessRepeated,
    SignatureInvalid,
    TransactionDataMismatch,
    TypeMismatch,
)
from .issuersigned import MAX_RANDOM, layout, read_issuer_signed, write_issuer_signed
from .model import ClaimPath, Claims, Disclosed, Everything, Randomness, Seconds, Session, StatusRef, Window
from .mso import (
    DIGEST_BYTES,
    ENCODED_CBOR,
    Item,
    Mso,
    embedded,
    members,
    read_mso,
    read_value,
    tag24,
    text,
    write_tdate,
)

if TYPE_CHECKING:
    from .keys import HolderKey, PublicKey, Signer
    from .trust import Trust, TrustedSigner

FORMAT: Final = "mso_mdoc"
MAX_MSO: Final = 2400
"""Bytes that a tagged MSO must stay under."""

_ORDER: Final = 16
_DRAW: Final = _ORDER + max(MAX_RANDOM, DIGEST_BYTES)
_RESPONSE_START: Final = b"".join(
    (
        b"\xa3",
        dump_cbor("version"),
        dump_cbor("1.0"),
        dump_cbor("documents"),
        b"\x81\xa3",
        dump_cbor("docType"),
    )
)
_EMPTY: Final = dump_cbor({})
_RESPONSE: Final = frozenset({"version", "documents", "status"})
_DOCUMENT: Final = frozenset({"docType", "issuerSigned"})
_DEVICE_SIGNED: Final = frozenset({"nameSpaces", "deviceAuth"})


# --- issue


def issue(
    claims: Claims,
    *,
    holder: PublicKey,
    window: Window,
    status: StatusRef | None,
    issuer: str,
    signer: Signer,
    randomness: Randomness,
) -> bytes:
    """Claims to one IssuerSigned, bound to ``holder``; see :meth:`.model.Format.issue`.

    ``issuer`` is not written: an mdoc's issuer is whoever the trust list says its certificate belongs to.
    Takes the same number of random bytes whatever the claims. Raises :class:`MintRefused`.
    """
    kind = claims.type
    # 1. Only what the format and the catalogue allow is minted.
    if not window.start < window.end or not signer.chain:
        raise MintRefused("an mdoc needs a validity that is not empty and a certificate")
    if not claims.values or not claims.values.keys() <= {claim.name for claim in kind.claims}:
        raise MintRefused(f"claims are not those of {kind.name}")
    shape = layout(kind)
    # 2. Fresh bytes: for each claim a place in the order, and a random or a decoy.
    count = len(kind.claims)
    drawn = randomness(count * _DRAW)
    draws = [drawn[at : at + _DRAW] for at in range(0, count * _DRAW, _DRAW)]
    if len(drawn) != count * _DRAW or len({draw[_ORDER:] for draw in draws}) != count:
        raise RandomnessRepeated("the source of randomness repeats itself")
    # 3. digestIDs are a random permutation of all claims of the type; absent ones get a decoy digest.
    items: dict[str, list[bytes]] = {claim.namespace: [] for claim in kind.claims}
    digests: dict[str, dict[int, bytes]] = {claim.namespace: {} for claim in kind.claims}
    for digest_id, index in enumerate(sorted(range(count), key=draws.__getitem__)):
        claim, digest = kind.claims[index], draws[index][_ORDER:]
        if claim.name in claims.values:
            value = claims.values[claim.name]
            tagged = shape.item(index, digest_id=digest_id, random=digest, value=value)
            items[claim.namespace].append(tagged)
            digest = hashlib.sha256(tagged).digest()
        digests[claim.namespace][digest_id] = digest
    # 4. The mobile security object, members in the order of ISO/IEC 18013-5, 9.1.2.4.
    start, end = write_tdate(window.start), write_tdate(window.end)
    mso: dict[str, Cbor] = {
        "version": "1.0",
        "digestAlgorithm": "SHA-256",
        "valueDigests": digests,
        "deviceKeyInfo": {"deviceKey": holder.cose()},
        "docType": kind.doctype,
        "validityInfo": {"signed": start, "validFrom": start, "validUntil": end},
    }
    if status is not None:
        mso["status"] = {"status_list": {"idx": status.index, "uri": status.uri}}
    payload = tag24(dump_cbor(mso))
    if len(payload) >= MAX_MSO:
        raise MintRefused(f"{kind.name} has a mobile security object of {MAX_MSO} bytes or more")
    # 5. Sign; the chain goes in the unprotected header (ISO/IEC 18013-5, 9.1.2.4).
    auth = sign1(
        payload,
        sign=signer.sign,
        protected={},
        unprotected=chain_header(signer.chain),
        detached=False,
        tagged=False,
    )
    return b64u(write_issuer_signed(items, dump_cbor(auth))).encode("ascii")


# --- present


def session_transcript(session: Session) -> bytes:
    """SessionTranscript, written out (OpenID4VP 1.0, Annex B.2.6: redirects, or ``origin:`` for the DC API).

    Raises :class:`ConfigurationInvalid` for a session that binds nothing.
    """
    thumbprint = session.thumbprint
    if not session.nonce or not session.audience or (thumbprint is not None and len(thumbprint) != 32):
        raise ConfigurationInvalid(
            "a session needs a nonce, an audience, and a thumbprint of 32 bytes or none"
        )
    if session.audience.startswith("origin:"):
        name = "OpenID4VPDCAPIHandover"
        info = [session.audience.removeprefix("origin:"), session.nonce, thumbprint]
    else:
        name = "OpenID4VPHandover"
        info = [session.audience, session.nonce, thumbprint, session.response_uri]
    if not info[0] or info[-1] == "":
        raise ConfigurationInvalid("a session needs an origin, or a response URI")
    return dump_cbor([None, None, [name, hashlib.sha256(dump_cbor(info)).digest()]])


def _device_authentication(transcript: bytes, doctype: str, namespaces: bytes) -> bytes:
    """DeviceAuthenticationBytes (ISO/IEC 18013-5, 9.1.3.4) over parts that are CBOR already."""
    return tag24(
        b"\x84" + dump_cbor("DeviceAuthentication") + transcript + dump_cbor(doctype) + tag24(namespaces)
    )


def _refuse_transaction_data(session: Session) -> None:
    if session.transaction_data:
        raise TransactionDataMismatch("transaction data cannot be bound to an mdoc presentation here")


def present(
    credential: bytes,
    *,
    show: Collection[ClaimPath] | Everything,
    session: Session,
    holder: HolderKey,
    now: Seconds,
    randomness: Randomness,
) -> bytes:
    """An IssuerSigned to a DeviceResponse that shows ``show``; see :meth:`.model.Format.present`.

    A path is ``(namespace, element)``. Raises :class:`NoMatchingCredential` for one that is not there and
    :class:`HolderBindingInvalid` for a key that is not this copy's. Takes neither time nor randomness.
    """
    _refuse_transaction_data(session)
    transcript = session_transcript(session)
    namespaces, auth = read_issuer_signed(load_cbor(unb64u(credential)))
    mso = read_mso(parse_sign1(auth, tagged=False, detached=None).payload)
    if mso.device_key.point != holder.public.point:
        raise HolderBindingInvalid("the credential is bound to another key")
    paths = {(namespace, item.element) for namespace, items in namespaces.items() for item in items}
    wanted = paths if isinstance(show, Everything) else set(show)
    if not wanted <= paths:
        raise NoMatchingCredential("the credential does not hold a claim that is to be shown")
    shown = {
        namespace: [item.tagged for item in items if (namespace, item.element) in wanted]
        for namespace, items in namespaces.items()
    }
    signature = sign1(
        _device_authentication(transcript, mso.doctype, _EMPTY),
        sign=holder.sign,
        protected={},
        unprotected={},
        detached=True,
        tagged=False,
    )
    # DeviceResponse (ISO/IEC 18013-5, 8.3.2.1.2.2), joined from parts: the issuer's bytes stay as they are.
    response = (
        _RESPONSE_START,
        dump_cbor(mso.doctype),
        dump_cbor("issuerSigned"),
        write_issuer_signed(shown, dump_cbor(auth)),
        dump_cbor("deviceSigned"),
        dump_cbor(
            {
                "nameSpaces": cbor2.CBORTag(ENCODED_CBOR, _EMPTY),
                "deviceAuth": {"deviceSignature": signature},
            }
        ),
        dump_cbor("status"),
        dump_cbor(0),
    )
    return b64u(b"".join(response)).encode("ascii")


# --- verify


@dataclass(frozen=True, slots=True)
class Document:
    """The one document of a DeviceResponse, read and **not** verified."""

    doctype: str
    items: Mapping[str, tuple[Item, ...]]
    issuer_auth: Sign1
    mso: Mso
    device_signed: Cbor


def verify(presentation: bytes, *, type: str, session: Session, trust: Trust, now: Seconds) -> Disclosed:
    """A presentation to what it discloses, or a refusal; see :meth:`.model.Format.verify`."""
    _refuse_transaction_data(session)
    transcript = session_transcript(session)
    return verify_response(unb64u(presentation), type=type, transcript=transcript, trust=trust, now=now)


def verify_response(
    response: bytes, *, type: str, transcript: bytes, trust: Trust, now: Seconds
) -> Disclosed:
    """A DeviceResponse, as bytes, for a SessionTranscript, as bytes, to what it discloses.

    Steps 1 to 11, in the three functions below; the status stays to be checked.
    """
    document = read_document(response)
    signer = verify_issuer(document, type=type, trust=trust, now=now)
    verify_device(document, transcript=transcript)
    return Disclosed(
        format=FORMAT,
        type=document.doctype,
        issuer=signer.issuer,
        claims={
            namespace: {item.element: read_value(item.value) for item in items}
            for namespace, items in document.items.items()
        },
        valid=document.mso.valid,
        status=document.mso.status,
        holder=document.mso.device_key.point,
    )


def read_document(response: bytes) -> Document:
    """Read a DeviceResponse that holds one document, strictly; nothing is believed yet."""
    # 1. Version 1.0, status 0 (OK), one document and no error (ISO/IEC 18013-5, 8.3.2.1.2.2).
    found = members(load_cbor(response), required=_RESPONSE)
    if found["version"] != "1.0":
        raise MdocMalformed("DeviceResponse is not of version 1.0")
    status, documents = found["status"], found["documents"]
    if type(status) is not int or status != 0:
        raise MdocMalformed("DeviceResponse has another status than 0")
    if not isinstance(documents, list) or len(documents) != 1:  # pyright: ignore[reportUnknownArgumentType]
        raise MdocMalformed("DeviceResponse does not hold exactly one document")
    document = members(documents[0], required=_DOCUMENT, optional=frozenset({"deviceSigned"}))
    # 2. The items, issuerAuth without a tag, and the MSO in it (9.1.2.4).
    items, auth = read_issuer_signed(document["issuerSigned"])
    issuer_auth = parse_sign1(auth, tagged=False, detached=None)
    return Document(
        doctype=text(document["docType"]),
        items=items,
        issuer_auth=issuer_auth,
        mso=read_mso(issuer_auth.payload),
        device_signed=document.get("deviceSigned"),
    )


def verify_issuer(document: Document, *, type: str, trust: Trust, now: Seconds) -> TrustedSigner:
    """Issuer data authentication (ISO/IEC 18013-5, 9.3.1), steps 3 to 8: who vouches for the items."""
    mso = document.mso
    # 3. The document is of the type asked for, and the MSO says the same (9.3.1, step 4).
    if document.doctype != type or mso.doctype != type:
        raise TypeMismatch("mdoc is of another docType")
    # 4. The signer's chain leads to an issuer trusted for this type (9.3.1, step 1).
    chain = document.issuer_auth.chain(protected=False)
    signer = trust.credential_signer(chain, format=FORMAT, type=type, now=now, signed_at=mso.signed)
    # 5. It signed this MSO (step 2).
    document.issuer_auth.verify(signer.key)
    # 6. Signed while the certificate was valid; valid now (step 5).
    if not signer.not_before <= mso.signed <= signer.not_after:
        raise CertificateExpired("mdoc was signed outside the validity of its certificate")
    if now < mso.valid.start:
        raise CredentialNotYetValid("mdoc is not valid yet")
    if now >= mso.valid.end:
        raise CredentialExpired("mdoc has expired")
    # 7. Every item has its digest in the MSO, over its original bytes (step 3).
    for namespace, items in document.items.items():
        digests = mso.digests.get(namespace, {})
        for item in items:
            if digests.get(item.digest_id) != hashlib.sha256(item.tagged).digest():
                raise DigestMismatch("mdoc item does not have its digest in the MSO")
        # 8. No digestID and no element twice.
        if len({item.digest_id for item in items}) != len(items):
            raise DigestRepeated("mdoc items share a digestID")
        if len({item.element for item in items}) != len(items):
            raise ClaimCollision("mdoc namespace holds an element twice")
    return signer


def verify_device(document: Document, *, transcript: bytes) -> None:
    """mdoc authentication (ISO/IEC 18013-5, 9.3.3), steps 9 to 11: the holder's key, for this session."""
    # 9. There is a device signature: a MAC needs a reader key agreement that OpenID4VP does not have.
    if document.device_signed is None:
        raise HolderBindingMissing("mdoc is presented without deviceSigned")
    device_signed = members(document.device_signed, required=_DEVICE_SIGNED)
    auth = members(device_signed["deviceAuth"], required=frozenset(), optional=None)
    if not auth:
        raise HolderBindingMissing("mdoc is presented without a device signature")
    if set(auth) != {"deviceSignature"}:
        raise DeviceAuthInvalid("mdoc deviceAuth is not a device signature alone")
    # 10. The holder's key adds no data of its own: no keyAuthorizations of ours allow any (9.1.2.4).
    namespaces = embedded(device_signed["nameSpaces"])
    if namespaces != _EMPTY:
        raise DeviceDataUnauthorised("mdoc holds device-signed elements that nobody authorised")
    # 11. It signed for this session and docType (9.1.3.6).
    message = _device_authentication(transcript, document.doctype, namespaces)
    signature = parse_sign1(auth["deviceSignature"], tagged=False, detached=message)
    try:
        signature.verify(document.mso.device_key)
    except SignatureInvalid:
        raise DeviceAuthInvalid("mdoc device signature is not by the holder's key for this session") from None
