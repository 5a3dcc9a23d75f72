"""What an account holds: its cash, its positions, and every execution that changed them.

Everything is exact: an execution moves quantity times price, digit for digit. Only an average price is
rounded, to `PLACES` decimals, as most averages have no end. Pages and whatever else reckons with these
amounts do so in the context `EXACT`.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Context, Decimal

ZERO = Decimal()
EXACT = Context(prec=80)  # in which nothing below is rounded but what says so
PLACES = 12


@dataclass(frozen=True, slots=True)
class Position:
    """A quantity, fewer than none when sold short, of which one cost `average` dollars."""

    quantity: Decimal
    average: Decimal

    def after(self, quantity: Decimal, price: Decimal) -> "Position":
        """Answers the position after so many more (or fewer) at `price`. Reducing it leaves its average."""
        total = EXACT.add(self.quantity, quantity)
        if self.quantity * quantity >= 0:
            cost = EXACT.add(EXACT.multiply(self.quantity, self.average), EXACT.multiply(quantity, price))
            return Position(total, average(cost, total))
        return Position(total, self.average if total * self.quantity >= 0 else price)


@dataclass(frozen=True, slots=True)
class Execution:
    """A part of an order that was done at `at`, in nanoseconds since 1970. A sale has a quantity below zero.

    `multiplier` is how many units one of the symbol stands for: 100 for an option on shares. What no order has
    done has another `kind`, by Alpaca's names of activities.
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
    kind: str = "FILL"

    @property
    def cash(self) -> Decimal:
        """What it adds to the account's cash."""
        return EXACT.multiply(EXACT.multiply(-self.quantity, self.price), Decimal(self.multiplier))


@dataclass(frozen=True, slots=True)
class State:
    """Cash and positions at one moment. No position is empty."""

    cash: Decimal
    positions: dict[str, Position]

    def after(self, execution: Execution) -> "State":
        held = self.positions.get(execution.symbol, Position(ZERO, ZERO))
        position = held.after(execution.quantity, execution.price)
        positions = {**self.positions, execution.symbol: position}
        if not position.quantity:
            del positions[execution.symbol]
        return State(EXACT.add(self.cash, execution.cash), positions)


@dataclass(slots=True)
class Ledger:
    """Remembers every state, so that the past can be asked for at any moment."""

    opening: State
    executions: list[Execution] = field(default_factory=list[Execution])
    _moments: list[int] = field(default_factory=list[int])
    _states: list[State] = field(default_factory=list[State])

    @property
    def state(self) -> State:
        return self._states[-1] if self._states else self.opening

    def record(self, execution: Execution) -> None:
        """Takes an execution that is not earlier than the last."""
        self._states.append(self.state.after(execution))
        self._moments.append(execution.at)
        self.executions.append(execution)

    def state_at(self, at: int) -> State:
        """Answers cash and positions at a moment, in nanoseconds since 1970, with all that was done by then."""
        known = bisect_right(self._moments, at)
        return self._states[known - 1] if known else self.opening

    def executed_after(self, at: int) -> Iterable[Execution]:
        return self.executions[bisect_right(self._moments, at) :]


def average(value: Decimal, quantity: Decimal) -> Decimal:
    """Answers the price of one, to `PLACES` decimals."""
    return EXACT.quantize(EXACT.divide(value, quantity), Decimal(1).scaleb(-PLACES)) if quantity else ZERO
