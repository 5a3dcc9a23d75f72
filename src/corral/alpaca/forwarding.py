"""Passes one request on to Alpaca, once, and returns its answer as it arrives.

Nothing is sent twice and nothing is read into a type: what may be sent, and what becomes of the answer, is decided by
the gateway. An error says whether anything was sent.
"""

import time
from asyncio import get_running_loop, timeout_at
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from types import SimpleNamespace
from typing import Final, final

from aiohttp import ClientError, ClientResponse, ClientSession, TraceConfig, TraceRequestHeadersSentParams
from yarl import URL

from corral.alpaca.calls import Keys
from corral.alpaca.environments import Environment, Hosts
from corral.alpaca.errors import AlpacaAuthError, AlpacaError, AlpacaServerError, DeadlineExceeded
from corral.alpaca.requests import key_headers, send_once
from corral.alpaca.transport import failure_of, open_session

WHOLE_ANSWER_SECONDS: Final = 60.0
LARGEST_ANSWER_BYTES: Final = 32 * 1024 * 1024
_WRITES_KEEP_ALIVE_SECONDS: Final = 10
"""A connection that Alpaca has closed makes an order's outcome unknown: one that rested for longer is not used."""


class Api(StrEnum):
    """Which of Alpaca's two APIs: each has its host, and counts its own requests."""

    TRADING = "trading"
    DATA = "data"


@dataclass(frozen=True, slots=True)
class Forwarded:
    """`target` is the path with its query, as it is sent, without the path of the configured base URL.

    `body` is JSON. One that `is_endless` asks for a stream of events, whose end is not waited for.
    """

    environment: Environment
    api: Api
    method: str
    target: str
    keys: Keys
    body: bytes | None = field(default=None, repr=False)
    is_endless: bool = False


class NotForwarded(Exception):  # noqa: N818 - named after the condition
    """There is no answer. `is_sent` says whether Alpaca may have received the request, all of it or a part."""

    def __init__(self, reason: AlpacaError, *, is_sent: bool) -> None:
        super().__init__(str(reason))
        self.reason = reason
        self.is_sent = is_sent


class AnswerBroken(Exception):  # noqa: N818 - named after the condition
    """The answer ended too early, took too long or is too large, after its head had arrived."""

    def __init__(self, reason: AlpacaError) -> None:
        super().__init__(str(reason))
        self.reason = reason


@final
class ForwardedAnswer:
    """Alpaca's answer: its head, and its body in parts of at most 128 KiB.

    `waited_seconds` is how long was waited for it so far.
    """

    __slots__ = ("_ends_at", "_received", "_response", "answered_at", "headers", "status", "waited_seconds")

    def __init__(self, response: ClientResponse, *, ends_at: float | None, waited_seconds: float) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self.answered_at = datetime.now(UTC)
        self.waited_seconds = waited_seconds
        self._response = response
        self._ends_at = ends_at
        self._received = 0

    async def next_part(self) -> bytes:
        """Returns b"" at the end. Raises AnswerBroken."""
        content = self._response.content
        try:
            part = content.read_nowait()  # nearly always the whole body: it came with the head
            if not part and not content.at_eof():
                part = await self._wait_for_part()
        except ClientError as error:
            raise AnswerBroken(failure_of(error)) from None
        self._received += len(part)
        if self._received > LARGEST_ANSWER_BYTES and self._ends_at is not None:
            raise AnswerBroken(AlpacaServerError())
        return part

    async def _wait_for_part(self) -> bytes:
        began = time.perf_counter()
        try:
            async with timeout_at(self._ends_at):
                part = await self._response.content.readany()
        except TimeoutError:
            raise AnswerBroken(DeadlineExceeded()) from None
        self.waited_seconds += time.perf_counter() - began
        return part


@final
class Forwarder:
    """Lives as long as the process. Knows no users: callers must have checked that the keys may be used."""

    __slots__ = ("_bases", "_reads", "_timeout_seconds", "_writes")

    def __init__(self, reads: ClientSession, writes: ClientSession, hosts: Hosts, *, timeout_seconds: float) -> None:
        self._reads = reads
        self._writes = writes
        self._bases = {
            (environment, api): str(hosts.data if api is Api.DATA else hosts.trading(environment)).rstrip("/")
            for environment in Environment
            for api in Api
        }
        self._timeout_seconds = timeout_seconds

    @asynccontextmanager
    async def forward(self, request: Forwarded) -> AsyncGenerator[ForwardedAnswer]:
        """Sends the request, and yields the answer when its head has arrived, within the upstream timeout.

        The whole answer has to arrive within a minute, unless it is endless. At the end of the block the connection is
        kept for the next request, or closed if the answer was not read completely. Raises NotForwarded.
        """
        began, started = get_running_loop().time(), time.perf_counter()
        response = await self._head(request, began)
        waited = time.perf_counter() - started
        ends_at = None if request.is_endless else began + WHOLE_ANSWER_SECONDS
        try:
            yield ForwardedAnswer(response, ends_at=ends_at, waited_seconds=waited)
        finally:
            response.release()

    async def _head(self, request: Forwarded, began: float) -> ClientResponse:
        headers = key_headers(request.keys)
        if headers is None:
            raise NotForwarded(AlpacaAuthError(), is_sent=False)
        if request.body is not None:
            headers["Content-Type"] = "application/json"
        if request.is_endless:
            headers["Accept"] = "text/event-stream"
        url = URL(self._bases[request.environment, request.api] + request.target, encoded=True)
        session = self._reads if request.method == "GET" else self._writes
        progress = _Progress()
        try:
            async with timeout_at(began + self._timeout_seconds):
                return await session.request(
                    request.method,
                    url,
                    headers=headers,
                    data=request.body,
                    allow_redirects=False,
                    trace_request_ctx=progress,
                )
        except TimeoutError:
            raise NotForwarded(DeadlineExceeded(), is_sent=progress.is_sent) from None
        except ClientError as error:
            raise NotForwarded(failure_of(error), is_sent=progress.is_sent) from None


@asynccontextmanager
async def open_forwarder(hosts: Hosts, *, timeout_seconds: float) -> AsyncGenerator[Forwarder]:
    connect_seconds = timeout_seconds / 4
    async with (
        open_session(send_once, connect_seconds=connect_seconds, proxy=hosts.proxy, trace=_trace()) as reads,
        open_session(
            send_once,
            connect_seconds=connect_seconds,
            proxy=hosts.proxy,
            trace=_trace(),
            keep_alive_seconds=_WRITES_KEEP_ALIVE_SECONDS,
        ) as writes,
    ):
        yield Forwarder(reads, writes, hosts, timeout_seconds=timeout_seconds)


@dataclass(slots=True)
class _Progress:
    is_sent: bool = False


def _trace() -> TraceConfig:
    """The library tells when it begins to write a request: until then it is certain that nothing was sent."""

    async def note(_: ClientSession, context: SimpleNamespace, __: TraceRequestHeadersSentParams) -> None:
        context.trace_request_ctx.is_sent = True

    trace = TraceConfig()
    trace.on_request_headers_sent.append(note)
    return trace
