"""/v1beta1/options: bars, trades, quotes and snapshots of contracts, and the chain of an underlying share."""

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from itertools import islice

from corral_sandbox.api.market_data_answers import bar_history, latest_quotes_of, latest_trades_of, trade_history
from corral_sandbox.api.market_data_documents import snapshot_document
from corral_sandbox.api.market_data_query import DataRequest, in_turns, read_token, write_token
from corral_sandbox.api.options import OptionSearch
from corral_sandbox.market.assets import Asset, option_asset
from corral_sandbox.market.mean_prices import MEAN_CENTS
from corral_sandbox.market.option_contracts import OptionContract, OptionType, expiries_on, root_of
from corral_sandbox.market.option_greeks import IMPLIED_VOLATILITY, greeks_of
from corral_sandbox.market.time import close_before, new_york_time

_TYPES: tuple[OptionType, ...] = ("call", "put")
_FEEDS = ("opra", "indicative")
_DEFAULT_SNAPSHOTS, _MOST_SNAPSHOTS = 100, 1_000
_HIGHEST_STRIKE = Decimal(1_000_000)
_GREEK_DECIMALS = 6
_ONE_DAY = timedelta(days=1)


async def list_bars(request: DataRequest) -> dict[str, object]:
    return await bar_history(request, "us_option", request.timeframe())


async def list_trades(request: DataRequest) -> dict[str, object]:
    return await trade_history(request, "us_option")


def latest_trades(request: DataRequest) -> dict[str, object]:
    request.choice("feed", *_FEEDS)
    return latest_trades_of(request, "us_option")


def latest_quotes(request: DataRequest) -> dict[str, object]:
    request.choice("feed", *_FEEDS)
    return latest_quotes_of(request, "us_option")


async def list_snapshots(request: DataRequest) -> dict[str, object]:
    assets = request.assets("us_option")
    return await _snapshots(request, (asset for asset in assets if asset.is_active(request.now)))


async def get_chain(request: DataRequest) -> dict[str, object]:
    """Takes `type`, `strike_price_gte` and `_lte`, `expiration_date`, `_gte` and `_lte`, and `root_symbol`."""
    return await _snapshots(request, (option_asset(contract) for contract in _chain(request)))


async def _snapshots(request: DataRequest, assets: Iterator[Asset]) -> dict[str, object]:
    """Returns one page of snapshots. `updated_since` leaves out none, because quotes change in each moment."""
    request.choice("feed", *_FEEDS)
    updated_since = request.moment("updated_since", "us_option") or 0
    limit, after = request.limit(_DEFAULT_SNAPSHOTS, _MOST_SNAPSHOTS), read_token(request)
    rest = (asset for asset in assets if after is None or asset.symbol > after[0])
    found = list(islice(rest, limit + 1)) if updated_since <= request.now else []
    return {
        "snapshots": {asset.symbol: _snapshot_document(request, asset) async for asset in in_turns(found[:limit])},
        "next_page_token": write_token(found[limit - 1].symbol, 1) if len(found) > limit else None,
    }


def _snapshot_document(request: DataRequest, asset: Asset) -> dict[str, object]:
    document = snapshot_document(request.market, asset, request.now)
    greeks = greeks_of(request.market, asset.contract, request.now) if asset.contract else None
    if greeks is None:
        return document
    rounded = {name: round(value, _GREEK_DECIMALS) for name, value in greeks._asdict().items()}
    return {**document, "greeks": rounded, "impliedVolatility": IMPLIED_VOLATILITY}


def _chain(request: DataRequest) -> Iterator[OptionContract]:
    """Returns the listed contracts of the path's share that the filters let through, in the order of their symbols."""
    underlying = request.path_parameters["underlying_symbol"]
    kind = request.choice("type", "", "call", "put")
    exact = request.day("expiration_date")
    first = exact or request.day("expiration_date_gte") or date.min
    last = exact or request.day("expiration_date_lte") or date.max
    lowest = request.amount("strike_price_gte", Decimal())
    highest = request.amount("strike_price_lte", _HIGHEST_STRIKE)
    is_listed = underlying in MEAN_CENTS and request.query.get("root_symbol", root_of(underlying)) == root_of(
        underlying
    )
    return OptionSearch(
        underlyings=[underlying] if is_listed else [],
        expiries=[day for day in _listed_expiries(request.now) if first <= day <= last],
        types=[each for each in _TYPES if kind in {"", each}],
        lowest=lowest,
        highest=highest,
    ).contracts()


def _listed_expiries(now: int) -> Iterator[date]:
    """Yields the expiries that have not passed."""
    return (day for day in expiries_on(new_york_time(now).date()) if close_before(day + _ONE_DAY) > now)
