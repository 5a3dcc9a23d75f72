"""The feeds of streamed market data: where each is served, its channels, and the messages that are due on them."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, NamedTuple

from corral_sandbox.api.market_data_documents import (
    bar_document,
    order_book_document,
    quote_document,
    trade_document,
)
from corral_sandbox.market.assets import Asset, AssetClass, ListedAssets, option_asset
from corral_sandbox.market.bars import (
    Bar,
    bar_of_day,
    bar_of_minute,
    is_trading,
    order_book_at,
    quote_at,
    trade_at,
)
from corral_sandbox.market.mean_prices import MEAN_CENTS
from corral_sandbox.market.option_contracts import OptionContract, OptionType, expiries_on, strikes_of
from corral_sandbox.market.prices import TICK, Market
from corral_sandbox.market.time import MINUTE, close_before, new_york_time

Kind = Literal["stocks", "test", "crypto", "options", "news"]

# In the order of Alpaca's confirmations.
_CHANNELS: dict[Kind, tuple[str, ...]] = {
    "stocks": ("trades", "quotes", "bars", "updatedBars", "dailyBars", "statuses", "lulds", "imbalances"),
    "test": ("trades", "quotes", "bars"),
    "crypto": ("trades", "quotes", "orderbooks", "bars", "updatedBars", "dailyBars"),
    "options": ("trades", "quotes"),
    "news": ("news",),
}
_ASSET_CLASSES: dict[Kind, AssetClass] = {"stocks": "us_equity", "crypto": "crypto", "options": "us_option"}
_SYMBOLS: dict[Kind, str] = {
    "stocks": r"[A-Z]+([./][A-Z]+)*",
    "test": r"[A-Z]+",
    "crypto": r"[A-Z]+/[A-Z]+",
    "options": r"[A-Z]{1,6}[0-9]{6}[CP][0-9]{8}",
    "news": r"[A-Z./]+",
}
_PATHS: tuple[tuple[str, Kind], ...] = (
    (r"/v2/(sip|iex|delayed_sip)", "stocks"),
    (r"/v1beta1/(boats|overnight)", "stocks"),
    (r"/v2/(test)", "test"),
    (r"/v1beta3/crypto/(us|us-1|us-2|eu-1|bs-1|global)", "crypto"),
    (r"/v1beta2/(crypto)", "crypto"),
    (r"/v1beta1/(opra|indicative)", "options"),
    (r"/v1beta1/(news)", "news"),
)
_TEST_SYMBOL, _PRICED_LIKE = "FAKEPACA", "XOM"  # the only symbol of the test feed, which trades at all hours
_MOST_MINUTES = 1_440  # of a longer leap of the clock, only the bars of the last day are sent
_OPTION_TYPES: tuple[OptionType, ...] = ("call", "put")
_ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class DataFeed:
    """`name` is the last part of its path, such as `iex`."""

    path: str
    name: str
    kind: Kind

    @property
    def channels(self) -> tuple[str, ...]:
        return _CHANNELS[self.kind]

    def is_symbol(self, text: str) -> bool:
        """Whether a symbol is well formed; it need not exist."""
        return re.fullmatch(_SYMBOLS[self.kind], text) is not None

    def find(self, assets: ListedAssets, symbols: Iterable[str], now: int) -> list[Asset]:
        """Returns the listed assets among `symbols`, of which `*` stands for all."""
        if self.kind == "test":
            return list(filter(None, [assets.find(_PRICED_LIKE)])) if {"*", _TEST_SYMBOL} & set(symbols) else []
        if self.kind == "news":
            return []
        found: dict[str, Asset] = {}
        for symbol in symbols:
            matching = self._all(assets, now) if symbol == "*" else filter(None, [assets.find(symbol)])
            found |= {asset.symbol: asset for asset in matching}
        return [
            each for each in found.values() if each.asset_class == _ASSET_CLASSES[self.kind] and each.is_active(now)
        ]

    def symbol_of(self, asset: Asset) -> str:
        return _TEST_SYMBOL if self.kind == "test" else asset.symbol

    def is_trading(self, asset: Asset, at: int) -> bool:
        return self.kind == "test" or is_trading(asset, at)

    def _all(self, assets: ListedAssets, now: int) -> Iterable[Asset]:
        return _options_at_the_money(now) if self.kind == "options" else assets.all()


def feed_of(path: str) -> DataFeed | None:
    """Returns the feed of a path without /paper or /live."""
    for pattern, kind in _PATHS:
        if found := re.fullmatch(pattern, path):
            return DataFeed(path, found[1], kind)
    return None


def _options_at_the_money(now: int) -> Iterator[Asset]:
    """Yields a call and a put on each share. All contracts would be thousands."""
    expiry = next(day for day in expiries_on(new_york_time(now).date()) if close_before(day + _ONE_DAY) > now)
    for underlying in MEAN_CENTS:
        strikes = strikes_of(underlying)
        for kind in _OPTION_TYPES:
            yield option_asset(OptionContract(underlying, expiry, kind, strikes[len(strikes) // 2]))


class DataMessage(NamedTuple):
    """`fields` are as in JSON, with the time as text; `at` is the same time in nanoseconds since 1970."""

    at: int
    fields: dict[str, object]


class FeedSubscriptions:
    """What one client has subscribed to, and which messages it was sent."""

    def __init__(self, market: Market, feed: DataFeed, now: int) -> None:
        self.symbols: dict[str, list[str]] = {channel: [] for channel in feed.channels}
        self._market = market
        self._feed = feed
        self._minute = now // MINUTE
        self._latest: dict[tuple[str, str], int] = {}

    def change(self, channel: str, symbols: list[str], *, add: bool) -> None:
        present = self.symbols[channel]
        if add:
            self.symbols[channel] = list(dict.fromkeys([*present, *symbols]))
        else:
            self.symbols[channel] = [symbol for symbol in present if symbol not in symbols]

    def due(self, now: int) -> Iterator[DataMessage]:
        """Yields the bars of the minutes that have passed, and then the latest trades, quotes and order books."""
        minute, self._minute = self._minute, now // MINUTE
        for passed in range(max(minute, self._minute - _MOST_MINUTES), self._minute):
            yield from self._bars_of_minute(passed * MINUTE)
        for channel, message in _LATEST.items():
            for asset in self._assets(channel, now):
                if self._is_new(channel, asset, now) and self._feed.is_trading(asset, now):
                    yield message(self._feed, self._market, asset, now)

    def _bars_of_minute(self, at: int) -> Iterator[DataMessage]:
        last = at + MINUTE - 1
        for asset in self._assets("bars", last):
            if self._feed.is_trading(asset, at):
                yield _bar_message(self._feed, "b", asset, bar_of_minute(self._market, asset, at, last))
        for asset in self._assets("dailyBars", last):
            bar = bar_of_day(self._market, asset, last) if self._feed.is_trading(asset, at) else None
            if bar is not None:
                yield _bar_message(self._feed, "d", asset, bar)

    def _assets(self, channel: str, now: int) -> list[Asset]:
        symbols = self.symbols.get(channel)
        return self._feed.find(self._market.assets, symbols, now) if symbols else []

    def _is_new(self, channel: str, asset: Asset, now: int) -> bool:
        tick, name = now // TICK, (channel, asset.symbol)
        is_new = self._latest.get(name) != tick
        self._latest[name] = tick
        return is_new


def _bar_message(feed: DataFeed, kind: str, asset: Asset, bar: Bar) -> DataMessage:
    return DataMessage(bar.at, {"T": kind, "S": feed.symbol_of(asset), **bar_document(asset, bar)})


def _trade_message(feed: DataFeed, market: Market, asset: Asset, now: int) -> DataMessage:
    trade = trade_at(market, asset, now)
    return DataMessage(trade.at, {"T": "t", "S": feed.symbol_of(asset), **trade_document(asset, trade, feed.name)})


def _quote_message(feed: DataFeed, market: Market, asset: Asset, now: int) -> DataMessage:
    quote = quote_at(market, asset, now)
    return DataMessage(quote.at, {"T": "q", "S": feed.symbol_of(asset), **quote_document(asset, quote, feed.name)})


def _order_book_message(feed: DataFeed, market: Market, asset: Asset, now: int) -> DataMessage:
    """Sends the whole book each time, and says so."""
    book = order_book_at(market, asset, now)
    return DataMessage(book.at, {"T": "o", "S": feed.symbol_of(asset), **order_book_document(asset, book), "r": True})


_LATEST = {"trades": _trade_message, "quotes": _quote_message, "orderbooks": _order_book_message}
