"""Polls Alpaca for one account, one call at a time, while anyone subscribes to it.

The account and its positions are read in turn. While nobody looks at the positions, they are read after fills and every
30 seconds only, so that they are nearly current when somebody begins to look, and their turn passes without a call.
"""

import asyncio
import random
from contextlib import suppress
from math import inf
from typing import Final, final

from corral.accounts.reader import AccountReader
from corral.alpaca.call_summary import CallSummary
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
# Orders are scanned once in this many turns, also while the socket is connected, in case it misses an event.
TURNS_BETWEEN_SCANS: Final = 5
TURNS_BETWEEN_SCANS_WHILE_CONNECTED: Final = 15
# While Alpaca may count the socket of a process that is gone, which it does for about 90 seconds.
TURNS_BETWEEN_SCANS_IN_DOUBT: Final = 1
DOUBTFUL_SECONDS: Final = 120.0
SCANS_BETWEEN_CORRECTIONS: Final = 10  # once in this many scans, finished orders are included
UNWATCHED_POSITIONS_SECONDS: Final = 30.0  # between two reads of positions that nobody looks at
# Alpaca's list of positions may be some seconds behind a fill, so it is read again after this time.
SETTLED_SECONDS: Final = 10.0
MOST_POSITIONS_IN_A_ROW: Final = 2  # reads, however fast orders fill: the account is read in between


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
        self._turns_since_scan = TURNS_BETWEEN_SCANS
        self._scans = 0
        self._is_scan_due = True
        self._positions_in_a_row = 0  # reads of positions since that of the account
        self._positions_due_at = -inf  # also if nobody looks at them
        self._fills_read = self._tracker.fills  # those that the positions are known to contain
        self._is_down = False  # whether the last request for the account failed
        self._joined = asyncio.Event()
        self._opened = asyncio.Event()
        self._changed = asyncio.Event()
        self._summary = CallSummary()
        self._backoff = self._new_backoff()
        self._positions = _Read("positions", PositionsUnavailable, self._new_backoff())
        self._orders = _Read("order_list", OrdersUnavailable, self._new_backoff())
        # The first whole pause has a random addition, so that feeds that started together do not stay synchronized.
        self._phase = random.random()  # noqa: S311 - spreads load, guards nothing

    def wake(self) -> None:
        """Called after a new subscription: ends a wait after a failure early, but not the interval."""
        self._joined.set()
        self.reconsider()

    def reconsider(self) -> None:
        """Called when another read may be due: ends a turn that passes without a call, but not the interval."""
        self._changed.set()

    def scan_orders(self) -> None:
        """Requests a scan, because orders may have changed without an event, also during a scan in progress."""
        self._is_scan_due = True
        self.reconsider()

    def note_opening(self) -> None:
        """Called when the account's socket has opened. What it could not tell is looked for at once.

        This ends an interval early. How often sockets open is limited by their `Backoff`.
        """
        self.is_connected = True
        self.scan_orders()
        self._opened.set()

    def close(self) -> None:
        self._summary.write()

    async def run(self) -> None:
        self._summary.use()
        clock = asyncio.get_running_loop().time
        while True:
            subscription = await self._subscriptions.next_in_turn()
            await self._permit()
            began = clock()
            wait = await self._ask(subscription)
            pause = max(self._interval_seconds, self._accounts.polite_seconds(subscription.credential))
            interval = pause * (1 + self._phase)
            if not await _wait(self._opened, began + interval - clock()):
                self._phase = 0.0
            await _wait(self._joined, wait)
            await self._pass_turn(pause)

    def _new_backoff(self) -> Backoff:
        return Backoff(first=2 * self._interval_seconds, longest=LONGEST_WAIT_SECONDS)

    async def _pass_turn(self, seconds: float) -> None:
        """Waits for so long if it is the positions' turn, nobody looks at them, and no other call is due."""
        self._changed.clear()
        is_turn_of_positions = not self._positions_in_a_row and not self._is_down and not self._is_doubtful()
        if not is_turn_of_positions or self._is_call_due():
            return
        self._turns_since_scan += 1
        await _wait(self._changed, seconds)

    def _is_call_due(self) -> bool:
        return self._subscriptions.have_any_to_verify() or self._are_orders_due() or self._are_positions_due()

    async def _ask(self, subscription: Subscription) -> float:
        """Returns how long to wait beyond the interval."""
        self._summary.credential_id = subscription.credential.stored.id
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
        """Returns None for the account, which is requested to verify new keys.

        It is the first to be known, as its time says which orders have ended recently.
        """
        self._turns_since_scan += 1
        is_polled = subscription.is_accepted and self._subscriptions.is_polled_with(subscription)
        if not is_polled or self._is_doubtful() or not self._state.is_known:
            return None
        if self._are_orders_due():
            return self._orders
        return self._positions if self._are_positions_due() else None

    def _are_orders_due(self) -> bool:
        return self._orders.is_due() and (self._backfill is not None or self._is_time_to_scan())

    def _are_positions_due(self) -> bool:
        if not self._positions.is_due():
            return False
        if self._fills_read != self._tracker.fills and self._positions_in_a_row < MOST_POSITIONS_IN_A_ROW:
            return True
        is_wanted = self._subscriptions.want_positions()
        is_time = asyncio.get_running_loop().time() >= self._positions_due_at
        return not self._positions_in_a_row and (is_wanted or is_time)

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
        self._positions_in_a_row = 0
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
        self._positions_in_a_row += 1
        fills = self._tracker.fills  # an order that fills during the call may not be in the answer
        entries = await self._accounts.positions(subscription.credential)
        self._positions.succeeded()
        seconds = UNWATCHED_POSITIONS_SECONDS if fills == self._fills_read else SETTLED_SECONDS
        self._positions_due_at = asyncio.get_running_loop().time() + seconds
        self._fills_read = fills
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
        self._is_scan_due, self._turns_since_scan = False, 0
        self._backfill = OrderBackfill(self._tracker, for_corrections=self._scans % SCANS_BETWEEN_CORRECTIONS == 0)
        self._scans += 1

    def _is_time_to_scan(self) -> bool:
        turns = TURNS_BETWEEN_SCANS_WHILE_CONNECTED if self.is_connected else TURNS_BETWEEN_SCANS
        if not self.is_connected and asyncio.get_running_loop().time() < self._doubtful_until:
            turns = TURNS_BETWEEN_SCANS_IN_DOUBT
        return self._is_scan_due or self._turns_since_scan > turns


async def _wait(event: asyncio.Event, seconds: float) -> bool:
    """Waits for so long, or until the event, which is then over. Returns whether it came."""
    if seconds > 0:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await event.wait()
    is_set = event.is_set()
    event.clear()
    return is_set
