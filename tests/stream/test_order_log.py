"""What was heard of orders is kept by user and account, within limits."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import orjson
import pytest

from corral.stream import order_log
from corral.stream.events import GAP, Kind, StreamEvent
from corral.stream.order_log import OrderLog

ALICE, BOB, ACCOUNT = uuid4(), uuid4(), uuid4()
START = datetime(2026, 11, 23, 14, 31, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def pass_seconds(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def event(order_id: str = "1", name: str = "new") -> StreamEvent:
    return StreamEvent(
        Kind.ORDER, orjson.dumps({"id": order_id, "event": name, "status": "new", "filled_qty": "0", "symbol": "AAPL"})
    )


def test_events_are_kept_with_the_time_at_which_they_were_heard() -> None:
    clock = Clock()
    log = OrderLog(clock=clock)
    log.begin(ALICE, ACCOUNT)
    log.record(ALICE, ACCOUNT, event("1", "pending_new"))
    log.record(ALICE, ACCOUNT, event("2"))
    clock.pass_seconds(3)
    log.record(ALICE, ACCOUNT, event("1"))
    log.record(ALICE, ACCOUNT, GAP)
    heard = log.heard(ALICE, ACCOUNT, "1")
    assert [(one.event, (one.heard_at - START).total_seconds()) for one in heard] == [("pending_new", 0), ("new", 3)]


def test_nobody_sees_what_another_user_heard() -> None:
    log = OrderLog()
    log.begin(ALICE, ACCOUNT)
    log.record(ALICE, ACCOUNT, event())
    assert log.heard(BOB, ACCOUNT, "1") == []
    assert log.heard(ALICE, uuid4(), "1") == []
    assert not log.was_watching(BOB, ACCOUNT, datetime.now(UTC))


def test_the_times_of_watching_are_known_and_short_pauses_do_not_count() -> None:
    clock = Clock()
    log = OrderLog(clock=clock)
    log.begin(ALICE, ACCOUNT)
    clock.pass_seconds(60)
    log.end(ALICE, ACCOUNT)
    clock.pass_seconds(5)
    log.begin(ALICE, ACCOUNT)
    clock.pass_seconds(60)
    log.end(ALICE, ACCOUNT)
    watched = [log.was_watching(ALICE, ACCOUNT, START + timedelta(seconds=s)) for s in (-1, 0, 62, 125, 126)]
    assert watched == [False, True, True, True, False]
    clock.pass_seconds(3600)
    log.begin(ALICE, ACCOUNT)
    assert log.was_watching(ALICE, ACCOUNT, clock.now + timedelta(seconds=1))
    assert not log.was_watching(ALICE, ACCOUNT, clock.now - timedelta(seconds=60))


def test_the_log_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order_log, "MOST_EVENTS", 30)
    monkeypatch.setattr(order_log, "MOST_EVENTS_OF_ACCOUNT", 10)
    monkeypatch.setattr(order_log, "MOST_ACCOUNTS", 6)
    clock = Clock()
    log = OrderLog(clock=clock)
    accounts = [UUID(int=number) for number in range(9)]
    for account in accounts:
        for number in range(25):
            log.record(ALICE, account, event("1", f"event {number}"))
        log.end(ALICE, account)
    kept = [len(log.heard(ALICE, account, "1")) for account in accounts]
    assert kept == [0, 0, 0, 0, 0, 0, 10, 10, 10]
    assert log.heard(ALICE, accounts[-1], "1")[0].event == "event 15"
    for number in range(100, 110):
        log.begin(ALICE, UUID(int=number))
    assert not any(log.heard(ALICE, account, "1") for account in accounts)
    for _ in range(100):  # an account that is opened again and again does not grow
        log.begin(ALICE, ACCOUNT)
        log.end(ALICE, ACCOUNT)
    assert log.was_watching(ALICE, ACCOUNT, clock.now)
