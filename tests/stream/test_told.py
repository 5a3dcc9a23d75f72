"""Whoever takes over an account knows what was told of it: the sums hold over any number of hand-overs."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import orjson
from hypothesis import given
from hypothesis import strategies as st

from corral.alpaca.orders import Order, read_order
from corral.stream.account_log import Entry, Loaded, Snapshot
from corral.stream.events import Description, Kind, LogPosition, StreamEvent
from corral.stream.news import Handover, Liveness, News, Trouble
from corral.stream.order_tracker import OrderTracker
from corral.stream.told import MOST_ORDERS, Told
from tests.stream.test_order_tracker import states_of

TROUBLE = Description("upstream_failed", "Alpaca", "It does not answer.")


def account(balance: str) -> StreamEvent:
    return StreamEvent(Kind.ACCOUNT_DATA, orjson.dumps({"balance": balance}))


def position(asset: str, qty: str) -> StreamEvent:
    return StreamEvent(Kind.POSITION, orjson.dumps({"asset_id": asset, "qty": qty}), asset, qty == "0")


def loaded_after(*news: News, number: int = 1, cuts_at: int = 0) -> Loaded:
    """As a log has it, with a snapshot of the first `cuts_at` entries."""
    told = Told()
    for each in news[:cuts_at]:
        told.follow(each)
    entries = [Entry(LogPosition(number, index + 1), [each]) for index, each in enumerate(news)]
    snapshot = Snapshot(LogPosition(number, cuts_at), orjson.loads(orjson.dumps(told.dump())))
    return Loaded(snapshot, entries[-1].position if entries else None, entries)


@given(
    fills=st.lists(st.integers(1, 5), max_size=6),
    heard=st.lists(st.tuples(st.sampled_from(["socket", "rest"]), st.integers(0, 7), st.booleans()), max_size=20),
    is_stamped=st.booleans(),
    snapshots=st.lists(st.booleans(), min_size=20, max_size=20),
)
def test_every_fill_is_told_once_however_often_another_process_takes_over(
    fills: list[int], heard: list[tuple[str, int, bool]], snapshots: list[bool], *, is_stamped: bool
) -> None:
    """Each new holder has a snapshot and what was told since, and nothing else."""
    states = states_of("a", fills, is_stamped=is_stamped)
    told, events, since = Told(), list[StreamEvent](), list[StreamEvent]()
    dumped = told.dump()
    for number, (source, index, is_handover) in enumerate([*heard, ("rest", 99, True)]):
        state = states[min(index, len(states) - 1)]
        if source == "socket":
            news = told.tracker.update("fill", state)
            new = [news] if news else []
        else:
            new = told.tracker.reconcile([state])
        for event in new:
            told.take(event)
        events, since = events + new, since + new
        if snapshots[number % len(snapshots)]:
            dumped, since = orjson.loads(orjson.dumps(told.dump())), []
        if is_handover:
            entries = [Entry(LogPosition(1, number + 2), [event]) for number, event in enumerate(since)]
            last = entries[-1].position if entries else LogPosition(1, 1)
            taken_over = Told.of(Loaded(Snapshot(LogPosition(1, 1), dumped), last, entries))
            assert taken_over is not None
            told = taken_over
    events += told.tracker.reconcile([states[-1]])
    assert sum(Decimal(orjson.loads(event.body)["filled_since"]) for event in events) == Decimal(
        states[-1].filled_qty or 0
    )


@given(
    fills=st.lists(st.integers(1, 5), max_size=5),
    here=st.lists(st.integers(0, 6), max_size=6),
    there=st.lists(st.integers(0, 6), max_size=6),
)
def test_what_two_processes_told_alone_adds_up_when_one_follows_the_other_again(
    fills: list[int], here: list[int], there: list[int]
) -> None:
    states = states_of("a", fills, is_stamped=True)
    ours, theirs = OrderTracker(), OrderTracker()
    told = [event for index in here for event in ours.reconcile([states[min(index, len(states) - 1)]])]
    their_last: StreamEvent | None = None
    for index in [*there, len(states) - 1]:
        for event in theirs.reconcile([states[min(index, len(states) - 1)]]):
            their_last = event
    assert their_last is not None
    assert ours.is_within(theirs, {"a"})
    caught_up = ours.catch_up(their_last)
    told += [caught_up] if caught_up else []
    assert ours.catch_up(their_last) is None
    assert sum(Decimal(orjson.loads(event.body)["filled_since"]) for event in told) == Decimal(
        states[-1].filled_qty or 0
    )


def test_a_snapshot_and_what_follows_it_are_the_whole_state() -> None:
    news: list[News] = [
        Handover(None),
        account("1"),
        position("apple", "5"),
        position("tesla", "1"),
        Trouble("polling", TROUBLE),
        Liveness(is_live=True),
        position("apple", "0"),
        account("2"),
        Trouble("polling", TROUBLE, is_over=True),
        Trouble("orders", TROUBLE),
    ]
    for cut in range(len(news) + 1):
        told = Told.of(loaded_after(*news, cuts_at=cut))
        assert told is not None
        assert told.events() == [account("2"), position("tesla", "1")]
        assert told.problems == {"orders": TROUBLE}
        assert told.is_live


def test_a_missing_entry_makes_the_state_unknown() -> None:
    whole = loaded_after(Handover(None), account("1"), account("2"), account("3"), cuts_at=1)
    assert Told.of(whole) is not None
    for missing in (1, 2, 3):
        entries = [entry for index, entry in enumerate(whole.entries) if index != missing]
        assert Told.of(replace(whole, entries=entries)) is None
        unread = [entry._replace(news=None) if index == missing else entry for index, entry in enumerate(whole.entries)]
        assert Told.of(replace(whole, entries=unread)) is None
    assert Told.of(replace(whole, snapshot=None)) is None


def test_entries_of_a_later_holder_follow_only_what_that_one_had_seen() -> None:
    first = loaded_after(Handover(None), account("1"), cuts_at=0)
    assert first.last is not None
    for after, is_whole in ((first.last, True), (LogPosition(1, 1), False), (None, False)):
        following = [Entry(LogPosition(9, 1), [Handover(after)]), Entry(LogPosition(9, 2), [account("2")])]
        both = replace(first, entries=[*first.entries, *following], last=LogPosition(9, 2))
        assert (both.after(first.last) is not None) == is_whole


def test_only_the_last_orders_are_kept() -> None:
    told = Told()
    for number in range(MOST_ORDERS + 5):
        event = told.tracker.update("new", read_order({"id": str(number), "status": "new", "filled_qty": "0"}))
        assert event is not None
        told.take(event)
    assert len(told.orders) == MOST_ORDERS
    assert next(iter(told.orders)) == "5"


NOW = datetime(2026, 11, 27, 14, 30, 5, 123, UTC)


def order(order_id: str, status: str, updated_at: datetime, filled_qty: str = "0") -> Order:
    stamp = f"{updated_at:%Y-%m-%dT%H:%M:%S.%f}Z"
    fields = {"id": order_id, "status": status, "qty": "10", "filled_qty": filled_qty}
    return read_order({**fields, "submitted_at": stamp, "updated_at": stamp})


def test_the_state_has_orders_that_are_open_or_have_ended_lately() -> None:
    told = Told()
    told.take(StreamEvent(Kind.ACCOUNT_DATA, orjson.dumps({"last_updated": NOW})))
    begun = told.begin(
        [
            order("open for weeks", "new", NOW - timedelta(days=40), "4"),
            order("ended last", "canceled", NOW, "0"),
            order("ended lately", "filled", NOW - timedelta(minutes=4), "10"),
            order("ended before", "filled", NOW - timedelta(minutes=6), "10"),
        ]
    )
    assert told.state()[1:] == begun
    described = [orjson.loads(event.body) for event in begun]
    assert {one["id"]: (one["event"], one["filled_since"]) for one in described} == {
        "open for weeks": ("state", "4"),
        "ended lately": ("state", "10"),
        "ended last": ("state", "0"),
    }
    assert all(event.is_state for event in begun)


def test_an_order_that_has_ended_is_forgotten_before_one_that_is_open() -> None:
    told = Told()
    months = [NOW - timedelta(days=30 * month) for month in range(MOST_ORDERS)]
    told.begin([order(f"open {month}", "new", moment) for month, moment in enumerate(months[: MOST_ORDERS // 2])])
    for number in range(MOST_ORDERS):
        event = told.tracker.update("fill", order(f"over {number}", "filled", NOW, "10"))
        assert event is not None
        told.take(event)
    assert len(told.orders) == MOST_ORDERS
    assert sum(name.startswith("open") for name in told.orders) == MOST_ORDERS // 2
    assert f"over {MOST_ORDERS - 1}" in told.orders
    assert "over 0" not in told.orders


def test_the_orders_that_are_kept_of_very_many_are_the_open_ones_and_the_latest() -> None:
    told = Told()
    ended = [order(f"over {number}", "filled", NOW - timedelta(seconds=number)) for number in range(MOST_ORDERS)]
    told.begin([*ended, order("open for years", "new", NOW - timedelta(days=900))])
    assert len(told.orders) == MOST_ORDERS
    assert "open for years" in told.orders
    assert "over 0" in told.orders
    assert f"over {MOST_ORDERS - 1}" not in told.orders
