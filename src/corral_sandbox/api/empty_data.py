"""Market data that is well formed and empty: news and screeners, because nothing happens in the sandbox that would be
news, and currencies and bonds, because it has none.
"""

from corral_sandbox.api.market_data_query import BadDataRequestError, DataRequest, read_token
from corral_sandbox.market.time import format_timestamp

_NEWS, _MOST_NEWS = 10, 50
_RATES, _MOST_RATES = 1_000, 10_000
_ROWS, _MOST_ACTIVES, _MOST_MOVERS = 10, 100, 50


def list_news(request: DataRequest) -> dict[str, object]:
    request.limit(_NEWS, _MOST_NEWS)
    request.choice("sort", "desc", "asc")
    for name in ("include_content", "exclude_contentless"):
        request.check_flag(name)
    start = request.moment("start", "us_equity")
    end = request.moment("end", "us_equity", at_end_of_day=True)
    if start is not None and end is not None and end < start:
        raise BadDataRequestError("end should not be before start")
    read_token(request)
    return {"news": [], "next_page_token": None}


def most_actives(request: DataRequest) -> dict[str, object]:
    request.choice("by", "volume", "trades")
    request.limit(_ROWS, _MOST_ACTIVES, "top")
    return {"most_actives": [], "last_updated": format_timestamp(request.now)}


def movers(request: DataRequest) -> dict[str, object]:
    market_type = request.path_parameters["market_type"]
    if market_type not in {"stocks", "crypto"}:
        raise BadDataRequestError(f"invalid market_type: {market_type} (must be stocks or crypto)")
    request.limit(_ROWS, _MOST_MOVERS, "top")
    updated = format_timestamp(request.now)
    return {"gainers": [], "losers": [], "market_type": market_type, "last_updated": updated}


def latest_rates(request: DataRequest) -> dict[str, object]:
    request.required("currency_pairs")
    return {"rates": {}}


def list_rates(request: DataRequest) -> dict[str, object]:
    request.required("currency_pairs")
    request.choice("timeframe", "1Min", "1T", "5Sec", "5S", "1Day", "1D")
    request.choice("sort", "asc", "desc")
    request.limit(_RATES, _MOST_RATES)
    return {"rates": {}, "next_page_token": None}


def latest_bond_prices(request: DataRequest) -> dict[str, object]:
    request.required("isins")
    return {"prices": {}}


def latest_bond_quotes(request: DataRequest) -> dict[str, object]:
    request.required("isins")
    return {"quotes": {}}
