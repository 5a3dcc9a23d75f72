"""What a client says, read as what it should be, or refused with a 422."""

from datetime import UTC, date, datetime
from decimal import Decimal, DecimalException

from corral_sandbox.answers import Refused
from corral_sandbox.moments import nanoseconds
from corral_sandbox.trading_calendar import NEW_YORK

_FIRST_YEAR, _LAST_YEAR = 1970, 2100


class Invalid(Refused):
    """A parameter or field that cannot be what it is."""

    def __init__(self, message: str) -> None:
        super().__init__(422, message, code=40010001)


def as_date(name: str, text: str) -> date:
    """Answers the day of `2026-11-24` or of an ISO 8601 moment; anything else is refused."""
    try:
        return datetime.fromisoformat(text).date()
    except ValueError:
        raise Invalid(f"invalid {name}: {text} is not a date") from None


def as_moment(name: str, text: str) -> int:
    """Answers nanoseconds since 1970 of a moment with its offset, of whole seconds since 1970, or of a day's
    first in New York.
    """
    try:
        moment = _read_moment(text)
    except (ValueError, OverflowError):
        moment = None
    if moment is None or not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
        raise Invalid(f"invalid {name}: {text} is not a moment with its offset, a day, or seconds since 1970")
    return nanoseconds(moment)


def as_number(name: str, text: str) -> Decimal:
    try:
        number = Decimal(text)
    except DecimalException:
        number = Decimal("NaN")
    if not number.is_finite():
        raise Invalid(f"invalid {name}: {text} is not a number")
    return number


def as_limit(name: str, text: str, highest: int) -> int:
    """Answers a whole number from 1 to `highest`."""
    if not text.isascii() or not text.isdigit() or len(text) > len(str(highest)) or not 1 <= int(text) <= highest:
        raise Invalid(f"invalid {name}: must be from 1 to {highest}")
    return int(text)


def as_flag(name: str, text: str) -> bool:
    if text.lower() not in {"true", "false"}:
        raise Invalid(f"invalid {name}: must be true or false")
    return text.lower() == "true"


def as_choice(name: str, text: str, *choices: str) -> str:
    if text not in choices:
        raise Invalid(f"invalid {name}: must be one of {', '.join(choices)}")
    return text


def as_list(text: str) -> list[str]:
    """Answers what stands between the commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


def _read_moment(text: str) -> datetime | None:
    if text.isascii() and text.isdigit() and len(text) != len("yyyymmdd"):
        return datetime.fromtimestamp(int(text), UTC)
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is not None:
        return moment
    return moment.replace(tzinfo=NEW_YORK) if len(text) <= len("yyyy-mm-dd") else None
