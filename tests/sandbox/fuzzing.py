"""Alpaca's OpenAPI documents, as Schemathesis asks the sandbox by them, and Schemathesis.

A document is changed in three ways. Its mistakes are mended, each with a reason (`_mend`). Any 4XX is allowed, for the
documents name few refusals: what is judged are answers of 2XX, and that there is none of 5XX. And where a parameter or
field has a meaning, it gets values that the sandbox knows, for random text would only be refused.
"""

import asyncio
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, Final

Json = dict[str, Any]
Known = dict[str, list[Any]]

TRADING: Final = "trading-api.json"
MARKET_DATA: Final = "market-data-api.json"

# Not asked: a stream has no end.
STREAMS: Final = ("/v2beta1/events/activities",)

_METHODS: Final = ("get", "post", "put", "patch", "delete")  # in the order in which they are tried: deleting comes last

_CALL, _HIGHER_CALL, _PUT = "NVDA261218C00180000", "NVDA261218C00190000", "NVDA261218P00170000"
_HELD: Final = ("AAPL", "KO", "BTC/USD", "NVDA", _CALL, _PUT)


def _order(symbol: str, qty: str, kind: str = "market", side: str = "buy", **more: object) -> Json:
    return {"symbol": symbol, "qty": qty, "side": side, "type": kind, "time_in_force": "gtc", **more}


def _spread(**more: object) -> Json:
    legs = [
        {"symbol": _CALL, "ratio_qty": "1", "side": "buy", "position_intent": "buy_to_open"},
        {"symbol": _HIGHER_CALL, "ratio_qty": "1", "side": "sell", "position_intent": "sell_to_open"},
    ]
    return {"qty": "1", "time_in_force": "day", "order_class": "mleg", "legs": legs, **more}


_EXITS: Final = {"take_profit": {"limit_price": "900"}, "stop_loss": {"stop_price": "3", "limit_price": "2.9"}}
# None is filled at once, so that all of them are open.
_OPEN_ORDERS: Final = [
    _order("AAPL", "10", "limit", "sell", limit_price="900"),
    _order("AAPL", "10", "stop", "sell", stop_price="10"),
    _order("AAPL", "10", "trailing_stop", "sell", trail_percent="50"),
    {**_order("AAPL", "10", "limit", "sell", order_class="oco"), **_EXITS},
    _order("MSFT", "10", "stop_limit", stop_price="900", limit_price="901"),
    {**_order("MSFT", "10", "limit", limit_price="5", order_class="bracket"), **_EXITS},
    {**_order("KO", "10", "limit", limit_price="5", order_class="oto"), "stop_loss": {"stop_price": "3"}},
    _order("ETH/USD", "0.1", "limit", limit_price="21"),
    _order(_CALL, "1", "limit", "sell", limit_price="500", time_in_force="day"),
    _spread(type="limit", limit_price="0.01"),
]
_ORDERS: Final = [
    *_OPEN_ORDERS,
    _order("MSFT", "1", time_in_force="day"),
    _order("MSFT", "2.5", time_in_force="day"),
    {**_order("MSFT", "1", time_in_force="day"), "qty": None, "notional": "100"},
    _order("MSFT", "1", "limit", limit_price="5", extended_hours=True, time_in_force="day"),
    _order("MSFT", "1", "trailing_stop", trail_price="5"),
    _order("MSFT", "1", time_in_force="cls"),
    _order("MSFT", "1", time_in_force="fok"),
    _order("MSFT", "1", time_in_force="ioc", side="sell"),
    _order("BTC/USD", "0.01"),
    _order("BTCUSD", "0.01", side="sell", time_in_force="ioc"),
    _order("DOGE/USD", "1000000"),
    _order(_PUT, "1", time_in_force="day"),
    _spread(type="market"),
]
_CHANGES: Final[list[Json]] = [
    {"qty": "9"},
    {"limit_price": "5.5"},
    {"qty": "8", "client_order_id": "changed"},
    {"stop_price": "9.5"},
    {"trail": "40"},
]
_BODIES: Final = {"postOrder": _ORDERS, "patchOrderByOrderId": _CHANGES}
# An account that holds something of every kind, and has open orders of every kind.
ACCOUNT: Final[Json] = {
    "cash": "500000",
    "positions": [
        {"symbol": "AAPL", "qty": "250"},
        {"symbol": "KO", "qty": "-40"},
        {"symbol": "NVDA", "qty": "100.5"},
        {"symbol": "BTC/USD", "qty": "0.5"},
        {"symbol": _CALL, "qty": "2"},
        {"symbol": _PUT, "qty": "-1"},
    ],
    "orders": _OPEN_ORDERS,
    "watchlists": [{"name": name, "symbols": ["AAPL", "BTC/USD"]} for name in ("mine", "long", "short")],
}

_QUANTITIES = ["1", "2.5", "100", "0.000000001"]
_PRICES = ["5", "250.01", "1000"]
_MOMENTS = ["2026-11-24T14:59:00Z", "2026-11-20T09:30:00-05:00", "2026-11-23", "2016-01-04"]
_DATES = ["2026-11-24", "2026-12-18"]
_SYMBOLS = ["MSFT", "GME", "TWTR", *_HELD]
# By the name of a parameter or field, whatever the operation.
_KNOWN: Final[Known] = {
    "symbol": _SYMBOLS,
    "symbol_or_asset_id": _SYMBOLS,
    "symbol_or_contract_id": [_CALL, _PUT],
    "symbol_or_id": [_CALL, _PUT],
    "underlying_symbol": ["AAPL", "NVDA"],
    "underlying_symbols": ["AAPL", "NVDA,KO"],
    "root_symbol": ["NVDA"],
    "qty": _QUANTITIES,
    "limit_price": _PRICES,
    "stop_price": _PRICES,
    "trail": _PRICES,
    "start": _MOMENTS,
    "end": ["2026-11-24T15:00:00Z", "2026-11-25"],
    "after": _MOMENTS,
    "until": ["2026-11-24T15:00:00Z", "2026-11-25"],
    "since": _MOMENTS,
    "date": _DATES,
    "expiration_date": _DATES,
    "expiration_date_gte": _DATES,
    "expiration_date_lte": _DATES,
    "strike_price_gte": ["100", "170.5"],
    "strike_price_lte": ["180", "200.25"],
    "timeframe": ["1Min", "15Min", "1Hour", "1Day", "1Week", "12Month", "1H", "1D"],
    "period": ["1D", "3W", "1M", "1A"],
    "limit": ["1", "2", "20"],
    "page_size": ["1", "2"],
    "percentage": ["50", "33.3", "100"],
    "activity_type": ["FILL", "CSD", "CFEE", "OPEXC"],
    "exchange": ["NASDAQ", "CRYPTO"],
    "status": ["active", "inactive"],
    "asset_class": ["us_equity", "crypto", "us_option"],
    "market": ["NYSE", "NASDAQ"],
    "markets": ["NYSE", "NYSE,LSE"],
    "name": ["mine", "yours", "long"],
    "currency": ["USD"],
    "asof": ["2026-11-20", "-"],
    "adjustment": ["raw", "split,dividend"],
    "types": ["cash_dividend", "forward_split,cash_dividend"],
    "isins": ["US912797KJ59"],
}
_SYMBOLS_BELOW: Final = {
    "/v1beta3/": ["BTC/USD", "ETH/USD,DOGE/USD"],
    "/v1beta1/options": [_CALL, f"{_CALL},{_PUT}"],
    "/v2/orders": ["KO,BTC/USD", "BTCUSD"],
    "": ["AAPL", "KO,TWTR,NAK"],
}
_SYMBOL_BELOW: Final = {"/v2/stocks/": ["AAPL", "NAK", "TWTR"], "": _SYMBOLS}


def document_for_fuzzing(document: Json, known: Known | None = None) -> Json:
    """Returns a changed copy. With `known`, parameters and fields have the values that the sandbox knows, and those of
    `known`, by their names, such as the ids of orders; without, any that the document allows.
    """
    document = deepcopy(document)
    _mend(document)
    document.pop("security", None)  # the keys are sent with every request
    for path, operation in _operations(document):
        operation.pop("security", None)
        operation["responses"]["4XX"] = {"description": "A refusal."}
        if known is not None:
            _use_known_values(document, path, operation, known)
    document["paths"] = {
        path: {method: operations[method] for method in _METHODS if method in operations}
        for path, operations in sorted(document["paths"].items(), key=_place_in_line)
        if path not in STREAMS
    }
    return document


def _place_in_line(named: tuple[str, Json]) -> tuple[bool, int]:
    """What cancels, closes or suspends everything comes last, and before it longer paths: an order before the list."""
    path, _ = named
    return path in {"/v2/account/configurations", "/v2/orders", "/v2/positions"}, -len(path)


def _mend(document: Json) -> None:
    """Mends the mistakes of Alpaca's own documents."""
    schemas = document["components"]["schemas"]
    for name in (
        "stock_auctions_resp_single",
        "stock_bars_resp_single",
        "stock_quotes_resp_single",
        "stock_trades_resp_single",
    ):
        if name in schemas:
            # Alpaca's answer about one symbol has null where nothing is found: programs were seen to stumble over it.
            listed = schemas[name]["properties"]
            kind = name.split("_")[1]
            listed[kind] = {"anyOf": [listed[kind], {"type": "null"}]}
    for name in ("Order", "OrderLeg"):
        if name in schemas:
            schemas[name] = _with_orders_of_several_options(schemas[name])
    if "PositionClosedResponse" in schemas:
        # A position that cannot be closed has the refusal as its `body`: FailedClosePositionDetails in alpaca-py.
        closed = schemas["PositionClosedResponse"]["properties"]
        closed["body"] = {"anyOf": [closed["body"], _FAILED_CLOSE]}
    one_type = document["paths"].get("/v2/account/activities/{activity_type}")
    if one_type:
        # It wants one of two forms, neither of which requires a field, so that everything is both.
        items = one_type["get"]["responses"]["200"]["content"]["application/json"]["schema"]["items"]
        items["anyOf"] = items.pop("oneOf")


def _with_orders_of_several_options(order: Json) -> Json:
    """Alpaca's own example of such an order has "" where the document wants one of some values."""
    empty = {
        name: {"anyOf": [{"const": ""}, order["properties"][name]]}
        for name in ("asset_id", "asset_class", "side", "type", "symbol")
    }
    properties = {**order["properties"], **empty, "order_class": {"const": "mleg"}}
    return {"anyOf": [order, {**order, "properties": properties}]}


_FAILED_CLOSE: Final = {
    "type": "object",
    "properties": {"code": {"type": "integer"}, "message": {"type": "string"}},
    "required": ["code", "message"],
}


def _operations(document: Json) -> Iterator[tuple[str, Json]]:
    for path, operations in document["paths"].items():
        shared = operations.pop("parameters", [])
        for method in _METHODS:
            if method in operations:
                operation = operations[method]
                named = [*operation.get("parameters", []), *shared]
                operation["parameters"] = [_resolved(document, parameter) for parameter in named]
                yield path, operation


def _resolved(document: Json, part: Json) -> Json:
    while "$ref" in part:
        _, kind, name = part["$ref"].removeprefix("#/").split("/")
        part = document["components"][kind][name]
    return part


def _use_known_values(document: Json, path: str, operation: Json, known: Known) -> None:
    operation["parameters"] = [
        {**parameter, "schema": _with_known_values(document, path, parameter["name"], parameter["schema"], known)}
        for parameter in operation["parameters"]
    ]
    for content in operation.get("requestBody", {}).get("content", {}).values():
        schema = _resolved(document, content["schema"])
        fields = {
            name: _with_known_values(document, path, name, field, known)
            for name, field in schema.get("properties", {}).items()
        }
        content["schema"] = {**schema, "properties": fields}
        if operation.get("operationId") in _BODIES:
            content["schema"] = {"enum": _BODIES[operation["operationId"]]}
            content.pop("examples", None)


def _with_known_values(document: Json, path: str, name: str, schema: Json, known: Known) -> Json:
    values = known.get(name) or _KNOWN.get(name, [])
    if name in {"symbols", "symbol"}:
        below = _SYMBOLS_BELOW if name == "symbols" else _SYMBOL_BELOW
        values = next(symbols for prefix, symbols in below.items() if path.startswith(prefix))
    meant = _resolved(document, schema)
    values = _DATES if meant.get("format") == "date" else values
    convert = _CONVERTED.get(str(meant.get("type")))
    if "enum" in meant:
        values = [value for value in values if value in meant["enum"]]
    if not values or convert is None:
        return schema
    return {"enum": [convert(value) for value in values]}


_CONVERTED: Final[dict[str, Callable[[str], object]]] = {
    "array": lambda text: text.split(","),
    "string": str,
    "number": float,
    "integer": lambda text: round(float(text)),
}


async def run_schemathesis(
    document: Json, url: str, headers: dict[str, str], folder: Path, options: Sequence[str] = ()
) -> str:
    """Returns what Schemathesis writes, and raises AssertionError with it unless everything has passed."""
    (folder / "openapi.json").write_text(json.dumps(document))
    (folder / "schemathesis.toml").write_text(_IN_THE_ORDER_OF_THE_DOCUMENT)
    sent = [part for name, value in headers.items() for part in ("--header", f"{name}: {value}")]
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("schemathesis"),
        *["run", "openapi.json", "--url", url, *sent, *_JUDGED, *_STEADY, *options],
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=folder,  # it leaves its notes where it runs
    )
    written, _ = await process.communicate()
    output = written.decode()
    assert process.returncode == 0, output
    assert " passed" in output
    return output


_JUDGED: Final = (
    "--checks=not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
)
_STEADY: Final = ("--continue-on-failure", "--warnings=off", "--no-color", "--request-retries=2")
_IN_THE_ORDER_OF_THE_DOCUMENT: Final = "\n".join(
    f'[phases.{phase}]\noperation-ordering = "none"' for phase in ("examples", "coverage", "fuzzing")
)
