"""Makes SD-JWT VCs by hand, right and wrong: our own issuer would refuse to make most of them."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any, Final, cast

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from credentials.catalog import CredentialType
from credentials.encoding import b64u, dump_json
from credentials.errors import BauhiniaError, ChainInvalid
from credentials.jose import encode_x5c
from credentials.keys import HolderKey, PublicKey, Signer, software_sign
from credentials.model import Claims, Disclosed, Session
from credentials.sdjwt import verify
from credentials.trust import Trust, TrustedSigner

ISSUER: Final = "https://bauhinia.example"
VCT: Final = "https://bauhinia.example/vct/test/1"
NOW: Final = 1_800_000_000
START: Final = NOW - 86_400
END: Final = NOW + 86_400
CANARY: Final = "CANARY-3141592653"
SESSION: Final = Session("x509_hash:dGVzdA", "n-0S6_WzA2Mj", "https://verifier.example/response")
CHAIN: Final = (b"leaf certificate", b"intermediate certificate")


def private_key(number: int) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(number + 10**30, ec.SECP256R1())


ISSUER_KEY: Final = private_key(1)
HOLDER_KEY: Final = private_key(2)
ATTACKER_KEY: Final = private_key(3)
SIGNER: Final = Signer(software_sign(ISSUER_KEY), CHAIN)
HOLDER: Final = HolderKey(software_sign(HOLDER_KEY), PublicKey.of(HOLDER_KEY.public_key()))
CNF: Final = {"jwk": HOLDER.public.jwk()}


@dataclass(frozen=True)
class OneSigner:
    """Stands in for a trust list that knows one chain."""

    key: PublicKey
    issuer: str = ISSUER

    def credential_signer(
        self, chain: Sequence[bytes], *, format: str, type: str, now: int, signed_at: int
    ) -> TrustedSigner:
        if tuple(chain) != CHAIN:
            raise ChainInvalid
        assert format == "dc+sd-jwt"
        return TrustedSigner(self.issuer, {"en": "Test"}, "HK", self.key, START, END)


TRUST: Final = cast(Trust, OneSigner(PublicKey.of(ISSUER_KEY.public_key())))


@dataclass(frozen=True)
class _Claim:
    name: str


@dataclass(frozen=True)
class _Type:
    vct: str
    claims: tuple[_Claim, ...]


def claims(values: Mapping[str, Any], absent: Sequence[str] = ()) -> Claims:
    """Claims of a type that has these names and no more."""
    type_ = _Type(VCT, tuple(_Claim(name) for name in (*values, *absent)))
    return Claims(cast(CredentialType, type_), values)


def counting() -> Callable[[int], bytes]:
    """Randomness that never repeats and is the same in every run."""
    numbers = count(1)
    return lambda size: hashlib.shake_128(next(numbers).to_bytes(8, "big")).digest(size)


_salts = counting()


def digest(disclosure: str) -> str:
    return b64u(hashlib.sha256(disclosure.encode()).digest())


def disclosure(*contents: Any) -> str:
    """``disclosure(name, value)`` or ``disclosure(value)``, with a fresh salt."""
    return b64u(dump_json([b64u(_salts(16)), *contents]))


def raw_disclosure(text: str | bytes) -> str:
    return b64u(text if isinstance(text, bytes) else text.encode())


def jws(
    payload: Mapping[str, Any] | bytes,
    *,
    key: ec.EllipticCurvePrivateKey = ISSUER_KEY,
    typ: str | None = "dc+sd-jwt",
    header: Mapping[str, Any] | bytes | None = None,
    signature: Callable[[bytes], bytes] = lambda signature: signature,
) -> str:
    """A compact JWS with any header (bytes: as they are; a mapping: added to the usual ones)."""
    if not isinstance(header, bytes):
        usual = {"alg": "ES256", "typ": typ, "x5c": encode_x5c(CHAIN)}
        header = dump_json({k: v for k, v in {**usual, **(header or {})}.items() if v is not None})
    body = payload if isinstance(payload, bytes) else dump_json(payload)
    text = f"{b64u(header)}.{b64u(body)}"
    return f"{text}.{b64u(signature(software_sign(key)(text.encode())))}"


def members(**changes: Any) -> dict[str, Any]:
    """The payload of a valid issuer-signed JWT; a value of ``None`` leaves the member out."""
    payload: dict[str, Any] = {
        "iss": ISSUER,
        "nbf": START,
        "exp": END,
        "vct": VCT,
        "cnf": CNF,
        "_sd_alg": "sha-256",
        "_sd": [],
    }
    payload.update(changes)
    return {name: value for name, value in payload.items() if value is not None}


def binding(shown: bytes, **changes: Any) -> dict[str, Any]:
    payload: dict[str, Any] = {
        "iat": NOW,
        "aud": SESSION.audience,
        "nonce": SESSION.nonce,
        "sd_hash": b64u(hashlib.sha256(shown).digest()),
    }
    payload.update(changes)
    return {name: value for name, value in payload.items() if value is not None}


def bind(
    shown: bytes,
    *,
    key: ec.EllipticCurvePrivateKey = HOLDER_KEY,
    typ: str = "kb+jwt",
    header: Mapping[str, Any] | None = None,
    **changes: Any,
) -> bytes:
    """``shown`` and a key-binding JWT over it."""
    token = jws(binding(shown, **changes), key=key, typ=typ, header={"x5c": None, **(header or {})})
    return shown + token.encode()


def shown(jwt: str, *disclosures: str) -> bytes:
    return "~".join((jwt, *disclosures, "")).encode()


def presentation(payload: Mapping[str, Any] | bytes, *disclosures: str, **header: Any) -> bytes:
    return bind(shown(jws(payload, **header), *disclosures))


def flat(values: Mapping[str, Any], **changes: Any) -> tuple[dict[str, Any], list[str]]:
    """Payload and disclosures of a flat credential."""
    disclosures = [disclosure(name, value) for name, value in values.items()]
    return members(_sd=sorted(map(digest, disclosures)), **changes), disclosures


def check(token: bytes, *, session: Session = SESSION, now: int = NOW, trust: Trust = TRUST) -> Disclosed:
    return verify(token, type=VCT, session=session, trust=trust, now=now)


def refused(error: type[BauhiniaError], call: Callable[..., object]) -> None:
    """``call`` raises exactly ``error``, and says nothing that a log must not hold."""
    with pytest.raises(BauhiniaError) as caught:
        call()
    assert type(caught.value) is error, f"{caught.value.code} instead of {error.code}"
    assert caught.value.code == error.code
    assert CANARY not in f"{caught.value} {caught.value.hint}"


# --- structured credentials, as the specification files of the SD-JWT authors write them


@dataclass(frozen=True)
class Hidden:
    """The tag ``!sd`` on a member name or an array element."""

    value: Any


def hide(value: Any, disclosures: list[str], randomness: Callable[[int], bytes]) -> Any:
    """``value`` with everything under :class:`Hidden` moved to ``disclosures``, innermost first."""

    def put(*contents: Any) -> str:
        disclosures.append(b64u(dump_json([b64u(randomness(16)), *contents])))
        return digest(disclosures[-1])

    if isinstance(value, Hidden):
        raise TypeError("a hidden value has no place of its own")
    if isinstance(value, Mapping):
        result: dict[str, Any] = {}
        digests: list[str] = []
        for name, below in value.items():
            inner = hide(below, disclosures, randomness)
            if isinstance(name, Hidden):
                digests.append(put(name.value, inner))
            else:
                result[name] = inner
        if digests:
            result["_sd"] = sorted(digests)
        return result
    if isinstance(value, list):
        return [
            {"...": put(hide(item.value, disclosures, randomness))}
            if isinstance(item, Hidden)
            else hide(item, disclosures, randomness)
            for item in value
        ]
    return value


def plain(value: Any) -> Any:
    """``value`` without the tags: everything there is to know."""
    if isinstance(value, Hidden):
        return plain(value.value)
    if isinstance(value, Mapping):
        return {plain(name): plain(below) for name, below in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


# --- no network

_watching: list[list[str]] = []


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _watching and event.startswith(("socket.", "urllib.")):
        _watching[-1].append(event)


sys.addaudithook(_hook)


@contextmanager
def network() -> Iterator[list[str]]:
    """The socket events while the block runs, whoever causes them."""
    _watching.append([])
    try:
        yield _watching[-1]
    finally:
        _watching.pop()
