"""Listens to Alpaca's trade_updates for one account, while anyone subscribes to it."""

import asyncio
from collections.abc import Callable, Hashable
from http import HTTPStatus
from math import inf
from typing import Final, final

from corral.alpaca.environments import Environment
from corral.alpaca.errors import AlpacaAuthError, AlpacaError, AlpacaRateLimited, ConnectionDropped, SlotTaken
from corral.alpaca.trade_updates import TradeUpdates, TradeUpdatesConnection
from corral.errors import InternalError
from corral.secret import Secret
from corral.stream.audience import Outlet
from corral.stream.backoff import Backoff
from corral.stream.order_tracker import OrderTracker
from corral.stream.permit import Permit
from corral.stream.poller import Poller
from corral.stream.problems import OrdersDelayed, OrdersPolled
from corral.stream.subscriptions import Subscription, Subscriptions
from corral.stream.trade_relay import TradeRelay

FIRST_WAIT_SECONDS: Final = 2.0
LONGEST_WAIT_SECONDS: Final = 60.0
STABLE_SECONDS: Final = 10.0  # a connection that was up for this long is stable
# After our connection was lost, Alpaca may count it for a while: no other program has it then.
SOON_SECONDS: Final = 10.0
SOON_FOR_SECONDS: Final = 120.0
# Another program has the account's only connection, most likely one of its owner: check from time to time whether it
# is free.
TAKEN_WAIT_SECONDS: Final = (60.0, 600.0)
_MAY_MEAN_KEYS: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
REFUSALS_UNTIL_TAKEN: Final = 3  # 429s in a row: a single one is a rate limit


@final
class TradeUpdatesListener:
    """Holds the account's only connection, with the keys of one of the accepted subscriptions."""

    def __init__(
        self,
        trade_updates: TradeUpdates,
        *,
        subscriptions: Subscriptions,
        outlet: Outlet,
        tracker: OrderTracker,
        poller: Poller,
        relay: TradeRelay,
        permit: Permit,
        is_place_doubtful: bool,
        may_others_watch: Callable[[], bool],
    ) -> None:
        """`is_place_doubtful` says that Alpaca may count the socket of another process, which is gone, for a while.

        While other processes of Corral's may watch the account, too, nobody says that another program has its place.
        """
        self._trade_updates = trade_updates
        self._subscriptions = subscriptions
        self._outlet = outlet
        self._tracker = tracker
        self._poller = poller
        self._relay = relay
        self._subscription: Subscription | None = None
        self._listening: asyncio.Task[None] | None = None
        self._permit = permit
        self._lost_at = asyncio.get_running_loop().time() if is_place_doubtful else -inf
        self._may_others_watch = may_others_watch
        self._refusals = 0
        self._soon = Backoff(first=FIRST_WAIT_SECONDS, longest=SOON_SECONDS)
        self._broken = Backoff(first=FIRST_WAIT_SECONDS, longest=LONGEST_WAIT_SECONDS)
        self._taken = Backoff(first=TAKEN_WAIT_SECONDS[0], longest=TAKEN_WAIT_SECONDS[1])

    def release(self, subscription: Subscription) -> None:
        """Closes the connection if it uses this subscription's keys. It reconnects with those of another one."""
        if subscription is self._subscription and self._listening is not None:
            self._listening.cancel()

    async def run(self) -> None:
        while True:
            self._subscription = await self._subscriptions.any_accepted(after=self._subscription)
            self._listening = asyncio.get_running_loop().create_task(self._listen(self._subscription))
            try:
                await asyncio.wait({self._listening})
            finally:
                self._listening.cancel()
                self._poller.is_connected = False
                await asyncio.wait({self._listening})  # until the connection is closed
            if not self._listening.cancelled():
                await asyncio.sleep(self._handle_failure(self._subscription, self._listening.exception()))

    async def _listen(self, subscription: Subscription) -> None:
        """Runs until it raises AlpacaError."""
        await self._permit()
        connection = await subscription.credential.call(self._connect)
        loop = asyncio.get_running_loop()
        stable = loop.call_later(STABLE_SECONDS, self._mark_stable)
        try:
            self._refusals = 0
            self._poller.note_opening()
            self._relay.begin(subscription.credential)
            while True:
                await self._receive(connection)
        finally:
            self._relay.interrupt()
            stable.cancel()
            self._lost_at = loop.time()
            await connection.close()

    async def _connect(
        self, environment: Environment, api_key: Secret, secret_key: Secret, /, *, budget_key: Hashable, leaving: int
    ) -> TradeUpdatesConnection:
        """A WebSocket connection does not count as a request of the account."""
        del budget_key, leaving
        return await self._trade_updates.connect(environment, api_key, secret_key)

    def _mark_stable(self) -> None:
        """Resolves problems of the connection once it has been up for a while."""
        for backoff in (self._soon, self._broken, self._taken):
            backoff.reset()
        self._outlet.report("orders", None)

    async def _receive(self, connection: TradeUpdatesConnection) -> None:
        frame = await connection.next_frame()
        await self._relay.take(frame)
        update = frame.update
        if update is None:  # a message that could not be read
            self._poller.scan_orders()
        elif (event := self._tracker.update(update.event, update.order)) is not None:
            self._outlet.publish([event])
            self._poller.reconsider()

    def _handle_failure(self, subscription: Subscription, failure: BaseException | None) -> float:
        """Returns after how many seconds to try again."""
        if not isinstance(failure, AlpacaError | InternalError):
            raise failure or ConnectionDropped
        status = failure.status if isinstance(failure, AlpacaError) else None
        if isinstance(failure, AlpacaAuthError) or status in _MAY_MEAN_KEYS:
            self._subscriptions.verify_next(subscription)  # only a request for the account shows whether they are
            self._poller.reconsider()
        limited = failure if isinstance(failure, AlpacaRateLimited) else None
        self._refusals = self._refusals + 1 if limited else 0
        least = limited.retry_after_seconds if limited else 0
        may_be_ours = asyncio.get_running_loop().time() - self._lost_at < SOON_FOR_SECONDS
        if may_be_ours or self._may_others_watch():
            return least + self._wait_after_loss(self._soon)
        if isinstance(failure, SlotTaken) or self._refusals >= REFUSALS_UNTIL_TAKEN:
            self._outlet.report("orders", OrdersPolled())
            return least + TAKEN_WAIT_SECONDS[0] / 2 + self._taken.next_seconds()
        return least + self._wait_after_loss(self._broken)

    def _wait_after_loss(self, backoff: Backoff) -> float:
        if backoff.failures:
            self._outlet.report("orders", OrdersDelayed())
        return backoff.next_seconds()
