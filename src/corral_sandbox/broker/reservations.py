"""What open orders reserve: quantity of a position that they would close, and buying power that they would use."""

from decimal import Decimal

from corral_sandbox.broker.ledger import INTRADAY_MULTIPLIER, buying_power, options_buying_power, value_of
from corral_sandbox.broker.matching import quote
from corral_sandbox.broker.order_manager import OrderManager
from corral_sandbox.broker.orders import BrokerOrder, OrderRequest
from corral_sandbox.market.money import ZERO
from corral_sandbox.market.option_contracts import SHARES_PER_CONTRACT, contract_of
from corral_sandbox.market.time import close_before_today


def reserved_quantity(manager: OrderManager, symbol: str, now: int, replacing: BrokerOrder | None = None) -> Decimal:
    """Returns the quantity that open orders would close, plus the shares that cover short calls.

    Of the exits of one group only one counts. `replacing` is an order that is about to be replaced.
    """
    position = manager.ledger.state.quantity_of(symbol)
    total = _calls_that_shares_cover(manager, symbol) * SHARES_PER_CONTRACT
    for order in _reserving_orders(manager, replacing):
        order_request = order.request
        if (
            order_request.asset is not None
            and order_request.asset.symbol == symbol
            and position * order_request.sign < 0
        ):
            total += order.left_at(quote(manager.terms.market, order_request, now))
    return min(total, abs(position))


def available_buying_power(
    manager: OrderManager, order_request: OrderRequest, now: int, replacing: BrokerOrder | None = None
) -> Decimal:
    """Returns the dollars available for an order like this, negative if overspent.

    Marginable shares use the full buying power, options half of it, everything else cash only.
    """
    account, asset = manager.terms, order_request.asset
    value = value_of(account.market, manager.ledger.state, now)
    if asset is not None and asset.asset_class != "us_option" and not asset.marginable:
        power = value.spendable_cash
    elif asset is None or asset.asset_class == "us_option":
        power = options_buying_power(account.multiplier, value)
    else:
        last = value
        if account.multiplier == INTRADAY_MULTIPLIER:
            closed_at = close_before_today(now)
            last = value_of(account.market, manager.ledger.state_at(closed_at), closed_at)
        power = buying_power(account.multiplier, value, last)
        if account.multiplier > 1:
            # `last` does not include what was bought since the close, and the same equity must not be lent twice.
            lent = value.equity * account.multiplier
            power = min(power, lent - value.position_market_value)
    return power - _reserved_cash(manager, now, replacing)


def order_cost(order_request: OrderRequest, quantity: Decimal, current_price: Decimal) -> Decimal:
    """Returns the buying power that an order uses, at its limit price, else its stop price, else the current price.

    A short put uses what its assignment would cost, a covered call nothing.
    """
    contract = order_request.asset.contract if order_request.asset else None
    if contract is not None and order_request.side == "sell":
        return quantity * SHARES_PER_CONTRACT * contract.strike if contract.type == "put" else ZERO
    price = order_request.limit_price or order_request.stop_price or current_price
    return max(quantity * price * order_request.multiplier, ZERO)


def _reserved_cash(manager: OrderManager, now: int, replacing: BrokerOrder | None) -> Decimal:
    total = _cash_for_short_puts(manager)
    for order in _reserving_orders(manager, replacing):
        asset = order.request.asset
        if asset is not None and manager.ledger.state.quantity_of(asset.symbol) * order.request.sign < 0:
            continue
        current_price = quote(manager.terms.market, order.request, now)
        total += order_cost(order.request, order.left_at(current_price), current_price)
    return total


def _reserving_orders(manager: OrderManager, replacing: BrokerOrder | None) -> list[BrokerOrder]:
    """A stop loss beside a take profit reserves nothing of its own, nor does an exit that is not working yet."""
    return [
        order
        for order in manager.open_orders
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


def _calls_that_shares_cover(manager: OrderManager, underlying: str) -> Decimal:
    """Returns how many more calls are short than long: the long ones of a spread cover its short ones."""
    net = ZERO
    for symbol, position in manager.ledger.state.positions.items():
        contract = contract_of(symbol)
        if contract is not None and (contract.type, contract.underlying) == ("call", underlying):
            net += position.quantity
    return max(-net, ZERO)


def _cash_for_short_puts(manager: OrderManager) -> Decimal:
    """Returns the cash that secures short puts."""
    total = ZERO
    for symbol, position in manager.ledger.state.positions.items():
        contract = contract_of(symbol)
        if contract is not None and contract.type == "put" and position.quantity < 0:
            total -= position.quantity * SHARES_PER_CONTRACT * contract.strike
    return total
