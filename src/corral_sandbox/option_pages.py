"""GET /v2/options/contracts and GET /v2/options/contracts/{symbol_or_id}."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import timedelta
from itertools import islice

from corral_sandbox.answers import Document, Refused
from corral_sandbox.draws import draw
from corral_sandbox.listing import asset_id_of, find_asset, option_asset
from corral_sandbox.market import price
from corral_sandbox.moments import nanoseconds
from corral_sandbox.option_contracts import SHARES_PER_CONTRACT, Contract, contract_of
from corral_sandbox.option_search import read_option_search
from corral_sandbox.parameters import Invalid, as_flag, as_limit
from corral_sandbox.requests import Request
from corral_sandbox.trading_calendar import last_session_before, new_york_time

_USUAL_LIMIT, _HIGHEST_LIMIT = 100, 10_000


def contracts_page(request: Request) -> Document:
    """Takes all of Alpaca's filters; without an expiry, it answers what expires before the next weekend."""
    query = request.query()
    search, after = read_option_search(query, request.now), _read_token(query.get("page_token", ""))
    limit = as_limit("limit", query["limit"], _HIGHEST_LIMIT) if "limit" in query else _USUAL_LIMIT
    has_deliverables = as_flag("show_deliverables", query.get("show_deliverables", "false"))
    rest = (contract for contract in search.contracts() if contract.symbol > after)
    found = list(islice(rest, limit + 1))
    return {
        "option_contracts": [
            _document(request, contract, has_deliverables=has_deliverables) for contract in found[:limit]
        ],
        "next_page_token": _token(found[limit - 1].symbol) if len(found) > limit else None,
    }


def contract_page(request: Request) -> Document:
    symbol_or_id = request.parameters["symbol_or_id"]
    asset = find_asset(symbol_or_id)
    if asset is None or asset.contract is None:
        raise Refused(404, f"option contract not found for {symbol_or_id}", code=40410000)
    return _document(request, asset.contract, has_deliverables=True)


def _document(request: Request, contract: Contract, *, has_deliverables: bool) -> dict[str, object]:
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


def _last_close(request: Request, contract: Contract) -> dict[str, object]:
    """Answers the last close, at most the contract's own, and the open interest as of then, which is drawn."""
    seed = request.customer.account.seed
    session = last_session_before(min(new_york_time(request.now).date(), contract.expires_on + timedelta(days=1)))
    day = session.day.isoformat()
    return {
        "close_price": str(price(seed, contract.symbol, nanoseconds(session.closes))),
        "close_price_date": day,
        "open_interest": str(draw(20_000, seed, contract.symbol, "open interest", day)),
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
    """Answers the last symbol of the page before, "" for none."""
    try:
        symbol = urlsafe_b64decode(token.encode()).decode("ascii")
    except ValueError:
        symbol = "?"
    if token and contract_of(symbol) is None:
        raise Invalid("invalid page_token")
    return symbol
