"""Long-lived responses: counted separately, bounded, and notified of a stop."""

import asyncio
import io

from corral.edge.connection import Limits
from corral.edge.long_lived import connection_of
from corral.edge.middleware import Receive, Scope, Send
from tests.edge.wire import request, served


class Pasture:
    """`/last` lasts until the server stops or cuts it; everything else is answered at once."""

    def __init__(self) -> None:
        self.ended = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            for stage in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{stage}.complete"})
        elif scope["path"] == "/last":
            await self._last(scope, send)
        else:
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
            await send({"type": "http.response.body", "body": b"ok"})

    async def _last(self, scope: Scope, send: Send) -> None:
        connection, stop = connection_of(scope), asyncio.Event()
        assert connection is not None
        connection.hold_open(stop.set)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        await stop.wait()
        self.ended += 1
        await send({"type": "http.response.body", "body": b"ended"})


async def test_long_lived_responses_do_not_count_towards_the_connection_limit(log: io.BytesIO) -> None:
    limits = Limits(connections=2, spare_connections=0, long_lived=5)
    async with served(Pasture(), log, limits=limits) as server:
        for _ in range(5):
            client = await server.connect()
            await client.send(request("GET", "/last"))
            assert b"begun" in await client.reader.readuntil(b"begun")
        assert (await server.ask(request("GET", "/"))).status == 200


async def test_long_lived_responses_are_limited_and_an_ended_one_makes_room(log: io.BytesIO) -> None:
    async with served(Pasture(), log, limits=Limits(long_lived=1)) as server:
        first = await server.connect()
        await first.send(request("GET", "/last"))
        await first.reader.readuntil(b"begun")
        refused = await server.ask(request("GET", "/last"))
        assert (refused.status, refused.json()["code"]) == (503, "overloaded")
        assert refused.headers["retry-after"] == "30"
        first.writer.close()
        async with asyncio.timeout(5):
            while True:
                second = await server.connect()
                await second.send(request("GET", "/last"))
                if b" 200 " in await second.reader.readline():
                    break


async def test_a_stop_is_signaled_to_long_lived_responses_at_once(log: io.BytesIO) -> None:
    pasture = Pasture()
    async with served(pasture, log, grace_seconds=30) as server:
        client = await server.connect()
        await client.send(request("GET", "/last"))
        await client.reader.readuntil(b"begun")
        server.stop()
        assert b"ended" in await client.rest()
    assert pasture.ended == 1
