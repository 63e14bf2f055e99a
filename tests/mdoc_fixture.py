"""An mdoc of ``age/1`` under the development PKI, and presentations put together with one thing wrong.

``from mdoc_fixture import forge, mint, show, check``. Everything is synthetic.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, TypeAlias

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec
from pki_fixture import NOW, signer, trust

from credentials import encoding, mdoc
from credentials.catalog import load_catalogue
from credentials.cose import sign1
from credentials.encoding import b64u, unb64u
from credentials.keys import HolderKey, PublicKey, software_sign
from credentials.model import (
    EVERYTHING,
    ClaimPath,
    Claims,
    Disclosed,
    Everything,
    Session,
    StatusRef,
    Value,
    Window,
)

DAY: Final = 86_400
AGE: Final = load_catalogue().types["age/1"]
DOCTYPE: Final = AGE.doctype
ISO: Final = "org.iso.23220.1"
OWN: Final = DOCTYPE
WINDOW: Final = Window(NOW, NOW + 7 * DAY)
STATUS: Final = StatusRef("https://issuer.test/status/age-1/2026-11-22", 421_337)
SESSION: Final = Session(
    "x509_hash:Uvo3HtuIxuhC92rShpgqcT3YXwrqRxWEviRiA0OZszk",
    "n-0S6_WzA2Mj",
    "https://verifier.test/response/1",
    bytes(range(32)),
)
VALUES: Final[Mapping[str, Value]] = {
    claim.name: "21-59" if claim.enum else claim.name not in ("age_over_60", "age_over_65", "age_over_70")
    for claim in AGE.claims
}
SIGNER: Final = signer(mdoc.FORMAT, AGE.name)


def holder_key(secret: int) -> HolderKey:
    key = ec.derive_private_key(secret, ec.SECP256R1())
    return HolderKey(software_sign(key), PublicKey.of(key.public_key()))


HOLDER: Final = holder_key(0x5EED)


def mint(values: Mapping[str, Value] = VALUES, **changed: Any) -> bytes:
    arguments: dict[str, Any] = {
        "holder": HOLDER.public,
        "window": WINDOW,
        "status": STATUS,
        "issuer": "https://issuer.test",
        "signer": SIGNER,
        "randomness": os.urandom,
    }
    return mdoc.issue(Claims(changed.pop("type", AGE), values), **arguments | changed)


def show(
    credential: bytes,
    show: Collection[ClaimPath] | Everything = EVERYTHING,
    *,
    session: Session = SESSION,
    holder: HolderKey = HOLDER,
) -> bytes:
    return mdoc.present(credential, show=show, session=session, holder=holder, now=NOW, randomness=os.urandom)


def check(
    presentation: bytes,
    *,
    type: str = DOCTYPE,
    session: Session = SESSION,
    now: int = NOW,
    trusted: Any = None,
) -> Disclosed:
    return mdoc.verify(presentation, type=type, session=session, trust=trusted or trust(), now=now)


def decode(data: bytes) -> Any:
    """CBOR without the strictness, and still without turning tags into objects."""
    return cbor2.loads(data, semantic_decoders=encoding._INERT_TAGS)


Edit: TypeAlias = Callable[[Any], Any]
"""Changes a decoded structure in place, or returns another in its place."""


def _edited(value: Any, edit: Edit | None) -> Any:
    changed = edit(value) if edit else None
    return value if changed is None else changed


def forge(
    *,
    items: Edit | None = None,
    vouched: bool = True,
    mso: Edit | None = None,
    mso_bytes: Edit | None = None,
    issuer_auth: Edit | None = None,
    device_namespaces: bytes = b"\xa0",
    device_auth: Edit | None = None,
    document: Edit | None = None,
    response: Edit | None = None,
    session: Session = SESSION,
    credential: bytes | None = None,
    written: Edit | None = None,
) -> bytes:
    """A presentation of everything, edited on its way; what is signed is signed after the edit.

    ``items`` gets ``{namespace: [inner bytes]}``; with ``vouched`` their digests are written into the MSO
    anew, as a careless issuer would, without it the MSO stays that of the honest credential. ``mso`` gets the
    decoded MSO, ``mso_bytes`` its encoding, ``issuer_auth``, ``device_auth``, ``document``, ``response`` what
    they are called, after signing, ``written`` the final bytes.
    """
    issuer_signed = decode(unb64u(credential or mint()))
    inner = {ns: [tag.value for tag in tags] for ns, tags in issuer_signed["nameSpaces"].items()}
    auth = issuer_signed["issuerAuth"]
    mobile = decode(decode(auth[2]).value)
    inner = _edited(inner, items)
    if items and vouched:
        for namespace, entries in inner.items():
            for entry in entries:
                digest = hashlib.sha256(cbor2.dumps(cbor2.CBORTag(24, entry))).digest()
                number = decode(entry)["digestID"]
                mobile["valueDigests"].setdefault(namespace, {})[number] = digest
    mobile = _edited(mobile, mso)
    payload = cbor2.dumps(cbor2.CBORTag(24, _edited(cbor2.dumps(mobile), mso_bytes)))
    auth = sign1(payload, sign=SIGNER.sign, protected={}, unprotected=auth[1], detached=False, tagged=False)
    doctype = mobile["docType"]
    name_spaces = cbor2.CBORTag(24, device_namespaces)
    transcript = decode(mdoc.session_transcript(session))
    authentication = cbor2.dumps(["DeviceAuthentication", transcript, doctype, name_spaces])
    signature = sign1(
        cbor2.dumps(cbor2.CBORTag(24, authentication)),
        sign=HOLDER.sign,
        protected={},
        unprotected={},
        detached=True,
        tagged=False,
    )
    name = {ns: [cbor2.CBORTag(24, entry) for entry in entries] for ns, entries in inner.items()}
    whole = {
        "docType": doctype,
        "issuerSigned": {"nameSpaces": name, "issuerAuth": _edited(auth, issuer_auth)},
        "deviceSigned": {
            "nameSpaces": name_spaces,
            "deviceAuth": _edited({"deviceSignature": signature}, device_auth),
        },
    }
    answer = {"version": "1.0", "documents": [_edited(whole, document)], "status": 0}
    return b64u(_edited(cbor2.dumps(_edited(answer, response)), written)).encode()


def item(position: int, change: Callable[[dict[str, Any]], Any], *, namespace: str = ISO) -> Edit:
    """An edit for ``items`` that changes one decoded item."""

    def edit(inner: dict[str, list[bytes]]) -> None:
        inner[namespace][position] = cbor2.dumps(_edited(decode(inner[namespace][position]), change))

    return edit


def put(path: str, value: object) -> Edit:
    """An edit that sets a member, ``"validityInfo/signed"``, or removes it (``value`` is ``...``)."""

    def edit(structure: Any) -> None:
        *parents, last = path.split("/")
        for parent in parents:
            structure = structure[parent]
        if value is ...:
            del structure[last]
        else:
            structure[last] = value

    return edit
