"""When an order may trade: windows of the regular session, or of the extended one, in nanoseconds since 1970."""

from datetime import datetime, time, timedelta
from functools import lru_cache
from typing import NamedTuple

from corral_sandbox.market import SECOND
from corral_sandbox.trading_calendar import NEW_YORK, Session, last_session_before, new_york_time, sessions_from

_EARLIEST = time(4)  # the extended session, before; after the close it goes on for four hours
_AFTER_HOURS = timedelta(hours=4)
_YEAR_3000 = 32_503_680_000 * SECOND


class Window(NamedTuple):
    """From `opens` on, and before `closes`."""

    opens: int
    closes: int


ALWAYS = Window(0, _YEAR_3000)


def window_from(at: int, *, extended: bool) -> Window:
    """Answers the window that `at` lies in, or else the next."""
    return next(
        window
        for session in sessions_from(new_york_time(at).date())
        if (window := _window(session, extended=extended)).closes > at
    )


@lru_cache(maxsize=4_096)
def _window(session: Session, *, extended: bool) -> Window:
    if not extended:
        return Window(_moment(session.opens), _moment(session.closes))
    opens = datetime.combine(session.day, _EARLIEST, NEW_YORK)
    return Window(_moment(opens), _moment(session.closes + _AFTER_HOURS))


def _moment(at: datetime) -> int:
    return int(at.timestamp()) * SECOND


def close_before_today(now: int) -> int:
    """Answers the close of the last session before today, New York's today."""
    return _moment(last_session_before(new_york_time(now).date()).closes)
