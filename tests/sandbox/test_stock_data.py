"""/v2/stocks: the shapes of bars, trades, quotes, auctions and snapshots, and what is refused."""

from decimal import Decimal
from typing import Any

import pytest

from tests.sandbox.data_asking import DataCaller
from tests.sandbox.judges import judge_of_data


def test_a_bar_has_alpacas_fields_and_the_start_of_its_interval() -> None:
    caller = DataCaller()
    bar = caller.bars("AAPL", "1Min", "2026-11-20T14:30:00Z", "2026-11-20T14:30:00Z")[0]
    assert list(bar) == ["t", "o", "h", "l", "c", "v", "n", "vw"]
    assert bar["t"] == "2026-11-20T14:30:00Z"
    assert Decimal(str(bar["o"])) == caller.price("AAPL", "2026-11-20T14:30:00Z")
    assert Decimal(str(bar["c"])) == caller.price("AAPL", "2026-11-20T14:30:59Z", seconds=0.9)
    assert isinstance(bar["v"], int)


_RANGE = {"start": "2026-11-19", "end": "2026-11-20", "limit": 5}


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/v2/stocks/bars", {"timeframe": "1Day", **_RANGE}),
        ("/v2/stocks/trades", _RANGE),
        ("/v2/stocks/quotes", _RANGE),
        ("/v2/stocks/auctions", _RANGE),
        ("/v2/stocks/bars/latest", {}),
        ("/v2/stocks/trades/latest", {"feed": "delayed_sip"}),
        ("/v2/stocks/quotes/latest", {"feed": "iex", "currency": "USD"}),
        ("/v2/stocks/snapshots", {}),
    ],
)
def test_the_responses_match_the_openapi_document(
    official_data: dict[str, Any], path: str, query: dict[str, Any]
) -> None:
    several = DataCaller().get(path, symbols="AAPL,KO,ZZZZ", **query)
    judge_of_data(official_data, path).validate(several)
    by_symbol = next(iter(several.values())) if path != "/v2/stocks/snapshots" else several
    assert by_symbol.keys() <= {"AAPL", "KO"}
    assert by_symbol
    of_one = path.replace("/v2/stocks", "/v2/stocks/AAPL").replace("snapshots", "snapshot")
    one = DataCaller().get(of_one, **query)
    judge_of_data(official_data, of_one.replace("AAPL", "{symbol}")).validate(one)
    assert one["symbol"] == "AAPL"
    assert one.get("currency") == query.get("currency")


def test_the_codes_that_are_sent_are_in_the_tables() -> None:
    caller = DataCaller()
    exchanges = caller.get("/v2/stocks/meta/exchanges")
    for symbol in ("AAPL", "KO", "SPY", "NAK"):
        trade = caller.get(f"/v2/stocks/{symbol}/trades/latest")["trade"]
        quote = caller.get(f"/v2/stocks/{symbol}/quotes/latest", feed="iex")["quote"]
        assert {trade["x"], quote["bx"], quote["ax"]} <= exchanges.keys()
        assert set(trade["c"]) <= caller.get("/v2/stocks/meta/conditions/trade", tape=trade["z"]).keys()
        assert set(quote["c"]) <= caller.get("/v2/stocks/meta/conditions/quote", tape=quote["z"]).keys()
        assert quote["bx"] == "V"


def test_unknown_symbols_are_left_out_of_maps_and_null_on_their_own_path() -> None:
    caller = DataCaller()
    asked = {"timeframe": "1Day", "start": "2026-11-02"}
    assert caller.get("/v2/stocks/bars", symbols="ZZZZ", **asked) == {"bars": {}, "next_page_token": None}
    assert caller.get("/v2/stocks/ZZZZ/bars", **asked) == {"symbol": "ZZZZ", "bars": None, "next_page_token": None}
    assert caller.get("/v2/stocks/trades/latest", symbols="ZZZZ,TWTR") == {"trades": {}}
    assert caller.get("/v2/stocks/snapshots", symbols="ZZZZ") == {}
    assert caller.ask("/v2/stocks/ZZZZ/trades/latest") == (404, {"message": "no trade found for ZZZZ"})
    assert caller.ask("/v2/stocks/ZZZZ/snapshot") == (404, {"message": "no snapshot found for ZZZZ"})


def test_nothing_is_found_before_the_history_begins_and_in_the_future() -> None:
    caller = DataCaller()
    for start, end in (("1999-01-04", "2015-12-31"), ("2027-01-04", "2027-02-01")):
        assert caller.bars("AAPL", "1Day", start, end) == []
    assert caller.get("/v2/stocks/AAPL/bars", timeframe="1Day", start="2030-01-01")["bars"] is None


_BARS: dict[str, object] = {"symbols": "AAPL", "timeframe": "1Day"}


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"symbols": ""}, "Invalid format for parameter symbols: query parameter 'symbols' is required"),
        ({"timeframe": ""}, "Invalid format for parameter timeframe: query parameter 'timeframe' is required"),
        ({"symbols": "AAPL,CSP1"}, "invalid symbol: CSP1"),
        ({"symbols": "aapl"}, "invalid symbol: aapl"),
        ({"timeframe": "30Sec"}, "invalid timeframe: 30Sec"),
        ({"start": "2026-11-20", "end": "2026-11-19"}, "end should not be before start"),
        ({"start": "x"}, "Invalid format for parameter start: error parsing 'x' as RFC3339 or 2006-01-02 time"),
        ({"limit": "10001"}, "invalid limit: 10001 (must be from 1 to 10000)"),
        ({"limit": "0"}, "invalid limit: 0 (must be from 1 to 10000)"),
        ({"limit": "ten"}, "invalid limit: ten (must be from 1 to 10000)"),
        ({"feed": "delayed_sip"}, "invalid feed: delayed_sip"),
        ({"sort": "up"}, "invalid sort: up"),
        ({"adjustment": "split,half"}, "invalid adjustment: half"),
        (
            {"asof": "yesterday"},
            "Invalid format for parameter asof: error parsing 'yesterday' as RFC3339 or 2006-01-02 time",
        ),
        ({"currency": "dollars"}, "invalid currency: dollars"),
        ({"currency": "EUR"}, "invalid currency: EUR (the sandbox's prices are in USD)"),
        ({"page_token": "%%%"}, "invalid page_token: take it from next_page_token of the previous page"),
        ({"page_token": "QUFQTA=="}, "invalid page_token: take it from next_page_token of the previous page"),
    ],
    ids=str,
)
def test_a_bad_parameter_is_a_400_with_a_message_only(query: dict[str, object], message: str) -> None:
    assert DataCaller().refusal("/v2/stocks/bars", **_BARS | query) == message


@pytest.mark.parametrize(
    "written", ["2026-13-01", "2026-11-20T12:00:00", "2026-11-20T25:00:00Z", "1700000000", "0001-01-01", "9999-01-01"]
)
def test_a_time_is_rfc_3339_or_a_date(written: str) -> None:
    assert written in DataCaller().refusal("/v2/stocks/bars", **_BARS, start=written)


@pytest.mark.parametrize(
    "written",
    [
        "2026-11-20T14:30:00Z",
        "2026-11-20T09:30:00-05:00",
        "2026-11-20T14:30:00.000000000Z",
        "2026-11-20t14:30:00 00:00",
    ],
)
def test_a_time_may_be_written_in_several_ways(written: str) -> None:
    assert DataCaller().bars("AAPL", "1Min", written)[0]["t"] == "2026-11-20T14:30:00Z"


@pytest.mark.parametrize("adjustment", ["raw", "all", "split,dividend,spin-off"])
@pytest.mark.parametrize("asof", ["-", "2026-01-02"])
@pytest.mark.parametrize("feed", ["sip", "iex", "otc", "boats"])
def test_adjustment_name_date_and_feed_change_no_bar(adjustment: str, asof: str, feed: str) -> None:
    caller = DataCaller()
    asked = {"adjustment": adjustment, "asof": asof, "feed": feed}
    assert caller.bars("KO", "1Day", "2026-11-02", **asked) == caller.bars("KO", "1Day", "2026-11-02")


def test_the_closing_auction_comes_with_the_close() -> None:
    for at, prices in (("09:29:59", []), ("09:30:00", [1, 0]), ("15:59:59", [1, 0]), ("16:00:00", [1, 1])):
        asked = {"start": "2026-11-20T14:30:00Z", "end": "2026-11-20T21:00:00Z"}
        caller = DataCaller(at=f"2026-11-20T{at}-05:00")
        found: list[Any] = caller.get("/v2/stocks/KO/auctions", **asked)["auctions"] or []
        assert [len(day[side]) for day in found for side in "oc"] == prices
