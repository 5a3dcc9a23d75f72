"""/v2/stocks: bars, trades, quotes, auctions and snapshots of shares.

Each handler serves the path for several symbols and that for one. The feeds differ in the exchange that they name.
"""

from corral_sandbox.api.market_data_documents import (
    bar_document,
    latest_bar_document,
    quote_document,
    snapshot_document,
    trade_document,
)
from corral_sandbox.api.market_data_query import (
    BadDataRequestError,
    DataRequest,
    documents_by_symbol,
    history,
    latest,
)
from corral_sandbox.errors import ApiError
from corral_sandbox.market.assets import Asset
from corral_sandbox.market.bars import (
    Auctions,
    Trade,
    auctions,
    bars,
    quote_at,
    quotes,
    trade_at,
    trades,
)

_FEEDS = ("sip", "iex", "otc", "boats")
_LATEST_FEEDS = (*_FEEDS, "delayed_sip", "overnight")
_ADJUSTMENTS = {"raw", "split", "dividend", "spin-off", "all"}


def list_bars(request: DataRequest) -> dict[str, object]:
    """Takes `adjustment`, too, which changes nothing: no price of the sandbox is ever split."""
    timeframe = request.timeframe()
    _check_history(request)
    for adjustment in request.names("adjustment"):
        if adjustment not in _ADJUSTMENTS:
            raise BadDataRequestError(f"invalid adjustment: {adjustment}")
    return history(
        request,
        "us_equity",
        "bars",
        lambda asset, during: bars(request.market, asset, timeframe, during),
        bar_document,
    )


def list_trades(request: DataRequest) -> dict[str, object]:
    feed = _check_history(request)
    return history(
        request,
        "us_equity",
        "trades",
        lambda asset, during: trades(request.market, asset, during),
        lambda asset, trade: trade_document(asset, trade, feed),
    )


def list_quotes(request: DataRequest) -> dict[str, object]:
    feed = _check_history(request)
    return history(
        request,
        "us_equity",
        "quotes",
        lambda asset, during: quotes(request.market, asset, during),
        lambda asset, quote: quote_document(asset, quote, feed),
    )


def list_auctions(request: DataRequest) -> dict[str, object]:
    """Returns the opening and the closing auction of each day."""
    request.choice("feed", "sip")
    _check_history(request)
    return history(
        request,
        "us_equity",
        "auctions",
        lambda asset, during: auctions(request.market, asset, during),
        _auctions_document,
    )


def latest_bars(request: DataRequest) -> dict[str, object]:
    request.choice("feed", *_LATEST_FEEDS)
    return latest(request, "us_equity", "bars", lambda asset: latest_bar_document(request.market, asset, request.now))


def latest_trades(request: DataRequest) -> dict[str, object]:
    feed = request.choice("feed", *_LATEST_FEEDS)
    return latest(
        request,
        "us_equity",
        "trades",
        lambda asset: trade_document(asset, trade_at(request.market, asset, request.now), feed),
    )


def latest_quotes(request: DataRequest) -> dict[str, object]:
    feed = request.choice("feed", *_LATEST_FEEDS)
    return latest(
        request,
        "us_equity",
        "quotes",
        lambda asset: quote_document(asset, quote_at(request.market, asset, request.now), feed),
    )


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
