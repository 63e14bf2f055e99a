"""Group M of the hostile catalogue: mdoc, COSE, CBOR. One test an id; the error code is exact."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from mdoc_fixture import (
    AGE,
    DAY,
    DOCTYPE,
    HOLDER,
    ISO,
    OWN,
    SESSION,
    SIGNER,
    WINDOW,
    check,
    forge,
    item,
    mint,
    put,
    show,
)
from pki_fixture import NOW, development_pki, trust

from bauhinia.pki import Identity
from credentials.cose import sign1
from credentials.encoding import b64u, dump_cbor, unb64u
from credentials.errors import (
    AlgorithmRefused,
    BauhiniaError,
    CborMalformed,
    CertificateExpired,
    ChainInvalid,
    ClaimCollision,
    CoseMalformed,
    CredentialExpired,
    CredentialNotYetValid,
    DeviceAuthInvalid,
    DeviceDataUnauthorised,
    DigestAlgorithmRefused,
    DigestMismatch,
    DigestRepeated,
    HolderBindingMissing,
    KeyMalformed,
    MdocMalformed,
    SignatureInvalid,
    StatusReferenceInvalid,
    TooLarge,
    TypeMismatch,
)
from credentials.keys import software_sign
from credentials.mso import tag24

PLACES = [
    (namespace, position)
    for namespace in (ISO, OWN)
    for position in range(len([claim for claim in AGE.claims if claim.namespace == namespace]))
]


def refused(error: type[BauhiniaError], presentation: bytes, **context: Any) -> str:
    """Verifying raises exactly ``error``, and the message holds no claim value; returns the message."""
    with pytest.raises(error) as caught:
        check(presentation, **context)
    assert type(caught.value) is error
    assert caught.value.code == error.code
    message = str(caught.value)
    assert not any(value in message for value in ("21-59", "True", "False"))
    return message


def tdate(text: str) -> cbor2.CBORTag:
    return cbor2.CBORTag(0, text)


def test_an_unedited_forgery_is_accepted() -> None:
    """Else every refusal below would prove nothing."""
    assert check(forge()).claims == check(show(mint())).claims
    assert check(forge(items=lambda inner: None, mso=lambda mso: None)).claims == check(forge()).claims


@pytest.mark.hostile("M1")
@pytest.mark.parametrize(("namespace", "position"), PLACES)
def test_m1_item_altered(namespace: str, position: int) -> None:
    def flip(entry: dict[str, Any]) -> None:
        value = entry["elementValue"]
        entry["elementValue"] = not value if isinstance(value, bool) else "18-20"

    refused(DigestMismatch, forge(items=item(position, flip, namespace=namespace), vouched=False))


@pytest.mark.hostile("M2")
def test_m2_digest_id_without_a_digest() -> None:
    refused(DigestMismatch, forge(items=item(0, put("digestID", 40)), vouched=False))
    refused(DigestMismatch, forge(mso=lambda mso: mso["valueDigests"].pop(ISO) and None))


@pytest.mark.hostile("M2")
def test_m2_digest_id_in_two_items() -> None:
    def repeat(inner: dict[str, list[bytes]]) -> None:
        inner[ISO].append(inner[ISO][0])

    refused(DigestRepeated, forge(items=repeat, vouched=False))


@pytest.mark.hostile("M2")
@pytest.mark.parametrize("number", [-1, 1 << 31, 1 << 63, "0", True, 1.0, None, b"\x00"])
def test_m2_digest_id_of_another_kind(number: object) -> None:
    refused(MdocMalformed, forge(items=item(0, put("digestID", number)), vouched=False))
    refused(
        MdocMalformed,
        forge(mso=lambda mso: mso["valueDigests"].update({"example.other": {number: bytes(32)}})),
    )


@pytest.mark.hostile("M2")
@pytest.mark.parametrize("digest", [bytes(31), bytes(33), "x" * 32, None])
def test_m2_digest_of_another_length(digest: object) -> None:
    refused(MdocMalformed, forge(mso=lambda mso: mso["valueDigests"][ISO].update({40: digest})))


@pytest.mark.hostile("M2")
@pytest.mark.parametrize("digests", [{}, [], None])
def test_m2_namespace_without_digests(digests: object) -> None:
    refused(MdocMalformed, forge(mso=lambda mso: mso["valueDigests"].update({"example.other": digests})))


@pytest.mark.hostile("M3")
def test_m3_item_moved_to_another_namespace() -> None:
    def move(inner: dict[str, list[bytes]]) -> None:
        inner[OWN].append(inner[ISO].pop(0))

    refused(DigestMismatch, forge(items=move, vouched=False))


@pytest.mark.hostile("M3")
def test_m3_element_renamed() -> None:
    refused(DigestMismatch, forge(items=item(0, put("elementIdentifier", "age_over_99")), vouched=False))


@pytest.mark.hostile("M3")
def test_m3_element_twice() -> None:
    """Two items, each with a digest of its own, that say the same element: which one would count?"""

    def twice(inner: dict[str, list[bytes]]) -> None:
        entry = cbor2.loads(inner[ISO][0])
        entry |= {"digestID": 40, "elementValue": not entry["elementValue"]}
        inner[ISO].append(cbor2.dumps(entry))

    refused(ClaimCollision, forge(items=twice))


@pytest.mark.hostile("M3")
@pytest.mark.parametrize("name", ["", 7, None, b"age_over_18"])
def test_m3_element_without_a_name(name: object) -> None:
    refused(MdocMalformed, forge(items=item(0, put("elementIdentifier", name))))


@pytest.mark.hostile("M4")
def test_m4_doctype() -> None:
    other = "example.bauhinia.residency.1"
    refused(TypeMismatch, forge(document=put("docType", other)))
    refused(TypeMismatch, forge(document=put("docType", other)), type=other)
    refused(TypeMismatch, forge(mso=put("docType", other), document=put("docType", DOCTYPE)))
    refused(TypeMismatch, forge(), type=other)
    refused(MdocMalformed, forge(document=put("docType", 7)))
    refused(MdocMalformed, forge(mso=put("docType", ""), document=put("docType", DOCTYPE)))


@pytest.mark.hostile("M5")
def test_m5_outside_its_validity() -> None:
    refused(CredentialExpired, forge(), now=WINDOW.end)
    refused(CredentialExpired, forge(), now=WINDOW.end + 30 * DAY)
    assert check(forge(), now=WINDOW.end - 1)
    future = forge(mso=put("validityInfo/validFrom", tdate("2026-11-23T00:00:00Z")))
    refused(CredentialNotYetValid, future)
    refused(CredentialNotYetValid, future, now=NOW + DAY - 1)
    assert check(future, now=NOW + DAY)


@pytest.mark.hostile("M5")
@pytest.mark.parametrize(
    ("name", "when"),
    [
        ("validUntil", "2026-11-21T00:00:00Z"),
        ("validUntil", "2026-11-22T00:00:00Z"),
        ("signed", "2026-11-22T00:00:01Z"),
    ],
)
def test_m5_validity_that_contradicts_itself(name: str, when: str) -> None:
    refused(MdocMalformed, forge(mso=put(f"validityInfo/{name}", tdate(when))))


@pytest.mark.hostile("M5")
def test_m5_signed_outside_the_certificate() -> None:
    refused(CertificateExpired, forge(mso=put("validityInfo/signed", tdate("2026-11-19T23:59:59Z"))))


class _LenientTrust:
    """A trust list that does not look at the time of signing itself."""

    def credential_signer(self, chain: Any, *, signed_at: int, **scope: Any) -> Any:
        return trust().credential_signer(chain, signed_at=NOW, **scope)


@pytest.mark.hostile("M5")
def test_m5_signed_outside_the_certificate_is_refused_here_too() -> None:
    early = forge(mso=put("validityInfo/signed", tdate("2026-11-19T23:59:59Z")))
    refused(CertificateExpired, early, trusted=_LenientTrust())


@pytest.mark.hostile("M6")
@pytest.mark.parametrize("algorithm", ["SHA-1", "SHA-512", "sha-256", "", None, -16])
def test_m6_digest_algorithm(algorithm: object) -> None:
    refused(DigestAlgorithmRefused, forge(mso=put("digestAlgorithm", algorithm)))


def header(protected: Any, unprotected: dict[Any, Any] | None = None) -> Callable[[list[Any]], list[Any]]:
    """An edit for ``issuer_auth``: other headers, signed properly with the issuer's key."""

    def edit(auth: list[Any]) -> list[Any]:
        phdr = protected if isinstance(protected, bytes) else dump_cbor(protected)
        signature = SIGNER.sign(dump_cbor(["Signature1", phdr, b"", auth[2]]))
        return [phdr, auth[1] | (unprotected or {}), auth[2], signature]

    return edit


@pytest.mark.hostile("M7")
@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(header({}, {1: -7}), id="unprotected"),
        pytest.param(header(b"", {1: -7}), id="unprotected-empty"),
        pytest.param(header({1: -7}, {1: -7}), id="both"),
        pytest.param(header({1: -35}), id="ES384"),
        pytest.param(header({1: 5}), id="HMAC"),
        pytest.param(header({1: 0}), id="none"),
        pytest.param(header({1: "ES256"}), id="text"),
        pytest.param(header({1: -7.0}), id="float"),
        pytest.param(header({}), id="missing"),
        pytest.param(header(b""), id="empty"),
    ],
)
def test_m7_algorithm(edit: Any) -> None:
    refused(AlgorithmRefused, forge(issuer_auth=edit))


@pytest.mark.hostile("M7")
@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(header({1: -7, 2: [99], 99: True}), id="crit"),
        pytest.param(header({1: -7}, {2: [99]}), id="crit-unprotected"),
        pytest.param(header({True: -7, 1.5: 0}), id="labels"),
        pytest.param(header(dump_cbor([1, -7])), id="array"),
    ],
)
def test_m7_header(edit: Any) -> None:
    refused(CoseMalformed, forge(issuer_auth=edit))


def identity(curve: ec.EllipticCurve, *, self_signed: bool = False) -> Identity:
    """A certificate like the issuer's, over another key, by the development root or by itself."""
    from bauhinia import pki

    key = ec.generate_private_key(curve)
    root = development_pki().root
    certificate = pki._certificate(  # pyright: ignore[reportPrivateUsage]
        "mdoc signer of age/1", key, root, purpose="1.0.18013.5.1.2", now=NOW, days=100
    )
    if self_signed:
        under = Identity(key, certificate)
        certificate = pki._certificate(  # pyright: ignore[reportPrivateUsage]
            "mdoc signer of age/1", key, under, purpose="1.0.18013.5.1.2", now=NOW, days=100
        )
    return Identity(key, certificate)


@pytest.mark.hostile("M7")
def test_m7_issuer_key_on_another_curve() -> None:
    other = identity(ec.SECP384R1())

    def edit(auth: list[Any]) -> list[Any]:
        der = other.key.sign(dump_cbor(["Signature1", auth[0], b"", auth[2]]), ec.ECDSA(hashes.SHA256()))
        return [auth[0], {33: other.der}, auth[2], der]

    refused(AlgorithmRefused, forge(issuer_auth=edit))


@pytest.mark.hostile("M8")
def test_m8_payload_detached() -> None:
    refused(CoseMalformed, forge(issuer_auth=lambda auth: [*auth[:2], None, auth[3]]))
    refused(CoseMalformed, forge(issuer_auth=lambda auth: [*auth[:2], "payload", auth[3]]))


@pytest.mark.hostile("M8")
def test_m8_payload_replaced() -> None:
    other = cbor2.loads(unb64u(mint({"age_band": "70+"})))["issuerAuth"][2]
    refused(SignatureInvalid, forge(issuer_auth=lambda auth: [*auth[:2], other, auth[3]]))


@pytest.mark.hostile("M8")
@pytest.mark.parametrize("context", ["Signature", "MAC0", "CounterSignature", "signature1"])
def test_m8_context_string(context: str) -> None:
    def sign(phdr: bytes, payload: bytes) -> bytes:
        return SIGNER.sign(dump_cbor([context, phdr, b"", payload]))

    refused(SignatureInvalid, forge(issuer_auth=lambda auth: [*auth[:3], sign(auth[0], auth[2])]))


@pytest.mark.hostile("M8")
def test_m8_external_data_or_der_signature() -> None:
    def external(auth: list[Any]) -> list[Any]:
        return [*auth[:3], SIGNER.sign(dump_cbor(["Signature1", auth[0], b"x", auth[2]]))]

    refused(SignatureInvalid, forge(issuer_auth=external))
    refused(SignatureInvalid, forge(issuer_auth=lambda auth: [*auth[:3], auth[3] + b"\x00"]))
    refused(SignatureInvalid, forge(issuer_auth=lambda auth: [*auth[:3], bytes(64)]))


@pytest.mark.hostile("M8")
def test_m8_shape() -> None:
    refused(CoseMalformed, forge(issuer_auth=lambda auth: cbor2.CBORTag(18, auth)))
    refused(CoseMalformed, forge(issuer_auth=lambda auth: auth[:3]))
    refused(CoseMalformed, forge(issuer_auth=lambda auth: {"signature": auth[3]}))
    refused(CoseMalformed, forge(issuer_auth=lambda auth: ["", *auth[1:]]))
    refused(CoseMalformed, forge(issuer_auth=lambda auth: [*auth[:3], None]))
    refused(CoseMalformed, forge(issuer_auth=lambda auth: [auth[0], [], *auth[2:]]))


def _with_chain(chain: Any) -> Callable[[list[Any]], list[Any]]:
    return lambda auth: [auth[0], {33: chain}, *auth[2:]]


@pytest.mark.hostile("M9")
def test_m9_x5chain() -> None:
    leaf = SIGNER.chain[0]
    root = development_pki().root.certificate.public_bytes(Encoding.DER)
    refused(ChainInvalid, forge(issuer_auth=lambda auth: [auth[0], {}, *auth[2:]]))
    refused(ChainInvalid, forge(issuer_auth=lambda auth: header({1: -7, 33: leaf})([auth[0], {}, *auth[2:]])))
    refused(CoseMalformed, forge(issuer_auth=header({1: -7, 33: leaf})))
    chains: tuple[Any, ...] = (
        [leaf],
        [],
        [leaf] * 5,
        [leaf, "x"],
        "x",
        [root, leaf],
        [leaf, root],
        [leaf, leaf],
    )
    for chain in chains:
        refused(ChainInvalid, forge(issuer_auth=_with_chain(chain)))


@pytest.mark.hostile("M9")
def test_m9_leaf_vouches_for_itself() -> None:
    own = identity(ec.SECP256R1(), self_signed=True)

    def edit(auth: list[Any]) -> Any:
        return sign1(
            auth[2],
            sign=software_sign(own.key),
            protected={},
            unprotected={33: own.der},
            detached=False,
            tagged=False,
        )

    refused(ChainInvalid, forge(issuer_auth=edit))


@pytest.mark.hostile("M10")
def test_m10_device_auth_absent() -> None:
    refused(HolderBindingMissing, forge(document=put("deviceSigned", ...)))
    refused(HolderBindingMissing, forge(device_auth=lambda auth: {}))
    refused(MdocMalformed, forge(document=put("deviceSigned/deviceAuth", ...)))


@pytest.mark.hostile("M10")
def test_m10_device_mac() -> None:
    mac: list[Any] = [dump_cbor({1: 5}), {}, None, bytes(32)]
    refused(DeviceAuthInvalid, forge(device_auth=lambda auth: {"deviceMac": mac}))
    refused(DeviceAuthInvalid, forge(device_auth=lambda auth: auth | {"deviceMac": mac}))


@pytest.mark.hostile("M10")
@pytest.mark.parametrize(
    "other",
    [
        {"audience": "x509_hash:another"},
        {"nonce": "another"},
        {"response_uri": "https://verifier.test/response/2"},
        {"thumbprint": bytes(32)},
        {"thumbprint": None},
        {"audience": "origin:https://verifier.test"},
    ],
)
def test_m10_another_session(other: dict[str, Any]) -> None:
    session = replace(SESSION, **other)
    refused(DeviceAuthInvalid, forge(session=session))
    refused(DeviceAuthInvalid, forge(), session=session)
    assert check(forge(session=session), session=session)


@pytest.mark.hostile("M10")
def test_m10_device_signature_over_another_document() -> None:
    signature = cbor2.loads(unb64u(forge(mso=put("docType", "example.bauhinia.base.1"))))["documents"][0]
    auth = signature["deviceSigned"]["deviceAuth"]
    refused(DeviceAuthInvalid, forge(device_auth=lambda _: auth))


@pytest.mark.hostile("M11")
@pytest.mark.parametrize(
    "names", [{ISO: {"age_over_18": True}}, {"example.device": {"x": 1}}, {ISO: {}}, [], None]
)
def test_m11_device_signed_elements(names: object) -> None:
    refused(DeviceDataUnauthorised, forge(device_namespaces=dump_cbor(names)))


@pytest.mark.hostile("M11")
def test_m11_device_signed_elements_with_a_key_authorisation() -> None:
    """The MSO may say the key is authorised: no type of ours gives that right, so it stays refused."""
    allowed = {"nameSpaces": [ISO]}
    refused(
        DeviceDataUnauthorised,
        forge(
            mso=put("deviceKeyInfo/keyAuthorizations", allowed),
            device_namespaces=dump_cbor({ISO: {"age_over_18": True}}),
        ),
    )


@pytest.mark.hostile("M12")
@pytest.mark.parametrize(
    "change",
    [
        {-3: HOLDER.public.point[33:64] + bytes([HOLDER.public.point[64] ^ 1])},
        {-2: bytes(32), -3: bytes(32)},
        {-3: True},  # how COSE writes a compressed point
        {-2: b"", -3: b""},
        {-2: HOLDER.public.point[1:33] + b"\x00"},
        {-1: 2},
        {1: 1},
        {3: -35},
        {-4: bytes(32)},
    ],
    ids=["off", "infinity", "compressed", "empty", "long", "P-384", "OKP", "alg", "private"],
)
def test_m12_device_key(change: dict[int, Any]) -> None:
    refused(KeyMalformed, forge(mso=lambda mso: mso["deviceKeyInfo"]["deviceKey"].update(change)))


@pytest.mark.hostile("M12")
@pytest.mark.parametrize("key", [[], None, b"", {}, {1.0: 2, -1: 1}, {1: 2.0, -1: 1}, {1: 2, -1: True}])
def test_m12_device_key_of_another_shape(key: Any) -> None:
    point = {-2: HOLDER.public.point[1:33], -3: HOLDER.public.point[33:]}
    whole = key | point if isinstance(key, dict) else key
    refused(KeyMalformed, forge(mso=put("deviceKeyInfo/deviceKey", whole)))


@pytest.mark.hostile("M12")
def test_m12_device_key_absent() -> None:
    refused(MdocMalformed, forge(mso=put("deviceKeyInfo/deviceKey", ...)))


@pytest.mark.hostile("M13")
@pytest.mark.parametrize("random", [bytes(15), b"", "x" * 32, None])
def test_m13_random_too_short(random: object) -> None:
    refused(MdocMalformed, forge(items=item(0, put("random", random))))


def nested(depth: int) -> bytes:
    data = b"\xf5"
    for _ in range(depth):
        data = tag24(data)
    return data


@pytest.mark.hostile("M13")
@pytest.mark.parametrize("depth", [1, 20, 2000])
def test_m13_nesting_bomb(depth: int) -> None:
    refused(MdocMalformed, forge(items=item(0, put("elementValue", cbor2.loads(nested(depth))))))


def deep(depth: int) -> Any:
    value: Any = True
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.hostile("M13")
@pytest.mark.parametrize(
    "value",
    [
        deep(9),
        1.5,
        cbor2.undefined,
        cbor2.CBORSimpleValue(99),
        {1: "x"},
        cbor2.CBORTag(1004, "2026-02-30"),
        cbor2.CBORTag(1004, "20261122"),
        cbor2.CBORTag(1004, 7),
        cbor2.CBORTag(0, "2026-11-22"),
        cbor2.CBORTag(1, 0),
    ],
    ids=repr,
)
def test_m13_element_value(value: object) -> None:
    refused(MdocMalformed, forge(items=item(0, put("elementValue", value))))


def replaced(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    def edit(data: bytes) -> bytes:
        assert old in data
        return data.replace(old, new, 1)

    return edit


@pytest.mark.hostile("M14")
@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(lambda data: data + b"\x00", id="trailing"),
        pytest.param(lambda data: data[:-1], id="cut"),
        pytest.param(lambda data: b"", id="nothing"),
        pytest.param(lambda data: b"\xbf" + data[1:] + b"\xff", id="indefinite"),
        pytest.param(lambda data: b"\xb8\x03" + data[1:], id="long-map"),
        pytest.param(replaced(b"\x66status\x00", b"\x66status\x18\x00"), id="long-integer"),
        pytest.param(replaced(b"\x67version", b"\x78\x07version"), id="long-text"),
        pytest.param(replaced(b"\x67version\x631.0", b"\x66status\x00"), id="duplicate"),
        pytest.param(replaced(b"\xa3\x67version", b"\xa4\xf9\x7e\x00\x00\x67version"), id="nan-key"),
        pytest.param(replaced(b"\x67version", b"\x67versio\xff"), id="not-utf-8"),
    ],
)
def test_m14_cbor_of_the_response(edit: Any) -> None:
    refused(CborMalformed, forge(written=edit))


@pytest.mark.hostile("M14")
@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(lambda data: data + b"\x00", id="trailing"),
        pytest.param(lambda data: b"\xbf" + data[1:] + b"\xff", id="indefinite"),
        pytest.param(replaced(b"\x67version\x631.0", b"\x67version\x78\x031.0"), id="long-text"),
        pytest.param(lambda data: bytes([data[0] + 1]) + data[1:] + b"\x67version\x631.0", id="duplicate"),
    ],
)
def test_m14_cbor_of_the_mso(edit: Any) -> None:
    refused(CborMalformed, forge(mso_bytes=edit))


def _item_bytes(edit: Callable[[bytes], bytes]) -> Callable[[dict[str, list[bytes]]], None]:
    """An edit of the encoded item that says the age band."""

    def change(inner: dict[str, list[bytes]]) -> None:
        inner[OWN] = [edit(entry) if b"age_band" in entry else entry for entry in inner[OWN]]

    return change


@pytest.mark.hostile("M14")
@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(lambda data: data + b"\x00", id="trailing"),
        pytest.param(replaced(b"\x6521-59", b"\x78\x0521-59"), id="long-text"),
        pytest.param(lambda data: b"\xbf" + data[1:] + b"\xff", id="indefinite"),
    ],
)
def test_m14_cbor_of_an_item(edit: Any) -> None:
    refused(CborMalformed, forge(items=_item_bytes(edit)))


@pytest.mark.hostile("M14")
@pytest.mark.parametrize("tag", [2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 100, 256, 258, 260, 55799])
def test_m14_tags_stay_inert(tag: int) -> None:
    """No tag is turned into a number, a regular expression or a shared reference on the way to a refusal."""
    value = cbor2.CBORTag(tag, b"\xff" * 1000 if tag in (2, 3) else "x(y")
    refused(MdocMalformed, forge(items=item(0, put("elementValue", value))))


@pytest.mark.hostile("M14")
def test_m14_a_number_of_a_megabyte() -> None:
    refused(TooLarge, forge(items=item(0, put("elementValue", cbor2.CBORTag(2, b"\xff" * (1 << 20))))))


@pytest.mark.hostile("M15")
def test_m15_item_written_in_another_order() -> None:
    """Equal in meaning, different in bytes, strict in form: the digest is over the issuer's own bytes."""

    def reorder(inner: dict[str, list[bytes]]) -> None:
        entry = cbor2.loads(inner[ISO][0])
        inner[ISO][0] = cbor2.dumps(dict(reversed(entry.items())))

    refused(DigestMismatch, forge(items=reorder, vouched=False))
    assert check(forge(items=reorder, vouched=True))


@pytest.mark.hostile("M15")
def test_m15_item_with_a_longer_head() -> None:
    def longer(data: bytes) -> bytes:
        at = data.index(b"\xd8\x18\x58")
        return data[:at] + b"\xd8\x18\x59\x00" + data[at + 3 :]

    refused(CborMalformed, forge(written=longer))


@pytest.mark.hostile("M16")
@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(put("status", 10), id="status"),
        pytest.param(put("status", False), id="status-false"),
        pytest.param(put("status", ...), id="status-absent"),
        pytest.param(put("version", "1.1"), id="version"),
        pytest.param(put("documentErrors", [{DOCTYPE: 0}]), id="errors-with-data"),
        pytest.param(put("documents", []), id="no-document"),
        pytest.param(put("documents", ...), id="documents-absent"),
        pytest.param(put("documents", {}), id="documents-map"),
        pytest.param(lambda response: response["documents"].append(response["documents"][0]), id="two"),
        pytest.param(lambda response: response["documents"][0].update({"errors": {}}), id="item-errors"),
        pytest.param(lambda response: [response], id="array"),
    ],
)
def test_m16_response(edit: Any) -> None:
    refused(MdocMalformed, forge(response=edit))


@pytest.mark.hostile("M16")
@pytest.mark.parametrize(
    "names", [[], {ISO: []}, {ISO: {}}, {ISO: [b"x"]}, {ISO: [cbor2.CBORTag(24, "x")]}, {7: []}]
)
def test_m16_namespaces(names: object) -> None:
    refused(MdocMalformed, forge(document=put("issuerSigned/nameSpaces", names)))


@pytest.mark.hostile("M16")
def test_m16_members() -> None:
    refused(MdocMalformed, forge(items=item(0, put("extra", 1))))
    refused(MdocMalformed, forge(items=item(0, put("random", ...))))
    refused(MdocMalformed, forge(mso=put("version", "1.1")))
    refused(MdocMalformed, forge(document=put("deviceSigned/nameSpaces", b"\xa0")))


@pytest.mark.hostile("M17")
@pytest.mark.parametrize(
    "when",
    [
        tdate("2026-11-22T00:00:00"),
        tdate("2026-11-22T08:00:00+08:00"),
        tdate("2026-11-22T00:00:00.0Z"),
        tdate("2026-11-21T23:59:60Z"),
        tdate("2026-11-22t00:00:00z"),
        tdate("2026-11-22 00:00:00Z"),
        tdate("2026-02-30T00:00:00Z"),
        tdate("２０２６-11-22T00:00:00Z"),
        tdate("2026-11-22T00:00:00Z\n"),
        "2026-11-22T00:00:00Z",
        cbor2.CBORTag(1, NOW),
        cbor2.CBORTag(0, NOW),
        None,
    ],
    ids=repr,
)
@pytest.mark.parametrize("name", ["signed", "validFrom", "validUntil"])
def test_m17_time(name: str, when: object) -> None:
    refused(MdocMalformed, forge(mso=put(f"validityInfo/{name}", when)))


@pytest.mark.hostile("M18")
@pytest.mark.parametrize(
    "status",
    [
        None,
        {},
        {"status_list": None},
        {"status_list": {}},
        {"status_list": {"idx": 1}},
        {"status_list": {"uri": "https://issuer.test/status/x"}},
        {"status_list": {"idx": -1, "uri": "https://issuer.test/status/x"}},
        {"status_list": {"idx": "1", "uri": "https://issuer.test/status/x"}},
        {"status_list": {"idx": True, "uri": "https://issuer.test/status/x"}},
        {"status_list": {"idx": 1, "uri": ""}},
        {"status_list": {"idx": 1, "uri": b"https://issuer.test/status/x"}},
        {"status_list": {"idx": 1, "uri": "https://issuer.test/status/x"}, "identifier_list": {}},
        {"identifier_list": {"id": b"1", "uri": "https://issuer.test/status/x"}},
    ],
)
def test_m18_status(status: object) -> None:
    refused(StatusReferenceInvalid, forge(mso=put("status", status)))


@pytest.mark.hostile("C5")
@pytest.mark.parametrize("depth", [17, 1000, 100_000])
def test_c5_cbor_nested_deeply(depth: int) -> None:
    bomb = b"\x81" * depth + b"\x00"
    refused(CborMalformed, b64u(bomb).encode())
    refused(CborMalformed, b64u(b"\xc6" * depth + b"\x00").encode())
    refused(CborMalformed, b64u(b"\xa1\x00" * depth + b"\x00").encode())
    refused(CborMalformed, forge(items=_item_bytes(lambda data: data[:-6] + bomb), vouched=False))


@pytest.mark.hostile("C6")
def test_c6_many_similar_names() -> None:
    """Names that begin alike, in every map of the response: refused for the member that is too many."""
    many = {f"age_over_{'0' * 64}{number}": number for number in range(5000)}
    refused(MdocMalformed, forge(response=lambda response: response.update(many)))
    refused(DigestMismatch, forge(items=lambda inner: _many_items(inner), vouched=False))


def _many_items(inner: dict[str, list[bytes]]) -> None:
    entry = cbor2.loads(inner[ISO][0])
    inner[ISO] += [
        dump_cbor(entry | {"digestID": number, "elementIdentifier": f"age_over_{'0' * 64}{number}"})
        for number in range(100, 3000)
    ]


@pytest.mark.hostile("C6")
def test_c6_integers_that_hash_alike() -> None:
    """Python hashes integers modulo 2^61 - 1: keys that collide cost a refusal, not a second."""
    step = (1 << 61) - 1
    colliding = {number * step: bytes(32) for number in range(8)} | {
        number << 20: 0 for number in range(5000)
    }
    refused(MdocMalformed, forge(mso=lambda mso: mso["valueDigests"].update({"example.other": colliding})))


def test_digests_of_the_fixture_are_real() -> None:
    """The forger's own arithmetic: tag 24 is part of what is hashed."""
    data = dump_cbor({"digestID": 0})
    assert hashlib.sha256(tag24(data)).digest() == hashlib.sha256(dump_cbor(cbor2.CBORTag(24, data))).digest()
