"""Watches, while serving, what was proved at the start: a policy that somebody dropped is seen within a minute."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import final

from corral.database.connection import Database
from corral.database.migrate import pending_migrations, refuse_newer_release
from corral.database.selfcheck import find_weaknesses
from corral.errors import Problem
from corral.logs import get_logger

_log = get_logger()

EVERY_SECONDS = 30.0
_TOLD = 3  # a database that is wrong altogether has a finding for every table


class Weakened(Exception):  # noqa: N818 - a condition
    """The database does not keep tenants apart. One line with the gravest findings; `corral doctor` has them all."""


@final
class Watch:
    """What the last look found. `weaknesses` is empty while all is well."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.weaknesses: list[str] = []

    @asynccontextmanager
    async def kept(self) -> AsyncGenerator[None]:
        """Looks once now, and then again and again.

        Raises MigrationRefused for the database of a newer release, and Weakened when something else is wrong.
        """
        async with self._database.connection() as connection:
            await refuse_newer_release(connection)
        if found := await self._found():
            more = f"; and {len(found) - _TOLD} more, see `corral doctor`" if len(found) > _TOLD else ""
            raise Weakened("refusing to serve: " + "; ".join(found[:_TOLD]) + more)
        task = asyncio.get_running_loop().create_task(self._look_again())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def look(self) -> None:
        found = await self._found()
        if found and found != self.weaknesses:
            _log.error("database_weakened", findings="; ".join(found))
        self.weaknesses = found

    async def _found(self) -> list[str]:
        async with self._database.connection() as connection:
            found = await find_weaknesses(connection)
            return found + [f"migration {name} has not been applied" for name in await pending_migrations(connection)]

    async def _look_again(self) -> None:
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            # A database that is away just now is told by every request, and is looked at when it is back.
            with suppress(Problem):
                await self.look()
