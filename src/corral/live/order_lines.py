"""Listens to Alpaca for what happens to one account's orders, while somebody watches."""

import asyncio
from http import HTTPStatus
from math import inf
from typing import Final, final

from corral.alpaca.errors import AlpacaError, ConnectionDropped, KeysRefused, RateLimited, SlotTaken
from corral.alpaca.trade_updates import Line
from corral.errors import InternalError
from corral.live.asking import Road
from corral.live.audiences import Audience
from corral.live.ledgers import OrderLedger
from corral.live.pace import Backoff
from corral.live.polling import Poller
from corral.live.problems import OrdersDelayed, OrdersPolled
from corral.live.watchers import Watcher

FIRST_WAIT_SECONDS: Final = 2.0
LONGEST_WAIT_SECONDS: Final = 60.0
HELD_SECONDS: Final = 10.0  # a connection that was up for so long is a good one
# After a connection of our own was lost, Alpaca may hold its place for a while: nobody else has it then.
SOON_SECONDS: Final = 10.0
SOON_FOR_SECONDS: Final = 120.0
# The account's one connection is somebody else's, most likely a program of its owner's: we only look now and then
# whether it has become free.
TAKEN_WAIT_SECONDS: Final = (60.0, 600.0)
_MAY_MEAN_KEYS: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
REFUSALS_UNTIL_TAKEN: Final = 3  # 429s in a row: one alone is a rate limit


@final
class OrderLine:
    """Holds the account's one connection, through one of the watchers whose keys are accepted."""

    def __init__(self, road: Road, audience: Audience, ledger: OrderLedger, poller: Poller) -> None:
        self._road = road
        self._audience = audience
        self._ledger = ledger
        self._poller = poller
        self._through: Watcher | None = None
        self._listening: asyncio.Task[None] | None = None
        self._lost_at = -inf
        self._refusals = 0
        self._soon = Backoff(first=FIRST_WAIT_SECONDS, longest=SOON_SECONDS)
        self._broken = Backoff(first=FIRST_WAIT_SECONDS, longest=LONGEST_WAIT_SECONDS)
        self._taken = Backoff(first=TAKEN_WAIT_SECONDS[0], longest=TAKEN_WAIT_SECONDS[1])

    def let_go_of(self, watcher: Watcher) -> None:
        """The connection ends at once if it is this watcher's; then another's takes its place."""
        if watcher is self._through and self._listening is not None:
            self._listening.cancel()

    async def run(self) -> None:
        while True:
            self._through = await self._audience.someone_proved(after=self._through)
            self._listening = asyncio.get_running_loop().create_task(self._listen(self._through))
            try:
                await asyncio.wait({self._listening})
            finally:
                self._listening.cancel()
                self._poller.is_heard = False
            if not self._listening.cancelled():
                await asyncio.sleep(self._take_in(self._through, self._listening.exception()))

    async def _listen(self, watcher: Watcher) -> None:
        """Raises AlpacaError, sooner or later."""
        line = await self._road.connect(watcher.credential)
        loop = asyncio.get_running_loop()
        holding = loop.call_later(HELD_SECONDS, self._hold)
        try:
            self._refusals = 0
            self._poller.is_heard = True
            self._poller.look_through_orders()
            while True:
                await self._hear(line)
        finally:
            holding.cancel()
            self._lost_at = loop.time()
            await line.close()

    def _hold(self) -> None:
        """The connection has been up for a while: whatever was told of it is over."""
        for backoff in (self._soon, self._broken, self._taken):
            backoff.reset()
        self._audience.tell_trouble("orders", None)

    async def _hear(self, line: Line) -> None:
        update = await line.next_update()
        if update is None:  # something was said and could not be read
            self._poller.look_through_orders()
        elif (news := self._ledger.learn(update.event, update.order)) is not None:
            self._audience.tell([news])
            self._poller.look_at_positions()

    def _take_in(self, watcher: Watcher, failure: BaseException | None) -> float:
        """What the end of a connection means; returns after how many seconds to try again."""
        if not isinstance(failure, AlpacaError | InternalError):
            raise failure or ConnectionDropped
        status = failure.status if isinstance(failure, AlpacaError) else None
        if isinstance(failure, KeysRefused) or status in _MAY_MEAN_KEYS:
            self._poller.doubt(watcher)  # whether they are refused altogether is for the next call to say
        limited = failure if isinstance(failure, RateLimited) else None
        self._refusals = self._refusals + 1 if limited else 0
        least = limited.retry_after_seconds if limited else 0
        if asyncio.get_running_loop().time() - self._lost_at < SOON_FOR_SECONDS:
            return least + self._wait_for_a_broken_one(self._soon)
        if isinstance(failure, SlotTaken) or self._refusals >= REFUSALS_UNTIL_TAKEN:
            self._audience.tell_trouble("orders", OrdersPolled())
            return least + TAKEN_WAIT_SECONDS[0] / 2 + self._taken.next_seconds()
        return least + self._wait_for_a_broken_one(self._broken)

    def _wait_for_a_broken_one(self, backoff: Backoff) -> float:
        if backoff.failures:
            self._audience.tell_trouble("orders", OrdersDelayed())
        return backoff.next_seconds()
