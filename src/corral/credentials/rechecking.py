"""Asks Alpaca from time to time whether it still accepts the stored keys, so that their owner learns of it first.

Only this writes the mark that says "refused", and only after two refusals some seconds apart: while a
credential is marked, nothing but a check is spent on it. Several servers on one database share the work.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from random import random
from typing import Final, final

from corral.alpaca import errors as alpaca_errors
from corral.alpaca.client import AlpacaClient
from corral.credentials import queries
from corral.credentials.checkup import fetch_account_of, mark_accepted
from corral.credentials.models import SealedCredential
from corral.database.connection import Database, get_connection_with_rls
from corral.errors import Problem
from corral.logs import get_logger
from corral.vault import Vault

MOST_AT_ONCE: Final = 4  # and as many a second: even after a day's pause nobody notices the checks that are due
LOOK_SECONDS: Final = 10.0
CONFIRM_SECONDS: Final = 5.0
LEFT_TO_ITS_OWNER: Final = 20  # of the requests of an account's minute

_log = get_logger()


@asynccontextmanager
async def rechecking(
    database: Database, vault: Vault, alpaca: AlpacaClient, *, every_seconds: float
) -> AsyncGenerator[None]:
    """Checks each active credential every `every_seconds`, as long as the block runs; 0: never."""
    if not every_seconds:
        yield
        return
    task = asyncio.create_task(_Rechecker(database, vault, alpaca, every_seconds).run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@final
class _Rechecker:
    def __init__(self, database: Database, vault: Vault, alpaca: AlpacaClient, every_seconds: float) -> None:
        self._database = database
        self._vault = vault
        self._alpaca = alpaca
        self._every_seconds = every_seconds
        self._look_seconds = min(LOOK_SECONDS, every_seconds / 20)

    async def run(self) -> None:
        """Until it is cancelled. Whatever goes wrong in one look is logged, and the next one comes."""
        pause = random() * self._look_seconds  # noqa: S311 - so that servers that start together look apart
        while True:
            await asyncio.sleep(pause)
            (claimed,) = await asyncio.gather(self._look(), return_exceptions=True)
            _tell(claimed)
            is_behind = claimed == MOST_AT_ONCE
            pause = min(1.0, self._look_seconds) if is_behind else self._look_seconds

    async def _look(self) -> int:
        """Checks what is due, side by side; answers how many credentials that were."""
        claimed = await queries.claim_checks(self._database, most=MOST_AT_ONCE, every_seconds=self._every_seconds)
        if claimed:
            rows = await queries.read_credentials(self._database, claimed)
            for outcome in await asyncio.gather(*map(self._check, rows.values()), return_exceptions=True):
                _tell(outcome)
        return len(claimed)

    async def _check(self, credential: SealedCredential) -> None:
        if await self._is_refused(credential) and credential.refused_at is None:
            await asyncio.sleep(min(CONFIRM_SECONDS, self._every_seconds))
            await self._check_again(credential)

    async def _check_again(self, credential: SealedCredential) -> None:
        """With the row as it is now. Its owner may have been faster: then it has another revision, and no mark."""
        owned = (credential.user_id, credential.id)
        now = (await queries.read_credentials(self._database, [owned])).get(owned)
        if now is None or not now.is_active or not await self._is_refused(now):
            return
        async with get_connection_with_rls(now.user_id, self._database) as connection:
            is_marked = await queries.mark_refused(connection, *owned, credential.revision)
        if is_marked:
            _log.warning("credential_refused", user_id=str(now.user_id), credential_id=str(now.id))

    async def _is_refused(self, credential: SealedCredential) -> bool:
        """An outage, a spent budget or a broken answer says nothing about keys: then it is as it was."""
        try:
            answer = await fetch_account_of(
                credential, vault=self._vault, alpaca=self._alpaca, leaving=LEFT_TO_ITS_OWNER
            )
        except alpaca_errors.KeysRefused:
            return True
        except alpaca_errors.AlpacaError:
            return False
        await mark_accepted(self._database, credential, answer)
        if credential.refused_at is not None:
            _log.info("credential_accepted", user_id=str(credential.user_id), credential_id=str(credential.id))
        return False


def _tell(outcome: object) -> None:
    """A Problem is told by whoever meets it as a request, or is an alarm in the log already; others are bugs."""
    if isinstance(outcome, Exception) and not isinstance(outcome, Problem):
        _log.error("recheck_failed", exc_info=outcome)
