"""The time at which the demo starts its sandbox."""

from datetime import datetime

import pytest

from corral_sandbox import start_in_trading_hours


@pytest.mark.parametrize(
    ("now", "start"),
    [
        ("2026-11-24T09:30-05:00", "2026-11-24T09:30-05:00"),
        ("2026-11-24T15:59:59-05:00", "2026-11-24T15:59:59-05:00"),
        ("2026-11-24T16:00-05:00", "2026-11-24T10:30-05:00"),
        ("2026-11-24T09:29:59-05:00", "2026-11-23T10:30-05:00"),
        ("2026-11-25T03:00Z", "2026-11-24T10:30-05:00"),
        ("2026-11-26T12:00-05:00", "2026-11-25T10:30-05:00"),  # Thanksgiving
        ("2026-11-27T12:59-05:00", "2026-11-27T12:59-05:00"),  # a half day
        ("2026-11-27T13:00-05:00", "2026-11-27T10:30-05:00"),
        ("2026-11-28T23:15Z", "2026-11-27T10:30-05:00"),
        ("2026-11-30T06:00-05:00", "2026-11-27T10:30-05:00"),
        ("2026-07-05T12:00-04:00", "2026-07-02T10:30-04:00"),
    ],
)
def test_it_is_now_or_half_past_ten_of_the_last_trading_day(now: str, start: str) -> None:
    assert start_in_trading_hours(datetime.fromisoformat(now)) == datetime.fromisoformat(start)
