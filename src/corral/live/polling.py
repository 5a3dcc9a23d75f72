"""Asks Alpaca how one account stands, again and again, while somebody watches."""

import asyncio
import random
from typing import Final, final

from corral.credentials.problems import CredentialRefused
from corral.errors import InternalError, Problem
from corral.live.asking import Road
from corral.live.audiences import Audience
from corral.live.holdings import Holdings
from corral.live.pace import Backoff
from corral.live.problems import AnotherAccount
from corral.live.watchers import Watcher

LONGEST_WAIT_SECONDS: Final = 30.0


@final
class Poller:
    """One call at a time, and one in an interval, however many watch. Times are the loop's, which never jumps."""

    def __init__(self, road: Road, audience: Audience, holdings: Holdings) -> None:
        self._road = road
        self._audience = audience
        self._holdings = holdings
        self._joined = asyncio.Event()
        self._backoff = Backoff(first=2 * road.interval_seconds, longest=LONGEST_WAIT_SECONDS)
        # The first pause is longer by a part of its own, so that feeds that began together do not tick together.
        self._phase = random.random()  # noqa: S311 - spreads load, guards nothing

    def hurry(self) -> None:
        """Somebody joined: waits after a failure are cut short, the interval is not."""
        self._joined.set()

    async def run(self) -> None:
        clock = asyncio.get_running_loop().time
        while self._audience:
            watcher = self._audience.next_to_ask()
            began = clock()
            wait = await self._ask(watcher)
            interval = self._road.gentle_seconds(watcher.credential) * (1 + self._phase)
            self._phase = 0.0
            await asyncio.sleep(began + interval - clock())
            await self._wait_for_somebody(wait)

    async def _wait_for_somebody(self, seconds: float) -> None:
        if seconds > 0:
            try:
                async with asyncio.timeout(seconds):
                    await self._joined.wait()
            except TimeoutError:
                pass
        self._joined.clear()

    async def _ask(self, watcher: Watcher) -> float:
        """Answers how long to wait beyond the interval."""
        try:
            await self._ask_account(watcher)
        except (CredentialRefused, AnotherAccount, InternalError) as refused:
            self._audience.refuse(watcher, refused)
            return 0
        except Problem as problem:
            watcher.tell_trouble("polling", problem)
            self._audience.tell_trouble("polling", problem)
            return max(problem.retry_after or 0, self._backoff.next_seconds())
        self._backoff.reset()
        self._audience.tell_trouble("polling", None)
        return 0

    async def _ask_account(self, watcher: Watcher) -> None:
        body = await self._road.fetch_account_data(watcher.credential, is_shared=watcher.is_proved)
        self._road.note_use(watcher)
        self._audience.tell(self._holdings.learn_account(body))
        self._audience.admit(watcher, self._holdings.known())
