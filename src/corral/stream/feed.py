"""One feed per Alpaca account, however many people, credentials and browser tabs subscribe to it."""

from collections.abc import Iterable
from typing import final

from corral.accounts.reader import AccountReader
from corral.alpaca.environments import Environment
from corral.alpaca.trade_updates import TradeUpdates
from corral.credentials.problems import CredentialRefused
from corral.stream.audience import Audience
from corral.stream.events import StreamEvent
from corral.stream.frame_listeners import FrameListener
from corral.stream.subscriptions import Subscription, Subscriptions
from corral.stream.watch import Watch

AccountKey = tuple[Environment, str]


@final
class Feed:
    """Starts with its first subscription and stops with its last."""

    def __init__(self, accounts: AccountReader, trade_updates: TradeUpdates, interval_seconds: float) -> None:
        self.members: set[Subscription] = set()  # including those whose keys are refused
        self._accounts = accounts
        self._trade_updates = trade_updates
        self._interval_seconds = interval_seconds
        self._subscriptions = Subscriptions()
        self._subscriptions.on_removal = self._release
        self.audience = Audience(self._subscriptions)
        self.watch: Watch | None = None

    def join(self, subscription: Subscription) -> None:
        self.members.add(subscription)
        self.mark(subscription, is_refused=subscription.is_marked_refused)
        if self.watch is None:
            self.watch = self._begin_watch()

    def mark(self, subscription: Subscription, *, is_refused: bool) -> None:
        """Applies the mark of the row. While the row is marked as refused, its keys are not used."""
        subscription.is_marked_refused = is_refused
        if is_refused:
            self._subscriptions.refuse(subscription, CredentialRefused())
        else:
            self._subscriptions.add(subscription)
            if self.watch is not None:
                self.watch.wake()

    def leave(self, subscription: Subscription) -> None:
        self.members.discard(subscription)
        self._subscriptions.remove(subscription)

    def known(self) -> Iterable[StreamEvent]:
        return self.audience.known()

    def stop(self) -> None:
        self._subscriptions.close()
        if self.watch is not None:
            self.watch.stop()

    def _begin_watch(self) -> Watch:
        frames = self.audience.frames
        watch = Watch(
            self._accounts,
            self._trade_updates,
            self._interval_seconds,
            subscriptions=self._subscriptions,
            audience=self.audience,
            outlet=self.audience,
            has_listeners=lambda: len(frames) > 0,
        )
        frames.on_interest = watch.relay.note_interest
        return watch

    def _release(self, subscription: Subscription) -> None:
        if self.watch is not None:
            self.watch.release(subscription)


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

    def known(self, subscription: Subscription) -> Iterable[StreamEvent]:
        """Returns nothing for a subscription whose own keys have not been accepted yet."""
        return self._feeds[_account_of(subscription)].known() if subscription.is_accepted else []

    async def listen(self, listener: FrameListener) -> None:
        """From now on it gets every frame of its subscription's account. Waits for Alpaca's socket."""
        await self._feeds[_account_of(listener.subscription)].audience.frames.listen(listener)

    def unlisten(self, listener: FrameListener) -> None:
        self._feeds[_account_of(listener.subscription)].audience.frames.remove(listener)


def _account_of(subscription: Subscription) -> AccountKey:
    stored = subscription.credential.stored
    return stored.credential_type, stored.account_id
