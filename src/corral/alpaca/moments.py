"""Moments as Alpaca writes them, to the nanosecond; `datetime` would cut three digits off."""

import re
from datetime import UTC, datetime
from typing import Final

# RFC 3339 §5.6, seconds of at most nine digits. A leap second is no moment that anything here could hold.
_MOMENT: Final = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_SECONDS: Final = len("YYYY-MM-DDTHH:MM:SS")
_MILLISECONDS: Final = _SECONDS + len(".fff")
_NANOSECONDS: Final = len(".fffffffff")


def in_utc(text: str) -> str | None:
    """The same moment as `YYYY-MM-DDTHH:MM:SS[.fraction]Z`, its fraction digit for digit; None if it is no moment."""
    if (found := _MOMENT.fullmatch(text)) is None:
        return None
    date, time, fraction, zone = found.groups()
    try:
        # Also for what is in UTC already: February 30 is no moment.
        whole = datetime.fromisoformat(f"{date}T{time}{'+00:00' if zone in 'Zz' else zone}").astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return whole.isoformat()[:_SECONDS] + (fraction or "") + "Z"


def since_1970(seconds: int) -> str | None:
    """Unix seconds, written like the others; None beyond the year 9999."""
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat()[:_SECONDS] + "Z"
    except (ValueError, OverflowError, OSError):
        return None


def instant(moment: str) -> str:
    """A key that sorts as time does, for a moment that is in UTC: fractions differ in length."""
    fraction = moment[_SECONDS:-1] or "."
    return moment[:_SECONDS] + fraction.ljust(_NANOSECONDS, "0")


def millisecond(moment: str) -> str:
    """The moment, cut down to the millisecond."""
    return instant(moment)[:_MILLISECONDS]
