"""Clients of the trade updates stream."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import orjson
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType

from corral_sandbox import Sandbox, secret_of
from tests.sandbox.broker import TRADER
from tests.sandbox.people import keys_of

PATIENCE = 20.0
_COIN = {"symbol": "ETH/USD", "qty": "0.01", "side": "buy", "type": "market", "time_in_force": "gtc"}


async def next_message(socket: ClientWebSocketResponse) -> Any:  # noqa: ANN401 - JSON
    """Returns the next message, which must be a binary frame."""
    message = await socket.receive(timeout=PATIENCE)
    assert message.type is WSMsgType.BINARY, message
    return orjson.loads(message.data)


async def authenticate(socket: ClientWebSocketResponse, key_id: str, secret: str | None = None) -> Any:  # noqa: ANN401 - JSON
    data = {"key_id": key_id, "secret_key": secret or secret_of(key_id)}
    await socket.send_json({"action": "authenticate", "data": data})
    return await next_message(socket)


async def listen(socket: ClientWebSocketResponse, *streams: str) -> Any:  # noqa: ANN401 - JSON
    await socket.send_json({"action": "listen", "data": {"streams": streams or ["trade_updates"]}})
    return await next_message(socket)


@asynccontextmanager
async def listening(http: ClientSession, sandbox: Sandbox, key_id: str) -> AsyncGenerator[ClientWebSocketResponse]:
    async with http.ws_connect(f"{sandbox.paper_url}/stream") as socket:
        assert (await authenticate(socket, key_id))["data"]["status"] == "authorized"
        assert (await listen(socket))["data"]["streams"] == ["trade_updates"]
        yield socket


async def place_order(http: ClientSession, sandbox: Sandbox, key_id: str = TRADER, **fields: object) -> Any:  # noqa: ANN401 - JSON
    url = f"{sandbox.paper_url}/v2/orders"
    async with http.post(url, headers=keys_of(key_id), json={**_COIN, **fields}) as response:
        assert response.status == 200
        return await response.json()


async def eventually_listen(http: ClientSession, sandbox: Sandbox) -> None:
    """The server notices a disconnect a little later than the client."""
    async with asyncio.timeout(PATIENCE):
        while True:
            async with http.ws_connect(f"{sandbox.paper_url}/stream") as socket:
                if "stream" in await authenticate(socket, TRADER):
                    return
