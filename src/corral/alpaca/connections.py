"""The one pool of connections to Alpaca."""

import ssl
from http import HTTPStatus
from typing import Final

from aiohttp import (
    ClientConnectorError,
    ClientError,
    ClientHandlerType,
    ClientMiddlewareType,
    ClientOSError,
    ClientRequest,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    ConnectionTimeoutError,
    DummyCookieJar,
    ServerDisconnectedError,
    TCPConnector,
)
from yarl import URL

from corral import __version__

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
