"""A check in a real `bauhinia verifier serve` process, with and without a dependency that phones home.

An audit hook cannot be seen from outside, but what it does can: the traitor is planted through Python's own
`sitecustomize`, and the program under test is not changed or told.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from pki_fixture import development_pki, trust
from verifier_fixture import BOTH, issue, present

from bauhinia.trust import write_pki
from openid4vc.vp import build_response, open_request, parse_request_link

pytestmark = pytest.mark.processes

TRAITOR = """
import socket
import verifier.verification
check = verifier.verification.check
def phone_home(*arguments, **named):
    socket.getaddrinfo("127.0.0.1", 9)
    return check(*arguments, **named)
verifier.verification.check = phone_home
"""


@pytest.mark.hostile("V3")
@pytest.mark.parametrize("format", BOTH)
@pytest.mark.parametrize(
    ("planted", "status", "outcome", "code"),
    [(False, 200, "accepted", None), (True, 500, "undetermined", "network_forbidden")],
    ids=["honest", "phones home"],
)
def test_v3_a_served_check_runs_under_the_hook(
    tmp_path: Path, format: str, planted: bool, status: int, outcome: str, code: str | None
) -> None:
    """The same answer to the same server: good as it is, and never accepted by one that looks up a name."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        now, url = int(time.time()), f"http://127.0.0.1:{probe.getsockname()[1]}"
    pki = development_pki(verifier_url=url, now=now)
    write_pki(pki, tmp_path / "pki")
    command = [sys.executable, "-m", "bauhinia", "verifier"]
    data = ["--data", str(tmp_path / "shop")]
    init = [*command, "init", *data, "--trust", str(tmp_path / "pki"), "--base-url", url, "--json"]
    made = subprocess.run(init, capture_output=True, text=True, check=True)
    key = {"Authorization": f"Bearer {json.loads(made.stdout)['api_key']}"}
    (tmp_path / "plant").mkdir()
    if planted:
        (tmp_path / "plant" / "sitecustomize.py").write_text(TRAITOR)
    path = os.pathsep.join([str(tmp_path / "plant"), os.environ.get("PYTHONPATH", "")])
    with (tmp_path / "log").open("wb") as log:
        serve = [*command, "serve", *data, "--workers", "1"]
        server = subprocess.Popen(serve, stdout=log, stderr=log, env={**os.environ, "PYTHONPATH": path})
    try:
        with httpx.Client(
            base_url=url, headers=key, timeout=30, transport=httpx.HTTPTransport(retries=6)
        ) as till:
            asked = till.post("/api/requests", json={"policy": "liquor18", "format": format}).json()
            link = parse_request_link(asked["link"])
            request = open_request(till.get(link.request_uri).text, link=link, trust=trust(pki, now), now=now)
            copy = issue("age/1", {"age_over_18": True}, format, now=now, pki=pki)
            form = build_response(present(copy, request, ["age_over_18"], now=now), request=request)
            reply = till.post(request.response_uri, data=form)
            found = till.get(f"/api/requests/{asked['id']}").json()
    finally:
        server.terminate()
        server.wait(20)
    assert (reply.status_code, reply.json().get("code")) == (status, code)
    assert (found["outcome"], found["error_code"]) == (outcome, code)
