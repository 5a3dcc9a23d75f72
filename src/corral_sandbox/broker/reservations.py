"""What open orders hold back: of a position what they would close, of buying power what they would cost."""

from collections.abc import Iterator
from decimal import Decimal

from corral_sandbox.broker.matching import quantity_left, quote
from corral_sandbox.broker.order_manager import OrderManager
from corral_sandbox.broker.orders import BrokerOrder, OrderRequest
from corral_sandbox.broker.settlement import quantity_of
from corral_sandbox.broker.valuation import buying_power, options_buying_power, value_of
from corral_sandbox.market.money import ZERO
from corral_sandbox.market.option_contracts import SHARES_PER_CONTRACT, OptionContract, contract_of
from corral_sandbox.market.time import close_before_today


def reserved_quantity(manager: OrderManager, symbol: str, now: int, replacing: BrokerOrder | None = None) -> Decimal:
    """Returns how many of a position open orders would close, and how many shares cover the calls that are written.

    Of orders that end each other only one counts. `instead` is an order that is about to go.
    """
    position = quantity_of(manager.state, symbol)
    total = _short_contracts(manager, "call", symbol) * SHARES_PER_CONTRACT
    for order in _reserving_orders(manager, replacing):
        order_request = order.request
        if (
            order_request.asset is not None
            and order_request.asset.symbol == symbol
            and position * order_request.sign < 0
        ):
            total += quantity_left(order, quote(manager.terms.seed, order_request, now))
    return min(total, abs(position))


def available_buying_power(
    manager: OrderManager, order_request: OrderRequest, now: int, replacing: BrokerOrder | None = None
) -> Decimal:
    """Returns the dollars for which an order like this may be placed, fewer than none where all is spent.

    Shares that a broker lends on have all the buying power, options half of it, the rest only cash.
    """
    account, asset = manager.terms, order_request.asset
    value = value_of(account.seed, manager.state, now)
    if asset is not None and asset.asset_class != "us_option" and not asset.marginable:
        power = value.spendable_cash
    elif asset is None or asset.asset_class == "us_option":
        power = options_buying_power(account.multiplier, value)
    else:
        closed_at = close_before_today(now)
        last = value_of(account.seed, manager.ledger.state_at(closed_at), closed_at)
        power = buying_power(account.multiplier, value, last)
        if account.multiplier > 1:
            # What was bought since the close is not in `last`, and no loan may come on top of another.
            lent = value.equity * account.multiplier
            power = min(power, lent - value.position_market_value)
    return power - _reserved_cash(manager, now, replacing)


def order_cost(manager: OrderManager, order_request: OrderRequest, quantity: Decimal, now: int) -> Decimal:
    """Returns what an order may take of the buying power: by its limit or, without one, by its stop or the price.

    A put that is written takes what its exercise would cost, a covered call nothing.
    """
    contract = order_request.asset.contract if order_request.asset else None
    if contract is not None and order_request.side == "sell":
        return quantity * SHARES_PER_CONTRACT * contract.strike if contract.type == "put" else ZERO
    price = order_request.limit_price or order_request.stop_price or quote(manager.terms.seed, order_request, now)
    return max(quantity * price * order_request.multiplier, ZERO)


def _reserved_cash(manager: OrderManager, now: int, replacing: BrokerOrder | None) -> Decimal:
    total = _cash_for_short_puts(manager)
    for order in _reserving_orders(manager, replacing):
        asset = order.request.asset
        if asset is not None and quantity_of(manager.state, asset.symbol) * order.request.sign < 0:
            continue
        left = quantity_left(order, quote(manager.terms.seed, order.request, now))
        total += order_cost(manager, order.request, left, now)
    return total


def _reserving_orders(manager: OrderManager, replacing: BrokerOrder | None) -> list[BrokerOrder]:
    """A stop that stands beside a profit's limit holds nothing of its own, nor does an exit that still waits."""
    return [
        order
        for order in manager.open_orders()
        if order is not replacing
        and order.is_working
        and not (
            order.status == "held"
            and order.role == "stop_loss"
            and order.group
            and "take_profit" in order.group.members
        )
        and not (replacing is not None and replacing.group is not None and order.group is replacing.group)
    ]


def _short_contracts(manager: OrderManager, kind: str, underlying: str) -> Decimal:
    return sum(
        (
            count
            for contract, count in _short_options(manager)
            if contract.underlying == underlying and contract.type == kind
        ),
        ZERO,
    )


def _cash_for_short_puts(manager: OrderManager) -> Decimal:
    """Returns the cash with which written puts are paid for, should they be exercised."""
    puts = [(contract, count) for contract, count in _short_options(manager) if contract.type == "put"]
    return sum((count * SHARES_PER_CONTRACT * contract.strike for contract, count in puts), ZERO)


def _short_options(manager: OrderManager) -> Iterator[tuple[OptionContract, Decimal]]:
    for symbol, position in manager.state.positions.items():
        contract = contract_of(symbol)
        if contract is not None and position.quantity < 0:
            yield contract, -position.quantity
