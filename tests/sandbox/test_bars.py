"""Bars agree with each other, with trades, and with what accounts see: fills, positions, closing prices."""

from collections import defaultdict
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from corral_sandbox.market.prices import TICK, Market, price
from tests.sandbox.broker import OPTIONS_TRADER, TRADER, Broker
from tests.sandbox.data_asking import FRIDAY_NOON, DataCaller
from tests.sandbox.people import nanoseconds

_NEW_YORK, _CHICAGO = ZoneInfo("America/New_York"), ZoneInfo("America/Chicago")
_CALL = "AAPL261218C00250000"
_SYMBOLS = ("AAPL", "NAK", "DOGE/USD", _CALL)
_UNTIL = "2026-11-20"


def _local(bar: dict[str, Any], zone: ZoneInfo = _NEW_YORK) -> datetime:
    return datetime.fromisoformat(bar["t"]).astimezone(zone)


def _added(bars: list[dict[str, Any]], name: str) -> Decimal:
    return sum((Decimal(str(bar[name])) for bar in bars), Decimal())


@pytest.mark.parametrize("symbol", _SYMBOLS)
@pytest.mark.parametrize("timeframe", ["1Min", "7T", "59Min", "1Hour", "4H", "23Hour", "1Day", "1W", "1Month", "12M"])
def test_open_and_close_lie_between_low_and_high(symbol: str, timeframe: str) -> None:
    start = "2024-01-01" if timeframe[-1] in "hyWM" else "2026-11-19"
    bars = DataCaller().bars(symbol, timeframe, start)
    assert bars
    for bar in bars:
        assert bar["l"] <= min(bar["o"], bar["c"], bar["vw"])
        assert bar["h"] >= max(bar["o"], bar["c"], bar["vw"])
        assert bar["v"] > 0
        assert bar["n"] > 0
    assert [bar["t"] for bar in bars] == sorted({bar["t"] for bar in bars})


@pytest.mark.parametrize("symbol", _SYMBOLS)
@pytest.mark.parametrize("timeframe", ["5Min", "30Min", "1Hour", "4Hour"])
def test_longer_bars_of_a_day_are_made_of_minutes(symbol: str, timeframe: str) -> None:
    caller = DataCaller()
    minutes = caller.bars(symbol, "1Min", _UNTIL)
    for bar in caller.bars(symbol, timeframe, _UNTIL):
        length = timedelta(hours=int(timeframe[0])) if "Hour" in timeframe else timedelta(minutes=int(timeframe[:-3]))
        begins = _local(bar)
        parts = [minute for minute in minutes if begins <= _local(minute) < begins + length]
        _is_made_of(bar, parts)


def _is_made_of(whole: dict[str, Any], parts: list[dict[str, Any]]) -> None:
    assert (whole["o"], whole["c"]) == (parts[0]["o"], parts[-1]["c"])
    assert whole["h"] >= max(part["h"] for part in parts)
    assert whole["l"] <= min(part["l"] for part in parts)
    assert whole["n"] == sum(part["n"] for part in parts)
    assert Decimal(str(whole["v"])) == _added(parts, "v")


@pytest.mark.parametrize("symbol", _SYMBOLS)
def test_a_day_is_made_of_the_minutes_of_its_session_and_of_the_closing_auction(symbol: str) -> None:
    caller = DataCaller(at="2026-11-21T12:00:00-05:00")
    day = caller.bars(symbol, "1Day", _UNTIL, _UNTIL)[0]
    minutes = caller.bars(symbol, "1Min", _UNTIL, _UNTIL)
    if "/" in symbol:
        _is_made_of(day, minutes)
        return
    session = [minute for minute in minutes if "09:30" <= f"{_local(minute):%H:%M}" < "16:00"]
    assert len(session) == 390
    _is_made_of({**day, "c": session[-1]["c"]}, session)
    assert Decimal(str(day["c"])) == caller.price(symbol, "2026-11-20T16:00:00-05:00")


def test_a_day_opens_and_closes_with_its_auctions() -> None:
    caller = DataCaller(at="2026-11-21T12:00:00-05:00")
    days = caller.bars("AAPL", "1Day", "2026-10-01")
    auctions = caller.get("/v2/stocks/AAPL/auctions", start="2026-10-01")["auctions"]
    assert len(days) > 30
    for day, auction in zip(days, auctions, strict=True):
        assert (day["o"], day["c"]) == (auction["o"][0]["p"], auction["c"][0]["p"])
        assert auction["d"] == day["t"][:10]
    assert Decimal(str(days[-1]["c"])) == caller.price("AAPL", "2026-11-20T16:00:00-05:00")


@pytest.mark.parametrize("symbol", _SYMBOLS)
def test_weeks_and_months_are_made_of_days(symbol: str) -> None:
    caller = DataCaller()
    days = caller.bars(symbol, "1Day", "2026-01-01")
    zone = _CHICAGO if "/" in symbol else _NEW_YORK
    weeks, months, quarters = (defaultdict[date, list[Any]](list) for _ in range(3))
    for day in days:
        on = _local(day, zone).date()
        weeks[on - timedelta(days=on.weekday())].append(day)
        months[on.replace(day=1)].append(day)
        quarters[on.replace(day=1, month=(on.month - 1) // 3 * 3 + 1)].append(day)
    for timeframe, groups in (("1Week", weeks), ("1Month", months), ("3Month", quarters)):
        bars = {_local(bar, zone).date(): bar for bar in caller.bars(symbol, timeframe, "2026-01-01")}
        for begins, bar in bars.items():
            _is_made_of(bar, groups[begins])
            assert bar["h"] == max(day["h"] for day in groups[begins])
        assert len(bars) >= len(groups) - 1  # the week that began in December is not asked for


def test_bars_are_the_trades_of_their_time() -> None:
    caller = DataCaller()
    for minute in caller.bars("KO", "1Min", "2026-11-20T14:59:00Z", "2026-11-20T15:01:00Z"):
        asked = {"start": minute["t"], "end": minute["t"].replace(":00Z", ":59.999Z"), "limit": 10_000}
        trades = caller.get("/v2/stocks/KO/trades", **asked)["trades"]
        assert (trades[0]["p"], trades[-1]["p"], len(trades)) == (minute["o"], minute["c"], minute["n"])
        assert sum(trade["s"] for trade in trades) == minute["v"]
        assert minute["l"] <= min(trade["p"] for trade in trades)
        assert max(trade["p"] for trade in trades) <= minute["h"]
        assert min(trade["s"] for trade in trades) > 0


def test_every_price_of_a_day_lies_within_its_bars() -> None:
    """Sampled at each second: an order may be filled at any of them."""
    caller = DataCaller(at="2026-11-21T12:00:00-05:00")
    day = caller.bars("F", "1Day", _UNTIL, _UNTIL)[0]
    for minute in caller.bars("F", "1Min", "2026-11-20T14:30:00Z", "2026-11-20T20:59:00Z"):
        at = nanoseconds(minute["t"])
        prices = [float(price(Market(0), "F", at + second * 1_000_000_000)) for second in range(60)]
        assert day["l"] <= minute["l"] <= min(prices)
        assert max(prices) <= minute["h"] <= day["h"]


@pytest.mark.parametrize(
    ("day", "symbol", "first", "last", "count"),
    [
        ("2026-11-20", "AAPL", "04:00", "19:59", 960),
        ("2026-11-20", _CALL, "09:30", "15:59", 390),
        ("2026-11-20", "BTC/USD", "00:00", "23:59", 1_440),
        ("2026-11-27", "AAPL", "04:00", "16:59", 780),  # closes at one
        ("2026-11-27", _CALL, "09:30", "12:59", 210),
        ("2026-11-01", "BTC/USD", "00:00", "23:59", 1_500),  # summer time ends
        ("2026-03-08", "BTC/USD", "00:00", "23:59", 1_380),  # summer time begins
        ("2026-11-26", "AAPL", "", "", 0),  # Thanksgiving
        ("2026-11-21", _CALL, "", "", 0),
    ],
)
def test_minutes_cover_the_hours_of_a_market(day: str, symbol: str, first: str, last: str, count: int) -> None:
    bars = DataCaller(at="2026-12-01T12:00:00-05:00").bars(symbol, "1Min", day, day)
    assert len(bars) == count
    if count:
        zone = _CHICAGO if "/" in symbol else _NEW_YORK
        assert [f"{_local(bar, zone):%F %H:%M}" for bar in (bars[0], bars[-1])] == [f"{day} {first}", f"{day} {last}"]


@pytest.mark.parametrize(
    ("symbol", "stamps"),
    [
        ("AAPL", ["2026-10-30T04:00:00Z", "2026-11-02T05:00:00Z"]),
        ("BTC/USD", [f"2026-{day}:00:00Z" for day in ("10-30T05", "10-31T05", "11-01T05", "11-02T06")]),
    ],
)
def test_a_day_is_stamped_with_its_midnight(symbol: str, stamps: list[str]) -> None:
    """In New York, for coins in Chicago, in summer time and in winter time."""
    assert [bar["t"] for bar in DataCaller().bars(symbol, "1Day", "2026-10-30", "2026-11-02")] == stamps


@pytest.mark.parametrize("symbol", ["AAPL", "BTC/USD", _CALL])
@pytest.mark.parametrize("timeframe", ["1Min", "1Hour", "1Day", "1Week"])
def test_the_running_bar_ends_now(symbol: str, timeframe: str) -> None:
    caller = DataCaller(at="2026-11-20T12:00:07-05:00")
    since = "2026-11-20" if timeframe == "1Min" else "2026-11-01"
    bars = caller.bars(symbol, timeframe, since, "2026-12-31", sort="desc", limit=3)
    assert Decimal(str(bars[0]["c"])) == caller.price(symbol)
    if timeframe == "1Min":
        assert (bars[0]["t"], bars[0]["n"], bars[1]["n"]) == ("2026-11-20T17:00:00Z", 71, 600)
        assert Decimal(str(bars[0]["o"])) == caller.price(symbol, FRIDAY_NOON)


def test_the_first_bar_of_a_day_comes_with_its_opening() -> None:
    caller = DataCaller(at="2026-11-20T09:29:59-05:00")
    assert caller.bars("AAPL", "1Day", _UNTIL) == []
    assert caller.bars("AAPL", "1Min", _UNTIL)[-1]["t"] == "2026-11-20T14:29:00Z"
    caller.now += 1_000_000_000
    assert [bar["n"] for bar in caller.bars("AAPL", "1Day", _UNTIL)] == [1]


def test_a_market_order_is_filled_at_the_price_of_the_latest_trade() -> None:
    broker = Broker(OPTIONS_TRADER)
    caller = DataCaller(at="2026-11-24T10:00:00-05:00")
    for symbol, path, fields in (
        ("KO", "/v2/stocks/trades/latest", {}),
        ("ETH/USD", "/v1beta3/crypto/us/latest/trades", {"time_in_force": "gtc"}),
        (_CALL, "/v1beta1/options/trades/latest", {}),
    ):
        quantity = "0.1" if "/" in symbol else "1"
        order = broker.look(broker.place(symbol=symbol, qty=quantity, **fields))
        assert order["status"] == "filled"
        trade = caller.get(path, symbols=symbol)["trades"][symbol]
        assert Decimal(order["filled_avg_price"]) == Decimal(str(trade["p"]))
        assert nanoseconds(trade["t"]) == broker.now // TICK * TICK // 1_000_000_000 * 1_000_000_000


def test_a_limit_order_is_filled_within_the_bar_of_its_minute() -> None:
    broker = Broker(TRADER)
    limit = broker.price("KO") - Decimal("0.10")
    order = broker.place(qty="1", type="limit", limit_price=str(limit), time_in_force="gtc")
    broker.pass_time(seconds=86_400)
    filled = broker.look(order)
    assert filled["status"] == "filled"
    minute = DataCaller(at="2026-11-25T12:00:00-05:00").bars("KO", "1Min", f"{filled['filled_at'][:16]}:00Z")[0]
    assert minute["l"] <= float(filled["filled_avg_price"]) <= minute["h"]


@pytest.mark.parametrize("at", ["2026-11-24T15:00:00Z", "2026-11-28T03:00:00Z"])  # in a session, and in the night
def test_positions_have_the_prices_of_the_market_data(at: str) -> None:
    broker, caller = Broker(TRADER, at=at), DataCaller(at=at)
    for position in broker.get("/v2/positions"):
        if position["asset_class"] != "us_equity":
            continue
        snapshot = caller.get(f"/v2/stocks/{position['symbol']}/snapshot")
        assert Decimal(position["current_price"]) == Decimal(str(snapshot["latestTrade"]["p"]))
        today = datetime.fromisoformat(at).astimezone(_NEW_YORK).date().isoformat()
        days = [snapshot["dailyBar"], snapshot["prevDailyBar"]]
        last = next(day for day in days if _local(day).date().isoformat() < today)
        assert Decimal(position["lastday_price"]) == Decimal(str(last["c"]))


def test_a_contract_has_the_closing_price_of_its_last_day() -> None:
    contract = Broker().get(f"/v2/options/contracts/{_CALL}")
    bar = DataCaller(at="2026-11-24T10:00:00-05:00").bars(_CALL, "1Day", contract["close_price_date"])[0]
    assert Decimal(contract["close_price"]) == Decimal(str(bar["c"]))


def test_an_option_has_no_bars_before_it_is_listed_and_after_it_expires() -> None:
    bars = DataCaller(at="2027-06-01T12:00:00-04:00").bars(_CALL, "1Day", "2024-01-01")
    assert (bars[0]["t"][:10], bars[-1]["t"][:10]) == ("2025-12-19", "2026-12-18")


def test_two_seeds_have_two_histories_and_the_same_seed_one() -> None:
    first, again, other = (DataCaller(seed=seed).bars("AAPL", "1Day", "2026-11-01") for seed in (1, 1, 2))
    assert first == again != other
    assert all(before["v"] != after["v"] for before, after in pairwise(first))
