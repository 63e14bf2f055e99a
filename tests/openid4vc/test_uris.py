"""URLs and query strings: one way to write each."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credentials.errors import UriRefused
from openid4vc.uris import (
    MAX_PARAMETERS,
    MAX_QUERY,
    build_query,
    parse_link,
    parse_query,
    parse_url,
    well_known,
    with_query,
)


@pytest.mark.parametrize(
    ("text", "origin", "path", "query"),
    [
        ("https://issuer.test", "https://issuer.test", "", ""),
        ("https://issuer.test/", "https://issuer.test", "/", ""),
        ("https://issuer.test:8443/a/b?x=1", "https://issuer.test:8443", "/a/b", "x=1"),
        ("https://192.0.2.1/a", "https://192.0.2.1", "/a", ""),
        ("https://[2001:db8::1]:444/", "https://[2001:db8::1]:444", "/", ""),
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8000", "/", ""),
        ("http://localhost/", "http://localhost", "/", ""),
        ("http://[::1]:9/", "http://[::1]:9", "/", ""),
        ("https://issuer.test/%E9%A6%99/", "https://issuer.test", "/%E9%A6%99/", ""),
    ],
)
def test_url_is_read_and_written_alike(text: str, origin: str, path: str, query: str) -> None:
    url = parse_url(text)
    assert (url.origin, url.path, url.query) == (origin, path, query)
    assert str(url) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "issuer.test",
        "//issuer.test",
        "file:///etc/passwd",
        "ftp://issuer.test/",
        "http://issuer.test/",
        "http://192.0.2.1/",
        "https://",
        "https:///path",
        "https://user@issuer.test/",
        "https://user:pass@issuer.test/",
        "https://issuer.test/#fragment",
        "https://issuer.test\n/",
        "https://issuer.test/a b",
        "https://issuer.test/\x00",
        "https://issuer.test/香港",
        "https://Issuer.test/",
        "https://issuer..test/",
        "https://-issuer.test/",
        "https://issuer.test./",
        "https://issuer.test\\@other.test/",
        "https://issuer.test:/",
        "https://issuer.test:0/",
        "https://issuer.test:0443/",
        "https://issuer.test:443/",
        "http://localhost:80/",
        "https://issuer.test:65536/",
        "https://issuer.test/%",
        "https://issuer.test/%2",
        "https://issuer.test/%zz",
        "https://issuer.test/a/../b",
        "https://issuer.test/./b",
        "https://issuer.test/..",
        "https://issuer.test/a/%2e%2e/b",
        "https://issuer.test/a/%2E./b",
        "https://issuer.test/a%2f..%2fb",
        "https://issuer.test//b",
        "https://issuer.test/a%5cb",
        "https://issuer.test/a%00",
        "https://0x7f000001/",
        "https://0x7f.1/",
        "https://2130706433/",
        "https://127.1/",
        "https://0177.0.0.1/",
        "https://127.0.0.01/",
        "https://127.0.0.256/",
        "https://issuer.1/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:7f00:1]/",
        "https://[0:0:0:0:0:0:0:1]/",
        "https://[::1/",
        "https://[:::]/",
        "https://issuer.test/" + "a" * 2048,
    ],
)
def test_url_refused(text: str) -> None:
    with pytest.raises(UriRefused) as caught:
        parse_url(text)
    assert caught.value.code == "uri_refused"


@given(st.dictionaries(st.text(min_size=1, max_size=20), st.text(max_size=40), max_size=10))
def test_query_round_trip(fields: dict[str, str]) -> None:
    try:
        query = build_query(fields)
    except UnicodeEncodeError:
        return  # A lone surrogate is not text.
    assert query.isascii()
    assert parse_query(query) == fields


def test_query_is_form_encoding() -> None:
    assert parse_query("a=1+2&b=%E9%A6%99&c=&d") == {"a": "1 2", "b": "香", "c": "", "d": ""}
    assert parse_query("") == {}


@pytest.mark.parametrize(
    "text",
    [
        "a=1&a=1",
        "a=1&%61=2",
        "=1",
        "a=1&&b=2",
        "a=%",
        "a=%f",
        "a=%ff",
        "a=%E9%A6",
        "&".join(f"p{i}=" for i in range(MAX_PARAMETERS + 1)),
        "a=" + "b" * MAX_QUERY,
    ],
)
def test_query_refused(text: str) -> None:
    with pytest.raises(UriRefused):
        parse_query(text)


def test_link() -> None:
    schemes = {"openid4vp"}
    for text in (
        "openid4vp://?a=b",
        "openid4vp:///?a=b",
        "openid4vp://authorize?a=b",
        "openid4vp://authorize/?a=b",
    ):
        assert parse_link(text, schemes=schemes) == {"a": "b"}


@pytest.mark.parametrize(
    "text",
    [
        "openid4vp:?a=b",
        "openid4vp://",
        "other://?a=b",
        "javascript://?a=b",
        "OPENID4VP://?a=b",
        "openid4vp://?a=b#c",
        "openid4vp://?a=b c",
        "openid4vp://user@host?a=b",
        "openid4vp://?a=" + "b" * MAX_QUERY,
    ],
)
def test_link_refused(text: str) -> None:
    with pytest.raises(UriRefused):
        parse_link(text, schemes={"openid4vp"})


def test_query_is_added_to_what_is_there() -> None:
    assert with_query("https://w.test/cb", {"code": "a b"}) == "https://w.test/cb?code=a%20b"
    assert with_query("https://w.test/cb?x=1", {"code": "a"}) == "https://w.test/cb?x=1&code=a"


def test_well_known_goes_between_host_and_path() -> None:
    name = "openid-credential-issuer"
    assert well_known("https://i.test", name) == f"https://i.test/.well-known/{name}"
    assert well_known("https://i.test/", name) == f"https://i.test/.well-known/{name}"
    assert well_known("https://i.test/tenant/a", name) == f"https://i.test/.well-known/{name}/tenant/a"
