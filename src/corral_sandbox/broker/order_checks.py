"""Whether an account may place an order. Refuses with 403 and Alpaca's bodies."""

from decimal import Decimal

from corral_sandbox.broker.account_settings import AccountConfigurations
from corral_sandbox.broker.matching import quote
from corral_sandbox.broker.order_manager import OrderManager
from corral_sandbox.broker.order_rules import is_fractional
from corral_sandbox.broker.orders import BrokerOrder, Intent, OrderRequest
from corral_sandbox.broker.reservations import available_buying_power, order_cost, reserved_quantity
from corral_sandbox.broker.settlement import quantity_of
from corral_sandbox.errors import ForbiddenError, InvalidParameterError, UnprocessableError
from corral_sandbox.market.assets import Asset, find_asset
from corral_sandbox.market.money import ZERO, format_amount
from corral_sandbox.market.option_contracts import SHARES_PER_CONTRACT, OptionContract


def check_account(manager: OrderManager) -> None:
    profile = manager.terms.profile
    if profile["account_blocked"] or profile["trading_blocked"]:
        raise ForbiddenError("account is restricted from trading")
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
    """`instead` is an order that goes when this one comes: what it holds is free again."""
    asset = order_request.asset
    if asset is None:
        check_strategy(manager, order_request, now, replacing)
        return
    if is_fractional(order_request) and not configurations.fractional_trading and not order_request.trades_always:
        raise ForbiddenError("fractional trading is disabled")
    _check_wash_trade(manager, order_request, asset, replacing)
    intent = inferred_intent(manager, order_request)
    if order_request.intent is not None and order_request.intent != intent:
        raise UnprocessableError(f"position intent mismatch, inferred: {intent}, specified: {order_request.intent}")
    if intent.endswith("close"):
        _check_quantity(manager, order_request, asset, now, replacing)
        return
    if asset.contract is not None:
        check_option_opening(manager, order_request, asset.contract, now, replacing)
    elif order_request.side == "sell":
        _check_short_sale(manager, order_request, asset)
    if asset.contract is None or order_request.side == "buy":
        _check_power(manager, order_request, now, replacing)


def inferred_intent(manager: OrderManager, order_request: OrderRequest) -> Intent:
    """Returns what an order does to the position that there is."""
    held = quantity_of(manager.state, order_request.asset.symbol) if order_request.asset else ZERO
    if order_request.side == "buy":
        return "buy_to_close" if held < 0 else "buy_to_open"
    return "sell_to_close" if held > 0 else "sell_to_open"


def _quantity(manager: OrderManager, order_request: OrderRequest, now: int) -> Decimal:
    if order_request.quantity is not None:
        return order_request.quantity
    return (order_request.notional or ZERO) / quote(manager.terms.seed, order_request, now)


def _check_quantity(
    manager: OrderManager, order_request: OrderRequest, asset: Asset, now: int, replacing: BrokerOrder | None
) -> None:
    """A position is closed with what is not held for other orders; it is not turned around by one order."""
    held = abs(quantity_of(manager.state, asset.symbol))
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
    raise ForbiddenError(_insufficient_quantity(wanted, available), **details)


def _insufficient_quantity(wanted: Decimal, available: Decimal) -> str:
    requested = format_amount(wanted)
    return f"insufficient qty available for order (requested: {requested}, available: {format_amount(available)})"


def _check_short_sale(manager: OrderManager, order_request: OrderRequest, asset: Asset) -> None:
    if asset.asset_class == "crypto":
        wanted = format_amount(order_request.quantity or order_request.notional or ZERO)
        coin = asset.symbol.split("/")[0]
        raise ForbiddenError(
            f"insufficient balance for {coin} (requested: {wanted}, available: 0)", available="0", symbol=coin
        )
    if not manager.terms.profile["shorting_enabled"]:
        raise ForbiddenError("account is not allowed to short")
    if is_fractional(order_request):
        raise UnprocessableError("fractional orders cannot be sold short")
    if not asset.shortable:
        raise UnprocessableError(f'asset "{asset.symbol}" cannot be sold short')


def _check_power(manager: OrderManager, order_request: OrderRequest, now: int, replacing: BrokerOrder | None) -> None:
    cost = order_request.notional or order_cost(manager, order_request, _quantity(manager, order_request, now), now)
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
    """Refuses what might be done against an order of the account's own, but for the exits of complex orders."""
    for order in manager.open_orders():
        other = order.request
        if order is replacing or order.is_exit or other.side == order_request.side:
            continue
        if other.asset is None or other.asset.symbol != asset.symbol:
            continue
        buy, sell = (order_request, other) if order_request.side == "buy" else (other, order_request)
        if buy.type == sell.type == "limit" and (buy.limit_price or ZERO) < (sell.limit_price or ZERO):
            continue
        raise UnprocessableError("potential wash trade detected. use complex orders")


def _balance(of: str, wanted: Decimal, available: Decimal) -> str:
    return f"insufficient balance for {of} (requested: {format_amount(wanted)}, available: {format_amount(available)})"


_WRITES, _BUYS, _COMBINES = 1, 2, 3


def check_option_opening(
    manager: OrderManager,
    order_request: OrderRequest,
    contract: OptionContract,
    now: int,
    replacing: BrokerOrder | None,
) -> None:
    """Refuses what the level forbids, and what is written uncovered."""
    _check_level(manager, _BUYS if order_request.side == "buy" else _WRITES)
    quantity = order_request.quantity or ZERO
    if order_request.side == "buy":
        return
    if contract.type == "call":
        _check_cover(manager, contract, quantity, now, replacing)
        return
    needed = quantity * SHARES_PER_CONTRACT * contract.strike
    power = max(min(available_buying_power(manager, order_request, now, replacing), manager.state.cash), ZERO)
    if needed > power:
        raise _insufficient(needed, power)


def check_strategy(manager: OrderManager, order_request: OrderRequest, now: int, replacing: BrokerOrder | None) -> None:
    """Refuses legs that close more than there is, and what could cost more than the account may lose."""
    _check_level(manager, _COMBINES)
    quantity = order_request.quantity or ZERO
    for leg in order_request.legs:
        held = quantity_of(manager.state, leg.asset.symbol)
        closes = held < 0 if leg.side == "buy" else held > 0
        if closes and quantity * leg.ratio > abs(held):
            raise ForbiddenError(_insufficient_quantity(quantity * leg.ratio, abs(held)))
    most = _greatest_loss(manager, order_request)
    if most is None:
        raise ForbiddenError("account not eligible to trade uncovered option contracts")
    net = (
        quote(manager.terms.seed, order_request, now)
        if order_request.limit_price is None
        else order_request.limit_price
    )
    cost = max((most + net) * quantity * SHARES_PER_CONTRACT, ZERO)
    power = max(available_buying_power(manager, order_request, now, replacing), ZERO)
    if cost > power:
        raise _insufficient(cost, power)


def _greatest_loss(manager: OrderManager, order_request: OrderRequest) -> Decimal | None:
    """Returns what the opened legs can cost at their expiry beside their price, per share, or None without end."""
    opened: list[tuple[OptionContract, Decimal]] = []
    for leg in order_request.legs:
        held, sign = quantity_of(manager.state, leg.asset.symbol), 1 if leg.side == "buy" else -1
        if leg.asset.contract is not None and held * sign >= 0:
            opened.append((leg.asset.contract, leg.ratio * sign))
    if sum((ratio for contract, ratio in opened if contract.type == "call"), ZERO) < 0:
        return None
    prices = [ZERO, *(contract.strike for contract, _ in opened)]
    worst = min(sum((ratio * _pays(contract, share) for contract, ratio in opened), ZERO) for share in prices)
    return max(-worst, ZERO)


def _pays(contract: OptionContract, share: Decimal) -> Decimal:
    return max(share - contract.strike if contract.type == "call" else contract.strike - share, ZERO)


def _check_level(manager: OrderManager, needed: int) -> None:
    if int(str(manager.terms.profile["options_trading_level"])) < needed:
        raise ForbiddenError("account not eligible to trade this options strategy")


def _check_cover(
    manager: OrderManager, contract: OptionContract, quantity: Decimal, now: int, replacing: BrokerOrder | None
) -> None:
    held = max(quantity_of(manager.state, contract.underlying), ZERO)
    written = sum(
        (order.left or ZERO for order in manager.open_orders() if _writes_calls(order, contract, replacing)), ZERO
    )
    free = held - reserved_quantity(manager, contract.underlying, now, replacing) - written * SHARES_PER_CONTRACT
    required, available = quantity * SHARES_PER_CONTRACT, max(free, ZERO)
    if required > available:
        share = find_asset(contract.underlying)
        raise ForbiddenError(
            "insufficient underlying qty available for covered call "
            f"(required: {format_amount(required)}, available: {format_amount(available)})",
            available_qty=format_amount(available),
            required_qty=format_amount(required),
            symbol=contract.symbol,
            underlying_asset_id=share.id if share else "",
        )


def _writes_calls(order: BrokerOrder, contract: OptionContract, replacing: BrokerOrder | None) -> bool:
    asset = order.request.asset
    return order is not replacing and order.request.side == "sell" and _is_call_on(asset, contract.underlying)


def _is_call_on(asset: Asset | None, underlying: str) -> bool:
    contract = asset.contract if asset else None
    return contract is not None and contract.type == "call" and contract.underlying == underlying


def _insufficient(cost: Decimal, power: Decimal) -> ForbiddenError:
    return ForbiddenError(
        "insufficient options buying power", buying_power=format_amount(power), cost_basis=format_amount(cost)
    )
