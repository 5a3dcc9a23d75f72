"""PgBouncer before PostgreSQL: in session mode all is as without it, and in transaction mode nothing starts."""

import asyncio
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from corral.database.connection import Database, DatabaseRefused, open_owner_connection
from corral.database.selfcheck import attempt_crossing, find_weaknesses
from corral.identity.access_watch import AccessHorizon
from tests.journeys.clusters import ExternalPostgres
from tests.journeys.program import PATIENCE, corral
from tests.machine import PGBOUNCER, SYSTEM_PROGRAMS

pytestmark = PGBOUNCER.mark


@asynccontextmanager
async def pooler(postgres: ExternalPostgres, folder: Path, mode: str, **settings: object) -> AsyncGenerator[Path]:
    """A PgBouncer on a socket, run by the cluster's user; yields the socket's folder."""
    program = shutil.which("pgbouncer", path=SYSTEM_PROGRAMS)
    assert program
    settings_file = _written(postgres, folder, {"pool_mode": mode, **settings})
    process = await asyncio.create_subprocess_exec(
        *(program, "--quiet", str(settings_file)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        user=postgres.user.uid,
        group=postgres.user.gid,
    )
    try:
        async with asyncio.timeout(PATIENCE):
            while not await asyncio.to_thread((folder / ".s.PGSQL.6432").exists):
                assert process.returncode is None
                await asyncio.sleep(0.02)
        yield folder
    finally:
        process.kill()
        await process.wait()


def _written(postgres: ExternalPostgres, folder: Path, settings: dict[str, object]) -> Path:
    folder.mkdir(mode=0o711)
    postgres.user.take(folder)
    folder.chmod(0o711)
    usual = {
        "listen_addr": "",
        "listen_port": 6432,
        "unix_socket_dir": folder,
        "auth_type": "trust",
        "auth_file": folder / "users.txt",
    }
    lines = "".join(f"{name} = {value}\n" for name, value in (usual | settings).items())
    database = f"corral = host={postgres.socket_dir} port=5432 dbname=corral"
    postgres.user.write(folder / "users.txt", '"corral_app" ""\n"corral_owner" ""\n')
    postgres.user.write(folder / "pgbouncer.ini", f"[databases]\n{database}\n[pgbouncer]\n{lines}")
    return folder / "pgbouncer.ini"


def address(socket_dir: Path, role: str, database: str = "corral") -> str:
    return f"postgresql://{role}@/{database}?host={socket_dir}&port=6432"


async def test_in_session_mode_everything_works(
    external: ExternalPostgres, folder: Path, against_sandbox: dict[str, str]
) -> None:
    async with pooler(external, folder / "pooler", "session") as socket_dir:
        app, owner = address(socket_dir, "corral_app"), address(socket_dir, "corral_owner")
        async with Database.open(app) as database, database.connection() as connection:
            assert await find_weaknesses(connection) == []
            assert await attempt_crossing(connection) == []
            for name, value in {"statement_timeout": "5s", "lock_timeout": "2s", "search_path": "pg_catalog"}.items():
                assert await connection.fetchval("SELECT current_setting($1)", name) == value
        async with Database.open(app) as database:
            horizon = AccessHorizon(database)
            assert [(await horizon.look()).users for _ in range(2)] == [None, frozenset()]
        settings = {"data_dir": folder / "data", "database_url": app, "database_owner_url": owner}
        examined = await corral("doctor", **settings, **against_sandbox)
        assert (examined.status, examined.err) == (0, ""), examined.out


@pytest.mark.parametrize("mode", ["transaction", "statement"])
async def test_in_transaction_mode_the_start_is_refused_with_the_reason(
    mode: str, external: ExternalPostgres, folder: Path
) -> None:
    reported = {"transaction": "a pooler in transaction mode", "statement": "statement pooling mode"}[mode]
    async with pooler(external, folder / "pooler", mode) as socket_dir:
        app, owner = address(socket_dir, "corral_app"), address(socket_dir, "corral_owner")
        for addresses in ({"database_url": app}, {"database_url": app, "database_owner_url": owner}):
            served, examined = await asyncio.gather(
                *(corral(command, data_dir=folder / "data", **addresses) for command in ("serve", "doctor"))
            )
            assert reported in served.only_complaint
            assert reported in examined.out
            assert "cannot connect" not in served.err + examined.out


async def test_a_transaction_pooler_with_several_idle_sessions_is_found(
    external: ExternalPostgres, folder: Path
) -> None:
    async with pooler(external, folder / "pooler", "transaction", min_pool_size=5, server_round_robin=1) as socket_dir:
        with pytest.raises(DatabaseRefused, match="transaction mode"):
            await Database.open(address(socket_dir, "corral_app")).__aenter__()
        with pytest.raises(DatabaseRefused, match="CORRAL_DATABASE_OWNER_URL points to a pooler in transaction mode"):
            await open_owner_connection(address(socket_dir, "corral_owner")).__aenter__()


async def test_a_poolers_refusal_is_reported_in_its_words(external: ExternalPostgres, folder: Path) -> None:
    async with pooler(external, folder / "pooler", "session", max_client_conn=1) as socket_dir:
        elsewhere = address(socket_dir, "corral_app", "elsewhere")
        refused = await corral("serve", data_dir=folder / "data", database_url=elsewhere)
        assert "no such database" in refused.only_complaint
        unknown = f"{address(socket_dir, 'corral_app')}&work_mem=1MB"
        refused = await corral("serve", data_dir=folder / "data", database_url=unknown)
        assert "unsupported startup parameter: work_mem" in refused.only_complaint
        assert "cannot connect" not in refused.err
