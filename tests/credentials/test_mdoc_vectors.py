"""ISO/IEC 18013-5:2021 Annex D: somebody else's mdoc, read and verified.

The example is authenticated with a device MAC, which this verifier refuses by policy (OpenID4VP has no key
agreement to make one); so the issuer's half is verified, and the whole is refused for that reason alone.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import load_vectors
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from pki_fixture import NOW

from credentials import mdoc
from credentials.encoding import dump_cbor, load_cbor
from credentials.errors import CredentialExpired, DeviceAuthInvalid, DigestMismatch
from credentials.keys import PublicKey
from credentials.model import Window

MDL = "org.iso.18013.5.1.mDL"
NAMESPACE = "org.iso.18013.5.1"


def seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


IN_2020 = seconds("2020-12-01T00:00:00")


def annex_d(name: str) -> bytes:
    return bytes.fromhex(load_vectors("iso18013-5-annex-d", "annex_d.json")[name])


class DocumentSignerTrust:
    """Believes the Annex D document signer and nobody else; the profile of our own PKI is another test's."""

    def __init__(self) -> None:
        self.certificate = x509.load_der_x509_certificate(annex_d("ds_cert"))

    def credential_signer(self, chain: Any, *, format: str, type: str, now: int, signed_at: int) -> Any:
        assert list(chain) == [annex_d("ds_cert")]
        assert (format, type, signed_at) == ("mso_mdoc", MDL, seconds("2020-10-01T13:30:02"))
        key = self.certificate.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        return SimpleNamespace(
            issuer="https://utopia.example",
            key=PublicKey.of(key),
            not_before=int(self.certificate.not_valid_before_utc.timestamp()),
            not_after=int(self.certificate.not_valid_after_utc.timestamp()),
        )


def transcript() -> bytes:
    return bytes(load_cbor(annex_d("session_transcript_bytes")).value)


def verify(response: bytes, now: int) -> Any:
    trust: Any = DocumentSignerTrust()
    return mdoc.verify_response(response, type=MDL, transcript=transcript(), trust=trust, now=now)


def test_document_is_read() -> None:
    document = mdoc.read_document(annex_d("device_response"))
    assert document.doctype == MDL
    assert document.mso.valid == Window(seconds("2020-10-01T13:30:02"), seconds("2021-10-01T13:30:02"))
    assert document.mso.status is None
    assert document.mso.device_key.point[1:33] == annex_d("static_device_key_x")
    assert document.mso.device_key.point[33:] == annex_d("static_device_key_y")
    assert {ns: len(digests) for ns, digests in document.mso.digests.items()} == {
        NAMESPACE: 13,
        f"{NAMESPACE}.US": 4,
    }


def test_six_items_have_their_digests() -> None:
    document = mdoc.read_document(annex_d("device_response"))
    items = document.items[NAMESPACE]
    assert [item.element for item in items] == [
        "family_name",
        "issue_date",
        "expiry_date",
        "document_number",
        "portrait",
        "driving_privileges",
    ]
    for item in items:
        assert document.mso.digests[NAMESPACE][item.digest_id] == hashlib.sha256(item.tagged).digest()


def test_issuer_half_verifies_at_a_time_when_it_was_valid() -> None:
    trust: Any = DocumentSignerTrust()
    document = mdoc.read_document(annex_d("device_response"))
    signer = mdoc.verify_issuer(document, type=MDL, trust=trust, now=IN_2020)
    assert signer.issuer == "https://utopia.example"


def test_expired_today() -> None:
    with pytest.raises(CredentialExpired):
        verify(annex_d("device_response"), NOW)


def test_device_mac_is_refused_by_policy() -> None:
    with pytest.raises(DeviceAuthInvalid):
        verify(annex_d("device_response"), IN_2020)


@pytest.mark.parametrize("position", range(6))
def test_each_item_counts(position: int) -> None:
    response = load_cbor(annex_d("device_response"))
    tag = response["documents"][0]["issuerSigned"]["nameSpaces"][NAMESPACE][position]
    found = load_cbor(tag.value)
    response["documents"][0]["issuerSigned"]["nameSpaces"][NAMESPACE][position] = type(tag)(
        24, dump_cbor(found | {"random": bytes(32)})
    )
    with pytest.raises(DigestMismatch):
        verify(dump_cbor(response), IN_2020)


def test_values_as_json() -> None:
    from credentials.mso import read_value

    document = mdoc.read_document(annex_d("device_response"))
    values = {item.element: read_value(item.value) for item in document.items[NAMESPACE]}
    assert values["issue_date"] == "2019-10-20"
    assert values["driving_privileges"][0] == {  # type: ignore[index]
        "vehicle_category_code": "A",
        "issue_date": "2018-08-09",
        "expiry_date": "2024-10-20",
    }
    assert isinstance(values["portrait"], str)
