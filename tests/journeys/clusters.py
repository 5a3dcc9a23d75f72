"""PostgreSQL servers that Corral does not start itself: of other versions, and with a superuser to ask."""

import asyncio
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import asyncpg

from corral.database.embedded.os_user import OsUser, own_user, postgres_user
from tests.machine import POSTGRESQL_15, postgresql_of

# Corral works with 15 and later; where there is no 15, with the 16 that its dependency brings beside 18.
OLDEST_HERE = 15 if POSTGRESQL_15.is_here else 16

_SETTINGS = """
listen_addresses = ''
unix_socket_permissions = 0777
fsync = on
shared_buffers = 16MB
autovacuum = off
"""
_ROLES_AND_DATABASE = """
CREATE ROLE corral_owner LOGIN;
CREATE ROLE corral_app LOGIN;
CREATE DATABASE corral OWNER corral_owner
"""


@dataclass(frozen=True, slots=True)
class ExternalPostgres:
    socket_dir: Path
    programs: Path
    user: OsUser

    def dsn(self, role: str, database: str = "corral") -> str:
        return f"postgresql://{role}@/{database}?host={quote(str(self.socket_dir), safe='')}&port=5432"

    async def execute(self, sql: str, *, database: str = "corral") -> None:
        """As the superuser."""
        connection = await asyncpg.connect(self.dsn("postgres", database))
        try:
            for statement in filter(str.strip, sql.split(";")):
                await connection.execute(statement)
        finally:
            await connection.close()

    async def stop(self) -> None:
        await self._controlled("stop", "-m", "immediate")

    async def start(self) -> None:
        """Does nothing when it runs."""
        data = self.socket_dir / "data"
        if not (data / "postmaster.pid").exists():
            await self._controlled("start", f"--log={data / 'log'}")

    async def _controlled(self, *how: str) -> None:
        options = ("-D", self.socket_dir / "data", "--wait", "--silent")
        _checked(await asyncio.to_thread(self.user.run, self.programs / "pg_ctl", *how, *options))

    async def restart(self, how: Literal["fast", "immediate"]) -> None:
        data = self.socket_dir / "data"
        options = ("-D", data, "-m", how, "--wait", "--silent", f"--log={data / 'log'}")
        _checked(await asyncio.to_thread(self.user.run, self.programs / "pg_ctl", "restart", *options))


@asynccontextmanager
async def external_postgres(version: int = OLDEST_HERE) -> AsyncGenerator[ExternalPostgres]:
    """A cluster in a temporary folder of its own, on a socket only, with the three lines of the deployment guide."""
    installed, user = postgresql_of(version), _cluster_user()
    assert installed is not None
    folder = Path(tempfile.mkdtemp(prefix=f"corral-pg{version}-"))
    user.take(folder)
    try:
        programs = _reachable(installed, user, folder)
        await asyncio.to_thread(_start, programs, folder, user)
        try:
            postgres = ExternalPostgres(folder, programs, user)
            await postgres.execute(_ROLES_AND_DATABASE, database="postgres")
            yield postgres
        finally:
            await asyncio.to_thread(user.run, programs / "pg_ctl", "stop", "-D", folder / "data", "-m", "immediate")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _reachable(installed: Path, user: OsUser, folder: Path) -> Path:
    """The programs, or a copy of them where the installed ones lie below root's home."""
    if not user.first_barred(installed / "postgres"):
        return installed
    wheel = installed.parents[1]
    for part in (wheel / installed.parent.name, wheel.with_name(f"{wheel.name}.libs")):
        shutil.copytree(part, folder / part.relative_to(wheel.parent))
    return folder / installed.relative_to(wheel.parent)


def _cluster_user() -> OsUser:
    if os.geteuid() != 0:
        return own_user()
    try:
        entry = pwd.getpwnam("postgres")
    except KeyError:
        return postgres_user()
    return OsUser(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _start(programs: Path, folder: Path, user: OsUser) -> None:
    folder.chmod(0o711)
    data = folder / "data"
    _checked(user.run(programs / "initdb", "-D", data, "-U", "postgres", "--auth=trust", "--no-sync", "-E", "UTF8"))
    user.write(data / "postgresql.auto.conf", f"{_SETTINGS}unix_socket_directories = '{folder}'\n")
    _checked(user.run(programs / "pg_ctl", "start", "-D", data, "--wait", "--silent", f"--log={data / 'log'}"))


def _checked(ended: subprocess.CompletedProcess[str]) -> None:
    assert ended.returncode == 0, ended.stderr
