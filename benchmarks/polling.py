"""What a stream costs while nothing happens: `python -m benchmarks.polling [ACCOUNTS] [SECONDS] [QUERY]`.

One person watches all of their accounts by one stream, such as a home page that is left open. QUERY is the stream's,
such as `events=account-data`. Says how often Alpaca is asked about each account, what it costs the server, and how much
it logs.
"""

import asyncio
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import uvloop
from aiohttp import ClientResponse, ClientSession, ClientTimeout

from benchmarks.accounts import AccountStore
from benchmarks.processes import running
from benchmarks.servers import Order
from corral.credentials.keyring_check import open_vault
from corral.database.connection import Database
from corral.database.embedded.instance import embedded_postgres
from corral.database.migrate import apply_migrations
from corral.logs import configure_logging
from corral_sandbox import serve_sandbox

SETTLES_SECONDS = 20.0
_MINUTE, _DAY = 60, 86_400


def main(accounts: int, seconds: float, query: str) -> None:
    with tempfile.TemporaryDirectory(prefix="corral-polling-") as folder:
        Path(folder).chmod(0o711)  # where we are root, the database's user has to pass
        with (Path(folder) / "own-log").open("ab") as stream:
            configure_logging("json", stream)
            uvloop.run(_measure(Path(folder), accounts, seconds, query))


async def _measure(folder: Path, accounts: int, seconds: float, query: str) -> None:
    data_dir, log = folder / "data", folder / "log"
    async with (
        embedded_postgres(data_dir) as embedded,
        serve_sandbox(port=0, characters=True) as sandbox,
        running("benchmarks.servers", log=log) as corral,
    ):
        await apply_migrations(embedded.dsn("corral_owner"))
        async with Database.open(embedded.dsn("corral_app")) as database:
            desk = AccountStore(database, await open_vault(database, data_dir / "keyring.json"))
            person = await desk.store_person(accounts)
        order = Order(
            kind="corral",
            database_url=embedded.dsn("corral_app"),
            data_dir=data_dir,
            sandbox_url=sandbox.url,
            cache_seconds=1,
        )
        url = await corral.ask(order.model_dump_json())
        headers, endless = {"Authorization": f"Bearer {person.token}"}, ClientTimeout(total=None)
        async with (
            ClientSession(sandbox.url) as broker,
            ClientSession(url, headers=headers, timeout=endless) as client,
            client.get(f"/api/stream?{query}") as stream,
        ):
            assert stream.status == 200, await stream.text()
            reading = asyncio.create_task(_read(stream))
            await asyncio.sleep(SETTLES_SECONDS)
            async with broker.put("/_requests"):
                cpu, size = _cpu_seconds(corral.pid), log.stat().st_size
            await asyncio.sleep(seconds)
            async with broker.get("/_requests") as answer:
                counts = await answer.json()
            cpu, size = _cpu_seconds(corral.pid) - cpu, log.stat().st_size - size
            reading.cancel()
    calls = _calls_by_path(counts)
    minutes = accounts * seconds / _MINUTE
    by_path = ", ".join(f"{path} {number / minutes:.1f}" for path, number in sorted(calls.items()))
    print(f"{accounts} accounts for {seconds:.0f} s, /api/stream?{query}")
    print(f"calls an account and minute: {calls.total() / minutes:.1f} ({by_path})")
    print(f"server: {cpu / seconds:.1%} of a core")
    print(f"log: {size / accounts / seconds * _DAY / 1e6:.2f} MB an account and day")


async def _read(stream: ClientResponse) -> None:
    async for _ in stream.content.iter_any():
        pass


def _cpu_seconds(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def _calls_by_path(counts: dict[str, Any]) -> Counter[str]:
    calls: Counter[str] = Counter()
    for account in counts["key_ids"].values():
        calls.update(account["paths"])
    return calls


if __name__ == "__main__":
    given = sys.argv[1:] + ["1", "120", ""][len(sys.argv) - 1 :]
    main(int(given[0]), float(given[1]), given[2])
