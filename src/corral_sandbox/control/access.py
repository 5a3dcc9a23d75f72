"""Who may use the control API: programs on this machine, or those that have the control token.

A web page may not, whether it sends its Origin or hides behind a host name of its own that leads to this machine (DNS
rebinding). Nor may another machine that comes through a proxy on this one.
"""

import re
from collections.abc import Iterable
from hmac import compare_digest
from ipaddress import ip_address

from aiohttp import web

from corral_sandbox.errors import ApiError

_TOKEN = re.compile(r"[!-~]+")
_HOST = re.compile(r"(?P<name>\[[^\]]*\]|[^:]*)(:[0-9]*)?")
_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
_SET_BY_PROXIES = ("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP")
_SEND_THE_TOKEN = "send it as Authorization: Bearer TOKEN"  # noqa: S105 - a placeholder


class ControlAccess:
    """With a token, every control call needs it. Without one, they are open to this machine only."""

    def __init__(self, token: str | None) -> None:
        """Raises ValueError for a token that no header could carry."""
        if token is not None and _TOKEN.fullmatch(token) is None:
            raise ValueError("a control token consists of visible ASCII characters, without spaces")
        self._token = None if token is None else token.encode()
        self._is_local = False

    def listen_on(self, addresses: Iterable[str]) -> None:
        """Says on which addresses the server listens. Until then no call is allowed without a token."""
        self._is_local = all(map(is_loopback, addresses))

    @property
    def is_refused_without_token(self) -> bool:
        """Whether every control call is refused."""
        return self._token is None and not self._is_local

    def check(self, request: web.BaseRequest) -> None:
        """Raises the error that refuses this request."""
        refuse_web_page(request)
        if self._token is not None:
            self._check_token(request, self._token)
        elif not self._is_local:
            raise ApiError(
                403,
                "other machines can reach this address, so control calls need a token: start the sandbox with "
                f"--control-token-file FILE (in Python: control_token), and {_SEND_THE_TOKEN}",
            )
        elif proxy := next((name for name in _SET_BY_PROXIES if name in request.headers), None):
            raise ApiError(
                403, f"this call came through a proxy ({proxy}): start the sandbox with a control token to allow that"
            )
        elif foreign := [host for host in request.headers.getall("Host", []) if not _is_local_host(host)]:
            raise ApiError(
                403, f"this call is for {foreign[0]}: send it to localhost, 127.0.0.1 or [::1], or use a control token"
            )

    def _check_token(self, request: web.BaseRequest, token: bytes) -> None:
        scheme, _, presented = request.headers.get("Authorization", "").partition(" ")
        # Bytes, because compare_digest refuses text beyond ASCII, and headers may carry any byte.
        if scheme.lower() == "bearer" and compare_digest(token, presented.strip().encode("utf-8", "surrogateescape")):
            return
        refusal = ApiError(401, f"control calls need the token that this sandbox was started with: {_SEND_THE_TOKEN}")
        refusal.headers["WWW-Authenticate"] = "Bearer"
        raise refusal


def refuse_web_page(request: web.BaseRequest) -> None:
    if "Origin" in request.headers:
        raise ApiError(403, "a web page may not do this")


def is_loopback(address: str) -> bool:
    """Whether only this machine can reach an IP address."""
    return ip_address(address).is_loopback


def _is_local_host(host: str) -> bool:
    found = _HOST.fullmatch(host.strip().lower())
    return found is not None and found["name"] in _LOCAL_NAMES
