"""Cross-site request forgery: whether an unsafe request was sent by a page of another origin."""

from typing import Final
from urllib.parse import urlsplit

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def is_cross_origin(
    method: str,
    *,
    sec_fetch_site: bytes | None,
    origin: bytes | None,
    has_cookie: bool,
    has_bearer: bool,
    public_origin: bytes,
) -> bool:
    """The first matching row decides; True means that the request is refused.

    ====================================  =======  ==============================================
    the request                           refused  because
    ====================================  =======  ==============================================
    GET, HEAD, OPTIONS                    no       they change nothing
    has `Authorization: Bearer …`         no       no page can add it unasked, and cookies are
                                                   ignored beside it
    `Sec-Fetch-Site: same-origin`         no       the browser vouches for it
    any other `Sec-Fetch-Site`            yes      same-site is another origin, too, and no
                                                   person typed an unsafe request (`none`)
    `Origin` is the public origin         no       a browser of before 2023, or plain http
    any other `Origin`, also `null`       yes
    neither header, but a cookie          yes      a browser which does not say where from
    neither header, no cookie             no       not a browser: curl signing in
    ====================================  =======  ==============================================

    The same applies to signing in, which sets a cookie: no page may sign a user in as someone else.
    The public origin is configured and never taken from `Host`, which the sender chooses.

    Source: OWASP's CSRF prevention cheat sheet (Fetch Metadata, with Origin as its fallback).
    """
    if method in SAFE_METHODS or has_bearer:
        return False
    if sec_fetch_site is not None:
        return sec_fetch_site != b"same-origin"
    if origin is not None:
        return origin != public_origin
    return has_cookie


def origin_of(url: str) -> bytes:
    """Returns scheme, host and port of `url` as in the `Origin` header: lower case, no default port."""
    parts = urlsplit(url)
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise ValueError(f"the public address must look like https://corral.example.com, not {url!r}")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    port = "" if parts.port in {None, _DEFAULT_PORTS[parts.scheme]} else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}".encode("ascii")
