"""/v2/stocks: bars, trades, quotes, auctions and snapshots of shares.

Each handler serves the path for several symbols and that for one. The feeds differ in the exchange that they name.
"""

from corral_sandbox.api.market_data_answers import (
    bar_history,
    latest_bars_of,
    latest_quotes_of,
    latest_trades_of,
    quote_history,
    trade_history,
)
from corral_sandbox.api.market_data_documents import snapshot_document, trade_document
from corral_sandbox.api.market_data_query import BadDataRequestError, DataRequest, documents_by_symbol, history
from corral_sandbox.errors import ApiError
from corral_sandbox.market.assets import Asset
from corral_sandbox.market.bars import Auctions, Trade, auctions

_FEEDS = ("sip", "iex", "otc", "boats")
_LATEST_FEEDS = (*_FEEDS, "delayed_sip", "overnight")
_ADJUSTMENTS = {"raw", "split", "dividend", "spin-off", "all"}


async def list_bars(request: DataRequest) -> dict[str, object]:
    """Takes `adjustment`, too, which changes nothing: no price of the sandbox is ever split."""
    timeframe = request.timeframe()
    _check_history(request)
    for adjustment in request.names("adjustment"):
        if adjustment not in _ADJUSTMENTS:
            raise BadDataRequestError(f"invalid adjustment: {adjustment}")
    return await bar_history(request, "us_equity", timeframe)


async def list_trades(request: DataRequest) -> dict[str, object]:
    return await trade_history(request, "us_equity", _check_history(request))


async def list_quotes(request: DataRequest) -> dict[str, object]:
    return await quote_history(request, "us_equity", _check_history(request))


async def list_auctions(request: DataRequest) -> dict[str, object]:
    """Returns the opening and the closing auction of each day."""
    request.choice("feed", "sip")
    _check_history(request)
    return await history(
        request,
        "us_equity",
        "auctions",
        lambda asset, during: auctions(request.market, asset, during),
        _auctions_document,
    )


def latest_bars(request: DataRequest) -> dict[str, object]:
    request.choice("feed", *_LATEST_FEEDS)
    return latest_bars_of(request, "us_equity")


def latest_trades(request: DataRequest) -> dict[str, object]:
    return latest_trades_of(request, "us_equity", request.choice("feed", *_LATEST_FEEDS))


def latest_quotes(request: DataRequest) -> dict[str, object]:
    return latest_quotes_of(request, "us_equity", request.choice("feed", *_LATEST_FEEDS))


def list_snapshots(request: DataRequest) -> dict[str, dict[str, object]]:
    """Returns snapshots by symbol, with nothing around them."""
    feed = request.choice("feed", *_LATEST_FEEDS)
    request.currency()
    return documents_by_symbol(
        request, "us_equity", lambda asset: snapshot_document(request.market, asset, request.now, feed)
    )


def get_snapshot(request: DataRequest) -> dict[str, object]:
    symbol, snapshots = request.path_parameters["symbol"], list_snapshots(request)
    if symbol not in snapshots:
        raise ApiError(404, f"no snapshot found for {symbol}")
    return {"symbol": symbol, **snapshots[symbol], **request.currency()}


def _auctions_document(asset: Asset, of_day: Auctions) -> dict[str, object]:
    return {
        "d": of_day.day.isoformat(),
        "o": [_auction_document(asset, of_day.opening, "Q")],
        "c": [] if of_day.closing is None else [_auction_document(asset, of_day.closing, "M")],
    }


def _auction_document(asset: Asset, auction: Trade, condition: str) -> dict[str, object]:
    document = trade_document(asset, auction)
    return {**{name: document[name] for name in ("t", "x", "p", "s")}, "c": condition}


def _check_history(request: DataRequest) -> str:
    """Checks `asof`, a date or a dash, and returns the feed."""
    if request.query.get("asof") != "-":
        request.day("asof")
    return request.choice("feed", *_FEEDS)
