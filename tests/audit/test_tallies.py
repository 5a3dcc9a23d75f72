"""Refusals are summed by the minute and reads by the hour, and only so many sums are kept."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from corral.audit import tallies
from corral.audit.models import ANYONE, Action
from corral.audit.tallies import Tallies
from tests.log_lines import LogSince

ALICE, BOB, GRANT, ACCOUNT = (UUID(int=number) for number in range(4))


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 11, 24, 14, 30, 15, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


def test_a_minutes_refusals_of_one_kind_are_one_entry() -> None:
    clock = Clock()
    sums = Tallies(clock)
    for address in ("192.0.2.1", "192.0.2.2"):
        sums.count_refusal(ALICE, Action.SIGN_IN_REFUSED, ANYONE, "sign_in_refused", address=address)
    sums.count_refusal(BOB, Action.SIGN_IN_REFUSED, ANYONE, "sign_in_refused")
    assert sums.take_ended() == []
    clock.now = clock.now.replace(minute=31)
    taken = sums.take_ended()
    assert [user_id for user_id, _ in taken] == [ALICE, BOB]
    _, entry = taken[0]
    assert (entry.result, entry.address) == ("refused", "192.0.2.2")
    assert entry.details == {"count": "2", "code": "sign_in_refused", "minute": "2026-11-24T14:30Z"}
    assert sums.take_all() == []


def test_an_hours_reads_by_a_grant_are_one_entry_for_each_purpose() -> None:
    clock = Clock()
    sums = Tallies(clock)
    for _ in range(3):
        sums.count_read(ALICE, GRANT, ACCOUNT, "positions")
    sums.count_read(ALICE, GRANT, ACCOUNT, "orders")
    clock.now = clock.now.replace(minute=59)
    assert sums.take_ended() == []
    clock.now = clock.now.replace(hour=15, minute=0)
    entries = [entry for _, entry in sums.take_ended()]
    assert [dict(entry.details) for entry in entries] == [
        {"count": "3", "purpose": "positions", "hour": "2026-11-24T14:00Z"},
        {"count": "1", "purpose": "orders", "hour": "2026-11-24T14:00Z"},
    ]
    assert [(str(entry.actor), entry.grant_id, entry.credential_id, entry.result) for entry in entries[:1]] == [
        (f"grant:{GRANT}", GRANT, ACCOUNT, "done")
    ]


async def test_sums_are_bounded_and_those_that_were_begun_go_on(monkeypatch: pytest.MonkeyPatch, log: LogSince) -> None:
    monkeypatch.setattr(tallies, "MOST_SUMS", 2)
    sums = Tallies()
    for code in ("first", "second", "third", "first", "fourth"):
        sums.count_refusal(ALICE, Action.GRANT_REFUSED, ANYONE, code)
    assert {entry.details["code"]: entry.details["count"] for _, entry in sums.take_all()} == {
        "first": "2",
        "second": "1",
    }
    assert (await log.awaited("audit_sums_overflowed"))["uncounted"] == 2
