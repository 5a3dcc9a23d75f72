"""A data folder whose database is to be replaced: for one process alone, with a second cluster built beside the first.

Other processes that want to use the folder wait meanwhile, and then say why.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Self, final

from corral.database.embedded.cluster import PORT, Cluster
from corral.database.embedded.errors import DataFolderInUse, EmbeddedPostgresError
from corral.database.embedded.files import FolderLock, exclusive_serve_lock, opened_data_folder
from corral.database.embedded.instance import EmbeddedDatabase, cluster_of, staged_beside, tidy, to_its_end
from corral.database.embedded.replacement import Move, begin_replacement, drop_staged, finish_replacement


@final
class ReplaceableFolder:
    """Held by this process alone. Nothing in it runs but what this object started."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._staged = staged_beside(cluster)

    @classmethod
    @asynccontextmanager
    async def open(cls, data_dir: Path) -> AsyncGenerator[Self]:
        """Raises DataFolderInUse if a server or a command uses it, and EmbeddedPostgresError if it cannot be used."""
        async with AsyncExitStack() as stack:
            stack.enter_context(exclusive_serve_lock(data_dir))
            folder = opened_data_folder(data_dir)
            start_lock = stack.enter_context(FolderLock(folder / "start.lock"))
            use_lock = stack.enter_context(FolderLock(folder / "use.lock"))
            await to_its_end(start_lock.wait_exclusive)
            if not use_lock.try_exclusive():
                raise DataFolderInUse(f"Another corral command is running on {data_dir}: wait until it has ended.")
            cluster = await to_its_end(lambda: cluster_of(folder))
            await to_its_end(lambda: tidy(cluster))
            replaceable = cls(cluster)
            stack.push_async_callback(replaceable._drop_staged)
            yield replaceable

    @property
    def has_data(self) -> bool:
        return self._cluster.folder.is_dir() and any(self._cluster.folder.iterdir())

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[EmbeddedDatabase]:
        """Runs the present database. Only if `has_data`."""
        async with _running(self._cluster) as database:
            yield database

    @asynccontextmanager
    async def staged(self) -> AsyncGenerator[EmbeddedDatabase]:
        """Makes a new, empty one beside it, and runs it until the block ends."""
        opened_data_folder(self._staged.data_dir)
        async with _running(self._staged) as database:
            yield database

    async def replace(self, moment: datetime, further: Sequence[Move]) -> None:
        """Puts the staged database, which no longer runs, into the place of the present one, which is kept beside."""
        data_dir = self._cluster.data_dir
        try:
            await to_its_end(lambda: _replace(data_dir, moment, further))
        except OSError as error:
            raise EmbeddedPostgresError(
                f"The database in {data_dir} cannot be replaced: {error}. The next start tries again."
            ) from error

    async def _drop_staged(self) -> None:
        await to_its_end(lambda: drop_staged(self._cluster.data_dir))


def _replace(data_dir: Path, moment: datetime, further: Sequence[Move]) -> None:
    begin_replacement(data_dir, moment, further)
    finish_replacement(data_dir)


@asynccontextmanager
async def _running(cluster: Cluster) -> AsyncGenerator[EmbeddedDatabase]:
    try:
        yield EmbeddedDatabase(await to_its_end(cluster.start), PORT)
    finally:
        await to_its_end(cluster.stop)
