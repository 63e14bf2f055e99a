"""Nothing leaves for an address that is not public, whatever the URL looks like (P10, W1 to W6)."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, ClassVar

import httpcore
import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from credentials.errors import (
    ConfigurationInvalid,
    MediaTypeRefused,
    NetworkUnavailable,
    TooLarge,
    UriRefused,
)
from web.egress import Egress, EgressPolicy, PinnedTransport, open_egress

PUBLIC = "93.184.216.34"


def egress(
    answer: Callable[[httpx.Request], httpx.Response] | None = None,
    *addresses: str,
    policy: EgressPolicy | None = None,
) -> tuple[Egress, list[httpx.Request]]:
    """Egress over a transport that answers from memory, with names that resolve to ``addresses``."""
    sent: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return answer(request) if answer else httpx.Response(200, json={})

    client = httpx.Client(transport=httpx.MockTransport(handle))
    found = addresses or (PUBLIC,)
    made = Egress(policy or EgressPolicy(production=True), client, resolve=lambda host, port: found)
    return made, sent


def refused(url: str, *addresses: str, policy: EgressPolicy | None = None) -> None:
    made, sent = egress(None, *addresses, policy=policy)
    with pytest.raises(UriRefused) as caught:
        made.get(url, accept="*/*")
    assert caught.value.code == "uri_refused"
    assert sent == []


@pytest.mark.hostile("W1", "P10")
@pytest.mark.parametrize(
    "url",
    [
        "http://issuer.test/offer", "ftp://issuer.test/", "file:///etc/passwd", "gopher://issuer.test/",
        "HTTPS:issuer.test", "//issuer.test/x", "https:///x", "", "https://", "javascript:alert(1)",
    ],
)  # fmt: skip
def test_w1_anything_but_https(url: str) -> None:
    refused(url)


@pytest.mark.hostile("W2", "P10")
@pytest.mark.parametrize(
    "host",
    [
        "93.184.216.34", "127.0.0.1", "169.254.169.254", "[::1]", "[::ffff:127.0.0.1]", "0x7f000001",
        "2130706433", "127.1", "017700000001", "0", "issuer.test.0x7f", "[fe80::1%25eth0]",
    ],
)  # fmt: skip
def test_w2_an_address_where_a_name_belongs(host: str) -> None:
    refused(f"https://{host}/x")


@pytest.mark.hostile("W3", "P10")
@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",  # noqa: S104
        "224.0.0.1", "255.255.255.255", "192.0.2.1", "::1", "::", "fe80::1", "fc00::1", "ff02::1",
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "2002:7f00:1::", "64:ff9b::7f00:1", "2001:db8::1",
    ],
)  # fmt: skip
def test_w3_a_name_that_resolves_inward(address: str) -> None:
    """Also where only one of several addresses does: the next connection might take that one."""
    refused("https://issuer.test/x", address)
    refused("https://issuer.test/x", PUBLIC, address)


@pytest.mark.hostile("W4", "P10")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_w4_redirects_are_not_followed(status: int) -> None:
    made, sent = egress(lambda _: httpx.Response(status, headers={"Location": "https://127.0.0.1/"}))
    with pytest.raises(UriRefused):
        made.get("https://issuer.test/x", accept="*/*")
    assert len(sent) == 1


@pytest.mark.hostile("W5", "P10")
def test_w5_rebinding_finds_the_connection_pinned() -> None:
    """The name is resolved once, and the connection goes to that address."""
    answers = iter([[PUBLIC], ["127.0.0.1"]])
    seen: list[Any] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request.extensions["addresses"])
        return httpx.Response(200, json={})

    client = httpx.Client(transport=httpx.MockTransport(handle))
    made = Egress(EgressPolicy(True), client, resolve=lambda host, port: next(answers))
    made.get("https://issuer.test/x", accept="*/*")
    assert seen == [(PUBLIC,)]
    assert next(answers) == ["127.0.0.1"]


@pytest.mark.hostile("W6", "P10")
@pytest.mark.parametrize(
    "url",
    [
        "https://user@issuer.test/", "https://user:pw@issuer.test/", "https://issuer.test/#part",
        "https://issuer.test/a b", "https://issuer.test/\r\nX: y", "https://issuer.test\\@evil.test/",
        "https://is\u017fuer.test/", "https://issuer.test:0/", "https://issuer.test:99999/", "https://-a.test/",
        "https://issuer..test/", "https://issuer.test/" + "a" * 3000, "https://issuer.test/\x00",
    ],
)  # fmt: skip
def test_w6_url_that_two_parsers_read_differently(url: str) -> None:
    refused(url)


@pytest.mark.hostile("W2")
def test_w2_loopback_only_where_listed_exactly_and_never_in_production() -> None:
    policy = EgressPolicy(False, frozenset({"https://127.0.0.1:8701"}))
    made, sent = egress(None, "127.0.0.1", policy=policy)
    assert made.get("https://127.0.0.1:8701/x", accept="*/*").status == 200
    for url in ("https://127.0.0.1:8702/x", "https://localhost:8701/x", "https://127.0.0.1/x"):
        refused(url, "127.0.0.1", policy=policy)
    # The listed origin must really be this machine.
    refused("https://127.0.0.1:8701/x", PUBLIC, policy=policy)
    assert len(sent) == 1
    with pytest.raises(ConfigurationInvalid):
        EgressPolicy(True, frozenset({"https://127.0.0.1:8701"}))


@pytest.mark.hostile("P10", "C1")
def test_p10_large_compressed_or_wrong_kind() -> None:
    policy = EgressPolicy(True, max_bytes=1000)
    made, _ = egress(lambda _: httpx.Response(200, content=b"x" * 1001), policy=policy)
    with pytest.raises(TooLarge):
        made.get("https://issuer.test/x", accept="*/*")
    made, _ = egress(lambda _: httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=Bytes()))
    with pytest.raises(MediaTypeRefused):
        made.get("https://issuer.test/x", accept="*/*")
    made, _ = egress(lambda _: httpx.Response(200, text="<html>", headers={"Content-Type": "text/html"}))
    with pytest.raises(MediaTypeRefused):
        made.get("https://issuer.test/x", accept="application/json")


class Bytes(httpx.SyncByteStream):
    def __iter__(self) -> Iterator[bytes]:
        yield b"\x1f\x8b"


def test_name_that_does_not_resolve_is_a_network_fault() -> None:
    def nowhere(host: str, port: int) -> list[str]:
        raise OSError("no such host")

    made = Egress(EgressPolicy(True), httpx.Client(transport=httpx.MockTransport(None)), resolve=nowhere)  # type: ignore[arg-type]
    with pytest.raises(NetworkUnavailable, match=r"issuer\.test"):
        made.get("https://issuer.test/x", accept="*/*")


def test_a_network_fault_names_the_origin_and_no_more() -> None:
    """A person can do something about a host; what stands behind it in the URL is the journey's own."""

    def broken(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    def slow(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("slow", request=request)

    for answer in (broken, slow):
        made, _ = egress(answer)
        with pytest.raises(NetworkUnavailable) as caught:
            made.get("https://issuer.test:8443/offers/secret?code=1", accept="*/*")
        assert "https://issuer.test:8443 " in str(caught.value)
        assert "secret" not in str(caught.value)
        assert caught.value.hint


def test_posts_carry_their_bodies() -> None:
    made, sent = egress()
    made.post_form("https://issuer.test/token", {"a": "ä &", "b": ""}, headers={"DPoP": "proof"})
    made.post_json("https://issuer.test/credential", {"x": ["字"]})
    form, body = sent
    assert form.content == b"a=%C3%A4+%26&b="
    assert form.headers["dpop"] == "proof"
    assert body.content == '{"x":["字"]}'.encode()
    assert body.headers["content-type"] == "application/json"
    assert body.headers["user-agent"] == "bauhinia"


# --- over a real, pinned TLS connection


class Handler(BaseHTTPRequestHandler):
    mode: ClassVar[str] = "good"
    release: ClassVar[threading.Event] = threading.Event()

    def do_GET(self) -> None:
        if Handler.mode == "drip":
            self.wfile.write(b"HTTP/1.1 200 OK\r\n")
            while not Handler.release.wait(0.05):
                try:
                    self.wfile.write(b"X")
                    self.wfile.flush()
                except OSError:
                    return
            return
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(b'{"host":"%s"}' % self.headers["Host"].encode())

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def tls_server(tmp_path: Path) -> Iterator[tuple[int, str]]:
    """A TLS server on loopback for the name issuer.test; gives port and CA file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "issuer.test")])
    now = datetime.now(UTC)
    hosts = [x509.IPAddress(IPv4Address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    crt, pem = tmp_path / "s.crt", tmp_path / "s.key"
    crt.write_bytes(certificate.public_bytes(Encoding.PEM))
    pem.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(crt, pem)
    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    Handler.mode = "good"
    Handler.release = threading.Event()
    yield server.server_address[1], str(crt)
    Handler.release.set()
    server.shutdown()
    thread.join()
    server.server_close()


def test_real_connection_is_pinned_and_checked_by_name(tls_server: tuple[int, str]) -> None:
    port, ca = tls_server
    origin = f"https://127.0.0.1:{port}"
    made = open_egress(EgressPolicy(False, frozenset({origin})), ca_file=ca)
    found = made.get(f"{origin}/x", accept="application/json")
    assert (found.status, found.body) == (200, b'{"host":"127.0.0.1:%d"}' % port)
    # Without the authority the certificate is worth nothing.
    stranger = open_egress(EgressPolicy(False, frozenset({origin})))
    with pytest.raises(NetworkUnavailable):
        stranger.get(f"{origin}/x", accept="*/*")


@pytest.mark.parametrize("first", ["::1", "127.0.0.2"])
def test_every_address_of_a_name_is_tried(tls_server: tuple[int, str], first: str) -> None:
    """Most machines know localhost as ::1 first, and servers listen on 127.0.0.1."""
    port, ca = tls_server
    origin = f"https://127.0.0.1:{port}"
    client = httpx.Client(transport=PinnedTransport(ssl.create_default_context(cafile=ca)), trust_env=False)
    policy = EgressPolicy(False, frozenset({origin}))
    made = Egress(policy, client, resolve=lambda host, port: [first, "127.0.0.1"])
    assert made.get(f"{origin}/x", accept="application/json").status == 200
    nobody = Egress(policy, client, resolve=lambda host, port: [first, "127.0.0.3"])
    with pytest.raises(NetworkUnavailable):
        nobody.get(f"{origin}/x", accept="application/json")


def test_an_address_that_never_answers_leaves_time_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    dialled: list[tuple[str, float]] = []

    def connect(self: Any, host: str, port: int, timeout: float, *_: Any) -> Any:
        dialled.append((host, timeout))
        raise httpcore.ConnectTimeout("nothing came")

    monkeypatch.setattr(httpcore.SyncBackend, "connect_tcp", connect)
    client = httpx.Client(transport=PinnedTransport(ssl.create_default_context()), trust_env=False)
    found = [PUBLIC, "93.184.216.35"]
    made = Egress(EgressPolicy(True, seconds=5.0), client, resolve=lambda host, port: found)
    with pytest.raises(NetworkUnavailable, match="in time"):
        made.get("https://issuer.test/x", accept="*/*")
    assert [host for host, _ in dialled] == found
    assert dialled[0][1] <= 2.5 < dialled[1][1] <= 5.0


@pytest.mark.hostile("P10", "C7")
def test_p10_slow_drip_ends_with_the_time_for_the_whole_exchange(tls_server: tuple[int, str]) -> None:
    """Each byte comes in time, the header never ends: the deadline is for all of it."""
    port, ca = tls_server
    origin = f"https://127.0.0.1:{port}"
    Handler.mode = "drip"
    made = open_egress(EgressPolicy(False, frozenset({origin}), seconds=0.5), ca_file=ca)
    with pytest.raises(NetworkUnavailable):
        made.get(f"{origin}/x", accept="*/*")
