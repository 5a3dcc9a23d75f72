"""A client's connection with limits: slow, oversized or malformed requests are rejected as they arrive.

uvicorn's own protocol has no timeout for the rest of a request, and buffers headers of any size.
"""

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from math import inf
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Final, Self
from weakref import ref

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from corral.edge.long_lived import LONG_LIVED
from corral.edge.middleware import ASGIApp
from corral.edge.problems import HeadersTooLarge, RequestTimeout, render_problem
from corral.edge.security_headers import security_headers
from corral.errors import BodyTooLarge, MalformedRequest, Overloaded, Problem
from corral.logs import get_logger

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a client's connection. Timeouts are measured from the first byte of the connection or part."""

    head_seconds: float = 10
    body_seconds: float = 30
    rest_seconds: int = 65  # longer than the 60 s after which common proxies close idle connections
    parting_seconds: float = 0.5  # for a request that was sent before its client saw that the server stops
    linger_seconds: float = 1  # after an error response, so that the client reads it before the connection is reset
    request_line_bytes: int = 17 * 1024  # the gateway takes URLs of 16 KiB
    head_bytes: int = 32 * 1024
    headers: int = 100
    body_bytes: int = 1024 * 1024  # as received, with chunks and trailers; the edge has its own limit
    connections: int = 800  # of the 1024 files that a process may have open by default
    spare_connections: int = 50  # beyond `connections` only /healthz is served, beyond these too nothing is
    handshakes: int = 250  # TLS handshakes under way, in addition to those
    handshake_seconds: float = 10  # until the first byte, and from there to the end of the handshake
    handshake_grace_seconds: float = 1  # a handshake that took longer makes room for another, if there are too many
    long_lived: int = 4000  # long-lived responses, in addition to those
    long_lived_buffer_bytes: int = 16 * 1024  # of each, buffered for a client that does not read
    long_lived_unsent_bytes: int = 64 * 1024  # and as much again in the kernel


class _Awaited(Enum):
    HEAD = "a request's line and headers"
    BODY = "the rest of its body"
    NOTHING = "nothing: a request is being served, or the connection rests"


_HEADERS: Final = security_headers(public_url="")
_MOST_GATHERED_BYTES: Final = 16 * 1024


class _GatheringTransport(asyncio.Transport):
    """Sends all writes of one pass of the event loop with one system call: uvicorn writes head and body separately."""

    __slots__ = ("_gathered", "_loop", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._gathered = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._gathered:
            self._loop.call_soon(self.flush)
        self._gathered += data
        if len(self._gathered) >= _MOST_GATHERED_BYTES:
            self.flush()

    def flush(self) -> None:
        gathered, self._gathered = self._gathered, b""
        if gathered and not self._transport.is_closing():  # as after a disconnect
            self._transport.write(gathered)

    def release(self) -> asyncio.Transport:
        """Sends what was gathered, and returns the transport itself."""
        self.flush()
        return self._transport

    def write_eof(self) -> None:
        """Over TLS, neither uvloop nor asyncio can close one direction alone."""
        self.flush()
        if self._transport.can_write_eof():
            self._transport.write_eof()

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def abort(self) -> None:
        self._gathered = b""
        self._transport.abort()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - asyncio's own signature
        return self._transport.get_extra_info(name, default)

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._transport.set_write_buffer_limits(high, low)


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with `Limits`.

    Deadlines have no cost while requests arrive in one piece: the only timer of a connection is not reset for
    each request, but checks from time to time whether a deadline has passed.
    """

    def __init__(
        self,
        app: ASGIApp,
        limits: Limits,
        long_lived: set[Self],
        draining: asyncio.Event,
        **uvicorns: Any,  # noqa: ANN401 - what uvicorn hands to its own
    ) -> None:
        super().__init__(**uvicorns)
        self._long_lived = long_lived
        self._draining = draining
        self._made_at = self.loop.time()
        self._on_stop: Callable[[], None] | None = None
        self.app = app
        self.url = b""
        self._limits = limits
        self._log = get_logger()
        self._awaited = _Awaited.HEAD
        self._timed: _Awaited | None = None
        self._deadline = inf
        self._timer: asyncio.TimerHandle | None = None
        self._chunk_bytes = 0
        self._part_bytes = 0  # of the current head or body, without bytes in the same chunk as the previous one
        self._is_deaf = False
        self._beyond: bytearray | None = None  # what followed a request to change the protocol
        self._running: RequestResponseCycle | None = None  # `self.cycle` is the last one that arrived

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(_GatheringTransport(transport, self.loop))
        if self._short_lived() > self._limits.connections + self._limits.spare_connections:
            transport.abort()
            return
        self._set_deadline()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._long_lived.discard(self)
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        if self._is_deaf or self.parser is None:
            return
        if self._beyond is not None:
            self._hold_back(data)
            return
        self._unset_keepalive_if_required()
        self._chunk_bytes = len(data)
        self._part_bytes += self._chunk_bytes
        if self._awaited is _Awaited.NOTHING:
            self._awaited, self._part_bytes = _Awaited.HEAD, self._chunk_bytes
        self._parse(self.parser, data)
        self._set_deadline()

    def _hold_back(self, data: bytes) -> None:
        """Keeps what is in the new protocol until somebody speaks it; nobody sends much before the answer."""
        if self._beyond is not None and len(self._beyond) <= self._limits.head_bytes:
            self._beyond += data

    def _parse(self, parser: httptools.HttpRequestParser, data: bytes) -> None:
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            # The upgrade may be ignored (RFC 9110, 7.8). But the parser has treated a body as the new protocol, and the
            # rest of it may follow, so this response is the last one.
            self.cycle.keep_alive = False
            self._beyond = bytearray(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:  # an exception of a callback is its context
            problem = error.__context__
            self._refuse(problem if isinstance(problem, Problem) else MalformedRequest())
        else:
            if self._awaited is _Awaited.HEAD and self._is_head_too_large(self._part_bytes):
                self._refuse(HeadersTooLarge())
            elif self._awaited is _Awaited.BODY and self._part_bytes > self._limits.body_bytes:
                self._refuse(BodyTooLarge())

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {LONG_LIVED: {"connection": ref(self)}}
        self._awaited, self._part_bytes = _Awaited.HEAD, self._chunk_bytes

    def on_headers_complete(self) -> None:
        if len(self.headers) > self._limits.headers or self._is_head_too_large(self._whole_head_bytes()):
            raise HeadersTooLarge
        if b"#" in self.url:  # RFC 9112, 3.2: not part of a target, and readers differ in what they make of it
            raise MalformedRequest
        if self._short_lived() > self._limits.connections and self.url != b"/healthz":
            raise Overloaded(retry_after=1)
        super().on_headers_complete()
        self.headers = []  # uvicorn would add a chunked body's trailers to the headers, which have already been checked
        self._awaited, self._part_bytes = _Awaited.BODY, 0

    def _is_head_too_large(self, head_bytes: int) -> bool:
        return head_bytes > self._limits.head_bytes or len(self.url) > self._limits.request_line_bytes

    def _whole_head_bytes(self) -> int:
        return len(self.url) + sum([len(name) + len(value) + len(": \r\n") for name, value in self.headers])

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._awaited, self._timed = _Awaited.NOTHING, None
        self._chunk_bytes = 0

    def on_response_complete(self) -> None:
        """The answer is on its way before its request is logged."""
        if isinstance(self.transport, _GatheringTransport):
            self.transport.flush()
        super().on_response_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: "ASGI3Application") -> None:
        self._running = cycle
        if self._draining.is_set() and not self.pipeline:
            cycle.keep_alive = False  # the answer says so, and the client takes another connection in time
        super()._start_asgi_task(cycle, app)

    def hold_open(self, on_stop: Callable[[], None]) -> None:
        """See `corral.edge.long_lived`."""
        if len(self._long_lived) >= self._limits.long_lived:
            raise Overloaded(retry_after=30)
        self._long_lived.add(self)
        self._on_stop = on_stop
        self.transport.set_write_buffer_limits(high=self._limits.long_lived_buffer_bytes)
        # The kernel would buffer megabytes for a client that does not read.
        wire: socket.socket = self.transport.get_extra_info("socket")
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._limits.long_lived_unsent_bytes)

    def cut(self) -> None:
        """See `corral.edge.long_lived`."""
        self.transport.abort()

    def hand_over(self, successor: asyncio.Protocol) -> tuple[asyncio.Transport, bytes]:
        """See `corral.edge.long_lived`."""
        running, gathering = self._running, self.transport
        if running is None or not isinstance(gathering, _GatheringTransport) or gathering.is_closing():
            raise MalformedRequest
        running.response_started = running.response_complete = True
        if self._timer is not None:
            self._timer.cancel()
        transport = gathering.release()
        transport.set_protocol(successor)
        return transport, bytes(self._beyond or b"")

    def _short_lived(self) -> int:
        return len(self.connections) - len(self._long_lived)

    def shutdown(self) -> None:
        """The server stops: the current request is answered, and no further one.

        A connection that was in use a moment ago waits for a request that may be on its way: closing it would fail that
        request. `draining` is set by now, so the answer says that it is the last one.
        """
        if self._on_stop is not None:
            self._on_stop()
        if self._running is not None and not self._running.response_complete:
            self._running.keep_alive = False
        elif (left := self._last_use() + self._limits.parting_seconds - self.loop.time()) > 0:
            self.loop.call_later(left, self._part)
        else:
            self.transport.close()

    def _last_use(self) -> float:
        """Returns when the last answer ended, or the connection was made."""
        rests_until = self.timeout_keep_alive_task  # uvicorn's
        if rests_until is not None:
            return rests_until.when() - self.timeout_keep_alive
        return self._made_at if self._running is None else self.loop.time()  # the next request is arriving

    def _part(self) -> None:
        if self._running is None or self._running.response_complete:
            self.transport.close()

    def _set_deadline(self) -> None:
        if self._awaited is self._timed or self._is_deaf:
            return
        self._timed = self._awaited
        if self._awaited is _Awaited.NOTHING:
            self._deadline = inf
        else:
            is_head = self._awaited is _Awaited.HEAD
            self._deadline = self.loop.time() + (self._limits.head_seconds if is_head else self._limits.body_seconds)

    def _watch(self) -> None:
        """Wakes at the deadline, or at the earliest end of a deadline that starts now."""
        now = self.loop.time()
        if now < self._deadline:
            soonest = now + min(self._limits.head_seconds, self._limits.body_seconds)
            self._timer = self.loop.call_at(min(self._deadline, soonest), self._watch)
        elif self._is_deaf:
            self.transport.abort()
        elif self._running is None and self._part_bytes == 0:
            self.transport.close()  # connected, but sent nothing
        else:
            self._refuse(RequestTimeout())

    def _refuse(self, problem: Problem) -> None:
        self._is_deaf = True
        running = self._running
        is_its_body = self._awaited is _Awaited.BODY and self.cycle is running
        if running is None or (running.response_complete and not is_its_body):
            self._say(problem)
        elif not is_its_body:  # the error is in a later request, so this one still gets its response
            running.keep_alive = False
            self._deadline = inf
        else:
            self._give_up(running, problem)

    def _give_up(self, running: RequestResponseCycle, problem: Problem) -> None:
        running.disconnected = True
        running.message_event.set()
        if running.response_started:
            self.transport.close()
        else:
            self._say(problem)

    def _say(self, problem: Problem) -> None:
        request_id = token_hex(16)
        status, headers, body = render_problem(problem, request_id)
        own = [(b"x-request-id", request_id.encode()), (b"connection", b"close")]
        lines = [b"%b: %b\r\n" % header for header in [*self.server_state.default_headers, *headers, *_HEADERS, *own]]
        self.transport.write(b"".join([STATUS_LINE[status], *lines, b"\r\n", body]))
        self._log.info("request_refused", status=status, code=problem.code, request_id=request_id)
        self._linger()

    def _linger(self) -> None:
        """Closes the write side first: a connection closed with unread bytes is reset, and its response lost."""
        self._unset_keepalive_if_required()
        self.transport.write_eof()
        if self._timer is not None:
            self._timer.cancel()
        self._deadline = self.loop.time() + self._limits.linger_seconds
        self._timer = self.loop.call_at(self._deadline, self._watch)
