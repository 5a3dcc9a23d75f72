"""Five hundred sockets of programs with a grant, on one account and one server.

The clients are a process of their own: `python -m benchmarks.trade_sockets`. Each line in is a `Programs`, and the
answer says how many sockets are open and listen; an empty one is answered with how many fills they have heard since.
The end of input ends it.
"""

import asyncio
import gc
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import cast, final

import orjson
import uvloop
from aiohttp import ClientSession
from pydantic import BaseModel

from benchmarks.accounts import Owner
from benchmarks.processes import Child
from corral.hardening import raise_file_limit
from corral_sandbox import secret_of

GRANTS = 25
SOCKETS_OF_EACH = 20
_SETTLE_SECONDS = 3.0
_PATIENCE_SECONDS = 10.0
_FILL = b'"event":"fill"'
_PONG = b"\x8a\x80" + bytes(4)  # masked with zeros, and empty


@dataclass(frozen=True, slots=True)
class SocketFigures:
    """`memory` is in bytes, for all sockets; `calls` are the account's at Alpaca while they were opened and idle."""

    sockets: int
    memory: int
    heard: int
    calls: int


class Programs(BaseModel):
    """The key pairs of grants, and how many sockets each opens."""

    url: str
    key_pairs: list[tuple[str, str]]
    sockets_of_each: int


async def measure_sockets(
    owner: Owner, *, url: str, sandbox_url: str, clients: Child, settled_memory: Callable[[], Awaitable[int]]
) -> SocketFigures:
    """Memory is what all but the first socket of each grant take."""
    key_pairs = await _make_grants(owner, url)
    (key_id,) = owner.key_ids
    few = Programs(url=url, key_pairs=key_pairs, sockets_of_each=1)
    many = Programs(url=url, key_pairs=key_pairs, sockets_of_each=SOCKETS_OF_EACH - 1)
    sockets = int(await clients.ask(few.model_dump_json()))
    await asyncio.sleep(_SETTLE_SECONDS)
    before = await settled_memory()
    more = int(await clients.ask(many.model_dump_json()))
    await asyncio.sleep(_SETTLE_SECONDS)
    memory = await settled_memory() - before
    calls = await _calls(sandbox_url, key_id)
    await _buy(sandbox_url, key_id)
    heard = int(await clients.ask(""))
    return SocketFigures(sockets + more, memory * (sockets + more) // max(more, 1), heard, calls)


async def _make_grants(owner: Owner, url: str) -> list[tuple[str, str]]:
    (account,) = owner.accounts
    path = account.path.removesuffix("/account-data") + "/grants"
    made: list[tuple[str, str]] = []
    async with ClientSession(url, headers={"Authorization": f"Bearer {owner.token}"}) as client:
        for number in range(GRANTS):
            async with client.post(path, json={"name": f"program {number}", "access": "read"}) as answer:
                assert answer.status == 201, await answer.text()
                grant = await answer.json()
            made.append((grant["key_id"], grant["secret_key"]))
    return made


async def _calls(sandbox_url: str, key_id: str) -> int:
    async with ClientSession(sandbox_url) as client, client.get("/_requests") as answer:
        counts = await answer.json()
    return sum(counts["key_ids"][key_id]["paths"].values())


async def _buy(sandbox_url: str, key_id: str) -> None:
    """A market order for a coin fills at any hour."""
    order = {"symbol": "BTC/USD", "qty": "0.0001", "side": "buy", "type": "market", "time_in_force": "gtc"}
    keys = {"APCA-API-KEY-ID": key_id, "APCA-API-SECRET-KEY": secret_of(key_id)}
    async with ClientSession(headers=keys) as client, client.post(f"{sandbox_url}/paper/v2/orders", json=order) as sent:
        assert sent.status == 200, await sent.text()


@final
class _Program(asyncio.Protocol):
    """One client. It says that it is there whenever it hears something: a silent one would be cut off after 20 s."""

    __slots__ = ("_key_pair", "_received", "_transport", "fills", "listens")

    def __init__(self, key_pair: tuple[str, str]) -> None:
        self._key_pair = key_pair
        self._received = b""
        self._transport: asyncio.WriteTransport | None = None
        self.fills = 0
        self.listens = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)
        self._transport.write(
            b"GET /alpaca/stream HTTP/1.1\r\nHost: corral\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        key_id, secret_key = self._key_pair
        self._say("authenticate", {"key_id": key_id, "secret_key": secret_key})
        self._say("listen", {"streams": ["trade_updates"]})

    def _say(self, action: str, data: dict[str, object]) -> None:
        message = orjson.dumps({"action": action, "data": data})
        assert self._transport is not None
        self._transport.write(b"\x81\xfe" + len(message).to_bytes(2, "big") + bytes(4) + message)

    def data_received(self, data: bytes) -> None:
        self.fills += data.count(_FILL)
        assert self._transport is not None
        self._transport.write(_PONG)
        if not self.listens.done():
            self._received += data
            if b'"listening"' in self._received:
                self.listens.set_result(True)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        if not self.listens.done():
            self.listens.set_result(False)


async def _opened(programs: Programs) -> list[_Program]:
    host, _, port = programs.url.removeprefix("http://").partition(":")
    opened: list[_Program] = []
    for key_pair in programs.key_pairs * programs.sockets_of_each:
        _, program = await asyncio.get_running_loop().create_connection(
            lambda key_pair=key_pair: _Program(key_pair), host, int(port)
        )
        if await program.listens:
            opened.append(program)
    return opened


async def _heard(programs: list[_Program]) -> int:
    deadline = asyncio.get_running_loop().time() + _PATIENCE_SECONDS
    while asyncio.get_running_loop().time() < deadline and not all(program.fills for program in programs):  # noqa: ASYNC110 - the sockets set no event
        await asyncio.sleep(0.05)
    return sum(program.fills for program in programs)


async def main() -> None:
    raise_file_limit()
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    programs: list[_Program] = []
    while line := await lines.readline():
        if line.strip():
            opened = await _opened(Programs.model_validate_json(line))
            programs += opened
            print(len(opened), flush=True)
        else:
            print(await _heard(programs), flush=True)


if __name__ == "__main__":
    gc.disable()
    uvloop.run(main())
