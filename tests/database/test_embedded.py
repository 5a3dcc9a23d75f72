"""The embedded database in peace: who may do what, and how several processes share it."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import asyncpg
import psutil
import pytest

from corral.database.embedded import files
from corral.database.embedded.errors import DataFolderInUse, EmbeddedPostgresError
from corral.database.embedded.instance import EmbeddedDatabase, embedded_postgres, exclusive_serve_lock
from tests.database.processes import (
    CONNECTS,
    SOURCE,
    Neighbour,
    ask,
    connect,
    count_entries,
    postgres_runs,
    postmaster_of,
    run_as,
    until_it_exists,
)
from tests.machine import ROOT


async def test_the_first_start_makes_a_database_that_the_next_start_finds_again(data_dir: Path) -> None:
    async with embedded_postgres(data_dir) as database:
        await ask(database, "CREATE TABLE kept AS SELECT 'yes' AS really", "corral_owner")
        server = postmaster_of(data_dir)
    assert not postgres_runs(server)
    async with embedded_postgres(data_dir) as database:
        assert await ask(database, "SELECT really FROM kept", "corral_owner") == "yes"


async def test_the_two_roles_have_only_the_necessary_privileges(everyday: EmbeddedDatabase) -> None:
    connection = await connect(everyday)
    roles = await connection.fetch("SELECT * FROM pg_roles WHERE rolname LIKE 'corral%' ORDER BY rolname")
    assert [role["rolname"] for role in roles] == ["corral_app", "corral_owner"]
    for role in roles:
        assert role["rolcanlogin"]
        for power in ("super", "bypassrls", "createdb", "createrole", "replication", "inherit"):
            assert role[f"rol{power}"] is False, power
    limits = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
    assert [await connection.fetchval(f"SHOW {limit}") for limit in limits] == ["5s", "2s", "10s"]
    for refused in (
        "CREATE TABLE public.mine ()",
        "CREATE SCHEMA mine",
        "CREATE TEMP TABLE mine ()",
        "SET ROLE corral_owner",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(refused)
    await connection.close()


async def test_the_owner_can_create_the_schema(everyday: EmbeddedDatabase) -> None:
    await ask(everyday, "CREATE TABLE public.migrations ()", "corral_owner")
    await ask(everyday, "CREATE SCHEMA corral", "corral_owner")
    assert await ask(everyday, "SHOW data_checksums") == "on"
    assert await ask(everyday, "SHOW fsync") == "on"
    locale = "SELECT pg_encoding_to_char(encoding) || ' ' || datlocale FROM pg_database WHERE datname = 'corral'"
    assert await ask(everyday, locale) == "UTF8 C.UTF-8"


@pytest.mark.parametrize(
    ("user", "name"),
    [("postgres", "corral"), ("postgres", "postgres"), ("corral_owner", "postgres"), ("corral_app", "template1")],
)
async def test_superuser_logins_and_other_databases_are_refused(
    everyday: EmbeddedDatabase, user: str, name: str
) -> None:
    with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError, match=r"no pg_hba\.conf entry"):
        await asyncpg.connect(host=str(everyday.socket_dir), port=everyday.port, user=user, database=name)


async def test_the_server_listens_on_no_network_address(everyday: EmbeddedDatabase) -> None:
    assert psutil.Process(postmaster_of(everyday.socket_dir.parent)).net_connections("inet") == []


@ROOT.mark
async def test_another_system_user_cannot_access_the_socket(everyday: EmbeddedDatabase) -> None:
    assert await asyncio.to_thread(run_as, "nobody", CONNECTS, everyday.socket_dir) == "PermissionError"


@ROOT.mark
async def test_another_system_user_is_refused_even_with_access_to_the_socket(
    everyday: EmbeddedDatabase,
) -> None:
    everyday.socket_dir.chmod(0o755)
    (everyday.socket_dir / ".s.PGSQL.5432").chmod(0o777)
    said = await asyncio.to_thread(run_as, "nobody", CONNECTS, everyday.socket_dir)
    everyday.socket_dir.chmod(0o700)
    assert said == "InvalidAuthorizationSpecificationError"


async def test_no_statement_parameter_or_value_is_logged(everyday: EmbeddedDatabase) -> None:
    connection = await connect(everyday)
    for failing, values in (("SELECT $1::text::uuid", ("hush-hush",)), ("SELECT hush FROM hush", ())):
        with pytest.raises(asyncpg.PostgresError):
            await connection.fetch(failing, *values)
    await connection.close()
    logs = [log.read_text() for log in (everyday.socket_dir.parent / "postgres" / "log").iterdir()]
    assert any("ready to accept connections" in log for log in logs)
    assert not any("hush" in log for log in logs)


async def test_the_server_does_not_inherit_the_environment(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PGPORT", "PGOPTIONS", "LD_LIBRARY_PATH", "CORRAL_KEYRING"):
        monkeypatch.setenv(name, "1")
    async with embedded_postgres(data_dir):
        theirs = psutil.Process(postmaster_of(data_dir)).environ()
    assert not theirs.keys() & {"PGPORT", "PGOPTIONS", "LD_LIBRARY_PATH", "CORRAL_KEYRING"}


async def test_ctrl_c_does_not_reach_the_server(everyday: EmbeddedDatabase) -> None:
    assert os.getsid(postmaster_of(everyday.socket_dir.parent)) != os.getsid(0)


async def test_two_processes_share_one_server_which_the_last_one_stops(data_dir: Path) -> None:
    first, second = Neighbour(data_dir), Neighbour(data_dir)
    assert {await asyncio.to_thread(first.says), await asyncio.to_thread(second.says)} == {"1", "2"}
    server = postmaster_of(data_dir)
    async with embedded_postgres(data_dir) as database:
        first.leave()
        assert await count_entries(database) == 2
        assert postmaster_of(data_dir) == server
    assert postgres_runs(server)
    second.leave()
    assert not postgres_runs(server)


async def test_a_start_that_is_cancelled_leaves_no_server_and_no_lock(data_dir: Path) -> None:
    async def use() -> None:
        async with embedded_postgres(data_dir):
            await asyncio.sleep(60)

    starting = asyncio.create_task(use())
    await asyncio.to_thread(until_it_exists, data_dir / "start.lock")
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    with files.FolderLock(data_dir / "start.lock") as start_lock:
        assert start_lock.try_exclusive()
    assert not (data_dir / "postgres" / "postmaster.pid").exists()


async def test_waiting_for_a_hanging_start_ends(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_PATIENCE", 0.1)
    with files.FolderLock(files.opened_data_folder(data_dir) / "start.lock") as hanging:
        assert hanging.try_exclusive()
        with pytest.raises(EmbeddedPostgresError, match="starting or stopping the database"):
            async with embedded_postgres(data_dir):
                pass


def test_only_one_serves_on_a_data_folder(data_dir: Path) -> None:
    second = exclusive_serve_lock(data_dir)
    with exclusive_serve_lock(data_dir), pytest.raises(DataFolderInUse, match=rf"process {os.getpid()}\b"), second:
        pass
    with exclusive_serve_lock(data_dir):
        pass


def test_a_killed_server_does_not_keep_the_folder_locked(data_dir: Path) -> None:
    script = "import sys, time; from pathlib import Path; from corral.database.embedded.instance import *\n"
    script += "with exclusive_serve_lock(Path(sys.argv[1])): print(flush=True); time.sleep(60)"
    command = [sys.executable, "-c", script, str(data_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={"PYTHONPATH": str(SOURCE)}) as holder:
        assert holder.stdout
        holder.stdout.readline()
        with pytest.raises(DataFolderInUse, match=str(holder.pid)), exclusive_serve_lock(data_dir):
            pass
        holder.kill()
    with exclusive_serve_lock(data_dir):
        pass
