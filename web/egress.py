"""The one function through which anything leaves for the network on somebody else's word.

Policy is an argument. Always: https, no redirect, no user information, the name resolved once and the
connection pinned to the addresses found, all of them public, size and time capped as a whole.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast
from urllib.parse import SplitResult, urlencode, urlsplit

import httpcore
import httpx

from credentials.encoding import dump_json
from credentials.errors import (
    ConfigurationInvalid,
    MediaTypeRefused,
    NetworkUnavailable,
    TooLarge,
    UriRefused,
)

Resolve = Callable[[str, int], Iterable[str]]
"""Host name and port to IP addresses, as text. Raises OSError."""

_MAX_URL: Final = 2048
_NAME: Final = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*"
)
# What inet_aton reads as an address although it does not look like one: 0x7f000001, 127.1, 017700000001.
_NUMBER: Final = re.compile(r"(0x[0-9a-f]*|[0-9]+)")
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class EgressPolicy:
    """``loopback_origins`` are exact origins (``https://127.0.0.1:8443``), for development only."""

    production: bool
    loopback_origins: frozenset[str] = frozenset()
    max_bytes: int = 1 << 20
    seconds: float = 5.0

    def __post_init__(self) -> None:
        if self.production and self.loopback_origins:
            raise ConfigurationInvalid("production allows no loopback origin")


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def media_type(self) -> str:
        return self.headers.get("content-type", "").split(";")[0].strip().lower()


class Egress:
    """Outgoing requests under one policy, carried by ``client`` (:func:`open_egress` makes a pinned one)."""

    def __init__(self, policy: EgressPolicy, client: httpx.Client, *, resolve: Resolve | None = None) -> None:
        self.policy = policy
        self._client = client
        self._resolve = resolve or system_resolve

    def get(self, url: str, *, accept: str, headers: Mapping[str, str] | None = None) -> Answer:
        """GET ``url``. A successful answer must be of a media type named in ``accept``."""
        answer = self._send("GET", url, {"Accept": accept, **(headers or {})}, None)
        allowed = {item.split(";")[0].strip() for item in accept.split(",")}
        if answer.status == 200 and answer.media_type not in allowed and "*/*" not in allowed:
            raise MediaTypeRefused("the answer is of another media type than asked for")
        return answer

    def post_form(
        self, url: str, fields: Mapping[str, str], *, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """POST ``fields`` as application/x-www-form-urlencoded."""
        kind = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        return self._send("POST", url, {**kind, **(headers or {})}, urlencode(fields).encode("ascii"))

    def post_json(self, url: str, body: object, *, headers: Mapping[str, str] | None = None) -> Answer:
        """POST ``body`` as application/json."""
        kind = {"Content-Type": "application/json", "Accept": "application/json"}
        return self._send("POST", url, {**kind, **(headers or {})}, dump_json(body))

    def _send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        parts = check_url(url)
        port = parts.port or 443
        addresses = self._addresses(parts.hostname or "", port)
        deadline = time.monotonic() + self.policy.seconds
        request = self._client.build_request(
            method,
            url,
            # Compressed answers are refused, so that the size cap counts what is kept (no bombs).
            headers={"User-Agent": "bauhinia", "Accept-Encoding": "identity", **headers},
            content=body,
            timeout=self.policy.seconds,
            extensions={"addresses": addresses, "deadline": deadline},
        )
        # What a party left with us is not brought back: a cookie would tell one wallet from another (V4).
        request.headers.pop("Cookie", None)
        try:
            response = self._client.send(request, stream=True, follow_redirects=False)
            try:
                return self._read(response, deadline)
            finally:
                response.close()
        except httpx.TimeoutException:
            raise NetworkUnavailable(f"{_origin(parts)} gave no answer in time") from None
        except httpx.HTTPError:
            raise NetworkUnavailable(f"the connection to {_origin(parts)} failed") from None

    def _read(self, response: httpx.Response, deadline: float) -> Answer:
        if 300 <= response.status_code < 400:
            raise UriRefused("redirects are not followed")
        if response.headers.get("content-encoding", "identity") != "identity":
            raise MediaTypeRefused("compressed answers are refused")
        body = bytearray()
        for chunk in [response.content] if response.is_stream_consumed else response.iter_raw():
            body += chunk
            if len(body) > self.policy.max_bytes:
                raise TooLarge(f"answer over {self.policy.max_bytes} bytes")
            if time.monotonic() > deadline:
                raise NetworkUnavailable(f"{response.url.host} gave no whole answer in time")
        return Answer(response.status_code, {k.lower(): v for k, v in response.headers.items()}, bytes(body))

    def _addresses(self, host: str, port: int) -> tuple[str, ...]:
        """Resolve once; every address must be public, or every one loopback where the origin is listed."""
        name = f"[{host}]" if ":" in host else host
        short = f"https://{name}" if port == 443 else f"https://{name}:{port}"
        local = short in self.policy.loopback_origins and not self.policy.production
        if not local and (_is_literal(host) or _NUMBER.fullmatch(host.rsplit(".", 1)[-1])):
            raise UriRefused("an address where a host name belongs")
        try:
            found = [ipaddress.ip_address(text.split("%")[0]) for text in self._resolve(host, port)]
        except (OSError, UnicodeError):
            raise NetworkUnavailable(f"the host name {host} does not resolve") from None
        if not found:
            raise NetworkUnavailable(f"the host name {host} does not resolve")
        for address in found:
            if not (address.is_loopback if local else _is_public(address)):
                raise UriRefused("the address is not public")
        return tuple(dict.fromkeys(map(str, found)))


def check_url(url: str) -> SplitResult:
    """A URL we are willing to request: https, a plain host name, no user, fragment or control character."""
    if len(url) > _MAX_URL or not url.isascii() or any(c <= " " or c in '\\"<>^`{|}\x7f' for c in url):
        raise UriRefused("not a URL we request")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise UriRefused("not a URL we request") from None
    host = parts.hostname or ""
    if parts.scheme != "https":
        raise UriRefused("only https is requested")
    if "@" in parts.netloc or "#" in url or port == 0:
        raise UriRefused("not a URL we request")
    if not _is_literal(host) and not _NAME.fullmatch(host):
        raise UriRefused("not a host name")
    return parts


def _origin(parts: SplitResult) -> str:
    return f"{parts.scheme}://{parts.netloc}"


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Global, and so is any IPv4 address carried inside it."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if address.teredo is not None:
            return False
        if inner is not None and not _is_public(inner):
            return False
        if address.ipv4_mapped:
            return True
    return address.is_global and not address.is_multicast


def system_resolve(host: str, port: int) -> list[str]:
    """The system's resolver."""
    return [str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def open_egress(policy: EgressPolicy, *, ca_file: str | None = None) -> Egress:
    """Egress over real, pinned connections; ``ca_file`` (PEM) replaces the public authorities."""
    context = httpx.create_ssl_context() if ca_file is None else ssl.create_default_context(cafile=ca_file)
    client = httpx.Client(transport=PinnedTransport(context), trust_env=False)
    return Egress(policy, client)


class PinnedTransport(httpx.BaseTransport):
    """Connects to the addresses that the policy checked, never to one resolved again (no DNS rebinding)."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        addresses, deadline = request.extensions["addresses"], request.extensions["deadline"]
        pool = httpcore.ConnectionPool(
            ssl_context=self._context, network_backend=_Backend(addresses, deadline), retries=0
        )
        try:
            answer = pool.handle_request(
                httpcore.Request(
                    request.method,
                    httpcore.URL(
                        scheme=request.url.raw_scheme,
                        host=request.url.raw_host,
                        port=request.url.port,
                        target=request.url.raw_path,
                    ),
                    headers=request.headers.raw,
                    content=request.stream,
                    extensions={"timeout": request.extensions["timeout"]},
                )
            )
        except Exception as error:
            pool.close()
            raise _translated(error, request) from None
        return httpx.Response(
            answer.status, headers=answer.headers, stream=_Stream(answer, pool, request), request=request
        )


def _translated(error: Exception, request: httpx.Request) -> Exception:
    if isinstance(error, httpcore.TimeoutException):
        return httpx.ReadTimeout("timeout", request=request)
    if isinstance(error, (httpcore.NetworkError, httpcore.ProtocolError, OSError)):
        return httpx.ConnectError("connection failed", request=request)
    return error


class _Stream(httpx.SyncByteStream):
    def __init__(
        self, answer: httpcore.Response, pool: httpcore.ConnectionPool, request: httpx.Request
    ) -> None:
        self._answer, self._pool, self._request = answer, pool, request

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from cast("Iterable[bytes]", self._answer.stream)
        except Exception as error:
            raise _translated(error, self._request) from None

    def close(self) -> None:
        self._answer.close()
        self._pool.close()


class _Backend(httpcore.NetworkBackend):
    """Dials ``addresses`` in order whatever name is asked for, and gives every read what is left of the time.

    A name often has an address that nobody listens on: ``localhost`` is ``::1`` first on most machines.
    """

    def __init__(self, addresses: Sequence[str], deadline: float) -> None:
        self._addresses, self._deadline = addresses, deadline
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        failure: Exception = httpcore.ConnectError("no address")
        for tried, address in enumerate(self._addresses):
            # An address that never answers must leave time for those after it.
            share = _left(self._deadline) / (len(self._addresses) - tried)
            try:
                stream = self._inner.connect_tcp(address, port, share, local_address, socket_options)
                return _Timed(stream, self._deadline)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure


class _Timed(httpcore.NetworkStream):
    def __init__(self, inner: httpcore.NetworkStream, deadline: float) -> None:
        self._inner, self._deadline = inner, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, _left(self._deadline))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, _left(self._deadline))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        secured = self._inner.start_tls(ssl_context, server_hostname, _left(self._deadline))
        return _Timed(secured, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout("the time for the whole exchange is over")
    return left
