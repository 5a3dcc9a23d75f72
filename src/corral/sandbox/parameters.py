"""What a client says, read as what it should be, or refused with a 422."""

from datetime import date, datetime
from decimal import Decimal, DecimalException

from corral.sandbox.answers import Refused


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
