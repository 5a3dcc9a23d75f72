"""Which options an account may buy or write, by its options trading level.

Level 1 sells covered calls and cash-secured puts, level 2 also buys, level 3 also trades multi-leg strategies.
"""

from decimal import Decimal

from corral_sandbox.broker.matching import quote
from corral_sandbox.broker.order_checks import (
    available_buying_power,
    check_buying_power,
    checked_intent,
    insufficient_quantity,
    reserved_quantity,
)
from corral_sandbox.broker.order_manager import OrderManager
from corral_sandbox.broker.orders import BrokerOrder, OrderRequest
from corral_sandbox.errors import ForbiddenError
from corral_sandbox.market.assets import Asset, asset_id_of
from corral_sandbox.market.money import ZERO, format_amount
from corral_sandbox.market.option_contracts import SHARES_PER_CONTRACT, OptionContract

_WRITES, _BUYS, _COMBINES = 1, 2, 3


def check_option_order(
    manager: OrderManager, order_request: OrderRequest, now: int, *, replacing: BrokerOrder | None = None
) -> None:
    """Checks an order for options. `replacing` is the order that this one replaces; its reservations do not count."""
    asset = order_request.asset
    if asset is None or asset.contract is None:
        _check_strategy(manager, order_request, now, replacing)
    elif not checked_intent(manager, order_request, asset, now, replacing).endswith("close"):
        _check_opening(manager, order_request, asset.contract, now, replacing)


def _check_opening(
    manager: OrderManager,
    order_request: OrderRequest,
    contract: OptionContract,
    now: int,
    replacing: BrokerOrder | None,
) -> None:
    """Raises for what the level does not allow, and for uncovered calls and puts."""
    _check_level(manager, _BUYS if order_request.side == "buy" else _WRITES)
    quantity = order_request.quantity or ZERO
    if order_request.side == "buy":
        check_buying_power(manager, order_request, now, replacing)
        return
    if contract.type == "call":
        _check_cover(manager, contract, quantity, now, replacing)
        return
    needed = quantity * SHARES_PER_CONTRACT * contract.strike
    power = max(min(available_buying_power(manager, order_request, now, replacing), manager.ledger.state.cash), ZERO)
    if needed > power:
        raise _insufficient(needed, power)


def _check_strategy(
    manager: OrderManager, order_request: OrderRequest, now: int, replacing: BrokerOrder | None
) -> None:
    """Raises for legs that close more than is held, and if the greatest loss exceeds the buying power."""
    _check_level(manager, _COMBINES)
    quantity = order_request.quantity or ZERO
    for leg in order_request.legs:
        held = manager.ledger.state.quantity_of(leg.asset.symbol)
        closes = held < 0 if leg.side == "buy" else held > 0
        if closes and quantity * leg.ratio > abs(held):
            raise ForbiddenError(insufficient_quantity(quantity * leg.ratio, abs(held)))
    most = _greatest_loss(manager, order_request)
    if most is None:
        raise ForbiddenError("account not eligible to trade uncovered option contracts")
    net = (
        quote(manager.terms.market, order_request, now)
        if order_request.limit_price is None
        else order_request.limit_price
    )
    cost = max((most + net) * quantity * SHARES_PER_CONTRACT, ZERO)
    power = max(available_buying_power(manager, order_request, now, replacing), ZERO)
    if cost > power:
        raise _insufficient(cost, power)


def _greatest_loss(manager: OrderManager, order_request: OrderRequest) -> Decimal | None:
    """Returns the greatest loss at expiry of the opening legs per share, without their price, None if unlimited."""
    opened: list[tuple[OptionContract, Decimal]] = []
    for leg in order_request.legs:
        held, sign = manager.ledger.state.quantity_of(leg.asset.symbol), 1 if leg.side == "buy" else -1
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
    held = max(manager.ledger.state.quantity_of(contract.underlying), ZERO)
    written = sum(
        (order.left or ZERO for order in manager.open_orders if _writes_calls(order, contract, replacing)), ZERO
    )
    free = held - reserved_quantity(manager, contract.underlying, now, replacing) - written * SHARES_PER_CONTRACT
    required, available = quantity * SHARES_PER_CONTRACT, max(free, ZERO)
    if required > available:
        raise ForbiddenError(
            "insufficient underlying qty available for covered call "
            f"(required: {format_amount(required)}, available: {format_amount(available)})",
            available_qty=format_amount(available),
            required_qty=format_amount(required),
            symbol=contract.symbol,
            underlying_asset_id=asset_id_of(contract.underlying),
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
