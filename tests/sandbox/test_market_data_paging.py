"""Pages of market data: the limit counts over all symbols, and the token of the next page is opaque."""

import asyncio
from typing import Any
from urllib.parse import urlencode

import pytest
from aiohttp import ClientSession

from corral_sandbox import serve_sandbox
from corral_sandbox.market import bars
from corral_sandbox.market.prices import Market, PriceSpan, price_span
from tests.sandbox.data_asking import DataCaller
from tests.sandbox.people import ALICE, keys_of

_STOCKS: dict[str, Any] = {"symbols": "KO,AAPL,ZZZZ,F", "start": "2026-11-16", "end": "2026-11-20"}
_HISTORIES: list[tuple[str, str, dict[str, Any]]] = [
    ("/v2/stocks/bars", "bars", {**_STOCKS, "timeframe": "1Day"}),
    ("/v2/stocks/bars", "bars", {**_STOCKS, "timeframe": "4Hour"}),
    ("/v2/stocks/auctions", "auctions", _STOCKS),
    ("/v2/stocks/trades", "trades", {**_STOCKS, "start": "2026-11-20T15:00:00Z", "end": "2026-11-20T15:00:00.4Z"}),
    ("/v2/stocks/quotes", "quotes", {**_STOCKS, "start": "2026-11-20T15:00:00Z", "end": "2026-11-20T15:00:00.4Z"}),
    ("/v1beta3/crypto/us/bars", "bars", {"symbols": "ETH/USD,BTC/USD", "start": "2026-11-16", "timeframe": "12Hour"}),
    ("/v1beta1/options/bars", "bars", {**_STOCKS, "symbols": "AAPL261218C00250000", "timeframe": "1Hour"}),
]


def _joined(pages: list[dict[str, list[Any]]]) -> dict[str, list[Any]]:
    whole: dict[str, list[Any]] = {}
    for page in pages:
        for symbol, items in page.items():
            whole.setdefault(symbol, []).extend(items)
    return whole


@pytest.mark.parametrize(("path", "name", "query"), _HISTORIES)
@pytest.mark.parametrize("sort", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 2, 5])
def test_pages_together_are_the_whole(path: str, name: str, query: dict[str, Any], sort: str, limit: int) -> None:
    caller = DataCaller()
    whole = caller.get(path, **query, sort=sort)
    assert whole["next_page_token"] is None
    pages = caller.pages(path, name, **query, sort=sort, limit=limit)
    assert _joined(pages) == whole[name]
    sizes = [sum(map(len, page.values())) for page in pages]
    assert set(sizes[:-1]) <= {limit}
    assert 0 < sizes[-1] <= limit


def test_symbols_come_in_the_order_of_the_alphabet_and_one_after_another() -> None:
    pages = DataCaller().pages("/v2/stocks/bars", "bars", **_STOCKS, timeframe="1Day", limit=3)
    assert [list(page) for page in pages] == [["AAPL"], ["AAPL", "F"], ["F"], ["F", "KO"], ["KO"]]


@pytest.mark.parametrize("sort", ["asc", "desc"])
def test_the_order_is_by_time(sort: str) -> None:
    stamps = [bar["t"] for bar in DataCaller().bars("AAPL", "1Min", "2026-11-18", "2026-11-20", sort=sort)]
    assert stamps == sorted(stamps, reverse=sort == "desc")


def test_start_and_end_are_included() -> None:
    exact = DataCaller().bars("AAPL", "1Min", "2026-11-20T15:00:00Z", "2026-11-20T15:02:00Z")
    assert [bar["t"][11:16] for bar in exact] == ["15:00", "15:01", "15:02"]
    later = DataCaller().bars("AAPL", "1Min", "2026-11-20T15:00:00.000000001Z", "2026-11-20T15:01:59Z")
    assert [bar["t"][11:16] for bar in later] == ["15:01"]


def test_without_start_and_end_a_history_is_that_of_today() -> None:
    caller = DataCaller()
    minutes = caller.get("/v2/stocks/AAPL/bars", timeframe="1Min", limit=10_000)["bars"]
    assert (minutes[0]["t"], minutes[-1]["t"]) == ("2026-11-20T09:00:00Z", "2026-11-20T17:00:00Z")
    assert len(caller.get("/v2/stocks/AAPL/bars", timeframe="1Day")["bars"]) == 1
    at_night = DataCaller(at="2026-11-21T12:00:00-05:00")
    assert at_night.get("/v2/stocks/AAPL/bars", timeframe="1Min")["bars"] is None


def test_a_page_has_a_thousand_items_unless_a_limit_is_named() -> None:
    page = DataCaller().get("/v2/stocks/AAPL/trades")
    assert len(page["trades"]) == 1_000
    assert page["next_page_token"]


def test_a_token_ends_the_pages_of_symbols_that_are_no_longer_asked_for() -> None:
    caller = DataCaller()
    token = caller.get("/v2/stocks/bars", **_STOCKS, timeframe="1Day", limit=1)["next_page_token"]
    asked = {**_STOCKS, "symbols": "A", "timeframe": "1Day", "page_token": token}
    assert caller.get("/v2/stocks/bars", **asked) == {"bars": {}, "next_page_token": None}


def test_a_chain_comes_in_pages() -> None:
    caller = DataCaller()
    path = "/v1beta1/options/snapshots/KO"
    asked = {"type": "call", "expiration_date_lte": "2026-12-11"}
    whole = caller.get(path, **asked, limit=1_000)
    pages = caller.pages(path, "snapshots", **asked, limit=17)
    assert {symbol: each for page in pages for symbol, each in page.items()} == whole["snapshots"]
    assert {len(page) for page in pages[:-1]} == {17}
    assert len(caller.get(path)["snapshots"]) == 100


def test_corporate_actions_come_in_pages() -> None:
    caller = DataCaller()
    asked = {"start": "2026-01-01", "end": "2026-12-31"}
    whole = caller.get("/v1/corporate-actions", **asked, limit=1_000)
    for sort in ("asc", "desc"):
        pages = caller.pages("/v1/corporate-actions", "corporate_actions", **asked, sort=sort, limit=7)
        found = _joined(pages)
        ordered = {kind: each[::-1] if sort == "desc" else each for kind, each in found.items()}
        assert ordered == whole["corporate_actions"]


def test_a_year_of_days_needs_one_look_at_prices_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def counted(market: Market, symbol: str, start: int, end: int) -> PriceSpan:
        asked.append(start)
        return price_span(market, symbol, start, end)

    monkeypatch.setattr(bars, "price_span", counted)
    assert len(DataCaller().bars("MSFT", "1Day", "2025-11-21")) == 251
    assert len(asked) == 251


async def test_a_long_page_lets_other_requests_be_answered(http: ClientSession) -> None:
    async with serve_sandbox(port=0, rate_limit_per_minute=0) as sandbox:
        page = asyncio.create_task(_status(http, f"{sandbox.url}/v2/stocks/bars?{_A_LONG_PAGE}"))
        await asyncio.sleep(0)
        answered = 0
        while not page.done():
            assert await _status(http, f"{sandbox.url}/v2/account") == 200
            answered += 1
        assert await page == 200
        assert answered >= 3  # one before it, one after it, and some between


_A_LONG_PAGE = urlencode({"symbols": "AAPL", "timeframe": "1Min", "start": "2025-11-21", "limit": 10_000})


async def _status(http: ClientSession, url: str) -> int:
    async with http.get(url, headers=keys_of(ALICE)) as answer:
        return answer.status
