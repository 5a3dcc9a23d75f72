"""Connections to Alpaca: how they are opened, and what their errors mean."""

import ssl
from functools import lru_cache
from typing import Final

from aiohttp import (
    ClientConnectionError,
    ClientConnectorCertificateError,
    ClientConnectorError,
    ClientError,
    ClientHttpProxyError,
    ClientMiddlewareType,
    ClientPayloadError,
    ClientSession,
    ClientTimeout,
    ConnectionTimeoutError,
    DummyCookieJar,
    TCPConnector,
    TraceConfig,
)
from yarl import URL

from corral import __version__
from corral.alpaca.errors import AlpacaError, AlpacaServerError, CertificateRefused, ConnectionDropped, Unreachable

MOST_CONNECTIONS: Final = 1_024
UNLIMITED: Final = 0  # aiohttp's name for it
KEEP_ALIVE_SECONDS: Final = 60
DNS_SECONDS: Final = 60


class HungUp(ClientError):  # noqa: N818 - named after the condition
    """The connection was lost before the response."""


_FAILURES: Final[tuple[tuple[type[ClientError], type[AlpacaError]], ...]] = (
    (ClientConnectorCertificateError, CertificateRefused),
    (ClientConnectorError, Unreachable),
    (ClientHttpProxyError, Unreachable),
    (ConnectionTimeoutError, Unreachable),
    (HungUp, ConnectionDropped),
    (ClientConnectionError, ConnectionDropped),
    (ClientPayloadError, ConnectionDropped),
)


def open_session(
    middleware: ClientMiddlewareType,
    *,
    connect_seconds: float,
    proxy: URL | None,
    most_connections: int = MOST_CONNECTIONS,
    keep_alive_seconds: float = KEEP_ALIVE_SECONDS,
    trace: TraceConfig | None = None,
) -> ClientSession:
    """Opens a pool of connections; to be closed with `async with`. `middleware` is run around each request.

    It ignores the environment: no proxy but the given one, no .netrc, no cookies. aiohttp's timeouts are off except for
    connecting, because the deadline of a call includes its retries.
    """
    return ClientSession(
        connector=TCPConnector(
            limit=most_connections,
            keepalive_timeout=keep_alive_seconds,
            ttl_dns_cache=DNS_SECONDS,
            ssl=_tls(ssl.get_default_verify_paths()),
        ),
        timeout=ClientTimeout(total=None, sock_connect=connect_seconds),
        headers={"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": f"corral/{__version__}"},
        cookie_jar=DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        proxy=proxy,
        middlewares=(middleware,),
        trace_configs=[trace] if trace else None,
    )


def failure_of(error: ClientError) -> AlpacaError:
    return next((failure for kind, failure in _FAILURES if isinstance(error, kind)), AlpacaServerError)()


@lru_cache(maxsize=1)
def _tls(_: ssl.DefaultVerifyPaths) -> ssl.SSLContext:
    """One for all sessions, since reading the system's certificates takes 30 milliseconds."""
    # Not ssl.create_default_context(): that writes session keys to a file where SSLKEYLOGFILE says so.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks certificate and host name
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.load_default_certs()
    return context
