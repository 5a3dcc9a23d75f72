"""Portfolio history, checked by the SDK and the OpenAPI document, and against the account itself."""

import asyncio
import json
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import ClientSession
from hypothesis import given
from hypothesis import strategies as st

from corral_sandbox import Sandbox, serve_sandbox
from corral_sandbox.api.account import account_document
from corral_sandbox.api.calendar import clock_document
from corral_sandbox.api.portfolio_history import get_portfolio_history
from corral_sandbox.broker.accounts import TradingAccounts
from corral_sandbox.errors import ApiError
from corral_sandbox.http.requests import Request, Response
from corral_sandbox.market.prices import Market
from corral_sandbox.market.time import NEW_YORK, last_session_before, session_on
from tests.sandbox.asking import Caller
from tests.sandbox.judges import judge, of_the_sdk, sdk
from tests.sandbox.people import ALICE, nanoseconds

_PATH = "/v2/account/portfolio/history"
_SECONDS = {"1Min": 60, "5Min": 300, "15Min": 900, "1H": 3600}
_TUESDAY = nanoseconds("2026-11-24T14:30:05-05:00")
_KEY_IDS = st.sampled_from([f"PKCROWD{number:05}" for number in range(12)])
_MOMENTS = st.integers(nanoseconds("2026-01-05T00:00:00Z"), nanoseconds("2027-12-01T00:00:00Z"))
_REPORTING = st.sampled_from(["market_hours", "extended_hours", "continuous"])


@st.composite
def _open_moments(draw: st.DrawFn) -> int:
    """While the exchange is open, and many of them just as it opens or closes."""
    session = last_session_before(draw(st.dates(date(2026, 1, 6), date(2027, 12, 1))))
    opens, closes = (int(moment.timestamp()) * 10**9 for moment in (session.opens, session.closes))
    return draw(st.one_of(st.integers(opens, closes - 1), st.sampled_from([opens, opens + 1, closes - 1])))


def _history(query: str, now: int = _TUESDAY, key_id: str = ALICE) -> Any:  # noqa: ANN401 - JSON
    page = get_portfolio_history(Request(TradingAccounts(Market(0), characters=True).find(key_id), now, {}, query))
    return json.loads(Response(200, page).to_bytes(), parse_float=Decimal)


def _account(now: int, key_id: str = ALICE) -> Any:  # noqa: ANN401 - JSON
    return account_document(TradingAccounts(Market(0), characters=True).find(key_id).terms, now)


def _new_york(label: int) -> datetime:
    return datetime.fromtimestamp(label, NEW_YORK)


@of_the_sdk
async def test_the_sdk_reads_histories(sandbox: Sandbox) -> None:
    from alpaca.trading.requests import GetPortfolioHistoryRequest

    requests = [
        None,
        GetPortfolioHistoryRequest(period="1D", timeframe="5Min", extended_hours=True),
        GetPortfolioHistoryRequest(period="1A", pnl_reset="no_reset", cashflow_types="ALL"),
        GetPortfolioHistoryRequest(
            start=datetime(2026, 11, 2, 15, tzinfo=UTC),
            end=datetime(2026, 11, 5, tzinfo=UTC),
            date_end=date(2026, 1, 1),
        ),
        GetPortfolioHistoryRequest(timeframe="1H", period="1W", intraday_reporting="continuous"),
    ]
    with sdk(sandbox.paper_url, ALICE) as client:
        for request in requests:
            history: Any = await asyncio.to_thread(client.get_portfolio_history, request)
            assert len(history.timestamp) == len(history.equity) == len(history.profit_loss) > 0
            assert history.base_value > 0


@pytest.mark.parametrize(
    "query",
    [
        *("", "?period=1D", "?period=2A", "?start=2026-11-07&end=2026-11-08"),
        "?period=1W&timeframe=1H&intraday_reporting=continuous",
    ],
)
async def test_histories_match_the_openapi_document(caller: Caller, official: dict[str, Any], query: str) -> None:
    judge(official, _PATH).validate(await caller.get(_PATH + query))


@given(
    _KEY_IDS,
    _MOMENTS,
    _REPORTING,
    st.sampled_from(["1D", "3D", "1W", "2W"]),
    st.sampled_from(["5Min", "15Min", "1H", "1D"]),
)
def test_all_arrays_have_one_length_and_times_increase(
    key_id: str, now: int, reporting: str, period: str, timeframe: str
) -> None:
    history = _history(f"period={period}&timeframe={timeframe}&intraday_reporting={reporting}", now, key_id)
    labels = history["timestamp"]
    assert labels
    assert labels == sorted(set(labels))
    assert len(labels) == len(history["equity"]) == len(history["profit_loss"]) == len(history["profit_loss_pct"])
    if timeframe != "1D":
        assert labels[-1] <= now // 10**9


@given(_KEY_IDS, _open_moments(), _REPORTING, st.sampled_from([*_SECONDS, "1D"]))
def test_while_the_exchange_is_open_the_last_point_is_the_accounts_equity(
    key_id: str, now: int, reporting: str, timeframe: str
) -> None:
    assert clock_document(now)["is_open"]
    history = _history(f"period=1D&timeframe={timeframe}&intraday_reporting={reporting}", now, key_id)
    assert history["equity"][-1] == Decimal(_account(now, key_id)["equity"])


@given(_KEY_IDS, _MOMENTS)
def test_the_day_before_ends_at_the_accounts_last_equity(key_id: str, now: int) -> None:
    account = _account(now, key_id)
    today, last = _new_york(now // 10**9).date().isoformat(), account["balance_asof"]
    history = _history("period=1M", now, key_id)
    days = [_new_york(label).date().isoformat() for label in history["timestamp"]]
    assert set(days) >= {last}
    assert history["equity"][days.index(last)] == Decimal(account["last_equity"])
    assert days[-1] in {last, today}


@given(_KEY_IDS, _MOMENTS, st.sampled_from(["1D", "1W", "1M", "3M", "1A"]))
def test_profit_over_days_is_measured_by_the_close_before_the_first(key_id: str, now: int, period: str) -> None:
    history = _history(f"period={period}&timeframe=1D", now, key_id)
    base = history["base_value"]
    assert history["profit_loss"] == [equity - base for equity in history["equity"]]
    before = last_session_before(_new_york(history["timestamp"][0]).date())
    if "base_value_asof" in history:
        assert history["base_value_asof"] == before.day.isoformat()
        assert base == Decimal(_account(int(before.closes.timestamp()) * 10**9, key_id)["equity"])
    else:
        assert base == history["equity"][0]


@given(_KEY_IDS, _MOMENTS)
def test_intraday_profit_restarts_each_day_unless_reset_is_off(key_id: str, now: int) -> None:
    reset = _history("period=1W&timeframe=1H", now, key_id)
    kept = _history("period=1W&timeframe=1H&pnl_reset=no_reset", now, key_id)
    assert reset["equity"] == kept["equity"]
    assert kept["profit_loss"] == [equity - kept["base_value"] for equity in kept["equity"]]
    for label, equity, profit in zip(reset["timestamp"], reset["equity"], reset["profit_loss"], strict=True):
        close = int(last_session_before(_new_york(label).date()).closes.timestamp()) * 10**9
        assert profit == equity - Decimal(_account(close, key_id)["equity"])


@given(_MOMENTS, st.sampled_from(list(_SECONDS)))
def test_points_keep_to_the_trading_hours_to_the_minute(now: int, timeframe: str) -> None:
    for label in _history(f"period=3D&timeframe={timeframe}", now)["timestamp"]:
        session = session_on(_new_york(label).date())
        assert session
        assert session.opens <= _new_york(label) <= session.closes
        assert (label - int(session.opens.timestamp())) % _SECONDS[timeframe] == 0


def test_a_day_in_quarter_hours_has_the_points_of_the_official_example() -> None:
    after_the_close = nanoseconds("2026-11-24T18:00:00-05:00")
    history = _history("period=1D&timeframe=15Min", after_the_close)
    labels = [f"{_new_york(label):%H:%M}" for label in history["timestamp"]]
    assert (labels[0], labels[-1], len(labels)) == ("09:30", "16:00", 27)


@pytest.mark.parametrize(
    ("query", "timeframe", "first", "last", "points"),
    [
        ("", "1D", "2026-10-26T20:00", "2026-11-24T20:00", 22),
        ("period=6D", "1Min", "2026-11-19T09:30", "2026-11-24T14:30", 4 * 391 - 90),
        ("period=7D", "15Min", "2026-11-18T09:30", "2026-11-24T14:30", 5 * 27 - 6),
        ("period=30D", "1D", "2026-10-26T20:00", "2026-11-24T20:00", 22),
        ("period=1D&extended_hours=true&timeframe=1H", "1H", "2026-11-24T04:00", "2026-11-24T14:00", 11),
        ("period=1D&intraday_reporting=continuous&timeframe=1H", "1H", "2026-11-24T04:00", "2026-11-24T14:00", 11),
        ("start=2026-11-20&end=2026-11-23", "1Min", "2026-11-20T09:30", "2026-11-23T16:00", 2 * 391),
        ("start=2026-11-20&period=2D&timeframe=1D", "1D", "2026-11-20T20:00", "2026-11-20T20:00", 1),
        ("end=2026-11-20&period=2D&timeframe=1D", "1D", "2026-11-18T20:00", "2026-11-20T20:00", 3),
        ("start=2026-11-21&end=2027-01-01&timeframe=1D", "1D", "2026-11-23T20:00", "2026-11-24T20:00", 2),
        ("end=2027-01-01&period=2D&timeframe=1D", "1D", "2026-11-23T20:00", "2026-11-24T20:00", 2),
        ("start=1795435200&timeframe=1H&period=1D", "1H", "2026-11-23T09:30", "2026-11-23T15:30", 7),
        ("start=2026-11-23T10:45:00-05:00&end=2026-11-23T11:10:00-05:00&timeframe=15Min",
         "15Min", "2026-11-23T10:45", "2026-11-23T11:00", 2),
        ("start=2026-11-23T10:50:00-05:00&end=2026-11-23T11:10:00-05:00&timeframe=15Min",
         "15Min", "2026-11-23T10:45", "2026-11-23T11:00", 2),
    ],
)  # fmt: skip
def test_defaults_are_alpacas(query: str, timeframe: str, first: str, last: str, points: int) -> None:
    history = _history(query.replace("+", "%2B"))
    labels = [_new_york(label).isoformat()[:16] for label in history["timestamp"]]
    assert (history["timeframe"], labels[0], labels[-1], len(labels)) == (timeframe, first, last, points)


def test_the_last_steps_of_a_day_end_at_the_close() -> None:
    history = _history("start=2026-11-20&end=2026-11-20&timeframe=1H&pnl_reset=no_reset")
    closed = Decimal(_account(nanoseconds("2026-11-20T16:00:00-05:00"))["equity"])
    assert history["equity"][-1] == closed
    quarters = _history("start=2026-11-20&end=2026-11-20&timeframe=15Min")
    assert quarters["equity"][-2:] == [closed, closed]


def test_the_profit_percentage_is_rounded_to_a_hundredth_of_a_percent() -> None:
    history = _history("period=1M")
    for profit, share in zip(history["profit_loss"], history["profit_loss_pct"], strict=True):
        assert abs(share - profit / history["base_value"]) <= Decimal("0.00005")


def test_before_the_exchange_opens_a_day_is_the_last_one() -> None:
    history = _history("period=1D", nanoseconds("2026-11-23T09:29:59-05:00"))  # a Monday
    assert {_new_york(label).date() for label in history["timestamp"]} == {date(2026, 11, 20)}


def test_an_account_has_no_history_before_it_was_opened() -> None:
    opened = datetime.fromisoformat(_account(_TUESDAY)["created_at"])
    history = _history("period=20A")
    first = _new_york(history["timestamp"][0])
    assert opened - timedelta(days=1) <= first <= opened + timedelta(days=6)
    assert "base_value_asof" not in history
    assert history["base_value"] == history["equity"][0]
    assert history["profit_loss"][0] == 0


def test_a_span_without_sessions_is_empty_and_has_no_base() -> None:
    history = _history("start=2026-11-21&end=2026-11-22")
    assert (history["timestamp"], history["equity"], history["base_value"]) == ([], [], None)


def test_amounts_are_json_numbers_with_every_digit() -> None:
    history = _history("period=1D")
    assert str(history["equity"][-1]) == _account(_TUESDAY)["equity"]


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("start=2026-11-01&end=2026-11-02&period=1D", "together"),
        ("period=31D&timeframe=1H", "beyond 30 days"),
        ("period=2M&timeframe=15Min", "beyond 30 days"),
        ("start=2026-09-01&end=2026-11-02&timeframe=1H", "beyond 30 days"),
        ("start=2026-11-02&end=2026-11-01", "after"),
        ("start=2100-12-02", "after"),
        ("period=0D", "period"),
        ("period=1Y", "period"),
        ("period=-1D", "period"),
        ("period=99999D", "period"),
        ("period=", "period"),
        ("period=1M%0A", "period"),
        ("timeframe=1Day", "timeframe"),
        ("timeframe=2Min", "timeframe"),
        ("start=1969-12-31", "start"),
        ("start=yesterday", "start"),
        ("start=99999999999999999999", "start"),
        ("end=2026-11-02T10:00:00", "end"),
        ("intraday_reporting=never", "intraday_reporting"),
        ("pnl_reset=always", "pnl_reset"),
        ("extended_hours=1", "extended_hours"),
        ("period=30D&timeframe=1Min&intraday_reporting=continuous", "points"),
    ],
)
async def test_conflicting_parameters_are_refused_with_the_reason(caller: Caller, query: str, word: str) -> None:
    status, refusal = await caller.ask(f"{_PATH}?{query}")
    assert (status, refusal["code"]) == (422, 40010001)
    assert word in refusal["message"]


_ODD = ["1D", "9999A", "9999W", "1H", "continuous", "no_reset", "1970-01-01", "2100-12-31", "0", "4133980799"]


@given(
    st.dictionaries(
        st.sampled_from(["period", "timeframe", "start", "end", "intraday_reporting", "pnl_reset"]),
        st.one_of(st.sampled_from(_ODD), st.text(max_size=12)),
    )
)
def test_any_query_is_served_or_refused(query: dict[str, str]) -> None:
    with suppress(ApiError):
        _history("&".join(f"{name}={quote(value)}" for name, value in query.items()))


async def test_a_history_is_the_same_for_the_same_seed(http: ClientSession) -> None:
    answers: list[Any] = []
    for seed in (7, 7, 8):
        async with serve_sandbox(port=0, seed=seed, clock=lambda: _TUESDAY, characters=True) as sandbox:
            answers.append(await Caller(http, sandbox).get(_PATH))
    assert answers[0] == answers[1] != answers[2]
