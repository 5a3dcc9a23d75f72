"""Which requests count as sent by a page of another origin."""

from itertools import product

import pytest

from corral.edge.csrf import is_cross_origin, origin_of
from tests.edge.wire import PUBLIC_URL, Served, request

METHODS = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE"]
SITES = [None, b"same-origin", b"same-site", b"cross-site", b"none", b"", b"SAME-ORIGIN"]
ORIGINS = [None, PUBLIC_URL.encode(), b"https://evil.example.com", b"http://corral.example.com", b"null"]
COMBINATIONS = list(product(METHODS, SITES, ORIGINS, [False, True], [False, True]))


def reference(method: str, site: bytes | None, origin: bytes | None, *, cookie: bool, bearer: bool) -> bool:
    """The same law written from the other side: what is let through."""
    changes_nothing = method in ("GET", "HEAD", "OPTIONS")
    vouched_by_browser = site == b"same-origin"
    vouched_by_origin = site is None and origin == b"https://corral.example.com"
    not_a_browser = site is None and origin is None and not cookie
    return not (changes_nothing or bearer or vouched_by_browser or vouched_by_origin or not_a_browser)


def test_every_combination_is_decided_like_the_reference() -> None:
    assert len(COMBINATIONS) > 1000
    for method, site, origin, cookie, bearer in COMBINATIONS:
        decided = is_cross_origin(
            method,
            sec_fetch_site=site,
            origin=origin,
            has_cookie=cookie,
            has_bearer=bearer,
            public_origin=PUBLIC_URL.encode(),
        )
        expected = reference(method, site, origin, cookie=cookie, bearer=bearer)
        assert decided is expected, (method, site, origin, cookie, bearer)


async def test_every_combination_over_http_gets_its_decision(server: Served) -> None:
    client = await server.connect()
    for method, site, origin, cookie, bearer in COMBINATIONS:
        if method in {"HEAD", "TRACE"}:  # no body to read the code from, or not parsed at all
            continue
        headers = [f"Sec-Fetch-Site: {site.decode()}"] if site is not None else []
        headers += [f"Origin: {origin.decode()}"] if origin is not None else []
        headers += ["Cookie: a=b"] if cookie else []
        headers += ["Authorization: Bearer corral_x"] if bearer else []
        await client.send(request(method, "/api/nowhere", *headers))
        response = await client.response()
        if response.headers.get("connection") == "close":
            client = await server.connect()
        is_refused = response.json()["code"] == "cross_origin_refused"
        expected = reference(method, site, origin, cookie=cookie, bearer=bearer)
        assert is_refused is expected, (method, site, origin, cookie, bearer)


async def test_other_authorization_schemes_do_not_bypass_the_check(server: Served) -> None:
    answer = await server.ask(request("POST", "/api/horses", "Authorization: Basic YTpi", "Cookie: a=b"))
    assert (answer.status, answer.json()["code"]) == (403, "cross_origin_refused")


async def test_the_refusal_says_which_address_to_open(server: Served) -> None:
    answer = await server.ask(request("POST", "/api/horses", "Origin: http://nas.local:8002"))
    assert f"Open {PUBLIC_URL} and try again." in answer.json()["detail"]


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://Corral.Example.com/", b"https://corral.example.com"),
        ("https://corral.example.com:443", b"https://corral.example.com"),
        ("http://127.0.0.1:8002", b"http://127.0.0.1:8002"),
        ("http://corral.example.com:80/path?x", b"http://corral.example.com"),
        ("http://[::1]:8002", b"http://[::1]:8002"),
    ],
)
def test_an_origin_is_formatted_like_in_browsers(url: str, origin: bytes) -> None:
    assert origin_of(url) == origin


@pytest.mark.parametrize("url", ["corral.example.com", "ftp://corral.example.com", "https://", ""])
def test_a_url_without_an_origin_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="public address"):
        origin_of(url)
