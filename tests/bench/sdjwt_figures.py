"""SD-JWT VC against its floor, and against the PyPI package ``sd-jwt`` on the same work.

Both present the same credential and verify the same presentation. Each finds its keys in the form it is
used to: ours in the certificate chain of the token, the peer in the JWK text that its callback is asked for.
Loading keys counts, as in the floor; ``sdjwt.verify.peer.ready`` is the same with the peer's issuer key kept
in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib.metadata import version

import format_figures as ff
import stage as st
from jwcrypto.jwk import JWK
from measure import Figure, against_peer
from sd_jwt.common import SDObj
from sd_jwt.holder import SDJWTHolder
from sd_jwt.issuer import SDJWTIssuer
from sd_jwt.verifier import SDJWTVerifier

from credentials.jose import encode_x5c
from credentials.sdjwt import FORMAT

PEER = f"sd-jwt {version('sd-jwt')}"


def _jwk(der: bytes, *, private: bool) -> str:
    key = JWK.from_pyca(st.private_key(der))
    return str(key.export_private() if private else key.export_public())


@cache
def holders() -> list[str]:
    return [_jwk(der, private=False) for der in ff.stage_of("sdjwt").holder_keys]


def peer_issue(signer: str) -> list[str]:
    """The same thirty copies, with the same members, header and ten disclosures each."""
    stage = ff.stage_of("sdjwt")
    issuer_key = JWK.from_json(signer)
    header = {"typ": FORMAT, "x5c": encode_x5c(stage.chain)}
    issued: list[str] = []
    for holder in holders():
        claims = {SDObj(name): value for name, value in stage.values.items()} | {
            "iss": st.ISSUER,
            "nbf": stage.window.start,
            "exp": stage.window.end,
            "vct": st.TYPE.vct,
            "status": {"status_list": {"idx": st.STATUS.index, "uri": st.STATUS.uri}},
        }
        copy = SDJWTIssuer(
            claims, issuer_key, holder_key=JWK.from_json(holder), extra_header_parameters=header
        )
        issued.append(copy.sd_jwt_issuance)
    return issued


def peer_present(credential: str, key: str) -> str:
    holder = SDJWTHolder(credential)
    holder.create_presentation(
        {name: True for name in ff.stage_of("sdjwt").values},
        st.SESSION.nonce,
        st.SESSION.audience,
        JWK.from_json(key),
    )
    return str(holder.sd_jwt_presentation)


def peer_verify(presentation: str, issuer: Callable[[], JWK]) -> dict[str, object]:
    def issuer_key(*_: object) -> JWK:
        return issuer()

    found = SDJWTVerifier(presentation, issuer_key, st.SESSION.audience, st.SESSION.nonce)
    return dict(found.get_verified_payload())


def issue_peer() -> Figure:
    holders()
    signer = _jwk(ff.stage_of("sdjwt").signer_key, private=True)
    figure = against_peer(
        "sdjwt.issue.peer", lambda: ff.issue_batch("sdjwt"), lambda: peer_issue(signer), PEER, 2
    )
    return Figure(figure.name, figure.value / st.BATCH, "ms", PEER, figure.ratio, figure.target, figure.runs)


def present_peer() -> Figure:
    credential = ff.credential("sdjwt").decode()
    key = _jwk(ff.stage_of("sdjwt").holder_keys[0], private=True)
    return against_peer(
        "sdjwt.present.peer", lambda: ff.present_all("sdjwt"), lambda: peer_present(credential, key), PEER, 2
    )


def verify_peer(name: str, *, ready: bool) -> Figure:
    presentation = ff.presentation("sdjwt").decode()
    text = _jwk(ff.stage_of("sdjwt").signer_key, private=False)
    kept = JWK.from_json(text)
    trust = ff.trust("sdjwt")

    def peer() -> object:
        return peer_verify(presentation, lambda: kept if ready else JWK.from_json(text))

    figure = against_peer(name, lambda: ff.verify("sdjwt", trust), peer, PEER, 2)
    return replace(figure, target="none: for information") if ready else figure


FIGURES = {
    **ff.figures("sdjwt", verify_target=1.5),
    "sdjwt.issue.peer": issue_peer,
    "sdjwt.present.peer": present_peer,
    "sdjwt.verify.peer": lambda: verify_peer("sdjwt.verify.peer", ready=False),
    "sdjwt.verify.peer.ready": lambda: verify_peer("sdjwt.verify.peer.ready", ready=True),
}
