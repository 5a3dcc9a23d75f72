"""The calendars and the third version of the clock."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from aiohttp import ClientSession
from hypothesis import given
from hypothesis import strategies as st

from corral_sandbox import Sandbox
from corral_sandbox.api.calendar import clock_document, list_calendar, list_market_calendar, list_market_clocks
from corral_sandbox.broker.accounts import TradingAccounts
from corral_sandbox.http.requests import Request
from corral_sandbox.market.prices import Market
from corral_sandbox.market.time import last_session_before, settlement_date
from tests.sandbox.asking import Caller
from tests.sandbox.judges import judge, of_the_sdk, sdk
from tests.sandbox.people import ALICE, nanoseconds

_DAYS = st.dates(date(1970, 1, 1), date(2029, 12, 31))
_MOMENTS = st.integers(nanoseconds("2013-01-01T00:00:00Z"), nanoseconds("2029-12-01T00:00:00Z"))


def _request(query: str, now: int = 0, market: str = "NYSE") -> Request:
    return Request(TradingAccounts(Market(0)).find(ALICE), now, {"market": market}, query)


def _calendar(query: str) -> list[Any]:
    days = list_calendar(_request(query))
    assert isinstance(days, list)
    return days


@of_the_sdk
async def test_the_sdk_reads_a_calendar(sandbox: Sandbox) -> None:
    from alpaca.trading.requests import GetCalendarRequest

    wanted = GetCalendarRequest(start=date(2026, 11, 25), end=date(2026, 11, 27))
    with sdk(sandbox.paper_url, ALICE) as client:
        days: Any = await asyncio.to_thread(client.get_calendar, wanted)
    assert [(day.date, day.open, day.close) for day in days] == [
        (date(2026, 11, 25), datetime(2026, 11, 25, 9, 30), datetime(2026, 11, 25, 16)),  # noqa: DTZ001 - the SDK's
        (date(2026, 11, 27), datetime(2026, 11, 27, 9, 30), datetime(2026, 11, 27, 13)),  # noqa: DTZ001 - the SDK's
    ]


@of_the_sdk
async def test_the_sdk_reads_the_whole_calendar(sandbox: Sandbox) -> None:
    with sdk(sandbox.paper_url, ALICE) as client:
        days: Any = await asyncio.to_thread(client.get_calendar)
    assert days[0].date == date(1970, 1, 2)
    last_year = max(2029, datetime.now(UTC).year + 1)
    assert days[-1].date == last_session_before(date(last_year + 1, 1, 1)).day
    assert len(days) > 15_000


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        ("/v2/calendar?start=1999-12-20&end=2000-01-10", "/v2/calendar"),
        ("/v3/calendar/NYSE", "/v3/calendar/{market}"),
        ("/v3/calendar/XNAS?start=2026-07-01&end=2026-07-10&timezone=UTC", "/v3/calendar/{market}"),
        ("/v3/clock", "/v3/clock"),
        ("/v3/clock?markets=XNYS&time=2026-11-24T12:00:00Z", "/v3/clock"),
    ],
)
async def test_calendars_and_clocks_match_the_openapi_document(
    caller: Caller, official: dict[str, Any], path: str, pattern: str
) -> None:
    judge(official, pattern).validate(await caller.get(path))


def test_the_calendar_has_extended_hours_and_the_settlement_date() -> None:
    assert _calendar("start=2026-11-25&end=2026-11-27T23:59:59Z") == [
        {
            "date": "2026-11-25",
            "open": "09:30",
            "close": "16:00",
            "session_open": "0400",
            "session_close": "2000",
            "settlement_date": "2026-11-27",
        },
        {
            "date": "2026-11-27",
            "open": "09:30",
            "close": "13:00",
            "session_open": "0400",
            "session_close": "1700",
            "settlement_date": "2026-11-30",
        },
    ]


def test_days_are_found_by_settlement_date() -> None:
    days = _calendar("start=2026-11-27&end=2026-11-30&date_type=SETTLEMENT")
    assert [day["date"] for day in days] == ["2026-11-25", "2026-11-27"]


@pytest.mark.parametrize(
    ("day", "settled"),
    [
        ("2026-10-09", "2026-10-13"),  # over Columbus Day
        ("2026-11-10", "2026-11-12"),  # over Veterans Day
        ("2024-05-24", "2024-05-29"),  # the last day of two
        ("2024-05-28", "2024-05-29"),  # the first of one
        ("2017-09-01", "2017-09-07"),  # the last of three
        ("1995-06-06", "1995-06-13"),  # the last of five
    ],
)
def test_trades_settle_by_the_rule_of_their_day(day: str, settled: str) -> None:
    assert settlement_date(date.fromisoformat(day)) == date.fromisoformat(settled)


@given(_DAYS, _DAYS)
def test_the_calendar_has_exactly_the_sessions_between_start_and_end(start: date, end: date) -> None:
    end = min(end, start + timedelta(days=60))
    days = [date.fromisoformat(day["date"]) for day in _calendar(f"start={start}&end={end}")]
    assert days == sorted(set(days))
    assert all(start <= day <= end and day.weekday() < 5 for day in days)


@given(_MOMENTS)
def test_the_calendar_agrees_with_the_clock(now: int) -> None:
    clock: Any = clock_document(now)
    moment = datetime.fromisoformat(clock["timestamp"][:19])  # in New York
    today = _calendar(f"start={moment.date()}&end={moment.date()}")
    hours = [tuple(datetime.fromisoformat(f"{day['date']}T{day[name]}") for name in ("open", "close")) for day in today]
    assert clock["is_open"] == any(opens <= moment < closes for opens, closes in hours)


@given(_MOMENTS)
def test_both_clocks_agree(now: int) -> None:
    clock: Any = clock_document(now)
    both: Any = list_market_clocks(_request("", now))
    for market in both["clocks"]:
        assert (market["phase"] == "core") == clock["is_open"]
        assert market["next_market_open"] == clock["next_open"]
        assert market["next_market_close"] == clock["next_close"]
        assert market["phase_until"] > market["timestamp"][:19]


@pytest.mark.parametrize(
    ("now", "phase", "until"),
    [
        ("2026-11-27T03:59:59-05:00", "closed", "2026-11-27T04:00:00-05:00"),
        ("2026-11-27T04:00:00-05:00", "pre", "2026-11-27T09:30:00-05:00"),
        ("2026-11-27T09:30:00-05:00", "core", "2026-11-27T13:00:00-05:00"),
        ("2026-11-27T13:00:00-05:00", "post", "2026-11-27T17:00:00-05:00"),
        ("2026-11-27T17:00:00-05:00", "closed", "2026-11-30T04:00:00-05:00"),
    ],
)
def test_the_clock_of_a_market_has_its_phase(now: str, phase: str, until: str) -> None:
    clocks: Any = list_market_clocks(_request(f"time={now}"))
    assert {(clock["phase"], clock["phase_until"]) for clock in clocks["clocks"]} == {(phase, until)}


def test_a_markets_calendar_covers_a_week_from_today_by_default() -> None:
    calendar: Any = list_market_calendar(_request("", nanoseconds("2026-11-24T23:00:00-05:00")))
    assert [day["date"] for day in calendar["calendar"]] == [
        *("2026-11-24", "2026-11-25", "2026-11-27", "2026-11-30", "2026-12-01"),
    ]


def test_a_markets_calendar_is_available_in_utc() -> None:
    calendar: Any = list_market_calendar(_request("start=2026-11-24&end=2026-11-24&timezone=UTC"))
    assert calendar["calendar"][0]["core_start"] == "2026-11-24T14:30:00Z"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v2/calendar?start=yesterday", 422),
        ("/v2/calendar?date_type=trading", 422),
        ("/v3/calendar/LSE", 400),
        ("/v3/calendar/NYSE?timezone=CET", 422),
        ("/v3/clock?markets=NYSE,MOON", 400),
        ("/v3/clock?time=noon", 422),
        ("/v3/clock?time=2026-11-24T12:00:00", 422),
    ],
)
async def test_invalid_parameters_are_refused_with_the_reason(
    caller: Caller, http: ClientSession, path: str, status: int
) -> None:
    answered, body = await caller.ask(path)
    assert answered == status
    assert body["message"].startswith("invalid ")
