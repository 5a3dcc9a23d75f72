"""GET /v2/clock."""

from datetime import datetime

from corral.sandbox.market import SECOND
from corral.sandbox.trading_calendar import NEW_YORK, sessions_from


def clock_document(now: int) -> dict[str, object]:
    """Answers Alpaca's `legacy_clock` at `now`, in nanoseconds since 1970, which its timestamp keeps."""
    moment = new_york_time(now)
    next_open = next(session.opens for session in sessions_from(moment.date()) if session.opens > moment)
    next_close = next(session.closes for session in sessions_from(moment.date()) if session.closes > moment)
    seconds, offset = moment.isoformat()[:19], moment.isoformat()[19:]
    return {
        "timestamp": f"{seconds}.{now % SECOND:09}{offset}",
        "is_open": next_close < next_open,
        "next_open": next_open.isoformat(),
        "next_close": next_close.isoformat(),
    }


def new_york_time(now: int) -> datetime:
    """Answers the whole second; sessions begin and end on whole seconds, so nothing is lost by it."""
    return datetime.fromtimestamp(now // SECOND, NEW_YORK)
