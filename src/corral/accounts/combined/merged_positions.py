"""Positions of several accounts, merged by symbol.

Long and short, paper and live, and currencies stay apart. Sums are exact; quotients are rounded.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Final, NamedTuple
from uuid import UUID

from corral.accounts.amounts import EXACT, as_text, quotient
from corral.accounts.combined.coin_names import COIN, pair_names
from corral.accounts.schemas import PositionList, PositionResponse
from corral.alpaca.environments import Environment

_ZERO: Final = Decimal()
_BYTES_OF_A_PART: Final = 500  # about, in memory, without Alpaca's answer


@dataclass(frozen=True, slots=True)
class PositionPart:
    """What one account holds, as Alpaca returned it."""

    credential_id: UUID
    nickname: str
    position: PositionResponse


@dataclass(frozen=True, slots=True, kw_only=True)
class MergedPosition:
    """One asset in one or more accounts, largest part first.

    Sums are of the parts that have the number, and None if none has it; `missing` is how many parts lack one of them.
    `avg_entry_price` is weighted by quantity, and None if a part has none. `unrealized_plpc` is of the cost basis and
    `unrealized_intraday_plpc` of the value at the last close. `weight` is the share of the absolute market value of all
    positions in this currency and account type. These four, if they are not Alpaca's own, are rounded half to even to
    18 significant digits. Prices are those of the largest part.
    """

    symbol: str
    asset_id: str
    asset_class: str | None
    exchange: str | None
    currency: str
    account_type: Environment
    side: str
    qty: str
    qty_available: str | None
    avg_entry_price: str | None
    market_value: str | None
    cost_basis: str | None
    unrealized_pl: str | None
    unrealized_plpc: str | None
    unrealized_intraday_pl: str | None
    unrealized_intraday_plpc: str | None
    current_price: str | None
    lastday_price: str | None
    change_today: str | None
    weight: str | None
    missing: int
    parts: tuple[PositionPart, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionTotals:
    """Exact totals of one account type and currency. `missing` is how many parts lack one of the numbers."""

    account_type: Environment
    currency: str
    positions: int
    market_value: str
    long_market_value: str
    short_market_value: str
    cost_basis: str
    unrealized_pl: str
    unrealized_intraday_pl: str
    missing: int


@dataclass(frozen=True, slots=True)
class HeldByAccount:
    """The positions of one account."""

    credential_id: UUID
    nickname: str
    account_type: Environment
    currency: str
    positions: PositionList


@dataclass(frozen=True, slots=True)
class MergedPositions:
    """By account type, currency and descending absolute market value. `size` is about that in memory, in bytes."""

    items: tuple[MergedPosition, ...]
    totals: tuple[PositionTotals, ...]

    @property
    def size(self) -> int:
        return _BYTES_OF_A_PART * sum(len(item.parts) for item in self.items)


def merge_positions(held: Iterable[HeldByAccount]) -> MergedPositions:
    """Returns one for each asset, side, currency and account type. The order of the accounts does not matter."""
    with localcontext(EXACT):  # of every operator below
        groups = list(_groups(held))
        return MergedPositions(tuple(position for group in groups for position in group), tuple(map(_totals, groups)))


class _Whole(NamedTuple):
    """Within which weights and totals are taken."""

    account_type: Environment
    currency: str


def _groups(held: Iterable[HeldByAccount]) -> Iterator[list[MergedPosition]]:
    wholes: dict[_Whole, list[PositionPart]] = {}
    for each in held:
        parts = wholes.setdefault(_Whole(each.account_type, each.currency), [])
        parts.extend(PositionPart(each.credential_id, each.nickname, position) for position in each.positions.items)
    pairs = pair_names(part.position for parts in wholes.values() for part in parts)
    for whole in sorted(wholes):
        if wholes[whole]:
            yield _merge_whole(whole, wholes[whole], pairs)


def _merge_whole(whole: _Whole, parts: Iterable[PositionPart], pairs: dict[str, str]) -> list[MergedPosition]:
    by_asset: dict[tuple[str, bool, str], list[_Valued]] = {}
    size = _ZERO
    for part in parts:
        position, valued = part.position, _valued(part)
        is_coin = position.asset_class in {COIN, None} and position.symbol.replace("/", "") in pairs
        symbol = pairs[position.symbol.replace("/", "")] if is_coin else position.symbol
        by_asset.setdefault((symbol, is_coin, position.side), []).append(valued)
        size += valued.size
    merged = [_merge(whole, symbol, found, size) for (symbol, _, _), found in by_asset.items()]
    ranked = sorted(merged, key=lambda pair: (-pair[0], pair[1].symbol, pair[1].side, pair[1].asset_id))
    return [position for _, position in ranked]


class _Valued(NamedTuple):
    """A part with the numbers that are added up. `size` is its absolute market value."""

    part: PositionPart
    numbers: tuple[Decimal | None, ...]
    size: Decimal
    lacks_numbers: bool


def _valued(part: PositionPart) -> _Valued:
    position = part.position
    texts = (
        position.qty,
        position.qty_available,
        position.market_value,
        position.cost_basis,
        position.unrealized_pl,
        position.unrealized_intraday_pl,
    )
    numbers = tuple([None if text is None else Decimal(text) for text in texts])
    value = numbers[2]
    return _Valued(part, numbers, _ZERO if value is None else abs(value), None in texts)


class _Sum(NamedTuple):
    """Of those parts that have the number; None if none has it."""

    amount: Decimal | None
    is_complete: bool

    @property
    def text(self) -> str | None:
        return None if self.amount is None else as_text(self.amount)

    @property
    def whole(self) -> Decimal | None:
        """None if a part lacks the number."""
        return self.amount if self.is_complete else None


def _merge(whole: _Whole, symbol: str, found: list[_Valued], size_of_all: Decimal) -> tuple[Decimal, MergedPosition]:
    """Returns it after its absolute market value, by which it is sorted."""
    found.sort(key=lambda one: (-one.size, one.part.credential_id))
    first = found[0].part.position
    single = first if len(found) == 1 else None
    qty, qty_available, value, cost, gain, gain_today = map(_sum, zip(*[one.numbers for one in found], strict=True))
    size = sum([one.size for one in found], _ZERO)
    return size, MergedPosition(
        symbol=symbol,
        asset_id=first.asset_id,
        asset_class=next((one.part.position.asset_class for one in found if one.part.position.asset_class), None),
        exchange=first.exchange,
        currency=whole.currency,
        account_type=whole.account_type,
        side=first.side,
        qty=qty.text or "0",
        qty_available=qty_available.text,
        avg_entry_price=single.avg_entry_price if single else _average_price(found),
        market_value=value.text,
        cost_basis=cost.text,
        unrealized_pl=gain.text,
        unrealized_plpc=single.unrealized_plpc if single else _factor(gain.whole, cost.whole),
        unrealized_intraday_pl=gain_today.text,
        unrealized_intraday_plpc=single.unrealized_intraday_plpc if single else _of_last_close(gain_today, value),
        current_price=first.current_price,
        lastday_price=first.lastday_price,
        change_today=first.change_today,
        weight=None if value.amount is None else quotient(size, size_of_all) or "0",
        missing=sum([one.lacks_numbers for one in found]),
        parts=tuple([one.part for one in found]),
    )


def _sum(numbers: Sequence[Decimal | None]) -> _Sum:
    known = [number for number in numbers if number is not None]
    return _Sum(sum(known[1:], known[0]) if known else None, len(known) == len(numbers))


def _average_price(found: Sequence[_Valued]) -> str | None:
    """If all have the same, it stays as Alpaca wrote it."""
    prices = [one.part.position.avg_entry_price for one in found]
    if len(set(prices)) == 1:
        return prices[0]
    weighted = quantity = _ZERO
    for one, price in zip(found, prices, strict=True):
        if price is None:
            return None
        qty = one.numbers[0] or _ZERO
        weighted += qty * Decimal(price)
        quantity += qty
    return quotient(weighted, quantity)


def _of_last_close(gain: _Sum, value: _Sum) -> str | None:
    if gain.whole is None or value.whole is None:
        return None
    return _factor(gain.whole, value.whole - gain.whole)


def _factor(gain: Decimal | None, base: Decimal | None) -> str | None:
    """The base of a short position is negative, and a gain is positive nevertheless."""
    return None if gain is None or base is None else quotient(gain, abs(base))


def _totals(group: Sequence[MergedPosition]) -> PositionTotals:
    def added(name: str, among: Sequence[MergedPosition] = group) -> str:
        values: Iterator[str | None] = (getattr(position, name) for position in among)
        return as_text(sum([Decimal(value) for value in values if value is not None], _ZERO))

    return PositionTotals(
        account_type=group[0].account_type,
        currency=group[0].currency,
        positions=len(group),
        market_value=added("market_value"),
        long_market_value=added("market_value", [one for one in group if not _is_short(one)]),
        short_market_value=added("market_value", [one for one in group if _is_short(one)]),
        cost_basis=added("cost_basis"),
        unrealized_pl=added("unrealized_pl"),
        unrealized_intraday_pl=added("unrealized_intraday_pl"),
        missing=sum(position.missing for position in group),
    )


def _is_short(position: MergedPosition) -> bool:
    return position.qty.startswith("-")
