"""Status lists and tokens with any one thing wrong, and lists at hand for a check."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pki_fixture import ISSUER, NOW, development_pki, trust

from credentials.cose import chain_header, sign1
from credentials.encoding import b64u, dump_cbor
from credentials.jose import sign_compact
from credentials.keys import Signer
from credentials.model import StatusRef
from revocation.check import MIN_SIZE, Freshness, StatusEvidence, check
from revocation.statuslist import StatusList, pack
from revocation.token import CWT_TYP, JWT_TYP, Encoding, SignedList, open_token, sign_cwt, sign_jwt

HOUR = 3600
URI = f"{ISSUER}/status/residency-1/2026-11-22"
ENCODINGS: tuple[Encoding, ...] = ("jwt", "cwt")
SIGN: dict[str, Callable[..., bytes]] = {"jwt": sign_jwt, "cwt": sign_cwt}
LABELS = {"sub": 2, "exp": 4, "nbf": 5, "iat": 6, "ttl": 65534, "status_list": 65533}


def status_signer() -> Signer:
    return development_pki().status.signer


def statuses() -> StatusList:
    made = StatusList.empty(1 << 17)
    made.set(5, 1)
    return made


def claims(encoding: str, **changes: Any) -> dict[str, Any]:
    lst: Any = pack(statuses())
    whole = {
        "sub": URI,
        "iat": NOW - 60,
        "exp": NOW + 3600,
        "ttl": 600,
        "status_list": {"bits": 1, "lst": b64u(lst) if encoding == "jwt" else lst},
        **changes,
    }
    return {name: value for name, value in whole.items() if value is not ...}


def token(encoding: str, signer: Signer | None = None, typ: str | None = None, **changes: Any) -> bytes:
    """A token with any claims, signed by the right signer unless told otherwise; ``...`` drops a claim."""
    signer = signer or status_signer()
    named = claims(encoding, **changes)
    if encoding == "jwt":
        return sign_compact(named, typ=typ or JWT_TYP, sign=signer).encode()
    numbered = {LABELS[name]: value for name, value in named.items()}
    return cwt(dump_cbor(numbered), signer, {16: typ or CWT_TYP, **chain_header(signer.chain)})


def cwt(payload: bytes, signer: Signer, protected: dict[Any, Any], **changes: Any) -> bytes:
    arguments: dict[str, Any] = {"unprotected": {}, "detached": False, "tagged": True, **changes}
    return dump_cbor(sign1(payload, sign=signer.sign, protected=protected, **arguments))


def opened(data: bytes, encoding: Encoding, now: int = NOW, newest: int = 0) -> Any:
    return open_token(data, encoding=encoding, trust=trust(), now=now, newest_issued=newest)


class Held:
    """Lists at hand; remembers what was asked for."""

    def __init__(self, lists: Mapping[tuple[str, Encoding], SignedList]) -> None:
        self.lists = lists
        self.asked: list[tuple[str, str]] = []

    def get(self, uri: str, encoding: Encoding) -> SignedList | None:
        self.asked.append((uri, encoding))
        return self.lists.get((uri, encoding))


def held(
    *,
    values: Mapping[int, int] | None = None,
    bits: int = 2,
    size: int = MIN_SIZE,
    issued: int = NOW,
    expires: int | None = NOW + 100 * HOUR,
    own_uri: str = URI,
    encoding: Encoding = "jwt",
    own_encoding: Encoding | None = None,
) -> Held:
    statuses = StatusList.empty(size, bits=bits)
    for index, value in (values or {}).items():
        statuses.set(index, value)
    signed = SignedList(own_uri, own_encoding or encoding, issued, expires, 600, statuses)
    return Held({(URI, encoding): signed})


def ask(
    lists: Held,
    index: int = 7,
    *,
    format: str = "dc+sd-jwt",
    now: int = NOW,
    freshness: Freshness | None = None,
) -> StatusEvidence:
    return check(
        StatusRef(URI, index),
        format=format,
        required=True,
        lists=lists,
        now=now,
        freshness=freshness or Freshness(),
    )
