"""What shares, coins and options answer alike: histories, and what is the latest."""

from corral_sandbox.api.market_data_documents import (
    bar_document,
    latest_bar_document,
    quote_document,
    trade_document,
)
from corral_sandbox.api.market_data_query import DataRequest, history, latest
from corral_sandbox.market.assets import AssetClass
from corral_sandbox.market.bars import BarTimeframe, bars, quote_at, quotes, trade_at, trades


async def bar_history(request: DataRequest, asset_class: AssetClass, timeframe: BarTimeframe) -> dict[str, object]:
    return await history(
        request,
        asset_class,
        "bars",
        lambda asset, during: bars(request.market, asset, timeframe, during),
        bar_document,
    )


async def trade_history(request: DataRequest, asset_class: AssetClass, feed: str = "") -> dict[str, object]:
    return await history(
        request,
        asset_class,
        "trades",
        lambda asset, during: trades(request.market, asset, during),
        lambda asset, trade: trade_document(asset, trade, feed),
    )


async def quote_history(request: DataRequest, asset_class: AssetClass, feed: str = "") -> dict[str, object]:
    return await history(
        request,
        asset_class,
        "quotes",
        lambda asset, during: quotes(request.market, asset, during),
        lambda asset, quote: quote_document(asset, quote, feed),
    )


def latest_bars_of(request: DataRequest, asset_class: AssetClass) -> dict[str, object]:
    return latest(request, asset_class, "bars", lambda asset: latest_bar_document(request.market, asset, request.now))


def latest_trades_of(request: DataRequest, asset_class: AssetClass, feed: str = "") -> dict[str, object]:
    return latest(
        request,
        asset_class,
        "trades",
        lambda asset: trade_document(asset, trade_at(request.market, asset, request.now), feed),
    )


def latest_quotes_of(request: DataRequest, asset_class: AssetClass, feed: str = "") -> dict[str, object]:
    return latest(
        request,
        asset_class,
        "quotes",
        lambda asset: quote_document(asset, quote_at(request.market, asset, request.now), feed),
    )
