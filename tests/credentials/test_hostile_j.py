"""Hostile JOSE: every way a signed token can try to be read as something it is not."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sdjwt_forge import (
    ATTACKER_KEY,
    CANARY,
    CHAIN,
    HOLDER_KEY,
    ISSUER_KEY,
    bind,
    check,
    flat,
    jws,
    members,
    network,
    presentation,
    refused,
    shown,
)

from credentials.encoding import b64u, dump_json
from credentials.errors import (
    AlgorithmRefused,
    ChainInvalid,
    JwsMalformed,
    KeyMalformed,
    SignatureInvalid,
    TooLarge,
    TypMismatch,
)
from credentials.jose import encode_x5c, parse_compact
from credentials.keys import PublicKey

ISSUER_PUBLIC = PublicKey.of(ISSUER_KEY.public_key())
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

read = partial(parse_compact, typ="dc+sd-jwt")


def opened(token: str) -> dict[str, Any]:
    return read(token).verify(ISSUER_PUBLIC)


def test_the_forged_token_is_valid_before_it_is_spoiled() -> None:
    assert opened(jws(members())) == members()
    payload, disclosures = flat({"a": 1})
    assert check(presentation(payload, *disclosures)).claims == {"a": 1}


@pytest.mark.hostile("J1")
@pytest.mark.parametrize("alg", ["none", "None", "nOnE", "NONE", "", None, 5, ["ES256"], {"a": 1}])
def test_j1_unsigned(alg: object) -> None:
    header = dump_json({"alg": alg, "typ": "dc+sd-jwt", "x5c": encode_x5c(CHAIN)})
    token = f"{b64u(header)}.{b64u(dump_json(members(x=CANARY)))}."
    refused(AlgorithmRefused, lambda: opened(token))
    refused(AlgorithmRefused, lambda: check(bind(shown(token))))


@pytest.mark.hostile("J2")
@pytest.mark.parametrize("form", ["pem", "der", "point", "jwk"])
def test_j2_mac_keyed_with_the_public_key(form: str) -> None:
    public = ISSUER_KEY.public_key()
    secret = {
        "pem": public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "der": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "point": ISSUER_PUBLIC.point,
        "jwk": dump_json(ISSUER_PUBLIC.jwk()),
    }[form]
    text = f"{b64u(dump_json({'alg': 'HS256', 'typ': 'dc+sd-jwt'}))}.{b64u(dump_json(members(x=CANARY)))}"
    token = f"{text}.{b64u(hmac.digest(secret, text.encode(), hashlib.sha256))}"
    refused(AlgorithmRefused, lambda: opened(token))
    refused(AlgorithmRefused, lambda: check(bind(shown(token))))


@pytest.mark.hostile("J3")
@pytest.mark.parametrize("private", [False, True])
def test_j3_key_brought_along(private: bool) -> None:
    jwk: dict[str, str] = PublicKey.of(ATTACKER_KEY.public_key()).jwk()
    if private:
        jwk["d"] = b64u(ATTACKER_KEY.private_numbers().private_value.to_bytes(32, "big"))
    token = jws(members(x=CANARY), key=ATTACKER_KEY, header={"jwk": jwk})
    refused(JwsMalformed, lambda: opened(token))
    refused(JwsMalformed, lambda: check(bind(shown(token))))
    # Allowed by name it is read, and still is not the key the token is checked with.
    allowed = parse_compact(token, typ="dc+sd-jwt", allow=frozenset({"jwk"}))
    refused(SignatureInvalid, lambda: allowed.verify(ISSUER_PUBLIC))
    # Nor is a chain that is not there replaced by anything else.
    refused(ChainInvalid, lambda: check(bind(shown(jws(members(), header={"x5c": None})))))


@pytest.mark.hostile("J4")
@pytest.mark.parametrize("name", ["jku", "x5u"])
@pytest.mark.parametrize(
    "url", ["https://attacker.example/keys", "http://127.0.0.1:9/", "file:///etc/passwd"]
)
def test_j4_key_fetched(name: str, url: str) -> None:
    with network() as events:
        refused(JwsMalformed, lambda: opened(jws(members(), header={name: url})))
        refused(JwsMalformed, lambda: check(presentation(members(), header={name: url})))
    assert events == []


@pytest.mark.hostile("J5")
def test_j5_kid_as_path_or_query() -> None:
    for kid in ("../../etc/passwd", "' OR 1=1 --", "\x00", "http://attacker.example/"):
        # Nobody reads it, so it selects nothing: neither another key nor a refusal.
        assert opened(jws(members(), header={"kid": kid})) == members()
        refused(
            SignatureInvalid, lambda kid=kid: opened(jws(members(), key=ATTACKER_KEY, header={"kid": kid}))
        )
    refused(TooLarge, lambda: opened(jws(members(), header={"kid": "k" * 1_000_000})))
    refused(TooLarge, lambda: opened(jws(members(), header={"kid": "k" * 20_000})))
    for value in (5, ["k"], {"k": "k"}, True):
        refused(JwsMalformed, lambda value=value: opened(jws(members(), header={"kid": value})))


@pytest.mark.hostile("J6")
@pytest.mark.parametrize("crit", [["bork"], [], ["exp"], ["alg"], "b64", 0])
def test_j6_critical_extension(crit: object) -> None:
    refused(JwsMalformed, lambda: opened(jws(members(), header={"crit": crit})))
    refused(JwsMalformed, lambda: opened(jws(members(), header={"crit": crit, "bork": 1})))


TYPS = [
    "dc+sd-jwt",
    "kb+jwt",
    "statuslist+jwt",
    "openid4vci-proof+jwt",
    "dpop+jwt",
    "oauth-authz-req+jwt",
    "oauth-client-attestation+jwt",
    "at+jwt",
    "bauhinia-trust-list+jwt",
]


@pytest.mark.hostile("J7")
@pytest.mark.parametrize("made", TYPS)
def test_j7_one_kind_of_token_read_as_another(made: str) -> None:
    token = jws(members(), typ=made)
    for expected in TYPS:
        if expected == made:
            assert parse_compact(token, typ=expected).verify(ISSUER_PUBLIC) == members()
        else:
            refused(TypMismatch, lambda expected=expected: parse_compact(token, typ=expected))
    for other in (made.upper(), f"application/{made}", made + " ", None):
        refused(TypMismatch, lambda other=other: parse_compact(jws(members(), typ=other), typ=made))


@pytest.mark.hostile("J8")
@pytest.mark.parametrize("size", [0, 1, 32, 63, 65, 66, 96, 128, 144, 514])
def test_j8_signature_of_another_length(size: int) -> None:
    def stretched(signature: bytes) -> bytes:
        half = size // 2
        r, s = signature[:32], signature[32:]
        return r.rjust(half, b"\0")[-half:] + s.rjust(size - half, b"\0") if half else b"\1" * size

    # The splitter refuses it already: nobody keeps such a token, whatever checks the signature later.
    refused(SignatureInvalid, lambda: read(jws(members(), signature=stretched)))
    refused(SignatureInvalid, lambda: ISSUER_PUBLIC.verify(b"\1" * size, b"message"))


def numbers(r: int, s: int) -> bytes:
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


@pytest.mark.hostile("J9")
@pytest.mark.parametrize("r", [0, 1, ORDER - 1, ORDER, 2**256 - 1])
@pytest.mark.parametrize("s", [0, 1, ORDER - 1, ORDER, 2**256 - 1])
def test_j9_psychic_signature(r: int, s: int) -> None:
    refused(SignatureInvalid, lambda: opened(jws(members(), signature=lambda _: numbers(r, s))))


@pytest.mark.hostile("J9")
def test_j9_one_number_out_of_range() -> None:
    def spoiled(r: int | None, s: int | None) -> Callable[[bytes], bytes]:
        return lambda signature: numbers(
            int.from_bytes(signature[:32], "big") if r is None else r,
            int.from_bytes(signature[32:], "big") if s is None else s,
        )

    for bad in (0, ORDER):
        refused(SignatureInvalid, lambda bad=bad: opened(jws(members(), signature=spoiled(bad, None))))
        refused(SignatureInvalid, lambda bad=bad: opened(jws(members(), signature=spoiled(None, bad))))


@pytest.mark.hostile("J10")
def test_j10_der_signature() -> None:
    def der(signature: bytes) -> bytes:
        return encode_dss_signature(
            int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
        )

    refused(SignatureInvalid, lambda: opened(jws(members(), signature=der)))


@pytest.mark.hostile("J11")
@pytest.mark.parametrize("part", [0, 1, 2])
def test_j11_base64url_that_is_not_exact(part: int) -> None:
    # Sizes are chosen so that each part has spare bits at its end: 64 bytes, and texts of 3n+1 bytes.
    header = dump_json({"alg": "ES256", "typ": "dc+sd-jwt", "x5c": encode_x5c(CHAIN), "kid": "p"})
    while len(header) % 3 != 1:
        header = header.replace(b'"p', b'"pp')
    payload = dump_json(members(x=CANARY))
    while len(payload) % 3 != 1:
        payload = payload.replace(CANARY.encode(), CANARY.encode() + b"x")
    parts = jws(payload, header=header).split(".")
    assert opened(".".join(parts))

    def spoiled(change: Callable[[str], str]) -> str:
        return ".".join(change(text) if i == part else text for i, text in enumerate(parts))

    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    changes: list[Callable[[str], str]] = [
        lambda text: text + "==",
        lambda text: text + "=",
        lambda text: text + "\n",
        lambda text: " " + text,
        lambda text: text[:8] + "\n" + text[8:],
        lambda text: text[:8] + "+" + text[9:],
        lambda text: text[:8] + "/" + text[9:],
        lambda text: text[:8] + "?" + text[8:],
        lambda text: text[:8] + "=" + text[8:],
        lambda text: text[:8] + "é" + text[9:],
        lambda text: text[:8] + "\ud800" + text[9:],
        lambda text: text[:-1] + last[last.index(text[-1]) + 1],
    ]
    for change in changes:
        refused(JwsMalformed, lambda change=change: opened(spoiled(change)))


@pytest.mark.hostile("J12")
def test_j12_repeated_member() -> None:
    header = '{"alg":"ES256","typ":"dc+sd-jwt","alg":"ES256"}'
    refused(JwsMalformed, lambda: opened(jws(members(), header=header.encode())))
    for name in ("iss", "exp", "vct", "cnf"):
        text = dump_json(members(x=CANARY)).decode()
        doubled = text[:-1] + f',"{name}":{json.dumps(members()[name])}}}'
        refused(JwsMalformed, lambda doubled=doubled: opened(jws(doubled.encode())))
        # The same name by way of an escape is the same name.
        escaped = text[:-1] + f',"\\u{ord(name[0]):04x}{name[1:]}":1}}'
        refused(JwsMalformed, lambda escaped=escaped: opened(jws(escaped.encode())))
        refused(JwsMalformed, lambda doubled=doubled: check(presentation(doubled.encode())))


BAD_JSON = [
    b"",
    b"null",
    b"[]",
    b'"text"',
    b"5",
    b"{",
    b"{}{}",
    b"{} x",
    b"\xef\xbb\xbf{}",
    b'{"a":"\xff"}',
    b'{"a":"\xed\xa0\x80"}',
    b'{"a":"\\ud800"}',
    b'{"a":NaN}',
    b'{"a":Infinity}',
    b'{"a":-Infinity}',
    b'{"a":1e400}',
    b'{"a":01}',
    b"{'a':1}",
    b'{"a":1,}',
    b'{"a":"\n"}',
    b'{"a":' + b"[" * 17 + b"]" * 17 + b"}",
    b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}",
    b'{"a":' + b"1" * 5000 + b"}",
]


@pytest.mark.hostile("J13")
@pytest.mark.parametrize("text", BAD_JSON, ids=range(len(BAD_JSON)))
def test_j13_not_a_json_object(text: bytes) -> None:
    refused(JwsMalformed, lambda: opened(jws(text)))
    header = text.replace(b'{"a"', b'{"alg":"ES256","typ":"dc+sd-jwt","a"')
    refused(JwsMalformed, lambda: opened(jws(members(), header=header)))


@pytest.mark.hostile("J14")
@pytest.mark.parametrize("alg", ["ES256K", "ES384", "RS256", "PS256", "EdDSA", "Ed25519", "HS256", "es256"])
def test_j14_other_algorithms(alg: str) -> None:
    refused(AlgorithmRefused, lambda: opened(jws(members(), header={"alg": alg})))


@pytest.mark.hostile("J14")
def test_j14_keys_of_other_kinds() -> None:
    large = ec.generate_private_key(ec.SECP384R1()).public_key()
    koblitz = ec.generate_private_key(ec.SECP256K1()).public_key()
    for key in (large, koblitz):
        refused(KeyMalformed, lambda key=key: PublicKey.of(key))
    jwk = {"kty": "RSA", "n": b64u(b"\xc5" * 64), "e": "AQAB"}
    refused(KeyMalformed, lambda: PublicKey.from_jwk(jwk))
    for crv in ("P-384", "P-521", "secp256k1", "Ed25519", None):
        refused(KeyMalformed, lambda crv=crv: PublicKey.from_jwk({**ISSUER_PUBLIC.jwk(), "crv": crv}))


@pytest.mark.hostile("J15")
@pytest.mark.parametrize("extra", [{"b64": False}, {"b64": False, "crit": ["b64"]}, {"b64": True}])
def test_j15_unencoded_payload(extra: dict[str, Any]) -> None:
    refused(JwsMalformed, lambda: opened(jws(members(), header=extra)))


@pytest.mark.hostile("J16")
def test_j16_json_serialization() -> None:
    protected, payload, signature = jws(members()).split(".")
    wrong = jws(members(), key=ATTACKER_KEY).split(".")[2]
    one = {"payload": payload, "protected": protected, "signature": signature}
    many = {
        "payload": payload,
        "signatures": [
            {"protected": protected, "signature": signature},
            {"protected": protected, "signature": wrong},
        ],
    }
    for token in (
        json.dumps(one),
        json.dumps(many),
        f"{protected}.{payload}.{signature}.{wrong}",
        "",
        "..",
        ".",
    ):
        refused(JwsMalformed, lambda token=token: opened(token))


@pytest.mark.hostile("J8", "K10")
def test_a_signature_by_another_key_is_invalid() -> None:
    refused(SignatureInvalid, lambda: opened(jws(members(x=CANARY), key=HOLDER_KEY)))
    token = jws(members(x=CANARY), key=ATTACKER_KEY)
    refused(SignatureInvalid, lambda: check(bind(shown(token))))
