from datetime import UTC, datetime

import pytest

from corral.web.display import Display
from corral.web.view.times import (
    format_day,
    format_exchange_day,
    format_exchange_time,
    format_full_timestamp,
    format_short_day,
    format_short_timestamp,
    format_timestamp,
    zone_names,
)
from tests.web.displaying import BERLIN, displaying

_NOW = datetime(2026, 11, 24, 22, tzinfo=UTC)
_NEW_YORK = Display()


@pytest.mark.parametrize(
    ("display", "at", "shown"),
    [
        (_NEW_YORK, "2026-11-24T14:30:05Z", "09:30 ET"),
        (_NEW_YORK, "2026-11-25T01:30:00+02:00", "18:30 ET"),
        (_NEW_YORK, "2026-11-24T04:59:59.999999999Z", "Nov 23, 23:59 ET"),
        (_NEW_YORK, "2026-11-24T05:00:00Z", "00:00 ET"),
        (_NEW_YORK, "2026-07-01T13:30:00Z", "Jul 1, 09:30 ET"),  # the same clock in summer
        (_NEW_YORK, "2025-12-31T23:00:00Z", "Dec 31, 2025, 18:00 ET"),
        (_NEW_YORK, "2026-01-01T04:00:00Z", "Dec 31, 2025, 23:00 ET"),  # the year is the zone's, too
        (BERLIN, "2026-11-24T14:30:05Z", "15:30 CET"),
        (BERLIN, "2026-11-24T22:59:59Z", "23:59 CET"),
        (BERLIN, "2026-11-24T23:00:00Z", "Nov 25, 00:00 CET"),
        (BERLIN, "2026-07-01T13:30:00Z", "Jul 1, 15:30 CEST"),
        # Both 02:30, an hour apart.
        (BERLIN, "2026-10-25T00:30:00Z", "Oct 25, 02:30 CEST"),
        (BERLIN, "2026-10-25T01:30:00Z", "Oct 25, 02:30 CET"),
        (Display(local_zone="Asia/Tokyo"), "2026-11-24T14:30:00Z", "Nov 24, 23:30 JST"),
        (Display(local_zone="America/Sao_Paulo"), "2026-11-24T14:30:00Z", "11:30 UTC\u22123"),
        (Display(local_zone="Asia/Kathmandu"), "2026-11-24T14:30:00Z", "Nov 24, 20:15 UTC+5:45"),
        (Display(local_zone="UTC"), "2026-11-24T14:30:00Z", "14:30 UTC"),
        (Display(local_zone="America/New_York"), "2026-11-24T14:30:00Z", "09:30 ET"),
    ],
)
def test_a_timestamp_names_its_zone_and_its_day_unless_it_is_today(display: Display, at: str, shown: str) -> None:
    with displaying(display):
        assert format_timestamp(at, now=_NOW) == shown


@pytest.mark.parametrize("display", [_NEW_YORK, BERLIN, Display(local_zone="Asia/Tokyo")])
def test_the_infinity_of_postgresql_has_a_text(display: Display) -> None:
    with displaying(display):
        assert format_timestamp(datetime.max, now=_NOW).startswith("Dec 31, 9999, ")  # noqa: DTZ901 - as asyncpg reads it
        assert "9999" in format_full_timestamp(datetime.max)  # noqa: DTZ901


def test_where_there_is_little_space_a_day_of_another_year_has_two_digits_of_it() -> None:
    assert format_short_timestamp("2026-11-24T14:30:05Z", now=_NOW) == "09:30"
    assert format_short_timestamp("2026-11-23T14:30:05Z", now=_NOW) == "Nov 23"
    assert format_short_timestamp("2025-11-24T14:30:05Z", now=_NOW) == "Nov 24 '25"
    assert format_short_day("2026-11-24", now=_NOW) == "Nov 24"
    assert format_short_day("2025-11-24", now=_NOW) == "Nov 24 '25"


def test_seconds_are_shown_where_they_matter() -> None:
    assert format_timestamp("2026-11-24T14:30:05Z", seconds=True, now=_NOW) == "09:30:05 ET"
    assert format_full_timestamp("2025-11-24T14:30:05Z") == "Mon, Nov 24, 2025, 09:30:05 ET (UTC\u22125)"


def test_the_hour_that_repeats_differs_in_the_full_timestamp() -> None:
    first, second = format_full_timestamp("2026-11-01T05:30:00Z"), format_full_timestamp("2026-11-01T06:30:00Z")
    assert (first, second) == (
        "Sun, Nov 1, 2026, 01:30:00 ET (UTC\u22124)",
        "Sun, Nov 1, 2026, 01:30:00 ET (UTC\u22125)",
    )


@pytest.mark.parametrize("display", [_NEW_YORK, BERLIN, Display(local_zone="Asia/Tokyo")])
def test_days_of_the_exchange_are_the_same_in_every_zone(display: Display) -> None:
    with displaying(display):
        assert format_exchange_day("2026-11-25T01:00:00Z", now=_NOW) == "Nov 24"
        assert format_day("2026-11-24", now=_NOW) == "Nov 24"
        assert format_day("2024-02-29", now=_NOW) == "Feb 29, 2024"


def test_points_of_a_day_are_in_the_chosen_zone() -> None:
    assert format_exchange_time("2026-11-24T14:30:00Z", now=_NOW) == "Tue, Nov 24, 09:30 ET"
    with displaying(BERLIN):
        assert format_exchange_time("2026-11-24T23:15:00Z", now=_NOW) == "Wed, Nov 25, 00:15 CET"


def test_names_of_zones() -> None:
    assert zone_names("America/New_York") == {-300: "ET", -240: "ET"}
    assert zone_names("Europe/Berlin") == {60: "CET", 120: "CEST"}
    assert zone_names("Europe/London") == {0: "GMT", 60: "BST"}
    assert zone_names("America/Sao_Paulo") == {}
