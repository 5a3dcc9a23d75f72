"""/v1/corporate-actions: what /v2/corporate_actions/announcements has, in the form of the market data."""

from collections.abc import Iterator

from corral_sandbox.api.corporate_actions import CorporateAction, announcements
from corral_sandbox.api.market_data_query import BadDataRequestError, DataRequest, read_token, write_token
from corral_sandbox.market.time import new_york_time

_PLURALS = {"cash_dividend": "cash_dividends", "forward_split": "forward_splits"}
_OTHER_TYPES = (
    *("reverse_split", "unit_split", "stock_dividend", "spin_off", "cash_merger", "stock_merger"),
    *("stock_and_cash_merger", "redemption", "name_change", "worthless_removal", "rights_distribution"),
    *("partial_call", "reorganization", "capital_gains_distribution"),
)  # of which the sandbox has none
_FILTERS = ("symbols", "cusips", "types", "start", "end")
_DEFAULT_LIMIT, _HIGHEST_LIMIT = 100, 1_000


def list_corporate_actions(request: DataRequest) -> dict[str, object]:
    """Filters by `symbols`, `types`, `cusips` (no share of the sandbox has one), and `start` and `end` (default: today)
    of the day on which an action is processed; or by `ids` alone.
    """
    limit, after = request.limit(_DEFAULT_LIMIT, _HIGHEST_LIMIT), read_token(request)
    found = _matching(request)
    ids = [each.id for each in found]
    if after is not None and after[0] not in ids:
        raise BadDataRequestError("invalid page_token: repeat the other parameters of the previous page")
    first = 0 if after is None else ids.index(after[0]) + 1
    page = found[first : first + limit]
    by_type: dict[str, list[dict[str, object]]] = {}
    for each in page:
        by_type.setdefault(_PLURALS[_type_of(each)], []).append(_document(each))
    return {
        "corporate_actions": by_type,
        "next_page_token": write_token(page[-1].id, 1) if first + limit < len(found) else None,
    }


def _matching(request: DataRequest) -> list[CorporateAction]:
    newest_first = request.choice("sort", "asc", "desc") == "desc"
    request.choice("data_quality", "complete", "all")
    is_foreign = request.choice("region", "us", "non_us", "all") == "non_us"
    ids = request.names("ids")
    if ids and (others := [name for name in _FILTERS if name in request.query]):
        raise BadDataRequestError(f"ids cannot be combined with {others[0]}: leave one of them out")
    everything = announcements(request.market.seed, request.now) if not is_foreign else ()
    found = [each for each in everything if each.id in ids] if ids else list(_filtered(request, everything))
    return sorted(found, key=lambda each: (_process_date(each), each.id), reverse=newest_first)


def _filtered(request: DataRequest, actions: tuple[CorporateAction, ...]) -> Iterator[CorporateAction]:
    symbols, types = request.names("symbols"), request.names("types")
    for name in types:
        if name not in {*_PLURALS, *_OTHER_TYPES}:
            raise BadDataRequestError(f"invalid types: {name}")
    today = new_york_time(request.now).date()
    start, end = request.day("start") or today, request.day("end") or today
    if end < start and "end" in request.query:
        raise BadDataRequestError("end should not be before start")
    for each in actions:
        if (
            start.isoformat() <= _process_date(each) <= end.isoformat()
            and (not symbols or each.symbol in symbols)
            and (not types or _type_of(each) in types)
            and "cusips" not in request.query
        ):
            yield each


def _type_of(action: CorporateAction) -> str:
    return "cash_dividend" if action.ca_type == "dividend" else "forward_split"


def _process_date(action: CorporateAction) -> str:
    """Dividends are processed when they are paid, splits when the price changes."""
    return action.dates()["payable_date" if action.ca_type == "dividend" else "ex_date"]


def _document(action: CorporateAction) -> dict[str, object]:
    dates = action.dates()
    document: dict[str, object] = {
        "id": action.id,
        "symbol": action.symbol,
        "cusip": "",
        "process_date": _process_date(action),
        **{name: dates[name] for name in ("ex_date", "record_date", "payable_date")},
    }
    if action.ca_type == "dividend":
        return {**document, "rate": float(action.cash), "special": False, "foreign": False}
    return {**document, "new_rate": float(action.new_rate), "old_rate": 1.0}
