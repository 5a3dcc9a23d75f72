"""Whether an account may place an order. Refuses with 403 and Alpaca's bodies."""

from decimal import Decimal

from corral_sandbox.book import Book
from corral_sandbox.configurations import Configurations
from corral_sandbox.forbidden import Forbidden
from corral_sandbox.holds import cost_of, held_quantity, power_left
from corral_sandbox.ledger import ZERO
from corral_sandbox.listing import Asset
from corral_sandbox.money import in_writing
from corral_sandbox.option_checks import check_option_opening, check_strategy
from corral_sandbox.order_rules import Unprocessable, is_fractional
from corral_sandbox.orders import Intent, Order, Ticket
from corral_sandbox.parameters import Invalid
from corral_sandbox.quotes import quote
from corral_sandbox.settlement import quantity_of


def check_account(book: Book) -> None:
    profile = book.account.profile
    if profile["account_blocked"] or profile["trading_blocked"]:
        raise Forbidden("account is restricted from trading")
    if profile["trade_suspended_by_user"]:
        raise Forbidden("new orders are rejected by user request")


def check_client_order_id(book: Book, client_order_id: str | None) -> None:
    if client_order_id is not None and client_order_id in book.by_client_order_id:
        raise Invalid("client_order_id must be unique")


def check_order(
    book: Book, ticket: Ticket, configurations: Configurations, now: int, *, instead: Order | None = None
) -> None:
    """`instead` is an order that goes when this one comes: what it holds is free again."""
    asset = ticket.asset
    if asset is None:
        check_strategy(book, ticket, now, instead)
        return
    if is_fractional(ticket) and not configurations.fractional_trading and not ticket.trades_always:
        raise Forbidden("fractional trading is disabled")
    _check_wash_trade(book, ticket, asset, instead)
    intent = inferred_intent(book, ticket)
    if ticket.intent is not None and ticket.intent != intent:
        raise Unprocessable(f"position intent mismatch, inferred: {intent}, specified: {ticket.intent}")
    if intent.endswith("close"):
        _check_quantity(book, ticket, asset, now, instead)
        return
    if asset.contract is not None:
        check_option_opening(book, ticket, asset.contract, now, instead)
    elif ticket.side == "sell":
        _check_short_sale(book, ticket, asset)
    if asset.contract is None or ticket.side == "buy":
        _check_power(book, ticket, now, instead)


def inferred_intent(book: Book, ticket: Ticket) -> Intent:
    """Answers what an order does to the position that there is."""
    held = quantity_of(book.state, ticket.asset.symbol) if ticket.asset else ZERO
    if ticket.side == "buy":
        return "buy_to_close" if held < 0 else "buy_to_open"
    return "sell_to_close" if held > 0 else "sell_to_open"


def _quantity(book: Book, ticket: Ticket, now: int) -> Decimal:
    if ticket.quantity is not None:
        return ticket.quantity
    return (ticket.notional or ZERO) / quote(book.account.seed, ticket, now)


def _check_quantity(book: Book, ticket: Ticket, asset: Asset, now: int, instead: Order | None) -> None:
    """A position is closed with what is not held for other orders; it is not turned around by one order."""
    held = abs(quantity_of(book.state, asset.symbol))
    on_hold = held_quantity(book, asset.symbol, now, instead)
    available = held - on_hold
    wanted = _quantity(book, ticket, now)
    if wanted <= available:
        return
    details = {
        "available": in_writing(available),
        "existing_qty": in_writing(held),
        "held_for_orders": in_writing(on_hold),
        "symbol": asset.symbol,
    }
    if asset.asset_class == "crypto":
        coin = asset.symbol.split("/")[0]
        raise Forbidden(_balance(coin, wanted, available), **details)
    message = (
        f"insufficient qty available for order (requested: {in_writing(wanted)}, available: {in_writing(available)})"
    )
    raise Forbidden(message, **details)


def _check_short_sale(book: Book, ticket: Ticket, asset: Asset) -> None:
    if asset.asset_class == "crypto":
        wanted = in_writing(ticket.quantity or ticket.notional or ZERO)
        coin = asset.symbol.split("/")[0]
        raise Forbidden(
            f"insufficient balance for {coin} (requested: {wanted}, available: 0)", available="0", symbol=coin
        )
    if not book.account.profile["shorting_enabled"]:
        raise Forbidden("account is not allowed to short")
    if is_fractional(ticket):
        raise Unprocessable("fractional orders cannot be sold short")
    if not asset.shortable:
        raise Unprocessable(f'asset "{asset.symbol}" cannot be sold short')


def _check_power(book: Book, ticket: Ticket, now: int, instead: Order | None) -> None:
    cost = ticket.notional or cost_of(book, ticket, _quantity(book, ticket, now), now)
    power = max(power_left(book, ticket, now, instead), ZERO)
    if cost <= power:
        return
    if ticket.trades_always:
        raise Forbidden(_balance("USD", cost, power), available=in_writing(power), symbol="USD")
    what = "options buying power" if ticket.asset and ticket.asset.contract else "buying power"
    raise Forbidden(f"insufficient {what}", buying_power=in_writing(power), cost_basis=in_writing(cost))


def _check_wash_trade(book: Book, ticket: Ticket, asset: Asset, instead: Order | None) -> None:
    """Refuses what might be done against an order of the account's own, but for the exits of complex orders."""
    for order in book.open_orders():
        other = order.ticket
        if order is instead or order.is_exit or other.side == ticket.side:
            continue
        if other.asset is None or other.asset.symbol != asset.symbol:
            continue
        buy, sell = (ticket, other) if ticket.side == "buy" else (other, ticket)
        if buy.type == sell.type == "limit" and (buy.limit_price or ZERO) < (sell.limit_price or ZERO):
            continue
        raise Unprocessable("potential wash trade detected. use complex orders")


def _balance(of: str, wanted: Decimal, available: Decimal) -> str:
    return f"insufficient balance for {of} (requested: {in_writing(wanted)}, available: {in_writing(available)})"
