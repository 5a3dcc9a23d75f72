from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.accounts.schemas import HistoryPointResponse, PortfolioHistoryResponse
from corral.web.equity import (
    MOST_ROWS,
    Span,
    equity_of,
    exchange_day,
    exchange_time,
    history_question,
    hours,
)

LATER = datetime(2026, 12, 31, tzinfo=UTC)


def history(*worth: str | None, timeframe: str = "1D") -> PortfolioHistoryResponse:
    items = [
        HistoryPointResponse(at=f"2026-11-{1 + i % 28:02}T21:00:00Z", equity=e, profit_loss=None, profit_loss_pct=None)
        for i, e in enumerate(worth)
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


def test_what_was_before_the_first_money_is_left_out() -> None:
    told = equity_of(history(None, "0", "0.0", "100", None, "90", "0", None), Span.ALL, LATER)
    assert told is not None
    assert (told.first.equity, told.last.equity, told.points) == ("100", "0", 3)
    assert (told.low, told.high) == ("0", "100")


@pytest.mark.parametrize("worth", [(), (None,), ("0", "0")])
def test_an_account_without_money_has_nothing_to_tell(worth: tuple[str | None, ...]) -> None:
    assert equity_of(history(*worth), Span.MONTH, LATER) is None


@given(st.lists(st.decimals("0.01", "1e20", places=2).map(str), min_size=1, max_size=400))
def test_the_table_has_the_last_point_and_even_steps_back_from_it(worth: list[str]) -> None:
    told = equity_of(history(*worth), Span.ALL, LATER)
    assert told is not None
    assert len(told.rows) <= MOST_ROWS
    assert [row.equity for row in told.rows] == worth[::-1][:: told.every]
    assert Decimal(told.low) <= min(Decimal(row.equity or 0) for row in told.rows)


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
def test_a_day_that_is_not_over_has_not_closed(now: datetime, timeframe: str, is_unfinished: bool) -> None:  # noqa: FBT001 - pytest passes parameters by name
    told = equity_of(history("1", "2", timeframe=timeframe), Span.MONTH, now)
    assert told is not None
    assert told.is_unfinished is is_unfinished


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
def test_extended_hours_are_those_of_new_york(at: str, expected: str) -> None:
    assert hours(at) == expected


def test_a_point_is_named_as_the_exchange_names_it() -> None:
    assert exchange_time("2026-11-24T14:30:00Z") == "Tue 24 Nov, 09:30"
    assert exchange_day("2026-11-25T01:00:00Z") == "2026-11-24"


@pytest.mark.parametrize("span", Span)
def test_every_span_is_a_question_that_is_not_refused(span: Span) -> None:
    query = history_question(span).query().parameters()
    assert query["pnl_reset"] == "no_reset"
    assert ("intraday_reporting" in query) is (span in {Span.DAY, Span.WEEK})
