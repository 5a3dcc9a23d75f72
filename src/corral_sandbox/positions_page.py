"""/v2/positions: what is held, and how it is closed."""

from decimal import ROUND_DOWN, Decimal
from uuid import UUID

from corral_sandbox.answers import Answer, Document, Refused
from corral_sandbox.book import Book
from corral_sandbox.forbidden import Forbidden
from corral_sandbox.holds import held_quantity
from corral_sandbox.ledger import ZERO, Position, average
from corral_sandbox.listing import Asset, find_asset
from corral_sandbox.market import price
from corral_sandbox.money import in_writing
from corral_sandbox.option_contracts import Contract, contract_of
from corral_sandbox.order_checks import check_account
from corral_sandbox.order_rules import Unprocessable
from corral_sandbox.orders import Ticket
from corral_sandbox.orders_page import cancel_all, submit, up_to_now
from corral_sandbox.parameters import Invalid, as_flag, as_number
from corral_sandbox.requests import Request
from corral_sandbox.settlement import can_exercise, quantity_of
from corral_sandbox.trading_hours import close_before_today

_HUNDRED, _MOST = Decimal(100), Decimal(10**9)
_BILLIONTH = Decimal(1).scaleb(-9)


def list_positions(request: Request) -> Document:
    book = up_to_now(request)
    return [_document(book, symbol, request.now) for symbol in sorted(book.state.positions)]


def show_position(request: Request) -> Document:
    book = up_to_now(request)
    return _document(book, _asked_for(book, request).symbol, request.now)


def close_position(request: Request) -> Document:
    """Answers the order that closes it, by a quantity, by percent of the whole, or all of it."""
    book, query = up_to_now(request), request.query()
    asset = _asked_for(book, request)
    check_account(book)
    held = abs(book.state.positions[asset.symbol].quantity)
    return submit(request, book, _closing(book, asset, _quantity(query, held)))


def close_all_positions(request: Request) -> Answer:
    """Answers for each position the order that closes it, or why there is none. Options go first: shares cover them."""
    book = up_to_now(request)
    check_account(book)
    if as_flag("cancel_orders", request.query().get("cancel_orders", "false")):
        cancel_all(book, request.now)
    symbols = sorted(book.state.positions, key=lambda symbol: (contract_of(symbol) is None, symbol))
    return Answer(207, [_close(request, book, symbol) for symbol in symbols])


def exercise_position(request: Request) -> Answer:
    book = up_to_now(request)
    contract, held = _option_asked_for(book, request)
    check_account(book)
    if held < 0:
        raise Forbidden("short option positions cannot be exercised")
    if not can_exercise(book.account, book.state, contract, held, request.now):
        raise Forbidden("insufficient buying power or shares to exercise")
    book.exercise(contract, request.now)
    return Answer(200, b"")


def decline_exercise(request: Request) -> Answer:
    book = up_to_now(request)
    contract, _ = _option_asked_for(book, request)
    book.decline_exercise(contract)
    return Answer(200, b"")


def _option_asked_for(book: Book, request: Request) -> tuple[Contract, Decimal]:
    asset = _asked_for(book, request)
    if asset.contract is None:
        raise Unprocessable(f"{asset.symbol} is not an option")
    return asset.contract, quantity_of(book.state, asset.symbol)


def _close(request: Request, book: Book, symbol: str) -> dict[str, object]:
    asset, held = find_asset(symbol), abs(book.state.positions[symbol].quantity)
    if asset is None:
        raise AssertionError("what is held is listed")
    try:
        order = submit(request, book, _closing(book, asset, held))
    except Refused as refused:
        return {"symbol": symbol, "status": refused.answer.status, "body": refused.answer.body}
    return {"symbol": symbol, "status": 200, "body": order}


def _closing(book: Book, asset: Asset, quantity: Decimal) -> Ticket:
    is_long = book.state.positions[asset.symbol].quantity > 0
    return Ticket(
        side="sell" if is_long else "buy",
        type="market",
        time_in_force="gtc" if asset.asset_class == "crypto" else "day",
        asset=asset,
        quantity=quantity,
        intent="sell_to_close" if is_long else "buy_to_close",
    )


def _quantity(query: dict[str, str], held: Decimal) -> Decimal:
    if "qty" in query and "percentage" in query:
        raise Invalid("only one of qty or percentage is accepted")
    if "percentage" in query:
        percent = _number("percentage", query["percentage"])
        if percent > _HUNDRED:
            raise Invalid("percentage must be between 0 and 100")
        return held * percent / _HUNDRED.quantize(_BILLIONTH, ROUND_DOWN).normalize()
    return _number("qty", query["qty"]) if "qty" in query else held


def _number(name: str, text: str) -> Decimal:
    number = as_number(name, text)
    if not 0 < number <= _MOST or number % _BILLIONTH:
        raise Invalid(f"invalid {name}: must be a number > 0 with at most nine decimals")
    return number


def _asked_for(book: Book, request: Request) -> Asset:
    text = request.parameters["symbol_or_asset_id"]
    asset = find_asset(text)
    if asset is None and not _is_id(text):
        raise Refused(404, f"symbol not found: {text}", code=40410000)
    if asset is None or asset.symbol not in book.state.positions:
        raise Refused(404, "position does not exist", code=40410000)
    return asset


def _is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _document(book: Book, symbol: str, now: int) -> dict[str, object]:
    asset, position = find_asset(symbol), book.state.positions[symbol]
    if asset is None:
        raise AssertionError("what is held is listed")
    seed = book.account.seed
    closed_at = close_before_today(now)
    current, last = price(seed, symbol, now), price(seed, symbol, closed_at)
    since_close = _position_since_close(book, symbol, closed_at, last)
    available = abs(position.quantity) - held_quantity(book, symbol, now)
    return {
        "asset_id": asset.id,
        "symbol": symbol.replace("/", ""),
        "exchange": asset.exchange,
        "asset_class": asset.asset_class,
        "asset_marginable": asset.marginable,
        "qty": in_writing(position.quantity),
        "avg_entry_price": in_writing(position.average),
        "side": "long" if position.quantity > 0 else "short",
        "market_value": in_writing(_value(asset, position.quantity, current)),
        "cost_basis": in_writing(_value(asset, position.quantity, position.average)),
        **_profit("unrealized", asset, position, current),
        **_profit("unrealized_intraday", asset, since_close, current),
        "current_price": in_writing(current),
        "lastday_price": in_writing(last),
        "change_today": in_writing(average(current - last, last)),
        "qty_available": in_writing(available if position.quantity > 0 else -available),
    }


def _position_since_close(book: Book, symbol: str, closed_at: int, last: Decimal) -> Position:
    """Answers the position as if all that was held at the last close had been bought at that close."""
    then = book.ledger.state_at(closed_at).positions.get(symbol)
    position = Position(then.quantity if then else ZERO, last)
    for execution in book.ledger.executed_after(closed_at):
        if execution.symbol == symbol:
            position = position.after(execution.quantity, execution.price)
    return position


def _profit(name: str, asset: Asset, position: Position, current: Decimal) -> dict[str, object]:
    basis = _value(asset, position.quantity, position.average)
    profit = _value(asset, position.quantity, current) - basis
    return {f"{name}_pl": in_writing(profit), f"{name}_plpc": in_writing(average(profit, abs(basis)))}


def _value(asset: Asset, quantity: Decimal, each: Decimal) -> Decimal:
    return quantity * each * asset.multiplier
