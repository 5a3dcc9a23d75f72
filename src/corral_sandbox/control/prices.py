"""`/_prices`: PUT fixes prices and lists new symbols, GET returns those that are fixed, DELETE goes back to the drawn
ones. GET `/_prices?all=true` returns the price of every symbol at this moment, and where it comes from.

    {"AAPL": "270.00"}                                          from now on
    {"AAPL": [["2026-11-24T10:05-05:00", "271"], …]}            stepwise, each from its time on
    {"AAPL": "halted"}                                          held, and nothing trades

A PUT merges by symbol. The price of an option follows its underlying unless it is fixed itself. Orders see a new price
at once: what it crosses is filled before the next request is answered, if the market is open.

A symbol that the sandbox does not know is listed as a new share or coin. It has no drawn price: before its first price
it has that price. DELETE removes it, unless an account uses it: then it keeps its last price until `POST /_reset`.
"""

from collections.abc import Mapping
from decimal import Decimal, DecimalException, localcontext
from typing import Final, cast
from urllib.parse import unquote

from aiohttp import web

from corral_sandbox.broker.accounts import TradingAccounts
from corral_sandbox.errors import ApiError, EndpointNotFoundError, MethodNotAllowedError
from corral_sandbox.http.requests import Document, as_timestamp, read_json_object
from corral_sandbox.market.assets import Asset, new_asset
from corral_sandbox.market.money import EXACT, ONE, format_amount
from corral_sandbox.market.option_contracts import is_occ_symbol
from corral_sandbox.market.prices import MOST_DECIMALS, Market, Step, price, step_time
from corral_sandbox.market.time import Clock, format_timestamp

HALTED: Final = "halted"
MOST_STEPS: Final = 10_000
_HIGHEST: Final = Decimal(10_000_000)


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
            elif _asks_for_all(request.rel_url.query):
                return _all_prices(self._market, self._clock.now())
            return _document(self._market, self._clock.now())

    def _put(self, body: bytes) -> None:
        wanted, present = _read(body), self._clock.now()
        paths = {self._symbol(name): _path(name, value, present) for name, value in wanted.items()}
        added = dict(_new_asset(symbol, path) for symbol, path in paths.items() if not self._is_listed(symbol))
        now = self._clock.begin_change()

        def change() -> None:
            if added:
                self._market.add_assets(added)
            for symbol, path in paths.items():
                if path is None:
                    self._market.halt(symbol, now)
                else:
                    self._market.fix(symbol, path, now)

        self._accounts.change_prices(set(paths), change, now)

    def _delete_one(self, method: str, rest: str) -> None:
        if rest.count("/") != 1:
            raise EndpointNotFoundError
        if method != "DELETE":
            raise MethodNotAllowedError(["DELETE"])
        name = unquote(rest[1:])
        symbol = self._symbol(name)
        if not self._is_listed(symbol):
            raise ApiError(400, f"{name}: the sandbox lists no such symbol; GET /v2/assets has them all")
        self._free([symbol])

    def _free(self, symbols: list[str]) -> None:
        """Frees the prices of listed symbols, and removes what a test has listed and no account uses."""
        now = self._clock.begin_change()

        def change() -> None:
            for symbol in symbols:
                self._market.free(symbol, now)

        self._accounts.change_prices(set(symbols), change, now)
        for symbol in symbols:
            if self._market.is_added(symbol) and not self._accounts.is_used(symbol):
                self._market.remove_asset(symbol)

    def _is_listed(self, symbol: str) -> bool:
        return self._market.assets.find(symbol) is not None

    def _symbol(self, name: str) -> str:
        """Returns the symbol that a name stands for: an id, or a coin's symbol without its slash."""
        asset = self._market.assets.find(name)
        if asset is not None and asset.is_delisted:
            raise ApiError(400, f"{name}: is delisted, and has no price to set")
        return name if asset is None else asset.symbol


def _asks_for_all(query: Mapping[str, str]) -> bool:
    if unknown := set(query) - {"all"}:
        raise ApiError(400, f"{min(unknown)} is not a parameter here, only all")
    if (wanted := query.get("all", "false")) not in {"true", "false"}:
        raise ApiError(400, f"all is true or false, not {wanted}")
    return wanted == "true"


def _read(body: bytes) -> dict[str, object]:
    wanted = read_json_object(body)
    if wanted is None:
        raise ApiError(400, 'the body is an object of prices by symbol, as in {"AAPL": "270.00"}')
    return dict(wanted)


def _new_asset(symbol: str, path: list[Step] | None) -> tuple[Asset, Decimal]:
    """Returns a share or coin that is not listed yet, and its first price."""
    if is_occ_symbol(symbol):
        raise ApiError(400, f"{symbol}: there is no such option; GET /v2/options/contracts lists them")
    prices = [dollars for _, dollars in sorted(path or [], key=step_time) if dollars is not None]
    first = prices[0] if prices else None
    asset = new_asset(symbol, first or ONE)
    if asset is None:
        raise ApiError(
            400,
            f"{symbol}: is not listed, and cannot be: a new share has 1 to 5 capital letters, as in ACME or ACME.B, "
            "and a new coin 3 to 10 before /USD, as in XYZ/USD",
        )
    if first is None:
        raise ApiError(400, f"{symbol}: is not listed; list it with a price first, and then halt it")
    return asset, first


def _path(symbol: str, value: object, now: int) -> list[Step] | None:
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
    if -cast("int", dollars.as_tuple().exponent) > MOST_DECIMALS:
        raise ApiError(400, f"{symbol}: a price has at most {MOST_DECIMALS} decimals")
    return dollars


def _document(market: Market, now: int) -> Document:
    return {symbol: _value(steps, now) for symbol, steps in market.touched(now).items()}


def _all_prices(market: Market, now: int) -> Document:
    """Options are there only if their own price is fixed: of those that follow their underlying there are too many."""
    touched = market.touched(now)
    listed = [asset for asset in market.assets.all() if not asset.is_delisted]
    shares_first = sorted(listed, key=lambda asset: (asset.asset_class != "us_equity", asset.symbol))
    return {
        symbol: {"price": format_amount(price(market, symbol, now)), **_state(market, symbol, touched, now)}
        for symbol in dict.fromkeys([*(asset.symbol for asset in shares_first), *touched])
    }


def _state(market: Market, symbol: str, touched: Mapping[str, list[Step] | None], now: int) -> dict[str, object]:
    """Returns what moves a price, if anything, and of a path the next step."""
    if market.is_halted(symbol):
        return {"state": HALTED}
    steps = touched.get(symbol)
    if steps is None:
        return {"state": "drawn"}
    following = [step for step in steps if step[0] > now]
    return {"state": "path", "next": _pair(following[0])} if following else {"state": "fixed"}


def _value(steps: list[Step] | None, now: int) -> object:
    if steps is None:
        return HALTED
    if len(steps) == 1 and steps[0][0] <= now and steps[0][1] is not None:
        return format_amount(steps[0][1])
    return [_pair(step) for step in steps]


def _pair(step: Step) -> list[str | None]:
    at, dollars = step
    return [format_timestamp(at), None if dollars is None else format_amount(dollars)]
