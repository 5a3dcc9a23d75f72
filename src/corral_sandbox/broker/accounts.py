"""The accounts in use, and the scheduler that advances their orders when something is due."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from decimal import localcontext
from functools import lru_cache, partial
from heapq import heappop, heappush
from itertools import count

from corral_sandbox.broker.account_settings import AccountConfigurations, Watchlists, initial_configurations
from corral_sandbox.broker.initial_state import AccountTerms, initial_value_at, open_account
from corral_sandbox.broker.ledger import AccountValue, value_of
from corral_sandbox.broker.order_manager import OrderManager
from corral_sandbox.market.money import EXACT
from corral_sandbox.market.time import Clock

_UNCHANGED_ACCOUNTS_KEPT = 10_000  # one that is evicted opens again in the same state


@dataclass(slots=True, eq=False)
class TradingAccount:
    """What one key id sees: `terms` are its initial terms under its configurations.

    Everything but `initial_terms` changes with its requests and lasts until the sandbox ends.
    """

    initial_terms: AccountTerms
    terms: AccountTerms
    configurations: AccountConfigurations
    watchlists: Watchlists
    _order_manager: OrderManager | None = None

    @property
    def order_manager(self) -> OrderManager:
        if self._order_manager is None:
            self._order_manager = OrderManager(self.terms)
        return self._order_manager

    @property
    def has_orders(self) -> bool:
        return self._order_manager is not None and not self._order_manager.has_no_orders

    def value_at(self, at: int) -> AccountValue:
        """Returns the value at a time, in nanoseconds since 1970, to which the orders have been advanced."""
        if not self.has_orders:
            return initial_value_at(self.terms, at)
        return value_of(self.terms.seed, self.order_manager.ledger.state_at(at), at)


class TradingAccounts:
    """Keeps every account that was opened for changes. `on_due` is called when orders of one have something due."""

    def __init__(self, seed: int, on_due: Callable[[OrderManager], None] | None = None) -> None:
        self.seed = seed
        self._on_due = on_due
        self._changed: dict[str, TradingAccount] = {}
        self._open = lru_cache(_UNCHANGED_ACCOUNTS_KEPT)(partial(_open, seed))

    def find(self, key_id: str) -> TradingAccount:
        return self._changed.get(key_id) or self._open(key_id)

    def open_for_changes(self, key_id: str) -> TradingAccount:
        account = self._changed.setdefault(key_id, self.find(key_id))
        account.order_manager.on_change = self._on_due
        return account


def _open(seed: int, key_id: str) -> TradingAccount:
    terms = open_account(seed, key_id)
    return TradingAccount(terms, terms, initial_configurations(terms), Watchlists(str(terms.profile["id"])))


class OrderScheduler:
    """Order managers, by the time at which something is next due."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._entries: list[tuple[int, int, OrderManager]] = []
        self._next_due: dict[OrderManager, int] = {}
        self._numbers = count()
        self._next_due_changed = asyncio.Event()

    def schedule(self, manager: OrderManager) -> None:
        """Call whenever something new is due. Only the earliest time of a manager is scheduled."""
        due = manager.next_due
        if due is None or due >= self._next_due.get(manager, due + 1):
            return
        if not self._entries or due < self._entries[0][0]:
            self._next_due_changed.set()
        self._next_due[manager] = due
        heappush(self._entries, (due, next(self._numbers), manager))

    async def run(self) -> None:
        """Runs until it is cancelled."""
        while True:
            self._next_due_changed.clear()
            self._advance()
            if not self._entries:
                await self._next_due_changed.wait()
            else:
                await self._sleep_until(self._entries[0][0])

    def _advance(self) -> None:
        now = self._clock.now()
        while self._entries and self._entries[0][0] <= now:
            due, _, manager = heappop(self._entries)
            if self._next_due.get(manager) != due:
                continue
            del self._next_due[manager]
            with localcontext(EXACT):
                manager.advance(now)
            self.schedule(manager)

    async def _sleep_until(self, due: int) -> None:
        """Sleeps until then, or until something is due earlier."""
        ends = [
            asyncio.ensure_future(self._clock.sleep_until(due)),
            asyncio.ensure_future(self._next_due_changed.wait()),
        ]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in ends:
                end.cancel()
