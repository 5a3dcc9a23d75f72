"""How moments are written and read. A moment is nanoseconds since 1970."""

from datetime import UTC, datetime

SECOND = 1_000_000_000


def in_utc(at: int) -> str:
    """Answers RFC 3339 with all nine digits, as Alpaca writes its orders' times."""
    return f"{datetime.fromtimestamp(at // SECOND, UTC):%Y-%m-%dT%H:%M:%S}.{at % SECOND:09}Z"


def nanoseconds(moment: datetime) -> int:
    """Of an aware moment, to the microsecond."""
    return int(moment.replace(microsecond=0).timestamp()) * SECOND + moment.microsecond * 1_000
