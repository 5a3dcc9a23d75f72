"""What open orders hold back: of a position what they would close, of buying power what they would cost."""

from collections.abc import Iterator
from decimal import Decimal

from corral_sandbox.book import Book
from corral_sandbox.ledger import ZERO
from corral_sandbox.margin import buying_power, options_buying_power
from corral_sandbox.matching import left_at
from corral_sandbox.option_contracts import SHARES_PER_CONTRACT, Contract, contract_of
from corral_sandbox.orders import Order, Ticket
from corral_sandbox.quotes import quote
from corral_sandbox.settlement import quantity_of
from corral_sandbox.trading_hours import close_before_today
from corral_sandbox.worth import worth_of


def held_quantity(book: Book, symbol: str, now: int, instead: Order | None = None) -> Decimal:
    """Answers how many of a position open orders would close, and how many shares cover the calls that are written.

    Of orders that end each other only one counts. `instead` is an order that is about to go.
    """
    position = quantity_of(book.state, symbol)
    total = _written(book, "call", symbol) * SHARES_PER_CONTRACT
    for order in _holding(book, instead):
        ticket = order.ticket
        if ticket.asset is not None and ticket.asset.symbol == symbol and position * ticket.sign < 0:
            total += left_at(order, quote(book.account.seed, ticket, now))
    return min(total, abs(position))


def power_left(book: Book, ticket: Ticket, now: int, instead: Order | None = None) -> Decimal:
    """Answers the dollars for which an order like this may be placed, fewer than none where all is spent.

    Shares that a broker lends on have all the buying power, options half of it, the rest only cash.
    """
    account, asset = book.account, ticket.asset
    worth = worth_of(account.seed, book.state, now)
    if asset is not None and asset.asset_class != "us_option" and not asset.marginable:
        power = worth.spendable_cash
    elif asset is None or asset.asset_class == "us_option":
        power = options_buying_power(account.multiplier, worth)
    else:
        closed_at = close_before_today(now)
        last = worth_of(account.seed, book.ledger.state_at(closed_at), closed_at)
        power = buying_power(account.multiplier, worth, last)
        if account.multiplier > 1:
            # What was bought since the close is not in `last`, and no loan may come on top of another.
            lent = worth.equity * account.multiplier
            power = min(power, lent - worth.position_market_value)
    return power - _held_money(book, now, instead)


def cost_of(book: Book, ticket: Ticket, quantity: Decimal, now: int) -> Decimal:
    """Answers what an order may take of the buying power: by its limit or, without one, by its stop or the price.

    A put that is written takes what its exercise would cost, a covered call nothing.
    """
    contract = ticket.asset.contract if ticket.asset else None
    if contract is not None and ticket.side == "sell":
        return quantity * SHARES_PER_CONTRACT * contract.strike if contract.type == "put" else ZERO
    price = ticket.limit_price or ticket.stop_price or quote(book.account.seed, ticket, now)
    return max(quantity * price * ticket.multiplier, ZERO)


def _held_money(book: Book, now: int, instead: Order | None) -> Decimal:
    total = _secured(book)
    for order in _holding(book, instead):
        asset = order.ticket.asset
        if asset is not None and quantity_of(book.state, asset.symbol) * order.ticket.sign < 0:
            continue
        left = left_at(order, quote(book.account.seed, order.ticket, now))
        total += cost_of(book, order.ticket, left, now)
    return total


def _holding(book: Book, instead: Order | None) -> list[Order]:
    """A stop that stands beside a profit's limit holds nothing of its own, nor does an exit that still waits."""
    return [
        order
        for order in book.open_orders()
        if order is not instead
        and order.is_live
        and not (
            order.status == "held"
            and order.role == "stop_loss"
            and order.group
            and "take_profit" in order.group.members
        )
        and not (instead is not None and instead.group is not None and order.group is instead.group)
    ]


def _written(book: Book, kind: str, underlying: str) -> Decimal:
    return sum(
        (count for contract, count in _short(book) if contract.underlying == underlying and contract.type == kind), ZERO
    )


def _secured(book: Book) -> Decimal:
    """Answers the cash with which written puts are paid for, should they be exercised."""
    puts = [(contract, count) for contract, count in _short(book) if contract.type == "put"]
    return sum((count * SHARES_PER_CONTRACT * contract.strike for contract, count in puts), ZERO)


def _short(book: Book) -> Iterator[tuple[Contract, Decimal]]:
    for symbol, position in book.state.positions.items():
        contract = contract_of(symbol)
        if contract is not None and position.quantity < 0:
            yield contract, -position.quantity
