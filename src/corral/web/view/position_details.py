"""One position in detail: its lots as a table, and its share of each account."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Final

from corral.accounts.activity_history import ActivityHistory, HistoryItem
from corral.accounts.combined.holders import Holders, symbol_key
from corral.accounts.schemas import OrderResponse, PositionResponse
from corral.credentials.models import NamedCredential
from corral.web.view.activities import activity_name
from corral.web.view.instruments import parse_option
from corral.web.view.lots import (
    FILL,
    Lot,
    MatchedLots,
    decimal_text,
    format_held,
    held_days,
    match_lots,
    movements_of,
)
from corral.web.view.positions import WHOLE

MOST_LOTS: Final = 100  # on the page; a day trader's position may have thousands
MOST_ACTIVITIES: Final = 25

_DOLLARS: Final = "USD"


@dataclass(frozen=True, slots=True)
class LotRow:
    """A lot that is left, with exact decimals. `opened_at`, and what follows from the price, may be unknown.

    `held` is for how long, such as `12 days`.
    """

    opened_at: str | None
    held: str
    qty: str
    price: str | None
    cost: str | None
    unrealized_pl: str | None


@dataclass(frozen=True, slots=True)
class LotsTable:
    """The lots, oldest first, in `currency`; `hidden` counts further ones.

    `explained` of `held` follow from activities, or more than that if `is_excess`. `realized` is None unless certain.
    `multiplier` is that of an option, as a factor of all prices.
    """

    rows: tuple[LotRow, ...]
    hidden: int
    currency: str
    multiplier: str
    held: str
    explained: str
    is_complete: bool
    is_excess: bool
    is_whole: bool
    unreadable: int
    realized: str | None
    closed: str


@dataclass(frozen=True, slots=True)
class ActivityRow:
    """An activity of a symbol; `name` is `Bought`, `Sold` or that of its type."""

    activity: HistoryItem
    name: str
    qty: str | None
    amount: str | None


@dataclass(frozen=True, slots=True)
class AccountShare:
    """What an account holds of a symbol. `of_equity` is in hundredths of a percent, None if that says nothing."""

    credential: NamedCredential
    position: PositionResponse
    currency: str
    of_equity: int | None


def orders_of(symbol: str, orders: Sequence[OrderResponse]) -> list[OrderResponse]:
    """Returns the orders in the symbol, with those that have a leg in it."""
    wanted = symbol_key(symbol)
    return [
        order
        for order in orders
        if any(part.symbol and symbol_key(part.symbol) == wanted for part in (order, *order.legs))
    ]


def activities_of(symbol: str, position: PositionResponse | None, history: ActivityHistory) -> list[ActivityRow]:
    """Returns the newest activities of the symbol."""
    multiplier = _multiplier(symbol, position)
    wanted = symbol_key(symbol)
    items = [item for item in history.items if item.symbol and symbol_key(item.symbol) == wanted]
    return [_activity_row(item, multiplier) for item in items[:MOST_ACTIVITIES]]


def build_lots_table(
    symbol: str, position: PositionResponse | None, history: ActivityHistory, currency: str, now: datetime
) -> LotsTable:
    """`position` is None if it was closed; then there are no lots, but maybe a realized gain."""
    held = Fraction(position.qty) if position else Fraction()
    matched = match_lots(movements_of(symbol, history), held, is_whole=history.is_whole)
    in_dollars = position is not None and position.usd is not None
    multiplier = _multiplier(symbol, position)
    price = _current_price(position)
    rows = [_lot_row(lot, multiplier, price, now) for lot in matched.lots]
    unreadable = [one for one in history.unreadable if one is None or symbol_key(one) == symbol_key(symbol)]
    return LotsTable(
        rows=tuple(rows[-MOST_LOTS:]),
        hidden=max(len(rows) - MOST_LOTS, 0),
        currency=_DOLLARS if in_dollars else currency,
        multiplier=decimal_text(multiplier or Fraction(1)),
        held=decimal_text(held),
        explained=decimal_text(held - matched.unexplained),
        is_complete=not matched.unexplained,
        is_excess=bool(matched.unexplained) and (matched.unexplained < 0) != (held < 0),
        is_whole=history.is_whole,
        unreadable=len(unreadable),
        realized=_realized(matched, multiplier) if not unreadable else None,
        closed=decimal_text(matched.closed),
    )


def shares_of(holders: Holders) -> list[AccountShare]:
    """Returns how much of each account's equity the position is: live accounts first, then the largest positions."""
    shares = [
        AccountShare(
            credential=one.credential,
            position=one.position,
            currency=one.currency,
            of_equity=share_of_equity(one.position.market_value, one.equity),
        )
        for one in holders.items
    ]
    return sorted(shares, key=_rank)


def rounded_average(price: str | None) -> str | None:
    """An average price, which may be a long quotient, with four decimals, or eight below a dollar."""
    if price is None:
        return None
    places = 4 if abs(Fraction(price)) >= 1 else 8
    return decimal_text(Fraction(round(Fraction(price) * 10**places), 10**places))


def share_of_equity(market_value: str | None, equity: str | None) -> int | None:
    """Returns the absolute value as hundredths of a percent of the account's equity; None if that is not positive."""
    if market_value is None or equity is None or Fraction(equity) <= 0:
        return None
    return round(abs(Fraction(market_value)) * WHOLE / Fraction(equity))


def _rank(share: AccountShare) -> tuple[str, Fraction, str]:
    value = Fraction(share.position.market_value or 0)
    return share.credential.sealed.credential_type, -abs(value), share.credential.nickname


def _activity_row(item: HistoryItem, multiplier: Fraction | None) -> ActivityRow:
    """A fill has the money that was paid (negative) or received, without fees."""
    if item.activity_type != FILL:
        return ActivityRow(item, activity_name(item.activity_type), item.qty, item.net_amount)
    is_sale = bool(item.qty and item.qty.startswith("-"))
    amount = -Fraction(item.qty) * Fraction(item.price) * multiplier if item.qty and item.price and multiplier else None
    qty = item.qty and item.qty.removeprefix("-")
    return ActivityRow(item, "Sold" if is_sale else "Bought", qty, None if amount is None else decimal_text(amount))


def _realized(matched: MatchedLots, multiplier: Fraction | None) -> str | None:
    if matched.realized is None or multiplier is None:
        return None
    return decimal_text(matched.realized * multiplier)


def _lot_row(lot: Lot, multiplier: Fraction | None, price: Fraction | None, now: datetime) -> LotRow:
    cost = None if lot.cost is None or multiplier is None else lot.cost * multiplier
    gain = None if cost is None or price is None or multiplier is None else lot.qty * price * multiplier - cost
    return LotRow(
        opened_at=lot.opened_at and f"{lot.opened_at}Z",
        held=format_held(held_days(lot.opened_at, now)) if lot.opened_at else "",
        qty=decimal_text(lot.qty),
        price=None if lot.price is None else decimal_text(lot.price),
        cost=None if cost is None else decimal_text(cost),
        unrealized_pl=None if gain is None else decimal_text(gain),
    )


def _current_price(position: PositionResponse | None) -> Fraction | None:
    """In dollars, as fills are."""
    if position is None:
        return None
    price = position.current_price if position.usd is None else position.usd.get("current_price")
    return None if price is None else Fraction(price)


def _multiplier(symbol: str, position: PositionResponse | None) -> Fraction | None:
    """1, or what one option contract delivers: of an adjusted one only the position's value says it."""
    contract = parse_option(symbol)
    if contract is None:
        return Fraction(1)
    if contract.multiplier is not None:
        return Fraction(contract.multiplier)
    if position is None or position.market_value is None or position.current_price is None:
        return None
    one = Fraction(position.qty) * Fraction(position.current_price)
    return Fraction(round(Fraction(position.market_value) / one)) if one else None
