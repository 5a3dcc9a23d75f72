"""The trading calendar agrees with the holidays and early closings that the exchange published."""

from datetime import date, time

import pytest

from corral_sandbox.market.time import holidays, last_session_before, session_on, sessions_from

_PUBLISHED_HOLIDAYS = {
    2012: "01-02 01-16 02-20 04-06 05-28 07-04 09-03 10-29 10-30 11-22 12-25",
    2021: "01-01 01-18 02-15 04-02 05-31 07-05 09-06 11-25 12-24",
    2022: "01-17 02-21 04-15 05-30 06-20 07-04 09-05 11-24 12-26",
    2023: "01-02 01-16 02-20 04-07 05-29 06-19 07-04 09-04 11-23 12-25",
    2024: "01-01 01-15 02-19 03-29 05-27 06-19 07-04 09-02 11-28 12-25",
    2025: "01-01 01-09 01-20 02-17 04-18 05-26 06-19 07-04 09-01 11-27 12-25",
    2026: "01-01 01-19 02-16 04-03 05-25 06-19 07-03 09-07 11-26 12-25",
    2027: "01-01 01-18 02-15 03-26 05-31 06-18 07-05 09-06 11-25 12-24",
    2028: "01-17 02-21 04-14 05-29 06-19 07-04 09-04 11-23 12-25",
}
_PUBLISHED_HALF_DAYS = {
    2018: "07-03 11-23 12-24",
    2020: "11-27 12-24",
    2021: "11-26",
    2022: "11-25",
    2023: "07-03 11-24",
    2024: "07-03 11-29 12-24",
    2025: "07-03 11-28 12-24",
    2026: "11-27 12-24",
    2027: "11-26",
    2028: "07-03 11-24",
}


def _days(year: int, published: str) -> list[date]:
    return [date.fromisoformat(f"{year}-{day}") for day in published.split()]


@pytest.mark.parametrize("year", _PUBLISHED_HOLIDAYS)
def test_holidays_are_those_that_the_exchange_published(year: int) -> None:
    assert sorted(holidays(year)) == _days(year, _PUBLISHED_HOLIDAYS[year])


@pytest.mark.parametrize("year", _PUBLISHED_HALF_DAYS)
def test_half_days_are_those_that_the_exchange_published(year: int) -> None:
    half_days: list[date] = []
    for session in sessions_from(date(year, 1, 1)):
        if session.day.year > year:
            break
        if session.closes.time() == time(13):
            half_days.append(session.day)
    assert half_days == _days(year, _PUBLISHED_HALF_DAYS[year])


@pytest.mark.parametrize(("year", "sessions"), [(1990, 253), (2001, 248), (2019, 252), (2024, 252), (2025, 250)])
def test_a_year_has_as_many_sessions_as_the_exchange_held(year: int, sessions: int) -> None:
    held = [day for day in _all_days(year) if session_on(day)]
    assert len(held) == sessions


def test_a_session_runs_from_half_past_nine_to_four_in_new_york_in_summer_and_winter() -> None:
    winter, summer = session_on(date(2026, 1, 5)), session_on(date(2026, 7, 6))
    assert winter
    assert summer
    assert (winter.opens.isoformat(), winter.closes.isoformat()) == (
        "2026-01-05T09:30:00-05:00",
        "2026-01-05T16:00:00-05:00",
    )
    assert summer.opens.isoformat() == "2026-07-06T09:30:00-04:00"


def test_the_session_before_a_long_weekend_is_the_thursday_before() -> None:
    assert last_session_before(date(2026, 4, 6)).day == date(2026, 4, 2)


def _all_days(year: int) -> list[date]:
    return [date.fromordinal(n) for n in range(date(year, 1, 1).toordinal(), date(year + 1, 1, 1).toordinal())]
