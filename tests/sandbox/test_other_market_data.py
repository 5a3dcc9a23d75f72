"""Market data of coins and options, corporate actions, news and screeners: shapes, filters, refusals."""

from datetime import date
from typing import Any

import pytest

from corral_sandbox.market.option_contracts import contract_of
from corral_sandbox.market.option_greeks import greeks_of
from corral_sandbox.market.prices import Market, premium, price
from corral_sandbox.market.time import DAY
from tests.sandbox.data_asking import DataCaller
from tests.sandbox.judges import judge_of_data

_CALL, _PUT = "AAPL261218C00250000", "AAPL261218P00250000"
_RANGE = {"start": "2026-11-19", "end": "2026-11-20", "limit": 5}
_COINS, _OPTIONS = {"symbols": "BTC/USD,DOGE/USD,ZZ/USD"}, {"symbols": f"{_CALL},{_PUT},AAPL261218C00250001"}


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/v1beta3/crypto/us/bars", {"timeframe": "1Day", **_RANGE, **_COINS}),
        ("/v1beta3/crypto/us-1/quotes", {**_RANGE, **_COINS}),
        ("/v1beta3/crypto/eu-1/trades", {**_RANGE, **_COINS}),
        ("/v1beta3/crypto/us/latest/bars", _COINS),
        ("/v1beta3/crypto/us/latest/orderbooks", _COINS),
        ("/v1beta3/crypto/us/latest/quotes", _COINS),
        ("/v1beta3/crypto/us/latest/trades", _COINS),
        ("/v1beta3/crypto/us/snapshots", _COINS),
        ("/v1beta1/options/bars", {"timeframe": "1Hour", **_RANGE, **_OPTIONS}),
        ("/v1beta1/options/trades", {**_RANGE, **_OPTIONS}),
        ("/v1beta1/options/quotes/latest", {"feed": "indicative", **_OPTIONS}),
        ("/v1beta1/options/trades/latest", {"feed": "opra", **_OPTIONS}),
        ("/v1beta1/options/snapshots", _OPTIONS),
        ("/v1beta1/options/snapshots/AAPL", {"strike_price_gte": "250", "expiration_date_gte": "2026-12-18"}),
        ("/v1/corporate-actions", {"start": "2026-01-01", "end": "2026-12-31"}),
        ("/v1beta1/news", {"symbols": "AAPL", "include_content": "True"}),
        ("/v1beta1/screener/stocks/most-actives", {"by": "trades", "top": "100"}),
        ("/v1beta1/screener/crypto/movers", {"top": "50"}),
        ("/v1beta1/forex/latest/rates", {"currency_pairs": "USDJPY"}),
        ("/v1beta1/forex/rates", {"currency_pairs": "USDJPY", "timeframe": "1D", "limit": "10000"}),
        ("/v1beta1/fixed_income/latest/prices", {"isins": "US912797KJ59"}),
        ("/v1beta1/fixed_income/latest/quotes", {"isins": "US912797KJ59", "trade_size": "10"}),
    ],
)
def test_the_responses_match_the_openapi_document(
    official_data: dict[str, Any], path: str, query: dict[str, Any]
) -> None:
    document = DataCaller().get(path, **query)
    described = path.replace("/us-1", "/us").replace("/eu-1", "/us").replace("/us/", "/{loc}/")
    described = described.replace("snapshots/AAPL", "snapshots/{underlying_symbol}")
    described = described.replace("crypto/movers", "{market_type}/movers").replace(
        "/v1beta3/{loc}", "/v1beta3/crypto/{loc}"
    )
    judge_of_data(official_data, described).validate(document)
    if not {"news", "last_updated", "rates", "prices"} & document.keys() and "isins" not in query:
        (name,) = document.keys() - {"next_page_token"}
        assert document[name]
        assert not {"ZZ/USD", "AAPL261218C00250001"} & document[name].keys()


def test_the_codes_of_options_are_in_the_tables() -> None:
    caller = DataCaller()
    exchanges = caller.get("/v1beta1/options/meta/exchanges")
    snapshot = caller.get("/v1beta1/options/snapshots", symbols=_CALL)["snapshots"][_CALL]
    assert {snapshot["latestTrade"]["x"], snapshot["latestQuote"]["bx"], snapshot["latestQuote"]["ax"]} <= set(
        exchanges
    )
    assert snapshot["latestTrade"]["c"] in caller.get("/v1beta1/options/meta/conditions/trade")
    assert snapshot["latestQuote"]["c"] in caller.get("/v1beta1/options/meta/conditions/quote")
    assert caller.ask("/v1beta1/options/meta/conditions/bars")[0] == 404


def test_an_order_book_has_the_best_prices_first() -> None:
    caller = DataCaller()
    book = caller.get("/v1beta3/crypto/us/latest/orderbooks", symbols="BTC/USD")["orderbooks"]["BTC/USD"]
    bids, asks = ([level["p"] for level in book[side]] for side in "ba")
    assert bids == sorted(set(bids), reverse=True)
    assert asks == sorted(set(asks))
    assert bids[0] < float(caller.price("BTC/USD")) < asks[0]
    assert all(level["s"] > 0 for level in book["a"] + book["b"])


def _chain(**query: object) -> list[str]:
    return list(DataCaller().get("/v1beta1/options/snapshots/AAPL", limit=1_000, **query)["snapshots"])


def test_the_filters_of_a_chain() -> None:
    december = _chain(expiration_date="2026-12-18", type="put", strike_price_gte="240", strike_price_lte="250.5")
    assert december == [f"AAPL261218P00{strike}000" for strike in (240, 245, 250)]
    assert {symbol[4:10] for symbol in _chain(expiration_date_lte="2026-11-27")} == {"261120", "261127"}
    assert _chain(root_symbol="AAPL1") == []
    assert _chain(updated_since="2026-11-20T17:00:01Z") == []
    assert _chain(updated_since="2026-11-20T16:00:00Z", expiration_date="2026-11-20")
    assert DataCaller().get("/v1beta1/options/snapshots/GME") == {"snapshots": {}, "next_page_token": None}


def test_a_contract_leaves_the_chain_when_it_expires() -> None:
    after_the_close = DataCaller(at="2026-11-20T16:00:00-05:00")
    assert "AAPL261120C00250000" in DataCaller().get("/v1beta1/options/snapshots/AAPL", limit=1_000)["snapshots"]
    asked = {"symbols": "AAPL261120C00250000"}
    assert after_the_close.get("/v1beta1/options/snapshots", **asked)["snapshots"] == {}
    assert after_the_close.get("/v1beta1/options/trades/latest", **asked) == {"trades": {}}
    chain = after_the_close.get("/v1beta1/options/snapshots/AAPL", expiration_date_lte="2026-11-27")["snapshots"]
    assert {symbol[4:10] for symbol in chain} == {"261127"}


def test_a_contract_has_no_greeks_on_its_last_day() -> None:
    snapshots = DataCaller().get("/v1beta1/options/snapshots", symbols=f"AAPL261120C00250000,{_CALL}")["snapshots"]
    assert {"greeks", "impliedVolatility"} <= snapshots[_CALL].keys()
    assert not {"greeks", "impliedVolatility"} & snapshots["AAPL261120C00250000"].keys()


@pytest.mark.parametrize("symbol", [_CALL, _PUT, "AAPL261218C00200000", "AAPL270319P00300000"])
def test_greeks_are_how_the_premium_changes(symbol: str) -> None:
    now, contract = DataCaller().now, contract_of(symbol)
    assert contract
    greeks = greeks_of(Market(0), contract, now)
    assert greeks
    share = price(Market(0), "AAPL", now)
    at = {moved: float(premium(contract, share + moved, now)) for moved in (-2, 0, 2)}
    assert greeks.delta == pytest.approx((at[2] - at[-2]) / 4, abs=0.01)
    assert greeks.gamma == pytest.approx((at[2] + at[-2] - 2 * at[0]) / 4, abs=0.006)
    assert greeks.theta == pytest.approx((float(premium(contract, share, now + 5 * DAY)) - at[0]) / 5, abs=0.02)
    assert greeks.vega > 0


def _actions(**query: object) -> dict[str, Any]:
    return DataCaller().get("/v1/corporate-actions", **query)["corporate_actions"]


_YEAR: dict[str, object] = {"start": "2026-01-01", "end": "2026-12-31"}


def test_corporate_actions_are_the_announcements_of_the_trading_api() -> None:
    from tests.sandbox.broker import Broker

    announced = Broker(at="2026-11-20T17:00:00Z").get(
        "/v2/corporate_actions/announcements?ca_types=dividend,split&since=2026-06-01&until=2026-08-29&symbol=KO"
    )
    found = {each["id"]: each for kind in _actions(**_YEAR, symbols="KO").values() for each in kind}
    assert announced
    for each in announced:
        assert found[each["id"]]["ex_date"] == each["ex_date"]
        assert found[each["id"]].get("rate", 0) == float(each["cash"])


def test_the_filters_of_corporate_actions() -> None:
    everything = _actions(**_YEAR)
    assert everything.keys() == {"cash_dividends", "forward_splits"}
    assert _actions(**_YEAR, types="forward_split,name_change").keys() == {"forward_splits"}
    assert {each["symbol"] for each in _actions(**_YEAR, symbols="KO,XOM")["cash_dividends"]} == {"KO", "XOM"}
    assert _actions(**_YEAR, cusips="123456789") == _actions(**_YEAR, region="non_us") == {}
    assert _actions(ids=everything["cash_dividends"][0]["id"]) == {"cash_dividends": everything["cash_dividends"][:1]}
    for each in everything["cash_dividends"]:
        assert date(2026, 1, 1) <= date.fromisoformat(each["process_date"]) <= date(2026, 12, 31)
        assert each in _actions(start=each["process_date"], end=each["process_date"])["cash_dividends"]
    assert DataCaller().get("/v1beta1/corporate-actions", **_YEAR) == DataCaller().get("/v1/corporate-actions", **_YEAR)


@pytest.mark.parametrize(
    ("path", "query", "message"),
    [
        (
            "/v1beta3/crypto/us/latest/trades",
            {"symbols": "BTCUSD"},
            "invalid symbol: BTCUSD does not match ^[A-Z]+/[A-Z]+$",
        ),
        (
            "/v1beta3/crypto/mars/latest/trades",
            {"symbols": "BTC/USD"},
            "invalid loc: mars (must be one of us, us-1, us-2, eu-1, bs-1, global)",
        ),
        ("/v1beta1/options/bars", {"symbols": "AAPL", "timeframe": "1Day"}, "invalid symbol: AAPL"),
        ("/v1beta1/options/snapshots", {"symbols": _CALL, "feed": "sip"}, "invalid feed: sip"),
        (
            "/v1beta1/options/snapshots",
            {},
            "Invalid format for parameter symbols: query parameter 'symbols' is required",
        ),
        (
            "/v1beta1/options/trades/latest",
            {"symbols": ",".join(f"AAPL261218C{number:08}" for number in range(101))},
            "too many symbols: 101 (at most 100)",
        ),
        ("/v1beta1/options/snapshots/AAPL", {"limit": "1001"}, "invalid limit: 1001 (must be from 1 to 1000)"),
        ("/v1beta1/options/snapshots/AAPL", {"type": "both"}, "invalid type: both"),
        (
            "/v1beta1/options/snapshots/AAPL",
            {"strike_price_gte": "high"},
            "invalid strike_price_gte: high (must be a number)",
        ),
        ("/v1/corporate-actions", {"types": "party"}, "invalid types: party"),
        (
            "/v1/corporate-actions",
            {"ids": "1", "symbols": "KO"},
            "ids cannot be combined with symbols: leave one of them out",
        ),
        ("/v1/corporate-actions", {"start": "2026-02-01", "end": "2026-01-01"}, "end should not be before start"),
        (
            "/v1/corporate-actions",
            {"page_token": "eHw="},
            "invalid page_token: take it from next_page_token of the previous page",
        ),
        ("/v1/corporate-actions", {"data_quality": "some"}, "invalid data_quality: some"),
        ("/v1beta1/news", {"limit": "51"}, "invalid limit: 51 (must be from 1 to 50)"),
        ("/v1beta1/news", {"include_content": "yes"}, "invalid include_content: yes (must be true or false)"),
        ("/v1beta1/screener/stocks/most-actives", {"by": "price"}, "invalid by: price"),
        ("/v1beta1/forex/rates", {"currency_pairs": "USDJPY", "timeframe": "1Hour"}, "invalid timeframe: 1Hour"),
        (
            "/v1beta1/fixed_income/latest/prices",
            {},
            "Invalid format for parameter isins: query parameter 'isins' is required",
        ),
        ("/v1beta1/screener/bonds/movers", {}, "invalid market_type: bonds (must be stocks or crypto)"),
    ],
    ids=str,
)
def test_a_bad_parameter_is_a_400_with_a_message_only(path: str, query: dict[str, object], message: str) -> None:
    assert DataCaller().refusal(path, **query) == message
