"""What a page is asked: by whom, when, and for what in particular."""

import json
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, DecimalException
from typing import Never
from urllib.parse import parse_qsl

from corral.sandbox.answers import Refused
from corral.sandbox.customers import Customer

JsonValue = str | Decimal | bool | list["JsonValue"] | dict[str, "JsonValue"] | None


@dataclass(slots=True)
class Request:
    """`now` is in nanoseconds since 1970; `parameters` are the braces of the page's path, percent-decoded."""

    customer: Customer
    now: int
    parameters: dict[str, str]
    query_string: str = ""
    body: bytes = b""

    def query(self) -> dict[str, str]:
        """Answers the query's parameters, decoded; of one that is repeated the last."""
        return dict(parse_qsl(self.query_string, keep_blank_values=True)) if self.query_string else {}

    def document(self) -> dict[str, JsonValue]:
        """Answers the JSON object in the body, its numbers digit for digit; anything else is a 400."""
        try:
            document: JsonValue = json.loads(
                self.body, parse_float=Decimal, parse_int=Decimal, parse_constant=_refuse_constant
            )
        except (ValueError, DecimalException, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise Refused(400, "request body format is invalid", code=40010000)
        return document


class Invalid(Refused):
    """A parameter or field that cannot be what it is."""

    def __init__(self, message: str) -> None:
        super().__init__(422, message, code=40010001)


def as_date(name: str, text: str) -> date:
    """Answers the day of `2026-11-24`, or of a moment that begins with one; anything else is refused."""
    try:
        return date.fromisoformat(text[:10])
    except ValueError:
        raise Invalid(f"invalid {name}: {text} is not a date") from None


def as_flag(name: str, text: str) -> bool:
    if text.lower() not in {"true", "false"}:
        raise Invalid(f"invalid {name}: must be true or false")
    return text.lower() == "true"


def as_choice(name: str, text: str, *choices: str) -> str:
    if text not in choices:
        raise Invalid(f"invalid {name}: must be one of {', '.join(choices)}")
    return text


def as_text(name: str, value: JsonValue) -> str:
    """Of a JSON body."""
    if not isinstance(value, str) or not value:
        raise Invalid(f"{name} is required")
    return value


def _refuse_constant(name: str) -> Never:
    raise ValueError(f"{name} is not JSON")
