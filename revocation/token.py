"""Signed status lists: a JWT for SD-JWT VC and a CWT for mdoc (Token Status List, section 5).

A list is believed because of who signed it, not of where it came from: any mirror will do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from credentials.cose import Sign1, chain_header, parse_sign1, sign1
from credentials.encoding import b64u, dump_cbor, load_cbor, unb64u
from credentials.errors import (
    Base64Malformed,
    CborMalformed,
    StatusListInvalid,
    StatusListRolledBack,
    StatusStale,
    TypMismatch,
)
from credentials.jose import Jws, parse_compact, sign_compact
from credentials.keys import PublicKey, Signer
from credentials.model import Seconds
from credentials.trust import Trust

from .statuslist import StatusList, pack, unpack

Encoding: TypeAlias = Literal["jwt", "cwt"]

JWT_TYP: Final = "statuslist+jwt"
CWT_TYP: Final = "application/statuslist+cwt"
MAX_TOKEN_BYTES: Final = 1 << 22
"""Room for a list of 16 million one-bit statuses that hardly compress."""
CLOCK_SKEW: Final = 60
"""Seconds by which a publisher's clock may be ahead of ours."""
MAX_TTL: Final = 366 * 86_400

_TYP_LABEL: Final = 16  # RFC 9596
_CWT_CLAIMS: Final = {
    "sub": 2,
    "exp": 4,
    "nbf": 5,
    "iat": 6,
    "ttl": 65534,
    "status_list": 65533,
}


@dataclass(frozen=True, slots=True)
class Token:
    """A status list token taken apart; nothing in it is to be believed before its signature is checked."""

    encoding: Encoding
    uri: str
    issued: Seconds
    not_before: Seconds | None
    expires: Seconds | None
    ttl: int | None
    bits: int
    lst: bytes
    signed: Jws | Sign1

    def chain(self) -> tuple[bytes, ...]:
        """The signer's certificates: ``x5c``, or ``x5chain`` of the protected header."""
        return self.signed.chain() if isinstance(self.signed, Jws) else self.signed.chain(protected=True)

    def check_signature(self, key: PublicKey) -> None:
        """Raises :class:`SignatureInvalid`."""
        if isinstance(self.signed, Jws):
            self.signed.check_signature(key)
        else:
            self.signed.verify(key)


@dataclass(frozen=True, slots=True)
class SignedList:
    """A list that its issuer signed. ``uri`` is what it calls itself; after ``ttl`` look for a newer one."""

    uri: str
    encoding: Encoding
    issued: Seconds
    expires: Seconds | None
    ttl: int | None
    list: StatusList


def sign_jwt(
    list: StatusList,
    *,
    uri: str,
    issued: Seconds,
    expires: Seconds,
    ttl: int,
    signer: Signer,
    aggregation_uri: str | None = None,
    lst: bytes | None = None,
) -> bytes:
    """A status list token as compact JWS, ASCII (section 5.1); ``lst`` is ``pack(list)``, if already made."""
    status_list = {
        "bits": list.bits,
        "lst": b64u(pack(list) if lst is None else lst),
        **_aggregation(aggregation_uri),
    }
    claims = {"sub": uri, "iat": issued, "exp": expires, "ttl": ttl, "status_list": status_list}
    return sign_compact(claims, typ=JWT_TYP, sign=signer).encode("ascii")


def sign_cwt(
    list: StatusList,
    *,
    uri: str,
    issued: Seconds,
    expires: Seconds,
    ttl: int,
    signer: Signer,
    aggregation_uri: str | None = None,
    lst: bytes | None = None,
) -> bytes:
    """A status list token as COSE_Sign1, CBOR (section 5.2); ``x5chain`` is protected, as ISO asks.

    ``lst`` is ``pack(list)``, if already made.
    """
    status_list = {
        "bits": list.bits,
        "lst": pack(list) if lst is None else lst,
        **_aggregation(aggregation_uri),
    }
    claims = {2: uri, 6: issued, 4: expires, 65534: ttl, 65533: status_list}
    item = sign1(
        dump_cbor(claims),
        sign=signer.sign,
        protected={_TYP_LABEL: CWT_TYP, **chain_header(signer.chain)},
        unprotected={},
        detached=False,
        tagged=True,
    )
    return dump_cbor(item)


def _aggregation(uri: str | None) -> dict[str, str]:
    return {} if uri is None else {"aggregation_uri": uri}


def parse_token(data: bytes, *, encoding: Encoding) -> Token:
    """Take a token apart; the signature, the times and the list are not judged yet.

    Raises :class:`StatusListInvalid`, or what :func:`.jose.parse_compact`, :func:`.cose.parse_sign1` and
    :func:`.encoding.load_cbor` raise.
    """
    signed: Jws | Sign1
    if encoding == "jwt":
        try:
            text = data.decode("ascii")
        except UnicodeDecodeError:
            raise StatusListInvalid("status list token is not a compact JWS") from None
        signed = parse_compact(text, typ=JWT_TYP, max_bytes=MAX_TOKEN_BYTES)
        claims: Mapping[str, Any] = signed.unverified()
    else:
        signed = parse_sign1(load_cbor(data, max_bytes=MAX_TOKEN_BYTES), tagged=True, detached=None)
        # Explicit typing (section 5.2): a CWT of another kind is never read as a status list.
        if signed.protected.get(_TYP_LABEL) != CWT_TYP:
            raise TypMismatch(f"COSE typ is not {CWT_TYP}")
        numbered = load_cbor(signed.payload, max_bytes=MAX_TOKEN_BYTES)
        if not isinstance(numbered, Mapping):
            raise CborMalformed("CWT claims are not a map")
        by_label: Mapping[Any, Any] = numbered  # pyright: ignore[reportUnknownVariableType]
        claims = {name: by_label[label] for name, label in _CWT_CLAIMS.items() if label in by_label}

    status_list = claims.get("status_list")
    if not isinstance(status_list, Mapping):
        raise StatusListInvalid("status list token without a status list")
    members: Mapping[Any, Any] = status_list  # pyright: ignore[reportUnknownVariableType]
    bits, lst, uri = members.get("bits"), members.get("lst"), claims.get("sub")
    if encoding == "jwt" and isinstance(lst, str):
        try:
            lst = unb64u(lst)
        except Base64Malformed:
            raise StatusListInvalid("lst is not base64url") from None
    elif encoding == "jwt":
        lst = None
    if type(bits) is not int or not isinstance(lst, bytes) or not isinstance(uri, str) or not uri:
        raise StatusListInvalid("status list token lacks sub, bits or lst")
    issued = _time(claims, "iat")
    if issued is None:
        raise StatusListInvalid("status list token lacks iat")
    # Seconds to keep a copy: nothing, less than nothing and centuries are not answers (section 5.1).
    ttl = claims.get("ttl")
    if "ttl" in claims and (type(ttl) is not int or not 0 < ttl <= MAX_TTL):
        raise StatusListInvalid("ttl of a status list is not a sensible time")
    return Token(
        encoding=encoding,
        uri=uri,
        issued=issued,
        not_before=_time(claims, "nbf"),
        expires=_time(claims, "exp"),
        ttl=ttl,
        bits=bits,
        lst=lst,
        signed=signed,
    )


def _time(claims: Mapping[str, Any], name: str) -> Seconds | None:
    value = claims.get(name)
    if name in claims and (type(value) is not int or not 0 <= value < 1 << 53):
        raise StatusListInvalid(f"{name} of a status list is not a time")
    return value


def open_token(
    data: bytes, *, encoding: Encoding, trust: Trust, now: Seconds, newest_issued: Seconds = 0
) -> SignedList:
    """A status list token to the list in it. ``newest_issued``: of the newest one ever opened for this URI.

    Raises what :func:`parse_token` and :meth:`.Trust.status_signer` raise, :class:`SignatureInvalid`,
    :class:`StatusListInvalid`, :class:`StatusStale` (expired), :class:`StatusListRolledBack`,
    :class:`TooLarge`.
    """
    # 1. A token of this kind, with all its claims (section 8.3 step 3).
    token = parse_token(data, encoding=encoding)
    # 2. Its signer may speak for the URI that the list calls itself (section 11.3, key resolution).
    signer = trust.status_signer(token.chain(), uri=token.uri, now=now)
    # 3. The signature (RFC 7515, 5.2; RFC 9052, 4.4).
    token.check_signature(signer.key)
    # 4. Issued already, and not expired (section 8.3 step 4).
    if max(token.issued, token.not_before or 0) > now + CLOCK_SKEW:
        raise StatusListInvalid("status list was issued in the future")
    if token.expires is not None and now >= token.expires:
        raise StatusStale("status list has expired")
    # 5. Not older than one already seen: an old list would un-revoke.
    if token.issued < newest_issued:
        raise StatusListRolledBack("an older status list was put in place of a newer one")
    # 6. The list inflates, within bounds (section 8.3 step 5).
    return SignedList(
        uri=token.uri,
        encoding=encoding,
        issued=token.issued,
        expires=token.expires,
        ttl=token.ttl,
        list=unpack(token.lst, bits=token.bits),
    )
