"""The clock and the trading calendar: /v2/clock, /v3/clock, /v2/calendar and /v3/calendar/{market}."""

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

from corral_sandbox.errors import ApiError
from corral_sandbox.http.requests import Document, Request, as_choice, as_date, as_list, as_timestamp
from corral_sandbox.market.time import SECOND, TradingSession, new_york_time, session_on, sessions_from, settlement_date

_FIRST, _LAST_YEAR = date(1970, 1, 1), 2029  # Alpaca's calendar; from 2029 on it reaches to the end of the next year
_LONGEST_SETTLEMENT = timedelta(days=14)
_DAY, _WEEK = timedelta(days=1), timedelta(days=7)


def list_calendar(request: Request) -> Document:
    """Takes `start`, `end` and `date_type`, which says whether these are trading days or settlement days."""
    query = request.query()
    start = as_date("start", query["start"]) if "start" in query else _FIRST
    last = _last_day(request)
    end = min(as_date("end", query["end"]), last) if "end" in query else last
    date_type = as_choice("date_type", query.get("date_type", "TRADING"), "TRADING", "SETTLEMENT")
    if date_type == "TRADING":
        return [dict(day) for day in _days(start, end)]
    first = start - _LONGEST_SETTLEMENT if start > _FIRST else start
    between = (start.isoformat(), end.isoformat())
    return [dict(day) for day in _days(first, end) if between[0] <= str(day["settlement_date"]) <= between[1]]


def list_market_calendar(request: Request) -> Document:
    """Takes `start` (default today), `end` (default a week later) and `timezone` (UTC instead of New York)."""
    market, query = find_exchange(request.path_parameters["market"]), request.query()
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
        "open": _hour_and_minute(session.opens),
        "close": _hour_and_minute(session.closes),
        "session_open": _hour_and_minute(session.extended_opens).replace(":", ""),
        "session_close": _hour_and_minute(session.extended_closes).replace(":", ""),
        "settlement_date": settlement_date(day).isoformat(),
    }


def _hour_and_minute(moment: datetime) -> str:
    """Returns `09:30`. The whole calendar has 60,000 of them, and strftime takes its time."""
    return moment.time().isoformat("minutes")


def _market_day(session: TradingSession, *, is_utc: bool) -> dict[str, object]:
    def format_time(moment: datetime) -> str:
        return moment.astimezone(UTC).isoformat().replace("+00:00", "Z") if is_utc else moment.isoformat()

    return {
        "date": session.day.isoformat(),
        "pre_start": format_time(session.extended_opens),
        "pre_end": format_time(session.opens),
        "core_start": format_time(session.opens),
        "core_end": format_time(session.closes),
        "post_start": format_time(session.closes),
        "post_end": format_time(session.extended_closes),
        "settlement_date": settlement_date(session.day).isoformat(),
    }


def clock_document(now: int) -> dict[str, object]:
    """Returns Alpaca's `legacy_clock` at `now`; its timestamp keeps all nanoseconds."""
    moment = new_york_time(now)
    next_open, next_close = _next_open_and_close(moment)
    seconds, offset = moment.isoformat()[:19], moment.isoformat()[19:]
    return {
        "timestamp": f"{seconds}.{now % SECOND:09}{offset}",
        "is_open": next_close < next_open,
        "next_open": next_open.isoformat(),
        "next_close": next_close.isoformat(),
    }


def list_market_clocks(request: Request) -> Document:
    """Takes `markets` (default both New York exchanges) and `time` (default now)."""
    query = request.query()
    now = as_timestamp("time", query["time"]) if "time" in query else request.now
    markets = [find_exchange(code) for code in as_list(query["markets"])] if "markets" in query else EXCHANGES.values()
    return {"clocks": [{"market": market, **_market_clock(now)} for market in markets]}


def _market_clock(now: int) -> dict[str, object]:
    moment = new_york_time(now)
    next_open, next_close = _next_open_and_close(moment)
    phase, until = _phase(moment)
    return {
        "timestamp": clock_document(now)["timestamp"],
        "is_market_day": session_on(moment.date()) is not None,
        "next_market_open": next_open.isoformat(),
        "next_market_close": next_close.isoformat(),
        "phase": phase,
        "phase_until": until.isoformat(),
    }


def _next_open_and_close(moment: datetime) -> tuple[datetime, datetime]:
    day = moment.date()
    next_open = next(session.opens for session in sessions_from(day) if session.opens > moment)
    next_close = next(session.closes for session in sessions_from(day) if session.closes > moment)
    return next_open, next_close


def _phase(moment: datetime) -> tuple[str, datetime]:
    session = next(session for session in sessions_from(moment.date()) if session.extended_closes > moment)
    for phase, until in (
        ("closed", session.extended_opens),
        ("pre", session.opens),
        ("core", session.closes),
    ):
        if moment < until:
            return phase, until
    return "post", session.extended_closes


_EXCHANGES = (("NASDAQ", "XNAS", "Nasdaq Stock Market"), ("NYSE", "XNYS", "New York Stock Exchange"))
EXCHANGES: dict[str, dict[str, object]] = {
    acronym: {"acronym": acronym, "mic": mic, "name": name, "timezone": "America/New_York"}
    for acronym, mic, name in _EXCHANGES
}
_BY_CODE = EXCHANGES | {mic: EXCHANGES[acronym] for acronym, mic, _ in _EXCHANGES}


def find_exchange(code: str) -> dict[str, object]:
    """Looks up by acronym or market identifier code. Raises a 400 for any other exchange."""
    market = _BY_CODE.get(code)
    if market is None:
        raise ApiError(400, f"invalid market: {code} is not one of {', '.join(_BY_CODE)}", code=40010000)
    return market
