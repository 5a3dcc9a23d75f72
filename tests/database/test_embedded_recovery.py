"""The embedded database after a kill -9 or a power cut."""

import asyncio
import os
import pwd
import shutil
import signal
from pathlib import Path

import psutil
import pytest

from corral.database.embedded import files, os_user
from corral.database.embedded.errors import EmbeddedPostgresError
from corral.database.embedded.instance import embedded_postgres
from tests.database.processes import (
    Neighbour,
    ask,
    count_entries,
    postgres_runs,
    postmaster_of,
    sleeping_as,
)
from tests.machine import ROOT


async def test_acknowledged_writes_survive_a_kill_9_of_corral(data_dir: Path, neighbour: Neighbour) -> None:
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


async def test_the_next_process_restarts_a_killed_server(data_dir: Path, neighbour: Neighbour) -> None:
    neighbour.says()
    os.kill(postmaster_of(data_dir), signal.SIGKILL)
    async with embedded_postgres(data_dir) as database:
        assert await count_entries(database) == 1


async def test_a_pid_file_with_another_process_does_not_prevent_the_start(data_dir: Path) -> None:
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


async def test_a_partly_created_cluster_is_removed(data_dir: Path) -> None:
    half = files.opened_data_folder(data_dir) / "postgres.new-killed"
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n")
    async with embedded_postgres(data_dir) as database:
        assert await ask(database, "SELECT 1") == 1
    assert not half.exists()


@pytest.mark.parametrize("moment", [0.3, 0.5, 0.7])
async def test_after_a_kill_during_the_first_start_the_next_start_succeeds(data_dir: Path, moment: float) -> None:
    killed = Neighbour(data_dir)
    await asyncio.sleep(moment)
    killed.is_killed()
    async with embedded_postgres(data_dir) as database:
        assert await ask(database, "SELECT 1") == 1


async def test_foreign_files_are_not_treated_as_a_cluster_or_removed(data_dir: Path) -> None:
    precious = files.opened_data_folder(data_dir) / "postgres" / "precious"
    precious.parent.mkdir()
    precious.touch()
    if ROOT.is_here:
        shutil.chown(precious.parent, pwd.getpwnam(os_user.SYSTEM_USER).pw_uid)
    with pytest.raises(EmbeddedPostgresError, match="contains files but no PostgreSQL cluster"):
        async with embedded_postgres(data_dir):
            pass
    assert precious.exists()
