"""A real service over real HTTP: one PostgreSQL and one sandbox for the run, new users for each test."""

import asyncio
import gc
import logging
import shutil
import socket
import tempfile
from collections.abc import AsyncGenerator, Callable, Generator, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, cast

import pytest
from aiohttp import ClientSession
from argon2 import PasswordHasher
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from platformdirs import user_data_path

from corral.app import create_app, open_state
from corral.database.embedded.instance import EmbeddedDatabase, embedded_postgres
from corral.edge.server import reserve_port, serve_http
from corral.identity import passwords
from corral.logs import configure_logging
from corral.serving import Services
from corral.settings import Settings
from corral.storage import DatabaseAddresses
from corral_sandbox import Sandbox, serve_sandbox
from tests.journeys.forking import template
from tests.machine import refused_skips, skip_summary
from tests.migrated_cluster import choose_folder, copy_migrated_cluster, folder_of
from tests.patient_loop import PatientLoop
from tests.people import Person, make_person
from tests.scheduling import GroupedByFile, place_in_line
from tests.turned_clock import start_of_sandboxes, turn_clock

if TYPE_CHECKING:
    from xdist.remote import Producer
    from xdist.workermanage import WorkerController

# Time is not what these laws are about, and a busy machine must not break them.
hypothesis_settings.register_profile("corral", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("corral")

StartService = Callable[..., AbstractAsyncContextManager["Service"]]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--at", metavar="MOMENT", help="turn the clocks of what knows a calendar to this moment")
    parser.addoption("--race-rounds", type=int, default=5, help="rounds of each race of tests/identity/test_races.py")
    parser.addoption("--fuzz-minutes", type=float, help="how long tests/sandbox/test_fuzzing.py asks the sandbox")
    parser.addoption("--random-minutes", type=float, help="how long tests/journeys/test_random_processes.py goes on")
    parser.addoption("--browser", choices=("chromium", "firefox"), default="chromium", help="which one shows the pages")
    parser.addoption("--every-moment", action="store_true", help="try all moments of tests/sandbox/test_any_day.py")


def pytest_configure(config: pytest.Config) -> None:
    gc.disable()  # nothing that is imported and collected is garbage
    turn_clock(config.getoption("--at"))
    choose_folder(config)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: "WorkerController") -> None:
    node.workerinput["migrated_cluster"] = str(folder_of(node.config))  # pyright: ignore[reportUnknownMemberType]


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"patient": PatientLoop}


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.write_line(skip_summary(_reasons_of_skips(terminalreporter)))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fails the run if a test was skipped for any other reason than a `Need`, or, in CI, for a missing tool."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None:
        return  # in a worker: its controller sees all of them
    for reason in refused_skips(_reasons_of_skips(reporter)):
        reporter.write_line(f"A test was skipped that must run here: it needs {reason}", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _reasons_of_skips(reporter: pytest.TerminalReporter) -> list[str]:
    skips: list[pytest.TestReport] = reporter.stats.get("skipped", [])
    return [str(skip.longrepr[2]).removeprefix("Skipped: ") for skip in skips if isinstance(skip.longrepr, tuple)]


class Service:
    """One Corral under test, listening on a free port."""

    def __init__(self, services: Services, url: str) -> None:
        self.services = services
        self.url = url
        self.resources = services.state["resources"]


def pytest_collection_finish() -> None:
    """Thousands of tests are kept until the end: each search for garbage would go through all of them."""
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=place_in_line)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: "Producer") -> GroupedByFile:
    return GroupedByFile(config, log)


@pytest.fixture(scope="session", autouse=True)
def nothing_left_behind() -> Generator[None]:
    """Tests write only into their own folders, not into the default data folder of a program."""
    before = _data_of_corral()
    yield
    assert _data_of_corral() <= before


@pytest.fixture(scope="session", autouse=True)
def forked_programs() -> Generator[None]:
    yield
    template.end()


def _data_of_corral() -> set[Path]:
    places = (Path("/"), Path.home(), user_data_path(), Path("/var/lib"))
    return {found for place in places for found in place.glob("*corral*")}


@pytest.fixture(scope="session")
def log_file(run_dir: Path) -> Path:
    """All that the run logs, as JSON lines; at the end no secret may be in it."""
    return run_dir / "test.log"


@pytest.fixture(scope="session", autouse=True)
def logs(log_file: Path) -> Generator[None]:
    with log_file.open("wb", buffering=0) as stream:
        configure_logging("json", cast("BinaryIO", stream))
        yield
        logging.getLogger().handlers.clear()


@pytest.fixture(scope="module", autouse=True)
def cheap_passwords() -> Generator[None]:
    """Hashing as Corral does it takes a sixth of a second each time, and 64 MiB.

    `tests/identity/test_passwords.py` and the programs that `tests/journeys` start hash as in production.
    """
    hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "_HASHER", hasher)
        patch.setattr(passwords, "_NOBODY", hasher.hash("nobody's"))
        yield


@pytest.fixture(scope="session")
def run_dir() -> Generator[Path]:
    """In the system's temporary folder and open to pass: as root, the database's own user must reach it."""
    folder = Path(tempfile.mkdtemp(prefix="corral-test-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
async def postgres(run_dir: Path, migrated_cluster: Path) -> AsyncGenerator[EmbeddedDatabase]:
    await copy_migrated_cluster(migrated_cluster, run_dir, waits_for_the_disk=False)
    async with embedded_postgres(run_dir) as database:
        yield database


@pytest.fixture(scope="session")
def migrated_cluster(pytestconfig: pytest.Config) -> Path:
    """The folder for `copy_migrated_cluster`."""
    return folder_of(pytestconfig)


@pytest.fixture(scope="session")
async def sandbox() -> AsyncGenerator[Sandbox]:
    async with serve_sandbox(port=0, start=start_of_sandboxes(), characters=True) as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def start_service(postgres: EmbeddedDatabase, sandbox: Sandbox, run_dir: Path) -> StartService:
    """Starts further services on the same database: `async with start_service(cache_seconds=0) as other`.

    With `sandbox_pages=True` its pages are those of `corral demo`.
    """
    return service_starter(postgres, sandbox, run_dir)


def service_starter(postgres: EmbeddedDatabase, sandbox: Sandbox, data_dir: Path) -> StartService:
    addresses = DatabaseAddresses(app=postgres.dsn("corral_app"), owner=postgres.dsn("corral_owner"))

    @asynccontextmanager
    async def start(*, sandbox_pages: bool = False, **settings: object) -> AsyncGenerator[Service]:
        listener = reserve_port("127.0.0.1", 0)
        usual: dict[str, object] = {
            "port": 0,
            "public_url": f"http://127.0.0.1:{listener.getsockname()[1]}",
            "data_dir": data_dir,
            "alpaca_paper_url": sandbox.paper_url,
            "alpaca_live_url": sandbox.live_url,
            "alpaca_data_url": sandbox.url,
            "upstream_timeout_seconds": 1.0,
            "recheck_seconds": 0,  # at its own moment it writes to the rows of tests that are over
        }
        chosen = Settings.model_validate(usual | settings)
        async with open_state(chosen, addresses.app, sandbox=sandbox_pages) as state, AsyncExitStack() as stack:
            services = Services(chosen, addresses, state)
            yield Service(services, await stack.enter_async_context(listening(services, listener)))

    return start


@asynccontextmanager
async def listening(services: Services, listener: socket.socket | None = None) -> AsyncGenerator[str]:
    stop, started = asyncio.Event(), asyncio.get_running_loop().create_future()
    serving = asyncio.ensure_future(
        serve_http(
            create_app(services.settings, services.state),
            listener=listener or reserve_port("127.0.0.1", 0),
            ready=started.set_result,
            grace_seconds=5,
            stop=stop,
        )
    )
    try:
        yield await started
    finally:
        stop.set()
        await serving


@pytest.fixture(scope="session")
async def service(start_service: StartService) -> AsyncGenerator[Service]:
    async with start_service() as service:
        yield service


@pytest.fixture
async def alice(service: Service) -> AsyncGenerator[Person]:
    async with make_person(service, "alice") as person:
        yield person


@pytest.fixture
async def bob(service: Service) -> AsyncGenerator[Person]:
    async with make_person(service, "bob") as person:
        yield person


@pytest.fixture
async def anonymous(service: Service) -> AsyncGenerator[ClientSession]:
    """A client without authentication."""
    async with ClientSession(service.url) as client:
        yield client


@pytest.fixture
async def faults(sandbox: Sandbox) -> AsyncGenerator["Faults"]:
    async with ClientSession(sandbox.url) as client:
        faults = Faults(client)
        yield faults
        await faults.clear()


# A history to draw, as a fault. That of the sandbox has only one point while a trading day is less than 15 minutes old.
MORNING: Final[dict[str, object]] = {
    "path": "/v2/account/portfolio/history",
    "status": 200,
    "body_text": '{"timestamp":[1795532400,1795533300,1795534200,1795535100],"equity":[100,101.5,99,103],'
    '"profit_loss":[0,1.5,-1,3],"profit_loss_pct":[0,0.015,-0.01,0.03],"base_value":100,"timeframe":"15Min"}',
    "content_type": "application/json",
}


class Faults:
    """Alpaca misbehaving, as the sandbox does it on demand. Every fault is for one key, so tests stay apart."""

    def __init__(self, client: ClientSession) -> None:
        self._client = client

    async def set(self, key_id: str, **fault: object) -> None:
        await self.set_all([{"key_id": key_id, **fault}])

    async def set_all(self, faults: Iterable[dict[str, object]]) -> None:
        async with self._client.put("/_faults", json={"faults": list(faults)}) as answer:
            assert answer.status == 200, await answer.text()

    async def clear(self) -> None:
        async with self._client.delete("/_faults") as answer:
            assert answer.status < 300

    async def calls_of(self, key_id: str, ending: str = "") -> int:
        """How many requests the sandbox has received with this key, for paths with this ending."""
        async with self._client.get("/_requests") as answer:
            counts = await answer.json()
        paths = counts["key_ids"].get(key_id, {}).get("paths", {})
        return sum(count for path, count in paths.items() if path.endswith(ending))
