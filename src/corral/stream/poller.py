"""Polls Alpaca for one account, one call at a time, while anyone subscribes to it."""

import asyncio
import random
from typing import Final, final

from corral.accounts.reader import AccountReader
from corral.alpaca.items import count_unreadable
from corral.alpaca.orders import MOST_ORDERS
from corral.credentials.problems import AccountRateLimited, AnotherAccount, CredentialRefused
from corral.errors import InternalError, Problem
from corral.stream.account_state import AccountState, account_event
from corral.stream.audience import Audience, Outlet
from corral.stream.backoff import Backoff
from corral.stream.order_tracker import OrderBackfill
from corral.stream.permit import Permit
from corral.stream.problems import OrdersUnavailable, OrdersUnreadable, PositionsUnavailable, PositionsUnreadable
from corral.stream.subscriptions import Part, Subscription, Subscriptions

LONGEST_WAIT_SECONDS: Final = 30.0
# Orders are scanned once in this many calls, also while the socket is connected, in case it misses an event.
CALLS_BETWEEN_SCANS: Final = 5
CALLS_BETWEEN_SCANS_WHILE_CONNECTED: Final = 15
# While Alpaca may count the socket of a process that is gone, which it does for about 90 seconds.
CALLS_BETWEEN_SCANS_IN_DOUBT: Final = 1
DOUBTFUL_SECONDS: Final = 120.0
SCANS_BETWEEN_CORRECTIONS: Final = 10  # once in this many scans, finished orders are included


class _Read:
    """One of the lists: its last failure, and when it is tried again."""

    def __init__(self, part: Part, unavailable: type[Problem], backoff: Backoff) -> None:
        self.part: Final[Part] = part
        self._unavailable = unavailable
        self._backoff = backoff
        self._not_before = 0.0
        self.problem: Problem | None = None
        self.is_reported = False

    def is_due(self) -> bool:
        return asyncio.get_running_loop().time() >= self._not_before

    def failed(self) -> None:
        self.problem = self._unavailable()
        self.is_reported = False
        self._not_before = asyncio.get_running_loop().time() + self._backoff.next_seconds()

    def succeeded(self) -> None:
        self._backoff.reset()
        self.forget()

    def forget(self) -> None:
        self.problem, self._not_before = None, 0.0


@final
class Poller:
    """One call per interval, for any number of subscriptions. Times are those of the event loop, which is monotonic.

    Waits for its `permit` before each call.

    A list that can't be read is tried again later. Meanwhile the others and the account go on.
    """

    def __init__(
        self,
        accounts: AccountReader,
        interval_seconds: float,
        *,
        subscriptions: Subscriptions,
        audience: Audience,
        outlet: Outlet,
        permit: Permit,
        is_place_doubtful: bool,
    ) -> None:
        self.is_connected = False  # whether the account's socket is open
        self._accounts = accounts
        self._interval_seconds = interval_seconds
        self._subscriptions = subscriptions
        self._audience = audience
        self._outlet = outlet
        self._permit = permit
        self._doubtful_until = asyncio.get_running_loop().time() + DOUBTFUL_SECONDS if is_place_doubtful else 0.0
        self._state = AccountState()
        self._state.load(audience.told.events())
        self._tracker = audience.told.tracker
        self._backfill: OrderBackfill | None = None
        self._calls_since_scan = CALLS_BETWEEN_SCANS
        self._scans = 0
        self._is_scan_due = True
        self._is_positions_turn = True
        self._is_down = False  # whether the last request for the account failed
        self._joined = asyncio.Event()
        self._backoff = self._new_backoff()
        self._positions = _Read("positions", PositionsUnavailable, self._new_backoff())
        self._orders = _Read("order_list", OrdersUnavailable, self._new_backoff())
        # The first pause has a random addition, so that feeds that started together do not stay synchronized.
        self._phase = random.random()  # noqa: S311 - spreads load, guards nothing

    def wake(self) -> None:
        """Called after a new subscription: ends a wait after a failure early, but not the interval."""
        self._joined.set()

    def scan_orders(self) -> None:
        """Requests a scan, because orders may have changed without an event, also during a scan in progress."""
        self._is_scan_due = True

    def refresh_positions(self) -> None:
        self._is_positions_turn = True

    async def run(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            subscription = await self._subscriptions.next_in_turn()
            await self._permit()
            began = clock()
            wait = await self._ask(subscription)
            pause = max(self._interval_seconds, self._accounts.polite_seconds(subscription.credential))
            interval = pause * (1 + self._phase)
            self._phase = 0.0
            await asyncio.sleep(began + interval - clock())
            await self._wait_or_wake(wait)

    def _new_backoff(self) -> Backoff:
        return Backoff(first=2 * self._interval_seconds, longest=LONGEST_WAIT_SECONDS)

    async def _wait_or_wake(self, seconds: float) -> None:
        if seconds > 0:
            try:
                async with asyncio.timeout(seconds):
                    await self._joined.wait()
            except TimeoutError:
                pass
        self._joined.clear()

    async def _ask(self, subscription: Subscription) -> float:
        """Returns how long to wait beyond the interval."""
        read = self._next_read(subscription)
        try:
            await self._fetch(read, subscription)
        except (CredentialRefused, AnotherAccount, InternalError) as refused:
            self._subscriptions.refuse(subscription, refused)
            subscription.credential.suspect()
            return 0
        except Problem as problem:
            return self._handle_failure(read, subscription, problem)
        return 0

    def _handle_failure(self, read: _Read | None, subscription: Subscription, problem: Problem) -> float:
        if read is not None and not isinstance(problem, AccountRateLimited):
            read.failed()
            return 0
        self._is_down = True
        self._positions.forget()
        self._orders.forget()
        subscription.report("polling", problem)
        self._outlet.report("polling", problem)
        return max(problem.retry_after or 0, self._backoff.next_seconds())

    def _next_read(self, subscription: Subscription) -> _Read | None:
        """Returns None for the account, which is requested to verify new keys."""
        self._calls_since_scan += 1
        if not subscription.is_accepted or not subscription.is_polled or self._is_doubtful():
            return None
        if self._orders.is_due() and (self._backfill is not None or self._is_time_to_scan()):
            return self._orders
        return self._positions if self._is_positions_turn and self._positions.is_due() else None

    def _is_doubtful(self) -> bool:
        """Whether a list failed and it is not yet known whether the account can be read."""
        return any(read.problem is not None and not read.is_reported for read in (self._positions, self._orders))

    async def _fetch(self, read: _Read | None, subscription: Subscription) -> None:
        if read is None:
            await self._fetch_account(subscription)
        elif read is self._orders:
            await self._fetch_orders(subscription)
        else:
            await self._fetch_positions(subscription)

    async def _fetch_account(self, subscription: Subscription) -> None:
        self._is_positions_turn = True
        credential = subscription.credential
        answer = await self._accounts.account_data_of(credential, is_fresh=not subscription.is_accepted)
        self._backoff.reset()
        self._outlet.report("polling", None)
        if self._state.update_account(answer):
            self._outlet.publish([account_event(answer)])
        else:
            self._outlet.refresh(account_event(answer))
        self._audience.accept(subscription)
        was_down, self._is_down = self._is_down, False
        for read in (self._positions, self._orders):
            if read.problem is None:
                continue
            if was_down:
                read.forget()  # it failed in the outage that is now over
            else:
                read.is_reported = True
                self._outlet.report(read.part, read.problem)

    async def _fetch_positions(self, subscription: Subscription) -> None:
        self._is_positions_turn = False
        entries = await self._accounts.positions(subscription.credential)
        self._positions.succeeded()
        is_whole = not count_unreadable(entries)
        self._outlet.report("positions", None if is_whole else PositionsUnreadable())
        self._outlet.publish(self._state.update_positions(entries))

    async def _fetch_orders(self, subscription: Subscription) -> None:
        if self._backfill is None:
            self._begin_scan()
        backfill = self._backfill
        assert backfill is not None  # noqa: S101 - just begun
        page = await self._accounts.orders(subscription.credential, backfill.query, backfill.place, limit=MOST_ORDERS)
        self._outlet.publish(backfill.take(page))
        self._orders.succeeded()
        if backfill.is_done:
            self._outlet.note_tracked(backfill.begun if backfill.is_first else None)
            self._outlet.report("order_list", OrdersUnreadable() if backfill.unreadable else None)
            self._backfill = None

    def _begin_scan(self) -> None:
        self._is_scan_due, self._calls_since_scan = False, 0
        self._backfill = OrderBackfill(self._tracker, for_corrections=self._scans % SCANS_BETWEEN_CORRECTIONS == 0)
        self._scans += 1

    def _is_time_to_scan(self) -> bool:
        calls = CALLS_BETWEEN_SCANS_WHILE_CONNECTED if self.is_connected else CALLS_BETWEEN_SCANS
        if not self.is_connected and asyncio.get_running_loop().time() < self._doubtful_until:
            calls = CALLS_BETWEEN_SCANS_IN_DOUBT
        return self._is_scan_due or self._calls_since_scan > calls
