"""Every method of Alpaca's SDK for Python that reads market data works, unmodified."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from corral_sandbox import Sandbox, secret_of, serve_sandbox
from tests.sandbox.judges import of_the_sdk
from tests.sandbox.people import ALICE, ALICE_LIVE, nanoseconds
from tests.sdk_streams import running

_NOON = "2026-11-20T12:00:00-05:00"  # a Friday
_NOON_UTC = datetime.fromisoformat(_NOON).astimezone(UTC)
_OPENING = datetime(2026, 11, 20, 14, 30, tzinfo=UTC)
_CALL = "AAPL261218C00250000"

pytestmark = of_the_sdk


@pytest.fixture(scope="module")
async def noon() -> AsyncIterator[Sandbox]:
    """A sandbox at noon of a trading day."""
    async with serve_sandbox(port=0, rate_limit_per_minute=0, clock=lambda: nanoseconds(_NOON)) as running:
        yield running


def _client(kind: Any, url: str, *keys: str, **options: Any) -> Any:  # noqa: ANN401 - the SDK's classes
    return kind(*keys, url_override=url, **options)


_ALICES = (ALICE, secret_of(ALICE))


async def _call(client: Any, method: str, *arguments: object) -> Any:  # noqa: ANN401 - the SDK's classes
    try:
        return await asyncio.to_thread(getattr(client, method), *arguments)
    finally:
        client._session.close()


def _days(**others: object) -> dict[str, Any]:
    return {"symbol_or_symbols": ["AAPL", "KO"], "start": _OPENING - timedelta(days=30), **others}


@pytest.mark.parametrize("prefix", ["", "/paper", "/live"])
async def test_bars_of_stocks_in_each_timeframe(noon: Sandbox, prefix: str) -> None:
    from alpaca.data.enums import Adjustment, DataFeed
    from alpaca.data.historical import StockHistoricalDataClient
    from alpaca.data.requests import StockBarsRequest
    from alpaca.data.timeframe import TimeFrame, TimeFrameUnit

    for amount, unit in ((5, "Min"), (2, "Hour"), (1, "Day"), (1, "Week"), (3, "Month")):
        timeframe: Any = TimeFrame(amount, TimeFrameUnit(unit))
        start = datetime(2026, 1, 1, tzinfo=UTC) if unit == "Month" else _OPENING - timedelta(days=14)
        request = StockBarsRequest(
            **_days(
                start=start, timeframe=timeframe, adjustment=Adjustment.ALL, feed=DataFeed.IEX, asof="-", sort="desc"
            )
        )
        client = _client(StockHistoricalDataClient, noon.url + prefix, *_ALICES)
        bars: Any = await _call(client, "get_stock_bars", request)
        for symbol in ("AAPL", "KO"):
            assert bars[symbol]
            assert [bar.timestamp for bar in bars[symbol]] == sorted({bar.timestamp for bar in bars[symbol]})[::-1]
            assert all(
                bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high for bar in bars[symbol]
            )


async def test_the_sdk_reads_all_pages_of_minutes(noon: Sandbox) -> None:
    from alpaca.data.historical import StockHistoricalDataClient
    from alpaca.data.requests import StockBarsRequest
    from alpaca.data.timeframe import TimeFrame

    start, end = datetime(2026, 11, 9, tzinfo=UTC), datetime(2026, 11, 15, tzinfo=UTC)
    minutes: Any = TimeFrame.Minute
    request = StockBarsRequest(
        **_days(symbol_or_symbols=["AAPL", "KO", "SPY"], timeframe=minutes, start=start, end=end)
    )
    bars: Any = await _call(_client(StockHistoricalDataClient, noon.url, *_ALICES), "get_stock_bars", request)
    assert {symbol: len(bars[symbol]) for symbol in bars.data} == dict.fromkeys(("AAPL", "KO", "SPY"), 5 * 16 * 60)


async def test_trades_and_quotes_of_stocks(noon: Sandbox) -> None:
    from alpaca.data.historical import StockHistoricalDataClient
    from alpaca.data.requests import StockQuotesRequest, StockTradesRequest

    asked: Any = {"symbol_or_symbols": ["AAPL", "KO"], "start": _OPENING, "end": _OPENING + timedelta(seconds=5)}
    client = _client(StockHistoricalDataClient, noon.url, *_ALICES)
    trades: Any = await _call(client, "get_stock_trades", StockTradesRequest(**asked))
    quotes: Any = await _call(client, "get_stock_quotes", StockQuotesRequest(**asked, limit=60))
    assert {symbol: len(found) for symbol, found in trades.data.items()} == {"AAPL": 51, "KO": 51}
    assert {symbol: len(found) for symbol, found in quotes.data.items()} == {"AAPL": 51, "KO": 9}
    for trade, quote in zip(trades["AAPL"], quotes["AAPL"], strict=True):
        assert quote.bid_price < trade.price < quote.ask_price


async def test_the_latest_of_stocks_and_snapshots(noon: Sandbox) -> None:
    from alpaca.data import requests as ask
    from alpaca.data.historical import StockHistoricalDataClient

    client = _client(StockHistoricalDataClient, noon.url, *_ALICES)
    asked: Any = {"symbol_or_symbols": ["AAPL", "KO"]}
    trades: Any = await _call(client, "get_stock_latest_trade", ask.StockLatestTradeRequest(**asked))
    quotes: Any = await _call(client, "get_stock_latest_quote", ask.StockLatestQuoteRequest(**asked))
    bars: Any = await _call(client, "get_stock_latest_bar", ask.StockLatestBarRequest(**asked))
    snapshots: Any = await _call(client, "get_stock_snapshot", ask.StockSnapshotRequest(**asked))
    for symbol in ("AAPL", "KO"):
        snapshot = snapshots[symbol]
        assert snapshot.latest_trade == trades[symbol]
        assert snapshot.latest_quote == quotes[symbol]
        assert snapshot.minute_bar == bars[symbol]
        assert snapshot.minute_bar.close == snapshot.daily_bar.close == trades[symbol].price
        assert snapshot.previous_daily_bar.timestamp < snapshot.daily_bar.timestamp


async def test_every_method_for_coins_without_keys(noon: Sandbox) -> None:
    from alpaca.data import requests as ask
    from alpaca.data.historical import CryptoHistoricalDataClient
    from alpaca.data.timeframe import TimeFrame

    client = _client(CryptoHistoricalDataClient, noon.url)
    coins: Any = {"symbol_or_symbols": ["BTC/USD", "DOGE/USD"]}
    timed: Any = {**coins, "start": _NOON_UTC - timedelta(seconds=2), "end": _NOON_UTC}
    days: Any = TimeFrame.Day
    found: list[Any] = [
        await _call(client, "get_crypto_bars", ask.CryptoBarsRequest(**_days(**coins, timeframe=days))),
        await _call(client, "get_crypto_trades", ask.CryptoTradesRequest(**timed)),
        await _call(client, "get_crypto_quotes", ask.CryptoQuoteRequest(**timed)),
        await _call(client, "get_crypto_latest_bar", ask.CryptoLatestBarRequest(**coins)),
        await _call(client, "get_crypto_latest_trade", ask.CryptoLatestTradeRequest(**coins)),
        await _call(client, "get_crypto_latest_quote", ask.CryptoLatestQuoteRequest(**coins)),
        await _call(client, "get_crypto_latest_orderbook", ask.CryptoLatestOrderbookRequest(**coins)),
        await _call(client, "get_crypto_snapshot", ask.CryptoSnapshotRequest(**coins)),
    ]
    assert all(each[symbol] for each in found for symbol in ("BTC/USD", "DOGE/USD"))
    bars, trades, _, _, trade, quote, book, snapshot = (each["BTC/USD"] for each in found)
    assert len(bars) == 30
    assert trades[-1] == trade == snapshot.latest_trade
    assert (book.bids[0].price, book.asks[0].price) == (quote.bid_price, quote.ask_price)
    assert trade.id > 2**53


async def test_every_method_for_options(noon: Sandbox) -> None:
    from alpaca.data import requests as ask
    from alpaca.data.historical import OptionHistoricalDataClient
    from alpaca.data.timeframe import TimeFrame

    client = _client(OptionHistoricalDataClient, noon.url, *_ALICES)
    calls: Any = {"symbol_or_symbols": [_CALL]}
    days: Any = TimeFrame.Day
    timed: Any = {**calls, "start": _NOON_UTC - timedelta(seconds=2), "end": _NOON_UTC}
    bars: Any = await _call(client, "get_option_bars", ask.OptionBarsRequest(**_days(**calls, timeframe=days)))
    trades: Any = await _call(client, "get_option_trades", ask.OptionTradesRequest(**timed))
    trade: Any = await _call(client, "get_option_latest_trade", ask.OptionLatestTradeRequest(**calls))
    quote: Any = await _call(client, "get_option_latest_quote", ask.OptionLatestQuoteRequest(**calls))
    snapshots: Any = await _call(client, "get_option_snapshot", ask.OptionSnapshotRequest(**calls))
    exchanges: Any = await _call(client, "get_option_exchange_codes")
    assert bars[_CALL]
    assert trades[_CALL][-1] == trade[_CALL] == snapshots[_CALL].latest_trade
    assert quote[_CALL].bid_price < trade[_CALL].price < quote[_CALL].ask_price
    assert trade[_CALL].exchange in exchanges
    assert 0 < snapshots[_CALL].greeks.delta < 1


async def test_the_option_chain_with_its_filters(noon: Sandbox) -> None:
    from alpaca.data.historical import OptionHistoricalDataClient
    from alpaca.data.requests import OptionChainRequest
    from alpaca.trading.enums import ContractType

    client = _client(OptionHistoricalDataClient, noon.url, *_ALICES)
    request = OptionChainRequest(
        underlying_symbol="AAPL",
        type=ContractType.CALL,
        strike_price_gte=240.0,
        strike_price_lte=250.0,
        expiration_date=date(2026, 12, 18),
        root_symbol="AAPL",
        updated_since=_OPENING,
    )
    chain: Any = await _call(client, "get_option_chain", request)
    assert list(chain) == [f"AAPL261218C00{strike}000" for strike in (240, 245, 250)]
    everything: Any = await _call(client, "get_option_chain", OptionChainRequest(underlying_symbol="KO"))
    assert len(everything) > 500
    assert list(everything) == sorted(everything)


async def test_corporate_actions(noon: Sandbox) -> None:
    from alpaca.data.enums import CorporateActionsType
    from alpaca.data.historical.corporate_actions import CorporateActionsClient
    from alpaca.data.requests import CorporateActionsRequest

    client = _client(CorporateActionsClient, noon.url, *_ALICES)
    year: Any = {"start": date(2026, 1, 1), "end": date(2026, 12, 31)}
    found: Any = await _call(client, "get_corporate_actions", CorporateActionsRequest(**year))
    assert {len(actions) > 0 for actions in found.data.values()} == {True}
    assert {"cash_dividends", "forward_splits"} == set(found.data)
    types = [CorporateActionsType.CASH_DIVIDEND]
    request = CorporateActionsRequest(**year, symbols=["KO"], types=types)
    of_ko: Any = await _call(client, "get_corporate_actions", request)
    assert {dividend.symbol for dividend in of_ko["cash_dividends"]} == {"KO"}
    by_id = CorporateActionsRequest(ids=[str(of_ko["cash_dividends"][0].id)])
    one: Any = await _call(client, "get_corporate_actions", by_id)
    assert one["cash_dividends"] == of_ko["cash_dividends"][:1]


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning")  # its own defaults are of another type
async def test_news_and_the_screener_are_well_formed_and_empty(noon: Sandbox) -> None:
    from alpaca.data.enums import MarketType
    from alpaca.data.historical.news import NewsClient
    from alpaca.data.historical.screener import ScreenerClient
    from alpaca.data.requests import MarketMoversRequest, MostActivesRequest, NewsRequest

    news = _client(NewsClient, noon.url, *_ALICES)
    asked = NewsRequest(symbols="AAPL", include_content=True, exclude_contentless=False, start=_OPENING, limit=20)
    assert (await _call(news, "get_news", asked)).data == {"news": []}
    screener = _client(ScreenerClient, noon.url, *_ALICES)
    assert (await _call(screener, "get_most_actives", MostActivesRequest(top=5))).most_actives == []
    for market in MarketType:
        movers: Any = await _call(screener, "get_market_movers", MarketMoversRequest(market_type=market))
        assert (movers.gainers, movers.losers, movers.market_type) == ([], [], market)


async def test_keys_of_live_accounts_and_basic_authentication_work_too(noon: Sandbox) -> None:
    from alpaca.data.historical import StockHistoricalDataClient
    from alpaca.data.requests import StockLatestTradeRequest

    asked: Any = StockLatestTradeRequest(symbol_or_symbols="AAPL")
    with_keys = _client(StockHistoricalDataClient, noon.url, ALICE_LIVE, secret_of(ALICE_LIVE))
    basic = _client(StockHistoricalDataClient, noon.url, *_ALICES, use_basic_auth=True)
    trade = (await _call(with_keys, "get_stock_latest_trade", asked))["AAPL"]
    assert (await _call(basic, "get_stock_latest_trade", asked))["AAPL"] == trade


async def test_the_sdk_raises_its_own_error_for_a_wrong_secret_and_for_a_bad_symbol(noon: Sandbox) -> None:
    from alpaca.common.exceptions import APIError
    from alpaca.data.historical import StockHistoricalDataClient
    from alpaca.data.requests import StockLatestTradeRequest

    for secret, symbol, status, message in (
        ("wrong", "AAPL", 401, "unauthorized."),
        (secret_of(ALICE), "CSP1", 400, "invalid symbol: CSP1"),
    ):
        client = _client(StockHistoricalDataClient, noon.url, ALICE, secret)
        with pytest.raises(APIError) as refused:
            await _call(client, "get_stock_latest_trade", StockLatestTradeRequest(symbol_or_symbols=symbol))
        error: Any = refused.value
        assert (error.status_code, error.message) == (status, message)


@pytest.mark.parametrize(
    ("stream", "path", "channels", "symbol"),
    [
        ("StockDataStream", "/v2/iex", "trades quotes bars updated_bars daily_bars", "AAPL"),
        ("StockDataStream", "/v2/test", "trades quotes bars", "FAKEPACA"),
        ("CryptoDataStream", "/v1beta3/crypto/us", "trades quotes bars daily_bars orderbooks", "BTC/USD"),
        ("OptionDataStream", "/v1beta1/indicative", "trades quotes", _CALL),
        ("NewsDataStream", "/v1beta1/news", "news", "*"),
    ],
)
async def test_the_streams_of_the_sdk(stream: str, path: str, channels: str, symbol: str) -> None:
    import alpaca.data.live as clients

    now = nanoseconds(_NOON)
    async with serve_sandbox(port=0, clock=lambda: now) as sandbox:
        client: Any = getattr(clients, stream)(*_ALICES, url_override=sandbox.url.replace("http", "ws") + path)
        received: dict[str, Any] = {}
        for channel in channels.split():
            getattr(client, f"subscribe_{channel}")(_keeping(received, channel), symbol)
        async with running(client):
            expected = set(channels.split()) - {"updated_bars", "news"}
            await _until(lambda: client._running and not {"trades"} & expected - received.keys())
            now += 60_000_000_000
            await _until(lambda: expected <= received.keys())
            assert {message.symbol for message in received.values()} <= {symbol}


async def _until(is_true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not is_true():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


def _keeping(received: dict[str, Any], channel: str) -> Callable[[Any], Awaitable[None]]:
    async def keep(message: object) -> None:
        received[channel] = message

    return keep
