"""One feed per Alpaca account, however many people, credentials and browser tabs subscribe to it."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextvars import Context
from datetime import datetime
from typing import final

from corral.accounts.reader import AccountReader
from corral.alpaca.environments import Environment
from corral.alpaca.trade_updates import TradeUpdates
from corral.credentials.problems import CredentialRefused
from corral.errors import InternalError
from corral.logs import get_logger
from corral.stream.account_log import Entry, load
from corral.stream.audience import Audience, Outlet
from corral.stream.events import LogPosition, StreamEvent
from corral.stream.frame_listeners import FrameListener
from corral.stream.permit import Permit, always
from corral.stream.sharing import Sharing
from corral.stream.subscriptions import Subscription, Subscriptions
from corral.stream.turns import Turns
from corral.stream.verifier import Verifier
from corral.stream.watch import Watch
from corral.valkey.errors import ValkeyAway

AccountKey = tuple[Environment, str]

_log = get_logger()


@final
class Feed:
    """Starts with its first subscription and stops with its last.

    A process that shares nothing watches the account itself. Others take turns.
    """

    def __init__(
        self,
        account: AccountKey,
        accounts: AccountReader,
        trade_updates: TradeUpdates,
        interval_seconds: float,
        sharing: Sharing | None,
    ) -> None:
        self.members: set[Subscription] = set()  # including those whose keys are refused
        self._account = account
        self._accounts = accounts
        self._trade_updates = trade_updates
        self._interval_seconds = interval_seconds
        self._sharing = sharing
        self._subscriptions = Subscriptions()
        self._subscriptions.on_removal = self._release
        self.audience = Audience(self._subscriptions)
        self._watch: Watch | None = None
        self._turns: Turns | None = None
        self._taking_turns: asyncio.Task[None] | None = None

    @property
    def watch(self) -> Watch | None:
        """None while another process watches the account."""
        return self._watch if self._turns is None else self._turns.watch

    def join(self, subscription: Subscription) -> None:
        self.members.add(subscription)
        self.mark(subscription, is_refused=subscription.is_marked_refused)
        if self._sharing is not None and self._turns is None:
            self._turns = self._take_turns(self._sharing)
        elif self._sharing is None and self._watch is None:
            self._watch = self._watch_alone()

    def mark(self, subscription: Subscription, *, is_refused: bool) -> None:
        """Applies the mark of the row. While the row is marked as refused, its keys are not used."""
        subscription.is_marked_refused = is_refused
        if is_refused:
            self._subscriptions.refuse(subscription, CredentialRefused())
        else:
            self._subscriptions.add(subscription)
            if self.watch is not None:
                self.watch.wake()

    def want_positions(self, subscription: Subscription, *, is_wanted: bool) -> None:
        """Says whether anybody looks at the account's positions by this subscription."""
        subscription.wants_positions = is_wanted
        if self._turns is not None:
            self._turns.note_interest()
        elif self._watch is not None:
            self._watch.reconsider()

    def leave(self, subscription: Subscription) -> None:
        self.members.discard(subscription)
        self._subscriptions.remove(subscription)

    def known(self, subscription: Subscription, since: datetime | None) -> Iterable[StreamEvent]:
        return self.audience.known(subscription, since)

    async def told_between(self, after: LogPosition, until: LogPosition) -> Sequence[Entry] | None:
        """Returns what was told after one position and up to another; None if a part of that is no longer there."""
        if self._sharing is None:
            return None
        try:
            entries = (await load(self._sharing.valkey, "/".join(self._account))).after(after)
        except ValkeyAway:
            return None
        return None if entries is None else [entry for entry in entries if entry.position <= until]

    def stop(self) -> None:
        """Ends all calls to Alpaca. A feed that takes turns hands its own over in `close`."""
        self._subscriptions.close()
        if self._watch is not None:
            self._watch.stop()
        if self._taking_turns is not None:
            self._taking_turns.cancel()

    async def close(self) -> None:
        """To be called after `stop`."""
        if self._turns is not None and self._taking_turns is not None:
            await asyncio.gather(self._taking_turns, return_exceptions=True)
            await self._turns.close()

    def _watch_alone(self) -> Watch:
        frames = self.audience.frames
        watch = self._begin_watch(
            self.audience,
            permit=always,
            has_listeners=lambda: len(frames) > 0,
            is_place_doubtful=False,
            may_others_watch=bool,
        )
        frames.on_interest = watch.relay.note_interest
        return watch

    def _begin_watch(
        self,
        outlet: Outlet,
        *,
        permit: Permit,
        has_listeners: Callable[[], bool],
        is_place_doubtful: bool,
        may_others_watch: Callable[[], bool],
    ) -> Watch:
        return Watch(
            self._accounts,
            self._trade_updates,
            self._interval_seconds,
            subscriptions=self._subscriptions,
            audience=self.audience,
            outlet=outlet,
            has_listeners=has_listeners,
            permit=permit,
            is_place_doubtful=is_place_doubtful,
            may_others_watch=may_others_watch,
        )

    def _take_turns(self, sharing: Sharing) -> Turns:
        turns = Turns(
            sharing,
            "/".join(self._account),
            audience=self.audience,
            subscriptions=self._subscriptions,
            verifier=Verifier(self._accounts, self._subscriptions, self.audience),
            begin_watch=self._begin_watch,
        )
        # In its own context: it outlives the request that started it, and its log lines do not belong to that request.
        self._taking_turns = asyncio.get_running_loop().create_task(turns.run(), context=Context())
        self._taking_turns.add_done_callback(self._report_bug)
        return turns

    def _report_bug(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (bug := task.exception()):
            _log.error("feed_broke", exc_info=bug)
            if self._turns is not None:
                self._turns.give_up()
            self.audience.report("polling", InternalError())

    def _release(self, subscription: Subscription) -> None:
        if self.watch is not None:
            self.watch.release(subscription)


@final
class Feeds:
    """The feeds of all accounts that have subscriptions."""

    def __init__(
        self,
        accounts: AccountReader,
        trade_updates: TradeUpdates,
        interval_seconds: float,
        sharing: Sharing | None = None,
    ) -> None:
        self._accounts = accounts
        self._trade_updates = trade_updates
        self._interval_seconds = interval_seconds
        self._sharing = sharing
        self._feeds: dict[AccountKey, Feed] = {}
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def is_shared(self) -> bool:
        return self._sharing is not None

    def __len__(self) -> int:
        return len(self._feeds)

    def join(self, subscription: Subscription) -> None:
        key = _account_of(subscription)
        if key not in self._feeds:
            self._feeds[key] = Feed(key, self._accounts, self._trade_updates, self._interval_seconds, self._sharing)
        self._feeds[key].join(subscription)

    def leave(self, subscription: Subscription) -> None:
        feed = self._feeds[_account_of(subscription)]
        feed.leave(subscription)
        if not feed.members:
            del self._feeds[_account_of(subscription)]
            feed.stop()
            if not self.is_shared:
                return
            closing = asyncio.get_running_loop().create_task(feed.close(), context=Context())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Returns once all that has been left is handed over."""
        await asyncio.gather(*self._closing, return_exceptions=True)

    def mark(self, subscription: Subscription, *, is_refused: bool) -> None:
        self._feeds[_account_of(subscription)].mark(subscription, is_refused=is_refused)

    def want_positions(self, subscription: Subscription, *, is_wanted: bool) -> None:
        self._feeds[_account_of(subscription)].want_positions(subscription, is_wanted=is_wanted)

    def known(self, subscription: Subscription, since: datetime | None) -> Iterable[StreamEvent]:
        """As `Audience.known`."""
        return self._feeds[_account_of(subscription)].known(subscription, since)

    async def told_between(
        self, subscription: Subscription, after: LogPosition, until: LogPosition
    ) -> Sequence[Entry] | None:
        """Returns what its account's log has after one position and up to another; None if that is incomplete."""
        return await self._feeds[_account_of(subscription)].told_between(after, until)

    async def listen(self, listener: FrameListener) -> None:
        """From now on it gets every frame of its subscription's account. Waits for Alpaca's socket."""
        await self._feeds[_account_of(listener.subscription)].audience.frames.listen(listener)

    def unlisten(self, listener: FrameListener) -> None:
        self._feeds[_account_of(listener.subscription)].audience.frames.remove(listener)


def _account_of(subscription: Subscription) -> AccountKey:
    stored = subscription.credential.stored
    return stored.credential_type, stored.account_id
