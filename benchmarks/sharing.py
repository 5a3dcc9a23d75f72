"""Real processes that share feeds over Valkey: `python -m benchmarks.sharing [PROCESSES] [ROUNDS]`.

Prints the calls to Alpaca for an account beside those of one process, and what they leave to the owner's program; how
long an order's event takes to a process without the account's socket; how long nobody is told anything after the
process with it was killed or ended; and how late orders are told after the loss of a host, whose place at Alpaca stays
taken for a while.
Needs valkey-server or redis-server.
"""

import asyncio
import os
import shutil
import signal
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import uvloop
from aiohttp import ClientSession, ClientTimeout

from benchmarks.accounts import AccountStore, Owner
from corral.credentials.keyring_check import open_vault
from corral.database.connection import Database
from corral.database.embedded.instance import embedded_postgres
from corral.database.migrate import apply_migrations
from corral_sandbox import secret_of, serve_sandbox

ACCOUNTS = 3
COUNTED_SECONDS = 40.0
ORDERS = 100
PROGRAMS_CALLS = 90
PATIENCE = 120.0
TAKEN_SECONDS = 90.0  # for which Alpaca counts a socket whose host was lost
AT_ONCE_SECONDS = 0.25


@dataclass
class Reader:
    """Reads one person's stream at one process."""

    url: str
    person: Owner
    last_id: str = ""
    gaps: int = 0
    told: dict[str, float] = field(default_factory=dict[str, float])
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    is_ready: bool = False

    async def read(self) -> None:
        headers = {"Authorization": f"Bearer {self.person.token}"}
        if self.last_id:
            headers["Last-Event-ID"] = self.last_id
        async with (
            ClientSession(timeout=ClientTimeout(total=None)) as client,
            client.get(f"{self.url}/api/stream", headers=headers) as answer,
        ):
            kind, event_id = "", ""
            async for line in answer.content:
                name, _, value = line.rstrip(b"\n").partition(b": ")
                if name == b"event":
                    kind = value.decode()
                elif name == b"id":
                    event_id = value.decode()
                elif name == b"data":
                    self.take(kind, value)
                elif not name and event_id:
                    self.last_id, event_id = event_id, ""

    def take(self, kind: str, data: bytes) -> None:
        self.is_ready |= kind in {"position", "account-data"}
        self.gaps += kind == "gap"
        if kind == "order":
            self.told.setdefault(orjson.loads(data)["id"], time.monotonic())
        self.changed.set()

    async def until_told(self, order_id: str) -> float:
        async with asyncio.timeout(PATIENCE):
            while order_id not in self.told:
                self.changed.clear()
                await self.changed.wait()
        return self.told[order_id]

    async def until_ready(self) -> None:
        async with asyncio.timeout(PATIENCE):
            while not self.is_ready:
                self.changed.clear()
                await self.changed.wait()


@dataclass
class Fleet:
    settings: dict[str, str]
    log: Path
    stack: AsyncExitStack

    async def start(self) -> tuple[asyncio.subprocess.Process, str]:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", **self.settings, "CORRAL_PORT": str(port)}
        if "PYTHONPATH" in os.environ:
            env["PYTHONPATH"] = os.environ["PYTHONPATH"]
        with self.log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "corral", "serve", env=env, stdout=log, stderr=log
            )
        self.stack.callback(_kill, process)
        url = f"http://127.0.0.1:{port}"
        async with asyncio.timeout(PATIENCE), ClientSession() as client:
            while True:
                try:
                    async with client.get(f"{url}/readyz") as answer:
                        if answer.status == 200:
                            return process, url
                except OSError:
                    pass
                await asyncio.sleep(0.1)

    def read(self, url: str, person: Owner, last_id: str = "") -> Reader:
        reader = Reader(url, person, last_id)
        task = asyncio.create_task(reader.read())
        task.add_done_callback(lambda task: task.cancelled() or task.exception())
        self.stack.callback(task.cancel)
        return reader


def _kill(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()


@asynccontextmanager
async def valkey(folder: Path) -> AsyncGenerator[str]:
    program = shutil.which("valkey-server") or shutil.which("redis-server")
    if program is None:
        sys.exit("install valkey-server or redis-server first")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        *(program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"),
        cwd=folder,
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        await asyncio.sleep(1)
        yield f"valkey://127.0.0.1:{port}"
    finally:
        process.kill()
        await process.wait()


async def measure(folder: Path, processes: int, rounds: int) -> None:
    data_dir = folder / "data"
    async with (
        embedded_postgres(data_dir) as embedded,
        serve_sandbox(port=0, rate_limit_per_minute=0) as sandbox,
        valkey(folder) as valkey_url,
        ClientSession(f"{sandbox.url}/") as broker,
    ):
        await apply_migrations(embedded.dsn("corral_owner"))
        async with Database.open(embedded.dsn("corral_app")) as database:
            desk = AccountStore(database, await open_vault(database, data_dir / "keyring.json"))
            people = [await desk.store_person(1) for _ in range(ACCOUNTS)]
        settings = {
            "CORRAL_DATA_DIR": str(data_dir),
            "CORRAL_DATABASE_URL": embedded.dsn("corral_app"),
            "CORRAL_DATABASE_OWNER_URL": embedded.dsn("corral_owner"),
            "CORRAL_ALPACA_PAPER_URL": sandbox.paper_url,
            "CORRAL_ALPACA_LIVE_URL": sandbox.live_url,
            "CORRAL_ALPACA_DATA_URL": sandbox.url,
            "CORRAL_DRAIN_SECONDS": "0",
            "CORRAL_RECHECK_SECONDS": "0",
            "CORRAL_LOG_FORMAT": "json",
        }
        shared = settings | {"CORRAL_VALKEY_URL": valkey_url}
        one = await _calls(folder, settings, broker, people, 1)
        print(f"calls for an account in {COUNTED_SECONDS:.0f} s: one process alone {one:.1f}", flush=True)
        for number in range(2, processes + 1):
            several = await _calls(folder, shared, broker, people, number)
            print(f"  {number} processes {several:.1f}, {several / one:.2f} times as many", flush=True)
        await _owners_program(folder, shared, people[0], processes)
        await _latency(folder, shared, broker, people[0], processes)
        for how in (signal.SIGKILL, signal.SIGTERM):
            await _take_over(folder, shared, broker, people[1], how=how, rounds=rounds)
        await _last_tab(folder, shared, broker, people[2], rounds)
        await _lost_host(folder, shared, broker, people[0])


async def _calls(
    folder: Path, settings: dict[str, str], broker: ClientSession, people: list[Owner], processes: int
) -> float:
    async with AsyncExitStack() as stack:
        fleet = Fleet(settings, folder / "log", stack)
        for _ in range(processes):
            _, url = await fleet.start()
            for person in people:
                await fleet.read(url, person).until_ready()
        await asyncio.sleep(5)
        async with broker.put("_requests"):
            await asyncio.sleep(COUNTED_SECONDS)
        async with broker.get("_requests") as answer:
            counts = (await answer.json())["key_ids"]
        return statistics.fmean(sum(counts[person.key_ids[0]]["paths"].values()) for person in people)


async def _owners_program(folder: Path, settings: dict[str, str], person: Owner, processes: int) -> None:
    """It asks once a second, while somebody watches the account at each process. Alpaca allows 200 calls a minute."""
    (key_id,) = person.key_ids
    headers = {"APCA-API-KEY-ID": key_id, "APCA-API-SECRET-KEY": secret_of(key_id)}
    async with AsyncExitStack() as stack:
        limited = await stack.enter_async_context(serve_sandbox(port=0))
        own = {"CORRAL_ALPACA_PAPER_URL": limited.paper_url, "CORRAL_ALPACA_LIVE_URL": limited.live_url}
        fleet = Fleet(settings | own | {"CORRAL_ALPACA_DATA_URL": limited.url}, folder / "log", stack)
        for _ in range(processes):
            _, url = await fleet.start()
            await fleet.read(url, person).until_ready()
        program = await stack.enter_async_context(ClientSession(headers=headers))
        refused = 0
        for _ in range(PROGRAMS_CALLS):
            async with program.get(f"{limited.paper_url}/v2/account") as answer:
                refused += answer.status == 429
            await asyncio.sleep(1)
    print(f"429s of the owner's program at one call a second: {refused} of {PROGRAMS_CALLS}", flush=True)


async def _latency(
    folder: Path, settings: dict[str, str], broker: ClientSession, person: Owner, processes: int
) -> None:
    async with AsyncExitStack() as stack:
        fleet = Fleet(settings, folder / "log", stack)
        readers: list[Reader] = []
        for _ in range(processes):
            _, url = await fleet.start()
            readers.append(fleet.read(url, person))
            await readers[-1].until_ready()
        await asyncio.sleep(3)
        for name, chosen in (("with", readers[:1]), ("without", readers[1:])):
            seconds: list[float] = []
            for _ in range(ORDERS):
                began = time.monotonic()
                order_id = await _place(broker, person)
                seconds += [await reader.until_told(order_id) - began for reader in chosen]
                await asyncio.sleep(0.05)
            print(f"an order's first event at processes {name} the socket: {_written(seconds)}", flush=True)


async def _take_over(
    folder: Path, settings: dict[str, str], broker: ClientSession, person: Owner, *, how: signal.Signals, rounds: int
) -> None:
    seconds: list[float] = []
    gaps = lost = 0
    async with AsyncExitStack() as stack:
        fleet = Fleet(settings, folder / "log", stack)
        _, stays_url = await fleet.start()
        for _ in range(rounds):
            async with AsyncExitStack() as of_round:
                passing = Fleet(settings, folder / "log", of_round)
                ends, url = await passing.start()
                before = passing.read(url, person)
                await before.until_ready()
                await asyncio.sleep(2)
                stays = passing.read(stays_url, person)
                await stays.until_ready()
                known = await _place(broker, person)
                await before.until_told(known)
                await asyncio.sleep(1)  # its other events, too
                ends.send_signal(how)
                await ends.wait()
                ended = time.monotonic()
                missed = await _place(broker, person)
                seconds.append(await stays.until_told(missed) - ended)
                resumed = passing.read(stays_url, person, before.last_id)
                await resumed.until_told(missed)
                gaps += stays.gaps + resumed.gaps
                lost += known in resumed.told
            await asyncio.sleep(7)  # until the hub of the process that stays has gone, too
    print(
        f"after {how.name}, until an order is told again: {_written(seconds)}; {gaps} gaps, {lost} told twice",
        flush=True,
    )


async def _last_tab(folder: Path, settings: dict[str, str], broker: ClientSession, person: Owner, rounds: int) -> None:
    """Another person has stored the same keys; the watcher at the process with the socket leaves."""
    seconds: list[float] = []
    async with AsyncExitStack() as stack:
        fleet = Fleet(settings, folder / "log", stack)
        urls = [(await fleet.start())[1] for _ in range(2)]
        for number in range(rounds):
            first, second = urls[number % 2], urls[1 - number % 2]
            async with AsyncExitStack() as of_round:
                tabs = Fleet(settings, folder / "log", of_round)
                async with AsyncExitStack() as of_tab:
                    tab = Fleet(settings, folder / "log", of_tab)
                    leaves = tab.read(first, person)
                    await leaves.until_ready()
                    await asyncio.sleep(2)
                    stays = tabs.read(second, person)
                    await stays.until_ready()
                slowest = 0.0
                until = time.monotonic() + 9  # the hub lingers for five seconds
                while time.monotonic() < until:
                    began = time.monotonic()
                    order_id = await _place(broker, person)
                    slowest = max(slowest, await stays.until_told(order_id) - began)
                    await asyncio.sleep(0.1)
                seconds.append(slowest)
            await asyncio.sleep(7)
    print(f"slowest event after the last tab at the process with the socket: {_written(seconds)}", flush=True)


async def _lost_host(folder: Path, settings: dict[str, str], broker: ClientSession, person: Owner) -> None:
    async with AsyncExitStack() as stack:
        fleet = Fleet(settings, folder / "log", stack)
        lost, lost_url = await fleet.start()
        _, url = await fleet.start()
        taken = {"key_id": person.key_ids[0], "times": 1, "stream": {"slot_held_ms": int(1000 * TAKEN_SECONDS)}}
        async with broker.put("_faults", json={"faults": [taken]}) as answer:
            assert answer.status == 200, await answer.text()
        await fleet.read(lost_url, person).until_ready()
        await asyncio.sleep(2)
        stays = fleet.read(url, person)
        await stays.until_ready()
        lost.kill()
        ended = time.monotonic()
        late: list[float] = []
        while late[-5:] != [*filter(AT_ONCE_SECONDS.__gt__, late[-5:])] or len(late) < 5:
            began = time.monotonic()
            late.append(await stays.until_told(await _place(broker, person)) - began)
            await asyncio.sleep(0.5)
        print(f"after the loss of a host, until orders are told at once again: {time.monotonic() - ended:.0f} s")
        print(f"  the first order until it was told: {late[0]:.1f} s; those after it: {_written(late[1:])}", flush=True)
        async with broker.delete("_faults"):
            pass


async def _place(broker: ClientSession, person: Owner) -> str:
    (key_id,) = person.key_ids
    headers = {"APCA-API-KEY-ID": key_id, "APCA-API-SECRET-KEY": secret_of(key_id)}
    ticket = {"symbol": "BTC/USD", "qty": "0.0001", "side": "buy", "type": "limit", "limit_price": "1000"}
    async with broker.post("paper/v2/orders", json={**ticket, "time_in_force": "gtc"}, headers=headers) as answer:
        order = await answer.json()
    assert answer.status == 200, order
    async with broker.delete(f"paper/v2/orders/{order['id']}", headers=headers):
        return order["id"]


def _written(seconds: list[float]) -> str:
    ordered = sorted(seconds)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    return f"p50 {1000 * statistics.median(ordered):.0f} ms, p99 {1000 * p99:.0f} ms of {len(ordered)}"


def main() -> None:
    processes, rounds = [int(argument) for argument in sys.argv[1:] + ["3", "10"][len(sys.argv) - 1 :]]
    with tempfile.TemporaryDirectory(prefix="corral-sharing-") as folder:
        Path(folder).chmod(0o711)  # where we are root, the database's user has to pass
        uvloop.run(measure(Path(folder), processes, rounds))


if __name__ == "__main__":
    main()
