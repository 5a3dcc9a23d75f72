"""GET /v2/clock and GET /v3/clock."""

from datetime import datetime

from corral_sandbox.answers import Document
from corral_sandbox.market import SECOND
from corral_sandbox.markets import MARKETS, find_market
from corral_sandbox.parameters import as_list, as_moment
from corral_sandbox.requests import Request
from corral_sandbox.trading_calendar import new_york_time, session_on, sessions_from


def clock_document(now: int) -> dict[str, object]:
    """Answers Alpaca's `legacy_clock` at `now`, in nanoseconds since 1970, which its timestamp keeps."""
    moment = new_york_time(now)
    next_open, next_close = _next_open_and_close(moment)
    seconds, offset = moment.isoformat()[:19], moment.isoformat()[19:]
    return {
        "timestamp": f"{seconds}.{now % SECOND:09}{offset}",
        "is_open": next_close < next_open,
        "next_open": next_open.isoformat(),
        "next_close": next_close.isoformat(),
    }


def market_clocks_page(request: Request) -> Document:
    """Takes `markets`, by default both exchanges of New York, and `time` in place of now."""
    query = request.query()
    now = as_moment("time", query["time"]) if "time" in query else request.now
    markets = [find_market(code) for code in as_list(query["markets"])] if "markets" in query else MARKETS.values()
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
