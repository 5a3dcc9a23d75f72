"""Whether an account may place an order, and what its open orders reserve.

Open orders reserve the quantity of a position that they would close, and the buying power that they would use. What
an account may not do is refused with 403; codes and bodies are Alpaca's.
"""

from decimal import Decimal

from corral_sandbox.broker.account_settings import AccountConfigurations
from corral_sandbox.broker.initial_state import ACTIVE
from corral_sandbox.broker.ledger import INTRADAY_MULTIPLIER, buying_power, options_buying_power, value_of
from corral_sandbox.broker.matching import quote
from corral_sandbox.broker.order_manager import OrderManager
from corral_sandbox.broker.orders import BrokerOrder, Intent, OrderRequest
from corral_sandbox.errors import ForbiddenError, InvalidParameterError, UnprocessableError
from corral_sandbox.market.assets import Asset
from corral_sandbox.market.money import ZERO, format_amount
from corral_sandbox.market.option_contracts import SHARES_PER_CONTRACT, contract_of
from corral_sandbox.market.time import close_before_today


def check_account(manager: OrderManager) -> None:
    profile = manager.terms.profile
    if profile["account_blocked"] or profile["trading_blocked"]:
        raise ForbiddenError("account is restricted from trading")
    if profile["status"] != ACTIVE:
        raise ForbiddenError("account is not active")
    if profile["trade_suspended_by_user"]:
        raise ForbiddenError("new orders are rejected by user request")


def check_client_order_id(manager: OrderManager, client_order_id: str | None) -> None:
    if client_order_id is not None and client_order_id in manager.by_client_order_id:
        raise InvalidParameterError("client_order_id must be unique")


def check_order(
    manager: OrderManager,
    order_request: OrderRequest,
    configurations: AccountConfigurations,
    now: int,
    *,
    replacing: BrokerOrder | None = None,
) -> None:
    """Checks an order for shares or coins. `replacing` is the order that this one replaces; its reservations do not
    count.
    """
    asset = order_request.asset
    if asset is None:
        raise AssertionError("an order without an asset is one for options")
    if not (configurations.fractional_trading or order_request.trades_always) and order_request.is_fractional:
        raise ForbiddenError("fractional trading is disabled")
    if checked_intent(manager, order_request, asset, now, replacing).endswith("close"):
        return
    if order_request.side == "sell":
        _check_short_sale(manager, order_request, asset)
    check_buying_power(manager, order_request, now, replacing)


def checked_intent(
    manager: OrderManager, order_request: OrderRequest, asset: Asset, now: int, replacing: BrokerOrder | None
) -> Intent:
    """Returns whether an order opens or closes a position. Raises for another intent than was given, for a trade with
    oneself, and for closing more than is there.
    """
    _check_wash_trade(manager, order_request, asset, replacing)
    intent = inferred_intent(manager, order_request)
    if order_request.intent is not None and order_request.intent != intent:
        raise UnprocessableError(f"position intent mismatch, inferred: {intent}, specified: {order_request.intent}")
    if intent.endswith("close"):
        _check_available(manager, order_request, asset, now, replacing)
    return intent


def inferred_intent(manager: OrderManager, order_request: OrderRequest) -> Intent:
    """Returns whether an order opens or closes a position."""
    held = manager.ledger.state.quantity_of(order_request.asset.symbol) if order_request.asset else ZERO
    if order_request.side == "buy":
        return "buy_to_close" if held < 0 else "buy_to_open"
    return "sell_to_close" if held > 0 else "sell_to_open"


def _quantity(manager: OrderManager, order_request: OrderRequest, now: int) -> Decimal:
    if order_request.quantity is not None:
        return order_request.quantity
    return (order_request.notional or ZERO) / quote(manager.terms.market, order_request, now)


def _check_available(
    manager: OrderManager, order_request: OrderRequest, asset: Asset, now: int, replacing: BrokerOrder | None
) -> None:
    """An order can close what is not reserved for other orders; it cannot reverse a position."""
    held = abs(manager.ledger.state.quantity_of(asset.symbol))
    on_hold = reserved_quantity(manager, asset.symbol, now, replacing)
    available = held - on_hold
    wanted = _quantity(manager, order_request, now)
    if wanted <= available:
        return
    details = {
        "available": format_amount(available),
        "existing_qty": format_amount(held),
        "held_for_orders": format_amount(on_hold),
        "symbol": asset.symbol,
    }
    if asset.asset_class == "crypto":
        coin = asset.symbol.split("/")[0]
        raise ForbiddenError(_balance(coin, wanted, available), **details)
    raise ForbiddenError(insufficient_quantity(wanted, available), **details)


def _check_short_sale(manager: OrderManager, order_request: OrderRequest, asset: Asset) -> None:
    if asset.asset_class == "crypto":
        wanted = format_amount(order_request.quantity or order_request.notional or ZERO)
        coin = asset.symbol.split("/")[0]
        raise ForbiddenError(
            f"insufficient balance for {coin} (requested: {wanted}, available: 0)", available="0", symbol=coin
        )
    if not manager.terms.profile["shorting_enabled"]:
        raise ForbiddenError("account is not allowed to short")
    if order_request.is_fractional:
        raise UnprocessableError("fractional orders cannot be sold short")
    if not asset.shortable:
        raise UnprocessableError(f'asset "{asset.symbol}" cannot be sold short')


def check_buying_power(
    manager: OrderManager, order_request: OrderRequest, now: int, replacing: BrokerOrder | None
) -> None:
    current_price = quote(manager.terms.market, order_request, now)
    cost = order_request.notional or order_cost(order_request, order_request.quantity or ZERO, current_price)
    power = max(available_buying_power(manager, order_request, now, replacing), ZERO)
    if cost <= power:
        return
    if order_request.trades_always:
        raise ForbiddenError(_balance("USD", cost, power), available=format_amount(power), symbol="USD")
    what = "options buying power" if order_request.asset and order_request.asset.contract else "buying power"
    raise ForbiddenError(f"insufficient {what}", buying_power=format_amount(power), cost_basis=format_amount(cost))


def _check_wash_trade(
    manager: OrderManager, order_request: OrderRequest, asset: Asset, replacing: BrokerOrder | None
) -> None:
    """Raises if the order could fill against another order of the account. Exits of complex orders are exempt."""
    for order in manager.open_orders:
        other = order.request
        if order is replacing or other.side == order_request.side or order.is_exit:
            continue
        if other.asset is None or other.asset.symbol != asset.symbol:
            continue
        buy, sell = (order_request, other) if order_request.side == "buy" else (other, order_request)
        if buy.type == sell.type == "limit" and (buy.limit_price or ZERO) < (sell.limit_price or ZERO):
            continue
        raise UnprocessableError("potential wash trade detected. use complex orders")


def insufficient_quantity(wanted: Decimal, available: Decimal) -> str:
    requested = format_amount(wanted)
    return f"insufficient qty available for order (requested: {requested}, available: {format_amount(available)})"


def _balance(of: str, wanted: Decimal, available: Decimal) -> str:
    return f"insufficient balance for {of} (requested: {format_amount(wanted)}, available: {format_amount(available)})"


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
