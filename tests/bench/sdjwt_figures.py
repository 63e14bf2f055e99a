"""SD-JWT VC against its floor, and against the PyPI package ``sd-jwt`` on the same work."""

from __future__ import annotations

import json
from importlib.metadata import version

import format_figures as ff
import stage as st
from jwcrypto.jwk import JWK
from measure import Figure, against_peer
from sd_jwt.common import SDObj
from sd_jwt.holder import SDJWTHolder
from sd_jwt.issuer import SDJWTIssuer
from sd_jwt.verifier import SDJWTVerifier

PEER = f"sd-jwt {version('sd-jwt')}"


def _jwk(der: bytes) -> JWK:
    return JWK.from_pyca(st.private_key(der))


def peer_issue() -> list[str]:
    """The same thirty copies, with the same members and ten disclosures each."""
    stage = ff.stage_of("sdjwt")
    issuer_key = _jwk(stage.signer_key)
    issued: list[str] = []
    for der in stage.holder_keys:
        claims = {SDObj(name): value for name, value in stage.values.items()} | {
            "iss": st.ISSUER,
            "nbf": stage.window.start,
            "exp": stage.window.end,
            "vct": st.TYPE.vct,
            "status": {"status_list": {"idx": st.STATUS.index, "uri": st.STATUS.uri}},
        }
        holder = JWK.from_json(_jwk(der).export_public())
        issued.append(SDJWTIssuer(claims, issuer_key, holder_key=holder).sd_jwt_issuance)
    return issued


def peer_present(credential: str) -> str:
    holder = SDJWTHolder(credential)
    holder.create_presentation(
        {name: True for name in ff.stage_of("sdjwt").values},
        st.SESSION.nonce,
        st.SESSION.audience,
        _jwk(ff.stage_of("sdjwt").holder_keys[0]),
    )
    return str(holder.sd_jwt_presentation)


def peer_verify(presentation: str, issuer: str) -> dict[str, object]:
    def issuer_key(*_: object) -> JWK:
        return JWK.from_json(issuer)

    found = SDJWTVerifier(presentation, issuer_key, st.SESSION.audience, st.SESSION.nonce)
    return dict(found.get_verified_payload())


def issue_peer() -> Figure:
    figure = against_peer("sdjwt.issue.peer", lambda: ff.issue_batch("sdjwt"), peer_issue, PEER, 2)
    return Figure(figure.name, figure.value / st.BATCH, "ms", PEER, figure.ratio, figure.target, figure.runs)


def present_peer() -> Figure:
    credential = peer_issue()[0]
    return against_peer(
        "sdjwt.present.peer", lambda: ff.present_all("sdjwt"), lambda: peer_present(credential), PEER, 2
    )


def verify_peer() -> Figure:
    presentation = peer_present(peer_issue()[0])
    issuer = json.dumps(json.loads(_jwk(ff.stage_of("sdjwt").signer_key).export_public()))
    trust = ff.verify_inputs("sdjwt")[1]
    return against_peer(
        "sdjwt.verify.peer",
        lambda: ff.verify("sdjwt", trust),
        lambda: peer_verify(presentation, issuer),
        PEER,
        2,
    )


FIGURES = {
    **ff.figures("sdjwt", verify_target=1.5),
    "sdjwt.issue.peer": issue_peer,
    "sdjwt.present.peer": present_peer,
    "sdjwt.verify.peer": verify_peer,
}
