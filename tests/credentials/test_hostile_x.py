"""Group X of the hostile catalogue: certificates and trust."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography import x509
from x509_forge import DAY, NOW, Forged, content, forge, issuer, new_key, root, verifier

from credentials.encoding import b64u
from credentials.errors import (
    BauhiniaError,
    CertificateExpired,
    CertificatePurpose,
    ChainInvalid,
    ClientIdInvalid,
    IssuerOutOfScope,
    SignatureInvalid,
    SignerRetired,
    TrustListExpired,
    TrustListRolledBack,
)
from credentials.keys import PublicKey, software_sign
from credentials.trust import Trust, TrustedSigner, open_trust_list, sign_trust_list
from openid4vc import vp

KEY = new_key()
ROOT = PublicKey.of(KEY.public_key())
VCT = "https://bauhinia.example/vct/age/1"
DOCTYPE = "example.bauhinia.age.1"
URI = "https://issuer.test/status/age-1/2026-11-22"


def opened(**members: Any) -> Trust:
    return open_trust_list(
        sign_trust_list(content(**members), software_sign(KEY)), root=ROOT, now=NOW, newest_sequence=7
    )


def ask(
    *chain: Forged,
    trust: Trust | None = None,
    type: str = DOCTYPE,
    format: str = "mso_mdoc",
    now: int = NOW,
    signed_at: int = NOW,
) -> TrustedSigner:
    trust = trust or opened()
    return trust.credential_signer(
        [link.der for link in chain], format=format, type=type, now=now, signed_at=signed_at
    )


def refused(error: type[BauhiniaError], code: str, *chain: Forged, **question: Any) -> None:
    with pytest.raises(error) as refusal:
        ask(*chain, **question)
    assert refusal.value.code == code
    assert "leaf" not in str(refusal.value).replace("the leaf", "")


@pytest.mark.hostile("X1")
def test_x1_leaf_of_an_unrelated_ca_with_the_same_subject() -> None:
    impostor = forge("root", ca=True)
    refused(ChainInvalid, "chain_invalid", forge("leaf", impostor, purposes=("mdoc",)))


@pytest.mark.hostile("X2")
def test_x2_the_right_root_but_another_purpose() -> None:
    leaves = {
        name: forge("leaf", root(), purposes=(name,)) for name in ("mdoc", "sd-jwt", "status", "access")
    }
    for name in ("sd-jwt", "status", "access"):
        refused(CertificatePurpose, "certificate_purpose", leaves[name])
    for name in ("mdoc", "status", "access"):
        refused(CertificatePurpose, "certificate_purpose", leaves[name], format="dc+sd-jwt", type=VCT)
    refused(CertificatePurpose, "certificate_purpose", forge("leaf", root()))
    trust = opened()
    for name in ("mdoc", "sd-jwt", "status"):
        with pytest.raises(CertificatePurpose):
            trust.verifier([leaves[name].der], now=NOW)
    for name in ("mdoc", "sd-jwt", "access"):
        with pytest.raises(CertificatePurpose):
            trust.status_signer([leaves[name].der], uri=URI, now=NOW)


@pytest.mark.hostile("X3")
def test_x3_a_leaf_that_is_a_ca() -> None:
    refused(
        ChainInvalid, "chain_invalid", forge("leaf", root(), ca=True, signs_data=True, purposes=("mdoc",))
    )


@pytest.mark.hostile("X3")
def test_x3_path_length_exceeded() -> None:
    one = forge("one", root(), ca=True, path_length=0)
    two = forge("two", one, ca=True)
    refused(ChainInvalid, "chain_invalid", forge("leaf", two, purposes=("mdoc",)), two, one)


@pytest.mark.hostile("X3")
def test_x3_name_constraints() -> None:
    outside = x509.NameConstraints(None, [x509.DNSName("issuer.test")])
    one = forge("one", root(), ca=True, extra=((outside, True),))
    refused(ChainInvalid, "chain_invalid", forge("leaf", one, purposes=("mdoc",)), one)


@pytest.mark.hostile("X3")
def test_x3_unknown_critical_extension() -> None:
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    refused(
        ChainInvalid, "chain_invalid", forge("leaf", root(), purposes=("mdoc",), extra=((unknown, True),))
    )


@pytest.mark.hostile("X4")
@pytest.mark.parametrize("which", ["root", "intermediate", "leaf"])
def test_x4_expired_at_verification_or_at_signing(which: str) -> None:
    """Each of the three in turn has the short life: from ``NOW - 10`` to ``NOW + 10``."""
    short = {"before": NOW - 10, "after": NOW + 10}
    lives: dict[str, dict[str, int]] = {name: {} for name in ("root", "intermediate", "leaf")}
    lives[which] = short
    anchor = forge("anchor", ca=True, **{"after": NOW + 9 * DAY, **lives["root"]})  # type: ignore[arg-type]
    middle = forge("middle", anchor, ca=True, **lives["intermediate"])  # type: ignore[arg-type]
    leaf = forge("leaf", middle, purposes=("mdoc",), **lives["leaf"])  # type: ignore[arg-type]
    trust = opened(issuers=[issuer(anchors=[anchor.base64])])
    ask(leaf, middle, trust=trust)
    code = "certificate_expired"
    refused(CertificateExpired, code, leaf, middle, trust=trust, now=NOW + 11)
    refused(CertificateExpired, code, leaf, middle, trust=trust, signed_at=NOW - 11)
    refused(CertificateExpired, code, leaf, middle, trust=trust, signed_at=NOW + 11)


@pytest.mark.hostile("X5")
def test_x5_self_signed_leaf() -> None:
    """Even one that the list has as an anchor, and one that borrows the anchor's name."""
    refused(ChainInvalid, "chain_invalid", forge("leaf", purposes=("mdoc",)))
    refused(ChainInvalid, "chain_invalid", forge("root", purposes=("mdoc",)))


@pytest.mark.hostile("X5")
def test_x5_trust_anchor_included() -> None:
    leaf = forge("leaf", root(), purposes=("mdoc",))
    refused(ChainInvalid, "chain_invalid", leaf, root())
    refused(ChainInvalid, "chain_invalid", root())
    # An anchor that another CA issued is no less an anchor.
    middle = forge("middle", root(), ca=True)
    trust = opened(issuers=[issuer(anchors=[middle.base64, root().base64])])
    below = forge("leaf", middle, purposes=("mdoc",))
    ask(below, trust=trust)
    refused(ChainInvalid, "chain_invalid", below, middle, trust=trust)


@pytest.mark.hostile("X6")
def test_x6_a_registration_belongs_to_one_certificate() -> None:
    """What a verifier is called is the hash of its certificate; a name, or the same key, is not enough."""
    access = forge("shop", root(), purposes=("access",))
    trust = opened(verifiers=[verifier(access)])
    twins = (
        forge("shop", root(), purposes=("access",)),
        forge("shop", root(), key=access.key, purposes=("access",)),
    )
    assert trust.verifier([access.der], now=NOW).registration is not None
    for twin in twins:
        known = trust.verifier([twin.der], now=NOW)
        assert known.certificate_hash == twin.sha256 != access.sha256
        assert known.registration is None


@pytest.mark.hostile("X6")
def test_x6_client_id_is_not_the_hash_of_the_certificate() -> None:
    access, other = (forge(name, root(), purposes=("access",)) for name in ("shop", "other shop"))
    trust = opened(verifiers=[verifier(access), verifier(other)])
    signed = vp.sign_request({}, access.signer())
    link = vp.RequestLink("x509_hash:" + b64u(other.sha256), "https://shop.test/request/1")
    with pytest.raises(ClientIdInvalid) as refusal:
        vp.open_request(signed, link=link, trust=trust, now=NOW)
    assert refusal.value.code == "client_id_invalid"


@pytest.mark.hostile("X6")
@pytest.mark.parametrize("name", ["x509_san_dns:shop.test", "x509_san_dns:*.test", "shop.test"])
def test_x6_verifiers_are_not_known_by_a_dns_name(name: str) -> None:
    """So a SAN that differs, or a wildcard, has nothing to match."""
    with pytest.raises(ClientIdInvalid) as refusal:
        vp.parse_request_link(vp.request_link(name, "https://shop.test/request/1"))
    assert refusal.value.code == "client_id_invalid"


@pytest.mark.hostile("X7")
def test_x7_issuer_of_one_type_signs_another() -> None:
    sd_jwt, mdoc = (forge("leaf", root(), purposes=(name,)) for name in ("sd-jwt", "mdoc"))
    code = "issuer_out_of_scope"
    refused(IssuerOutOfScope, code, mdoc, type="example.bauhinia.residency.1")
    residency = "https://bauhinia.example/vct/residency/1"
    refused(IssuerOutOfScope, code, sd_jwt, format="dc+sd-jwt", type=residency)
    # A type allowed in one format is not allowed in the other.
    refused(IssuerOutOfScope, code, sd_jwt, format="dc+sd-jwt", type=DOCTYPE)
    # What one issuer may issue, another may not.
    other = issuer(
        id="https://other.test",
        anchors=[root("other").base64],
        types={"dc+sd-jwt": [], "mso_mdoc": ["example.bauhinia.residency.1"]},
    )
    trust = opened(issuers=[issuer(), other])
    foreign = forge("leaf", root("other"), purposes=("mdoc",))
    assert ask(foreign, trust=trust, type="example.bauhinia.residency.1").issuer == "https://other.test"
    refused(IssuerOutOfScope, code, foreign, trust=trust)


@pytest.mark.hostile("X8")
def test_x8_rotated_out_key_signs_something_new() -> None:
    leaf = forge("leaf", root(), purposes=("mdoc",))
    gone = [{"key_thumbprint": b64u(leaf.public.thumbprint()), "since": NOW - 100}]
    trust = opened(issuers=[issuer(retired=gone)])
    ask(leaf, trust=trust, signed_at=NOW - 101)
    refused(SignerRetired, "signer_retired", leaf, trust=trust, signed_at=NOW - 100)
    refused(SignerRetired, "signer_retired", leaf, trust=trust, signed_at=NOW)
    # The same key in a fresh certificate is the same key.
    again = forge("leaf", root(), key=leaf.key, purposes=("mdoc",))
    refused(SignerRetired, "signer_retired", again, trust=trust)


@pytest.mark.hostile("X9")
def test_x9_older_list() -> None:
    data = sign_trust_list(content(sequence=6), software_sign(KEY))
    with pytest.raises(TrustListRolledBack) as refusal:
        open_trust_list(data, root=ROOT, now=NOW, newest_sequence=7)
    assert refusal.value.code == "trust_list_rolled_back"


@pytest.mark.hostile("X9")
def test_x9_expired_list() -> None:
    data = sign_trust_list(content(), software_sign(KEY))
    with pytest.raises(TrustListExpired) as refusal:
        open_trust_list(data, root=ROOT, now=NOW + 30 * DAY)
    assert refusal.value.code == "trust_list_expired"
    open_trust_list(data, root=ROOT, now=NOW + 30 * DAY - 1)


@pytest.mark.hostile("X9")
def test_x9_list_signed_by_a_stranger() -> None:
    data = sign_trust_list(content(sequence=99), software_sign(new_key()))
    with pytest.raises(SignatureInvalid) as refusal:
        open_trust_list(data, root=ROOT, now=NOW)
    assert refusal.value.code == "signature_invalid"
