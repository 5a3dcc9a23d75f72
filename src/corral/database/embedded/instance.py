"""Corral's embedded PostgreSQL, used unless one is configured: started by its first process, stopped by the last.

It protects tenants from bugs in Corral like an external server. It does not protect from code that runs as the same
system user, who owns the cluster's files or connects as its owner.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeVar
from urllib.parse import quote

from corral.database.embedded.binaries import postgres_programs
from corral.database.embedded.cluster import PORT, Cluster, remove_unfinished
from corral.database.embedded.errors import DataFolderInUse, EmbeddedPostgresError
from corral.database.embedded.files import FolderLock, exclusive_serve_lock, folder_refusal, opened_data_folder
from corral.database.embedded.os_user import own_user, postgres_user
from corral.database.embedded.replacement import STAGING, finish_replacement, report_finished

__all__ = ["DataFolderInUse", "EmbeddedDatabase", "EmbeddedPostgresError", "embedded_postgres", "exclusive_serve_lock"]

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class EmbeddedDatabase:
    """Where the running server listens; for asyncpg, `host=str(socket_dir)`. There is no password (peer)."""

    socket_dir: Path
    port: int

    def dsn(self, role: Literal["corral_app", "corral_owner"]) -> str:
        return f"postgresql://{role}@/corral?host={quote(str(self.socket_dir), safe='')}&port={self.port}"


@asynccontextmanager
async def embedded_postgres(data_dir: Path) -> AsyncGenerator[EmbeddedDatabase]:
    """Runs the database in `data_dir` as long as at least one process uses it. Creates it at the first start.

    Raises:
        EmbeddedPostgresError: it cannot be started. One line.
    """
    use = _Use(data_dir)
    try:
        yield await to_its_end(use.begin)
    finally:
        await to_its_end(use.end)


async def to_its_end(work: Callable[[], _Result]) -> _Result:
    """Runs in a thread. A cancellation waits for its end, so that no server is left partly started or stopped."""
    running = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.gather(running, return_exceptions=True)
        raise


class _Use:
    """One process's use of the server.

    `use.lock` is held shared during use: a process that gets it exclusively is the only one.
    `start.lock` is held while that is checked and acted upon.
    """

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._cluster: Cluster | None = None
        self._use_lock: FolderLock | None = None

    def begin(self) -> EmbeddedDatabase:
        try:
            return self._begin(opened_data_folder(self._data_dir))
        except OSError as error:
            raise folder_refusal(self._data_dir, error) from error

    def _begin(self, data_dir: Path) -> EmbeddedDatabase:
        with FolderLock(data_dir / "start.lock") as start_lock:
            start_lock.wait_exclusive()
            self._cluster = cluster = cluster_of(data_dir)
            self._use_lock = FolderLock(data_dir / "use.lock")
            socket_dir = None if self._use_lock.try_exclusive() else cluster.listening_in()
            if socket_dir is None:
                socket_dir = _started_afresh(cluster)
            self._use_lock.share()
            return EmbeddedDatabase(socket_dir, PORT)

    def end(self) -> None:
        if self._cluster is None or self._use_lock is None:
            return
        with self._use_lock as use_lock, FolderLock(self._cluster.data_dir / "start.lock") as start_lock:
            start_lock.wait_exclusive()
            if use_lock.try_exclusive():
                self._cluster.stop()


def cluster_of(data_dir: Path) -> Cluster:
    user = postgres_user()
    if barred := user.first_barred(data_dir):
        raise EmbeddedPostgresError(
            f"{user.name}, the system user that PostgreSQL runs as, cannot enter {barred} to reach {data_dir}:"
            " choose a folder that it can reach, such as --data-dir /var/lib/corral."
        )
    user = user.known_in(data_dir)
    return Cluster(data_dir, user, own_user().name, postgres_programs(data_dir, user))


def _started_afresh(cluster: Cluster) -> Path:
    tidy(cluster)
    return cluster.start()


def tidy(cluster: Cluster) -> None:
    """Stops a server left running by a killed process, because its version and settings are unknown.

    If a restore was killed, finishes it or drops what there is of it.
    """
    cluster.stop()
    if (staged := staged_beside(cluster)).data_dir.exists():
        staged.stop()
    if finish_replacement(cluster.data_dir):
        report_finished(cluster.data_dir)
    remove_unfinished(cluster.data_dir)


def staged_beside(cluster: Cluster) -> Cluster:
    """Returns the one that is to replace it."""
    return replace(cluster, data_dir=cluster.data_dir / STAGING)
