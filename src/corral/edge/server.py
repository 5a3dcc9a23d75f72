"""Serves an ASGI application over HTTP/1.1 in a running event loop, until it is stopped."""

import asyncio
import contextlib
import errno
import functools
import gc
import socket
from collections.abc import Callable, Generator
from typing import Final, cast

import uvicorn

from corral.edge.accepting import Acceptor, CountedConnections, PlainAcceptor, WorkerShare
from corral.edge.certificate import ServedCertificate
from corral.edge.connection import GuardedProtocol, Limits
from corral.edge.middleware import ASGIApp, Message, Receive, Scope, Send
from corral.edge.tls_listener import TlsListener, plain_http
from corral.logs import get_logger

LIMITS: Final = Limits()
_BACKLOG: Final = 1024
_CANCELLED_SECONDS: Final = 1.0


class PortTaken(Exception):  # noqa: N818 - named after the condition
    """The address is in use by another program."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(f"{host}:{port} is in use by another program")


async def serve_http(
    app: ASGIApp,
    *,
    listener: socket.socket,
    ready: Callable[[str], None] | None,
    grace_seconds: float,
    stop: asyncio.Event,
    draining: asyncio.Event | None = None,
    limits: Limits = LIMITS,
    certificate: ServedCertificate | None = None,
    share: WorkerShare | None = None,
) -> None:
    """Returns after `stop` was set, all requests are answered and the application has shut down.

    `listener` is from `reserve_port`, and closed at the end. With `certificate` it speaks TLS; with `share` it is also
    other processes'. Installs no signal handlers. `ready` is called with the address once the application has started.
    Once `draining` is set, each answer is the last one on its connection. Requests that are not answered
    `grace_seconds` after `stop` are cancelled. Raises PortTaken before the application starts, and what its start or
    shutdown raised.
    """
    _listen(listener)
    draining = draining or asyncio.Event()
    lifespan = _Lifespan(app)
    long_lived: set[GuardedProtocol] = set()
    config = uvicorn.Config(
        lifespan,
        http=cast("type[asyncio.Protocol]", functools.partial(GuardedProtocol, app, limits, long_lived, draining)),
        ws="none",
        interface="asgi3",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=_BACKLOG,
        timeout_keep_alive=limits.rest_seconds,
    )
    server = _Server(config, ready=ready, grace_seconds=grace_seconds, draining=draining, stop=stop, share=share)
    if certificate is not None:
        plain = functools.partial(GuardedProtocol, plain_http(certificate.public_url), limits, long_lived, draining)
        server.speak_tls(certificate, plain, limits)
    try:
        await server.serve([listener])
    except SystemExit:  # how uvicorn reports an application that did not start
        raise lifespan.failure or RuntimeError("the application refused to start") from None
    finally:
        listener.close()
    if lifespan.failure is not None:
        raise lifespan.failure


def reserve_port(host: str, port: int) -> socket.socket:
    """Returns a bound socket that does not listen yet, so that early connections are refused.

    `port` 0 selects a free one. Raises PortTaken, and OSError if this machine or user may not have the address.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of an earlier server may remain
        if listener.family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        with _port_taken_errors(host, port):
            listener.bind((host, port))
    except BaseException:
        listener.close()
        raise
    # Accepted sockets inherit it. asyncio sets it only on sockets created with an explicit protocol, and without it
    # a response written in parts waits 40 ms for the client's acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _listen(listener: socket.socket) -> None:
    """If several programs have reserved an address, the first one that listens gets it."""
    host, port = listener.getsockname()[:2]
    try:
        with _port_taken_errors(host, port):
            listener.listen(_BACKLOG)
    except PortTaken:
        listener.close()
        raise


@contextlib.contextmanager
def _port_taken_errors(host: str, port: int) -> Generator[None]:
    try:
        yield
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortTaken(host, port) from None
        raise


def _calm_garbage_collection() -> None:
    """Excludes existing objects, which live as long as the process, from garbage collection.

    Under load it otherwise takes a tenth of the CPU time, mostly in pauses that delay every request.
    """
    gc.freeze()
    gc.set_threshold(20_000, 50, 1_000)


class _Lifespan:
    """Keeps the exception of the application's startup or shutdown, which uvicorn would only log."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.failure: BaseException | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_without_traceback(message: Message) -> None:
            await send({"type": message["type"]})

        try:
            await self._app(scope, receive, send_without_traceback)
        except BaseException as failure:
            self.failure = failure
            raise


class _Server(uvicorn.Server):
    def __init__(
        self,
        config: uvicorn.Config,
        *,
        ready: Callable[[str], None] | None,
        grace_seconds: float,
        draining: asyncio.Event,
        stop: asyncio.Event,
        share: WorkerShare | None,
    ) -> None:
        super().__init__(config)
        self._ready = ready
        self._grace_seconds = grace_seconds
        self._draining = draining
        self._stop = stop
        self._share = share
        self._log = get_logger()
        self._stopping: asyncio.Task[None] | None = None
        self._scheme = "http"
        self._open_acceptor: Callable[[socket.socket], Acceptor] | None = None
        self._acceptor: Acceptor | None = None
        if share is not None:
            self.server_state.connections = CountedConnections(share)
            self._open_acceptor = functools.partial(self._accept_plainly, share)

    def speak_tls(self, certificate: ServedCertificate, plain: Callable[..., asyncio.Protocol], limits: Limits) -> None:
        def open_listener(listener: socket.socket) -> TlsListener:
            return TlsListener(
                listener,
                certificate,
                over_tls=self._made_by(self.config.http_protocol_class),
                plain=self._made_by(plain),
                limits=limits,
                share=self._share,
                connections=self._count_connections,
            )

        self._scheme, self._open_acceptor = "https", open_listener

    def _accept_plainly(self, share: WorkerShare, listener: socket.socket) -> PlainAcceptor:
        protocol = self._made_by(self.config.http_protocol_class)
        return PlainAcceptor(listener, protocol, share=share, connections=self._count_connections)

    def _made_by(self, make: Callable[..., asyncio.Protocol]) -> Callable[[], asyncio.Protocol]:
        return functools.partial(
            make, config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )

    def _count_connections(self) -> int:
        return len(self.server_state.connections)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leaves signal handling to the caller."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets if self._open_acceptor is None else [])
        _calm_garbage_collection()
        self._stopping = asyncio.ensure_future(self._exit_when_stopped())
        if self._open_acceptor is not None and sockets:
            self._acceptor = self._open_acceptor(sockets[0])
            self._acceptor.start()
        if self._share is not None:
            self._share.note(0)
        if self._ready is not None and sockets:
            host, port = sockets[0].getsockname()[:2]
            self._ready(f"{self._scheme}://[{host}]:{port}" if ":" in host else f"{self._scheme}://{host}:{port}")

    async def _exit_when_stopped(self) -> None:
        await self._stop.wait()
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._draining.set()
        for server in self.servers:
            server.close()
        if self._share is not None:
            self._share.cease()
        if self._acceptor is not None:
            await self._acceptor.close(patience_seconds=LIMITS.parting_seconds)
        for listener in sockets or []:
            listener.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        if self._stopping is not None:
            self._stopping.cancel()
        await self._wait_for_answers()
        await self._cut_off_the_rest()
        await self.lifespan.shutdown()

    async def _wait_for_answers(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._grace_seconds):
                while self.server_state.tasks or self.server_state.connections:  # noqa: ASYNC110 - plain sets of uvicorn's
                    await asyncio.sleep(0.02)

    async def _cut_off_the_rest(self) -> None:
        """Runs before the application shuts down, because the requests may still need what it closes."""
        late = set(self.server_state.tasks)
        if late:
            self._log.warning("requests_cut_off", requests=len(late))
            for task in late:
                task.cancel()
            await asyncio.wait(late, timeout=_CANCELLED_SECONDS)
        for connection in list(self.server_state.connections):
            connection.transport.close()
