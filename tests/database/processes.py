"""Processes and people around an embedded database, for its tests."""

import os
import pwd
import subprocess
import sys
import time
from pathlib import Path
from typing import Literal

import asyncpg
import psutil

from corral.database.embedded import instance
from corral.database.embedded.instance import EmbeddedDatabase
from tests.machine import OPEN_CHECKOUT, OPEN_PYTHON, ROOT, SYSTEM_PYTHON

SOURCE = Path(instance.__file__).parents[3]
PACKAGES = Path(asyncpg.__file__).parents[1]
Role = Literal["corral_app", "corral_owner"]

# Uses the database until its standard input ends, as a short command beside a server does.
USES_IT = """
import asyncio, sys
from pathlib import Path
import asyncpg
from corral.database.embedded.errors import EmbeddedPostgresError
from corral.database.embedded.instance import embedded_postgres

async def main():
    async with embedded_postgres(Path(sys.argv[1])) as database:
        connection = await asyncpg.connect(database.dsn("corral_owner"))
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock(1)")  # two CREATE IF NOT EXISTS can collide
            await connection.execute("CREATE TABLE IF NOT EXISTS ledger (entry text)")
            await connection.execute("INSERT INTO ledger VALUES ('acknowledged')")
            entries = await connection.fetchval("SELECT count(*) FROM ledger")
        print(entries, flush=True)
        await asyncio.to_thread(sys.stdin.read)
        await connection.close()

try:
    asyncio.run(main())
except EmbeddedPostgresError as error:
    print(error)
"""


CONNECTS = """
import asyncio, sys, asyncpg
try:
    asyncio.run(asyncpg.connect(host=sys.argv[1], port=5432, user="corral_app", database="corral"))
except (OSError, asyncpg.PostgresError) as error:
    print(type(error).__name__)
else:
    print("connected")
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
        self.process.communicate("", timeout=240)

    def is_killed(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=240)


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
    while not path.exists():
        time.sleep(0.002)


def run_as(user: str | int, script: str, *arguments: Path) -> str:
    """What a small script says, run by a Python that this user can reach; the test is skipped where there is none."""
    group = pwd.getpwnam(user).pw_gid if isinstance(user, str) else user
    if not OPEN_PYTHON.is_here:
        OPEN_PYTHON.lacks()
    for needed in (SOURCE / "corral" / "secret.py", PACKAGES / "asyncpg" / "__init__.py"):
        if subprocess.run(["/usr/bin/test", "-r", needed], user=user, group=group, check=False).returncode:
            OPEN_CHECKOUT.lacks()
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
    return subprocess.Popen(["/bin/sleep", "60"], user=uid if ROOT.is_here else None)
