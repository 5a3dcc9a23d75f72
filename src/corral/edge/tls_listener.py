"""Accepts connections and makes them TLS. Whoever only connects, or is slow, takes no place from others.

asyncio's own server knows nothing of a connection before its handshake is done: it could not be counted, or refused.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Final, final

from corral.edge.accepting import Acceptor, WorkerShare
from corral.edge.certificate import ServedCertificate
from corral.edge.connection import Limits
from corral.edge.csrf import SAFE_METHODS
from corral.edge.middleware import MAX_BODY_BYTES, ASGIApp, Edge, Receive, Scope, Send, admit_framing, reads_pages
from corral.errors import Problem

_TLS_HANDSHAKE: Final = b"\x16"  # RFC 8446, 5.1: the first byte of every TLS connection


class HttpsRequired(Problem):
    """This port speaks HTTPS only. What was sent was not encrypted."""

    status, code, title = 400, "https_required", "HTTPS required"


@final
class TlsListener(Acceptor):
    """`over_tls` and `plain` make the protocols of connections that begin with a TLS handshake, and of others.

    At most `limits.handshakes` connections are in their handshake. If there are more, the oldest makes room once it had
    a second; until then, others wait in the kernel.
    """

    def __init__(
        self,
        listener: socket.socket,
        certificate: ServedCertificate,
        *,
        over_tls: Callable[[], asyncio.Protocol],
        plain: Callable[[], asyncio.Protocol],
        limits: Limits,
        share: WorkerShare | None,
        connections: Callable[[], int],
    ) -> None:
        super().__init__(listener, share=share, connections=connections)
        self._certificate = certificate
        self._over_tls = over_tls
        self._plain = plain
        self._limits = limits
        self._watching: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._watching = asyncio.ensure_future(self._certificate.watch())
        super().start()

    async def close(self, *, patience_seconds: float) -> None:
        if self._watching is not None:
            self._watching.cancel()
        await super().close(patience_seconds=patience_seconds)

    def _makes_room(self) -> bool:
        if len(self._beginning) < self._limits.handshakes:
            return super()._makes_room()
        oldest, since = next(iter(self._beginning.items()))
        left = since + self._limits.handshake_grace_seconds - self._loop.time()
        if left > 0:
            self._pause(left)
            return False
        del self._beginning[oldest]
        oldest.cancel()
        return True

    async def _begin(self, wire: socket.socket) -> None:
        try:
            async with asyncio.timeout(self._limits.handshake_seconds):
                first = await self._first_byte(wire)
            if first == _TLS_HANDSHAKE:
                await self._loop.connect_accepted_socket(
                    self._over_tls,
                    wire,
                    ssl=self._certificate.current.context,
                    ssl_handshake_timeout=self._limits.handshake_seconds,
                    ssl_shutdown_timeout=self._limits.linger_seconds,
                )
            elif first:
                await self._loop.connect_accepted_socket(self._plain, wire)
            else:
                wire.close()
        except ssl.SSLError as error:  # such as a client that does not know who signed the certificate
            self._log.info("tls_handshake_failed", reason=(error.reason or "unknown").lower())
            wire.close()
        except (OSError, TimeoutError):
            wire.close()

    async def _first_byte(self, wire: socket.socket) -> bytes:
        """Waits for it, and leaves it where it is."""
        arrived: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_reader(wire, _set, arrived)
        try:
            await arrived
        finally:
            self._loop.remove_reader(wire)
        return wire.recv(1, socket.MSG_PEEK)

    def _done(self, wire: socket.socket, task: asyncio.Task[None]) -> None:
        super()._done(wire, task)
        self._resume()


def _set(arrived: "asyncio.Future[None]") -> None:
    if not arrived.done():
        arrived.set_result(None)


def plain_http(public_url: str) -> ASGIApp:
    """The application for plain http on the port of TLS: it sends browsers on, and refuses programs.

    A program that is sent on would go on to send its token in the clear first, each time.
    """

    async def answer(scope: Scope, _receive: Receive, send: Send) -> None:
        if scope["method"] not in SAFE_METHODS or not reads_pages(scope):
            raise HttpsRequired(f"{HttpsRequired.__doc__} Use {public_url} instead.")
        query = b"?" + scope["query_string"] if scope["query_string"] else b""
        location = public_url.encode() + scope["raw_path"] + query
        headers = [(b"location", location), (b"content-length", b"0"), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 307, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    def admit(scope: Scope) -> bool:
        return admit_framing(scope, dict(scope["headers"]), max_body_bytes=MAX_BODY_BYTES)

    # Strict-Transport-Security has no place in an answer over plain http (RFC 6797, 7.2).
    return Edge(answer, public_url="http" + public_url.removeprefix("https"), admit=admit)
