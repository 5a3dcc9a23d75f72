"""What requests for market data have in common: parameters, times, pages.

Every error is a 400 with only a message, as on Alpaca's data host.
"""

import asyncio
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from itertools import islice
from time import perf_counter
from typing import Protocol, TypeVar
from urllib.parse import parse_qsl

from corral_sandbox.errors import ApiError
from corral_sandbox.market.assets import Asset, AssetClass, ListedAssets
from corral_sandbox.market.bars import BarTimeframe, TimeRange, midnight_of, timeframe_of
from corral_sandbox.market.prices import Market
from corral_sandbox.market.time import SECOND, format_seconds, new_york_time, parse_timestamp

_SYMBOLS: dict[AssetClass, str] = {
    "us_equity": r"^[A-Z]+([./][A-Z]+)*$",
    "us_option": r"^[A-Z]{1,6}[0-9]{6}[CP][0-9]{8}$",
    "crypto": r"^[A-Z]+/[A-Z]+$",
}
_MOST_OPTIONS = 100
_CURRENCY = re.compile(r"[A-Z]{3}")
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)
_FIRST_YEAR, _LAST_YEAR = 1970, 2100
_ONE_DAY = timedelta(days=1)


class BadDataRequestError(ApiError):
    def __init__(self, message: str) -> None:
        super().__init__(400, message)


@dataclass(slots=True)
class DataRequest:
    """A request for market data, which needs no account. `now` is in nanoseconds since 1970."""

    market: Market
    now: int
    path_parameters: dict[str, str] = field(default_factory=dict[str, str])
    query_string: str = ""
    query: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        """Drops parameters without a value, which Alpaca's SDKs send for None."""
        self.query = dict(parse_qsl(self.query_string))

    def required(self, name: str) -> str:
        if name not in self.query:
            raise BadDataRequestError(f"Invalid format for parameter {name}: query parameter '{name}' is required")
        return self.query[name]

    def names(self, name: str) -> list[str]:
        """Returns the parts of a list, sorted and each once."""
        return sorted({part.strip() for part in self.query.get(name, "").split(",") if part.strip()})

    def choice(self, name: str, *choices: str) -> str:
        """Returns one of `choices`, the first if the parameter is missing."""
        value = self.query.get(name, choices[0])
        if value not in choices:
            raise BadDataRequestError(f"invalid {name}: {value}")
        return value

    def limit(self, default: int, highest: int, name: str = "limit") -> int:
        text = self.query.get(name, str(default))
        if not text.isascii() or not text.isdigit() or len(text) > len(str(highest)) or not 1 <= int(text) <= highest:
            raise BadDataRequestError(f"invalid {name}: {text} (must be from 1 to {highest})")
        return int(text)

    def check_flag(self, name: str) -> None:
        """Accepts `True`, too, as Alpaca's SDK for Python writes it."""
        if self.query.get(name, "true").lower() not in {"true", "false"}:
            raise BadDataRequestError(f"invalid {name}: {self.query[name]} (must be true or false)")

    def amount(self, name: str, default: Decimal) -> Decimal:
        try:
            amount = Decimal(self.query.get(name, default))
        except ArithmeticError:
            amount = Decimal("NaN")
        if not amount.is_finite():
            raise BadDataRequestError(f"invalid {name}: {self.query[name]} (must be a number)")
        return amount

    def day(self, name: str) -> date | None:
        text = self.query.get(name)
        return None if text is None else _day(name, text)

    def moment(self, name: str, asset_class: AssetClass, *, at_end_of_day: bool = False) -> int | None:
        """Returns nanoseconds since 1970 of a timestamp, or of the beginning or the end of a date."""
        text = self.query.get(name)
        if text is None:
            return None
        if not _DAY.fullmatch(text):
            return _moment(name, text)
        day = _day(name, text)
        return midnight_of(asset_class, day + _ONE_DAY) - 1 if at_end_of_day else midnight_of(asset_class, day)

    def timeframe(self) -> BarTimeframe:
        text = self.required("timeframe")
        timeframe = timeframe_of(text)
        if timeframe is None:
            raise BadDataRequestError(f"invalid timeframe: {text}")
        return timeframe

    def currency(self) -> dict[str, object]:
        """Returns the currency for the answer, if one was named."""
        code = self.query.get("currency")
        if code is None:
            return {}
        if not _CURRENCY.fullmatch(code):
            raise BadDataRequestError(f"invalid currency: {code}")
        if code != "USD":
            raise BadDataRequestError(f"invalid currency: {code} (the sandbox's prices are in USD)")
        return {"currency": code}

    def assets(self, asset_class: AssetClass) -> list[Asset]:
        """Returns the known assets among `symbols`, or that of the path, in the order of their symbols."""
        if "symbol" in self.path_parameters:
            symbols = [self.path_parameters["symbol"]]
        else:
            self.required("symbols")
            symbols = self.names("symbols")
        if asset_class == "us_option" and len(symbols) > _MOST_OPTIONS:
            raise BadDataRequestError(f"too many symbols: {len(symbols)} (at most {_MOST_OPTIONS})")
        found = (_find(self.market.assets, symbol, asset_class) for symbol in symbols)
        return [asset for asset in found if asset is not None]


def _find(assets: ListedAssets, symbol: str, asset_class: AssetClass) -> Asset | None:
    """Returns None for a symbol that is well formed and unknown, or whose asset is delisted."""
    if not re.fullmatch(_SYMBOLS[asset_class], symbol):
        reason = f" does not match {_SYMBOLS[asset_class]}" if asset_class == "crypto" else ""
        raise BadDataRequestError(f"invalid symbol: {symbol}{reason}")
    asset = assets.find(symbol)
    return asset if asset is not None and asset.asset_class == asset_class and not asset.is_delisted else None


def _day(name: str, text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = date.min
    if not _FIRST_YEAR <= day.year <= _LAST_YEAR:
        raise _bad_time(name, text)
    return day


def _moment(name: str, text: str) -> int:
    written = re.sub(r" (\d\d:\d\d)$", r"+\1", text.upper())  # a plus that was not percent-encoded arrives as a space
    try:
        at = parse_timestamp(written) if _TIMESTAMP.fullmatch(written) else -1
    except (ValueError, OverflowError):
        at = -1
    if not 0 <= at < midnight_of("us_equity", date(_LAST_YEAR + 1, 1, 1)):
        raise _bad_time(name, text)
    return at


def _bad_time(name: str, text: str) -> BadDataRequestError:
    return BadDataRequestError(
        f"Invalid format for parameter {name}: error parsing '{text}' as RFC3339 or 2006-01-02 time"
    )


class _Dated(Protocol):
    @property
    def at(self) -> int: ...


_Any = TypeVar("_Any")
_Item = TypeVar("_Item", bound=_Dated)
Series = Callable[[Asset, TimeRange], Iterator[_Item]]
_DEFAULT_LIMIT, _HIGHEST_LIMIT = 1_000, 10_000


@dataclass(frozen=True, slots=True)
class HistoricalDataQuery:
    """Asks for one page of a history: `limit` items of all assets together, sorted by symbol and then by time.

    `after` names symbol and time of the last item of the previous page.
    """

    assets: list[Asset]
    during: TimeRange
    limit: int
    after: tuple[str, int] | None

    async def page(
        self, series: Series[_Item], document: Callable[[Asset, _Item], dict[str, object]]
    ) -> tuple[dict[str, list[dict[str, object]]], str | None]:
        """Returns the documents by symbol, and the token of the next page, None on the last."""
        page: dict[str, list[dict[str, object]]] = {}
        items = self._items(series)
        last: tuple[str, int] | None = None
        async for asset, item in in_turns(islice(items, self.limit)):
            page.setdefault(asset.symbol, []).append(document(asset, item))
            last = asset.symbol, item.at
        is_all = next(items, None) is None
        return page, None if last is None or is_all else write_token(*last)

    def _items(self, series: Series[_Item]) -> Iterator[tuple[Asset, _Item]]:
        for asset in self.assets:
            if self.after is None or asset.symbol > self.after[0]:
                yield from ((asset, item) for item in series(asset, self.during))
            elif asset.symbol == self.after[0]:
                yield from ((asset, item) for item in series(asset, self._rest(self.after[1])))

    def _rest(self, at: int) -> TimeRange:
        """Returns what is left of the time range after an item of the previous page."""
        during = self.during
        if during.newest_first:
            return TimeRange(during.start, min(during.end, at - 1), during.now, newest_first=True)
        return TimeRange(max(during.start, at + 1), during.end, during.now)


_TURN_SECONDS = 0.004  # a request needs two or three turns of the event loop


async def in_turns(items: Iterable[_Any]) -> AsyncGenerator[_Any]:
    """Yields every item, and lets other requests be answered after each `_TURN_SECONDS`."""
    ends = perf_counter() + _TURN_SECONDS
    for item in items:
        yield item
        if perf_counter() > ends:
            await asyncio.sleep(0)
            ends = perf_counter() + _TURN_SECONDS


def history_query(request: DataRequest, asset_class: AssetClass) -> HistoricalDataQuery:
    """Reads `symbols`, `start` (default: today), `end` (default: now), `limit`, `page_token` and `sort`."""
    start, end = request.moment("start", asset_class), request.moment("end", asset_class, at_end_of_day=True)
    if start is None:
        start = midnight_of(asset_class, new_york_time(request.now).date())
    if end is not None and end < start:
        raise BadDataRequestError("end should not be before start")
    newest_first = request.choice("sort", "asc", "desc") == "desc"
    return HistoricalDataQuery(
        assets=request.assets(asset_class),
        during=TimeRange(start, request.now if end is None else end, request.now, newest_first=newest_first),
        limit=request.limit(_DEFAULT_LIMIT, _HIGHEST_LIMIT),
        after=read_token(request),
    )


async def history(
    request: DataRequest,
    asset_class: AssetClass,
    name: str,
    series: Series[_Item],
    document: Callable[[Asset, _Item], dict[str, object]],
) -> dict[str, object]:
    """Returns one page of a series, under `name`: by symbol, or of the path's symbol, null if there is nothing."""
    page, token = await history_query(request, asset_class).page(series, document)
    symbol = request.path_parameters.get("symbol")
    if symbol is None:
        return {name: page, "next_page_token": token, **request.currency()}
    return {"symbol": symbol, name: page.get(symbol), "next_page_token": token, **request.currency()}


def latest(
    request: DataRequest, asset_class: AssetClass, name: str, document: Callable[[Asset], dict[str, object] | None]
) -> dict[str, object]:
    """Returns one document for each asset that has one, under `name` by symbol, or that of the path's symbol."""
    found = documents_by_symbol(request, asset_class, document)
    if "symbol" not in request.path_parameters:
        return {name: found, **request.currency()}
    symbol, singular = request.path_parameters["symbol"], name.removesuffix("s")
    if symbol not in found:
        raise ApiError(404, f"no {singular} found for {symbol}")
    return {"symbol": symbol, singular: found[symbol], **request.currency()}


def documents_by_symbol(
    request: DataRequest, asset_class: AssetClass, document: Callable[[Asset], dict[str, object] | None]
) -> dict[str, dict[str, object]]:
    """Leaves out assets without a document, and options that have expired."""
    assets = (asset for asset in request.assets(asset_class) if asset.is_active(request.now))
    documents = ((asset.symbol, document(asset)) for asset in assets)
    return {symbol: each for symbol, each in documents if each is not None}


def write_token(name: str, at: int) -> str:
    return urlsafe_b64encode(f"{name}|{at}".encode()).decode()


def read_token(request: DataRequest) -> tuple[str, int] | None:
    """Returns name and number of the last item of the previous page, None for the first page."""
    token = request.query.get("page_token")
    if token is None:
        return None
    try:
        name, _, at = urlsafe_b64decode(token.encode()).decode("ascii").rpartition("|")
    except ValueError:
        name, at = "", ""
    if not name or not at.isascii() or not at.isdigit() or len(at) > len(str(1 << 62)):
        raise BadDataRequestError("invalid page_token: take it from next_page_token of the previous page")
    return name, int(at)


def format_time(at: int) -> str:
    """Returns RFC 3339 in UTC, without trailing zeros."""
    seconds, fraction = divmod(at, SECOND)
    text = format_seconds(seconds)
    return f"{text}.{fraction:09}".rstrip("0") + "Z" if fraction else f"{text}Z"
