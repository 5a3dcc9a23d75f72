"""Whether this process should get requests: repeats the checks of the startup while it serves.

A dropped row-level security policy is noticed within a minute. The reason is for operators only.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import final
from uuid import UUID

from corral.database.access_epoch import load_access_epoch
from corral.database.connection import READ_ONLY, Database
from corral.database.migrate import MigrationRefused, find_newer_migrations, pending_migrations
from corral.database.selfcheck import find_weaknesses, prove_writes
from corral.errors import DatabaseUnavailable, OperatorError, Overloaded
from corral.logs import get_logger

_log = get_logger()

EVERY_SECONDS = 30.0
_STOPPING = "this process is stopping"
_SHOWN = 3  # an entirely wrong database has a finding for every table


class Weakened(OperatorError):  # noqa: N818 - a condition
    """The database does not isolate tenants. One line with the most serious findings; `corral doctor` lists all."""


class TakesNoWrites(OperatorError):  # noqa: N818 - a condition
    """The database is read-only, or its disk is full. One line."""


class RestoredMeanwhile(OperatorError):  # noqa: N818 - a condition
    """The database has another epoch of access than this process. One line."""


@final
class ReadinessMonitor:
    """`weaknesses` are the findings of the last check; empty if there are none."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.weaknesses: list[str] = []
        self._found_by_check: str | None = None
        self._reported: str | None = None
        self._is_draining = False
        self._epoch: UUID | None = None
        self._newer: list[str] = []

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Checks once now, and then every 30 seconds.

        Raises MigrationRefused for a newer release's database that this one cannot run with, TakesNoWrites, and
        Weakened when something else is wrong.
        """
        await self._refuse_unfit()
        if found := await self._found():
            more = f"; and {len(found) - _SHOWN} more, see `corral doctor`" if len(found) > _SHOWN else ""
            raise Weakened("refusing to serve: " + "; ".join(found[:_SHOWN]) + more)
        task = asyncio.get_running_loop().create_task(self._check_regularly())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    @property
    def reason(self) -> str | None:
        """Why this process should get no requests, according to the last check, or None. For operators only."""
        return self._reported

    def expect_epoch(self, epoch: UUID | None) -> None:
        """The epoch of access that this process's keyed hashes contain. With another one they would match nothing."""
        self._epoch = epoch

    def drain(self) -> None:
        """From now on this process should get no more requests, because it will stop."""
        self._is_draining = True

    async def is_ready(self) -> bool:
        """Whether this process should get requests, according to the last check and a query now."""
        found_now = None if self._found_by_check else await self._unready(self._refuse_read_only)
        return self._report(self._found_by_check or found_now) is None  # a check may have ended meanwhile

    async def check(self) -> None:
        self._found_by_check = await self._unready(self._check)
        self._report(self._found_by_check)

    def _report(self, reason: str | None) -> str | None:
        """Logs a reason once when it begins, and once when it is resolved."""
        reason = _STOPPING if self._is_draining else reason
        if reason != self._reported:
            if reason is None:
                _log.info("ready_again")
            else:
                _log.error("not_ready", reason=reason)
        self._reported = reason
        return reason

    async def _unready(self, check: Callable[[], Awaitable[None]]) -> str | None:
        try:
            await check()
        except (MigrationRefused, TakesNoWrites, RestoredMeanwhile) as refused:
            return str(refused)
        except DatabaseUnavailable as unavailable:
            return unavailable.reason
        except Overloaded:
            return "every connection to the database has been in use for seconds"
        return "; ".join(self.weaknesses) or None

    async def _refuse_read_only(self) -> None:
        if await self._database.fetchval("SHOW transaction_read_only") == "on":
            raise TakesNoWrites(READ_ONLY)

    async def _check(self) -> None:
        await self._refuse_unfit()
        self._log_weaknesses(await self._found())
        if not self.weaknesses:  # a schema that was tampered with may have no epoch
            await self._refuse_former()

    async def _refuse_unfit(self) -> None:
        async with self._database.connection() as connection:
            self._note_newer([migration.name for migration in await find_newer_migrations(connection)])
            if unwritable := await prove_writes(connection):
                raise TakesNoWrites(unwritable)

    def _note_newer(self, names: list[str]) -> None:
        """Logs once that a newer release has added to the schema: this process may be replaced now."""
        if names and names != self._newer:
            _log.info("newer_release_compatible", migrations=", ".join(names))
        self._newer = names

    async def _refuse_former(self) -> None:
        if await load_access_epoch(self._database) != self._epoch:
            raise RestoredMeanwhile("the database was restored from a backup while this process ran: restart it")

    def _log_weaknesses(self, found: list[str]) -> None:
        if found and found != self.weaknesses:
            _log.error("database_weakened", findings="; ".join(found))
        self.weaknesses = found

    async def _found(self) -> list[str]:
        async with self._database.connection() as connection:
            found = await find_weaknesses(connection)
            return found + [f"migration {name} has not been applied" for name in await pending_migrations(connection)]

    async def _check_regularly(self) -> None:
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            await self.check()
