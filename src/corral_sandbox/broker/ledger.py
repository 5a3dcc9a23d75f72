"""What an account holds and what that is worth: cash, positions, executions, equity, margin and buying power.

The formulas are those behind the fields of Alpaca's account.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal

from corral_sandbox.market.money import EXACT, ZERO, average
from corral_sandbox.market.prices import Market, price

_INITIAL, _MAINTENANCE = Decimal("0.5"), Decimal("0.3")  # of every dollar long or short (Regulation T; FINRA 4210)
INTRADAY_MULTIPLIER = 4
FILL, COIN_FEE = "FILL", "CFEE"


@dataclass(frozen=True, slots=True)
class LedgerPosition:
    """A quantity, negative if short, and its average entry price in dollars."""

    quantity: Decimal
    average: Decimal

    def after(self, quantity: Decimal, price: Decimal) -> "LedgerPosition":
        """Returns the position after an execution at `price`. Reducing a position keeps its average."""
        total = EXACT.add(self.quantity, quantity)
        if self.quantity * quantity >= 0:
            cost = EXACT.add(EXACT.multiply(self.quantity, self.average), EXACT.multiply(quantity, price))
            return LedgerPosition(total, average(cost, total))
        return LedgerPosition(total, self.average if total * self.quantity >= 0 else price)


@dataclass(frozen=True, slots=True)
class Execution:
    """A part of an order that was filled at `at`, in nanoseconds since 1970. A sale has a negative quantity.

    `multiplier` is 100 for an option on shares. An execution without an order has another `kind`, which is
    Alpaca's type of activity. A fee for coins takes coins (a negative quantity) or dollars (`fee`). An execution that
    takes back or corrects an earlier one has its id as `previous_id`.
    """

    id: str
    at: int
    order_id: str
    symbol: str
    quantity: Decimal
    price: Decimal
    cumulative: Decimal
    left: Decimal
    multiplier: int = 1
    kind: str = FILL
    fee: Decimal = ZERO
    previous_id: str | None = None

    @property
    def cash(self) -> Decimal:
        """The change of the account's cash."""
        if self.kind == COIN_FEE:
            return -self.fee
        return EXACT.multiply(EXACT.multiply(-self.quantity, self.price), Decimal(self.multiplier))


@dataclass(frozen=True, slots=True)
class LedgerState:
    """Cash and positions at one time. No position is empty."""

    cash: Decimal
    positions: dict[str, LedgerPosition]

    def quantity_of(self, symbol: str) -> Decimal:
        position = self.positions.get(symbol)
        return position.quantity if position else ZERO

    def after(self, execution: Execution) -> "LedgerState":
        if not execution.quantity:
            return LedgerState(EXACT.add(self.cash, execution.cash), self.positions)
        held = self.positions.get(execution.symbol, LedgerPosition(ZERO, ZERO))
        position = held.after(execution.quantity, execution.price)
        positions = {**self.positions, execution.symbol: position}
        if not position.quantity:
            del positions[execution.symbol]
        return LedgerState(EXACT.add(self.cash, execution.cash), positions)


@dataclass(slots=True)
class Ledger:
    """Keeps every state, so that the account can be valued at any time in the past."""

    opening: LedgerState
    executions: list[Execution] = field(default_factory=list[Execution])
    _moments: list[int] = field(default_factory=list[int])
    _states: list[LedgerState] = field(default_factory=list[LedgerState])
    state: LedgerState = field(init=False)

    def __post_init__(self) -> None:
        self.state = self.opening

    def record(self, execution: Execution) -> None:
        """Adds an execution, which must not be earlier than the last one."""
        self.state = self.state.after(execution)
        self._states.append(self.state)
        self._moments.append(execution.at)
        self.executions.append(execution)

    def state_at(self, at: int) -> LedgerState:
        """Returns cash and positions after every execution up to `at`, in nanoseconds since 1970."""
        known = bisect_right(self._moments, at)
        return self._states[known - 1] if known else self.opening

    def executions_after(self, at: int) -> Iterable[Execution]:
        return self.executions[bisect_right(self._moments, at) :]


@dataclass(frozen=True, slots=True)
class AccountValue:
    """The value of an account at one time. Short positions are negative."""

    cash: Decimal
    long_market_value: Decimal
    short_market_value: Decimal

    @property
    def equity(self) -> Decimal:
        return self.cash + self.long_market_value + self.short_market_value

    @property
    def position_market_value(self) -> Decimal:
        return self.long_market_value - self.short_market_value

    @property
    def initial_margin(self) -> Decimal:
        return self.position_market_value * _INITIAL

    @property
    def maintenance_margin(self) -> Decimal:
        return self.position_market_value * _MAINTENANCE

    @property
    def excess(self) -> Decimal:
        """The excess equity over the initial margin of Regulation T."""
        return max(self.equity - self.initial_margin, ZERO)

    @property
    def spendable_cash(self) -> Decimal:
        return max(self.cash, ZERO)


def buying_power(multiplier: int, now: AccountValue, last: AccountValue) -> Decimal:
    """Returns dollars. Intraday margin is based on `last`, the value at the close of the last session."""
    if multiplier == INTRADAY_MULTIPLIER:
        return max(last.equity - last.maintenance_margin, ZERO) * INTRADAY_MULTIPLIER
    return overnight_buying_power(multiplier, now)


def overnight_buying_power(multiplier: int, now: AccountValue) -> Decimal:
    """Returns buying power under Regulation T: twice the excess, or the cash of a cash account."""
    return now.spendable_cash if multiplier == 1 else now.excess * 2


def options_buying_power(multiplier: int, now: AccountValue) -> Decimal:
    """Returns buying power for options, which cannot be bought on margin."""
    return now.spendable_cash if multiplier == 1 else now.excess


def value_of(market: Market, state: LedgerState, at: int) -> AccountValue:
    """Returns the value of a state at the prices of `at`."""
    long = short = ZERO
    for symbol, position in state.positions.items():
        value = market_value(market, symbol, position.quantity, at)
        long, short = (long + value, short) if value > 0 else (long, short + value)
    return AccountValue(state.cash, long, short)


def market_value(market: Market, symbol: str, quantity: Decimal, at: int) -> Decimal:
    asset = market.assets.find(symbol)
    return quantity * (asset.multiplier if asset else 1) * price(market, symbol, at)
