"""The outermost ASGI middleware, for every request and every response.

Checks requests before the application gets them. Plain ASGI, because its cost is part of every request.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from contextlib import suppress
from functools import partial
from random import Random
from time import perf_counter
from typing import Any, Final, final
from urllib.parse import urlsplit

from corral import logs
from corral.edge.client_address import client_address
from corral.edge.csrf import SAFE_METHODS, is_cross_origin, origin_of
from corral.edge.problems import Headers, Stopping, render_problem
from corral.edge.security_headers import security_headers
from corral.errors import (
    BodyTooLarge,
    CrossOriginRefused,
    DatabaseUnavailable,
    InternalError,
    MalformedRequest,
    Problem,
    UnsupportedMediaType,
)
from corral.settings import Network

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]
RenderProblem = Callable[[Problem, str], tuple[int, Headers, bytes]]
RenderPage = Callable[[Scope, Problem, str], tuple[int, Headers, bytes]]
Admit = Callable[[Scope], bool]
PreparePage = Callable[[Scope], object]

MAX_BODY_BYTES: Final = 64 * 1024
_LONGEST_LOGGED_PATH: Final = 256
_API: Final = ("/api/", "/openapi.json")
_DRAIN_SECONDS: Final = 0.5
_request_ids: Final = Random()  # noqa: S311 - they guard nothing, and the system's take a call to the kernel each
# If one of these appears twice, proxy and server may use different ones (RFC 9112, 11.2).
_AT_MOST_ONCE: Final = frozenset(
    {b"host", b"content-length", b"transfer-encoding", b"content-type", b"authorization", b"origin", b"sec-fetch-site"}
    | {b"apca-api-key-id", b"apca-api-secret-key"}
)


@final
class ByAddress:
    """Sends requests for the gateway to the gateway, and all others to the rest of Corral.

    The gateway's are those under its `prefix`, and all at `gateway_url`, the origin of its own: nothing else answers
    there. `scope["corral.is_gateway_origin"]` tells it which of them.
    """

    def __init__(self, gateway: ASGIApp, others: ASGIApp, *, prefix: bytes, gateway_url: str | None) -> None:
        self._gateway = gateway
        self._others = others
        self._prefix = prefix
        self._host = urlsplit(gateway_url).netloc.lower().encode() if gateway_url else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._others(scope, receive, send)
            return
        is_own_origin = self._host is not None and self._is_own_origin(scope)
        if is_own_origin or scope["raw_path"].startswith(self._prefix):
            scope["corral.is_gateway_origin"] = is_own_origin
            await self._gateway(scope, receive, send)
        else:
            await self._others(scope, receive, send)

    def _is_own_origin(self, scope: Scope) -> bool:
        return any(name == b"host" and value.lower() == self._host for name, value in scope["headers"])


class Edge:
    """Wraps the whole application: `Edge(app, public_url="https://corral.example.com")`.

    `public_url` is Corral's address as browsers see it. A body of more than `max_body_bytes` is refused.
    `problem_page` renders errors for browsers, with the request's scope; `render` those for programs. `prepare_page` is
    called first, but not for requests of the API. `admit` returns whether a body follows, and raises the Problem of a
    request that is refused; the default is `admit_request`. Behind `trusted_proxies`, `scope["client"]` becomes the
    client that they name. The user is logged if the application sets `scope["state"]["user_id"]`.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        public_url: str,
        max_body_bytes: int = MAX_BODY_BYTES,
        problem_page: RenderPage | None = None,
        prepare_page: PreparePage | None = None,
        render: RenderProblem = render_problem,
        admit: Admit | None = None,
        trusted_proxies: Sequence[Network] = (),
    ) -> None:
        self._app = app
        self._trusted_proxies = trusted_proxies
        self._problem_page = problem_page
        self._prepare_page = prepare_page
        self._render = render
        self._admit = admit or partial(
            admit_request, public_origin=origin_of(public_url), max_body_bytes=max_body_bytes
        )
        self._headers = security_headers(public_url)
        self._max_body_bytes = max_body_bytes
        self._log = logs.get_logger()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._serve(scope, receive, send)
        else:
            raise NotImplementedError("the server makes no other scopes: a WebSocket begins as an HTTP request")

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = perf_counter()
        if self._trusted_proxies and (client := client_address(scope, self._trusted_proxies)):
            scope["client"] = str(client), 0
        # Generated here, because an id chosen by a client could repeat or forge another one in the log. Each
        # request is served by its own task, so there is nothing to reset afterwards.
        request_id = f"{_request_ids.getrandbits(128):032x}"
        line = logs.begin_request_line(request_id)
        exchange = _Exchange(
            receive,
            send,
            request_id,
            defaults=self._headers,
            max_body_bytes=self._max_body_bytes,
            render=self._renderer(scope),
        )
        try:
            if self._prepare_page is not None and not scope["path"].startswith(_API):
                self._prepare_page(scope)
            has_body = self._admit(scope)
            exchange.is_unread = has_body
            await self._app(scope, exchange.receive if has_body else receive, exchange.send)
        except Problem as problem:
            if isinstance(problem, DatabaseUnavailable):
                self._log.warning("database_unavailable", reason=problem.reason)
            await exchange.answer(problem)
        except asyncio.CancelledError:
            # Requests are cancelled only when the server's grace period is over, and nothing waits for this task.
            await exchange.answer(Stopping())
        except Exception as bug:  # noqa: BLE001 - other exceptions end here: logged once, without details for the client
            self._log.error("unexpected_exception", exc_info=bug)
            await exchange.answer(InternalError())
        logs.write_request_line(
            line,
            method=scope["method"],
            path=_logged_path(scope),
            status=scope.get("corral.status", exchange.status),
            duration_ms=round((perf_counter() - started) * 1000, 3),
            user_id=scope.get("state", {}).get("user_id"),
        )

    def _renderer(self, scope: Scope) -> RenderProblem:
        if self._problem_page is None or not reads_pages(scope):
            return self._render
        return partial(self._problem_page, scope)


def reads_pages(scope: Scope) -> bool:
    """Whether a browser requests a page. Paths under `/api/` are for programs, also in a browser."""
    if scope["path"].startswith(_API):
        return False
    return any(name == b"accept" and b"text/html" in value for name, value in scope["headers"])


def _logged_path(scope: Scope) -> str:
    """Returns the route's template if there is one, which contains no ids; never the query string."""
    # FastAPI keeps the template of a route behind `include_router` with its prefix here, and without it in "route".
    route = scope.get("fastapi", {}).get("effective_route_context") or scope.get("route")
    template: str = getattr(route, "path", scope["path"])
    return template[:_LONGEST_LOGGED_PATH]


class _Exchange:
    """One request and its response."""

    __slots__ = (
        "_defaults",
        "_max_body_bytes",
        "_receive",
        "_received",
        "_render",
        "_request_id",
        "_send",
        "is_unread",
        "status",
    )

    def __init__(
        self,
        receive: Receive,
        send: Send,
        request_id: str,
        *,
        defaults: Headers,
        max_body_bytes: int,
        render: RenderProblem,
    ) -> None:
        self._receive = receive
        self._send = send
        self._request_id = request_id
        self._defaults = defaults
        self._max_body_bytes = max_body_bytes
        self._render = render
        self._received = 0
        self.is_unread = True
        self.status: int | None = None

    async def receive(self) -> Message:
        """Receives the next part of the body and counts it, because a chunked one does not declare its length."""
        message = await self._receive()
        if message["type"] == "http.request":
            self._received += len(message.get("body", b""))
            if self._received > self._max_body_bytes:
                raise BodyTooLarge
            self.is_unread = message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = self._completed(message.get("headers", ()))
        await self._send(message)

    def _completed(self, headers: Headers) -> Headers:
        present = dict(headers)
        completed = [header for header in headers if header[0] not in {b"server", b"x-request-id"}]
        completed += [header for header in self._defaults if header[0] not in present]
        completed.append((b"x-request-id", self._request_id.encode()))
        return completed

    async def answer(self, problem: Problem) -> None:
        """Sends `problem`, unless a response has begun: the server then closes the connection.

        If the body was not read completely, the start of the next request is unknown, so the connection is closed.
        """
        if self.status is not None:
            return
        status, headers, body = self._render(problem, self._request_id)
        if self.is_unread:
            headers.append((b"connection", b"close"))
            if not isinstance(problem, BodyTooLarge):
                await self._drain()
        await self.send({"type": "http.response.start", "status": status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})

    async def _drain(self) -> None:
        """Reads the rest of a body of ordinary size: closing with unread bytes would reset the connection, and the
        client would lose the response that says why. A larger or slower one is cut off anyway.
        """
        with suppress(TimeoutError, BodyTooLarge):
            async with asyncio.timeout(_DRAIN_SECONDS):
                while self.is_unread and (await self.receive())["type"] == "http.request":
                    pass


def admit_framing(scope: Scope, headers: Mapping[bytes, bytes], *, max_body_bytes: int) -> bool:
    """Returns whether a body follows. Raises MalformedRequest (RFC 9112, 3.2 and 6.3) and BodyTooLarge."""
    pairs: list[tuple[bytes, bytes]] = scope["headers"]
    if len(headers) != len(pairs):
        _refuse_repeated(pairs)
    version = scope["http_version"]
    if version not in {"1.0", "1.1"} or (version == "1.1" and b"host" not in headers):
        raise MalformedRequest
    return _has_body(headers, version, max_body_bytes)


def admit_request(scope: Scope, *, public_origin: bytes, max_body_bytes: int) -> bool:
    """Returns whether a body follows. Raises the Problem of a request that is refused:

    MalformedRequest, CrossOriginRefused, BodyTooLarge, UnsupportedMediaType.
    """
    headers = dict(scope["headers"])
    has_body = admit_framing(scope, headers, max_body_bytes=max_body_bytes)
    if scope["method"] not in SAFE_METHODS:
        _refuse_cross_origin(scope["method"], headers, public_origin)
        if has_body:
            _refuse_other_media(scope["path"], headers)
    return has_body


def _refuse_repeated(pairs: list[tuple[bytes, bytes]]) -> None:
    names = [name for name, _ in pairs if name in _AT_MOST_ONCE]
    if len(names) != len(set(names)):
        raise MalformedRequest("A header that may appear only once appears twice.")


def _has_body(headers: Mapping[bytes, bytes], http_version: str, max_body_bytes: int) -> bool:
    length, coding = headers.get(b"content-length"), headers.get(b"transfer-encoding")
    if coding is not None:
        if length is not None or http_version != "1.1" or coding.lower() != b"chunked":
            raise MalformedRequest("The length of the request body is ambiguous.")
        return True
    if length is None:
        return False
    if not length.isdigit():
        raise MalformedRequest("Content-Length is not a number.")
    if len(length) > len(str(max_body_bytes)) or int(length) > max_body_bytes:
        raise BodyTooLarge
    return int(length) > 0


def _refuse_cross_origin(method: str, headers: Mapping[bytes, bytes], public_origin: bytes) -> None:
    if is_cross_origin(
        method,
        sec_fetch_site=headers.get(b"sec-fetch-site"),
        origin=headers.get(b"origin"),
        has_cookie=b"cookie" in headers,
        has_bearer=headers.get(b"authorization", b"").lower().startswith(b"bearer "),
        public_origin=public_origin,
    ):
        address = public_origin.decode()
        raise CrossOriginRefused(f"This request came from another origin. Open {address} and try again.")


def _refuse_other_media(path: str, headers: Mapping[bytes, bytes]) -> None:
    """A page of another origin can send forms and plain text without permission, but JSON only after a preflight."""
    media_type = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if media_type != b"application/json" and path.startswith("/api/"):
        raise UnsupportedMediaType
