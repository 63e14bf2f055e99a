"""SD-JWT VC: selectively disclosable JWTs (RFC 9901) as credentials (draft-ietf-oauth-sd-jwt-vc).

On the wire a credential is ``<issuer-signed JWT>~<disclosure>~…~`` and a presentation the same with a
key-binding JWT after the last tilde, both ASCII. Our issuer makes flat credentials; the holder and the
verifier read every form of RFC 9901: structured, recursive, in arrays, with decoys.
"""

# What JSON holds is known only after it is looked at: pyright calls that unknown.
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false, reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from .disclosures import Place, Unfolding, digest_of, is_flat, unfold
from .encoding import b64u, dump_json
from .errors import (
    AudienceMismatch,
    BauhiniaError,
    ClaimMustNotHide,
    ConfigurationInvalid,
    CredentialExpired,
    CredentialNotYetValid,
    DisclosureHashMismatch,
    HolderBindingInvalid,
    HolderBindingMissing,
    IssuerOutOfScope,
    MintRefused,
    NoMatchingCredential,
    NonceMismatch,
    PresentationStale,
    RandomnessRepeated,
    SdJwtMalformed,
    SignatureInvalid,
    StatusReferenceInvalid,
    TooLarge,
    TransactionDataMismatch,
    TypeMismatch,
    ValidityMissing,
)
from .jose import Jws, parse_compact, sign_compact
from .keys import HolderKey, PublicKey, Signer, jwk_point
from .model import Claims, Disclosed, Everything, StatusRef, Window

if TYPE_CHECKING:
    from .model import ClaimPath, Randomness, Seconds, Session
    from .trust import Trust

FORMAT: Final = "dc+sd-jwt"
KEY_BINDING: Final = "kb+jwt"

MAX_BYTES: Final = 131_072
MAX_DISCLOSURES: Final = 256
SALT_BYTES: Final = 16

SKEW: Final = 60  # seconds a wallet's clock may be ahead
STALE: Final = 300  # seconds after which a presentation is no longer one for this request

NEVER_HIDDEN: Final = (
    "iss",
    "nbf",
    "exp",
    "cnf",
    "vct",
    "vct#integrity",
    "aka_vcts",
    "status",
)
"""Members that must stand in the clear, whole (SD-JWT VC, 2.2.2.2)."""

_PROTOCOL: Final = frozenset({*NEVER_HIDDEN, "iat", "aud"})


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
    """One credential copy: a disclosure per claim, and a decoy digest per claim of the type that is absent.

    Nothing but the salts, the key and the status index differs between the copies of a batch. Raises
    :class:`MintRefused`, :class:`RandomnessRepeated`.
    """
    names = [claim.name for claim in claims.type.claims]
    if not claims.values.keys() <= set(names):
        raise MintRefused("a claim is not of the credential type")
    if not issuer or window.start >= window.end:
        raise MintRefused("no issuer, or a validity that ends before it begins")
    salts = [randomness(SALT_BYTES) for _ in names]
    if len(set(salts)) != len(salts) or any(len(salt) != SALT_BYTES for salt in salts):
        raise RandomnessRepeated("salts repeat, or are short")
    disclosures: list[bytes] = []
    digests: list[str] = []
    for name, salt in zip(names, salts, strict=True):
        if name in claims.values:
            disclosure = b64u(dump_json([b64u(salt), name, claims.values[name]])).encode()
            disclosures.append(disclosure)
            digests.append(digest_of(disclosure))
        else:
            # A decoy is the digest of randomness (RFC 9901, 4.2.5): it cannot be told from a real one.
            digests.append(digest_of(b64u(salt).encode()))
    payload: dict[str, Any] = {
        "iss": issuer,
        "nbf": window.start,
        "exp": window.end,
        "vct": claims.type.vct,
        "cnf": {"jwk": holder.jwk()},
    }
    if status is not None:
        payload["status"] = {"status_list": {"idx": status.index, "uri": status.uri}}
    payload["_sd_alg"] = "sha-256"
    payload["_sd"] = sorted(digests)  # in an order that says nothing (RFC 9901, 4.2.4.1)
    jwt = sign_compact(payload, typ=FORMAT, sign=signer)
    return b"~".join((jwt.encode(), *disclosures, b""))


# --- present


def present(
    credential: bytes,
    *,
    show: Collection[ClaimPath] | Everything,
    session: Session,
    holder: HolderKey,
    now: Seconds,
    randomness: Randomness,
) -> bytes:
    """Keep the disclosures that ``show`` needs and bind them to ``session`` with a key-binding JWT.

    A path selects its claim, what stands above it, and everything below it. The signature of the issuer is
    not checked: the wallet did that when it received the credential. Raises
    :class:`NoMatchingCredential` if a path leads nowhere.
    """
    _require_binding(session)
    jwt, disclosures, rest = _split(credential)
    if rest:
        raise SdJwtMalformed("a credential has nothing after its last tilde")
    held = parse_compact(jwt, typ=FORMAT, max_bytes=MAX_BYTES)
    payload = held.unverified()
    tree = unfold(payload, disclosures, flat=is_flat(payload, held.payload))
    if jwk_point(_holder_jwk(payload)) != holder.public.point:
        raise HolderBindingInvalid("the credential is bound to another key")
    kept = disclosures if isinstance(show, Everything) else _select(tree, disclosures, show)
    shown = b"~".join((jwt, *kept, b""))
    binding: dict[str, Any] = {
        "iat": now,
        "aud": session.audience,
        "nonce": session.nonce,
        "sd_hash": digest_of(shown),
    }
    if session.transaction_data:
        binding["transaction_data_hashes"] = [digest_of(data.encode()) for data in session.transaction_data]
        binding["transaction_data_hashes_alg"] = "sha-256"
    return shown + sign_compact(binding, typ=KEY_BINDING, sign=holder.sign).encode()


def _select(tree: Unfolding, disclosures: Sequence[bytes], show: Collection[ClaimPath]) -> list[bytes]:
    """The disclosures above, at and below the places that ``show`` points to, in the credential's order."""
    wanted: set[Place] = set()
    for path in show:
        places = list(_resolve(tree.claims, path))
        if not places:
            raise NoMatchingCredential("the credential has no such claim")
        wanted.update(places)

    def leads(place: Place) -> bool:
        return any(place[: len(goal)] == goal[: len(place)] for goal in wanted)

    return [disclosure for index, disclosure in enumerate(disclosures) if leads(tree.places[index])]


def _resolve(value: Any, path: ClaimPath) -> Iterator[Place]:
    """The places in ``value`` that a claims path pointer selects (OpenID4VP 1.0, 7.1)."""
    if not path:
        yield ()
        return
    step, *rest = path
    if isinstance(step, str):
        steps: Iterable[str | int] = (step,) if isinstance(value, dict) and step in value else ()
    elif isinstance(value, list):
        count = len(value)
        steps = range(count) if step is None else (step,) if 0 <= step < count else ()
    else:
        steps = ()
    for key in steps:
        for place in _resolve(value[key], tuple(rest)):  # pyright: ignore[reportCallIssue, reportArgumentType]
            yield (key, *place)


# --- verify


def verify(presentation: bytes, *, type: str, session: Session, trust: Trust, now: Seconds) -> Disclosed:
    """What a presentation discloses, once everything about it holds; ``type`` is the ``vct`` asked for.

    The status is not looked up here (``revocation.check``), nor is the nonce spent (the protocol does that).
    """
    # 1. A verifier without a nonce or a name cannot check holder binding: its mistake, never a skip.
    _require_binding(session)
    # 2. Issuer-signed JWT, disclosures, key-binding JWT; the last is always required (RFC 9901, 7.1, 7.3).
    jwt, disclosures, binding = _split(presentation)
    if not binding:
        raise HolderBindingMissing("the presentation has no key-binding JWT")
    # 3. Explicitly typed (9.11), ES256 only (7.1 step 2.a).
    issued = parse_compact(jwt, typ=FORMAT, max_bytes=MAX_BYTES)
    payload = issued.unverified()
    window = _window(payload, disclosures)
    # 4. The chain leads to an issuer trusted for this type (7.1 step 2.c). When it begins tells which of
    #    the issuer's keys could have signed; step 5 covers it.
    trusted = trust.credential_signer(
        issued.chain(), format=FORMAT, type=type, now=now, signed_at=window.start
    )
    # 5. The issuer signed it (7.1 step 2.b).
    issued.check_signature(trusted.key)
    # 6. By the issuer it names, for the type asked (SD-JWT VC, 2.2.2.1 and 2.5). It need not name one: then
    #    it is the certificate's (2.5, x5c).
    if "iss" in payload and _text(payload["iss"], "iss") != trusted.issuer:
        raise IssuerOutOfScope("the credential names another issuer than its certificate")
    if "vct" not in payload:
        raise _hidden("vct", payload, disclosures, TypeMismatch("the credential states no type"))
    if _text(payload["vct"], "vct") != type:
        raise TypeMismatch("the credential is of another type")
    # 7. In force (RFC 9901, 7.1 step 6; RFC 7519, 4.1.4 and 4.1.5), without skew.
    if now >= window.end:
        raise CredentialExpired("the credential has expired")
    begun = "nbf" not in payload or now >= window.start
    if not begun or ("iat" in payload and now + SKEW < _whole(payload["iat"], "iat")):
        raise CredentialNotYetValid("the credential is not in force yet")
    # 8. Every digest once, every disclosure used (7.1 steps 3 to 5).
    tree = unfold(payload, disclosures, flat=is_flat(payload, issued.payload))
    # 9. What the protocol reads stands in the clear, whole (SD-JWT VC, 2.2.2.2).
    for name in NEVER_HIDDEN:
        if name in tree.claims and (name not in payload or tree.claims[name] != payload[name]):
            raise ClaimMustNotHide(f"{name} is selectively disclosable")
    status = _status(payload)
    # 10. A credential made for one audience is for no other (7.1 step 6).
    audience = tree.claims.get("aud", session.audience)
    if session.audience not in (audience if isinstance(audience, list) else [audience]):
        raise AudienceMismatch("the credential is for another audience")
    # 11. The holder of the key in ``cnf`` signed for this verifier, now, exactly what is here (7.3).
    key = PublicKey.from_jwk(_holder_jwk(payload))
    _check_binding(binding, presentation, key=key, session=session, now=now)
    # Left to the caller: the status list, and that the nonce is spent once.
    return Disclosed(
        format=FORMAT,
        type=type,
        issuer=trusted.issuer,
        claims={name: value for name, value in tree.claims.items() if name not in _PROTOCOL},
        valid=window,
        status=status,
        holder=key.point,
        notes=("short_salt",) if tree.short_salt else (),
    )


def _check_binding(
    token: bytes, presentation: bytes, *, key: PublicKey, session: Session, now: Seconds
) -> None:
    """RFC 9901, 7.3 step 5, and OpenID4VP 1.0, B.3.5 and 8.4."""
    # 1. A key-binding JWT, signed with the key of ``cnf`` (step 5.a to 5.d).
    binding: Jws = parse_compact(token, typ=KEY_BINDING)
    try:
        members = binding.verify(key)
    except SignatureInvalid:
        raise HolderBindingInvalid("the key-binding JWT is not signed with the credential's key") from None
    # 2. For this verifier, by its full identifier (step 5.f).
    if members.get("aud") != session.audience:
        raise AudienceMismatch("the presentation is for another verifier")
    # 3. For this request (step 5.f).
    if members.get("nonce") != session.nonce:
        raise NonceMismatch("the presentation is for another request")
    # 4. Made now (step 5.e).
    made = members.get("iat")
    if not isinstance(made, int) or isinstance(made, bool):
        raise HolderBindingInvalid("the key-binding JWT has no iat")
    if not now - STALE <= made <= now + SKEW or _over(members, now):
        raise PresentationStale("the presentation was not made now")
    # 5. Over these disclosures: the bytes up to the last tilde, as they came (step 5.g).
    shown = presentation[: -len(token)]
    if members.get("sd_hash") != digest_of(shown):
        raise DisclosureHashMismatch("the key-binding JWT is over other disclosures")
    # 6. Approving the transaction data that was sent, and no other (OpenID4VP 1.0, B.3.3.1).
    hashes = members.get("transaction_data_hashes")
    algorithm = members.get("transaction_data_hashes_alg", "sha-256")
    expected = [digest_of(data.encode()) for data in session.transaction_data] or None
    if hashes != expected or algorithm != "sha-256":
        raise TransactionDataMismatch("the presentation approves other transaction data")


def _over(members: Mapping[str, Any], now: Seconds) -> bool:
    """Whether a token that limits itself further is over, or not begun (step 5.h; RFC 7519, 4.1.4, 4.1.5)."""
    return ("exp" in members and now >= _whole(members["exp"], "exp")) or (
        "nbf" in members and now + SKEW < _whole(members["nbf"], "nbf")
    )


# --- the parts


def _require_binding(session: Session) -> None:
    if not session.nonce or not session.audience:
        raise ConfigurationInvalid("a session needs a nonce and an audience")


def _split(token: bytes) -> tuple[bytes, list[bytes], bytes]:
    """Issuer-signed JWT, disclosures, and what follows the last tilde (RFC 9901, 4)."""
    if len(token) > MAX_BYTES:
        raise TooLarge(f"SD-JWT over {MAX_BYTES} bytes")
    jwt, *disclosures = token.split(b"~", MAX_DISCLOSURES + 2)
    if len(disclosures) > MAX_DISCLOSURES + 1:
        raise TooLarge(f"more than {MAX_DISCLOSURES} disclosures")
    if not disclosures:
        raise SdJwtMalformed("not an SD-JWT")
    rest = disclosures.pop()
    if not jwt.isascii() or not rest.isascii():
        raise SdJwtMalformed("not an SD-JWT")
    if not jwt or not all(disclosures):
        raise SdJwtMalformed("a part of the SD-JWT is empty")
    return jwt, disclosures, rest


def _text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise SdJwtMalformed(f"{name} is not a string")
    return value


def _window(payload: Mapping[str, Any], disclosures: Sequence[bytes]) -> Window:
    """From ``nbf``, or where that is left out ``iat``, to ``exp``: a copy without end cannot be relied on."""
    start = "nbf" if "nbf" in payload else "iat"
    if start not in payload or "exp" not in payload:
        name = "exp" if start in payload else "nbf"
        raise _hidden(name, payload, disclosures, ValidityMissing(f"the credential does not state {name}"))
    return Window(_whole(payload[start], start), _whole(payload["exp"], "exp"))


def _hidden(
    name: str, payload: Mapping[str, Any], disclosures: Sequence[bytes], absent: BauhiniaError
) -> BauhiniaError:
    """Why a member is not in the clear: a disclosure makes it hideable (2.2.2.2), or it is ``absent``."""
    if name in unfold(payload, disclosures).claims:
        return ClaimMustNotHide(f"{name} is selectively disclosable")
    return absent


def _whole(value: object, name: str) -> Seconds:
    if not isinstance(value, int) or isinstance(value, bool):
        raise SdJwtMalformed(f"{name} is not a whole number of seconds")
    return value


def _holder_jwk(payload: Mapping[str, Any]) -> object:
    """The one key of ``cnf`` (RFC 7800, 3.1): ``jwk``, public, and nothing beside it."""
    cnf = payload.get("cnf")
    if not isinstance(cnf, dict) or "jwk" not in cnf:
        raise HolderBindingMissing("the credential is not bound to a key")
    if len(cnf) != 1:
        raise HolderBindingInvalid("the credential names more than one confirmation key")
    return cnf["jwk"]


def _status(payload: Mapping[str, Any]) -> StatusRef | None:
    """``{"status_list": {"idx": …, "uri": …}}`` (Token Status List, 6.1 and 6.2)."""
    if "status" not in payload:
        return None
    try:
        reference = payload["status"]["status_list"]
        index, uri = reference["idx"], reference["uri"]
    except (KeyError, TypeError, IndexError):
        raise StatusReferenceInvalid("status does not name a status list") from None
    if not isinstance(index, int) or isinstance(index, bool) or index < 0:
        raise StatusReferenceInvalid("status index is not a whole number from 0")
    if not isinstance(uri, str) or not uri:
        raise StatusReferenceInvalid("status list URI is not a string")
    return StatusRef(uri, index)
