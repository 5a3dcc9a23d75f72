"""What an account did on the day on which it opened: it took a deposit, and bought what it opens with."""

from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID, uuid5

from corral_sandbox.ledger import Execution
from corral_sandbox.listing import find_asset
from corral_sandbox.opening import Account, Holding
from corral_sandbox.orders import Order, Ticket


@dataclass(frozen=True, slots=True)
class Transfer:
    """Money that came or, below zero, went; `kind` by Alpaca's names: CSD is a deposit, FEE a fee."""

    id: str
    kind: str
    at: int
    amount: Decimal


def opening_transfers(account: Account) -> list[Transfer]:
    """Answers the deposit, and as a fee what the purchases were rounded up by: with both the cash comes out."""
    spent = sum((holding.quantity * holding.paid for holding in account.holdings), Decimal())
    rounding = account.cash - (account.deposit - spent)
    transfers = [_transfer(account, "CSD", account.deposit)]
    return [*transfers, _transfer(account, "FEE", rounding)] if rounding else transfers


def opening_trades(account: Account) -> list[tuple[Order, Execution]]:
    """Answers an order for each holding, as it was filled. Their numbers come before all others."""
    first = -len(account.holdings)
    return [_trade(account, holding, first + index) for index, holding in enumerate(account.holdings)]


def _trade(account: Account, holding: Holding, number: int) -> tuple[Order, Execution]:
    at, quantity = account.opened_at, abs(holding.quantity)
    ticket = Ticket(
        side="buy" if holding.quantity > 0 else "sell",
        type="market",
        time_in_force="day",
        asset=find_asset(holding.symbol),
        quantity=quantity,
    )
    order = Order(
        id=_id(account, f"order/{holding.symbol}"),
        number=number,
        client_order_id=_id(account, f"client/{holding.symbol}"),
        ticket=ticket,
        status="filled",
        submitted_at=at,
        ready_at=at,
        updated_at=at,
    )
    order.take(quantity, holding.paid, at)
    execution = Execution(
        id=_id(account, f"execution/{holding.symbol}"),
        at=at,
        order_id=order.id,
        symbol=holding.symbol,
        quantity=holding.quantity,
        price=holding.paid,
        cumulative=quantity,
        left=Decimal(),
    )
    return order, execution


def _transfer(account: Account, kind: str, amount: Decimal) -> Transfer:
    return Transfer(_id(account, kind), kind, account.opened_at, amount)


def _id(account: Account, what: str) -> str:
    return str(uuid5(UUID(str(account.profile["id"])), f"opening/{what}"))
