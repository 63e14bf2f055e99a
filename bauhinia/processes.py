"""All parties on this machine as real processes, each with its own folder: for the demo and the tests.

Nothing here knows how a party works: it types the same commands that a person would.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

from credentials.errors import NetworkUnavailable, PeerRefused

START_SECONDS: Final = 20
"""How long a server may take until it answers."""

STATE: Final = "XDG_STATE_HOME"

PASSPHRASE: Final = "four synthetic words only"  # noqa: S105 - of demo wallets, which hold invented people
"""The passphrase of every demo wallet."""


def free_port() -> int:
    """A loopback port that nobody uses just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class CommandFailed(PeerRefused, code="command_failed"):
    """A command of ours ended with another exit code than 0; ``answer`` is its JSON error, if any."""

    def __init__(
        self, detail: str = "", *, hint: str = "", exit_code: int = 1, answer: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(detail, hint=hint)
        self.exit_code = exit_code
        self.answer: Mapping[str, Any] = answer or {}


def bauhinia(*arguments: str, stdin: str = "") -> dict[str, Any]:
    """Run ``bauhinia … --json`` as a process of its own and read its answer."""
    run = subprocess.run(  # noqa: S603 - our own command, arguments as a list
        [sys.executable, "-m", "bauhinia", *arguments, "--json"],
        input=stdin,
        capture_output=True,
        text=True,
        env={**os.environ, "BAUHINIA_PASSPHRASE": PASSPHRASE},
        check=False,
    )
    answer: dict[str, Any]
    try:
        answer = json.loads(run.stdout or run.stderr.strip().splitlines()[-1])
    except (ValueError, IndexError):
        answer = {"error": {"code": "unreadable", "message": run.stderr[-2000:]}}
    # A result that is a refusal is an answer too, with an exit code of its own.
    if run.returncode and "error" in answer:
        name = " ".join(arguments[:2])
        raise CommandFailed(
            f"`bauhinia {name}` ended with exit code {run.returncode}",
            exit_code=run.returncode,
            answer=answer,
        )
    return answer


@dataclass
class Server:
    """One party's server process."""

    name: str
    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


@dataclass
class Machine:
    """A folder, an issuer, a verifier and as many wallets as asked for."""

    folder: Path
    issuer_url: str
    verifier_url: str
    api_key: str = ""
    servers: list[Server] = field(default_factory=list[Server])

    @property
    def pki(self) -> Path:
        return self.folder / "pki"

    @property
    def certificate_authority(self) -> Path:
        return self.pki / "tls" / "ca.crt"

    def data(self, party: str) -> str:
        return str(self.folder / party)

    def serve(self, party: str, *more: str) -> Server:
        """Start ``bauhinia PARTY serve`` and wait until it answers."""
        url = {"issuer": self.issuer_url, "verifier": self.verifier_url}[party]
        return self._serve(party, party, url, *more)

    def serve_wallet(self, person: str, url: str) -> Server:
        """Start the pages of one person's wallet at ``url``, with TLS where it says https."""
        return self._serve("wallet", person, url, "--base-url", url)

    def _serve(self, party: str, folder: str, url: str, *more: str) -> Server:
        log = self.folder / f"{folder}.log"
        tls = self.pki / "tls"
        secure = ("--tls-cert", str(tls / "server.crt"), "--tls-key", str(tls / "server.key"))
        with log.open("ab") as sink:
            process = subprocess.Popen(  # noqa: S603 - our own command, arguments as a list
                [
                    *(sys.executable, "-m", "bauhinia", party, "serve", "--data", self.data(folder)),
                    *("--port", url.rsplit(":", 1)[1]),
                    *(secure if url.startswith("https:") else ()),
                    *more,
                ],
                stdout=sink,
                stderr=sink,
                stdin=subprocess.DEVNULL,
            )
        server = Server(folder, url, process, log)
        self.servers.append(server)
        self._await(server)
        return server

    def client(self) -> httpx.Client:
        """HTTPS to the two servers; what a till with an API key, or a browser, would use."""
        trust = ssl.create_default_context(cafile=str(self.certificate_authority))
        return httpx.Client(verify=trust, timeout=10)

    def _await(self, server: Server) -> None:
        until = time.monotonic() + START_SECONDS
        with self.client() as client:
            while time.monotonic() < until and server.process.poll() is None:
                with contextlib.suppress(httpx.TransportError):
                    if client.get(f"{server.url}/healthz").status_code == 200:
                        return
                time.sleep(0.05)
        raise NetworkUnavailable(f"the {server.name} did not start", hint=f"Read {server.log.name}.")

    def stop(self) -> None:
        for server in reversed(self.servers):
            server.stop()
        self.servers.clear()


@contextlib.contextmanager
def machine(folder: Path) -> Generator[Machine, None, None]:
    """A new machine in ``folder`` on two free loopback ports; its processes end with the block."""
    parties = Machine(
        folder,
        issuer_url=f"https://localhost:{free_port()}",
        verifier_url=f"https://localhost:{free_port()}",
    )
    home = os.environ.get(STATE)
    # The stamps of these wallets go with the folder, and not into the home of whoever runs this.
    os.environ[STATE] = str(folder / "state")
    try:
        yield parties
    finally:
        parties.stop()
        if home is None:
            del os.environ[STATE]
        else:
            os.environ[STATE] = home
