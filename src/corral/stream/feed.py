"""One feed per Alpaca account, however many people, credentials and browser tabs subscribe to it."""

import asyncio
from collections.abc import Coroutine, Iterable
from contextvars import Context
from typing import final

from corral.accounts.reader import AccountReader
from corral.alpaca.environments import Environment
from corral.alpaca.trade_updates import TradeUpdates
from corral.credentials.problems import CredentialRefused
from corral.errors import InternalError
from corral.logs import get_logger
from corral.stream.account_state import AccountState
from corral.stream.events import StreamEvent
from corral.stream.order_tracker import OrderTracker
from corral.stream.order_updates import TradeUpdatesListener
from corral.stream.poller import Poller
from corral.stream.subscriptions import Subscription, Subscriptions
from corral.stream.trade_relay import FrameListener, TradeRelay

_log = get_logger()

AccountKey = tuple[Environment, str]


@final
class Feed:
    """Starts with its first subscription and stops with its last.

    Alpaca is polled only for subscriptions that want it. The account's socket is open for any of them.
    """

    def __init__(self, accounts: AccountReader, trade_updates: TradeUpdates, interval_seconds: float) -> None:
        self.members: set[Subscription] = set()  # including those whose keys are refused
        self._subscriptions = Subscriptions()
        self._state = AccountState()
        tracker = OrderTracker()
        self._poller = Poller(accounts, interval_seconds, self._subscriptions, self._state, tracker)
        self.relay = TradeRelay(accounts, self._subscriptions)
        self._listener = TradeUpdatesListener(trade_updates, self._subscriptions, tracker, self._poller, self.relay)
        self._subscriptions.on_removal = self._listener.release
        self._tasks: list[asyncio.Task[None]] = []

    def join(self, subscription: Subscription) -> None:
        self.members.add(subscription)
        self.mark(subscription, is_refused=subscription.is_marked_refused)
        if not self._tasks:
            self._tasks = [self._start(self._poller.run()), self._start(self._listener.run())]

    def mark(self, subscription: Subscription, *, is_refused: bool) -> None:
        """Applies the mark of the row. While the row is marked as refused, its keys are not used."""
        subscription.is_marked_refused = is_refused
        if is_refused:
            self._subscriptions.refuse(subscription, CredentialRefused())
        else:
            self._subscriptions.add(subscription)
            self._poller.wake()

    def want_positions(self, subscription: Subscription, *, is_wanted: bool) -> None:
        """Says whether anybody looks at the account's positions by this subscription."""
        subscription.wants_positions = is_wanted
        if is_wanted:
            self._poller.reconsider()

    def leave(self, subscription: Subscription) -> None:
        self.members.discard(subscription)
        self._subscriptions.remove(subscription)

    def known(self) -> Iterable[StreamEvent]:
        return self._state.known()

    def stop(self) -> None:
        self._subscriptions.close()
        self.relay.close()
        Context().run(self._poller.close)  # what it logs belongs to no request
        for task in self._tasks:
            task.cancel()

    def _start(self, work: Coroutine[None, None, None]) -> "asyncio.Task[None]":
        # In its own context: it outlives the request that started it, and its log lines do not belong to that request.
        task = asyncio.get_running_loop().create_task(work, context=Context())
        task.add_done_callback(self._report_bug)
        return task

    def _report_bug(self, task: "asyncio.Task[None]") -> None:
        """Logs a bug, which ends the feed."""
        if not task.cancelled() and (bug := task.exception()):
            _log.error("feed_broke", exc_info=bug)
            self._subscriptions.report("polling", InternalError())
            self.relay.give_up()


@final
class Feeds:
    """The feeds of all accounts that have subscriptions."""

    def __init__(self, accounts: AccountReader, trade_updates: TradeUpdates, interval_seconds: float) -> None:
        self._accounts = accounts
        self._trade_updates = trade_updates
        self._interval_seconds = interval_seconds
        self._feeds: dict[AccountKey, Feed] = {}

    def __len__(self) -> int:
        return len(self._feeds)

    def join(self, subscription: Subscription) -> None:
        key = _account_of(subscription)
        if key not in self._feeds:
            self._feeds[key] = Feed(self._accounts, self._trade_updates, self._interval_seconds)
        self._feeds[key].join(subscription)

    def leave(self, subscription: Subscription) -> None:
        feed = self._feeds[_account_of(subscription)]
        feed.leave(subscription)
        if not feed.members:
            del self._feeds[_account_of(subscription)]
            feed.stop()

    def mark(self, subscription: Subscription, *, is_refused: bool) -> None:
        self._feeds[_account_of(subscription)].mark(subscription, is_refused=is_refused)

    def want_positions(self, subscription: Subscription, *, is_wanted: bool) -> None:
        self._feeds[_account_of(subscription)].want_positions(subscription, is_wanted=is_wanted)

    def known(self, subscription: Subscription) -> Iterable[StreamEvent]:
        """Returns nothing for a subscription whose own keys have not been accepted yet."""
        return self._feeds[_account_of(subscription)].known() if subscription.is_accepted else []

    async def listen(self, listener: FrameListener) -> None:
        """From now on it gets every frame of its subscription's account. Waits for Alpaca's socket."""
        await self._feeds[_account_of(listener.subscription)].relay.listen(listener)

    def unlisten(self, listener: FrameListener) -> None:
        self._feeds[_account_of(listener.subscription)].relay.remove(listener)


def _account_of(subscription: Subscription) -> AccountKey:
    stored = subscription.credential.stored
    return stored.credential_type, stored.account_id
