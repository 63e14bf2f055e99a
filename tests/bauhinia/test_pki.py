"""The development PKI: complete, private where it must be, and never fit for production."""

from __future__ import annotations

import json
import shutil
import ssl
import stat
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography import x509
from pki_fixture import ISSUER, NOW, VERIFIER, development_pki, signer, trust

from bauhinia import trust as trust_module
from bauhinia.pki import make_pki, registrations
from bauhinia.trust import trust as command
from bauhinia.trust import write_pki
from credentials.calendar import DAY
from credentials.catalog import load_catalogue
from credentials.certificates import refuse_development
from credentials.encoding import unb64u
from credentials.errors import ConfigurationInvalid, DevelopmentKeyRefused, TrustListExpired
from credentials.keys import software_sign
from credentials.trust import SIGNER_PURPOSES, open_trust_list, sign_trust_list
from web.keyfiles import load_public_jwk, load_signer

URLS = ("--issuer-url", "https://issuer.test", "--verifier-url", "https://verifier.test:8443")


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(command, list(arguments))
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("pki") / "trust"
    code, _, errors = run("init", "--data", str(data), *URLS)
    assert (code, errors) == (0, "")
    return data


def test_every_type_of_the_catalogue_has_a_signer_in_each_format() -> None:
    pki = development_pki()
    types = load_catalogue().types
    assert set(pki.signers) == {(format, name) for format in SIGNER_PURPOSES for name in types}
    opened = trust()
    for (format, name), identity in pki.signers.items():
        found = opened.credential_signer(
            identity.signer.chain,
            format=format,
            type=types[name].identifier(format),
            now=NOW,
            signed_at=NOW - DAY,  # from Hong Kong midnight, before the PKI was made
        )
        assert found.issuer == ISSUER
        assert signer(format, name).chain == identity.signer.chain


def test_every_key_is_another() -> None:
    pki = development_pki()
    identities = [
        pki.root,
        pki.status,
        pki.verifier,
        pki.desk,
        pki.tls_ca,
        pki.tls_server,
        *pki.signers.values(),
    ]
    points = {identity.key.private_numbers().private_value for identity in identities}
    assert len(points | {pki.list_key.private_numbers().private_value}) == len(identities) + 1


def test_status_signer_and_verifier() -> None:
    pki, opened = development_pki(), trust()
    assert opened.status_signer(pki.status.signer.chain, uri=f"{ISSUER}/status/x", now=NOW).issuer == ISSUER
    verifier = opened.verifier(pki.verifier.signer.chain, now=NOW)
    assert verifier.registration is not None
    assert verifier.registration.origins == (VERIFIER,)
    assert {
        "liquor18",
        "two-dollar-60",
        "resident-discount",
        "voucher-clinic",
        "game-centre-under-16",
    } <= set(verifier.registration.purposes)


def test_the_identity_card_number_is_registered_with_its_ground_only() -> None:
    asking = [
        (name, purpose)
        for name, registered in registrations().items()
        for purpose in registered["purposes"]
        if "hkid-number/1" in purpose["claims"]
    ]
    assert [(name, purpose["id"]) for name, purpose in asking] == [("desk", "hkid-registration")]
    assert "Cap. 177" in asking[0][1]["legal_basis"]["en"]
    assert asking[0][1]["basis_code"] == "pcpd-2.3.1"
    pki, opened = development_pki(), trust()
    ordinary = opened.verifier(pki.verifier.signer.chain, now=NOW).registration
    desk = opened.verifier(pki.desk.signer.chain, now=NOW).registration
    assert ordinary is not None
    assert desk is not None
    assert "hkid-registration" not in ordinary.purposes
    assert set(desk.purposes) == {"hkid-registration"}


def test_registered_claims_exist_in_the_catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = json.loads(json.dumps(registrations()))
    purposes = wrong["verifier"]["purposes"]
    purposes[0]["claims"] = {"age/1": ["birthdate"]}
    monkeypatch.setattr("bauhinia.pki.registrations", lambda: wrong)
    with pytest.raises(ConfigurationInvalid, match="liquor18"):
        make_pki(issuer_url=ISSUER, verifier_url=VERIFIER, now=NOW)
    nonsense: tuple[dict[str, list[str]], ...] = (
        {"age/2": []},
        {"base/1": ["birthdate_precision"]},  # says nothing by itself
        {"hkid-number/1": ["personal_administrative_number"]},  # not on this ground
    )
    for claims in nonsense:
        purposes[0]["claims"] = claims
        with pytest.raises(ConfigurationInvalid, match="liquor18"):
            make_pki(issuer_url=ISSUER, verifier_url=VERIFIER, now=NOW)


def test_the_desk_may_have_an_origin_of_its_own() -> None:
    pki = make_pki(issuer_url=ISSUER, verifier_url=VERIFIER, desk_url="https://desk.test", now=NOW)
    origins = [entry["origins"] for entry in pki.content["verifiers"]]
    assert origins == [[VERIFIER], ["https://desk.test"]]


def test_renew_signs_the_same_content_under_the_next_number(made: Path, tmp_path: Path) -> None:
    copy = tmp_path / "trust"
    shutil.copytree(made, copy)
    root = load_public_jwk(copy / "trust-root.jwk")
    old = open_trust_list((copy / "trust-list.jwt").read_bytes(), root=root, now=int(time.time()))
    code, out, _ = run("renew", "--data", str(copy), "--days", "90", "--json")
    assert (code, json.loads(out)["sequence"]) == (0, 2)
    new = open_trust_list((copy / "trust-list.jwt").read_bytes(), root=root, now=int(time.time()))
    assert (new.sequence, new.expires - new.issued) == (old.sequence + 1, 90 * DAY)
    assert (new.issuers, new.verifiers) == (old.issuers, old.verifiers)


def test_renew_takes_no_list_that_another_key_signed(made: Path, tmp_path: Path) -> None:
    copy = tmp_path / "trust"
    shutil.copytree(made, copy)
    (copy / "trust-list.jwt").write_bytes(development_pki().trust_list)
    code, _, errors = run("renew", "--data", str(copy), "--json")
    assert (code, json.loads(errors)["error"]["code"]) == (1, "signature_invalid")
    assert (copy / "trust-list.jwt").read_bytes() == development_pki().trust_list


def test_production_refuses_every_certificate_of_it() -> None:
    pki = development_pki()
    for identity in (pki.root, pki.status, pki.verifier, pki.tls_ca, pki.tls_server, *pki.signers.values()):
        with pytest.raises(DevelopmentKeyRefused):
            refuse_development(identity.der)


def test_the_list_lives_as_long_as_told() -> None:
    pki = make_pki(issuer_url=ISSUER, verifier_url=VERIFIER, now=NOW, days=2)
    open_trust_list(pki.trust_list, root=pki.trust_root, now=NOW + 2 * DAY - 1)
    with pytest.raises(TrustListExpired):
        open_trust_list(pki.trust_list, root=pki.trust_root, now=NOW + 2 * DAY)


@pytest.mark.parametrize(
    "url",
    [
        "http://issuer.test",
        "ftp://localhost",
        "https://",
        "issuer.test",
        "https://issuer.test/?x=1",
        "https://issuer.test/#x",
        "https://me@issuer.test",
        "https://issuer.test:99999",
        "https://[::1",
    ],
)
def test_urls_of_the_parties(url: str) -> None:
    with pytest.raises(ConfigurationInvalid):
        make_pki(issuer_url=url, verifier_url=VERIFIER, now=NOW)
    with pytest.raises(ConfigurationInvalid):
        make_pki(issuer_url=ISSUER, verifier_url=url, now=NOW)


def test_plain_http_on_loopback_is_for_development() -> None:
    for url in ("http://localhost:8701", "http://127.0.0.1:8701", "http://[::1]:8701/"):
        pki = make_pki(issuer_url=url, verifier_url=url, now=NOW)
        assert trust(pki).issuers[0].id == url.rstrip("/")


def test_files_and_modes(made: Path) -> None:
    names = {str(path.relative_to(made)) for path in made.rglob("*") if path.is_file()}
    assert names == set(development_pki().files())
    types = load_catalogue().types.values()
    assert {f"issuer/{slug}--{type.slug}.crt" for slug in ("sd-jwt", "mdoc") for type in types} <= names
    for path in made.rglob("*.key"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_the_list_opens_with_the_pinned_key_and_the_files_sign(made: Path) -> None:
    data = (made / "trust-list.jwt").read_bytes()
    claims = json.loads(unb64u(data.split(b".")[1]))
    root = load_public_jwk(made / "trust-root.jwk")
    opened = open_trust_list(data, root=root, now=claims["issued"])
    files = load_signer(made / "issuer/mdoc--age-1.crt", made / "issuer/mdoc--age-1.key")
    question = {"now": claims["issued"], "signed_at": claims["issued"]}
    key = opened.credential_signer(
        files.chain, format="mso_mdoc", type="example.bauhinia.age.1", **question
    ).key
    key.verify(files.sign(b"message"), b"message")
    assert opened.verifiers[next(iter(opened.verifiers))].origins == ("https://verifier.test:8443",)


def test_nothing_published_holds_a_private_key(made: Path) -> None:
    secrets = [
        line
        for path in made.rglob("*.key")
        for line in path.read_bytes().splitlines()
        if b"-----" not in line
    ]
    assert len(secrets) > 100
    for path in [*made.rglob("*.crt"), made / "trust-list.jwt", made / "trust-root.jwk"]:
        text = path.read_bytes()
        assert b"PRIVATE" not in text
        # The last line of a PKCS #8 key may be public; the first holds the private number.
        assert not any(secret in text for secret in secrets if len(secret) == 64)
    assert set(json.loads((made / "trust-root.jwk").read_bytes())) == {"kty", "crv", "x", "y"}


def test_the_server_certificate_is_one_that_tls_accepts(made: Path) -> None:
    context = ssl.create_default_context(cafile=str(made / "tls/ca.crt"))
    assert context.cert_store_stats()["x509_ca"] == 1
    server = x509.load_pem_x509_certificate((made / "tls/server.crt").read_bytes())
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert set(names.get_values_for_type(x509.DNSName)) == {"localhost", "issuer.test", "verifier.test"}
    addresses = {str(address) for address in names.get_values_for_type(x509.IPAddress)}
    assert addresses == {"127.0.0.1", "::1"}
    ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(
        made / "tls/server.crt", made / "tls/server.key"
    )


def test_a_tls_handshake_with_it(made: Path) -> None:
    """In memory, no socket; strict X.509 rules, host name checked."""
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(made / "tls/server.crt", made / "tls/server.key")
    client_context = ssl.create_default_context(cafile=str(made / "tls/ca.crt"))
    client_context.verify_flags |= ssl.VERIFY_X509_STRICT
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    client = client_context.wrap_bio(to_client, to_server, server_hostname="verifier.test")
    done = {server: False, client: False}
    for _ in range(10):
        for side in done:
            try:
                side.do_handshake()
                done[side] = True
            except ssl.SSLWantReadError:
                pass
    assert all(done.values())


def test_init_does_not_overwrite(made: Path) -> None:
    before = (made / "trust-list.jwt").read_bytes()
    code, _, errors = run("init", "--data", str(made), *URLS)
    assert code == 2
    assert "already holds a PKI" in errors
    assert "--force" in errors
    assert (made / "trust-list.jwt").read_bytes() == before


def test_force_replaces_every_key(tmp_path: Path) -> None:
    run("init", "--data", str(tmp_path), *URLS)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.key")}
    code, _, _ = run("init", "--data", str(tmp_path), *URLS, "--force")
    assert code == 0
    for path, content in before.items():
        assert path.read_bytes() != content
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_init_as_json(tmp_path: Path) -> None:
    code, out, _ = run("init", "--data", str(tmp_path / "t"), *URLS, "--json")
    answer = json.loads(out)
    assert code == 0
    assert answer["ok"] is True
    assert answer["signers"] == 2 * len(load_catalogue().types)
    assert set(answer["files"]) == set(development_pki().files())
    code, _, errors = run("init", "--data", str(tmp_path / "t"), *URLS, "--json")
    assert code == 2
    assert json.loads(errors)["error"]["code"] == "configuration_invalid"


def test_show_in_words(made: Path) -> None:
    for where in (made, made / "trust-list.jwt"):
        code, out, _ = run("show", str(where))
        assert code == 0
        assert "Trust list number 1, for development." in out
        assert "https://issuer.test" in out
        assert "Proof of age / 年齡證明" in out
        assert "liquor18: may ask age/1: age_over_18" in out
        assert "Cap. 109B, Part 5 / 《應課稅品（酒類）規例》（第109B章）第5部 (hk-cap-109b)" in out
        assert "(Hong Kong)" in out


def test_show_as_json_with_a_named_root(made: Path, tmp_path: Path) -> None:
    (tmp_path / "list.jwt").write_bytes((made / "trust-list.jwt").read_bytes())
    code, out, _ = run("show", str(tmp_path / "list.jwt"), "--root", str(made / "trust-root.jwk"), "--json")
    answer = json.loads(out)
    assert (code, answer["sequence"], answer["environment"]) == (0, 1, "development")
    assert answer["issuers"][0]["id"] == "https://issuer.test"
    assert answer["verifiers"][0]["purposes"]["liquor18"] == {
        "text": {
            "en": "Check that you are 18 or over before selling liquor",
            "zh-Hant": "售賣酒類前查核你已年滿18歲",
        },
        "legal_basis": {
            "en": "Dutiable Commodities (Liquor) Regulations, Cap. 109B, Part 5",
            "zh-Hant": "《應課稅品（酒類）規例》（第109B章）第5部",
        },
        "basis_code": "hk-cap-109b",
        "claims": {"age/1": ["age_over_18"]},
    }
    assert answer["issuers"][0]["jurisdictions"] == ["HK"]


def test_show_names_retired_signers_and_types_it_does_not_know() -> None:
    pki = development_pki()
    content = json.loads(json.dumps(pki.content))
    content["issuers"][0]["types"]["mso_mdoc"] = ["org.iso.18013.5.1.mDL"]
    content["issuers"][0]["retired"] = [{"key_thumbprint": "A" * 43, "since": NOW}]
    data = sign_trust_list(content, software_sign(pki.list_key))
    opened = open_trust_list(data, root=pki.trust_root, now=NOW)
    words = "\n".join(trust_module._words(opened))
    assert "    org.iso.18013.5.1.mDL\n" in words
    assert f"signer {'A' * 43} counts no more from 2026-11-22 08:00" in words
    assert trust_module.summary(opened)["issuers"][0]["retired"] == {"A" * 43: NOW}


def test_show_refuses_an_expired_list_and_a_strangers(tmp_path: Path) -> None:
    old = make_pki(issuer_url=ISSUER, verifier_url=VERIFIER, now=NOW - 9000 * DAY, days=1)
    write_pki(old, tmp_path / "old")
    code, _, errors = run("show", str(tmp_path / "old"), "--json")
    assert (code, json.loads(errors)["error"]["code"]) == (1, "trust_list_expired")
    write_pki(development_pki(), tmp_path / "new")
    code, _, errors = run(
        "show", str(tmp_path / "new"), "--root", str(tmp_path / "old/trust-root.jwk"), "--json"
    )
    assert (code, json.loads(errors)["error"]["code"]) == (1, "signature_invalid")


@pytest.mark.parametrize("name", ["init", "show"])
def test_help_has_an_example(name: str) -> None:
    code, out, _ = run(name, "--help")
    assert code == 0
    assert "Example:" in out
    assert f"bauhinia trust {name}" in out


def test_a_list_without_its_key_beside_it_names_the_option(made: Path, tmp_path: Path) -> None:
    alone = tmp_path / "list.jwt"
    alone.write_bytes((made / "trust-list.jwt").read_bytes())
    code, _, errors = run("show", str(alone))
    assert code == 2
    assert "--root" in errors
    assert run("show", str(alone), "--root", str(made / "trust-root.jwk"))[0] == 0
