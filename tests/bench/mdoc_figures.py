"""mdoc against its floor, and against the PyPI package ``pymdoccbor`` on the same work.

The peer has no holder side, so there is no ``mdoc.present.peer``; and its verifier checks the issuer's part
only, while ours checks the device signature too.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib.metadata import version

import format_figures as ff
import stage as st
from cryptography import x509
from measure import Figure, against_peer
from pymdoccbor.mdoc.issuer import MdocCborIssuer
from pymdoccbor.mdoc.verifier import MdocCbor

from credentials.encoding import unb64u
from credentials.keys import PublicKey

PEER = f"pymdoccbor {version('pymdoccbor')}"

logging.getLogger("pymdoccbor").setLevel(logging.CRITICAL)


def peer_issue() -> object:
    """The same thirty copies, with the same ten elements and one certificate."""
    stage = ff.stage_of("mdoc")
    key = st.private_key(stage.signer_key)
    point = PublicKey.of(key.public_key()).point
    scalar = key.private_numbers().private_value.to_bytes(32, "big")
    signer = {
        "KTY": "EC2",
        "CURVE": "P_256",
        "ALG": "ES256",
        "KID": b"1",
        "X": point[1:33],
        "Y": point[33:],
        "D": scalar,
    }
    namespaces: dict[str, dict[str, object]] = {}
    for name, value in stage.values.items():
        claim = st.TYPE.claim(name)
        namespaces.setdefault(claim.namespace, {})[claim.element] = value
    issued: object = None
    for holder in stage.holder_points:
        issued = MdocCborIssuer(private_key=signer, alg="ES256").new(
            data=namespaces,
            doctype=st.TYPE.doctype,
            validity={"issuance_date": "2026-11-22", "expiry_date": "2026-11-29"},
            devicekeyinfo={"KTY": "EC2", "CURVE": "P_256", "X": holder[1:33], "Y": holder[33:]},
            x509_chain=[stage.chain[0]],
        )
    return issued


def issue_peer() -> Figure:
    figure = against_peer("mdoc.issue.peer", lambda: ff.issue_batch("mdoc"), peer_issue, PEER, 2)
    return Figure(figure.name, figure.value / st.BATCH, "ms", PEER, figure.ratio, figure.target, figure.runs)


def peer_verifier() -> Callable[[], None]:
    presentation = unb64u(ff.presentation("mdoc"))
    anchors = [x509.load_der_x509_certificate(der) for der in ff.stage_of("mdoc").anchors]

    def verify() -> None:
        response = MdocCbor()
        response.loads(presentation)
        assert response.verify(trusted_root_certs=anchors, verify_hashes=True)

    return verify


def verify_peer() -> Figure:
    trust = ff.trust("mdoc")
    return against_peer("mdoc.verify.peer", lambda: ff.verify("mdoc", trust), peer_verifier(), PEER, 2)


FIGURES = {
    **ff.figures("mdoc", verify_target=2),
    "mdoc.issue.peer": issue_peer,
    "mdoc.verify.peer": verify_peer,
}
