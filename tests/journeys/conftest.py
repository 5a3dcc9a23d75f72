import asyncio
import functools
import inspect
import shutil
import tempfile
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from corral.database.embedded.instance import EmbeddedDatabase
from corral.database.migrate import apply_migrations
from corral_sandbox import Sandbox
from tests.journeys.clusters import ExternalPostgres, external_postgres
from tests.journeys.forking import template
from tests.journeys.program import corral, free_port
from tests.migrated_cluster import copy_migrated_cluster

LONGEST = 900.0  # seconds that one journey may take before it counts as hanging, on a machine however busy


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Bounds every journey: a program that hangs fails its test, and not the run."""
    for item in items:
        if isinstance(item, pytest.Function) and item.path.is_relative_to(Path(__file__).parent):
            item.obj = _bounded(item.obj) if inspect.iscoroutinefunction(item.obj) else item.obj


def _bounded(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., Coroutine[Any, Any, None]]:
    @functools.wraps(test)
    async def bounded(**fixtures: object) -> None:
        async with asyncio.timeout(LONGEST):
            await test(**fixtures)

    return bounded


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The programs of this test are started as a shell starts them, and not forked."""
    monkeypatch.setattr(template, "is_used", False)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Empty, and open to pass: as root, the database's own user must reach it."""
    path = Path(tempfile.mkdtemp(prefix="corral-journey-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
async def first_data(run_dir: Path, migrated_cluster: Path) -> Path:
    """A data folder after its first start, with cluster, migrations and keyring, and without users."""
    first = run_dir / "first-data"
    first.mkdir(mode=0o711)
    await copy_migrated_cluster(migrated_cluster, first)
    ended = await corral("users", "list", data_dir=first)
    assert ended.status == 0, ended
    return first


@pytest.fixture
async def data(first_data: Path, folder: Path) -> Path:
    """A copy of it, which starts at once."""
    copy = folder / "data"
    process = await asyncio.create_subprocess_exec("cp", "--archive", str(first_data), str(copy))
    assert await process.wait() == 0
    return copy


@pytest.fixture
def against_sandbox(sandbox: Sandbox) -> dict[str, str]:
    """Settings that let the program ask the sandbox in place of Alpaca."""
    return {
        "alpaca_paper_url": sandbox.paper_url,
        "alpaca_live_url": sandbox.live_url,
        "alpaca_data_url": sandbox.url,
        "cache_seconds": "0",
        "upstream_timeout_seconds": "20",
        "log_format": "json",
        "port": str(free_port()),
    }


@pytest.fixture
def on_the_runs_database(postgres: EmbeddedDatabase, run_dir: Path) -> dict[str, str]:
    """Settings that let the program use the database of all tests, which runs already."""
    return {
        "data_dir": str(run_dir),
        "database_url": postgres.dsn("corral_app"),
        "database_owner_url": postgres.dsn("corral_owner"),
    }


@pytest.fixture(scope="session")
async def oldest_postgres() -> AsyncGenerator[ExternalPostgres]:
    """The oldest PostgreSQL that Corral works with, with a superuser to ask."""
    async with external_postgres() as postgres:
        await apply_migrations(postgres.dsn("corral_owner"))
        yield postgres


@pytest.fixture
async def external(oldest_postgres: ExternalPostgres) -> ExternalPostgres:
    """As it was after the migrations: each test has a keyring of its own."""
    # The audit trail is only added to; a superuser who switches triggers off can do anything.
    await oldest_postgres.execute(
        "SET session_replication_role = replica; TRUNCATE corral.instance, corral.users CASCADE"
    )
    return oldest_postgres
