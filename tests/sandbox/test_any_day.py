"""The clock, orders, options and histories at any hour of any day.

`make calendar` tries every moment below, `make test` every 23rd.
"""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from itertools import islice
from typing import Any

import pytest

from corral_sandbox.market.time import NEW_YORK, session_on
from tests.sandbox.broker import CASH_TRADER, OPTIONS_TRADER, TRADER, Broker

_DAY, _SECOND = timedelta(days=1), timedelta(seconds=1)

# With half days, holidays on weekends and beside them, both changes of daylight saving time, leap days, turns of years.
_ODD_DAYS = (
    *("2021-12-31", "2022-01-01", "2024-02-29", "2026-03-08", "2026-04-02", "2026-04-03", "2026-07-02", "2026-07-03"),
    *("2026-11-01", "2026-11-26", "2026-11-27", "2026-11-28", "2026-11-29", "2026-12-24", "2026-12-25", "2026-12-31"),
    *("2027-01-01", "2027-03-14", "2027-06-18", "2027-12-24", "2028-02-29", "2028-07-03", "2028-07-04", "2028-11-05"),
)
_HOURS = ("00:00:00", "03:59:59", "09:27:59", "09:29:59", "12:50:01", "13:00:00", "15:59:59", "16:00:00", "20:00:00")
_TWO_WEEKS_FROM = datetime(2026, 11, 19, tzinfo=NEW_YORK)  # to Thanksgiving, its half day, and a week beyond
_A_YEAR_FROM = date(2028, 1, 1)
_PART = 23


def _all_moments() -> Iterator[datetime]:
    """In New York's time, of which every one exists."""
    for half_hours in range(2 * 24 * 14):
        yield _later(_TWO_WEEKS_FROM, half_hours * timedelta(minutes=30))
    for days in range(366):
        for hour in _HOURS:
            yield _at(_A_YEAR_FROM + days * _DAY, hour)
    for day in _ODD_DAYS:
        yield from (_at(date.fromisoformat(day), hour) for hour in _HOURS)
        yield from (
            _later(_at(date.fromisoformat(day), "00:00:00"), half * timedelta(minutes=30)) for half in range(48)
        )


def _at(day: date, hour: str) -> datetime:
    return datetime.fromisoformat(f"{day}T{hour}").replace(tzinfo=NEW_YORK)


def _later(moment: datetime, by: timedelta) -> datetime:
    """By the time that passes, also over a change of daylight saving time."""
    return datetime.fromtimestamp(moment.timestamp() + by.total_seconds(), NEW_YORK)


@pytest.fixture(scope="module")
def moments(request: pytest.FixtureRequest) -> list[datetime]:
    part = 1 if request.config.getoption("--every-moment") else _PART
    return list(islice(_all_moments(), 0, None, part))


class Day:
    """An account at a time, and the trading hours that its broker reports."""

    def __init__(self, moment: datetime, key_id: str = TRADER) -> None:
        self.moment = moment
        self.broker = Broker(key_id, at=moment.isoformat())
        clock = self.broker.get("/v2/clock")
        self.is_open: bool = clock["is_open"]
        self.opens = datetime.fromisoformat(clock["next_open"]).astimezone(NEW_YORK)
        self.closes = datetime.fromisoformat(clock["next_close"]).astimezone(NEW_YORK)

    @property
    def trades(self) -> datetime:
        return self.moment if self.is_open else self.opens

    def after(self, moment: datetime, order: Any) -> Any:  # noqa: ANN401 - JSON
        """Returns the order as of a second after that time."""
        self.broker.pass_time(until=_later(moment, _SECOND).isoformat())
        return self.broker.look(order)


def test_the_clock_names_the_next_opening_and_close(moments: list[datetime]) -> None:
    for moment in moments:
        day, here = Day(moment), str(moment)
        session = session_on(moment.date())
        assert day.moment < day.opens, here
        assert day.moment < day.closes, here
        assert day.is_open == (day.closes < day.opens), here
        assert day.is_open == (session is not None and session.opens <= moment < session.closes), here
        (clock,) = day.broker.get("/v3/clock?markets=NYSE")["clocks"]
        assert (clock["phase"] == "core") == day.is_open, here
        assert datetime.fromisoformat(clock["phase_until"]) > moment, here


def test_options_are_listed_for_the_next_expiry_and_can_be_bought(moments: list[datetime]) -> None:
    for moment in moments:
        day, here = Day(moment, OPTIONS_TRADER), str(moment)
        found = day.broker.get("/v2/options/contracts?underlying_symbols=AAPL&limit=1000")["option_contracts"]
        expiries = {date.fromisoformat(contract["expiration_date"]) for contract in found}
        assert len(expiries) == 1, here
        (expiry,) = expiries
        session = session_on(expiry)
        assert session is not None, here
        assert moment < session.closes, here
        assert expiry - moment.date() <= 8 * _DAY, here
        bought = day.broker.place(symbol=found[0]["symbol"], qty="1", type="limit", limit_price="0.01")
        assert bought["status"] == ("pending_new" if day.is_open else "accepted"), here


def test_a_market_order_is_filled_as_soon_as_shares_trade(moments: list[datetime]) -> None:
    for moment in moments:
        day, here = Day(moment), str(moment)
        filled = day.after(day.trades, day.broker.place(qty="1"))
        assert filled["status"] == "filled", here
        filled_at = datetime.fromisoformat(filled["filled_at"]).astimezone(NEW_YORK)
        assert day.trades <= filled_at <= _later(day.trades, _SECOND), here
        on_its_day = day.broker.get(f"/v2/account/activities/FILL?date={filled_at.date()}")
        assert filled["id"] in {fill["order_id"] for fill in on_its_day}, here


def test_a_day_order_expires_at_the_close_and_a_gtc_order_does_not(moments: list[datetime]) -> None:
    for moment in moments:
        day, here = Day(moment, CASH_TRADER), str(moment)
        cheap = {"qty": "1", "type": "limit", "limit_price": "1"}
        day_order, resting = day.broker.place(**cheap), day.broker.place(**cheap, time_in_force="gtc")
        expired = day.after(day.closes, day_order)
        assert expired["status"] == "expired", here
        assert datetime.fromisoformat(expired["expired_at"]) == day.closes, here
        assert day.after(_later(day.closes, 7 * _DAY), resting)["status"] == "new", here


def test_auction_orders_are_accepted_in_their_hours_and_filled_at_the_auction(moments: list[datetime]) -> None:
    """From 19:00 on, until 09:28 for the open, and until ten minutes before it for the close."""
    for moment in moments:
        session, here = session_on(moment.date()), str(moment)
        for time_in_force, minutes in (("opg", 2), ("cls", 10)):
            day = Day(moment)
            auction = day.opens if time_in_force == "opg" else day.closes
            order = {"qty": "1", "time_in_force": time_in_force}
            if session is not None and moment.hour < 19:
                ends = session.opens if time_in_force == "opg" else session.closes
                if moment > _later(ends, timedelta(minutes=-minutes)):
                    assert "not accepted at this time" in day.broker.refusal(**order)[2], here
                    continue
            filled = day.after(auction, day.broker.place(**order))
            assert filled["status"] == "filled", here
            assert datetime.fromisoformat(filled["filled_at"]) == auction, here


def test_a_history_of_every_length_ends_with_the_last_day_that_has_begun(moments: list[datetime]) -> None:
    for moment in moments:
        broker, here = Day(moment).broker, str(moment)
        for period in ("1D", "1W", "1M", "3M", "1A"):
            history = broker.get(f"/v2/account/portfolio/history?period={period}")
            labels, equity = history["timestamp"], history["equity"]
            assert len(labels) == len(equity) > 0, f"{here} {period}"
            assert labels == sorted(set(labels)), f"{here} {period}"
            last = datetime.fromtimestamp(labels[-1], NEW_YORK).date()
            assert last <= moment.date(), f"{here} {period}"
            assert moment.date() - last <= 4 * _DAY, f"{here} {period}"
