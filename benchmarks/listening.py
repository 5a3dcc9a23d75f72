"""Thousands of open streams, in a process of their own: `python -m benchmarks.listening`.

The first line in is a `Crowd`, the first line out says how many streams are open. Every further line in is
an `Errand`: orders are placed at the sandbox, and the answer is a `Heard`. The end of input ends it.
"""

import asyncio
import gc
import re
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from typing import cast, final

import uvloop
from aiohttp import ClientSession
from pydantic import BaseModel

from corral.hardening import raise_file_limit
from corral_sandbox import secret_of

_AN_ORDER = re.compile(rb'^event: order\ndata: (\{[^\n]*"event":"fill"[^\n]*\})$', re.MULTILINE)
_CLIENT_ORDER_ID = re.compile(rb'"client_order_id":"([^"]+)"')
_UPDATED_AT = re.compile(rb'"updated_at":"([^"]+)"')
_PATIENCE_SECONDS = 10.0


class Crowd(BaseModel):
    """As many streams for each token."""

    url: str
    paper_url: str
    tokens: list[str]
    streams_of_each: int


class Errand(BaseModel):
    """One order for each of these accounts, `a_second` of them; each is to be heard on `watchers` streams."""

    key_ids: list[str]
    a_second: float
    watchers: int


class Heard(BaseModel):
    """`latencies_ms` from the moment of each fill to the arrival of its event, on each stream."""

    expected: int
    latencies_ms: list[float]
    lost_streams: int
    gaps: int
    events: int
    seconds: float


@final
class _Tally:
    """What all streams have heard."""

    def __init__(self) -> None:
        self.latencies_ms: list[float] = []
        self.lost = self.gaps = self.events = self._expected = 0
        self.is_complete = asyncio.Event()

    def begin(self, expected: int) -> None:
        self._expected = expected
        self.latencies_ms.clear()
        self.is_complete.clear()

    def note_orders(self, text: bytes) -> None:
        now = time.time()
        for order in _AN_ORDER.findall(text):
            if (found := _CLIENT_ORDER_ID.search(order)) and found[1].startswith(b"bench-"):
                at = cast("re.Match[bytes]", _UPDATED_AT.search(order))[1].decode()
                self.latencies_ms.append((now - datetime.fromisoformat(at).timestamp()) * 1000)
        if len(self.latencies_ms) >= self._expected:
            self.is_complete.set()


@final
class _Ear(asyncio.Protocol):
    """One stream. It reads no more than it has to: there are thousands, and the cores are the server's."""

    __slots__ = ("_rest", "_tally", "_token", "is_open")

    def __init__(self, token: str, tally: _Tally) -> None:
        self._token = token
        self._tally = tally
        self._rest = b""
        self.is_open = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        request = f"GET /api/stream HTTP/1.1\r\nHost: corral\r\nAuthorization: Bearer {self._token}\r\n\r\n"
        cast("asyncio.WriteTransport", transport).write(request.encode())

    def data_received(self, data: bytes) -> None:
        if not self.is_open.done():
            self.is_open.set_result(data.startswith(b"HTTP/1.1 200 "))
        text = self._rest + data
        end = text.rfind(b"\n\n") + 2
        whole, self._rest = text[:end], text[end:]
        self._tally.events += whole.count(b"\nevent: ") + whole.startswith(b"event: ")
        self._tally.gaps += whole.count(b"event: gap\n")
        if b"event: order\n" in whole:
            self._tally.note_orders(whole)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._tally.lost += 1
        if not self.is_open.done():
            self.is_open.set_result(False)


async def _opened(crowd: Crowd, tally: _Tally) -> int:
    """One after the other, as people come: at once they would wait for each other's sign-in."""
    host, _, port = crowd.url.removeprefix("http://").partition(":")
    loop = asyncio.get_running_loop()
    is_open = 0
    for token in crowd.tokens * crowd.streams_of_each:
        _, ear = await loop.create_connection(lambda token=token: _Ear(token, tally), host, int(port))
        is_open += await ear.is_open
    return is_open


async def _run(errand: Errand, crowd: Crowd, tally: _Tally) -> Heard:
    events, started, expected = tally.events, time.perf_counter(), len(errand.key_ids) * errand.watchers
    tally.begin(expected)
    async with ClientSession() as client, asyncio.TaskGroup() as orders:
        for number, key_id in enumerate(errand.key_ids):
            orders.create_task(_place(client, crowd.paper_url, key_id, f"bench-{started:.0f}-{number}"))
            await asyncio.sleep(1 / errand.a_second)
    with suppress(TimeoutError):
        await asyncio.wait_for(tally.is_complete.wait(), _PATIENCE_SECONDS)
    return Heard(
        expected=expected,
        latencies_ms=tally.latencies_ms,
        lost_streams=tally.lost,
        gaps=tally.gaps,
        events=tally.events - events,
        seconds=time.perf_counter() - started,
    )


async def _place(client: ClientSession, paper_url: str, key_id: str, client_order_id: str) -> None:
    """A market order for a coin fills at any hour."""
    order = {
        "symbol": "BTC/USD",
        "qty": "0.0001",
        "side": "buy",
        "type": "market",
        "time_in_force": "gtc",
        "client_order_id": client_order_id,
    }
    keys = {"APCA-API-KEY-ID": key_id, "APCA-API-SECRET-KEY": secret_of(key_id)}
    async with client.post(f"{paper_url}/v2/orders", json=order, headers=keys) as answer:
        assert answer.status == 200, await answer.text()


async def main() -> None:
    raise_file_limit()
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    crowd, tally = Crowd.model_validate_json(await lines.readline()), _Tally()
    _say(str(await _opened(crowd, tally)))
    while line := await lines.readline():
        _say((await _run(Errand.model_validate_json(line), crowd, tally)).model_dump_json())


def _say(line: str) -> None:
    print(line, flush=True)


def percentile(of: Iterable[float], hundredths: int) -> float:
    ordered = sorted(of) or [0.0]
    return ordered[min(len(ordered) * hundredths // 100, len(ordered) - 1)]


if __name__ == "__main__":
    gc.disable()
    uvloop.run(main())
