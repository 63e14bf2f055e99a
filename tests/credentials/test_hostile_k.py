"""Hostile key binding: a presentation is for one verifier, one request, one moment, by one key."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest
from sdjwt_forge import (
    ATTACKER_KEY,
    CANARY,
    CHAIN,
    CNF,
    HOLDER,
    HOLDER_KEY,
    ISSUER_KEY,
    NOW,
    SESSION,
    bind,
    binding,
    check,
    claims,
    counting,
    flat,
    jws,
    members,
    presentation,
    refused,
    shown,
)

from credentials.encoding import b64u, dump_json
from credentials.errors import (
    AudienceMismatch,
    ConfigurationInvalid,
    DisclosureHashMismatch,
    DisclosureMalformed,
    HolderBindingInvalid,
    HolderBindingMissing,
    JwsMalformed,
    KeyMalformed,
    NonceMismatch,
    PresentationStale,
    SdJwtMalformed,
    TransactionDataMismatch,
    TypMismatch,
)
from credentials.jose import encode_x5c
from credentials.keys import PublicKey
from credentials.model import EVERYTHING
from credentials.sdjwt import present

PAYLOAD, DISCLOSURES = flat({"a": CANARY, "b": 2})
SHOWN = shown(jws(PAYLOAD), *DISCLOSURES)
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def test_the_forged_presentation_is_valid_before_it_is_spoiled() -> None:
    assert check(bind(SHOWN)).claims == {"a": CANARY, "b": 2}


@pytest.mark.hostile("K1")
def test_k1_key_binding_stripped() -> None:
    refused(HolderBindingMissing, lambda: check(SHOWN))
    # Also where the credential names no key: it is the verifier who requires it.
    payload, disclosures = flat({"a": CANARY}, cnf=None)
    refused(HolderBindingMissing, lambda: check(shown(jws(payload), *disclosures)))
    refused(HolderBindingMissing, lambda: check(bind(shown(jws(payload), *disclosures))))


@pytest.mark.hostile("K2")
@pytest.mark.parametrize("change", [{"nonce": ""}, {"audience": ""}, {"nonce": "", "audience": ""}])
def test_k2_verifier_without_nonce_or_name(change: dict[str, Any]) -> None:
    session = replace(SESSION, **change)
    for token in (bind(SHOWN), bind(SHOWN, nonce=session.nonce, aud=session.audience), SHOWN, b""):
        refused(ConfigurationInvalid, lambda token=token: check(token, session=session))
    refused(
        ConfigurationInvalid,
        lambda: present(
            SHOWN, show=EVERYTHING, session=session, holder=HOLDER, now=NOW, randomness=counting()
        ),
    )


@pytest.mark.hostile("K3")
def test_k3_another_key() -> None:
    for key in (ATTACKER_KEY, ISSUER_KEY):
        refused(HolderBindingInvalid, lambda key=key: check(bind(SHOWN, key=key)))
    jwk = PublicKey.of(ATTACKER_KEY.public_key()).jwk()
    refused(JwsMalformed, lambda: check(bind(SHOWN, key=ATTACKER_KEY, header={"jwk": jwk})))
    x5c = {"x5c": encode_x5c(CHAIN), "kid": "attacker"}
    refused(HolderBindingInvalid, lambda: check(bind(SHOWN, key=ATTACKER_KEY, header=x5c)))
    # The wallet itself does not sign for a credential bound to another key.
    other = replace(HOLDER, public=PublicKey.of(ATTACKER_KEY.public_key()))
    refused(
        HolderBindingInvalid,
        lambda: present(
            SHOWN, show=EVERYTHING, session=SESSION, holder=other, now=NOW, randomness=counting()
        ),
    )


@pytest.mark.hostile("K4")
@pytest.mark.parametrize(
    "aud",
    [
        None,
        "",
        "https://attacker.example",
        SESSION.audience.removeprefix("x509_hash:"),
        SESSION.audience.upper(),
        SESSION.audience + "/",
        "origin:https://verifier.example",
        SESSION.response_uri,
        [SESSION.audience],
        [SESSION.audience, "https://attacker.example"],
        {"aud": SESSION.audience},
        1,
    ],
)
def test_k4_another_audience(aud: object) -> None:
    refused(AudienceMismatch, lambda: check(bind(SHOWN, aud=aud)))


@pytest.mark.hostile("K4")
def test_k4_credential_for_another_audience() -> None:
    for aud in ("https://attacker.example", ["https://attacker.example"], [], 5):
        refused(AudienceMismatch, lambda aud=aud: check(presentation(members(aud=aud))))
    for aud in (SESSION.audience, ["https://other.example", SESSION.audience]):
        assert check(presentation(members(aud=aud))).claims == {}


@pytest.mark.hostile("K5")
@pytest.mark.parametrize(
    "nonce", [None, "", "other", SESSION.nonce.upper(), SESSION.nonce + "=", 5, [SESSION.nonce]]
)
def test_k5_another_nonce(nonce: object) -> None:
    refused(NonceMismatch, lambda: check(bind(SHOWN, nonce=nonce)))
    # That a right nonce was not spent before is the protocol's to know: verify keeps no state.
    again = replace(SESSION, nonce="the next request")
    refused(NonceMismatch, lambda: check(bind(SHOWN), session=again))


@pytest.mark.hostile("K6")
def test_k6_made_at_another_time() -> None:
    for iat in (NOW - 86_400, NOW - 301, NOW + 61, NOW + 86_400, -1, 0, 2**63, 10**30):
        refused(PresentationStale, lambda iat=iat: check(bind(SHOWN, iat=iat)))
    for iat in (NOW - 300, NOW, NOW + 60):
        assert check(bind(SHOWN, iat=iat))
    for bad in (None, str(NOW), float(NOW), True, [NOW], {"iat": NOW}):
        refused(HolderBindingInvalid, lambda bad=bad: check(bind(SHOWN, iat=bad)))
    # If it limits itself further, that holds too (RFC 9901, 7.3 step 5.h).
    refused(PresentationStale, lambda: check(bind(SHOWN, exp=NOW)))
    refused(PresentationStale, lambda: check(bind(SHOWN, nbf=NOW + 61)))
    refused(SdJwtMalformed, lambda: check(bind(SHOWN, exp="soon")))
    assert check(bind(SHOWN, exp=NOW + 1, nbf=NOW))


@pytest.mark.hostile("K7")
def test_k7_over_other_disclosures() -> None:
    jwt = jws(PAYLOAD)
    a, b = DISCLOSURES
    whole = shown(jwt, a, b)
    token = bind(whole)[len(whole) :]
    assert check(whole + token)
    for other in (shown(jwt), shown(jwt, a), shown(jwt, b), shown(jwt, b, a)):
        refused(DisclosureHashMismatch, lambda other=other: check(other + token))
        mismatched = bind(other)[len(other) :]
        refused(DisclosureHashMismatch, lambda mismatched=mismatched: check(whole + mismatched))
    # The same claims, signed again by the issuer: other bytes.
    resigned = jws(PAYLOAD, header={"kid": "x"})
    refused(DisclosureHashMismatch, lambda: check(shown(resigned, a, b) + token))
    right = hashlib.sha256(whole).digest()
    for wrong in (
        None,
        "",
        5,
        [b64u(right)],
        b64u(right) + "=",
        right.hex(),
        b64u(hashlib.sha512(whole).digest()),
        b64u(hashlib.sha256(whole[:-1]).digest()),
    ):
        refused(DisclosureHashMismatch, lambda wrong=wrong: check(bind(whole, sd_hash=wrong)))


@pytest.mark.hostile("K8")
def test_k8_another_kind_of_token() -> None:
    for typ in ("KB+JWT", "JWT", "kb+jwt ", "application/kb+jwt", "dc+sd-jwt", "openid4vci-proof+jwt", ""):
        refused(TypMismatch, lambda typ=typ: check(bind(SHOWN, typ=typ)))
    refused(HolderBindingMissing, lambda: check(bind(SHOWN) + b"~"))
    token = bind(SHOWN)
    cut = len(SHOWN) + 10
    refused(DisclosureMalformed, lambda: check(token[:cut] + b"~" + token[cut:]))
    refused(JwsMalformed, lambda: check(bind(SHOWN) + b"." + b"AAAA"))


@pytest.mark.hostile("K9")
def test_k9_confirmation_key() -> None:
    secret = b64u(HOLDER_KEY.private_numbers().private_value.to_bytes(32, "big"))
    refused(KeyMalformed, lambda: check(presentation(members(cnf={"jwk": {**CNF["jwk"], "d": secret}}))))
    for cnf in ({"kid": "k"}, {}, {"x5t#S256": "x"}, [CNF], "k", 5):
        refused(HolderBindingMissing, lambda cnf=cnf: check(presentation(members(cnf=cnf))))
    for extra in ("kid", "jku", "jwe", "osc"):
        two = {**CNF, extra: "x"}
        refused(HolderBindingInvalid, lambda two=two: check(presentation(members(cnf=two))))
    for jwk in ([], "k", None, {}, {"kty": "oct", "k": "AA"}, [CNF["jwk"]]):
        refused(KeyMalformed, lambda jwk=jwk: check(presentation(members(cnf={"jwk": jwk}))))
    doubled = dump_json(members()).decode()[:-1] + f',"cnf":{dump_json(CNF).decode()}}}'
    refused(JwsMalformed, lambda: check(presentation(doubled.encode())))


@pytest.mark.hostile("K10")
def test_k10_the_other_s() -> None:
    def other_s(signature: bytes) -> bytes:
        s = int.from_bytes(signature[32:], "big")
        return signature[:32] + (ORDER - s).to_bytes(32, "big")

    usual = bind(SHOWN)
    variant = (
        SHOWN
        + jws(binding(SHOWN), key=HOLDER_KEY, typ="kb+jwt", header={"x5c": None}, signature=other_s).encode()
    )
    # Both are ECDSA, both say the same thing under the same nonce: what counts a replay counts nonces.
    assert usual != variant
    assert check(usual) == check(variant)
    spent: set[str] = set()
    accepted = 0
    for token in (usual, variant):
        if check(token) and SESSION.nonce not in spent:
            spent.add(SESSION.nonce)
            accepted += 1
    assert accepted == 1


DATA = (b64u(b'{"type":"payment"}'), b64u(b'{"type":"signature"}'))
HASHES = [b64u(hashlib.sha256(data.encode()).digest()) for data in DATA]
TRANSACTION = replace(SESSION, transaction_data=DATA)


@pytest.mark.hostile("K11")
def test_k11_transaction_data() -> None:
    assert check(bind(SHOWN, transaction_data_hashes=HASHES), session=TRANSACTION)
    alg: dict[str, Any] = {"transaction_data_hashes_alg": "sha-256"}
    assert check(bind(SHOWN, transaction_data_hashes=HASHES, **alg), session=TRANSACTION)
    wrong: list[dict[str, Any]] = [
        {},
        {"transaction_data_hashes": []},
        {"transaction_data_hashes": HASHES[:1]},
        {"transaction_data_hashes": HASHES[::-1]},
        {"transaction_data_hashes": [*HASHES, HASHES[0]]},
        {"transaction_data_hashes": HASHES[0]},
        {"transaction_data_hashes": list(DATA)},
        {"transaction_data_hashes": HASHES, "transaction_data_hashes_alg": "sha-512"},
        {"transaction_data_hashes": HASHES, "transaction_data_hashes_alg": ["sha-256"]},
    ]
    for changes in wrong:
        refused(
            TransactionDataMismatch,
            lambda changes=changes: check(bind(SHOWN, **changes), session=TRANSACTION),
        )
    # Approval that nobody asked for.
    refused(TransactionDataMismatch, lambda: check(bind(SHOWN, transaction_data_hashes=HASHES)))


@pytest.mark.hostile("K11")
def test_k11_the_wallet_approves_what_the_session_holds() -> None:
    from sdjwt_forge import ISSUER, SIGNER, START

    from credentials.model import Window
    from credentials.sdjwt import issue

    credential = issue(
        claims({"a": 1}),
        holder=HOLDER.public,
        window=Window(START, NOW + 1),
        status=None,
        issuer=ISSUER,
        signer=SIGNER,
        randomness=counting(),
    )
    token = present(
        credential, show=[("a",)], session=TRANSACTION, holder=HOLDER, now=NOW, randomness=counting()
    )
    assert check(token, session=TRANSACTION).claims == {"a": 1}
    refused(TransactionDataMismatch, lambda: check(token))
    # A presentation is not a credential to present again.
    refused(
        SdJwtMalformed,
        lambda: present(token, show=[], session=SESSION, holder=HOLDER, now=NOW, randomness=counting()),
    )
