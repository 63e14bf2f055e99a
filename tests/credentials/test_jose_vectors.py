"""JOSE, ECDSA and JSON against Project Wycheproof and JSONTestSuite."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import load_vectors, vectors
from cryptography.hazmat.primitives.asymmetric import ec

from credentials.encoding import b64u, dump_json, load_json, unb64u
from credentials.errors import (
    BauhiniaError,
    JsonMalformed,
    JweMalformed,
    KeyMalformed,
    SignatureInvalid,
    TooLarge,
)
from credentials.jose import decrypt_jwe, parse_compact
from credentials.keys import PublicKey

WYCHEPROOF = "wycheproof"


def groups(file: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = load_vectors(WYCHEPROOF, f"testvectors_v1/{file}_test.json")["testGroups"]
    return found


def retyped(token: str) -> str | None:
    """The typ in the header of a token, for the caller who must name one; ``None`` if it cannot be read."""
    try:
        header = load_json(unb64u(token.split(".")[0]))
        return header.get("typ") if isinstance(header, dict) else None
    except BauhiniaError:
        return None


# Vectors carry no typ. The expected one is then "the typ that is absent": it differs from every string,
# so a valid vector is read through its own header and the rest of the splitter is what is tested.
class _Absent(str):
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        return other is None

    def __ne__(self, other: object) -> bool:
        return other is not None


# Valid signatures whose key is marked for encryption: what a JWK is for, the place it stands in says here
# (cnf, epk, the response encryption key), and its ``use`` is not read.
ENCRYPTION_KEYS = {354, 356}


def test_json_web_signature() -> None:
    accepted: list[int] = []
    refused = 0
    for group in groups("json_web_signature"):
        public = group.get("public")
        for case in group["tests"]:
            token = case["jws"]
            token = token if isinstance(token, str) else dump_json(token).decode()
            typ = retyped(token) or _Absent("absent")
            try:
                key = PublicKey.from_jwk(public if public is not None else group["private"])
                jws = parse_compact(token, typ=typ)
                jws.check_signature(key)
            except BauhiniaError:
                # A key or an algorithm that is not ES256 is refused, valid or not.
                es256 = (public or {}).get("alg") == "ES256"
                assert case["result"] != "valid" or not es256, f"tc{case['tcId']}"
                refused += 1
                continue
            assert case["result"] == "valid" or case["tcId"] in ENCRYPTION_KEYS, f"tc{case['tcId']}"
            accepted.append(case["tcId"])
    # tc18 and tc378 are the valid ES256 tokens; nothing else of 401 may pass.
    assert (sorted(accepted), refused) == ([18, 354, 356, 378], 397)


def test_ecdsa_p256_raw_signatures() -> None:
    accepted = 0
    for group in groups("ecdsa_secp256r1_sha256_p1363"):
        key = PublicKey.from_point(bytes.fromhex(group["publicKey"]["uncompressed"]))
        for case in group["tests"]:
            try:
                key.verify(bytes.fromhex(case["sig"]), bytes.fromhex(case["msg"]))
            except SignatureInvalid:
                assert case["result"] == "invalid", f"tc{case['tcId']}"
            else:
                assert case["result"] == "valid", f"tc{case['tcId']}"
                accepted += 1
    assert accepted == 173


def private_of(jwk: dict[str, Any]) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(int.from_bytes(unb64u(jwk["d"]), "big"), ec.SECP256R1())


def test_json_web_encryption() -> None:
    opened, refused = 0, 0
    other = ec.derive_private_key(7, ec.SECP256R1())
    for group in groups("json_web_encryption"):
        jwk = group["private"]
        ours = jwk.get("kty") == "EC" and jwk.get("crv") == "P-256" and "d" in jwk
        key = private_of(jwk) if ours else other
        for case in group["tests"]:
            token = case["jwe"] if isinstance(case["jwe"], str) else dump_json(case["jwe"]).decode()
            try:
                plaintext = decrypt_jwe(token, private_key=key)
            except (JweMalformed, TooLarge):
                header = load_json(unb64u(token.split(".")[0])) if case["result"] == "valid" else {}
                supported = header.get("alg") == "ECDH-ES" and header.get("enc") in ("A128GCM", "A256GCM")
                assert not (ours and supported), f"tc{case['tcId']}"
                refused += 1
                continue
            assert case["result"] == "valid", f"tc{case['tcId']}"
            assert plaintext == bytes.fromhex(case["pt"])
            opened += 1
    assert opened + refused == 139
    assert opened == 2


def test_json_web_key() -> None:
    """EC keys of other curves, other types and damaged ones: refused, and never by another exception."""
    for group in groups("json_web_key"):
        for jwk in (group.get("public"), group.get("private")):
            keys = jwk.get("keys", [jwk]) if isinstance(jwk, dict) else []
            for key in keys:
                try:
                    read = PublicKey.from_jwk(key)
                except KeyMalformed:
                    continue
                assert read.jwk().items() <= key.items()


# y_ cases that our limits refuse: none of the suite nests deeper than 16 or has a lone surrogate.
REFUSED_ANYWAY: dict[str, str] = {
    "y_object_duplicated_key.json": "RFC 8259 says names SHOULD be unique; two readers could disagree",
    "y_object_duplicated_key_and_value.json": "the same",
}


def _suite() -> list[Path]:
    return sorted((vectors("json-test-suite") / "test_parsing").glob("*.json"))


def test_json_test_suite() -> None:
    counted = {"y": 0, "n": 0, "i": 0}
    for path in _suite():
        counted[path.name[0]] += 1
        data = path.read_bytes()
        try:
            load_json(data)
        except (JsonMalformed, TooLarge):
            assert path.name[0] != "y" or path.name in REFUSED_ANYWAY, path.name
        else:
            assert path.name[0] != "n", path.name
            assert path.name not in REFUSED_ANYWAY, path.name
    assert counted == {"y": 95, "n": 188, "i": 35}


@pytest.mark.parametrize("depth", [16, 17, 100_000])
def test_nesting_limit(depth: int) -> None:
    text = "[" * depth + "]" * depth
    if depth <= 16:
        load_json(text)
    else:
        with pytest.raises(JsonMalformed):
            load_json(text)


def test_base64url_of_wycheproof_headers_is_read_back() -> None:
    for group in groups("json_web_signature"):
        for case in group["tests"]:
            if case["result"] == "valid" and isinstance(case["jws"], str):
                for part in case["jws"].split("."):
                    try:
                        assert b64u(unb64u(part)) == part
                    except BauhiniaError:
                        assert "?" in part  # tc372 and tc373, labelled valid: the text is not base64url.
