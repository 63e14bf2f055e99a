"""What ``fuzz.py`` throws bytes at: every parser of what a stranger sent, with seeds that are valid.

A target whose name ends in "resigned" puts the bytes inside a valid signature, so that what lies behind the
check of the signature is reached too, as by an issuer or a verifier gone bad.
"""

from __future__ import annotations

from collections.abc import Callable

import cbor2
import mdoc_fixture
import sdjwt_forge
import status_forge
from pki_fixture import ISSUER, NOW, VERIFIER, development_pki, trust
from protocol_messages import AGE_QUERY, holder_key, link, private_key, request_claims

from credentials import hkid
from credentials.catalog import load_catalogue
from credentials.cose import chain_header
from credentials.encoding import b64u, dump_cbor, dump_json, load_json, load_json_object, unb64u
from credentials.jose import sign_compact
from credentials.keys import software_sign
from credentials.trust import TYP as TRUST_TYP
from credentials.trust import open_trust_list
from openid4vc import oauth, uris, vci, vp
from openid4vc.dcql import parse_query
from openid4vc.dpop import dpop_proof, verify_dpop
from openid4vc.vpresponse import build_error_response, build_response, parse_response
from revocation.token import CWT_TYP, JWT_TYP
from web import qr

Target = tuple[Callable[[bytes], object], list[bytes]]
SECTORS = {
    "credentials": [{"id": "a", "format": "mso_mdoc", "meta": {"doctype_value": mdoc_fixture.DOCTYPE}}]
}


def _text(data: bytes) -> str:
    """As a form field or a header arrives: no text is refused before it is parsed."""
    return data.decode("utf-8", "replace")


def targets() -> dict[str, Target]:
    """By name: what reads the bytes (and raises only our own refusals), and valid bytes to begin with."""
    return {**_credentials(), **_status(), **_presenting(), **_issuing(), **_others()}


def _credentials() -> dict[str, Target]:
    payload, disclosures = sdjwt_forge.flat(
        {"family_name": "Bral", "age_over_18": True, "n": [1, {"a": None}]}
    )
    bare = sdjwt_forge.shown(sdjwt_forge.jws(payload), *disclosures)
    whole = sdjwt_forge.bind(bare)
    key_binding = whole[len(bare) :]
    mdoc_whole = mdoc_fixture.forge(credential=MINTED)
    response = unb64u(mdoc_whole)
    mso = cbor2.loads(_mobile(response))

    def disclosed(data: bytes) -> object:
        return sdjwt_forge.check(sdjwt_forge.presentation(dump_json(payload), _text(data)))

    return {
        "SD-JWT VC": (
            sdjwt_forge.check,
            [whole, sdjwt_forge.bind(sdjwt_forge.shown(sdjwt_forge.jws(payload)))],
        ),
        "SD-JWT VC, resigned": (
            lambda data: sdjwt_forge.check(sdjwt_forge.presentation(data, *disclosures)),
            [dump_json(payload)],
        ),
        "SD-JWT disclosure": (disclosed, [text.encode() for text in disclosures]),
        "SD-JWT disclosure, digest renewed": (
            lambda data: sdjwt_forge.check(
                sdjwt_forge.presentation(
                    sdjwt_forge.members(_sd=[sdjwt_forge.digest(b64u(data))]), b64u(data)
                )
            ),
            [unb64u(text) for text in disclosures],
        ),
        "KB-JWT": (lambda data: sdjwt_forge.check(bare + data), [key_binding]),
        "KB-JWT, resigned": (
            lambda data: sdjwt_forge.check(
                bare
                + sdjwt_forge.jws(
                    data, key=sdjwt_forge.HOLDER_KEY, typ="kb+jwt", header={"x5c": None}
                ).encode()
            ),
            [dump_json(sdjwt_forge.binding(bare))],
        ),
        "DeviceResponse": (mdoc_fixture.check, [mdoc_whole]),
        "DeviceResponse, decoded": (lambda data: mdoc_fixture.check(b64u(data).encode()), [response]),
        "DeviceResponse, MSO resigned": (
            lambda data: mdoc_fixture.check(mdoc_fixture.forge(mso_bytes=lambda _: data, credential=MINTED)),
            [cbor2.dumps(mso)],
        ),
    }


MINTED = mdoc_fixture.mint()


def _mobile(response: bytes) -> bytes:
    """The encoded MSO of the one document of a DeviceResponse."""
    document = mdoc_fixture.decode(response)["documents"][0]
    tagged: bytes = mdoc_fixture.decode(document["issuerSigned"]["issuerAuth"][2]).value
    return tagged


def _status() -> dict[str, Target]:
    signer = status_forge.status_signer()
    header = {16: CWT_TYP, **chain_header(signer.chain)}
    numbered = {status_forge.LABELS[name]: value for name, value in status_forge.claims("cwt").items()}
    return {
        "status JWT": (
            lambda data: status_forge.opened(data, "jwt"),
            [status_forge.token("jwt")],
        ),
        "status CWT": (
            lambda data: status_forge.opened(data, "cwt"),
            [status_forge.token("cwt")],
        ),
        "status JWT, resigned": (
            lambda data: status_forge.opened(sign_compact(data, typ=JWT_TYP, sign=signer).encode(), "jwt"),
            [dump_json(status_forge.claims("jwt"))],
        ),
        "status CWT, resigned": (
            lambda data: status_forge.opened(status_forge.cwt(data, signer, dict(header)), "cwt"),
            [dump_cbor(numbered)],
        ),
    }


def _presenting() -> dict[str, Target]:
    signer = development_pki().verifier.signer
    query = {**AGE_QUERY, "credential_sets": [{"options": [["age"]], "required": False}]}
    claims = vp.read_request(request_claims())
    encrypted = vp.read_request(request_claims(encrypted=True))
    key = private_key("response")
    answer = {"age": ["presentation"]}
    sealed = build_response(answer, request=encrypted)["response"].encode()

    def form(data: bytes) -> object:
        return parse_response(uris.parse_query(_text(data)), request=claims, private_key=None)

    def plans(data: bytes) -> object:
        asked = parse_query(load_json(data))
        return [credential.types for credential in asked.credentials]

    good = uris.build_query(build_response(answer, request=claims)).encode()
    refusal = uris.build_query(build_error_response(claims)).encode()
    return {
        "DCQL": (plans, [dump_json(query), dump_json(AGE_QUERY), dump_json(SECTORS)]),
        "request object": (
            lambda data: vp.open_request(_text(data), link=link(), trust=trust(), now=NOW),
            [vp.sign_request(request_claims(), signer).encode()],
        ),
        "request object, resigned": (
            lambda data: vp.open_request(
                sign_compact(data, typ=vp.REQUEST_TYP, sign=signer), link=link(), trust=trust(), now=NOW
            ),
            [dump_json(request_claims()), dump_json(request_claims(encrypted=True))],
        ),
        "request link": (
            lambda data: vp.parse_request_link(_text(data)),
            [vp.request_link(link().client_id, f"{VERIFIER}/request/1").encode()],
        ),
        "response": (form, [good, refusal]),
        "response, encrypted": (
            lambda data: parse_response({"response": _text(data)}, request=encrypted, private_key=key),
            [sealed],
        ),
    }


def _issuing() -> dict[str, Target]:
    holder = holder_key()
    proof = vci.proof_jwt(holder, audience=ISSUER, nonce="n" * 22, now=NOW)
    request = vci.CredentialRequest("age-1.sd-jwt", (proof,))
    offer = vci.Offer(
        ISSUER, ("age-1.sd-jwt",), pre_authorized=vci.PreAuthorizedOffer("code", vci.TxCode(length=6))
    )
    metadata = vci.issuer_metadata(
        issuer=ISSUER,
        credential_endpoint=f"{ISSUER}/credential",
        nonce_endpoint=f"{ISSUER}/nonce",
        notification_endpoint=f"{ISSUER}/notification",
        types=[load_catalogue().types["age/1"]],
        name={"en": "Test issuer"},
        batch_size=4,
    )
    server = oauth.authorization_server_metadata(
        issuer=ISSUER,
        token_endpoint=f"{ISSUER}/token",
        authorization_endpoint=f"{ISSUER}/authorize",
        scopes=["age-1"],
    )
    token = oauth.token_response(
        access_token="t" * 22, expires_in=600, scope=["age-1"], refresh_token="r" * 22
    )
    url = f"{ISSUER}/token"
    dpop = dpop_proof(holder, method="POST", url=url, now=NOW, jti="j" * 22, nonce=None, access_token=None)
    grant = oauth.token_form(oauth.PreAuthorizedGrant("code", "123456"))
    return {
        "offer": (vci.parse_offer, [dump_json(vci.offer_object(offer))]),
        "offer link": (
            lambda data: vci.parse_offer_link(_text(data)),
            [vci.offer_link(offer).encode(), vci.offer_link(f"{ISSUER}/offers/1").encode()],
        ),
        "credential request": (
            lambda data: vci.parse_credential_request(data, batch_size=4),
            [dump_json(vci.credential_request(request))],
        ),
        "key proof": (
            lambda data: vci.verify_proof(_text(data), audience=ISSUER, now=NOW),
            [proof.encode()],
        ),
        "credential response": (
            lambda data: vci.parse_credential_response(data, expected=2),
            [dump_json(vci.credential_response([b"one", b"two"], "n-1"))],
        ),
        "issuer metadata": (
            lambda data: vci.parse_issuer_metadata(data, issuer=ISSUER),
            [dump_json(metadata)],
        ),
        "authorization server": (
            lambda data: oauth.parse_authorization_server(data, issuer=ISSUER),
            [dump_json(server)],
        ),
        "token request": (
            lambda data: oauth.parse_token_request(uris.parse_query(_text(data))),
            [uris.build_query(grant).encode()],
        ),
        "token response": (oauth.parse_token_response, [dump_json(token)]),
        "DPoP": (
            lambda data: verify_dpop(_text(data), method="POST", url=url, now=NOW, access_token=None),
            [dpop.encode()],
        ),
    }


def _others() -> dict[str, Target]:
    pki = development_pki()
    sign = software_sign(pki.list_key)
    return {
        "trust list": (
            lambda data: open_trust_list(data, root=pki.trust_root, now=NOW),
            [pki.trust_list],
        ),
        "trust list, resigned": (
            lambda data: open_trust_list(
                sign_compact(data, typ=TRUST_TYP, sign=sign).encode(), root=pki.trust_root, now=NOW
            ),
            [dump_json(pki.content)],
        ),
        "URL": (lambda data: uris.parse_url(_text(data)), [f"{ISSUER}/offers/1?a=b".encode()]),
        "HKID": (lambda data: hkid.parse(_text(data)), [text.encode() for text in _numbers()]),
        "JSON": (load_json_object, [dump_json(AGE_QUERY)]),
        "QR picture": (qr.read_image, [qr.png("https://verifier.test/request/1", 2)]),
    }


def _numbers() -> list[str]:
    one, two = hkid.of_body("Q123456"), hkid.of_body("QQ123456")
    wide = "".join(chr(ord(character) + 0xFEE0) for character in f"{one.body}({one.check})")
    return [f"{one.body}({one.check})", f"{two.body} {two.check}", f"{one.body}{one.check}", wide]
