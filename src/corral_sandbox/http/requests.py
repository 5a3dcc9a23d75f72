"""Requests and their parameters, responses, and the routes from paths to handlers."""

import json
import re
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal, DecimalException
from typing import Never, Protocol, Self
from urllib.parse import parse_qsl, unquote

import orjson
from aiohttp import web

from corral_sandbox.broker.accounts import TradingAccount
from corral_sandbox.broker.orders import OrderOutcome
from corral_sandbox.errors import ApiError, InvalidParameterError
from corral_sandbox.market.assets import ListedAssets
from corral_sandbox.market.time import NEW_YORK, Clock, to_nanoseconds

Document = dict[str, object] | list[dict[str, object]]


class EventStream(Protocol):
    """The body of a response that goes on: yields pieces until it ends or is closed. `flush` returns when all have
    been written, and raises TimeoutError for a client that does not read.
    """

    def __aiter__(self) -> AsyncIterator[bytes]: ...
    async def flush(self) -> None: ...
    def close(self) -> None: ...


@dataclass(slots=True)
class Response:
    """Sends bytes as they are, anything else as JSON. The content type is JSON unless the headers name another.

    With `stream`, the status is followed by its pieces, and the body is not sent.
    """

    status: int
    body: Document | bytes
    headers: dict[str, str] = field(default_factory=dict[str, str])
    stream: EventStream | None = None

    @classmethod
    def of_error(cls, error: ApiError) -> Self:
        return cls(error.status, error.body, error.headers)

    def to_bytes(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        try:
            return orjson.dumps(self.body)
        except TypeError:  # an error may repeat a client's text with half of a surrogate pair
            return json.dumps(self.body).encode()

    def all_headers(self) -> dict[str, str]:
        if "Content-Type" in self.headers:
            return self.headers
        return {**self.headers, "Content-Type": "application/json"}

    def to_web(self) -> web.Response:
        return web.Response(status=self.status, headers=self.all_headers(), body=self.to_bytes())


JsonValue = str | Decimal | bool | list["JsonValue"] | dict[str, "JsonValue"] | None


@dataclass(slots=True)
class Request:
    """`now` is in nanoseconds since 1970; `path_parameters` are percent-decoded. `order_outcome` is what a fault does
    to an order that the request places.
    """

    account: TradingAccount
    now: int
    path_parameters: dict[str, str]
    query_string: str = ""
    body: bytes = b""
    order_outcome: OrderOutcome | None = None
    clock: Clock | None = None

    @property
    def assets(self) -> ListedAssets:
        """What the sandbox lists."""
        return self.account.terms.market.assets

    def query(self) -> dict[str, str]:
        """Returns the decoded query parameters; of a repeated one the last."""
        return dict(parse_qsl(self.query_string, keep_blank_values=True)) if self.query_string else {}

    def json_object(self) -> dict[str, JsonValue]:
        """Returns the JSON object in the body, with exact numbers. Raises a 400 for anything else."""
        document = read_json_object(self.body)
        if document is None:
            raise ApiError(400, "request body format is invalid", code=40010000)
        return document


def read_json_object(body: bytes) -> dict[str, JsonValue] | None:
    """Returns a JSON object with exact numbers, None if the body is anything else."""
    try:
        document: JsonValue = _EXACT.decode(body.decode())
        if _SURROGATE.search(body):
            orjson.loads(body)  # raises ValueError for half a pair, which is no text and could not be sent back
    except (ValueError, DecimalException, RecursionError):
        return None
    return document if isinstance(document, dict) else None


_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def _refuse_constant(name: str) -> Never:
    raise ValueError(f"{name} is not JSON")


_EXACT = json.JSONDecoder(parse_float=Decimal, parse_int=Decimal, parse_constant=_refuse_constant)

_FIRST_YEAR, _LAST_YEAR = 1970, 2100


def as_date(name: str, text: str) -> date:
    """Returns the date of `2026-11-24` or of an ISO 8601 timestamp."""
    try:
        return datetime.fromisoformat(text).date()
    except ValueError:
        raise InvalidParameterError(f"invalid {name}: {text} is not a date") from None


def as_timestamp(name: str, text: str) -> int:
    """Returns nanoseconds since 1970 of a timestamp with its offset, of whole seconds since 1970, or of the
    beginning of a date in New York.
    """
    try:
        moment = _read_moment(text)
    except (ValueError, OverflowError):
        moment = None
    if moment is None or not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
        raise InvalidParameterError(
            f"invalid {name}: {text} is not a moment with its offset, a day, or seconds since 1970"
        )
    return to_nanoseconds(moment)


def as_number(name: str, text: str) -> Decimal:
    try:
        number = Decimal(text)
    except DecimalException:
        number = Decimal("NaN")
    if not number.is_finite():
        raise InvalidParameterError(f"invalid {name}: {text} is not a number")
    return number


def as_limit(name: str, text: str, highest: int) -> int:
    """Returns a whole number from 1 to `highest`."""
    if not text.isascii() or not text.isdigit() or len(text) > len(str(highest)) or not 1 <= int(text) <= highest:
        raise InvalidParameterError(f"invalid {name}: must be from 1 to {highest}")
    return int(text)


def as_flag(name: str, text: str) -> bool:
    if text.lower() not in {"true", "false"}:
        raise InvalidParameterError(f"invalid {name}: must be true or false")
    return text.lower() == "true"


def as_choice(name: str, text: str, *choices: str) -> str:
    if text not in choices:
        raise InvalidParameterError(f"invalid {name}: must be one of {', '.join(choices)}")
    return text


def as_list(text: str) -> list[str]:
    """Splits at commas and drops empty parts."""
    return [part.strip() for part in text.split(",") if part.strip()]


def _read_moment(text: str) -> datetime | None:
    if text.isascii() and text.isdigit() and len(text) != len("yyyymmdd"):
        return datetime.fromtimestamp(int(text), UTC)
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is not None:
        return moment
    return moment.replace(tzinfo=NEW_YORK) if len(text) <= len("yyyy-mm-dd") else None


Handler = Callable[[Request], Document | Response]
Handlers = Mapping[str, Handler]


@dataclass(frozen=True, slots=True)
class Route:
    """The handlers of a path by method, and the pattern that it matches."""

    pattern: str
    handlers: Handlers
    parameters: dict[str, str]


class Routes:
    """Patterns like "/v2/assets/{symbol_or_id}". A parameter is one percent-decoded segment of the path, so that
    `BTC%2FUSD` is a single one.
    """

    def __init__(self, handlers_by_pattern: Mapping[str, Handlers]) -> None:
        self._plain = {pattern: Route(pattern, handlers, {}) for pattern, handlers in handlers_by_pattern.items()}
        self._by_length: defaultdict[int, list[tuple[list[str], Route]]] = defaultdict(list)
        for pattern, route in self._plain.items():
            segments = pattern.split("/")
            self._by_length[len(segments)].append((segments, route))

    def patterns(self) -> frozenset[str]:
        return frozenset(self._plain)

    def methods_of(self, path: str) -> frozenset[str]:
        """Returns the methods of a path or pattern; none for an unknown one, or one that no request has."""
        is_pattern = "{" in path
        route = self._plain.get(path) if is_pattern else self.find(path)
        is_written_otherwise = path.endswith("/") or "//" in path
        return frozenset() if route is None or is_written_otherwise else frozenset(route.handlers)

    def find(self, path: str) -> Route | None:
        if (route := self._plain.get(path)) is not None and "{" not in path:
            return route
        segments = [unquote(segment) for segment in path.split("/")]
        for pattern, route in self._by_length.get(len(segments), ()):
            parameters = _parameters(pattern, segments)
            if parameters is not None:
                return Route(route.pattern, route.handlers, parameters)
        return None


def _parameters(pattern: list[str], segments: list[str]) -> dict[str, str] | None:
    parameters: dict[str, str] = {}
    for expected, segment in zip(pattern, segments, strict=True):
        if expected.startswith("{"):
            parameters[expected[1:-1]] = segment
        elif segment != expected:
            return None
    return parameters
