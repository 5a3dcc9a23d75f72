"""Watches, while serving, what was proved at the start: a policy that somebody dropped is seen within a minute.

Whether this process should get requests follows from it. The reason is for the log alone: who asks is told yes or no.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import final

from corral.database.connection import Database
from corral.database.failures import READ_ONLY
from corral.database.migrate import MigrationRefused, pending_migrations, refuse_newer_release
from corral.database.selfcheck import find_weaknesses, prove_writes
from corral.errors import DatabaseUnavailable, Overloaded
from corral.logs import get_logger

_log = get_logger()

EVERY_SECONDS = 30.0
_STOPPING = "this process is stopping"
_TOLD = 3  # a database that is wrong altogether has a finding for every table


class Weakened(Exception):  # noqa: N818 - a condition
    """The database does not keep tenants apart. One line with the gravest findings; `corral doctor` has them all."""


class TakesNoWrites(Exception):  # noqa: N818 - a condition
    """The database is read-only, or its disk is full. One line."""


@final
class Watch:
    """`weaknesses` are what the last look found; empty while all is well."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.weaknesses: list[str] = []
        self._found_by_look: str | None = None
        self._told: str | None = None
        self._is_draining = False

    @asynccontextmanager
    async def kept(self) -> AsyncGenerator[None]:
        """Looks once now, and then again and again.

        Raises MigrationRefused for the database of a newer release, TakesNoWrites, and Weakened when something else
        is wrong.
        """
        await self._refuse_unfit()
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

    @property
    def reason(self) -> str | None:
        """Why this process should get no requests, as it was found last; None while it should. For operators only."""
        return self._told

    def drain(self) -> None:
        """From here on this process should get no more requests, for it is going to stop."""
        self._is_draining = True

    async def is_ready(self) -> bool:
        """Whether this process should get requests, as the last look and a question to the database say."""
        reason = self._found_by_look or await self._unready(self._refuse_read_only)
        return self._tell(reason) is None

    async def look(self) -> None:
        self._found_by_look = await self._unready(self._look)
        self._tell(self._found_by_look)

    def _tell(self, reason: str | None) -> str | None:
        """Says in the log what is the matter, and that it is over, each once."""
        reason = _STOPPING if self._is_draining else reason
        if reason != self._told:
            if reason is None:
                _log.info("ready_again")
            else:
                _log.error("not_ready", reason=reason)
        self._told = reason
        return reason

    async def _unready(self, look: Callable[[], Awaitable[None]]) -> str | None:
        try:
            await look()
        except (MigrationRefused, TakesNoWrites) as refused:
            return str(refused)
        except DatabaseUnavailable as unavailable:
            return unavailable.reason
        except Overloaded:
            return "every connection to the database has been in use for seconds"
        return "; ".join(self.weaknesses) or None

    async def _refuse_read_only(self) -> None:
        if await self._database.fetchval("SHOW transaction_read_only") == "on":
            raise TakesNoWrites(READ_ONLY)

    async def _look(self) -> None:
        await self._refuse_unfit()
        self._note(await self._found())

    async def _refuse_unfit(self) -> None:
        async with self._database.connection() as connection:
            await refuse_newer_release(connection)
            if unwritable := await prove_writes(connection):
                raise TakesNoWrites(unwritable)

    def _note(self, found: list[str]) -> None:
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
            await self.look()
