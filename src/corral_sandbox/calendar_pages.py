"""GET /v2/calendar and GET /v3/calendar/{market}."""

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

from corral_sandbox.answers import Document
from corral_sandbox.markets import find_market
from corral_sandbox.parameters import as_choice, as_date
from corral_sandbox.requests import Request
from corral_sandbox.trading_calendar import Session, new_york_time, session_on, settlement_date

_FIRST, _LAST_YEAR = date(1970, 1, 1), 2029  # what Alpaca's calendar covers; from 2029 on, up to the next year
_LONGEST_SETTLEMENT = timedelta(days=14)
_DAY, _WEEK = timedelta(days=1), timedelta(days=7)


def calendar_page(request: Request) -> Document:
    """Takes `start`, `end` and `date_type`, which says whether those two are days of trading or of settlement."""
    query = request.query()
    start = as_date("start", query["start"]) if "start" in query else _FIRST
    last = _last_day(request)
    end = min(as_date("end", query["end"]), last) if "end" in query else last
    date_type = as_choice("date_type", query.get("date_type", "TRADING"), "TRADING", "SETTLEMENT")
    if date_type == "TRADING":
        return [dict(day) for day in _days(start, end)]
    begun = start - _LONGEST_SETTLEMENT if start > _FIRST else start
    settled = (start.isoformat(), end.isoformat())
    return [dict(day) for day in _days(begun, end) if settled[0] <= str(day["settlement_date"]) <= settled[1]]


def market_calendar_page(request: Request) -> Document:
    """Takes `start` (today), `end` (a week later) and `timezone` (UTC, in place of New York's)."""
    market, query = find_market(request.parameters["market"]), request.query()
    start = as_date("start", query["start"]) if "start" in query else new_york_time(request.now).date()
    last = _last_day(request)
    end = min(as_date("end", query["end"]) if "end" in query else min(start, last) + _WEEK, last)
    is_utc = as_choice("timezone", query.get("timezone", "UTC"), "UTC") in query.values()
    sessions = [session for session in map(session_on, _dates(start, end)) if session]
    return {"market": market, "calendar": [_market_day(session, is_utc=is_utc) for session in sessions]}


def _last_day(request: Request) -> date:
    return date(max(_LAST_YEAR, new_york_time(request.now).year + 1), 12, 31)


def _days(start: date, end: date) -> list[dict[str, object]]:
    return [document for day in _dates(start, end) if (document := _day(day))]


def _dates(start: date, end: date) -> list[date]:
    start = max(start, _FIRST)
    return [start + number * _DAY for number in range((end - start).days + 1)]


@lru_cache(maxsize=32_768)
def _day(day: date) -> dict[str, object] | None:
    session = session_on(day)
    if session is None:
        return None
    return {
        "date": day.isoformat(),
        "open": f"{session.opens:%H:%M}",
        "close": f"{session.closes:%H:%M}",
        "session_open": f"{session.extended_opens:%H%M}",
        "session_close": f"{session.extended_closes:%H%M}",
        "settlement_date": settlement_date(day).isoformat(),
    }


def _market_day(session: Session, *, is_utc: bool) -> dict[str, object]:
    def written(moment: datetime) -> str:
        return moment.astimezone(UTC).isoformat().replace("+00:00", "Z") if is_utc else moment.isoformat()

    return {
        "date": session.day.isoformat(),
        "pre_start": written(session.extended_opens),
        "pre_end": written(session.opens),
        "core_start": written(session.opens),
        "core_end": written(session.closes),
        "post_start": written(session.closes),
        "post_end": written(session.extended_closes),
        "settlement_date": settlement_date(session.day).isoformat(),
    }
