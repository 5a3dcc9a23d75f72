"""The sandbox without sockets, and with a clock that a test turns."""

from decimal import Decimal
from typing import Any

import orjson

from corral_sandbox.market.prices import TICK, Market, price
from corral_sandbox.market.time import SECOND, Clock
from corral_sandbox.trading_api import ROUTES, TradingApi
from tests.sandbox.people import keys_of, nanoseconds

TRADER = "PKTRADER0001"  # may borrow as much again, owns GLD, nothing is forbidden to it
CASH_TRADER = "PKBOB0000001"  # may not borrow
OPTIONS_TRADER = "PKTRADER0004"  # of level 3
TUESDAY_TEN = "2026-11-24T15:00:00Z"  # 10:00 in New York, a trading day


class Broker:
    def __init__(self, key_id: str = TRADER, *, at: str = TUESDAY_TEN, seed: int = 0) -> None:
        self.now = nanoseconds(at)
        self.seed = seed
        self.api = TradingApi(
            market=Market(seed), rate_limit_per_minute=0, clock=Clock(real=lambda: self.now), characters=True
        )
        self.headers = keys_of(key_id)

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Returns the status and the document; `path` may have a query."""
        path, _, query = path.partition("?")
        answer = self.api.handle(
            "paper",
            method,
            ROUTES.find(path),
            self.headers,
            query_string=query,
            body=b"" if body is None else orjson.dumps(body),
        )
        return answer.status, orjson.loads(answer.to_bytes() or b"null")

    def get(self, path: str) -> Any:  # noqa: ANN401 - JSON
        status, document = self.ask("GET", path)
        assert status == 200, document
        return document

    def place(self, **fields: object) -> Any:  # noqa: ANN401 - JSON
        """Places an order, by default to buy at the market for the day, and returns it as accepted."""
        status, order = self.ask("POST", "/v2/orders", _with_defaults(fields))
        assert status == 200, order
        return order

    def refusal(self, **fields: object) -> tuple[int, int, str]:
        """Returns status, code and message of a rejected order."""
        status, refused = self.ask("POST", "/v2/orders", _with_defaults(fields))
        assert status != 200, refused
        return status, refused["code"], refused["message"]

    def look(self, order: Any) -> Any:  # noqa: ANN401 - JSON
        """Returns the present state of an order, with its legs."""
        return self.get(f"/v2/orders/{order['id']}?nested=true")

    def pass_time(self, *, seconds: float = 0, until: str | None = None) -> None:
        self.now = nanoseconds(until) if until else self.now + int(seconds * SECOND)

    def price(self, symbol: str) -> Decimal:
        return price(Market(self.seed), symbol, self.now)

    def first(self, symbol: str, hours: float, *, below: Decimal | None = None, above: Decimal | None = None) -> int:
        """Returns the first time, tick by tick, at which a price is at or beyond a level."""
        for at in range(self.now, self.now + int(hours * 3_600) * SECOND, TICK):
            quoted = price(Market(self.seed), symbol, at)
            if (below is not None and quoted <= below) or (above is not None and quoted >= above):
                return at
        raise AssertionError("the price does not go there")

    def held(self, symbol: str) -> Decimal:
        positions = {position["symbol"]: position for position in self.get("/v2/positions")}
        return Decimal(positions[symbol]["qty"]) if symbol in positions else Decimal()


def _with_defaults(fields: dict[str, object]) -> dict[str, object]:
    return {"symbol": "KO", "side": "buy", "type": "market", "time_in_force": "day", **fields}
