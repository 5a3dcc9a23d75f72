"""The next release: this one with one more migration, as a program of its own."""

import shutil
import sys
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from corral.database.connection import open_owner_connection
from corral.database.schema_text import schema_lines
from tests.journeys.clusters import ExternalPostgres
from tests.journeys.program import SOURCES, Ended, Running, environment, running_command

_NUMBERS = count()

# As `corral serve` is, but that it looks at the schema every 0.3 seconds and not every 30.
_WATCHFUL = """
from corral.health import readiness
readiness.EVERY_SECONDS = 0.3
from corral.__main__ import main
main()
"""


@dataclass(frozen=True, slots=True)
class Release:
    sources: Path

    def running(self, *arguments: str, **settings: object) -> AbstractAsyncContextManager[Running]:
        command = [sys.executable, "-c", _WATCHFUL, *arguments]
        return running_command(command, environment(**settings) | {"PYTHONPATH": str(self.sources)})

    async def corral(self, *arguments: str, **settings: object) -> Ended:
        """Runs one command to its end."""
        async with self.running(*arguments, **settings) as started:
            return Ended(await started.ends(), started.out, started.err)


THIS_RELEASE = Release(SOURCES)


async def next_release(folder: Path, postgres: ExternalPostgres, migration: str) -> Release:
    """Returns one that has this migration, too. The database `corral` has those of this release."""
    release = Release(folder / "next")
    package = shutil.copytree(SOURCES / "corral", release.sources / "corral") / "database"
    (package / "migrations" / "0999_next.sql").write_text(migration)
    scratch = f"scratch_{next(_NUMBERS)}"
    await postgres.execute(f"CREATE DATABASE {scratch} OWNER corral_owner TEMPLATE corral")
    async with open_owner_connection(postgres.dsn("corral_owner", scratch)) as connection:
        await connection.execute(migration)
        lines = await schema_lines(connection)
    (package / "expected_schema.txt").write_text("".join(f"{line}\n" for line in lines))
    return release
