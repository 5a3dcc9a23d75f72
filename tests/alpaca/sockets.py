"""Alpaca's trading socket on a server that a test controls, and that records what it receives."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import WSMsgType, web

from corral.alpaca.environments import Environment, Hosts
from corral.alpaca.trade_updates import TradeUpdatesConnection, open_trade_updates
from corral.secret import Secret
from tests.alpaca.upstream import KEY_ID, SECRET_KEY

Script = Callable[[web.WebSocketResponse], Awaitable[None]]

AUTHORIZED = {"stream": "authorization", "data": {"status": "authorized", "action": "authenticate"}}
UNAUTHORIZED = {"stream": "authorization", "data": {"status": "unauthorized", "action": "authenticate"}}
LISTENING = {"stream": "listening", "data": {"streams": ["trade_updates"]}}


@dataclass
class Socket:
    """What came in. `handshakes` are the headers of each."""

    url: str = ""
    handshakes: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    messages: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])


@asynccontextmanager
async def socket_of(
    *scripts: Script, status: int | None = None, location: str | None = None, compress: bool = False
) -> AsyncGenerator[Socket]:
    """Answers the n-th message with the n-th script. With a status it answers the handshake with that instead."""
    seen = Socket()

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        seen.handshakes.append(dict(request.headers))
        if status is not None:
            return web.Response(status=status, headers={"Location": location} if location else {})
        web_socket = web.WebSocketResponse(compress=compress)
        await web_socket.prepare(request)
        remaining = list(scripts)
        async for message in web_socket:
            if message.type in {WSMsgType.TEXT, WSMsgType.BINARY}:
                seen.messages.append(orjson.loads(message.data))
                if remaining:
                    await remaining.pop(0)(web_socket)
        return web_socket

    runner = web.ServerRunner(web.Server(answer, handler_cancellation=True), shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        seen.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield seen
    finally:
        await runner.cleanup()


def says(*frames: object) -> Script:
    """Sends these: objects as JSON, bytes and texts as they are."""

    async def script(web_socket: web.WebSocketResponse) -> None:
        for frame in frames:
            if isinstance(frame, str):
                await web_socket.send_str(frame)
            else:
                await web_socket.send_bytes(frame if isinstance(frame, bytes) else orjson.dumps(frame))

    return script


async def closes(web_socket: web.WebSocketResponse) -> None:
    await web_socket.close()


@asynccontextmanager
async def line_to(
    socket: Socket, *, timeout_seconds: float = 1.0, ping_seconds: float = 10.0
) -> AsyncGenerator[TradeUpdatesConnection]:
    hosts = Hosts.from_urls(paper=socket.url, live=f"{socket.url}/live", data=socket.url)
    async with open_trade_updates(hosts, timeout_seconds=timeout_seconds, ping_seconds=ping_seconds) as updates:
        line = await updates.connect(Environment.PAPER, Secret(KEY_ID), Secret(SECRET_KEY))
        try:
            yield line
        finally:
            await line.close()
