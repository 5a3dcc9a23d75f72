"""Moments as Alpaca writes and reads them: RFC 3339, down to the nanosecond."""

from datetime import UTC, datetime

_SECOND = 1_000_000_000


def in_rfc3339(at: int) -> str:
    """Answers nanoseconds since 1970 as Go writes them: in UTC, without trailing zeros."""
    seconds, nanoseconds = divmod(at, _SECOND)
    fraction = f".{nanoseconds:09}".rstrip("0").rstrip(".")
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}{fraction}Z"


def from_rfc3339(text: str) -> int:
    """Answers nanoseconds since 1970 of a moment or a date, which begins in UTC. Raises ValueError for other text."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.replace(microsecond=0).timestamp()) * _SECOND + _nanoseconds(text, moment.microsecond)


def _nanoseconds(text: str, microsecond: int) -> int:
    _, _, fraction = text.partition(".")
    digits = fraction[:9]
    return int(digits) if len(digits) == 9 and digits.isdecimal() else microsecond * 1_000  # noqa: PLR2004 - nine digits are nanoseconds
