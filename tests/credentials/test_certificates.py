"""One certificate and one chain: the good ones pass, and each rule has a chain that only it refuses."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from x509_forge import NOW, Forged, forge, root, rsa_key

from credentials.certificates import (
    DEVELOPMENT,
    MDOC_SIGNER,
    SD_JWT_SIGNER,
    STATUS_SIGNER,
    VERIFIER_ACCESS,
    Path,
    check_path,
    read_certificate,
    refuse_development,
)
from credentials.errors import (
    AlgorithmRefused,
    BauhiniaError,
    CertificateExpired,
    CertificateMalformed,
    CertificatePurpose,
    ChainInvalid,
    DevelopmentKeyRefused,
    IssuerUnknown,
    TooLarge,
)


def follow(*links: Forged, anchor: Forged | None = None, purpose: str = MDOC_SIGNER) -> Path:
    return check_path([link.der for link in links], anchors=[(anchor or root()).anchor], purpose=purpose)


@pytest.mark.parametrize("purpose", [MDOC_SIGNER, SD_JWT_SIGNER, STATUS_SIGNER, VERIFIER_ACCESS])
def test_a_leaf_under_its_anchor(purpose: str) -> None:
    leaf = forge("leaf", root(), purposes=(purpose,))
    path = follow(leaf, purpose=purpose)
    assert path.leaf.key == leaf.public
    assert path.leaf.sha256 == leaf.sha256
    assert path.anchor.der == root().der
    assert (path.not_before, path.not_after) == (NOW - 86_400, NOW + 86_400)


def test_four_certificates_under_an_anchor_are_valid_while_all_of_them_are() -> None:
    one = forge("one", root(), ca=True, before=NOW - 50, after=NOW + 90)
    two = forge("two", one, ca=True, path_length=1, before=NOW - 70, after=NOW + 40)
    three = forge("three", two, ca=True, path_length=0)
    leaf = forge("leaf", three, purposes=("mdoc",))
    path = follow(leaf, three, two, one)
    assert (path.not_before, path.not_after) == (NOW - 50, NOW + 40)
    with pytest.raises(ChainInvalid, match="1 to 4"):
        follow(leaf, three, two, one, one)


def test_an_anchors_own_life_counts() -> None:
    short = forge("short", ca=True, before=NOW - 5, after=NOW + 5)
    path = follow(forge("leaf", short, purposes=("mdoc",)), anchor=short)
    assert (path.not_before, path.not_after) == (NOW - 5, NOW + 5)


def test_validity_includes_both_ends() -> None:
    path = follow(forge("leaf", root(), purposes=("mdoc",), before=NOW, after=NOW + 10))
    path.check_time(NOW, what="signing")
    path.check_time(NOW + 10, what="signing")
    with pytest.raises(CertificateExpired, match="not valid yet at signing"):
        path.check_time(NOW - 1, what="signing")
    with pytest.raises(CertificateExpired, match="no longer valid at signing"):
        path.check_time(NOW + 11, what="signing")


def test_no_certificate() -> None:
    with pytest.raises(ChainInvalid, match="1 to 4"):
        follow()


@pytest.mark.parametrize("purposes", [(), ("sd-jwt",), ("mdoc", "sd-jwt"), ("2.5.29.37.0",)])
def test_a_leaf_for_another_purpose(purposes: tuple[str, ...]) -> None:
    with pytest.raises(CertificatePurpose, match="the leaf is for another purpose"):
        follow(forge("leaf", root(), purposes=purposes))


def test_a_leaf_that_does_not_sign_data() -> None:
    with pytest.raises(CertificatePurpose, match="not for digital signatures"):
        follow(forge("leaf", root(), purposes=("mdoc",), signs_data=False))


def test_a_leaf_that_is_a_ca() -> None:
    leaf = forge("leaf", root(), purposes=("mdoc",), signs_data=True, signs_certificates=False, ca=True)
    with pytest.raises(ChainInvalid, match="the leaf is a CA"):
        follow(leaf)


def test_a_leaf_with_the_key_usage_of_a_ca() -> None:
    leaf = forge("leaf", root(), purposes=("mdoc",), signs_data=True, signs_certificates=True)
    with pytest.raises(ChainInvalid, match="the leaf is a CA"):
        follow(leaf)


def test_no_anchor_of_that_name() -> None:
    with pytest.raises(IssuerUnknown):
        follow(forge("leaf", forge("stranger", ca=True), purposes=("mdoc",)))


def test_two_anchors_of_one_name_are_told_apart_by_signature() -> None:
    twin = forge("root", ca=True)
    leaf = forge("leaf", twin, purposes=("mdoc",))
    path = check_path([leaf.der], anchors=[root().anchor, twin.anchor], purpose=MDOC_SIGNER)
    assert path.anchor.der == twin.der


def test_links_that_do_not_chain() -> None:
    one = forge("one", root(), ca=True)
    impostor = forge("one", root(), ca=True)
    leaf = forge("leaf", impostor, purposes=("mdoc",))
    with pytest.raises(ChainInvalid, match="not signed by the next one"):
        follow(leaf, one)


def test_names_that_do_not_chain() -> None:
    one = forge("one", root(), ca=True)
    leaf = forge("leaf", one, purposes=("mdoc",), issuer_name="two")
    with pytest.raises(ChainInvalid, match="not signed by the next one"):
        follow(leaf, one)


def test_an_intermediate_that_is_no_ca() -> None:
    one = forge("one", root(), ca=False, signs_certificates=True)
    with pytest.raises(ChainInvalid, match="not a CA"):
        follow(forge("leaf", one, purposes=("mdoc",)), one)


def test_an_intermediate_that_may_not_sign_certificates() -> None:
    one = forge("one", root(), ca=True, signs_certificates=False)
    with pytest.raises(ChainInvalid, match="not a CA"):
        follow(forge("leaf", one, purposes=("mdoc",)), one)


def test_an_anchor_that_is_no_ca() -> None:
    odd = forge("odd")
    with pytest.raises(ChainInvalid, match="not a CA"):
        follow(forge("leaf", odd, purposes=("mdoc",)), anchor=odd)


def test_path_length_of_an_intermediate_and_of_the_anchor() -> None:
    one = forge("one", root(), ca=True, path_length=0)
    two = forge("two", one, ca=True)
    with pytest.raises(ChainInvalid, match="longer than a CA allows"):
        follow(forge("leaf", two, purposes=("mdoc",)), two, one)
    flat = forge("flat", ca=True, path_length=0)
    three = forge("three", flat, ca=True)
    with pytest.raises(ChainInvalid, match="longer than a CA allows"):
        follow(forge("leaf", three, purposes=("mdoc",)), three, anchor=flat)
    follow(forge("leaf", flat, purposes=("mdoc",)), anchor=flat)


def test_a_ca_limited_to_other_purposes() -> None:
    one = forge("one", root(), ca=True, purposes=("sd-jwt",))
    with pytest.raises(CertificatePurpose, match="a CA is limited"):
        follow(forge("leaf", one, purposes=("mdoc",)), one)
    follow(forge("leaf", one, purposes=("sd-jwt",)), one, purpose=SD_JWT_SIGNER)


@pytest.mark.parametrize("critical", [True, False])
def test_name_constraints_are_refused(critical: bool) -> None:
    inside = x509.NameConstraints([x509.DNSName("hk.test")], None)
    one = forge("one", root(), ca=True, extra=((inside, critical),))
    with pytest.raises(ChainInvalid, match="name constraints"):
        follow(forge("leaf", one, purposes=("mdoc",)), one)


def test_unknown_extensions_are_refused_if_critical() -> None:
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    follow(forge("leaf", root(), purposes=("mdoc",), extra=((unknown, False),)))
    with pytest.raises(ChainInvalid, match="critical extension"):
        follow(forge("leaf", root(), purposes=("mdoc",), extra=((unknown, True),)))


@pytest.mark.parametrize(
    ("key", "digest"),
    [
        (ec.generate_private_key(ec.SECP384R1()), None),
        (rsa_key(), None),
        (None, hashes.SHA384()),
    ],
    ids=["P-384", "RSA", "SHA-384"],
)
def test_other_algorithms(key: object, digest: object) -> None:
    with pytest.raises(AlgorithmRefused):
        follow(forge("leaf", root(), key=key, digest=digest, purposes=("mdoc",)))


def test_a_key_of_an_algorithm_that_nobody_knows() -> None:
    der = forge("leaf", root(), purposes=("mdoc",)).der
    public_key_algorithm = bytes.fromhex("06072a8648ce3d0201")
    assert der.count(public_key_algorithm) == 1
    with pytest.raises(AlgorithmRefused):
        read_certificate(der.replace(public_key_algorithm, bytes.fromhex("06072a8648ce3d0202")))


def test_versions_before_3() -> None:
    der = forge("a long name " * 5, root(), purposes=("mdoc",)).der
    assert der[8:13] == bytes.fromhex("a003020102")
    with pytest.raises(CertificateMalformed):
        read_certificate(der[:8] + bytes.fromhex("a003020101") + der[13:])
    # Version 1 is written by leaving the field out: five bytes fewer in both SEQUENCEs around it.
    outer, inner = (int.from_bytes(der[at : at + 2], "big") - 5 for at in (2, 6))
    version_1 = der[:2] + outer.to_bytes(2, "big") + der[4:6] + inner.to_bytes(2, "big") + der[13:]
    with pytest.raises(CertificateMalformed):
        read_certificate(version_1)


@pytest.mark.parametrize(
    "serial", ["020100", "0201ff", "0203800001", "0215" + "01" * 21, "040101", "0200", "02"]
)
def test_serial_numbers(serial: str) -> None:
    """Zero, negative, over 20 bytes, no integer, empty, cut short."""
    tbs = bytes.fromhex("a003020102" + serial)
    framed = bytes([0x30, len(tbs)]) + tbs
    with pytest.raises(CertificateMalformed, match=r"serial number"):
        read_certificate(bytes([0x30, len(framed)]) + framed)


def test_unused_bits_of_the_signature() -> None:
    der = forge("leaf", root(), purposes=("mdoc",)).der
    at = der.rindex(bytes.fromhex("300a06082a8648ce3d040302")) + 12
    assert der[at] == 3
    assert der[at + 2] == 0
    for wrong in (der[: at + 2] + b"\x01" + der[at + 3 :], der[:at] + b"\x04" + der[at + 1 :]):
        with pytest.raises(CertificateMalformed, match="whole bytes"):
            read_certificate(wrong)


@pytest.mark.parametrize("which", [0, 1])
def test_inner_and_outer_algorithm(which: int) -> None:
    der = forge("leaf", root(), purposes=("mdoc",)).der
    es256, es384 = bytes.fromhex("06082a8648ce3d040302"), bytes.fromhex("06082a8648ce3d040303")
    at = der.index(es256) if which == 0 else der.rindex(es256)
    with pytest.raises(AlgorithmRefused):
        read_certificate(der[:at] + es384 + der[at + len(es384) :])


def test_an_extension_twice() -> None:
    key = forge("leaf").key
    again = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    der = forge("leaf", root(), key=key, purposes=("mdoc",), extra=((again, False),)).der
    identifier, key_usage = bytes.fromhex("0603551d0e"), bytes.fromhex("0603551d0f")
    assert der.count(identifier) == 1
    with pytest.raises(CertificateMalformed):
        read_certificate(der.replace(identifier, key_usage))


def test_bytes_that_are_no_certificate() -> None:
    der = forge("leaf", root(), purposes=("mdoc",)).der
    for data in (b"", b"\x30", b"\x30\x82\x01", b"\x30\x00", der[:-1], der + b"\x00", b"-----BEGIN CERT"):
        with pytest.raises(CertificateMalformed):
            read_certificate(data)
    with pytest.raises(TooLarge):
        read_certificate(der + bytes(8192))


def test_every_single_bit_counts() -> None:
    der = forge("leaf", root(), purposes=("mdoc",)).der
    anchors = [root().anchor]
    for bit in range(len(der) * 8):
        flipped = bytearray(der)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BauhiniaError):
            check_path([bytes(flipped)], anchors=anchors, purpose=MDOC_SIGNER)


def test_development_certificates_are_known_by_subject_and_by_issuer() -> None:
    development = forge("root", ca=True, unit=DEVELOPMENT)
    for certificate in (development, forge("leaf", development), forge("leaf", root(), unit=DEVELOPMENT)):
        with pytest.raises(DevelopmentKeyRefused) as refusal:
            refuse_development(certificate.der)
        assert refusal.value.code == "development_key_refused"
    refuse_development(forge("leaf", root(), unit="production").der)
