"""/v1beta3/crypto/{loc}: bars, trades, quotes, order books and snapshots of coins, the same for every location."""

from corral_sandbox.api.market_data_documents import (
    bar_document,
    latest_bar_document,
    order_book_document,
    quote_document,
    snapshot_document,
    trade_document,
)
from corral_sandbox.api.market_data_query import BadDataRequestError, DataRequest, history, latest
from corral_sandbox.market.bars import bars, order_book_at, quote_at, quotes, trade_at, trades

_LOCATIONS = ("us", "us-1", "us-2", "eu-1", "bs-1", "global")


def list_bars(request: DataRequest) -> dict[str, object]:
    _check_location(request)
    timeframe = request.timeframe()
    return history(
        request,
        "crypto",
        "bars",
        lambda asset, during: bars(request.market, asset, timeframe, during),
        bar_document,
    )


def list_trades(request: DataRequest) -> dict[str, object]:
    _check_location(request)
    return history(
        request, "crypto", "trades", lambda asset, during: trades(request.market, asset, during), trade_document
    )


def list_quotes(request: DataRequest) -> dict[str, object]:
    _check_location(request)
    return history(
        request, "crypto", "quotes", lambda asset, during: quotes(request.market, asset, during), quote_document
    )


def latest_bars(request: DataRequest) -> dict[str, object]:
    _check_location(request)
    return latest(request, "crypto", "bars", lambda asset: latest_bar_document(request.market, asset, request.now))


def latest_trades(request: DataRequest) -> dict[str, object]:
    _check_location(request)
    return latest(
        request, "crypto", "trades", lambda asset: trade_document(asset, trade_at(request.market, asset, request.now))
    )


def latest_quotes(request: DataRequest) -> dict[str, object]:
    _check_location(request)
    return latest(
        request, "crypto", "quotes", lambda asset: quote_document(asset, quote_at(request.market, asset, request.now))
    )


def latest_order_books(request: DataRequest) -> dict[str, object]:
    _check_location(request)
    return latest(
        request,
        "crypto",
        "orderbooks",
        lambda asset: order_book_document(asset, order_book_at(request.market, asset, request.now)),
    )


def list_snapshots(request: DataRequest) -> dict[str, object]:
    _check_location(request)
    return latest(request, "crypto", "snapshots", lambda asset: snapshot_document(request.market, asset, request.now))


def _check_location(request: DataRequest) -> None:
    location = request.path_parameters["loc"]
    if location not in _LOCATIONS:
        raise BadDataRequestError(f"invalid loc: {location} (must be one of {', '.join(_LOCATIONS)})")
