"""A real gunicorn: ready line, health, silence, smuggling, graceful stop (C7, W13)."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from credentials.errors import ConfigurationInvalid, PortInUse
from web.serving import serve

PROGRAM = """
import sys
from web.service import Settings, create_service
from web.serving import serve
from web.texts import load_texts
port = int(sys.argv[1])
url = f"http://127.0.0.1:{port}"
def make():
    return create_service("verifier", settings=Settings(url, bytes(32)), texts=load_texts())
serve(make, name="test", url=url, port=port, workers=1, patience=1)
"""


@pytest.fixture
def port() -> Iterator[int]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number: int = free.getsockname()[1]
    root = Path(__file__).resolve().parents[2]
    server = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(number)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=root
    )
    assert server.stdout is not None
    line = server.stdout.readline().decode()
    assert line == f"bauhinia test: listening on http://127.0.0.1:{number}\n"
    yield number
    server.send_signal(signal.SIGTERM)
    out, err = server.communicate(timeout=20)
    # A graceful stop, and not a word about anybody's request.
    assert (server.returncode, out) == (0, b"")
    assert b"GET /" not in err


def talk(port: int, sent: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=15) as line:
        line.sendall(sent)
        answer = b""
        while more := line.recv(4096):
            answer += more
    return answer


@pytest.mark.processes
@pytest.mark.hostile("C7", "W13")
def test_c7_one_server_through_the_day(port: int) -> None:
    host = f"Host: 127.0.0.1:{port}\r\n".encode()
    for _ in range(100):
        good = talk(port, b"GET /healthz HTTP/1.1\r\nConnection: close\r\n" + host + b"\r\n")
        if b'{"status":"ok"}' in good:
            break
        time.sleep(0.1)
    assert good.startswith(b"HTTP/1.1 200")
    # C7: a header that never ends gives its thread back when nothing more comes.
    slow = [socket.create_connection(("127.0.0.1", port), timeout=15) for _ in range(6)]
    for line in slow:
        line.sendall(b"GET /healthz HTTP/1.1\r\nX-Slow: ")
    for line in slow:
        while line.recv(4096):
            pass
        line.close()
    assert b"200 OK" in talk(port, b"GET /healthz HTTP/1.1\r\nConnection: close\r\n" + host + b"\r\n")
    # W13: two lengths, or a length and chunks: never two readings of one stream.
    for smuggled in (
        b"Content-Length: 4\r\nContent-Length: 40\r\n",
        b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"Content-Length: +4\r\n",
    ):
        answer = talk(
            port,
            b"POST /healthz HTTP/1.1\r\n"
            + host
            + smuggled
            + b"Connection: close\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        )
        assert answer.split(b" ", 2)[1] in (b"400", b"405", b"501"), (smuggled, answer[:80])
        assert answer.count(b"HTTP/1.1 ") == 1
    # C1: a request line and a header without end.
    assert talk(port, b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n").split(b" ", 2)[1] in (b"400", b"414")
    long = b"GET /healthz HTTP/1.1\r\n" + host + b"X: " + b"a" * 30_000 + b"\r\n\r\n"
    assert talk(port, long).split(b" ", 2)[1] in (b"400", b"431")


def test_a_port_that_is_taken_is_said_before_anything_starts() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortInUse) as caught:
            serve(lambda: None, name="x", url="http://127.0.0.1", port=port)
    assert str(port) in str(caught.value)
    assert "--port" in caught.value.hint


def test_an_address_that_is_not_ours_is_said_too() -> None:
    with pytest.raises(ConfigurationInvalid) as caught:
        serve(lambda: None, name="x", url="http://192.0.2.1", host="192.0.2.1", port=0)
    assert "--host" in caught.value.hint


def test_missing_certificate_is_said_before_anything_starts(tmp_path: Path) -> None:
    from credentials.errors import FileUnreadable

    with pytest.raises(FileUnreadable):
        serve(
            lambda: None, name="x", url="https://x", port=1, certificate=tmp_path / "no", key=tmp_path / "no"
        )
