"""P-256 keys: what a JWK or COSE_Key may be, and the traps in it."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from sdjwt_forge import ATTACKER_KEY, HOLDER_KEY

from credentials.encoding import b64u, canonical_json
from credentials.errors import KeyMalformed, SignatureInvalid
from credentials.keys import PublicKey, software_sign

KEY = PublicKey.of(HOLDER_KEY.public_key())
JWK = KEY.jwk()
COSE = KEY.cose()
P = 2**256 - 2**224 + 2**192 + 2**96 - 1


def test_round_trips() -> None:
    assert PublicKey.from_jwk(JWK).point == PublicKey.from_cose(COSE).point == KEY.point
    assert PublicKey.from_point(KEY.point).thumbprint() == KEY.thumbprint()
    assert list(COSE) == [1, -1, -2, -3]
    assert KEY.thumbprint() == hashlib.sha256(canonical_json(JWK)).digest()


def test_thumbprint_ignores_what_is_not_the_key() -> None:
    assert (
        PublicKey.from_jwk({**JWK, "kid": "k", "use": "sig", "alg": "ES256"}).thumbprint() == KEY.thumbprint()
    )


@pytest.mark.parametrize(
    "change",
    [
        {"kty": "RSA"},
        {"kty": "oct"},
        {"kty": "OKP"},
        {"kty": "ec"},
        {"kty": None},
        {"crv": "P-384"},
        {"crv": "secp256k1"},
        {"crv": None},
        {"alg": "ES384"},
        {"alg": "HS256"},
        {"alg": "none"},
        {"d": b64u(b"\1" * 32)},
        {"k": "AA"},
        {"p": "AA"},
        {"x": None},
        {"y": None},
        {"x": 5},
        {"x": ""},
        {"x": JWK["x"] + "="},
        {"x": b64u(b"\0" + KEY.point[1:33])},
        {"x": b64u(KEY.point[1:32])},
        {"y": b64u(KEY.point[33:64])},
        {"x": b64u(b"\0" * 32), "y": b64u(b"\0" * 32)},
        {"x": JWK["y"]},
        {"x": b64u(P.to_bytes(32, "big"))},
        {"x": b64u(b"\xff" * 32), "y": b64u(b"\xff" * 32)},
    ],
    ids=str,
)
def test_jwk_refused(change: dict[str, Any]) -> None:
    with pytest.raises(KeyMalformed):
        PublicKey.from_jwk({**JWK, **change})


@pytest.mark.parametrize("jwk", [None, [], "x", 5, {}, [JWK]])
def test_jwk_that_is_no_object(jwk: object) -> None:
    with pytest.raises(KeyMalformed):
        PublicKey.from_jwk(jwk)
    with pytest.raises(KeyMalformed):
        PublicKey.from_cose(jwk)


@pytest.mark.parametrize(
    "change",
    [
        {1: 1},
        {1: 4},
        {-1: 2},
        {-1: None},
        {3: -35},
        {3: 5},
        {-4: b"\1" * 32},
        {-2: None},
        {-2: "x"},
        {-3: True},
        {-2: b""},
        {-2: b"\0" + KEY.point[1:33]},
        {-3: b"\0" * 32},
    ],
    ids=str,
)
def test_cose_key_refused(change: dict[int, Any]) -> None:
    with pytest.raises(KeyMalformed):
        PublicKey.from_cose({**COSE, **change})


@pytest.mark.parametrize(
    "point",
    [
        b"",
        b"\0",
        KEY.point[:-1],
        KEY.point + b"\0",
        b"\x02" + KEY.point[1:33],
        b"\x03" + KEY.point[1:33],
        b"\x06" + KEY.point[1:],
        b"\x07" + KEY.point[1:],
        b"\x04" + b"\0" * 64,
        b"\x04" + KEY.point[33:] + KEY.point[1:33],
    ],
    ids=range(10),
)
def test_point_refused(point: bytes) -> None:
    with pytest.raises(KeyMalformed):
        PublicKey.from_point(point)


def test_other_curves_refused() -> None:
    for curve in (ec.SECP384R1(), ec.SECP521R1(), ec.SECP256K1()):
        with pytest.raises(KeyMalformed):
            PublicKey.of(ec.generate_private_key(curve).public_key())


@given(st.binary(max_size=64))
def test_signatures(message: bytes) -> None:
    sign = software_sign(HOLDER_KEY)
    signature = sign(message)
    assert len(signature) == 64
    assert sign(message) == signature
    KEY.verify(signature, message)
    with pytest.raises(SignatureInvalid):
        KEY.verify(signature, message + b"\0")
    with pytest.raises(SignatureInvalid):
        PublicKey.of(ATTACKER_KEY.public_key()).verify(signature, message)
    for size in (0, 63, 65):
        with pytest.raises(SignatureInvalid):
            KEY.verify(signature.ljust(size, b"\0")[:size], message)
