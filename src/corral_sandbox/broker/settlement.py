"""The settlement of options: exercise, assignment and expiry."""

from decimal import Decimal
from typing import Literal, NamedTuple

from corral_sandbox.broker.initial_state import AccountTerms
from corral_sandbox.broker.ledger import LedgerState, value_of
from corral_sandbox.market.money import ZERO
from corral_sandbox.market.option_contracts import SHARES_PER_CONTRACT, OptionContract

SettlementKind = Literal["OPEXC", "OPASN", "OPEXP", "OPCSH", "OPTRD"]


class Settlement(NamedTuple):
    """One change of a position, by Alpaca's types: exercise, assignment, expiry, cash settlement, and the trade in
    shares that an exercise or assignment causes.
    """

    kind: SettlementKind
    symbol: str
    quantity: Decimal
    price: Decimal = ZERO
    multiplier: int = 1


def settle_expired(
    account: AccountTerms, state: LedgerState, contract: OptionContract, *, pays: Decimal, at: int, is_declined: bool
) -> list[Settlement]:
    """Returns what the expiry of a contract does to a position; `pays` is its intrinsic value per share.

    In the money it is exercised automatically, unless the client has declined. If the account could not pay or deliver,
    it is settled in cash.
    """
    held = state.quantity_of(contract.symbol)
    if not pays or (held > 0 and is_declined):
        return [Settlement("OPEXP", contract.symbol, -held)]
    if held > 0 and not can_exercise(account, state, contract, held, at):
        return [Settlement("OPCSH", contract.symbol, -held, pays, SHARES_PER_CONTRACT)]
    return settle_exercised(contract, held)


def settle_exercised(contract: OptionContract, held: Decimal) -> list[Settlement]:
    """For a short position this is an assignment."""
    shares = held * SHARES_PER_CONTRACT * (1 if contract.type == "call" else -1)
    return [
        Settlement("OPEXC" if held > 0 else "OPASN", contract.symbol, -held),
        Settlement("OPTRD", contract.underlying, shares, contract.strike),
    ]


def can_exercise(account: AccountTerms, state: LedgerState, contract: OptionContract, held: Decimal, at: int) -> bool:
    """Whether the account can pay for the shares of a call, or deliver those of a put."""
    shares = held * SHARES_PER_CONTRACT
    if contract.type == "put":
        return state.quantity_of(contract.underlying) >= shares or bool(account.profile["shorting_enabled"])
    value = value_of(account.market, state, at)
    power = state.cash if account.multiplier == 1 else value.equity * account.multiplier - value.position_market_value
    return shares * contract.strike <= power
