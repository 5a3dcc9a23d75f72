from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.accounts.schemas import HistoryPointResponse, PortfolioHistoryResponse
from corral.web.view.equity import (
    MAX_ROWS,
    CurrentEquity,
    Period,
    history_params,
    market_hours,
    summarize_equity,
)

LATER = datetime(2026, 12, 31, tzinfo=UTC)


def history(*equities: str | None, timeframe: str = "1D") -> PortfolioHistoryResponse:
    items = [
        HistoryPointResponse(at=f"2026-11-{1 + i % 28:02}T21:00:00Z", equity=e, profit_loss=None, profit_loss_pct=None)
        for i, e in enumerate(equities)
    ]
    return PortfolioHistoryResponse(
        timeframe=timeframe,
        base_value=None,
        base_value_asof=None,
        items=items,
        unreadable=0,
        missing=0,
        next_cursor=None,
    )


def test_points_before_funding_are_left_out() -> None:
    summary = summarize_equity(history(None, "0", "0.0", "100", None, "90", "0", None), Period.ALL, LATER)
    assert summary is not None
    assert (summary.first.equity, summary.last.equity, summary.points) == ("100", "0", 3)
    assert (summary.low, summary.high) == ("0", "100")


@pytest.mark.parametrize("equities", [(), (None,), ("0", "0")])
def test_an_unfunded_account_has_no_equity_history(equities: tuple[str | None, ...]) -> None:
    assert summarize_equity(history(*equities), Period.MONTH, LATER) is None


@given(st.lists(st.decimals("0.01", "1e20", places=2).map(str), min_size=1, max_size=400))
def test_the_table_has_the_last_point_and_every_nth_before_it(equities: list[str]) -> None:
    summary = summarize_equity(history(*equities), Period.ALL, LATER)
    assert summary is not None
    assert len(summary.rows) <= MAX_ROWS
    assert [row.equity for row in summary.rows] == equities[::-1][:: summary.step]
    assert Decimal(summary.low) <= min(Decimal(row.equity or 0) for row in summary.rows)


@pytest.mark.parametrize(
    ("timeframe", "at", "points"),
    [
        ("1D", "2026-11-02T23:30:00Z", 2),
        ("1D", "2026-11-03T15:00:00Z", 3),
        ("5Min", "2026-11-02T21:04:59Z", 2),
        ("5Min", "2026-11-02T21:05:00Z", 3),
    ],
)
def test_the_current_equity_is_the_last_point(timeframe: str, at: str, points: int) -> None:
    summary = summarize_equity(
        history("1", "2", timeframe=timeframe), Period.MONTH, LATER, current=CurrentEquity("2.5", at)
    )
    assert summary is not None
    assert (summary.points, summary.last.equity, summary.high, summary.current_at) == (points, "2.5", "2.5", at)
    assert summary.rows[0] == summary.last


@pytest.mark.parametrize(
    ("now", "timeframe", "is_unfinished"),
    [
        (datetime(2026, 11, 2, 20, 59, tzinfo=UTC), "1D", True),  # 15:59 in New York
        (datetime(2026, 11, 2, 21, tzinfo=UTC), "1D", False),
        (datetime(2026, 11, 3, 1, tzinfo=UTC), "1D", False),
        (datetime(2026, 11, 3, 15, tzinfo=UTC), "1D", False),
        (datetime(2026, 11, 2, 15, tzinfo=UTC), "5Min", False),
    ],
)
def test_a_day_is_unfinished_until_the_close(now: datetime, timeframe: str, is_unfinished: bool) -> None:  # noqa: FBT001 - pytest passes parameters by name
    summary = summarize_equity(history("1", "2", timeframe=timeframe), Period.MONTH, now)
    assert summary is not None
    assert summary.is_unfinished is is_unfinished


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2026-11-24T14:29:59Z", "extended"),
        ("2026-11-24T14:30:00Z", "regular"),  # 9:30 in winter
        ("2026-11-24T21:00:00Z", "regular"),
        ("2026-11-24T21:05:00.123456789Z", "extended"),
        ("2026-07-01T13:30:00Z", "regular"),  # 9:30 in summer
        ("2026-07-01T20:15:00Z", "extended"),
    ],
)
def test_extended_hours_are_in_new_york_time(at: str, expected: str) -> None:
    assert market_hours(at) == expected


@pytest.mark.parametrize("span", Period)
def test_every_period_has_valid_api_parameters(span: Period) -> None:
    query = history_params(span).query().parameters()
    assert query["pnl_reset"] == "no_reset"
    assert ("intraday_reporting" in query) is (span in {Period.DAY, Period.WEEK})
