"""Checks stored keys at intervals, so that Corral notices first when Alpaca rejects them.

Only this marks a credential as refused, and only after two rejections some seconds apart. While it is marked, no other
call is made with it. Several servers on one database share the work.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from random import random
from typing import Final, final

from corral.alpaca import errors as alpaca_errors
from corral.credentials import queries
from corral.credentials.models import SealedCredential
from corral.credentials.reader import RECHECK, CredentialReader
from corral.credentials.validation import mark_accepted
from corral.database.connection import Database, get_connection_with_rls
from corral.errors import Problem
from corral.logs import get_logger

MOST_AT_ONCE: Final = 4  # and per second, so that overdue checks after a long pause do not disturb other requests
LOOK_SECONDS: Final = 10.0
CONFIRM_SECONDS: Final = 5.0

_log = get_logger()


@asynccontextmanager
async def rechecking(database: Database, reader: CredentialReader, *, every_seconds: float) -> AsyncGenerator[None]:
    """Checks each active credential every `every_seconds` until the block ends; 0 is never."""
    if not every_seconds:
        yield
        return
    task = asyncio.create_task(_Rechecker(database, reader, every_seconds).run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@final
class _Rechecker:
    def __init__(self, database: Database, reader: CredentialReader, every_seconds: float) -> None:
        self._database = database
        self._reader = reader
        self._every_seconds = every_seconds
        self._look_seconds = min(LOOK_SECONDS, every_seconds / 20)

    async def run(self) -> None:
        """Runs until it is cancelled. Errors in one round are logged, and the next round follows."""
        pause = random() * self._look_seconds  # noqa: S311 - so that servers that start together look apart
        while True:
            await asyncio.sleep(pause)
            (claimed,) = await asyncio.gather(self._look(), return_exceptions=True)
            _log_bug(claimed)
            is_behind = claimed == MOST_AT_ONCE
            pause = min(1.0, self._look_seconds) if is_behind else self._look_seconds

    async def _look(self) -> int:
        """Checks the due credentials concurrently. Returns their number."""
        claimed = await queries.claim_checks(self._database, most=MOST_AT_ONCE, every_seconds=self._every_seconds)
        if claimed:
            rows = await queries.load_sealed_credentials(self._database, claimed)
            for outcome in await asyncio.gather(*map(self._check, rows.values()), return_exceptions=True):
                _log_bug(outcome)
        return len(claimed)

    async def _check(self, credential: SealedCredential) -> None:
        if await self._is_refused(credential) and credential.refused_at is None:
            await asyncio.sleep(min(CONFIRM_SECONDS, self._every_seconds))
            await self._check_again(credential)

    async def _check_again(self, credential: SealedCredential) -> None:
        """Checks the current row. If its owner has changed it meanwhile, its revision differs and it is not marked."""
        owned = (credential.user_id, credential.id)
        now = (await queries.load_sealed_credentials(self._database, [owned])).get(owned)
        if now is None or not now.is_active or not await self._is_refused(now):
            return
        async with get_connection_with_rls(now.user_id, self._database) as connection:
            is_marked = await queries.mark_refused(connection, *owned, credential.revision)
        if is_marked:
            _log.warning("credential_refused", user_id=str(now.user_id), credential_id=str(now.id))

    async def _is_refused(self, credential: SealedCredential) -> bool:
        """Returns False for an outage, a rate limit or an invalid response, which say nothing about the keys."""
        try:
            answer = await self._reader.open_row(credential, RECHECK).fetch_account()
        except alpaca_errors.AlpacaAuthError:
            return True
        except alpaca_errors.AlpacaError:
            return False
        await mark_accepted(self._database, credential, answer)
        if credential.refused_at is not None:
            _log.info("credential_accepted", user_id=str(credential.user_id), credential_id=str(credential.id))
        return False


def _log_bug(outcome: object) -> None:
    """Problems are expected here, or already logged. Anything else is a bug."""
    if isinstance(outcome, Exception) and not isinstance(outcome, Problem):
        _log.error("recheck_failed", exc_info=outcome)
