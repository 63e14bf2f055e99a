"""JOSE as it should work: what we sign we read, what we encrypt we decrypt, and nothing else is taken."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.concatkdf import ConcatKDFHash
from hypothesis import given
from hypothesis import strategies as st
from jwcrypto.jwe import JWE
from jwcrypto.jwk import JWK
from sdjwt_forge import (
    ATTACKER_KEY,
    CHAIN,
    HOLDER,
    HOLDER_KEY,
    ISSUER_KEY,
    SIGNER,
    jws,
    private_key,
    refused,
)

from credentials.encoding import b64u, dump_json, load_json, unb64u
from credentials.errors import ChainInvalid, JweMalformed, JwsMalformed, KeyMalformed
from credentials.jose import Jws, decrypt_jwe, encode_x5c, encrypt_jwe, parse_compact, sign_compact
from credentials.keys import PublicKey, software_sign

KEY = PublicKey.of(ISSUER_KEY.public_key())
RECIPIENT = {**HOLDER.public.jwk(), "kid": "k1", "use": "enc", "alg": "ECDH-ES"}


def test_header_order_and_chain() -> None:
    token = sign_compact({"a": 1}, typ="t+jwt", sign=SIGNER, header={"kid": "k"})
    read = parse_compact(token, typ="t+jwt")
    assert list(read.header) == ["alg", "typ", "kid", "x5c"]
    assert read.chain() == CHAIN
    assert read.verify(KEY) == {"a": 1}
    alone = sign_compact({"a": 1}, typ="t+jwt", sign=SIGNER)
    assert list(parse_compact(alone, typ="t+jwt").header) == ["alg", "typ", "x5c"]


def test_header_without_chain() -> None:
    jwk = HOLDER.public.jwk()
    token = sign_compact(b'{"a":1}', typ="dpop+jwt", sign=HOLDER.sign, header={"jwk": jwk})
    refused(JwsMalformed, lambda: parse_compact(token, typ="dpop+jwt"))
    read = parse_compact(token, typ="dpop+jwt", allow=frozenset({"jwk"}))
    assert list(read.header) == ["alg", "typ", "jwk"]
    assert read.verify(PublicKey.from_jwk(read.header["jwk"])) == {"a": 1}
    refused(ChainInvalid, read.chain)


def test_the_same_header_is_not_taken_for_another_purpose() -> None:
    # The header is remembered; for whom it was accepted is remembered with it.
    jwk = HOLDER.public.jwk()
    token = sign_compact({}, typ="a", sign=HOLDER.sign, header={"jwk": jwk})
    assert parse_compact(token, typ="a", allow=frozenset({"jwk"}))
    refused(JwsMalformed, lambda: parse_compact(token, typ="a"))
    refused(JwsMalformed, lambda: parse_compact(token, typ="a", allow=frozenset({"jku"})))


def test_a_remembered_header_cannot_be_changed() -> None:
    header: Any = parse_compact(sign_compact({}, typ="a", sign=SIGNER), typ="a").header
    with pytest.raises(TypeError):
        header["alg"] = "none"


@pytest.mark.parametrize(
    "x5c",
    [
        [],
        "x",
        {},
        [1],
        [None],
        [""],
        ["%%%"],
        ["YQ"],
        ["YR=="],
        ["YQ==", 5],
        ["Y Q="],
        ["YQ==\n"],
        ["-_8="],
        ["YQ==é"],
        ["YQ=="] * 6,
    ],
)
def test_x5c_that_is_not_exact(x5c: object) -> None:
    read = parse_compact(jws({}, header={"x5c": x5c}), typ="dc+sd-jwt")
    refused(JwsMalformed, read.chain)


@given(st.lists(st.binary(min_size=1, max_size=60), min_size=1, max_size=5).map(tuple))
def test_x5c_round_trip(chain: tuple[bytes, ...]) -> None:
    read = parse_compact(jws({}, header={"x5c": encode_x5c(chain)}), typ="dc+sd-jwt")
    assert read.chain() == chain


@given(st.dictionaries(st.text(max_size=8), st.integers() | st.text(max_size=8) | st.booleans(), max_size=6))
def test_payload_round_trip(payload: dict[str, Any]) -> None:
    token = sign_compact(payload, typ="t", sign=software_sign(ISSUER_KEY))
    assert parse_compact(token, typ="t").verify(KEY) == payload


def test_signing_is_deterministic() -> None:
    assert sign_compact({"a": 1}, typ="t", sign=SIGNER) == sign_compact({"a": 1}, typ="t", sign=SIGNER)


def test_payload_is_read_once_signed() -> None:
    read = parse_compact(jws(b"not json"), typ="dc+sd-jwt")
    assert isinstance(read, Jws)
    refused(JwsMalformed, lambda: read.verify(KEY))


# --- JWE


@pytest.mark.parametrize("enc", ["A128GCM", "A256GCM"])
@pytest.mark.parametrize("party", [{}, {"apu": b"wallet"}, {"apv": b"nonce"}, {"apu": b"", "apv": b"n"}])
def test_jwe_round_trip(enc: str, party: dict[str, Any]) -> None:
    token = encrypt_jwe(b"secret", recipient_jwk=RECIPIENT, enc=enc, **party)
    header = load_json(unb64u(token.split(".")[0]))
    assert header["kid"] == "k1"
    assert header["enc"] == enc
    assert "zip" not in header
    assert decrypt_jwe(token, private_key=HOLDER_KEY) == b"secret"
    assert decrypt_jwe(token, private_key=HOLDER_KEY, kid="k1", **party) == b"secret"


def test_jwe_is_bound_to_what_is_expected() -> None:
    token = encrypt_jwe(b"secret", recipient_jwk=RECIPIENT, enc="A128GCM", apv=b"n1", apu=b"u1")
    for wrong in ({"apv": b"n2"}, {"apu": b"u2"}, {"apv": b""}, {"kid": "k2"}, {"kid": ""}):
        refused(JweMalformed, lambda w=wrong: decrypt_jwe(token, private_key=HOLDER_KEY, **w))
    bare = encrypt_jwe(b"secret", recipient_jwk=HOLDER.public.jwk(), enc="A128GCM")
    for missing in ({"apv": b"n1"}, {"apu": b"u1"}, {"kid": "k1"}):
        refused(JweMalformed, lambda m=missing: decrypt_jwe(bare, private_key=HOLDER_KEY, **m))
    refused(JweMalformed, lambda: decrypt_jwe(token, private_key=ATTACKER_KEY))


def rewritten(token: str, **changes: Any) -> str:
    header, *rest = token.split(".")
    members = {**load_json(unb64u(header)), **changes}
    return ".".join([b64u(dump_json({k: v for k, v in members.items() if v is not None})), *rest])


@pytest.mark.parametrize(
    "changes",
    [
        {"zip": "DEF"},
        {"crit": ["exp"]},
        {"jku": "https://attacker.example"},
        {"jwk": HOLDER.public.jwk()},
        {"x5c": ["YQ=="]},
        {"p2c": 10**9},
        {"alg": "dir"},
        {"alg": "ECDH-ES+A128KW"},
        {"alg": "RSA1_5"},
        {"alg": "PBES2-HS256+A128KW"},
        {"alg": "none"},
        {"alg": None},
        {"alg": ["ECDH-ES"]},
        {"enc": "A192GCM"},
        {"enc": "A128CBC-HS256"},
        {"enc": None},
        {"enc": ["A128GCM"]},
        {"epk": None},
        {"epk": {}},
        {"epk": {**HOLDER.public.jwk(), "d": b64u(b"\1" * 32)}},
        {"epk": {**HOLDER.public.jwk(), "x": b64u(b"\1" * 32)}},
        {"epk": {**HOLDER.public.jwk(), "crv": "P-384"}},
        {"epk": HOLDER.public.jwk()},
        {"apu": 5},
        {"apv": "="},
        {"apv": ["x"]},
        {"kid": 5},
        {"cty": "x"},
    ],
    ids=str,
)
def test_jwe_header_is_judged_first(changes: dict[str, Any]) -> None:
    token = encrypt_jwe(b"secret", recipient_jwk=RECIPIENT, enc="A128GCM")
    refused(JweMalformed, lambda: decrypt_jwe(rewritten(token, **changes), private_key=HOLDER_KEY))


def test_jwe_refused_even_where_jwcrypto_would_open_it() -> None:
    """Made by jwcrypto, with the right tag: only our reading of the header stands in the way."""
    for header in (
        {"alg": "ECDH-ES", "enc": "A128GCM", "zip": "DEF"},
        {"alg": "ECDH-ES", "enc": "A128CBC-HS256"},
        {"alg": "ECDH-ES+A128KW", "enc": "A128GCM"},
        {"alg": "ECDH-ES", "enc": "A128GCM", "jku": "https://attacker.example"},
    ):
        made = JWE(b"secret", dump_json(header).decode())
        made.add_recipient(JWK(**HOLDER.public.jwk()))
        token = str(made.serialize(compact=True))
        refused(JweMalformed, lambda token=token: decrypt_jwe(token, private_key=HOLDER_KEY))
    usual = JWE(b"secret", '{"alg":"ECDH-ES","enc":"A256GCM","typ":"JWT","cty":"json"}')
    usual.add_recipient(JWK(**HOLDER.public.jwk()))
    assert decrypt_jwe(str(usual.serialize(compact=True)), private_key=HOLDER_KEY) == b"secret"
    refused(JweMalformed, lambda: decrypt_jwe(str(usual.serialize()), private_key=HOLDER_KEY))


def test_jwe_parts_that_are_not_exact() -> None:
    header, key, iv, ciphertext, tag = encrypt_jwe(b"secrets", recipient_jwk=RECIPIENT, enc="A128GCM").split(
        "."
    )
    assert key == ""
    for parts in (
        (header, "AA", iv, ciphertext, tag),
        (header, "", iv[:-4], ciphertext, tag),
        (header, "", iv + "AAAA", ciphertext, tag),
        (header, "", "", ciphertext, tag),
        (header, "", iv, ciphertext, tag[:-2]),
        (header, "", iv, ciphertext, tag[:5] + "="),
        (header, "", iv, ciphertext + "==", tag),
        (header, "", iv, "+" + ciphertext, tag),
        (header + "=", "", iv, ciphertext, tag),
        ("", "", iv, ciphertext, tag),
        (header, iv, ciphertext, tag),
    ):
        refused(JweMalformed, lambda parts=parts: decrypt_jwe(".".join(parts), private_key=HOLDER_KEY))


def test_jwe_with_another_initialization_vector() -> None:
    """Made by hand with 128 bits, which AES-GCM itself would take."""

    def made(iv: bytes) -> str:
        ephemeral = private_key(9)
        epk = PublicKey.of(ephemeral.public_key()).jwk()
        header = b64u(dump_json({"alg": "ECDH-ES", "enc": "A128GCM", "epk": epk}))
        shared = ephemeral.exchange(ec.ECDH(), HOLDER.public.key)
        sizes = [
            len(b"A128GCM").to_bytes(4, "big") + b"A128GCM",
            bytes(4),
            bytes(4),
            (128).to_bytes(4, "big"),
        ]
        key = ConcatKDFHash(hashes.SHA256(), 16, b"".join(sizes)).derive(shared)
        sealed = AESGCM(key).encrypt(iv, b"secret", header.encode())
        return f"{header}..{b64u(iv)}.{b64u(sealed[:-16])}.{b64u(sealed[-16:])}"

    assert decrypt_jwe(made(bytes(12)), private_key=HOLDER_KEY) == b"secret"
    for size in (8, 13, 16):
        refused(JweMalformed, lambda size=size: decrypt_jwe(made(bytes(size)), private_key=HOLDER_KEY))


def test_jwe_every_bit_counts() -> None:
    token = encrypt_jwe(b"s", recipient_jwk=RECIPIENT, enc="A128GCM").encode()
    for i in range(len(token)):
        for bit in range(8):
            spoiled = bytearray(token)
            spoiled[i] ^= 1 << bit
            text = spoiled.decode("latin-1")
            refused(JweMalformed, lambda text=text: decrypt_jwe(text, private_key=HOLDER_KEY))


def test_encryption_refuses_other_keys_and_methods() -> None:
    for enc in ("A192GCM", "A128CBC-HS256", "", "none"):
        refused(JweMalformed, lambda enc=enc: encrypt_jwe(b"", recipient_jwk=RECIPIENT, enc=enc))
    for jwk in ({}, {**RECIPIENT, "crv": "P-384"}, {**RECIPIENT, "d": "AA"}, {"kty": "oct", "k": "AA"}):
        refused(KeyMalformed, lambda jwk=jwk: encrypt_jwe(b"", recipient_jwk=jwk, enc="A128GCM"))


def test_each_encryption_has_its_own_key() -> None:
    tokens = [encrypt_jwe(b"s", recipient_jwk=RECIPIENT, enc="A128GCM").split(".") for _ in range(8)]
    assert len({token[0] for token in tokens}) == 8
    assert len({token[2] for token in tokens}) == 8


def test_short_private_scalar() -> None:
    key = private_key(-(10**30) + 5)
    jwk = PublicKey.of(key.public_key()).jwk()
    assert decrypt_jwe(encrypt_jwe(b"s", recipient_jwk=jwk, enc="A256GCM"), private_key=key) == b"s"
