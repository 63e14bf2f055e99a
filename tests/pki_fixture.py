"""One development PKI for the whole run: real certificates, a fixed moment, made once.

``from pki_fixture import NOW, development_pki, trust`` in any test.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from bauhinia.pki import Pki, make_pki
from credentials.keys import Signer
from credentials.trust import Trust, open_trust_list

NOW: Final = 1_795_305_600
"""2026-11-22 00:00 UTC, 08:00 in Hong Kong."""
ISSUER: Final = "https://issuer.test"
VERIFIER: Final = "https://verifier.test"


@cache
def development_pki(issuer_url: str = ISSUER, verifier_url: str = VERIFIER, now: int = NOW) -> Pki:
    return make_pki(issuer_url=issuer_url, verifier_url=verifier_url, now=now)


def trust(pki: Pki | None = None, now: int = NOW) -> Trust:
    """The PKI's trust list, opened with its pinned key."""
    pki = pki or development_pki()
    return open_trust_list(pki.trust_list, root=pki.trust_root, now=now)


def signer(format: str, type_name: str) -> Signer:
    """What signs credentials of ``type_name`` ("age/1") in ``format`` ("dc+sd-jwt" or "mso_mdoc")."""
    return development_pki().signers[format, type_name].signer
