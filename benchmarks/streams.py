"""Many open streams over one process: `python -m benchmarks.streams [STREAMS] [ACCOUNTS] [SECONDS]`.

Each account has an owner of its own, and its share of the streams. Told are the memory of one stream, the calls
that each account cost, the processor time of the server while nobody trades, and how long an order's event takes
from the sandbox's clock to all who watch the account, while one account after another trades.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import orjson
import psutil
import uvloop
from aiohttp import ClientSession

from benchmarks.processes import Child, running
from benchmarks.servers import Kind, Order
from benchmarks.streamers import Streamer, opened_streamers
from corral.database.embedded import embedded_postgres
from corral.database.migrate import apply_migrations
from corral.hardening import raise_file_limit
from corral.logs import configure_logging
from corral.sandbox import secret_of

_SETTLES_SECONDS = 12.0
_NANO = 1_000_000_000


@dataclass
class _Watch:
    """One open stream, read by hand: a client library would cost more than the server."""

    account: Streamer
    events: dict[str, int] = field(default_factory=dict[str, int])
    delays: list[float] = field(default_factory=list[float])

    async def listen(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            if line.startswith(b"event: "):
                kind = line[7:-1].decode()
                self.events[kind] = self.events.get(kind, 0) + 1
            elif line.startswith(b"data: ") and b'"event":"fill"' in line:
                self._take_fill(orjson.loads(line[6:]))

    def _take_fill(self, order: dict[str, str]) -> None:
        at = order["updated_at"]
        moment = int(time.mktime(time.strptime(at[:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone) * _NANO
        moment += int(at[20:-1].ljust(9, "0"))
        self.delays.append((time.time_ns() - moment) / _NANO)


def main(streams: int, accounts: int, seconds: float) -> None:
    raise_file_limit()
    with tempfile.TemporaryDirectory(prefix="corral-streams-") as folder:
        Path(folder).chmod(0o711)  # where we are root, the database's user has to pass
        with (Path(folder) / "log").open("ab") as stream:
            configure_logging("json", stream)
            uvloop.run(_measure(Path(folder), streams, accounts, seconds))


async def _measure(folder: Path, streams: int, accounts: int, seconds: float) -> None:
    data_dir, log = folder / "data", folder / "log"
    async with embedded_postgres(data_dir) as embedded:
        await apply_migrations(embedded.dsn("corral_owner"))
        people = await opened_streamers(embedded.dsn("corral_app"), data_dir, accounts)
        order = Order(kind="sandbox", database_url=embedded.dsn("corral_app"), data_dir=data_dir, snapshot_seconds=1)
        async with running("benchmarks.servers", log=log) as sandbox, running("benchmarks.servers", log=log) as corral:
            sandbox_url = await _start(sandbox, order, "sandbox")
            url = await _start(corral, order.model_copy(update={"sandbox_url": sandbox_url}), "corral")
            watches = await _measure_memory(corral, url, people, streams // len(people))
            await _measure_rest(psutil.Process(corral.pid), sandbox_url, people, seconds)
            await _measure_orders(sandbox_url, people, watches, seconds)


async def _start(child: Child, order: Order, kind: Kind) -> str:
    return await child.ask(order.model_copy(update={"kind": kind}).model_dump_json())


async def _measure_memory(corral: Child, url: str, people: list[Streamer], share: int) -> list[_Watch]:
    first = [await _open(url, account) for account in people]  # feeds, hubs and sockets cost the same for any number
    await asyncio.sleep(_SETTLES_SECONDS)
    before = int(await corral.ask("memory"))
    rest = [await _open(url, account) for account in people for _ in range(share - 1)]
    await asyncio.sleep(_SETTLES_SECONDS)
    kibibytes = (int(await corral.ask("memory")) - before) / len(rest) / 1024
    print(f"memory     {kibibytes:.1f} KiB a stream ({len(rest)} streams more)")
    return first + rest


async def _measure_rest(server: psutil.Process, sandbox_url: str, people: list[Streamer], seconds: float) -> None:
    calls, began, used = await _calls(sandbox_url), time.monotonic(), sum(server.cpu_times()[:2])
    await asyncio.sleep(seconds)
    made, lasted = await _calls(sandbox_url) - calls, time.monotonic() - began
    print(f"calls      {made / len(people) / lasted:.2f} a second and account")
    print(f"processor  {(sum(server.cpu_times()[:2]) - used) / lasted:.1%} of one")


async def _measure_orders(sandbox_url: str, people: list[Streamer], watches: list[_Watch], seconds: float) -> None:
    fills = await _trade(sandbox_url, people, seconds)
    await asyncio.sleep(3)
    delays = [delay for watch in watches for delay in watch.delays]
    p99 = statistics.quantiles(delays, n=100)[98]
    told = f"{len(delays)} told of {fills * len(watches) // len(people)}"
    print(f"order      p50 {statistics.median(delays) * 1000:.1f} ms, p99 {p99 * 1000:.1f} ms ({told})")


async def _open(url: str, account: Streamer) -> _Watch:
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(f"GET /api/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {account.token}\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    assert b" 200 " in head, head
    watch = _Watch(account)
    account.open_streams.append((asyncio.ensure_future(watch.listen(reader)), writer))
    return watch


async def _calls(sandbox_url: str) -> int:
    async with ClientSession(sandbox_url) as client, client.get("/_requests") as answer:
        counts = await answer.json()
    paths = [key["paths"] for key in counts["key_ids"].values()]
    return sum(count for each in paths for path, count in each.items() if path != "/stream")


async def _trade(sandbox_url: str, people: list[Streamer], seconds: float) -> int:
    """One account after another buys; answers how many fills there were."""
    ticket = {"symbol": "BTC/USD", "qty": "0.0001", "side": "buy", "type": "market", "time_in_force": "gtc"}
    until, filled = time.monotonic() + seconds, 0
    async with ClientSession(f"{sandbox_url}/paper/") as client:
        while time.monotonic() < until:
            for account in people:
                keys = {"APCA-API-KEY-ID": account.key_id, "APCA-API-SECRET-KEY": secret_of(account.key_id)}
                async with client.post("v2/orders", json=ticket, headers=keys) as answer:
                    filled += answer.status == 200
    return filled


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:]]
    main(*(numbers + [1_000, 100, 20][len(numbers) :]))
