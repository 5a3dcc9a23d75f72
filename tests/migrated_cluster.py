"""A PostgreSQL cluster with the migrations applied, made once for all processes of a run.

To copy it takes a tenth of what it takes to make one. The embedded PostgreSQL is made anew where that is what a test is
about: in tests/database, in the browser's whole journey, and in the demo.
"""

import asyncio
import fcntl
import shutil
import tempfile
from pathlib import Path

import pytest

from corral.database.embedded.instance import embedded_postgres
from corral.database.migrate import apply_migrations

_FOLDER = pytest.StashKey[Path]()


def choose_folder(config: pytest.Config) -> None:
    """In the process that starts the others, which are told of it; open to pass, for the database's own user."""
    if told := getattr(config, "workerinput", {}).get("migrated_cluster"):
        config.stash[_FOLDER] = Path(told)
        return
    folder = Path(tempfile.mkdtemp(prefix="corral-test-cluster-"))
    folder.chmod(0o711)
    config.stash[_FOLDER] = folder
    config.add_cleanup(lambda: shutil.rmtree(folder))


def folder_of(config: pytest.Config) -> Path:
    return config.stash[_FOLDER]


async def copy_migrated_cluster(folder: Path, data_dir: Path, *, waits_for_the_disk: bool = True) -> None:
    """Makes the cluster in `folder` unless another process has, and `data_dir` one that has it, with nothing else.

    One that does not wait for the disk answers although other processes write gigabytes; what it was told last may be
    lost if it is killed.
    """
    with (folder / "lock").open("w") as lock:
        await asyncio.to_thread(fcntl.flock, lock, fcntl.LOCK_EX)
        if not (folder / "made").exists():
            async with embedded_postgres(folder / "first") as database:
                await apply_migrations(database.dsn("corral_owner"))
            (folder / "made").touch()
    copying = await asyncio.create_subprocess_exec("cp", "--archive", str(folder / "first" / "postgres"), str(data_dir))
    assert await copying.wait() == 0
    if not waits_for_the_disk:
        with (data_dir / "postgres" / "postgresql.auto.conf").open("a") as settings:
            settings.write("synchronous_commit = off\n")
