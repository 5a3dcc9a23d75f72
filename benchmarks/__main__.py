"""One run: `python -m benchmarks`. Takes nine minutes; a figure is not a test, so none of them fails it."""

import asyncio
import signal
import tempfile
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import uvloop
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from benchmarks.accounts import Fixture, Viewer, store_accounts
from benchmarks.audit import AuditFigures, measure_audit
from benchmarks.backup import measure_backup
from benchmarks.cards import CardFigures, cards_job, read_account_page, silent_account, warm_page, weigh
from benchmarks.gateway import (
    LATENCIES,
    GatewayFigures,
    GatewayLoad,
    Program,
    commit_steadily,
    most_reads_job,
    open_positions,
    orders_job,
    reads_job,
    store_programs,
)
from benchmarks.holdings import HoldingsFigures, fill_accounts, holdings_job, warm_holdings
from benchmarks.load import Job, Question, Report
from benchmarks.memory import extra_memory
from benchmarks.overview import OverviewFigures, page_job
from benchmarks.processes import Child, running
from benchmarks.report import Figures, print_figures
from benchmarks.sandbox import SANDBOX_LOADS, SandboxFigures, measure_work
from benchmarks.scripts import script_bytes
from benchmarks.sdk_loop import Rounds
from benchmarks.servers import Kind, Order
from benchmarks.steady import Comparison, SteadyJob
from benchmarks.streams import StreamFigures, measure_streams
from benchmarks.trade_sockets import SocketFigures, measure_sockets
from benchmarks.variants import VARIANTS, Variant, questions_of
from corral.credentials.keyring_check import open_vault
from corral.database.connection import Database
from corral.database.embedded.instance import embedded_postgres
from corral.database.migrate import apply_migrations
from corral.logs import configure_logging

_WIDTH = 120  # the table's, also where the terminal is narrower or there is none


def main() -> None:
    console = Console(width=max(_WIDTH, Console().width))
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with suppress(asyncio.CancelledError), tempfile.TemporaryDirectory(prefix="corral-bench-") as folder:
        Path(folder).chmod(0o711)  # where we are root, the database's user has to pass
        with Progress(*columns, console=console, transient=True, refresh_per_second=2) as progress:
            figures = uvloop.run(run(Path(folder), progress))
        print_figures(console, figures)


async def run(folder: Path, progress: Progress) -> Figures:
    """Ends in order on SIGINT and SIGTERM, too: with CancelledError, all processes ended."""
    work = asyncio.current_task()
    assert work is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, work.cancel)
    step = progress.add_task("PostgreSQL, 1,421 accounts", total=len(VARIANTS) + 11)
    log = folder / "log"
    with log.open("ab") as stream:
        configure_logging("json", stream)
        async with opened_bench(folder, log) as bench:
            loads: dict[str, Report] = {}
            for key, variant in VARIANTS.items():
                progress.update(step, description=f"{variant.title}, {variant.clients} clients", advance=1)
                loads[key] = await bench.measure(variant)
            progress.update(step, description="overview of fifty accounts", advance=1)
            overview = await bench.measure_overview()
            progress.update(step, description="home of thirty accounts", advance=1)
            cards = await bench.measure_cards()
            progress.update(step, description="holdings of thirty accounts", advance=1)
            holdings = await bench.measure_holdings()
            progress.update(step, description="two thousand streams", advance=1)
            streams = await bench.measure_streams()
            progress.update(step, description="five hundred sockets of grants", advance=1)
            sockets = await bench.measure_sockets()
            progress.update(step, description="memory of idle accounts", advance=1)
            memory = await bench.measure_memory()
            progress.update(step, description="the audit trail", advance=1)
            audit = await bench.measure_audit()
            progress.update(step, description="the gateway", advance=1)
            gateway = await bench.measure_gateway()
            progress.update(step, description="the sandbox", advance=1)
            sandbox = await bench.measure_sandbox()
            progress.update(step, description="backup and restore of 10,000 accounts", advance=1)
            backup = await measure_backup(folder)
            return Figures(loads, overview, cards, holdings, streams, sockets, memory, audit, gateway, sandbox, backup)


@asynccontextmanager
async def opened_bench(folder: Path, log: Path) -> AsyncGenerator["Bench"]:
    """PostgreSQL with the accounts, and the sandbox."""
    data_dir = folder / "data"
    async with embedded_postgres(data_dir) as embedded:
        await apply_migrations(embedded.dsn("corral_owner"))
        async with Database.open(embedded.dsn("corral_app")) as database:
            fixture = await store_accounts(database, await open_vault(database, data_dir / "keyring.json"))
        order = Order(kind="sandbox", database_url=embedded.dsn("corral_app"), data_dir=data_dir)
        async with _started(order, log) as sandbox:
            yield Bench(
                fixture, order.model_copy(update={"sandbox_url": sandbox.url}), log, embedded.dsn("corral_owner")
            )


@dataclass(frozen=True, slots=True)
class _Server:
    child: Child
    url: str


@asynccontextmanager
async def _started(order: Order, log: Path) -> AsyncGenerator[_Server]:
    async with running("benchmarks.servers", log=log) as child:
        yield _Server(child, await child.ask(order.model_dump_json()))


@dataclass(frozen=True, slots=True)
class Bench:
    """`order` is any server's but for its kind."""

    fixture: Fixture
    order: Order
    log: Path
    owner_url: str

    async def measure(self, variant: Variant) -> Report:
        async with self._server(variant.kind, variant.cache_seconds) as server:
            return await self._load(
                Job(
                    url=server.url,
                    server_pid=server.child.pid,
                    clients=variant.clients,
                    questions=questions_of(variant, self.fixture),
                    window=variant.window,
                    fresh_within_seconds=variant.fresh_within_seconds,
                )
            )

    async def measure_overview(self) -> OverviewFigures:
        async with self._server("corral", cache_seconds=0) as server:
            page = await self._load(page_job(self.fixture.reader, url=server.url, server_pid=server.child.pid))
        rounds = Rounds(paper_url=f"{self.order.sandbox_url}/paper", key_ids=self.fixture.reader.key_ids)
        async with running("benchmarks.sdk_loop", log=self.log) as loop:
            return OverviewFigures(page, float(await loop.ask(rounds.model_dump_json())))

    async def measure_cards(self) -> CardFigures:
        async with self._server("corral", cache_seconds=60) as server:
            page = await warm_page(self.fixture.viewer, url=server.url)
            account_page = await read_account_page(self.fixture.viewer, page, url=server.url)
            warm = await self._load_cards(self.fixture.viewer, server)
        patient = self.fixture.patient
        async with (
            self._server("corral", cache_seconds=60) as server,
            silent_account(self.order.sandbox_url, patient.owner.key_ids[0]),
        ):
            await warm_page(patient, url=server.url, waiting=1)
            waiting = await self._load_cards(patient, server)
        return CardFigures(warm, waiting, weigh(page), script_bytes(account_page))

    async def measure_holdings(self) -> HoldingsFigures:
        holder = self.fixture.holder
        await fill_accounts(holder, self.order.sandbox_url)
        async with self._server("corral", cache_seconds=60) as server:
            await warm_holdings(holder, url=server.url)
            job = holdings_job(holder, url=server.url, server_pid=server.child.pid)
            return HoldingsFigures(await self._load(job))

    async def _load_cards(self, viewer: Viewer, server: _Server) -> Report:
        return await self._load(cards_job(viewer, url=server.url, server_pid=server.child.pid))

    async def measure_streams(self) -> StreamFigures:
        async with (
            self._server("corral", cache_seconds=1) as server,
            running("benchmarks.listening", log=self.log) as listener,
        ):

            async def settled_memory() -> int:
                return int(await server.child.ask("memory"))

            return await measure_streams(
                self.fixture.listeners,
                url=server.url,
                sandbox_url=self.order.sandbox_url,
                listener=listener,
                settled_memory=settled_memory,
            )

    async def measure_sockets(self) -> SocketFigures:
        async with (
            self._server("corral", cache_seconds=1) as server,
            running("benchmarks.trade_sockets", log=self.log) as clients,
        ):

            async def settled_memory() -> int:
                return int(await server.child.ask("memory"))

            return await measure_sockets(
                self.fixture.lender,
                url=server.url,
                sandbox_url=self.order.sandbox_url,
                clients=clients,
                settled_memory=settled_memory,
            )

    async def measure_memory(self) -> int:
        async with self._server("corral", cache_seconds=1) as server:

            async def ask_each(questions: list[Question]) -> None:
                job = Job(url=server.url, server_pid=server.child.pid, clients=64, questions=questions)
                report = await self._load(job)
                assert report.answers == len(questions), "an account that was not answered says nothing about memory"

            async def settled_memory() -> int:
                return int(await server.child.ask("memory"))

            return await extra_memory(self.fixture, ask_each, settled_memory)

    async def measure_audit(self) -> AuditFigures:
        async with Database.open(self.order.database_url) as database:
            vault = await open_vault(database, self.order.data_dir / "keyring.json")
            return await measure_audit(database, vault, self.owner_url)

    async def measure_gateway(self) -> GatewayFigures:
        async with Database.open(self.order.database_url) as database:
            vault = await open_vault(database, self.order.data_dir / "keyring.json")
            programs = await store_programs(database, vault, self.fixture.people)
            commits = await commit_steadily(database, programs)
        loads = {name: await self._load_gateway(programs, latency) for name, latency in LATENCIES.items()}
        return GatewayFigures(loads, commits)

    async def _load_gateway(self, programs: list[Program], latency_seconds: float) -> GatewayLoad:
        plain = self.order.model_copy(update={"kind": "plain_sandbox", "latency_seconds": latency_seconds})
        async with _started(plain, self.log) as sandbox:
            await open_positions(programs, sandbox.url)
            order = self.order.model_copy(update={"kind": "corral", "sandbox_url": sandbox.url})
            async with _started(order, self.log) as server:
                pid, paper_url = server.child.pid, sandbox.url
                reads = reads_job(programs, url=server.url, sandbox_url=paper_url, server_pid=pid)
                orders = orders_job(programs, url=server.url, sandbox_url=paper_url, server_pid=pid)
                most = most_reads_job(programs, url=server.url, server_pid=pid)
                return GatewayLoad(await self._compare(reads), await self._compare(orders), await self._load(most))

    async def _compare(self, job: SteadyJob) -> Comparison:
        async with running("benchmarks.steady", log=self.log) as clients:
            return Comparison.model_validate_json(await clients.ask(job.model_dump_json()))

    async def measure_sandbox(self) -> SandboxFigures:
        loads: dict[str, Report] = {}
        for name, load in SANDBOX_LOADS.items():
            async with self._server(load.kind) as server:
                loads[name] = await self._load(load.job(url=server.url, server_pid=server.child.pid))
        async with self._server("plain_sandbox", speed=0) as server:
            return SandboxFigures(loads, await measure_work(server.url))

    def _server(self, kind: Kind, cache_seconds: float = 0, *, speed: int = 1) -> AbstractAsyncContextManager[_Server]:
        order = self.order.model_copy(update={"kind": kind, "cache_seconds": cache_seconds, "speed": speed})
        return _started(order, self.log)

    async def _load(self, job: Job) -> Report:
        async with running("benchmarks.load", log=self.log) as clients:
            return Report.model_validate_json(await clients.ask(job.model_dump_json()))


if __name__ == "__main__":
    main()
