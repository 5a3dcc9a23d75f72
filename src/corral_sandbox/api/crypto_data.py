"""/v1beta3/crypto/{loc}: bars, trades, quotes, order books and snapshots of coins, the same for every location."""

from corral_sandbox.api.market_data_answers import (
    bar_history,
    latest_bars_of,
    latest_quotes_of,
    latest_trades_of,
    quote_history,
    trade_history,
)
from corral_sandbox.api.market_data_documents import order_book_document, snapshot_document
from corral_sandbox.api.market_data_query import BadDataRequestError, DataRequest, latest
from corral_sandbox.market.bars import order_book_at

_LOCATIONS = ("us", "us-1", "us-2", "eu-1", "bs-1", "global")


async def list_bars(request: DataRequest) -> dict[str, object]:
    _check_location(request)
    return await bar_history(request, "crypto", request.timeframe())


async def list_trades(request: DataRequest) -> dict[str, object]:
    _check_location(request)
    return await trade_history(request, "crypto")


async def list_quotes(request: DataRequest) -> dict[str, object]:
    _check_location(request)
    return await quote_history(request, "crypto")


def latest_bars(request: DataRequest) -> dict[str, object]:
    _check_location(request)
    return latest_bars_of(request, "crypto")


def latest_trades(request: DataRequest) -> dict[str, object]:
    _check_location(request)
    return latest_trades_of(request, "crypto")


def latest_quotes(request: DataRequest) -> dict[str, object]:
    _check_location(request)
    return latest_quotes_of(request, "crypto")


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
