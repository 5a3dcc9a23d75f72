"""`/_prices`: PUT fixes prices, GET returns those that are fixed, DELETE goes back to the drawn ones.

    {"AAPL": "270.00"}                                          from now on
    {"AAPL": [["2026-11-24T10:05-05:00", "271"], …]}            stepwise, each from its time on
    {"AAPL": "halted"}                                          held, and nothing trades

A PUT merges by symbol. The price of an option follows its underlying unless it is fixed itself. Orders see a new price
at once: what it crosses is filled before the next request is answered, if the market is open.
"""

from decimal import Decimal, DecimalException, localcontext
from typing import Final, cast
from urllib.parse import unquote

from aiohttp import web

from corral_sandbox.broker.accounts import TradingAccounts
from corral_sandbox.errors import ApiError, EndpointNotFoundError, MethodNotAllowedError
from corral_sandbox.http.requests import Document, as_timestamp, read_json_object
from corral_sandbox.market.assets import find_asset
from corral_sandbox.market.money import EXACT, format_amount
from corral_sandbox.market.prices import Market, Step
from corral_sandbox.market.time import Clock, format_timestamp

HALTED: Final = "halted"
MOST_STEPS: Final = 10_000
_HIGHEST: Final = Decimal(10_000_000)
_MOST_DECIMALS: Final = 9


class PricesControl:
    def __init__(self, accounts: TradingAccounts, clock: Clock) -> None:
        self._accounts = accounts
        self._market = accounts.market
        self._clock = clock

    async def handle(self, request: web.BaseRequest, rest: str) -> Document:
        body = await request.read()
        with localcontext(EXACT):
            if rest:
                self._delete_one(request.method, rest)
            elif request.method == "PUT":
                self._put(body)
            elif request.method == "DELETE":
                self._free(list(self._market.touched(self._clock.now())))
            elif request.method != "GET":
                raise MethodNotAllowedError(["GET", "PUT", "DELETE"])
            return _document(self._market, self._clock.now())

    def _put(self, body: bytes) -> None:
        wanted = _read(body)
        steps = {symbol: _steps(symbol, value, self._clock.now()) for symbol, value in wanted.items()}
        now = self._clock.begin_change()

        def change() -> None:
            for symbol, path in steps.items():
                if path is None:
                    self._market.halt(symbol, now)
                else:
                    self._market.fix(symbol, path, now)

        self._accounts.change_prices(set(steps), change, now)

    def _delete_one(self, method: str, rest: str) -> None:
        if rest.count("/") != 1:
            raise EndpointNotFoundError
        if method != "DELETE":
            raise MethodNotAllowedError(["DELETE"])
        self._free([_listed(unquote(rest[1:]))])

    def _free(self, symbols: list[str]) -> None:
        now = self._clock.begin_change()

        def change() -> None:
            for symbol in symbols:
                self._market.free(symbol, now)

        self._accounts.change_prices(set(symbols), change, now)


def _read(body: bytes) -> dict[str, object]:
    wanted = read_json_object(body)
    if wanted is None:
        raise ApiError(400, 'the body is an object of prices by symbol, as in {"AAPL": "270.00"}')
    return {_listed(symbol): value for symbol, value in wanted.items()}


def _listed(symbol: str) -> str:
    asset = find_asset(symbol)
    if asset is None or asset.is_delisted:
        raise ApiError(400, f"{symbol}: the sandbox lists no such symbol; GET /v2/assets has them all")
    return asset.symbol


def _steps(symbol: str, value: object, now: int) -> list[Step] | None:
    """Returns None for a halt."""
    if value == HALTED:
        return None
    if not isinstance(value, list):
        return [(now, _dollars(symbol, value))]
    pairs = cast("list[object]", value)
    if not 1 <= len(pairs) <= MOST_STEPS:
        raise ApiError(400, f"{symbol}: a path has from 1 to {MOST_STEPS:,} steps")
    return [_step(symbol, pair) for pair in pairs]


def _step(symbol: str, pair: object) -> Step:
    parts = cast("list[object]", pair) if isinstance(pair, list) else []
    if len(parts) != len(("time", "price")) or not isinstance(parts[0], str):
        raise ApiError(400, f'{symbol}: a step is a time and a price, as in ["2026-11-24T10:05-05:00", "271"]')
    try:
        at = as_timestamp("time", parts[0])
    except ApiError as error:
        raise ApiError(400, f"{symbol}: {error}") from None
    return at, _dollars(symbol, parts[1])


def _dollars(symbol: str, value: object) -> Decimal:
    try:
        dollars = Decimal(value) if isinstance(value, str | Decimal) else Decimal("NaN")
    except DecimalException:
        dollars = Decimal("NaN")
    if not dollars.is_finite() or not 0 < dollars <= _HIGHEST:
        raise ApiError(400, f"{symbol}: a price is above 0 and at most {_HIGHEST:,}")
    if -cast("int", dollars.as_tuple().exponent) > _MOST_DECIMALS:
        raise ApiError(400, f"{symbol}: a price has at most {_MOST_DECIMALS} decimals")
    return dollars


def _document(market: Market, now: int) -> Document:
    return {symbol: _value(steps, now) for symbol, steps in market.touched(now).items()}


def _value(steps: list[Step] | None, now: int) -> object:
    if steps is None:
        return HALTED
    if len(steps) == 1 and steps[0][0] <= now and steps[0][1] is not None:
        return format_amount(steps[0][1])
    return [[format_timestamp(at), None if dollars is None else format_amount(dollars)] for at, dollars in steps]
