"""Bars, trades and quotes as Alpaca's market data writes them, by asset class."""

from collections.abc import Iterator
from decimal import Decimal

from corral_sandbox.api.market_data_query import format_time
from corral_sandbox.market.assets import Asset
from corral_sandbox.market.bars import (
    COIN_UNITS,
    ONE_DAY,
    ONE_MINUTE,
    Bar,
    OrderBook,
    Quote,
    Trade,
    bars,
    everything_until,
    quote_at,
    trade_at,
)
from corral_sandbox.market.prices import Market

_FIRST_COIN_TRADE_ID = 3_000_000_000_000_000_000  # Alpaca's are as long: a program must not read them as a double
_EXCHANGES = {"NASDAQ": "Q", "NYSE": "N", "ARCA": "P", "AMEX": "A"}
_TAPES = {"NASDAQ": "C", "NYSE": "A"}
_OPTION_EXCHANGES = ("C", "N")
_MEAN_PRICE_DECIMALS = 6


def bar_document(asset: Asset, bar: Bar) -> dict[str, object]:
    return {
        "t": format_time(bar.at),
        "o": float(bar.open),
        "h": float(bar.high),
        "l": float(bar.low),
        "c": float(bar.close),
        "v": _size(asset, bar.volume),
        "n": bar.trade_count,
        "vw": round(float(bar.mean_price), _MEAN_PRICE_DECIMALS),
    }


def trade_document(asset: Asset, trade: Trade, feed: str = "") -> dict[str, object]:
    document: dict[str, object] = {
        "t": format_time(trade.at),
        "p": float(trade.price),
        "s": _size(asset, trade.size),
    }
    if asset.asset_class == "crypto":
        return {**document, "i": _FIRST_COIN_TRADE_ID + trade.id, "tks": "B" if trade.is_bought else "S"}
    if asset.contract is not None:
        return {**document, "x": _OPTION_EXCHANGES[trade.is_bought], "c": "I"}
    tape = _tape(asset)
    return {
        **document,
        "x": _exchange(asset, feed),
        "c": ["@" if tape == "C" else " "],
        "i": trade.id,
        "z": tape,
    }


def quote_document(asset: Asset, quote: Quote, feed: str = "") -> dict[str, object]:
    document: dict[str, object] = {
        "t": format_time(quote.at),
        "bp": float(quote.bid),
        "bs": _size(asset, quote.bid_size),
        "ap": float(quote.ask),
        "as": _size(asset, quote.ask_size),
    }
    if asset.asset_class == "crypto":
        return document
    if asset.contract is not None:
        buyer, seller = _OPTION_EXCHANGES
        return {**document, "bx": buyer, "ax": seller, "c": "A"}
    exchange = _exchange(asset, feed)
    return {**document, "bx": exchange, "ax": exchange, "c": ["R"], "z": _tape(asset)}


def order_book_document(asset: Asset, book: OrderBook) -> dict[str, object]:
    return {
        "t": format_time(book.at),
        "b": [_level(asset, price, size) for price, size in book.bids],
        "a": [_level(asset, price, size) for price, size in book.asks],
    }


def snapshot_document(market: Market, asset: Asset, now: int, feed: str = "") -> dict[str, object]:
    """Returns the latest trade, quote, minute and day, and the day before; leaves out what there is not yet."""
    days = bars(market, asset, ONE_DAY, everything_until(now))
    bars_by_name = {
        "minuteBar": latest_bar_document(market, asset, now),
        "dailyBar": _next_bar_document(asset, days),
        "prevDailyBar": _next_bar_document(asset, days),
    }
    return {
        "latestTrade": trade_document(asset, trade_at(market, asset, now), feed),
        "latestQuote": quote_document(asset, quote_at(market, asset, now), feed),
        **{name: bar for name, bar in bars_by_name.items() if bar is not None},
    }


def latest_bar_document(market: Market, asset: Asset, now: int) -> dict[str, object] | None:
    """Returns the latest bar of a minute."""
    return _next_bar_document(asset, bars(market, asset, ONE_MINUTE, everything_until(now)))


def _next_bar_document(asset: Asset, found: Iterator[Bar]) -> dict[str, object] | None:
    bar = next(found, None)
    return None if bar is None else bar_document(asset, bar)


def _level(asset: Asset, price: Decimal, size: int) -> dict[str, object]:
    return {"p": float(price), "s": _size(asset, size)}


def _size(asset: Asset, units: int) -> int | float:
    return units / COIN_UNITS if asset.asset_class == "crypto" else units


def _exchange(asset: Asset, feed: str) -> str:
    return "V" if feed == "iex" else _EXCHANGES.get(asset.exchange, "D")


def _tape(asset: Asset) -> str:
    return _TAPES.get(asset.exchange, "B")
