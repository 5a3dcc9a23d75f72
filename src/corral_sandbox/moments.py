"""How moments are written and read. A moment is nanoseconds since 1970."""

import re
from datetime import UTC, datetime

SECOND = 1_000_000_000
_NANOSECONDS = re.compile(r"\.\d{6}(\d{3})")  # which Python leaves out


def in_utc(at: int) -> str:
    """Answers RFC 3339 with all nine digits, as Alpaca writes its orders' times."""
    return f"{datetime.fromtimestamp(at // SECOND, UTC):%Y-%m-%dT%H:%M:%S}.{at % SECOND:09}Z"


def nanoseconds(moment: datetime) -> int:
    """Of an aware moment, to the microsecond."""
    return int(moment.replace(microsecond=0).timestamp()) * SECOND + moment.microsecond * 1_000


def as_moment(text: str) -> int:
    """Answers an ISO 8601 moment, or the begin of a date, in UTC where it names no offset. Else a ValueError."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    fraction = _NANOSECONDS.search(text)
    return nanoseconds(moment) + (int(fraction[1]) if fraction else 0)
