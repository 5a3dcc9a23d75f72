"""The accounts in use, and the scheduler that advances their orders when something is due."""

import asyncio
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from decimal import localcontext
from functools import partial
from heapq import heappop, heappush, nlargest
from itertools import chain, count

from corral_sandbox.broker.account_settings import AccountConfigurations, Watchlists, initial_configurations
from corral_sandbox.broker.characters import open_account_with_character
from corral_sandbox.broker.initial_state import AccountTerms, initial_value_at, open_plain_account
from corral_sandbox.broker.ledger import AccountValue, value_of
from corral_sandbox.broker.matching import LIQUIDITY, Depth
from corral_sandbox.broker.order_manager import EventListener, ExecutionListener, OrderManager
from corral_sandbox.market.money import EXACT
from corral_sandbox.market.prices import Market
from corral_sandbox.market.time import Clock

_UNCHANGED_ACCOUNTS_KEPT = 10_000  # one that is evicted opens again in the same state


@dataclass(slots=True, eq=False)
class TradingAccount:
    """What one key id sees: `terms` are its initial terms under its configurations.

    Everything but `initial_terms` changes with its requests and lasts until the account is replaced. `last_use` is
    greater than that of every account that was used before.
    """

    initial_terms: AccountTerms
    terms: AccountTerms
    configurations: AccountConfigurations
    watchlists: Watchlists
    depth: Depth = lambda: LIQUIDITY
    last_use: int = 0
    _order_manager: OrderManager | None = None

    @property
    def order_manager(self) -> OrderManager:
        if self._order_manager is None:
            self._order_manager = OrderManager(self.terms, self.depth)
        return self._order_manager

    @property
    def is_as_opened(self) -> bool:
        """Whether it has had no orders, so that its value follows from its terms."""
        if self._order_manager is not None and not self._order_manager.has_no_orders:
            return False
        return not self.terms.holds_options

    def uses(self, symbol: str) -> bool:
        """Whether it holds a share or coin, has ever had an order in it, or has it in a watchlist."""
        assets = [order.request.asset for order in self.order_manager.orders.values()]
        assets += [asset for watchlist in self.watchlists.all() for asset in watchlist.assets]
        return any(asset is not None and asset.symbol == symbol for asset in assets)

    def value_at(self, at: int) -> AccountValue:
        """Returns the value at a time, in nanoseconds since 1970, to which the orders have been advanced."""
        if self.is_as_opened:
            return initial_value_at(self.terms, at)
        return value_of(self.terms.market, self.order_manager.ledger.state_at(at), at)


class TradingAccounts:
    """Keeps every account that was opened for changes.

    A key opens a plain account, with `characters` one of its own kind. `on_due` is called when orders of an account
    have something due, `on_dropped` when an account is replaced, whose orders must not go on.
    """

    def __init__(
        self,
        market: Market,
        on_due: Callable[[OrderManager], None] | None = None,
        *,
        on_dropped: Callable[[OrderManager], None] | None = None,
        characters: bool = False,
        depth: Depth = lambda: LIQUIDITY,
    ) -> None:
        self.market = market
        self._on_due = on_due
        self._depth = depth
        self._on_dropped = on_dropped
        self._open_terms = partial(open_account_with_character if characters else open_plain_account, market)
        self._changed: dict[str, TradingAccount] = {}
        self._unchanged: OrderedDict[str, TradingAccount] = OrderedDict()  # the one used longest ago comes first
        self._uses = count(1)
        self._event_listeners: defaultdict[str, set[EventListener]] = defaultdict(set)
        self._execution_listeners: defaultdict[str, set[ExecutionListener]] = defaultdict(set)

    def find(self, key_id: str) -> TradingAccount:
        return self._used(self._changed.get(key_id) or self._open(key_id))

    def open_for_changes(self, key_id: str) -> TradingAccount:
        return self._used(self._changed.get(key_id) or self._keep(key_id, self._open(key_id)))

    def latest(self, limit: int) -> list[tuple[str, TradingAccount]]:
        """Returns the key ids and accounts that are open, the one used last first. This is no use of them."""
        opened = chain(self._changed.items(), self._unchanged.items())
        return nlargest(limit, opened, key=lambda item: item[1].last_use)

    @property
    def open_count(self) -> int:
        return len(self._changed) + len(self._unchanged)

    def replace(self, key_id: str, account: TradingAccount) -> None:
        """Puts another account in the place of the present one. Who listens hears only of what happens from now on."""
        self._drop(key_id)
        manager = self._keep(key_id, account).order_manager
        if self._on_due is not None:
            self._on_due(manager)

    def reset(self, key_id: str) -> None:
        """Opens the account of a key anew."""
        self.replace(key_id, self._open_anew(key_id))

    def reset_all(self) -> None:
        for key_id in list(self._changed):
            self._drop(key_id)
        self._unchanged.clear()

    def change_prices(self, symbols: AbstractSet[str], change: Callable[[], None], now: int) -> None:
        """Lets `change` set other prices of `symbols` from now on; open orders then look at the new ones."""
        managers = [account.order_manager for account in self._changed.values()]
        waiting = [(manager, manager.pause_orders(symbols, now)) for manager in managers]
        change()
        for manager, orders in waiting:
            manager.resume_orders(orders, now)
            if self._on_due is not None:
                self._on_due(manager)

    def is_used(self, symbol: str) -> bool:
        """Whether any account uses a share or coin (see `TradingAccount.uses`)."""
        return any(account.uses(symbol) for account in self._changed.values())

    def _keep(self, key_id: str, account: TradingAccount) -> TradingAccount:
        """Streams keep the sets of listeners, so they are the same for all accounts that a key ever opens."""
        account.order_manager.on_change = self._on_due
        account.order_manager.on_event = self._event_listeners[key_id]
        account.order_manager.on_execution = self._execution_listeners[key_id]
        self._unchanged.pop(key_id, None)
        self._changed[key_id] = account
        return self._used(account)

    def _used(self, account: TradingAccount) -> TradingAccount:
        account.last_use = next(self._uses)
        return account

    def _drop(self, key_id: str) -> None:
        account = self._changed.pop(key_id, None)
        if account is not None and self._on_dropped is not None:
            self._on_dropped(account.order_manager)

    def _open(self, key_id: str) -> TradingAccount:
        account = self._unchanged.get(key_id)
        if account is not None:
            self._unchanged.move_to_end(key_id)
            return account
        account = self._unchanged[key_id] = self._open_anew(key_id)
        if len(self._unchanged) > _UNCHANGED_ACCOUNTS_KEPT:
            self._unchanged.popitem(last=False)
        return account

    def _open_anew(self, key_id: str) -> TradingAccount:
        return self.new_account(self._open_terms(key_id))

    def new_account(self, terms: AccountTerms) -> TradingAccount:
        """Returns an account with these terms, without orders, which is not kept yet."""
        watchlists = Watchlists(str(terms.profile["id"]))
        return TradingAccount(terms, terms, initial_configurations(terms), watchlists, self._depth)


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
            self._clock.wake()
        self._next_due[manager] = due
        heappush(self._entries, (due, next(self._numbers), manager))

    @property
    def is_idle(self) -> bool:
        """Whether nothing is due at any time."""
        return not self._next_due

    def forget(self, manager: OrderManager) -> None:
        """Call when an account is replaced: its orders stop."""
        self._next_due.pop(manager, None)

    async def run(self) -> None:
        """Runs until it is cancelled."""
        while True:
            self._next_due_changed.clear()
            self.advance_to(self._clock.now())
            if not self._entries:
                await self._next_due_changed.wait()
            elif not self._next_due_changed.is_set():
                await self._clock.nap_until(self._entries[0][0])

    def advance_to(self, now: int) -> None:
        """Lets everything happen in all accounts that is due by `now`, in nanoseconds since 1970."""
        while self._entries and self._entries[0][0] <= now:
            due, _, manager = heappop(self._entries)
            if self._next_due.get(manager) != due:
                continue
            del self._next_due[manager]
            with localcontext(EXACT):
                manager.advance(now)
            self._clock.note_change(due)
            self.schedule(manager)
