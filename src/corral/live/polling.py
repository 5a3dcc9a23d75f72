"""Asks Alpaca how one account stands, again and again, while somebody watches."""

import asyncio
import random
from typing import Final, final

from corral.credentials.problems import CredentialRefused
from corral.errors import InternalError, Problem
from corral.live.asking import Road
from corral.live.audiences import Audience
from corral.live.holdings import Holdings
from corral.live.ledgers import OrderLedger
from corral.live.pace import Backoff
from corral.live.problems import AnotherAccount
from corral.live.walks import OrderWalk
from corral.live.watchers import Watcher

LONGEST_WAIT_SECONDS: Final = 30.0
# Orders are looked through every so many calls: while the socket is heard, in case it keeps something to itself.
CALLS_BETWEEN_LOOKS: Final = 5
CALLS_BETWEEN_LOOKS_WHILE_HEARD: Final = 15


@final
class Poller:
    """One call at a time, and one in an interval, however many watch. Times are the loop's, which never jumps."""

    def __init__(self, road: Road, audience: Audience, holdings: Holdings, ledger: OrderLedger) -> None:
        self.is_heard = False  # whether the account's socket is open
        self._road = road
        self._audience = audience
        self._holdings = holdings
        self._ledger = ledger
        self._walk: OrderWalk | None = None
        self._calls_since_look = CALLS_BETWEEN_LOOKS
        self._is_look_due = True
        self._is_positions_turn = True
        self._doubted: Watcher | None = None
        self._joined = asyncio.Event()
        self._backoff = Backoff(first=2 * road.interval_seconds, longest=LONGEST_WAIT_SECONDS)
        # The first pause is longer by a part of its own, so that feeds that began together do not tick together.
        self._phase = random.random()  # noqa: S311 - spreads load, guards nothing

    def hurry(self) -> None:
        """Somebody joined: a wait after a failure is cut short, the interval is not."""
        self._joined.set()

    def look_through_orders(self) -> None:
        """Something may have happened to orders that nobody told: also for a walk under way, which began before."""
        self._is_look_due = True

    def look_at_positions(self) -> None:
        self._is_positions_turn = True

    def doubt(self, watcher: Watcher) -> None:
        """The next call is made with these keys, and says whether they are accepted."""
        self._doubted = watcher

    async def run(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            watcher = await self._next_to_ask()
            began = clock()
            wait = await self._ask(watcher)
            interval = self._road.gentle_seconds(watcher.credential) * (1 + self._phase)
            self._phase = 0.0
            await asyncio.sleep(began + interval - clock())
            await self._wait_for_somebody(wait)

    async def _next_to_ask(self) -> Watcher:
        doubted, self._doubted = self._doubted, None
        if doubted is not None and doubted in self._audience:
            return doubted
        return await self._audience.next_to_ask()

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
            await self._ask_next(watcher)
        except (CredentialRefused, AnotherAccount, InternalError) as refused:
            self._audience.refuse(watcher, refused)
            self._road.reader.suspect(watcher.credential)
            return 0
        except Problem as problem:
            watcher.tell_trouble("polling", problem)
            self._audience.tell_trouble("polling", problem)
            return max(problem.retry_after or 0, self._backoff.next_seconds())
        self._road.note_use(watcher)
        self._backoff.reset()
        self._audience.tell_trouble("polling", None)
        return 0

    async def _ask_next(self, watcher: Watcher) -> None:
        self._calls_since_look += 1
        if not watcher.is_proved:
            await self._ask_account(watcher)
        elif self._walk is not None or self._is_time_to_look():
            await self._ask_orders(watcher)
        elif self._is_positions_turn:
            self._is_positions_turn = False
            positions = await self._road.fetch_positions(watcher.credential)
            self._audience.tell(self._holdings.learn_positions(positions))
        else:
            self._is_positions_turn = True
            await self._ask_account(watcher)

    async def _ask_account(self, watcher: Watcher) -> None:
        body = await self._road.fetch_account_data(watcher.credential, is_shared=watcher.is_proved)
        self._audience.tell(self._holdings.learn_account(body))
        self._audience.admit(watcher, self._holdings.known())

    async def _ask_orders(self, watcher: Watcher) -> None:
        if self._walk is None:
            self._is_look_due, self._calls_since_look = False, 0
            self._walk = OrderWalk(self._ledger)
        walk = self._walk
        self._audience.tell(walk.take(await self._road.fetch_orders(watcher.credential, walk.query, walk.place)))
        if walk.is_done:
            self._walk = None

    def _is_time_to_look(self) -> bool:
        calls = CALLS_BETWEEN_LOOKS_WHILE_HEARD if self.is_heard else CALLS_BETWEEN_LOOKS
        return self._is_look_due or self._calls_since_look > calls
