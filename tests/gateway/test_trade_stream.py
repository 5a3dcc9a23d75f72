"""Alpaca's trading socket through a grant: all updates of its account, as Alpaca sends them, from one connection."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType

from corral_sandbox import Sandbox
from tests.conftest import Faults, Service
from tests.gateway.conftest import Json, Program, program_of
from tests.grants.conftest import GrantOwner


class Line:
    """A client of the socket."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self.socket = socket

    async def say(self, action: str, **data: object) -> None:
        await self.socket.send_json({"action": action, "data": data})

    async def hear(self) -> Json:
        async with asyncio.timeout(20):
            message = await self.socket.receive()
        assert message.type is WSMsgType.BINARY, message
        return orjson.loads(message.data)

    async def closed_with(self) -> int | None:
        async with asyncio.timeout(20):
            while (await self.socket.receive()).type in {WSMsgType.BINARY, WSMsgType.TEXT}:
                pass
        return self.socket.close_code

    async def authenticate(self, grant: Json) -> Json:
        await self.say("authenticate", key_id=grant["key_id"], secret_key=grant["secret_key"])
        return await self.hear()

    async def listen(self) -> Json:
        await self.say("listen", streams=["trade_updates"])
        return await self.hear()

    async def events(self, number: int) -> list[tuple[str, str]]:
        """The next events, with the id of their orders."""
        heard = [(await self.hear())["data"] for _ in range(number)]
        return [(each["event"], each["order"]["id"]) for each in heard]


AUTHORIZED: Json = {"stream": "authorization", "data": {"status": "authorized", "action": "authenticate"}}
UNAUTHORIZED: Json = {"stream": "authorization", "data": {"status": "unauthorized", "action": "authenticate"}}
COIN: Json = {"symbol": "BTC/USD", "qty": "0.001", "limit_price": "1000"}  # traded at any hour
LISTENING: Json = {"stream": "listening", "data": {"streams": ["trade_updates"]}}


@asynccontextmanager
async def connected(url: str, path: str = "/alpaca/stream", **options: Any) -> AsyncGenerator[Line]:  # noqa: ANN401 - as aiohttp
    async with ClientSession(url) as client, client.ws_connect(path, **options) as socket:
        yield Line(socket)


@asynccontextmanager
async def listening_with(grant: Json, service: Service) -> AsyncGenerator[Line]:
    async with connected(service.url) as line:
        assert await line.authenticate(grant) == AUTHORIZED
        assert await line.listen() == LISTENING
        yield line


async def test_an_order_through_the_gateway_is_heard(bot: Program, service: Service) -> None:
    async with listening_with(bot.grant, service) as line:
        placed = (await bot.order(**COIN)).json
        assert await line.events(1) == [("new", placed["id"])]
        await bot.call("DELETE", f"/alpaca/v2/orders/{placed['id']}")
        assert await line.events(1) == [("canceled", placed["id"])]
