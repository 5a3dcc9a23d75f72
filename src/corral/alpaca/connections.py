"""The one pool of connections to Alpaca."""

import ssl
from typing import Final

from aiohttp import (
    ClientConnectorError,
    ClientError,
    ClientHandlerType,
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

from corral import __version__

MOST_CONNECTIONS: Final = 1_024
KEEP_ALIVE_SECONDS: Final = 60
DNS_SECONDS: Final = 60


class HungUp(ClientError):  # noqa: N818 - named after the condition
    """The connection broke before there was an answer."""


def open_session(*, connect_seconds: float) -> ClientSession:
    """Opens the session that all requests share; to be closed with `async with`.

    It follows no environment: no proxy, no .netrc, no cookies. aiohttp's own timeouts are off but for
    making a connection, since the deadline of a call also spans its retries.
    """
    return ClientSession(
        connector=TCPConnector(
            limit=MOST_CONNECTIONS,
            keepalive_timeout=KEEP_ALIVE_SECONDS,
            ttl_dns_cache=DNS_SECONDS,
            ssl=_tls(),
        ),
        timeout=ClientTimeout(total=None, sock_connect=connect_seconds),
        headers={"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": f"corral/{__version__}"},
        cookie_jar=DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        middlewares=(_once,),
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
