"""What a page is asked: by whom, when, and for what in particular."""

import json
from dataclasses import dataclass
from decimal import Decimal, DecimalException
from typing import Never
from urllib.parse import parse_qsl

from corral_sandbox.answers import Refused
from corral_sandbox.customers import Customer

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


def _refuse_constant(name: str) -> Never:
    raise ValueError(f"{name} is not JSON")
