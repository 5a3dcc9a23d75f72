"""/v2/positions: list, get, close and exercise."""

from decimal import ROUND_DOWN, Decimal
from uuid import UUID

from corral_sandbox.api.orders import advanced_manager, cancel_all, submit_order
from corral_sandbox.broker.ledger import LedgerPosition
from corral_sandbox.broker.order_checks import check_account, reserved_quantity
from corral_sandbox.broker.order_manager import OrderManager
from corral_sandbox.broker.orders import OrderRequest
from corral_sandbox.broker.settlement import can_exercise
from corral_sandbox.errors import ApiError, ForbiddenError, InvalidParameterError, UnprocessableError
from corral_sandbox.http.requests import Document, Request, Response, as_flag, as_number
from corral_sandbox.market.assets import Asset
from corral_sandbox.market.money import BILLIONTH, ZERO, average, format_amount
from corral_sandbox.market.option_contracts import OptionContract, contract_of
from corral_sandbox.market.prices import price
from corral_sandbox.market.time import close_before_today

_HUNDRED, _MOST = Decimal(100), Decimal(10**9)


def list_positions(request: Request) -> list[dict[str, object]]:
    manager = advanced_manager(request)
    return [_document(manager, symbol, request.now) for symbol in sorted(manager.ledger.state.positions)]


def get_position(request: Request) -> Document:
    manager = advanced_manager(request)
    return _document(manager, _requested_asset(manager, request).symbol, request.now)


def close_position(request: Request) -> Document:
    """Returns the order that closes a quantity, a percentage or all of the position."""
    manager, query = advanced_manager(request), request.query()
    asset = _requested_asset(manager, request)
    check_account(manager)
    held = abs(manager.ledger.state.positions[asset.symbol].quantity)
    return submit_order(request, manager, _closing_request(manager, asset, _quantity(query, held)))


def close_all_positions(request: Request) -> Response:
    """Returns for each position the closing order or the error. Options close first, because shares cover them."""
    manager = advanced_manager(request)
    check_account(manager)
    if as_flag("cancel_orders", request.query().get("cancel_orders", "false")):
        cancel_all(manager, request.now)
    symbols = sorted(manager.ledger.state.positions, key=lambda symbol: (contract_of(symbol) is None, symbol))
    return Response(207, [_close_one(request, manager, symbol) for symbol in symbols])


def exercise_position(request: Request) -> Response:
    manager = advanced_manager(request)
    contract, held = _requested_option(manager, request)
    check_account(manager)
    if held < 0:
        raise ForbiddenError("short option positions cannot be exercised")
    if not can_exercise(manager.terms, manager.ledger.state, contract, held, request.now):
        raise ForbiddenError("insufficient buying power or shares to exercise")
    manager.exercise(contract, request.now)
    return Response(200, b"")


def decline_exercise(request: Request) -> Response:
    manager = advanced_manager(request)
    contract, _ = _requested_option(manager, request)
    manager.decline_exercise(contract)
    return Response(200, b"")


def _requested_option(manager: OrderManager, request: Request) -> tuple[OptionContract, Decimal]:
    asset = _requested_asset(manager, request)
    if asset.contract is None:
        raise UnprocessableError(f"{asset.symbol} is not an option")
    return asset.contract, manager.ledger.state.quantity_of(asset.symbol)


def _close_one(request: Request, manager: OrderManager, symbol: str) -> dict[str, object]:
    asset, held = request.assets.find(symbol), abs(manager.ledger.state.positions[symbol].quantity)
    if asset is None:
        raise AssertionError("what is held is listed")
    try:
        order = submit_order(request, manager, _closing_request(manager, asset, held))
    except ApiError as error:
        return {"symbol": symbol, "status": error.status, "body": error.body}
    return {"symbol": symbol, "status": 200, "body": order}


def _closing_request(manager: OrderManager, asset: Asset, quantity: Decimal) -> OrderRequest:
    is_long = manager.ledger.state.positions[asset.symbol].quantity > 0
    return OrderRequest(
        side="sell" if is_long else "buy",
        type="market",
        time_in_force="gtc" if asset.asset_class == "crypto" else "day",
        asset=asset,
        quantity=quantity,
        intent="sell_to_close" if is_long else "buy_to_close",
    )


def _quantity(query: dict[str, str], held: Decimal) -> Decimal:
    if "qty" in query and "percentage" in query:
        raise InvalidParameterError("only one of qty or percentage is accepted")
    if "percentage" in query:
        percent = _number("percentage", query["percentage"])
        if percent > _HUNDRED:
            raise InvalidParameterError("percentage must be between 0 and 100")
        return (held * percent / _HUNDRED).quantize(BILLIONTH, ROUND_DOWN)
    return _number("qty", query["qty"]) if "qty" in query else held


def _number(name: str, text: str) -> Decimal:
    number = as_number(name, text)
    if not 0 < number <= _MOST or number % BILLIONTH:
        raise InvalidParameterError(f"invalid {name}: must be a number > 0 with at most nine decimals")
    return number


def _requested_asset(manager: OrderManager, request: Request) -> Asset:
    text = request.path_parameters["symbol_or_asset_id"]
    asset = request.assets.find(text)
    if asset is None and not _is_id(text):
        raise ApiError(404, f"symbol not found: {text}", code=40410000)
    if asset is None or asset.symbol not in manager.ledger.state.positions:
        raise ApiError(404, "position does not exist", code=40410000)
    return asset


def _is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _document(manager: OrderManager, symbol: str, now: int) -> dict[str, object]:
    market = manager.terms.market
    asset, position = market.assets.find(symbol), manager.ledger.state.positions[symbol]
    if asset is None:
        raise AssertionError("what is held is listed")
    closed_at = close_before_today(now)
    current, last = price(market, symbol, now), price(market, symbol, closed_at)
    since_close = _position_since_close(manager, symbol, closed_at, last)
    available = abs(position.quantity) - reserved_quantity(manager, symbol, now)
    return {
        "asset_id": asset.id,
        "symbol": symbol.replace("/", ""),
        "exchange": asset.exchange,
        "asset_class": asset.asset_class,
        "asset_marginable": asset.marginable,
        "qty": format_amount(position.quantity),
        "avg_entry_price": format_amount(position.average),
        "side": "long" if position.quantity > 0 else "short",
        "market_value": format_amount(_value(asset, position.quantity, current)),
        "cost_basis": format_amount(_value(asset, position.quantity, position.average)),
        **_profit("unrealized", asset, position, current),
        **_profit("unrealized_intraday", asset, since_close, current),
        "current_price": format_amount(current),
        "lastday_price": format_amount(last),
        "change_today": format_amount(average(current - last, last)),
        "qty_available": format_amount(available if position.quantity > 0 else -available),
    }


def _position_since_close(manager: OrderManager, symbol: str, closed_at: int, last: Decimal) -> LedgerPosition:
    """Returns the position as if everything held at the last close had been bought at its price."""
    then = manager.ledger.state_at(closed_at).positions.get(symbol)
    position = LedgerPosition(then.quantity if then else ZERO, last)
    for execution in manager.ledger.executions_after(closed_at):
        if execution.symbol == symbol:
            position = position.after(execution.quantity, execution.price)
    return position


def _profit(name: str, asset: Asset, position: LedgerPosition, current: Decimal) -> dict[str, object]:
    basis = _value(asset, position.quantity, position.average)
    profit = _value(asset, position.quantity, current) - basis
    return {f"{name}_pl": format_amount(profit), f"{name}_plpc": format_amount(average(profit, abs(basis)))}


def _value(asset: Asset, quantity: Decimal, each: Decimal) -> Decimal:
    return quantity * each * asset.multiplier
