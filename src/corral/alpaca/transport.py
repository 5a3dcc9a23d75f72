"""One HTTP exchange with Alpaca, over the one pool of connections."""

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final, NamedTuple

from aiohttp import (
    ClientConnectionError,
    ClientConnectorCertificateError,
    ClientConnectorError,
    ClientError,
    ClientHandlerType,
    ClientHttpProxyError,
    ClientMiddlewareType,
    ClientOSError,
    ClientPayloadError,
    ClientRequest,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    ConnectionTimeoutError,
    DummyCookieJar,
    ServerDisconnectedError,
    TCPConnector,
)
from multidict import istr
from yarl import URL

from corral import __version__
from corral.alpaca.errors import (
    AlpacaAuthError,
    AlpacaError,
    AlpacaServerError,
    CertificateRefused,
    ConnectionDropped,
    Fault,
    Unreachable,
    WrongShape,
)
from corral.secret import Secret

MOST_CONNECTIONS: Final = 1_024
UNLIMITED: Final = 0  # aiohttp's word for it
KEEP_ALIVE_SECONDS: Final = 60
DNS_SECONDS: Final = 60


class HungUp(ClientError):  # noqa: N818 - named after the condition
    """The connection broke before there was an answer."""


class NotSwitched(ClientError):  # noqa: N818 - named after the condition
    """The answer to a WebSocket's handshake was of this status, and not 101. `retry_after` is its header's text."""

    def __init__(self, status: int, retry_after: str) -> None:
        self.status = status
        self.retry_after = retry_after
        super().__init__(status)


def open_session(*, connect_seconds: float, proxy: URL | None) -> ClientSession:
    """Opens the session that all requests share; to be closed with `async with`."""
    return _open(_once, most_connections=MOST_CONNECTIONS, connect_seconds=connect_seconds, proxy=proxy)


def open_socket_session(*, connect_seconds: float, proxy: URL | None) -> ClientSession:
    """The same for WebSockets, which stay open and must not take the places of the requests."""
    return _open(_switched, most_connections=UNLIMITED, connect_seconds=connect_seconds, proxy=proxy)


def _open(
    middleware: ClientMiddlewareType, *, most_connections: int, connect_seconds: float, proxy: URL | None
) -> ClientSession:
    """A session that follows no environment: no proxy but the one that is given, no .netrc, no cookies.

    aiohttp's own timeouts are off but for making a connection, since the deadline of a call also spans its retries.
    """
    return ClientSession(
        connector=TCPConnector(
            limit=most_connections,
            keepalive_timeout=KEEP_ALIVE_SECONDS,
            ttl_dns_cache=DNS_SECONDS,
            ssl=_tls(),
        ),
        timeout=ClientTimeout(total=None, sock_connect=connect_seconds),
        headers={"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": f"corral/{__version__}"},
        cookie_jar=DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        proxy=proxy,
        middlewares=(middleware,),
    )


def _tls() -> ssl.SSLContext:
    # Not ssl.create_default_context(): that writes session keys to a file where SSLKEYLOGFILE says so.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks certificate and host name
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.load_default_certs()
    return context


async def _once(request: ClientRequest, send: ClientHandlerType) -> ClientResponse:
    """Keeps aiohttp from quietly sending a request twice, which it does when it sees one of these errors.

    Retries are the client's: counted, bounded and charged to the account's budget.
    """
    try:
        return await send(request)
    except (ClientConnectorError, ConnectionTimeoutError):
        raise
    except (ServerDisconnectedError, ClientOSError) as error:
        raise HungUp from error


async def _switched(request: ClientRequest, send: ClientHandlerType) -> ClientResponse:
    """Keeps aiohttp from following a redirect with a WebSocket, over which the keys go once it is open."""
    response = await _once(request, send)
    if response.status != HTTPStatus.SWITCHING_PROTOCOLS:
        response.close()
        raise NotSwitched(response.status, response.headers.get("Retry-After", ""))
    return response


_KEY_ID: Final = istr("APCA-API-KEY-ID")
_SECRET_KEY: Final = istr("APCA-API-SECRET-KEY")
_SENDABLE: Final = re.compile(r"[\x21-\x7e]{1,256}")
# Alpaca's ids are hex. Nothing else is taken over into our log, least of all a key that is echoed.
_REQUEST_ID: Final = re.compile(r"[0-9a-fA-F-]{8,64}")

_FAILURES: Final[tuple[tuple[type[ClientError], type[AlpacaError]], ...]] = (
    (ClientConnectorCertificateError, CertificateRefused),
    (ClientConnectorError, Unreachable),
    (ClientHttpProxyError, Unreachable),
    (ConnectionTimeoutError, Unreachable),
    (HungUp, ConnectionDropped),
    (ClientConnectionError, ConnectionDropped),
    (ClientPayloadError, ConnectionDropped),
)


class Keys(NamedTuple):
    api_key: Secret
    secret_key: Secret


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """A complete answer of whatever status. The body is empty where it was not worth reading."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    answered_at: datetime
    alpaca_request_id: str | None


async def ask(session: ClientSession, url: URL, keys: Keys, *, max_body_bytes: int) -> RawAnswer | AlpacaError:
    """Sends one GET and reads at most `max_body_bytes` of the answer; the caller sets the deadline."""
    headers = _key_headers(keys)
    if headers is None:
        return AlpacaAuthError()
    try:
        response = await session.get(url, headers=headers, allow_redirects=False)
        try:
            return await _read(response, max_body_bytes)
        finally:
            response.release()  # back into the pool, or closed if there is more to come
    except ClientError as error:
        return failure_of(error)


def _key_headers(keys: Keys) -> dict[str, str] | None:
    """The only place where keys are put on a request. None for values that could end a header or its line."""
    headers: dict[str, str] = {_KEY_ID: keys.api_key.reveal(), _SECRET_KEY: keys.secret_key.reveal()}
    return headers if all(map(_SENDABLE.fullmatch, headers.values())) else None


async def _read(response: ClientResponse, max_body_bytes: int) -> RawAnswer | WrongShape:
    answered_at = datetime.now(UTC)
    status, headers = response.status, response.headers
    request_id = _request_id(headers.get("X-Request-ID"))
    body = await _bounded_body(response, max_body_bytes)
    if body is None and status == HTTPStatus.OK:
        return WrongShape(Fault.TOO_LONG, status=status, alpaca_request_id=request_id)
    return RawAnswer(status, headers, body or b"", answered_at, request_id)


async def _bounded_body(response: ClientResponse, max_body_bytes: int) -> bytes | None:
    """None for a body that is too large, or compressed: that is never unpacked, since a few bytes may be a flood."""
    announced = response.content_length or 0
    if announced > max_body_bytes or response.headers.get("Content-Encoding", "identity") != "identity":
        return None
    body = await response.content.readany()  # nearly always all of it
    if response.content.at_eof():
        return body if len(body) <= max_body_bytes else None
    return await _rest_of_body(response, bytearray(body), max_body_bytes)


async def _rest_of_body(response: ClientResponse, body: bytearray, max_body_bytes: int) -> bytes | None:
    while len(body) <= max_body_bytes:
        if not (chunk := await response.content.readany()):
            return bytes(body)
        body += chunk
    return None


def failure_of(error: ClientError) -> AlpacaError:
    return next((failure for kind, failure in _FAILURES if isinstance(error, kind)), AlpacaServerError)()


def _request_id(text: str | None) -> str | None:
    return text if text is not None and _REQUEST_ID.fullmatch(text) else None
