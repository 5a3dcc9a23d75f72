"""A time to start at, so that shares trade whenever somebody tries the sandbox."""

from datetime import datetime, time

from corral_sandbox.market.time import NEW_YORK, last_session_before, session_on

_AFTER_THE_OPEN = time(10, 30)


def start_in_trading_hours(now: datetime) -> datetime:
    """Returns `now` while the market is open, otherwise 10:30 in New York on the last trading day before.

    `now` has a time zone.
    """
    today = now.astimezone(NEW_YORK).date()
    session = session_on(today)
    if session is not None and session.opens <= now < session.closes:
        return now
    if session is None or now < session.opens:
        session = last_session_before(today)
    return datetime.combine(session.day, _AFTER_THE_OPEN, NEW_YORK)
