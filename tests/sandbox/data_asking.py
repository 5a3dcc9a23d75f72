"""Market data without sockets, at a time that a test sets."""

from collections.abc import Coroutine
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import orjson

from corral_sandbox.http.requests import Response
from corral_sandbox.market.prices import Market, price
from corral_sandbox.market.time import SECOND, Clock
from corral_sandbox.market_data_api import DATA_ROUTES, MarketDataApi
from tests.sandbox.people import ALICE, keys_of, nanoseconds

FRIDAY_NOON = "2026-11-20T12:00:00-05:00"


def _result(work: Coroutine[Any, Any, Response]) -> Response:
    """Runs what only gives way, without an event loop."""
    while True:
        try:
            work.send(None)
        except StopIteration as done:
            return done.value


class DataCaller:
    def __init__(self, *, at: str = FRIDAY_NOON, seed: int = 0, key_id: str | None = ALICE) -> None:
        self.now = nanoseconds(at)
        self.seed = seed
        self._headers = keys_of(key_id) if key_id else {}
        self._api = MarketDataApi(market=Market(seed), rate_limit_per_minute=0, clock=Clock(real=lambda: self.now))

    def ask(self, path: str, **query: object) -> tuple[int, Any]:
        """Returns the status and the document."""
        response = _result(self._api.handle("GET", DATA_ROUTES.find(path), self._headers, urlencode(query)))
        return response.status, orjson.loads(response.to_bytes())

    def get(self, path: str, **query: object) -> Any:  # noqa: ANN401 - JSON
        status, document = self.ask(path, **query)
        assert status == 200, document
        return document

    def refusal(self, path: str, **query: object) -> str:
        status, document = self.ask(path, **query)
        assert status == 400, document
        assert list(document) == ["message"]
        return document["message"]

    def pages(self, path: str, name: str, **query: object) -> list[Any]:
        """Returns the lists or maps of all pages."""
        found: list[Any] = []
        token: dict[str, object] = {}
        while True:
            document = self.get(path, **query, **token)
            found.append(document[name])
            if document["next_page_token"] is None:
                return found
            token = {"page_token": document["next_page_token"]}

    def bars(self, symbol: str, timeframe: str, start: str, end: str | None = None, **query: object) -> list[Any]:
        """Returns all bars of a symbol; of shares, coins or options as the symbol says."""
        path = _BARS[bool("/" in symbol) + 2 * (len(symbol) > 14)]
        ends = {} if end is None else {"end": end}
        asked = {"symbols": symbol, "timeframe": timeframe, "start": start, **ends, "limit": 10_000, **query}
        return [bar for page in self.pages(path, "bars", **asked) for bar in page.get(symbol, [])]

    def price(self, symbol: str, at: str | None = None, *, seconds: float = 0) -> Decimal:
        """Returns the price at a time, or now, and `seconds` later."""
        return price(Market(self.seed), symbol, (nanoseconds(at) if at else self.now) + int(seconds * SECOND))


_BARS = ("/v2/stocks/bars", "/v1beta3/crypto/us/bars", "/v1beta1/options/bars")
