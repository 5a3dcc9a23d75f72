"""What becomes of options that are exercised, assigned, or held until they expire."""

from decimal import Decimal
from typing import Literal, NamedTuple

from corral_sandbox.ledger import ZERO, State
from corral_sandbox.opening import Account
from corral_sandbox.option_contracts import SHARES_PER_CONTRACT, Contract
from corral_sandbox.worth import worth_of

SettlementKind = Literal["OPEXC", "OPASN", "OPEXP", "OPCSH", "OPTRD"]


class Settlement(NamedTuple):
    """One change of a position, by Alpaca's names: an exercise, an assignment, an expiry, the cash that is paid
    in place of an exercise, and the trade in shares that an exercise or assignment brings.
    """

    kind: SettlementKind
    symbol: str
    quantity: Decimal
    price: Decimal = ZERO
    multiplier: int = 1


def settle_expired(
    account: Account, state: State, contract: Contract, *, pays: Decimal, at: int, is_declined: bool
) -> list[Settlement]:
    """Answers what a contract's expiry does to a position; `pays` is what exercise brings for one share.

    In the money it is exercised by itself, unless the customer has declined; where the account could not pay for
    that, or deliver, the broker sells it first.
    """
    held = quantity_of(state, contract.symbol)
    if not pays or (held > 0 and is_declined):
        return [Settlement("OPEXP", contract.symbol, -held)]
    if held > 0 and not can_exercise(account, state, contract, held, at):
        return [Settlement("OPCSH", contract.symbol, -held, pays, SHARES_PER_CONTRACT)]
    return settle_exercised(contract, held)


def settle_exercised(contract: Contract, held: Decimal) -> list[Settlement]:
    """Of a position below zero, that is what an assignment does."""
    shares = held * SHARES_PER_CONTRACT * (1 if contract.type == "call" else -1)
    return [
        Settlement("OPEXC" if held > 0 else "OPASN", contract.symbol, -held),
        Settlement("OPTRD", contract.underlying, shares, contract.strike),
    ]


def can_exercise(account: Account, state: State, contract: Contract, held: Decimal, at: int) -> bool:
    """Whether the account can pay for the shares of its calls, or deliver those of its puts."""
    shares = held * SHARES_PER_CONTRACT
    if contract.type == "put":
        return quantity_of(state, contract.underlying) >= shares or bool(account.profile["shorting_enabled"])
    worth = worth_of(account.seed, state, at)
    power = state.cash if account.multiplier == 1 else worth.equity * account.multiplier - worth.position_market_value
    return shares * contract.strike <= power


def quantity_of(state: State, symbol: str) -> Decimal:
    position = state.positions.get(symbol)
    return position.quantity if position else ZERO
