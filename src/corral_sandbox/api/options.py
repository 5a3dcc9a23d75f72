"""/v2/options/contracts."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from itertools import islice

from corral_sandbox.errors import ApiError, InvalidParameterError
from corral_sandbox.http.requests import Document, Request, as_choice, as_date, as_flag, as_limit, as_list, as_number
from corral_sandbox.market.assets import asset_id_of, option_asset
from corral_sandbox.market.mean_prices import MEAN_CENTS
from corral_sandbox.market.option_contracts import (
    SHARES_PER_CONTRACT,
    OptionContract,
    OptionType,
    contract_of,
    expiries_between,
    expiries_on,
    root_of,
    strikes_of,
)
from corral_sandbox.market.prices import price
from corral_sandbox.market.seeded_random import seeded_random
from corral_sandbox.market.time import last_session_before, new_york_time, session_window

_DEFAULT_LIMIT, _HIGHEST_LIMIT = 100, 10_000


def list_contracts(request: Request) -> Document:
    """Takes all of Alpaca's filters. Without an expiration date it lists what expires before the next weekend."""
    query = request.query()
    search, after = read_option_search(query, request.now), _read_token(query.get("page_token", ""))
    limit = as_limit("limit", query["limit"], _HIGHEST_LIMIT) if "limit" in query else _DEFAULT_LIMIT
    has_deliverables = as_flag("show_deliverables", query.get("show_deliverables", "false"))
    rest = (contract for contract in search.contracts() if not after or contract.symbol > after)
    found = list(islice(rest, limit + 1))
    return {
        "option_contracts": [
            _document(request, contract, has_deliverables=has_deliverables) for contract in found[:limit]
        ],
        "next_page_token": _token(found[limit - 1].symbol) if len(found) > limit else None,
    }


def get_contract(request: Request) -> Document:
    symbol_or_id = request.path_parameters["symbol_or_id"]
    asset = request.assets.find(symbol_or_id)
    if asset is None or asset.contract is None:
        raise ApiError(404, f"option contract not found for {symbol_or_id}", code=40410000)
    return _document(request, asset.contract, has_deliverables=True)


def _document(request: Request, contract: OptionContract, *, has_deliverables: bool) -> dict[str, object]:
    asset, underlying_id = option_asset(contract), asset_id_of(contract.underlying)
    is_active = asset.is_active(request.now)
    document: dict[str, object] = {
        "id": asset.id,
        "symbol": asset.symbol,
        "name": asset.name,
        "status": "active" if is_active else "inactive",
        "tradable": is_active,
        "expiration_date": contract.expires_on.isoformat(),
        "root_symbol": contract.root,
        "underlying_symbol": contract.underlying,
        "underlying_asset_id": underlying_id,
        "type": contract.type,
        "style": "american",
        "strike_price": f"{contract.strike.normalize():f}",
        "multiplier": str(SHARES_PER_CONTRACT),
        "size": str(SHARES_PER_CONTRACT),
        "ppind": True,
        **_last_close(request, contract),
    }
    if has_deliverables:
        document["deliverables"] = [_deliverable(underlying_id, contract.underlying)]
    return document


def _last_close(request: Request, contract: OptionContract) -> dict[str, object]:
    """Returns the last closing price, or that of the expiration day, and a seeded open interest as of then."""
    market = request.account.terms.market
    session = last_session_before(min(new_york_time(request.now).date(), contract.expires_on + timedelta(days=1)))
    day, symbol = session.day.isoformat(), contract.symbol
    return {
        "close_price": str(price(market, symbol, session_window(session, extended=False).closes)),
        "close_price_date": day,
        "open_interest": str(seeded_random(20_000, market.seed, symbol, "open interest", day)),
        "open_interest_date": day,
    }


def _deliverable(asset_id: str, symbol: str) -> dict[str, object]:
    return {
        "type": "equity",
        "symbol": symbol,
        "asset_id": asset_id,
        "amount": str(SHARES_PER_CONTRACT),
        "allocation_percentage": "100",
        "settlement_type": "T+1",
        "settlement_method": "CCC",
        "delayed_settlement": False,
    }


def _token(last_symbol: str) -> str:
    return urlsafe_b64encode(last_symbol.encode()).decode()


def _read_token(token: str) -> str:
    """Returns the last symbol of the previous page, "" for none."""
    try:
        symbol = urlsafe_b64decode(token.encode()).decode("ascii")
    except ValueError:
        symbol = "?"
    if token and contract_of(symbol) is None:
        raise InvalidParameterError("invalid page_token")
    return symbol


_YEAR, _DAY = timedelta(days=365), timedelta(days=1)
_SATURDAY = 5
_TYPES: tuple[OptionType, ...] = ("call", "put")


@dataclass(frozen=True, slots=True)
class OptionSearch:
    """Strikes lie between `lowest` and `highest` dollars, both included."""

    underlyings: list[str]
    expiries: list[date]
    types: list[OptionType]
    lowest: Decimal
    highest: Decimal

    def contracts(self) -> Iterator[OptionContract]:
        """Yields contracts in the order of their symbols."""
        for underlying in sorted(self.underlyings, key=root_of):
            strikes = [strike for strike in strikes_of(underlying) if self.lowest <= strike <= self.highest]
            for expiry in self.expiries:
                for kind in self.types:
                    yield from (OptionContract(underlying, expiry, kind, strike) for strike in strikes)


def read_option_search(query: Mapping[str, str], now: int) -> OptionSearch:
    """Every contract is American and in the Penny Program; a search for others finds none."""
    style = as_choice("style", query.get("style", "american"), "american", "european")
    is_penny = as_flag("ppind", query.get("ppind", "true"))
    return OptionSearch(
        underlyings=_underlyings(query) if style == "american" and is_penny else [],
        expiries=_expiries(query, now),
        types=[kind for kind in _TYPES if as_choice("type", query.get("type", kind), *_TYPES) == kind],
        lowest=as_number("strike_price_gte", query.get("strike_price_gte", "0")),
        highest=as_number("strike_price_lte", query.get("strike_price_lte", "1000000")),
    )


def _underlyings(query: Mapping[str, str]) -> list[str]:
    wanted = as_list(query["underlying_symbols"]) if "underlying_symbols" in query else MEAN_CENTS
    return [name for name in MEAN_CENTS if name in wanted and query.get("root_symbol", root_of(name)) == root_of(name)]


def _expiries(query: Mapping[str, str], now: int) -> list[date]:
    """Contracts are listed as inactive for a year after they expire."""
    today = new_york_time(now).date()
    given = {name: as_date(name, query[name]) for name in _EXPIRY_FILTERS if name in query}
    default_last = date.max
    if as_choice("status", query.get("status", "active"), "active", "inactive") == "active":
        expiries = [day for day in expiries_on(today) if _closes_after(day, now)]
        if not given:
            default_last = _weekend_after(expiries[0])
    else:
        expiries = [day for day in expiries_between(today - _YEAR, today) if not _closes_after(day, now)]
    first = given.get("expiration_date", given.get("expiration_date_gte", date.min))
    last = given.get("expiration_date", given.get("expiration_date_lte", default_last))
    return [day for day in expiries if first <= day <= last]


def _weekend_after(expiry: date) -> date:
    """Returns the Saturday after the next expiry. Counted from today, nothing would be found after Friday's close."""
    return expiry + (_SATURDAY - expiry.weekday()) % 7 * _DAY


_EXPIRY_FILTERS = ("expiration_date", "expiration_date_gte", "expiration_date_lte")


def _closes_after(day: date, now: int) -> bool:
    return OptionContract(next(iter(MEAN_CENTS)), day, "call", Decimal()).expires_at > now
