"""Proves the keys of subscriptions in a process that does not watch their account itself: by one call for each."""

import asyncio
from typing import Final, final

from corral.accounts.reader import AccountReader
from corral.credentials.problems import AnotherAccount, CredentialRefused
from corral.errors import InternalError, Problem
from corral.stream.account_state import account_event
from corral.stream.audience import Audience
from corral.stream.backoff import Backoff
from corral.stream.subscriptions import Subscription, Subscriptions

FIRST_WAIT_SECONDS: Final = 2.0
LONGEST_WAIT_SECONDS: Final = 30.0


@final
class Verifier:
    """Nobody is told anything of an account before Alpaca has accepted their own keys and named it."""

    def __init__(self, accounts: AccountReader, subscriptions: Subscriptions, audience: Audience) -> None:
        self._accounts = accounts
        self._subscriptions = subscriptions
        self._audience = audience
        self._backoff = Backoff(first=FIRST_WAIT_SECONDS, longest=LONGEST_WAIT_SECONDS)

    async def run(self) -> None:
        """Runs until it is cancelled."""
        while True:
            subscription = await self._subscriptions.next_unproved()
            await asyncio.sleep(await self._prove(subscription))

    async def _prove(self, subscription: Subscription) -> float:
        """Returns how long to wait before the next call."""
        try:
            answer = await self._accounts.account_data_of(subscription.credential, is_fresh=True)
        except (CredentialRefused, AnotherAccount, InternalError) as refused:
            self._subscriptions.refuse(subscription, refused)
            subscription.credential.suspect()
            return 0
        except Problem as problem:
            subscription.report("polling", problem)
            return max(problem.retry_after or 0, self._backoff.next_seconds())
        self._backoff.reset()
        if not self._audience.told.events():
            self._audience.refresh(account_event(answer))
        self._audience.accept(subscription)
        return 0
