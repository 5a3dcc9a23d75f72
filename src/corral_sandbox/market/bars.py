"""Bars, trades and quotes: pure functions of market, asset and time.

While its market is open, an asset has one trade in each tick of its price (`prices.TICK`), at that price. The bars of
shares and options cover the hours in which they trade, those of coins every hour. Bars of minutes and hours include
the extended hours of shares; bars of days only the regular session and its closing auction, whose price is the close.
A bar's `low` and `high` are the bounds that `prices.price_range` gives: no price of its time lies outside.

Of the latest trade and quote the time is always now, also at night: prices move at night, and positions follow them.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from itertools import takewhile
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

from corral_sandbox.market.assets import Asset, AssetClass
from corral_sandbox.market.money import ZERO
from corral_sandbox.market.prices import TICK, Market, price, price_span
from corral_sandbox.market.seeded_random import seeded_random
from corral_sandbox.market.time import (
    HOUR,
    MINUTE,
    NEW_YORK,
    SECOND,
    TradingWindow,
    session_on,
    session_window,
    to_nanoseconds,
)
from corral_sandbox.market.traded_volume import LOWEST_MEAN, TradedVolume

COIN_UNITS = 1_000_000  # a volume of coins is counted in millionths

_CHICAGO = ZoneInfo("America/Chicago")  # where the day of coins begins
_FIRST_DAYS = {"us_equity": date(2016, 1, 1), "crypto": date(2021, 1, 1), "us_option": date(2024, 2, 1)}
_ONE_DAY = timedelta(days=1)
_MONTHS = 12


TimeUnit = Literal["Min", "Hour", "Day", "Week", "Month"]


@dataclass(frozen=True, slots=True)
class BarTimeframe:
    count: int
    unit: TimeUnit


ONE_MINUTE, ONE_DAY = BarTimeframe(1, "Min"), BarTimeframe(1, "Day")

_TIMEFRAME = re.compile(r"([1-9][0-9]?)(Min|Hour|Day|Week|Month|[THDWM])")
_UNITS: dict[str, TimeUnit] = {
    "Min": "Min",
    "T": "Min",
    "Hour": "Hour",
    "H": "Hour",
    "Day": "Day",
    "D": "Day",
    "Week": "Week",
    "W": "Week",
    "Month": "Month",
    "M": "Month",
}
_COUNTS = {"Min": range(1, 60), "Hour": range(1, 24), "Day": (1,), "Week": (1,), "Month": (1, 2, 3, 4, 6, 12)}
_LENGTHS = {"Min": MINUTE, "Hour": HOUR}


def timeframe_of(text: str) -> BarTimeframe | None:
    """Reads `5Min`, `1Hour`, `1Day`, `1Week` or `3Month`, also as `5T`, `1H`, `1D`, `1W` or `3M`."""
    parts = _TIMEFRAME.fullmatch(text)
    if parts is None:
        return None
    count, unit = int(parts[1]), _UNITS[parts[2]]
    return BarTimeframe(count, unit) if count in _COUNTS[unit] else None


class Bar(NamedTuple):
    """`at` is the beginning of the interval. `volume` is in shares, contracts or `COIN_UNITS` of a coin."""

    at: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: int
    trade_count: int
    mean_price: Decimal


class Trade(NamedTuple):
    """`size` is in shares, contracts or `COIN_UNITS` of a coin."""

    at: int
    price: Decimal
    size: int
    id: int
    is_bought: bool


class Quote(NamedTuple):
    """Sizes are in shares, contracts or `COIN_UNITS` of a coin; a price of 0 stands for no bid."""

    at: int
    bid: Decimal
    bid_size: int
    ask: Decimal
    ask_size: int


class Auctions(NamedTuple):
    """The opening auction of a day, at `at`, and the closing one, None until the close."""

    at: int
    day: date
    opening: Trade
    closing: Trade | None


class OrderBook(NamedTuple):
    """Levels of price and size, the best first."""

    at: int
    bids: list[tuple[Decimal, int]]
    asks: list[tuple[Decimal, int]]


@dataclass(frozen=True, slots=True)
class TimeRange:
    """From `start` to `end`, both included, in nanoseconds since 1970, and what has happened until `now`."""

    start: int
    end: int
    now: int
    newest_first: bool = False

    @property
    def last(self) -> int:
        return min(self.end, self.now)


def everything_until(now: int) -> TimeRange:
    """Returns the whole history, the newest first."""
    return TimeRange(0, now, now, newest_first=True)


def bars(market: Market, asset: Asset, timeframe: BarTimeframe, during: TimeRange) -> Iterator[Bar]:
    """Yields the bars that begin within a time range; the last one may still be running."""
    if timeframe.unit in _LENGTHS:
        return _intraday_bars(market, asset, timeframe.count * _LENGTHS[timeframe.unit], during)
    return _bars_of_days(market, asset, timeframe, during)


def trades(market: Market, asset: Asset, during: TimeRange) -> Iterator[Trade]:
    return (trade_at(market, asset, tick * TICK) for tick in _ticks(asset, during))


def quotes(market: Market, asset: Asset, during: TimeRange) -> Iterator[Quote]:
    return (quote_at(market, asset, tick * TICK) for tick in _ticks(asset, during))


def trade_at(market: Market, asset: Asset, at: int) -> Trade:
    """Returns the trade of the tick that `at` lies in."""
    tick = at // TICK
    volume = _volume_of(market, asset)
    size = volume.before(tick + 1) - volume.before(tick)
    is_bought = bool(seeded_random(2, market.seed, asset.symbol, "side", tick))
    return Trade(tick * TICK, price(market, asset.symbol, tick * TICK), size, tick, is_bought)


def quote_at(market: Market, asset: Asset, at: int) -> Quote:
    """Returns bid and ask one increment below and above the price, at which a market order would be filled."""
    tick = at // TICK
    middle, typical = price(market, asset.symbol, tick * TICK), _volume_of(market, asset).mean
    bid_size, ask_size = (
        1 + seeded_random(3 * typical, market.seed, asset.symbol, side, tick) for side in ("bid", "ask")
    )
    bid = max(middle - asset.price_increment, ZERO)
    return Quote(tick * TICK, bid, bid_size if bid else 0, middle + asset.price_increment, ask_size)


_LEVELS = 10


def order_book_at(market: Market, asset: Asset, at: int) -> OrderBook:
    """Returns ten levels on each side, of which the best are the quote."""
    best = quote_at(market, asset, at)
    step = max((best.ask / 10_000).quantize(asset.price_increment), asset.price_increment)
    sizes = [
        1 + seeded_random(9 * best.ask_size, market.seed, asset.symbol, "level", best.at, n) for n in range(1, _LEVELS)
    ]
    deeper = [(n * step, size) for n, size in enumerate(sizes, 1)]
    bids = [(best.bid - distance, size) for distance, size in deeper if distance < best.bid]
    asks = [(best.ask + distance, size) for distance, size in deeper]
    return OrderBook(best.at, [(best.bid, best.bid_size), *bids], [(best.ask, best.ask_size), *asks])


def auctions(market: Market, asset: Asset, during: TimeRange) -> Iterator[Auctions]:
    """Yields the auctions of the days whose opening lies within a time range."""
    for day in _days(asset, during):
        hours = _hours(asset, day, extended=False)
        if hours is not None and during.start <= hours.opens <= during.last:
            closing = trade_at(market, asset, hours.closes) if hours.closes <= during.now else None
            yield Auctions(hours.opens, day, trade_at(market, asset, hours.opens), closing)


def bar_of_minute(market: Market, asset: Asset, at: int, now: int) -> Bar:
    """Returns the bar of the minute that begins at `at`, whether or not the market is open."""
    return _bar(market, asset, at, TradingWindow(at, at + MINUTE), now)


def bar_of_day(market: Market, asset: Asset, now: int) -> Bar | None:
    """Returns the running bar of today, None before the opening and on a day without a session."""
    return _day_bar(market, asset, datetime.fromtimestamp(now // SECOND, _zone(asset.asset_class)).date(), now)


def is_trading(asset: Asset, at: int) -> bool:
    """Whether an asset trades at `at`, shares also in the extended hours."""
    hours = _hours(asset, datetime.fromtimestamp(at // SECOND, _zone(asset.asset_class)).date(), extended=True)
    return hours is not None and hours.opens <= at < hours.closes


def midnight_of(asset_class: str, day: date) -> int:
    """Returns when a day begins: in New York, for coins in Chicago."""
    return _midnight(day, _zone(asset_class))


def _intraday_bars(market: Market, asset: Asset, length: int, during: TimeRange) -> Iterator[Bar]:
    """Bars count from midnight, and the first and the last of a day may be cut by its trading hours."""
    for day in _days(asset, during):
        hours = _hours(asset, day, extended=True)
        if hours is None:
            continue
        midnight = midnight_of(asset.asset_class, day)
        first = max((hours.opens - midnight) // length, -(-(during.start - midnight) // length))
        last = min((hours.closes - 1 - midnight) // length, (during.last - midnight) // length)
        numbers = range(first, last + 1)
        for number in reversed(numbers) if during.newest_first else numbers:
            at = midnight + number * length
            window = TradingWindow(max(at, hours.opens), min(at + length, hours.closes))
            if window.opens <= during.now:
                yield _bar(market, asset, at, window, during.now)


def _bars_of_days(market: Market, asset: Asset, timeframe: BarTimeframe, during: TimeRange) -> Iterator[Bar]:
    for day in _days(asset, during):
        at = midnight_of(asset.asset_class, day)
        if not during.start <= at <= during.last or day != _first_day(timeframe, day):
            continue
        if timeframe.unit == "Day":
            bar = _day_bar(market, asset, day, during.now)
        else:
            bar = _combined(at, filter(None, _bars_of_period(market, asset, timeframe, day, during.now)))
        if bar is not None:
            yield bar


def _bars_of_period(
    market: Market, asset: Asset, timeframe: BarTimeframe, first: date, now: int
) -> Iterator[Bar | None]:
    days = takewhile(
        lambda day: _first_day(timeframe, day) == first and midnight_of(asset.asset_class, day) <= now,
        (first + number * _ONE_DAY for number in range(366)),
    )
    return (_day_bar(market, asset, day, now) for day in days)


def _first_day(timeframe: BarTimeframe, day: date) -> date:
    """Returns the day with which the bar of a day begins: weeks on Monday, months with the year's first."""
    if timeframe.unit == "Day":
        return day
    if timeframe.unit == "Week":
        return day - day.weekday() * _ONE_DAY
    return day.replace(month=(day.month - 1) // timeframe.count * timeframe.count + 1, day=1)


def _day_bar(market: Market, asset: Asset, day: date, now: int) -> Bar | None:
    hours = _hours(asset, day, extended=False)
    if hours is None or hours.opens > now:
        return None
    at, has_auction = midnight_of(asset.asset_class, day), asset.asset_class != "crypto"
    return _bar(market, asset, at, hours, now, has_auction=has_auction)


def _bar(market: Market, asset: Asset, at: int, window: TradingWindow, now: int, *, has_auction: bool = False) -> Bar:
    """The price of a closing auction belongs to the day, its volume to the hours after."""
    first, end = window.opens // TICK, min(window.closes // TICK, now // TICK + 1)
    last = end if has_auction and now >= window.closes else end - 1
    opening, low, high, closing = price_span(market, asset.symbol, first * TICK, last * TICK)
    traded = _volume_of(market, asset)
    volume = traded.before(end) - traded.before(first)
    return Bar(at, opening, high, low, closing, volume, end - first, (opening + high + low + closing) / 4)


def _combined(at: int, parts: Iterable[Bar]) -> Bar | None:
    bars = list(parts)
    if not bars:
        return None
    volume = sum(bar.volume for bar in bars)
    return Bar(
        at,
        open=bars[0].open,
        high=max(bar.high for bar in bars),
        low=min(bar.low for bar in bars),
        close=bars[-1].close,
        volume=volume,
        trade_count=sum(bar.trade_count for bar in bars),
        mean_price=sum((bar.mean_price * bar.volume for bar in bars), ZERO) / volume,
    )


def _ticks(asset: Asset, during: TimeRange) -> Iterator[int]:
    for day in _days(asset, during):
        hours = _hours(asset, day, extended=True)
        if hours is None:
            continue
        first = max(hours.opens // TICK, -(-during.start // TICK))
        ticks = range(first, min(hours.closes // TICK - 1, during.last // TICK) + 1)
        yield from reversed(ticks) if during.newest_first else ticks


def _days(asset: Asset, during: TimeRange) -> Iterator[date]:
    """Yields every day of a time range that a history may have."""
    zone = _zone(asset.asset_class)
    first, last = (datetime.fromtimestamp(at // SECOND, zone).date() for at in (during.start, during.last))
    days = range(max(first, _FIRST_DAYS[asset.asset_class]).toordinal(), last.toordinal() + 1)
    return map(date.fromordinal, reversed(days) if during.newest_first else days)


def _hours(asset: Asset, day: date, *, extended: bool) -> TradingWindow | None:
    """Returns the hours in which an asset trades; options have no extended ones."""
    if asset.asset_class == "crypto":
        return TradingWindow(_midnight(day, _CHICAGO), _midnight(day + _ONE_DAY, _CHICAGO))
    session = session_on(day)
    if session is None or (asset.contract is not None and not asset.contract.is_listed(day)):
        return None
    return session_window(session, extended=extended and asset.contract is None)


def _zone(asset_class: str) -> ZoneInfo:
    return _CHICAGO if asset_class == "crypto" else NEW_YORK


@lru_cache(maxsize=8_192)
def _midnight(day: date, zone: ZoneInfo) -> int:
    return to_nanoseconds(datetime.combine(day, time(), zone))


def _volume_of(market: Market, asset: Asset) -> TradedVolume:
    """The contracts of an underlying share its waves."""
    underlying = asset.symbol if asset.contract is None else asset.contract.underlying
    return _traded_volume(market.seed, underlying, _mean_volume(market, asset))


@lru_cache(maxsize=8_192)
def _traded_volume(seed: int, underlying: str, mean: int) -> TradedVolume:
    return TradedVolume(seed, underlying, mean)


def _mean_volume(market: Market, asset: Asset) -> int:
    """Returns the mean size of a trade."""
    if asset.asset_class != "crypto":
        return _seeded_mean_volume(market.seed, asset.symbol, asset.asset_class)
    mean, decimals = market.mean_price(asset.symbol)
    return max(_DOLLARS_IN_COINS * COIN_UNITS * 10**decimals // mean, LOWEST_MEAN)


_DOLLARS_IN_COINS = 2  # the mean size of a trade in coins


@lru_cache(maxsize=8_192)
def _seeded_mean_volume(seed: int, symbol: str, asset_class: AssetClass) -> int:
    if asset_class == "us_option":
        return LOWEST_MEAN + seeded_random(4, seed, symbol, "mean volume")
    return 20 + seeded_random(80, seed, symbol, "mean volume")
