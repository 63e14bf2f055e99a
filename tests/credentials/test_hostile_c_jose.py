"""Hostile sizes: refused before work is done, so an attacker pays more than we do."""

from __future__ import annotations

import tracemalloc
import zlib
from collections.abc import Callable

import pytest
from sdjwt_forge import (
    CANARY,
    HOLDER,
    HOLDER_KEY,
    bind,
    check,
    digest,
    disclosure,
    flat,
    jws,
    members,
    presentation,
    refused,
    shown,
)

from credentials import sdjwt
from credentials.disclosures import MAX_DIGESTS, process_payload
from credentials.encoding import b64u, dump_json
from credentials.errors import BauhiniaError, JweMalformed, TooLarge
from credentials.jose import MAX_HEADER_BYTES, MAX_TOKEN_BYTES, decrypt_jwe, encrypt_jwe, parse_compact


def cheaply(error: type[BauhiniaError], call: Callable[..., object], most: int = 1 << 20) -> None:
    """Refused without taking memory in proportion to the input."""
    tracemalloc.start()
    try:
        refused(error, call)
        assert tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()


@pytest.mark.hostile("C1")
def test_c1_large_segments() -> None:
    # 64 MiB stand in for 500: what counts is that nothing is decoded, and memory shows it.
    large = "A" * (64 << 20)
    for token in (f"{large}.e30.AA", f"e30.{large}.AA", f"e30.e30.{large}", large, "." * (64 << 20)):
        cheaply(TooLarge, lambda token=token: parse_compact(token, typ="dc+sd-jwt"))
    jwe = f"{large}....AA"
    cheaply(TooLarge, lambda: decrypt_jwe(jwe, private_key=HOLDER_KEY))
    for raw in (large.encode(), large.encode() + b"~"):
        cheaply(TooLarge, lambda raw=raw: check(raw))
    # Just over each limit, and a header that alone is too large.
    refused(TooLarge, lambda: parse_compact("A" * (MAX_TOKEN_BYTES + 1), typ="x"))
    refused(TooLarge, lambda: parse_compact("A" * (MAX_HEADER_BYTES + 1) + ".e30.AA", typ="x"))
    refused(TooLarge, lambda: decrypt_jwe("A" * (MAX_HEADER_BYTES + 1) + "....", private_key=HOLDER_KEY))


@pytest.mark.hostile("C2")
def test_c2_a_million_tildes() -> None:
    tildes = b"~" * 1_000_000
    cheaply(TooLarge, lambda: check(tildes))
    short = b"~" * (sdjwt.MAX_DISCLOSURES + 2)
    cheaply(TooLarge, lambda: check(short))
    payload, disclosures = flat({f"c{i}": CANARY for i in range(sdjwt.MAX_DISCLOSURES)})
    assert len(check(presentation(payload, *disclosures)).claims) == sdjwt.MAX_DISCLOSURES
    refused(TooLarge, lambda: check(presentation(payload, *disclosures, disclosure("more", CANARY))))


@pytest.mark.hostile("C3")
def test_c3_compressed_jwe() -> None:
    jwk = HOLDER.public.jwk()
    token = encrypt_jwe(zlib.compress(b"\0" * 10_000_000, 9), recipient_jwk=jwk, enc="A128GCM")
    assert len(decrypt_jwe(token, private_key=HOLDER_KEY)) < 20_000
    # jwcrypto authenticates the header, so the bomb is made with it, zip and all.
    from jwcrypto.jwe import JWE
    from jwcrypto.jwk import JWK

    header = dump_json({"alg": "ECDH-ES", "enc": "A128GCM", "zip": "DEF"}).decode()
    bomb = JWE(b"\0" * 10_000_000, header)
    bomb.add_recipient(JWK(**jwk))
    compact = str(bomb.serialize(compact=True))
    assert len(compact) < MAX_TOKEN_BYTES
    cheaply(JweMalformed, lambda: decrypt_jwe(compact, private_key=HOLDER_KEY))


@pytest.mark.hostile("C4")
def test_c4_a_million_digests() -> None:
    digests = [b64u(i.to_bytes(4, "big")) for i in range(1_000_000)]
    refused(TooLarge, lambda: process_payload({"_sd": digests}, []))
    refused(TooLarge, lambda: process_payload({"n": [{"...": d} for d in digests]}, []))
    refused(TooLarge, lambda: check(presentation(members(_sd=digests))))
    # As many as are allowed, and one more, wherever they stand.
    most = digests[:MAX_DIGESTS]
    assert process_payload({"_sd": most}, []) == {}
    refused(TooLarge, lambda: process_payload({"_sd": most, "n": [{"...": "x"}]}, []))
    made = disclosure("a", {"_sd": most})
    refused(TooLarge, lambda: process_payload({"_sd": [digest(made)]}, [made]))


@pytest.mark.hostile("C1")
def test_c1_large_key_binding() -> None:
    payload, disclosures = flat({"a": 1})
    whole = shown(jws(payload), *disclosures)
    refused(TooLarge, lambda: check(bind(whole, extra="x" * MAX_TOKEN_BYTES)))
