"""Issue, present and verify of one format against the floor: the ECDSA and hashes that cannot be avoided."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from types import ModuleType

import stage as st
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from measure import Figure, against_floor, side_by_side

from credentials import mdoc, sdjwt
from credentials.keys import PublicKey
from credentials.model import EVERYTHING

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
    stage = stage_of(name)
    key = st.private_key(stage.signer_key)
    message, item = bytes(2000 if name == "mdoc" else 1200), bytes(96)
    for point in stage.holder_points:
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
        for _ in st.TYPE.claims:
            hashlib.sha256(item).digest()
        key.sign(message, _ES256)


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


def present_floor(name: str) -> None:
    key = st.private_key(stage_of(name).holder_keys[0])
    hashlib.sha256(credential(name)).digest()
    key.sign(bytes(300), _ES256)


@cache
def verify_inputs(name: str) -> tuple[bytes, object, bytes, bytes, bytes]:
    """Presentation, trust (its chain cache warm), and what the floor needs: a signature on each of two messages."""
    stage = stage_of(name)
    message, binding = bytes(2000 if name == "mdoc" else 1200), bytes(300)
    return (
        present_all(name),
        stage.trust(),
        st.private_key(stage.signer_key).sign(message, _ES256),
        st.private_key(stage.holder_keys[0]).sign(binding, _ES256),
        message,
    )


def verify(name: str, trust: object) -> object:
    module = MODULES[name]
    return module.verify(
        verify_inputs(name)[0],
        type=st.TYPE.identifier(module.FORMAT),
        session=st.SESSION,
        trust=trust,
        now=st.NOW,
    )


def verify_floor(name: str) -> None:
    stage = stage_of(name)
    presentation, _, issued, bound, message = verify_inputs(name)
    item = bytes(96)
    for _ in st.TYPE.claims:
        hashlib.sha256(item).digest()
    hashlib.sha256(presentation).digest()
    load = ec.EllipticCurvePublicKey.from_encoded_point
    load(ec.SECP256R1(), stage.signer_point).verify(issued, message, _ES256)
    load(ec.SECP256R1(), stage.holder_points[0]).verify(bound, bytes(300), _ES256)


def figures(name: str, *, verify_target: float) -> dict[str, Callable[[], Figure]]:
    def issue() -> Figure:
        batch, floor = side_by_side(lambda: issue_batch(name), lambda: issue_floor(name))
        copy = batch / st.BATCH * 1e3
        return Figure(
            f"{name}.issue", copy, "ms", f"{FLOOR}", batch / floor, "ratio <= 3", 15
        )

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
            lambda: verify(name, verify_inputs(name)[1]),
            lambda: verify_floor(name),
            FLOOR,
            verify_target,
        ),
        f"{name}.verify.cold": cold,
    }
