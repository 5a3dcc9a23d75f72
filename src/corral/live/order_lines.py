"""Listens to Alpaca for what happens to one account's orders, while somebody watches."""

import asyncio
from typing import Final, final

from corral.alpaca.errors import AlpacaError, ConnectionDropped, KeysRefused, SlotTaken
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
STEADY_SECONDS: Final = 30.0  # a connection that was up for so long was a good one
# The account's one connection is somebody else's, most likely a program of its owner's: we only look now and then
# whether it has become free.
TAKEN_WAIT_SECONDS: Final = (60.0, 600.0)


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
        opened_at = asyncio.get_running_loop().time()
        try:
            self._taken.reset()
            self._poller.is_heard = True
            self._poller.look_through_orders()
            self._audience.tell_trouble("orders", None)
            while True:
                await self._hear(line)
        finally:
            if asyncio.get_running_loop().time() - opened_at >= STEADY_SECONDS:
                self._broken.reset()
            await line.close()

    async def _hear(self, line: Line) -> None:
        update = await line.next_update()
        if update is None:  # something was said and could not be read
            self._poller.look_through_orders()
        elif (news := self._ledger.learn(update.event, update.order)) is not None:
            self._audience.tell([news])
            self._poller.look_at_positions()

    def _take_in(self, watcher: Watcher, failure: BaseException | None) -> float:
        """What the end of a connection means; answers after how many seconds to try again."""
        if not isinstance(failure, AlpacaError | InternalError):
            raise failure or ConnectionDropped
        if isinstance(failure, SlotTaken):
            self._audience.tell_trouble("orders", OrdersPolled())
            return TAKEN_WAIT_SECONDS[0] / 2 + self._taken.next_seconds()
        if isinstance(failure, KeysRefused):
            self._poller.doubt(watcher)  # whether they are refused altogether is for the next call to say
        if self._broken.failures:
            self._audience.tell_trouble("orders", OrdersDelayed())
        return self._broken.next_seconds()
