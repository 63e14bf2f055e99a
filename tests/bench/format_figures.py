"""Issue, present and verify of one format against the floor: the ECDSA and hashes that cannot be avoided.

The floor loads the same keys and signs, verifies and hashes the very bytes that the format does, taken from
one real presentation; it reads and writes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import ModuleType

import stage as st
from cbor2 import CBORTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from measure import Figure, against_floor, side_by_side

from credentials import mdoc, sdjwt
from credentials.encoding import dump_cbor, load_cbor, unb64u
from credentials.keys import PublicKey
from credentials.model import EVERYTHING
from credentials.trust import Trust

MODULES: dict[str, ModuleType] = {"sdjwt": sdjwt, "mdoc": mdoc}
FLOOR = "floor: ECDSA, keys, SHA-256"
_ES256 = ec.ECDSA(hashes.SHA256())


@cache
def stage_of(name: str) -> st.Stage:
    return st.stage(MODULES[name].FORMAT)


def issue_batch(name: str) -> list[bytes]:
    """Thirty copies: load the issuer's key once, read each holder's key, sign each copy."""
    stage = stage_of(name)
    signer = stage.signer()
    return [
        MODULES[name].issue(
            stage.claims,
            holder=PublicKey.from_point(point),
            window=stage.window,
            status=st.STATUS,
            issuer=st.ISSUER,
            signer=signer,
            randomness=st.RANDOM,
        )
        for point in stage.holder_points
    ]


def issue_floor(name: str) -> None:
    stage, least = stage_of(name), unavoidable(name)
    key = st.private_key(stage.signer_key)
    for point in stage.holder_points:
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
        for item in least.items:
            hashlib.sha256(item).digest()
        key.sign(least.issued, _ES256)


@cache
def credential(name: str) -> bytes:
    return issue_batch(name)[0]


def present_all(name: str) -> bytes:
    stage = stage_of(name)
    result: bytes = MODULES[name].present(
        credential(name),
        show=EVERYTHING,
        session=st.SESSION,
        holder=stage.holder(),
        now=st.NOW,
        randomness=st.RANDOM,
    )
    return result


@cache
def presentation(name: str) -> bytes:
    return present_all(name)


@dataclass(frozen=True)
class Unavoidable:
    """What of one presentation is hashed or signed; signatures are DER, as the library takes them."""

    items: list[bytes]
    session: bytes
    issued: bytes
    issued_signature: bytes
    bound: bytes
    bound_signature: bytes


@cache
def unavoidable(name: str) -> Unavoidable:
    parts = _mdoc_parts if name == "mdoc" else _sdjwt_parts
    return parts(presentation(name))


def _sdjwt_parts(presentation: bytes) -> Unavoidable:
    jwt, *disclosures, binding = presentation.split(b"~")
    issued, _, issued_signature = jwt.rpartition(b".")
    bound, _, bound_signature = binding.rpartition(b".")
    shown = presentation.removesuffix(binding)
    return Unavoidable(
        disclosures, shown, issued, _der(unb64u(issued_signature)), bound, _der(unb64u(bound_signature))
    )


def _mdoc_parts(presentation: bytes) -> Unavoidable:
    response = unb64u(presentation)
    document = mdoc.read_document(response)
    transcript = mdoc.session_transcript(st.SESSION)
    protected, _, payload, issued_signature = load_cbor(response)["documents"][0]["issuerSigned"][
        "issuerAuth"
    ]
    device, _, _, bound_signature = document.device_signed["deviceAuth"]["deviceSignature"]
    authentication = ["DeviceAuthentication", load_cbor(transcript), document.doctype, _tagged(dump_cbor({}))]
    return Unavoidable(
        [item.tagged for items in document.items.values() for item in items],
        transcript,
        dump_cbor(["Signature1", protected, b"", payload]),
        _der(issued_signature),
        dump_cbor(["Signature1", device, b"", dump_cbor(_tagged(dump_cbor(authentication)))]),
        _der(bound_signature),
    )


def _tagged(data: bytes) -> CBORTag:
    return CBORTag(24, data)


def _der(signature: bytes) -> bytes:
    return encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))


def present_floor(name: str) -> None:
    least = unavoidable(name)
    key = st.private_key(stage_of(name).holder_keys[0])
    hashlib.sha256(least.session).digest()
    key.sign(least.bound, _ES256)


@cache
def trust(name: str) -> Trust:
    """The trust list; its cache of chains is warm after the first use."""
    return stage_of(name).trust()


def verify(name: str, trust: Trust) -> object:
    module = MODULES[name]
    return module.verify(
        presentation(name),
        type=st.TYPE.identifier(module.FORMAT),
        session=st.SESSION,
        trust=trust,
        now=st.NOW,
    )


def verify_floor(name: str) -> None:
    stage, least = stage_of(name), unavoidable(name)
    for item in least.items:
        hashlib.sha256(item).digest()
    hashlib.sha256(least.session).digest()
    load = ec.EllipticCurvePublicKey.from_encoded_point
    load(ec.SECP256R1(), stage.signer_point).verify(least.issued_signature, least.issued, _ES256)
    load(ec.SECP256R1(), stage.holder_points[0]).verify(least.bound_signature, least.bound, _ES256)


def figures(name: str, *, verify_target: float) -> dict[str, Callable[[], Figure]]:
    def issue() -> Figure:
        batch, floor = side_by_side(lambda: issue_batch(name), lambda: issue_floor(name))
        copy = batch / st.BATCH * 1e3
        return Figure(f"{name}.issue", copy, "ms", f"{FLOOR}", batch / floor, "ratio <= 3", 15)

    def cold() -> Figure:
        """As verify, and the trust list is opened and the chain checked anew each time."""
        stage = stage_of(name)
        value, floor = side_by_side(lambda: verify(name, stage.trust()), lambda: verify_floor(name))
        return Figure(
            f"{name}.verify.cold", value * 1e3, "ms", FLOOR, value / floor, "none: for information", 15
        )

    return {
        f"{name}.issue": issue,
        f"{name}.present": lambda: against_floor(
            f"{name}.present", lambda: present_all(name), lambda: present_floor(name), FLOOR, None
        ),
        f"{name}.verify": lambda: against_floor(
            f"{name}.verify",
            lambda: verify(name, trust(name)),
            lambda: verify_floor(name),
            FLOOR,
            verify_target,
        ),
        f"{name}.verify.cold": cold,
    }
