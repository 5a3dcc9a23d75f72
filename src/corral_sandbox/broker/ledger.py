"""What an account holds: cash, positions, the executions that changed them, and the settlement of options."""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal

from corral_sandbox.market.money import EXACT, ZERO, average


@dataclass(frozen=True, slots=True)
class LedgerPosition:
    """A quantity, fewer than none when sold short, of which one cost `average` dollars."""

    quantity: Decimal
    average: Decimal

    def after(self, quantity: Decimal, price: Decimal) -> "LedgerPosition":
        """Returns the position after so many more (or fewer) at `price`. Reducing it leaves its average."""
        total = EXACT.add(self.quantity, quantity)
        if self.quantity * quantity >= 0:
            cost = EXACT.add(EXACT.multiply(self.quantity, self.average), EXACT.multiply(quantity, price))
            return LedgerPosition(total, average(cost, total))
        return LedgerPosition(total, self.average if total * self.quantity >= 0 else price)


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
class LedgerState:
    """Cash and positions at one moment. No position is empty."""

    cash: Decimal
    positions: dict[str, LedgerPosition]

    def after(self, execution: Execution) -> "LedgerState":
        held = self.positions.get(execution.symbol, LedgerPosition(ZERO, ZERO))
        position = held.after(execution.quantity, execution.price)
        positions = {**self.positions, execution.symbol: position}
        if not position.quantity:
            del positions[execution.symbol]
        return LedgerState(EXACT.add(self.cash, execution.cash), positions)


@dataclass(slots=True)
class Ledger:
    """Remembers every state, so that the past can be asked for at any moment."""

    opening: LedgerState
    executions: list[Execution] = field(default_factory=list[Execution])
    _moments: list[int] = field(default_factory=list[int])
    _states: list[LedgerState] = field(default_factory=list[LedgerState])

    @property
    def state(self) -> LedgerState:
        return self._states[-1] if self._states else self.opening

    def record(self, execution: Execution) -> None:
        """Takes an execution that is not earlier than the last."""
        self._states.append(self.state.after(execution))
        self._moments.append(execution.at)
        self.executions.append(execution)

    def state_at(self, at: int) -> LedgerState:
        """Returns cash and positions at a moment, in nanoseconds since 1970, with all that was done by then."""
        known = bisect_right(self._moments, at)
        return self._states[known - 1] if known else self.opening

    def executions_after(self, at: int) -> Iterable[Execution]:
        return self.executions[bisect_right(self._moments, at) :]
