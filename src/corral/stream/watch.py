"""What one process does about an account at Alpaca: polls, the socket, and what follows from both."""

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import final

from corral.accounts.reader import AccountReader
from corral.alpaca.trade_updates import TradeUpdates
from corral.errors import InternalError
from corral.logs import get_logger
from corral.stream.audience import Audience, Outlet
from corral.stream.order_updates import TradeUpdatesListener
from corral.stream.permit import Permit, always
from corral.stream.poller import Poller
from corral.stream.subscriptions import Subscription, Subscriptions
from corral.stream.trade_relay import TradeRelay

_log = get_logger()


@final
class Watch:
    """Alpaca is polled only for subscriptions that want it. The account's socket is open for any of them.

    It says what is new to its outlet, and accepts the subscriptions of this process, whose keys it uses.
    """

    def __init__(
        self,
        accounts: AccountReader,
        trade_updates: TradeUpdates,
        interval_seconds: float,
        *,
        subscriptions: Subscriptions,
        audience: Audience,
        outlet: Outlet,
        has_listeners: Callable[[], bool],
        permit: Permit = always,
        is_place_doubtful: bool = False,
        may_others_watch: Callable[[], bool] = bool,
    ) -> None:
        """Waits for the `permit` before each call. What has been told of the account is not told again.

        `is_place_doubtful` says that Alpaca may count the socket of another process, which is gone, for a while, and
        `may_others_watch` whether other processes may watch the account at this moment.
        """
        self._outlet = outlet
        self.relay = TradeRelay(accounts, outlet, has_listeners=has_listeners, permit=permit)
        self._poller = Poller(
            accounts,
            interval_seconds,
            subscriptions=subscriptions,
            audience=audience,
            outlet=outlet,
            permit=permit,
            is_place_doubtful=is_place_doubtful,
        )
        self._listener = TradeUpdatesListener(
            trade_updates,
            subscriptions=subscriptions,
            outlet=outlet,
            tracker=audience.told.tracker,
            poller=self._poller,
            relay=self.relay,
            permit=permit,
            is_place_doubtful=is_place_doubtful,
            may_others_watch=may_others_watch,
        )
        self.tasks = [self._start(self._poller.run()), self._start(self._listener.run())]

    def wake(self) -> None:
        """Called after a new subscription."""
        self._poller.wake()

    def reconsider(self) -> None:
        """Called after what is wanted of the account has changed."""
        self._poller.reconsider()

    def release(self, subscription: Subscription) -> None:
        """Called after a subscription has left, or its keys were refused: they are not used any more."""
        self._listener.release(subscription)

    @property
    def is_connected(self) -> bool:
        """Whether the account's socket is open."""
        return self._poller.is_connected

    def stop(self) -> None:
        self.relay.close()
        Context().run(self._poller.close)  # what it logs belongs to no request
        for task in self.tasks:
            task.cancel()

    async def close(self) -> None:
        """Stops, and returns once the account's socket is closed."""
        self.stop()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def _start(self, work: Coroutine[None, None, None]) -> "asyncio.Task[None]":
        # In its own context: it outlives the request that started it, and its log lines do not belong to that request.
        task = asyncio.get_running_loop().create_task(work, context=Context())
        task.add_done_callback(self._report_bug)
        return task

    def _report_bug(self, task: "asyncio.Task[None]") -> None:
        """Logs a bug, which ends the watch."""
        if not task.cancelled() and (bug := task.exception()):
            _log.error("feed_broke", exc_info=bug)
            self._outlet.report("polling", InternalError())
            self.relay.give_up()
