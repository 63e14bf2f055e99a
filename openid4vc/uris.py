"""URLs and query strings of the protocols, read strictly.

A URL in a message is untrusted: it may be a trap for whoever fetches it (the address is judged again by the
egress policy, after resolution) or for whoever compares it. So there is one way to write each, and nothing
is normalised. Sources: RFC 3986, WHATWG URL 5.2 (form encoding), OpenID4VCI 1.0 section 4.1, OpenID4VP 1.0
section 5.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from credentials.errors import UriRefused

MAX_URL: Final = 2048
MAX_QUERY: Final = 65536
MAX_PARAMETERS: Final = 40

_URL: Final = re.compile(
    r"(?P<scheme>https?)://"
    r"(?P<host>\[[0-9a-f:.]{2,45}\]|[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?)"
    r"(?::(?P<port>[1-9][0-9]{0,4}))?"
    r"(?P<path>/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)?"
    r"(?:\?(?P<query>[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*))?"
)
_LINK: Final = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]{1,40})://[a-z0-9.-]{0,60}/?\?(?P<query>[!-~]*)")
_NUMBER: Final = re.compile("[0-9]+|0x[0-9a-f]*")
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ESCAPES: Final = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_UNRESERVED: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_DEFAULT_PORTS: Final = {"https": 443, "http": 80}
LOOPBACK_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
LOOPBACK_NAMES: Final = frozenset(host.strip("[]") for host in LOOPBACK_HOSTS)
"""The same, as ``urllib.parse`` gives a host name."""


@dataclass(frozen=True, slots=True)
class Url:
    """An absolute http(s) URL without user information or fragment; ``port`` is never absent."""

    scheme: str
    host: str
    port: int
    path: str
    query: str

    @property
    def origin(self) -> str:
        """``scheme://host`` and the port where it is not the default one (RFC 6454, 6.2)."""
        port = "" if self.port == _DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{self.host}{port}"

    def __str__(self) -> str:
        return f"{self.origin}{self.path}" + (f"?{self.query}" if self.query else "")


def parse_url(text: str) -> Url:
    """Read an https URL, or an http URL whose host is this very machine (development).

    Refuses user information, fragments, characters outside RFC 3986, upper-case hosts, written default
    ports, dot segments and empty segments (plain or percent-encoded). Raises :class:`UriRefused`.
    """
    if len(text) > MAX_URL:
        raise UriRefused(f"URL longer than {MAX_URL} characters")
    match = _URL.fullmatch(text)
    if match is None or _BAD_ESCAPE.search(text):
        raise UriRefused("not an absolute http(s) URL, or it has user information or a fragment")
    scheme, host, path = match["scheme"], match["host"], match["path"] or ""
    if ".." in host or (scheme == "http" and host not in LOOPBACK_HOSTS):
        raise UriRefused("URL is not https")
    _check_address(host)
    port = int(match["port"] or _DEFAULT_PORTS[scheme])
    if port > 65535 or (match["port"] is not None and port == _DEFAULT_PORTS[scheme]):
        raise UriRefused("URL port is out of range, or is the default one written out")
    # A proxy may decode %2e and %2f before it routes: judge the path as if it had.
    decoded = re.sub("%2e", ".", re.sub("%2f", "/", path, flags=re.I), flags=re.I)
    segments = decoded.split("/")[1:]
    if {".", ".."} & set(segments) or "" in segments[:-1] or re.search("%(?:5c|00)", path, flags=re.I):
        raise UriRefused("URL path has dot segments, empty segments or an encoded separator")
    return Url(scheme, host, port, path, match["query"] or "")


def _check_address(host: str) -> None:
    """An IP address in the one usual form: ``127.1``, ``0x7f000001``, ``2130706433`` and ``::ffff:7f00:1``
    are ways to write this machine past a check (WHATWG URL 3.5, "ends in a number")."""
    literal = host.startswith("[")
    if not literal and not _NUMBER.fullmatch(host.rpartition(".")[2]):
        return
    text = host.strip("[]")
    try:
        # IPv4Address takes nothing but four decimal numbers without leading zeros.
        address = IPv6Address(text) if literal else IPv4Address(text)
    except ValueError:
        raise UriRefused("URL host is not a name and not an IP address in its usual form") from None
    if str(address) != text or (isinstance(address, IPv6Address) and address.ipv4_mapped):
        raise UriRefused("URL host is an IP address in an unusual form")


def parse_query(text: str) -> dict[str, str]:
    """Read ``application/x-www-form-urlencoded``: UTF-8, each name once. Raises :class:`UriRefused`."""
    if len(text) > MAX_QUERY:
        raise UriRefused(f"query longer than {MAX_QUERY} characters")
    fields: dict[str, str] = {}
    for pair in text.split("&") if text else ():
        name, _, value = pair.partition("=")
        name, value = _decode(name), _decode(value)
        if not name or name in fields:
            raise UriRefused("query has a parameter twice, or one without a name")
        fields[name] = value
    if len(fields) > MAX_PARAMETERS:
        raise UriRefused(f"query has more than {MAX_PARAMETERS} parameters")
    return fields


def build_query(fields: Mapping[str, str]) -> str:
    """Write names and values with everything but RFC 3986 unreserved characters percent-encoded."""
    return "&".join(f"{_encode(name)}={_encode(value)}" for name, value in fields.items())


def parse_link(text: str, *, schemes: Collection[str]) -> dict[str, str]:
    """Parameters of a link that opens a wallet, such as ``openid4vp://?client_id=…``.

    Raises :class:`UriRefused` where the scheme is not one of ``schemes``.
    """
    match = _LINK.fullmatch(text) if len(text) <= MAX_QUERY else None
    if match is None or match["scheme"] not in schemes or "#" in match["query"]:
        raise UriRefused("not a link of the expected kind")
    return parse_query(match["query"])


def with_query(url: str, fields: Mapping[str, str]) -> str:
    """``url`` with ``fields`` added to its query, as a redirect needs (RFC 6749, 4.1.2)."""
    return f"{url}{'&' if '?' in url else '?'}{build_query(fields)}"


def well_known(issuer: str, name: str) -> str:
    """The metadata URL: ``/.well-known/name`` goes between host and path (RFC 8414, 3; OpenID4VCI 12.2.2)."""
    url = parse_url(issuer)
    return f"{url.origin}/.well-known/{name}{url.path.rstrip('/')}"


def _decode(text: str) -> str:
    if _BAD_ESCAPE.search(text):
        raise UriRefused("query has a broken percent escape")
    try:
        decoded = _ESCAPES.sub(
            lambda run: bytes.fromhex(run[0].replace("%", "")).decode("utf-8"), text.replace("+", " ")
        )
    except UnicodeDecodeError:
        raise UriRefused("query is not UTF-8") from None
    return decoded


def _encode(text: str) -> str:
    return "".join(chr(byte) if byte in _UNRESERVED else f"%{byte:02X}" for byte in text.encode("utf-8"))
