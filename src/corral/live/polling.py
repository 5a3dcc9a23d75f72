"""Asks Alpaca how one account stands, again and again, while somebody watches."""

import asyncio
import random
from typing import Final, final

from corral.alpaca.items import count_unreadable
from corral.credentials.problems import AccountRateLimited, AnotherAccount, CredentialRefused
from corral.errors import InternalError, Problem
from corral.live.asking import Road
from corral.live.audiences import Audience
from corral.live.holdings import Holdings
from corral.live.ledgers import OrderLedger
from corral.live.pace import Backoff
from corral.live.problems import OrdersUnavailable, OrdersUnreadable, PositionsUnavailable, PositionsUnreadable
from corral.live.walks import OrderWalk
from corral.live.watchers import Part, Watcher

LONGEST_WAIT_SECONDS: Final = 30.0
# Orders are looked through every so many calls: while the socket is heard, in case it keeps something to itself.
CALLS_BETWEEN_LOOKS: Final = 5
CALLS_BETWEEN_LOOKS_WHILE_HEARD: Final = 15
LOOKS_BETWEEN_CORRECTIONS: Final = 10  # every so many looks also go back to orders that are over


class _Read:
    """One of the lists: what its last failure was, and when it is tried again."""

    def __init__(self, part: Part, unavailable: type[Problem], backoff: Backoff) -> None:
        self.part: Final[Part] = part
        self._unavailable = unavailable
        self._backoff = backoff
        self._not_before = 0.0
        self.problem: Problem | None = None
        self.is_told = False

    def is_due(self) -> bool:
        return asyncio.get_running_loop().time() >= self._not_before

    def failed(self) -> None:
        self.problem = self._unavailable()
        self.is_told = False
        self._not_before = asyncio.get_running_loop().time() + self._backoff.next_seconds()

    def succeeded(self) -> None:
        self._backoff.reset()
        self.forget()

    def forget(self) -> None:
        self.problem, self._not_before = None, 0.0


@final
class Poller:
    """One call at a time, and one in an interval, however many watch. Times are the loop's, which never jumps.

    A list that cannot be read is tried again later, and meanwhile the others and the account go on.
    """

    def __init__(self, road: Road, audience: Audience, holdings: Holdings, ledger: OrderLedger) -> None:
        self.is_heard = False  # whether the account's socket is open
        self._road = road
        self._audience = audience
        self._holdings = holdings
        self._ledger = ledger
        self._walk: OrderWalk | None = None
        self._calls_since_look = CALLS_BETWEEN_LOOKS
        self._looks = 0
        self._is_look_due = True
        self._is_positions_turn = True
        self._is_down = False  # whether the account itself could not be read the last time
        self._doubted: Watcher | None = None
        self._joined = asyncio.Event()
        self._backoff = self._new_backoff()
        self._positions = _Read("positions", PositionsUnavailable, self._new_backoff())
        self._orders = _Read("order_list", OrdersUnavailable, self._new_backoff())
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

    def _new_backoff(self) -> Backoff:
        return Backoff(first=2 * self._road.interval_seconds, longest=LONGEST_WAIT_SECONDS)

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
        """Returns how long to wait beyond the interval."""
        read = self._next_read(watcher)
        try:
            await self._ask_for(read, watcher)
        except (CredentialRefused, AnotherAccount, InternalError) as refused:
            self._audience.refuse(watcher, refused)
            self._road.reader.suspect(watcher.credential)
            return 0
        except Problem as problem:
            return self._take_in(read, watcher, problem)
        self._road.note_use(watcher)
        return 0

    def _take_in(self, read: _Read | None, watcher: Watcher, problem: Problem) -> float:
        if read is not None and not isinstance(problem, AccountRateLimited):
            read.failed()
            return 0
        self._is_down = True
        self._positions.forget()
        self._orders.forget()
        watcher.tell_trouble("polling", problem)
        self._audience.tell_trouble("polling", problem)
        return max(problem.retry_after or 0, self._backoff.next_seconds())

    def _next_read(self, watcher: Watcher) -> _Read | None:
        """None is the account, by which new keys prove themselves."""
        self._calls_since_look += 1
        if not watcher.is_proved or self._is_doubtful():
            return None
        if self._orders.is_due() and (self._walk is not None or self._is_time_to_look()):
            return self._orders
        return self._positions if self._is_positions_turn and self._positions.is_due() else None

    def _is_doubtful(self) -> bool:
        """Whether a list failed and it is not yet known whether the account can be read."""
        return any(read.problem is not None and not read.is_told for read in (self._positions, self._orders))

    async def _ask_for(self, read: _Read | None, watcher: Watcher) -> None:
        if read is None:
            await self._ask_account(watcher)
        elif read is self._orders:
            await self._ask_orders(watcher)
        else:
            await self._ask_positions(watcher)

    async def _ask_account(self, watcher: Watcher) -> None:
        self._is_positions_turn = True
        body = await self._road.fetch_account_data(watcher.credential, is_shared=watcher.is_proved)
        self._backoff.reset()
        self._audience.tell_trouble("polling", None)
        self._audience.tell(self._holdings.learn_account(body))
        self._audience.admit(watcher, self._holdings.known())
        was_down, self._is_down = self._is_down, False
        for read in (self._positions, self._orders):
            if read.problem is None:
                continue
            if was_down:
                read.forget()  # it failed in the outage that is over now
            else:
                read.is_told = True
                self._audience.tell_trouble(read.part, read.problem)

    async def _ask_positions(self, watcher: Watcher) -> None:
        self._is_positions_turn = False
        entries = await self._road.fetch_positions(watcher.credential)
        self._positions.succeeded()
        is_whole = not count_unreadable(entries)
        self._audience.tell_trouble("positions", None if is_whole else PositionsUnreadable())
        self._audience.tell(self._holdings.learn_positions(entries))

    async def _ask_orders(self, watcher: Watcher) -> None:
        if self._walk is None:
            self._begin_look()
        walk = self._walk
        assert walk is not None  # noqa: S101 - just begun
        self._audience.tell(walk.take(await self._road.fetch_orders(watcher.credential, walk.query, walk.place)))
        self._orders.succeeded()
        if walk.is_done:
            self._audience.tell_trouble("order_list", OrdersUnreadable() if walk.unreadable else None)
            self._walk = None

    def _begin_look(self) -> None:
        self._is_look_due, self._calls_since_look = False, 0
        self._walk = OrderWalk(self._ledger, for_corrections=self._looks % LOOKS_BETWEEN_CORRECTIONS == 0)
        self._looks += 1

    def _is_time_to_look(self) -> bool:
        calls = CALLS_BETWEEN_LOOKS_WHILE_HEARD if self.is_heard else CALLS_BETWEEN_LOOKS
        return self._is_look_due or self._calls_since_look > calls
