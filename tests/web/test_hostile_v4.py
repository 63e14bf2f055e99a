"""V4: nothing that a party leaves with the wallet comes back to it."""

from __future__ import annotations

import httpx
import pytest

from web.egress import Egress, EgressPolicy


@pytest.mark.hostile("V4")
@pytest.mark.parametrize("path", ["/", "/response"])
def test_v4_a_cookie_is_never_brought_back(path: str) -> None:
    """One client serves many requests of one wallet; a verifier's cookie would link them all."""
    sent: list[httpx.Headers] = []

    def party(request: httpx.Request) -> httpx.Response:
        sent.append(request.headers)
        left = {"set-cookie": "wallet=1; Path=/; Max-Age=99999", "etag": '"1"', "content-type": "text/plain"}
        return httpx.Response(200, headers=left, stream=httpx.ByteStream(b"x"))

    client = httpx.Client(transport=httpx.MockTransport(party))
    egress = Egress(EgressPolicy(production=True), client, resolve=lambda *_: ["8.8.8.8"])
    egress.get("https://verifier.test/request", accept="text/plain")
    egress.get(f"https://verifier.test{path}", accept="text/plain")
    egress.post_form(f"https://verifier.test{path}", {"a": "b"})
    egress.post_json(f"https://verifier.test{path}", {"a": "b"})
    assert len(sent) == 4
    assert not any({"cookie", "if-none-match", "referer"} & set(headers) for headers in sent)
