"""Against pymdoccbor 1.4.0: it reads and verifies what is issued here, and its mdoc is read here.

It verifies the issuer's signature and the digests. It does not look at deviceSigned, validity or docType,
and it checks a chain by the machine's clock only, so those have no second opinion; nor can the fixed moment
of the test PKI judge its own mdoc, which says the machine's time in ``signed``.
"""

from __future__ import annotations

import hashlib

import cbor2
import pytest
from mdoc_fixture import AGE, DOCTYPE, HOLDER, ISO, SIGNER, VALUES, check, decode, mint, show
from pki_fixture import development_pki
from pymdoccbor.mdoc.issuer import MdocCborIssuer
from pymdoccbor.mdoc.verifier import MdocCbor

from credentials import mdoc
from credentials.encoding import dump_cbor, unb64u
from credentials.keys import PublicKey
from credentials.model import EVERYTHING
from credentials.mso import read_value

IDENTITY = development_pki().signers[mdoc.FORMAT, AGE.name]


@pytest.mark.parametrize("everything", [True, False])
def test_peer_verifies_what_is_presented_here(everything: bool) -> None:
    presentation = show(mint(), EVERYTHING if everything else [(ISO, "age_over_18")])
    peer = MdocCbor()
    peer.loads(unb64u(presentation))
    assert peer.verify()
    assert peer.status == 0
    assert [document.doctype for document in peer.documents] == [DOCTYPE]
    assert peer.documents[0].hash_verification["verified"] == (len(AGE.claims) if everything else 1)
    assert peer.disclosure_map == check(presentation).claims


def test_peer_refuses_the_altered_item_too() -> None:
    response = decode(unb64u(show(mint())))
    items = response["documents"][0]["issuerSigned"]["nameSpaces"][ISO]
    found = decode(items[0].value)
    items[0] = cbor2.CBORTag(24, dump_cbor(found | {"elementValue": not found["elementValue"]}))
    peer = MdocCbor()
    peer.loads(dump_cbor(response))
    assert not peer.verify()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_the_peer_issues_is_read_here() -> None:
    secret = IDENTITY.key.private_numbers().private_value.to_bytes(32, "big")
    key = {"KTY": "EC2", "CURVE": "P_256", "ALG": "ES256", "D": secret, "KID": b"peer"}
    point = HOLDER.public.point
    data = {ISO: {name: value for name, value in VALUES.items() if name.startswith("age_over")}}
    made = MdocCborIssuer(private_key=key, alg="ES256").new(
        data=data,
        doctype=DOCTYPE,
        validity={"issuance_date": "2026-01-01", "expiry_date": "2099-01-01"},
        devicekeyinfo={"KTY": "EC2", "CURVE": "P_256", "X": point[1:33], "Y": point[33:]},
        x509_chain=list(SIGNER.chain),
    )
    document = mdoc.read_document(cbor2.dumps(made))
    assert document.issuer_auth.chain(protected=False) == SIGNER.chain
    document.issuer_auth.verify(PublicKey.of(IDENTITY.key.public_key()))
    assert document.mso.device_key.point == point
    for item in document.items[ISO]:
        assert document.mso.digests[ISO][item.digest_id] == hashlib.sha256(item.tagged).digest()
    assert {item.element: read_value(item.value) for item in document.items[ISO]} == data[ISO]
