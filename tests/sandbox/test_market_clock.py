import pytest

from corral_sandbox.api.calendar import clock_document
from tests.sandbox.people import nanoseconds


@pytest.mark.parametrize(
    ("now", "is_open", "next_open", "next_close"),
    [
        ("2026-11-23T09:29:59-05:00", False, "2026-11-23T09:30:00-05:00", "2026-11-23T16:00:00-05:00"),
        ("2026-11-23T09:30:00-05:00", True, "2026-11-24T09:30:00-05:00", "2026-11-23T16:00:00-05:00"),
        ("2026-11-23T15:59:59-05:00", True, "2026-11-24T09:30:00-05:00", "2026-11-23T16:00:00-05:00"),
        ("2026-11-23T16:00:00-05:00", False, "2026-11-24T09:30:00-05:00", "2026-11-24T16:00:00-05:00"),
        ("2026-11-26T12:00:00-05:00", False, "2026-11-27T09:30:00-05:00", "2026-11-27T13:00:00-05:00"),
        ("2026-11-27T13:00:00-05:00", False, "2026-11-30T09:30:00-05:00", "2026-11-30T16:00:00-05:00"),
        ("2026-10-31T12:00:00-04:00", False, "2026-11-02T09:30:00-05:00", "2026-11-02T16:00:00-05:00"),
        ("2026-03-07T12:00:00-05:00", False, "2026-03-09T09:30:00-04:00", "2026-03-09T16:00:00-04:00"),
    ],
)
def test_the_clock_has_the_next_open_and_close(now: str, *, is_open: bool, next_open: str, next_close: str) -> None:
    clock = clock_document(nanoseconds(now))
    assert clock["is_open"] is is_open
    assert (clock["next_open"], clock["next_close"]) == (next_open, next_close)


def test_the_timestamp_keeps_nanoseconds_and_carries_new_yorks_offset() -> None:
    now = nanoseconds("2026-11-23T19:22:20Z") + 86_011_018
    assert clock_document(now)["timestamp"] == "2026-11-23T14:22:20.086011018-05:00"
