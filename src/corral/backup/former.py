"""What a restore kept of the data from before, until the restored data has been served once."""

import asyncio
import shutil
from contextlib import suppress
from pathlib import Path

from corral.backup import queries
from corral.database.connection import open_owner_connection
from corral.database.embedded.replacement import former_data
from corral.errors import DatabaseUnavailable


async def remove_former_clusters(data_dir: Path) -> list[str]:
    """Removes the folders from before restores. Returns their names, of those that are gone."""
    folders = former_data(data_dir)
    for folder in folders:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
    return [folder.name for folder in folders if not folder.exists()]


async def drop_former_schemas(owner_dsn: str) -> list[str]:
    """Drops the schemas from before restores. Returns their names. One that is in use is left for the next start."""
    dropped: list[str] = []
    with suppress(DatabaseUnavailable):
        async with open_owner_connection(owner_dsn) as connection:
            for name in await queries.find_former_schemas(connection):
                async with connection.transaction():
                    await queries.drop_schema(connection, name)
                dropped.append(name)
    return dropped
