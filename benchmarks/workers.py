"""Shared reads with one process and with several: `python -m benchmarks.workers`. Takes two minutes.

The program itself serves, as `corral serve --workers N`, and logs to a file. All clients read one account, whose answer
is shared. One and several are measured in turn, because a machine with other work is not the same a minute later.
"""

import asyncio
import os
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median

import orjson
import uvloop

from benchmarks.accounts import AccountStore
from benchmarks.load import Job, Question, Report, Window
from benchmarks.processes import running
from benchmarks.servers import Order
from corral.credentials.keyring_check import open_vault
from corral.database.connection import Database
from corral.database.embedded.instance import embedded_postgres
from corral.database.migrate import apply_migrations

ROUNDS = 5
WORKERS = (1, 2)
CLIENTS = 64
_WINDOW = Window(warm_up=2, measured=6)
_STARTS_WITHIN_SECONDS = 120.0


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="corral-bench-") as folder:
        Path(folder).chmod(0o711)  # where we are root, the database's user has to pass
        uvloop.run(run(Path(folder)))


async def run(folder: Path) -> None:
    async with embedded_postgres(folder / "data") as embedded:
        await apply_migrations(embedded.dsn("corral_owner"))
        async with Database.open(embedded.dsn("corral_app")) as database:
            vault = await open_vault(database, folder / "data" / "keyring.json")
            question = (await AccountStore(database, vault).store_person(1)).accounts[0]
        order = Order(kind="sandbox", database_url=embedded.dsn("corral_app"), data_dir=folder / "data")
        async with running("benchmarks.servers", log=folder / "log") as sandbox:
            order = order.model_copy(update={"sandbox_url": await sandbox.ask(order.model_dump_json())})
            await _compare(order, question, folder)


async def _compare(order: Order, question: Question, folder: Path) -> None:
    rates: dict[int, list[float]] = {workers: [] for workers in WORKERS}
    for _ in range(ROUNDS):
        for workers in WORKERS:
            log = folder / f"serve-{workers}"
            async with (
                _served(order, workers, log) as (url, pid),
                running("benchmarks.load", log=folder / "log") as load,
            ):
                job = Job(url=url, server_pid=pid, clients=CLIENTS, questions=[question], window=_WINDOW)
                report = Report.model_validate_json(await load.ask(job.model_dump_json()))
            rates[workers].append(report.answers / report.server_cpu_seconds)
            _print(workers, report, log.read_bytes().splitlines())
    one, *others = (median(rates[workers]) for workers in WORKERS)
    for workers, rate in zip(WORKERS[1:], others, strict=True):
        print(f"requests a CPU second, {workers} workers beside 1: {rate / one:.2f} (medians {rate:.0f}, {one:.0f})")


def _print(workers: int, report: Report, lines: list[bytes]) -> None:
    by_worker = Counter(line.get("worker", 1) for line in map(orjson.loads, lines) if line["event"] == "request")
    print(
        f"{workers}: {report.per_second:.0f} a second, {report.answers / report.server_cpu_seconds:.0f} a CPU second, "
        f"p50 {report.p50_ms:.1f} ms, p99 {report.p99_ms:.1f} ms, {report.errors} errors, by worker "
        + " ".join(f"{by_worker[worker] / by_worker.total():.0%}" for worker in sorted(by_worker)),
        flush=True,
    )


@asynccontextmanager
async def _served(order: Order, workers: int, log: Path) -> AsyncGenerator[tuple[str, int]]:
    """The program's address and process id."""
    settings = {
        "DATABASE_URL": order.database_url,
        "DATA_DIR": str(order.data_dir),
        "ALPACA_PAPER_URL": f"{order.sandbox_url}/paper",
        "ALPACA_LIVE_URL": f"{order.sandbox_url}/live",
        "ALPACA_DATA_URL": order.sandbox_url,
        "LOG_FORMAT": "json",
        "DRAIN_SECONDS": "0",
    }
    command = (sys.executable, "-m", "corral", "serve", "--workers", str(workers), "--port", "0")
    with log.open("wb") as stream:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=stream,
            env=_environment() | {f"CORRAL_{name}": value for name, value in settings.items()},
        )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(_STARTS_WITHIN_SECONDS):
            said = await process.stdout.readuntil(b" listens on ") and await process.stdout.readline()
        yield said.decode().strip(), process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        await process.wait()


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.upper().startswith("CORRAL_")}


if __name__ == "__main__":
    main()
