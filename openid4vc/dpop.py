"""DPoP: a token that only the holder of a key can use (RFC 9449). Both ends.

The server keeps two things this module cannot: which ``jti`` it has seen, and which nonces it gave out.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from credentials.encoding import b64u
from credentials.errors import DpopInvalid, KeyMalformed, Malformed, TokenInvalid, Untrusted
from credentials.jose import parse_compact, sign_compact
from credentials.keys import HolderKey, PublicKey
from credentials.model import Seconds

from .members import Members
from .uris import parse_url

TYP: Final = "dpop+jwt"
MAX_PAST: Final = 300
MAX_FUTURE: Final = 60
MAX_PROOF: Final = 4096
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]{1,4096}=*")


@dataclass(frozen=True, slots=True)
class Dpop:
    """A proof that holds. ``thumbprint`` (RFC 7638, 32 bytes) is what the token must be bound to; the server
    checks that ``jti`` is new and that ``nonce`` is one of its own."""

    thumbprint: bytes
    jti: str
    nonce: str | None
    issued: Seconds


def _target(url: str) -> str:
    """``htu``: the URL without query and fragment (RFC 9449, 4.2)."""
    parsed = parse_url(url)
    return f"{parsed.origin}{parsed.path}"


def _token_hash(access_token: str) -> str:
    return b64u(hashlib.sha256(access_token.encode("utf-8")).digest())


def dpop_proof(
    key: HolderKey,
    *,
    method: str,
    url: str,
    now: Seconds,
    jti: str,
    nonce: str | None,
    access_token: str | None,
) -> str:
    """A proof for one request (RFC 9449, 4.2). ``jti`` must be fresh: at least 96 random bits."""
    payload: dict[str, str | int] = {"jti": jti, "htm": method, "htu": _target(url), "iat": now}
    if nonce is not None:
        payload["nonce"] = nonce
    if access_token is not None:
        payload["ath"] = _token_hash(access_token)
    return sign_compact(payload, typ=TYP, sign=key.sign, header={"jwk": key.public.jwk()})


def verify_dpop(proof: str, *, method: str, url: str, now: Seconds, access_token: str | None) -> Dpop:
    """Check a DPoP proof (RFC 9449, 4.3). Raises :class:`DpopInvalid`.

    Left to the server: replay of ``jti``, validity of ``nonce``, and equality of ``thumbprint`` with what the
    access token is bound to (:func:`check_binding`).
    """
    try:
        # 1. Steps 2 to 6: one well-formed JWT, typ, ES256, a public key in `jwk`, the signature.
        jws = parse_compact(proof, typ=TYP, max_bytes=MAX_PROOF, allow=frozenset({"jwk"}))
        key = PublicKey.from_jwk(jws.header.get("jwk"))
        claims = Members(jws.verify(key), refusal=DpopInvalid, where="DPoP proof")
    except KeyMalformed:
        raise DpopInvalid("DPoP proof has no usable public key") from None
    except (Malformed, Untrusted):
        raise DpopInvalid("DPoP proof is not a JWT that verifies") from None
    # 2. Step 8: the method.
    if claims.text("htm") != method:
        raise DpopInvalid("DPoP proof is for another method")
    # 3. Step 9: the URL, whose query and fragment do not count.
    if claims.text("htu").split("#")[0].split("?")[0] != _target(url):
        raise DpopInvalid("DPoP proof is for another URL")
    # 4. Step 11: the time. The message says both, because clocks are what fails in practice.
    issued = claims.integer("iat", least=0, most=1 << 53)
    if not now - MAX_PAST <= issued <= now + MAX_FUTURE:
        raise DpopInvalid(f"DPoP proof was made at {issued}, it is now {now}: check the clock")
    # 5. Step 12: the access token it goes with.
    if access_token is None:
        claims.forbid("ath")
    elif not hmac.compare_digest(claims.text("ath").encode(), _token_hash(access_token).encode()):
        raise DpopInvalid("DPoP proof is for another access token")
    # 6. Steps 10 and 12, second half, are the server's: nonce and jti.
    return Dpop(
        thumbprint=key.thumbprint(),
        jti=claims.text("jti", limit=256),
        nonce=claims.optional_text("nonce", limit=1024),
        issued=issued,
    )


def check_binding(proof: Dpop, *, thumbprint: bytes) -> None:
    """The key that proved possession is the one the token is bound to. Raises :class:`TokenInvalid`."""
    if not hmac.compare_digest(proof.thumbprint, thumbprint):
        raise TokenInvalid("the access token is bound to another key")


def access_token_of(authorization: str | None, *, parameters: Collection[str]) -> str:
    """The token of an ``Authorization: DPoP …`` header (RFC 9449, 7.1). Raises :class:`TokenInvalid`.

    ``parameters`` are the names in query and form: a token there is refused even beside a good header
    (RFC 6750, 5.3), and so is the Bearer scheme, for our tokens are all bound to a key.
    """
    if "access_token" in parameters:
        raise TokenInvalid("an access token belongs in the Authorization header")
    if authorization is None:
        raise TokenInvalid("no access token")
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "dpop":
        raise TokenInvalid("this access token is used with DPoP")
    if not _TOKEN.fullmatch(token):
        raise TokenInvalid("not an access token")
    return token
