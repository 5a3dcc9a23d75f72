"""REST and socket report the same orders in any order, late, twice or not at all: the sum is always right."""

from dataclasses import replace
from decimal import Decimal

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.alpaca.orders import Order, read_order
from corral.stream.events import StreamEvent
from corral.stream.order_tracker import RECONCILED, OrderTracker

_BASE = read_order({"id": "a", "status": "new", "qty": "10", "filled_qty": "0", "submitted_at": "2026-11-25T10:00:00Z"})


def states_of(order_id: str, fills: list[int], *, is_stamped: bool) -> list[Order]:
    """The life of an order, as Alpaca knows it: each state later than the one before."""
    states: list[Order] = []
    filled = 0
    for number, fill in enumerate([0, *fills]):
        filled += fill
        stamp = f"2026-11-25T10:00:{number:02}.5Z" if is_stamped else "2026-11-25T10:00:00.5Z"
        status = "partially_filled" if filled else "new"
        states.append(replace(_BASE, id=order_id, status=status, filled_qty=f"{filled}.25", updated_at=stamp))
    last = replace(
        states[-1], status="filled", updated_at="2026-11-25T10:01:00Z" if is_stamped else states[-1].updated_at
    )
    return [*states, last]


def filled_in(reported: list[StreamEvent]) -> Decimal:
    return sum((Decimal(orjson.loads(news.body)["filled_since"]) for news in reported), Decimal(0))


def status_in(reported: list[StreamEvent]) -> str:
    return orjson.loads(reported[-1].body)["status"]


@given(
    fills=st.lists(st.integers(1, 5), max_size=6),
    heard=st.lists(st.tuples(st.sampled_from(["socket", "rest"]), st.integers(0, 7)), max_size=20),
    is_stamped=st.booleans(),
)
def test_events_in_any_order_add_up_to_the_final_state(
    fills: list[int], heard: list[tuple[str, int]], *, is_stamped: bool
) -> None:
    states = states_of("a", fills, is_stamped=is_stamped)
    tracker, reported = OrderTracker(), list[StreamEvent]()
    for source, index in heard:
        state = states[min(index, len(states) - 1)]
        if source == "socket":
            news = tracker.update("fill", state)
            reported += [news] if news else []
        else:
            reported += tracker.reconcile([state])
    reported += tracker.reconcile([states[-1]])
    assert filled_in(reported) == Decimal(states[-1].filled_qty or 0)
    assert status_in(reported) == "filled"
    assert tracker.reconcile([states[-1]]) == []
    assert all(tracker.update("late", state) is None for state in states)


@given(heard=st.lists(st.integers(0, 7), max_size=20))
def test_published_orders_never_go_back(heard: list[int]) -> None:
    states = states_of("a", [1, 2, 3], is_stamped=True)
    tracker, reported = OrderTracker(), list[str]()
    for index in heard:
        for news in tracker.reconcile([states[min(index, len(states) - 1)]]):
            reported.append(orjson.loads(news.body)["updated_at"])
    assert reported == sorted(set(reported))


def test_orders_of_one_response_are_published_in_the_order_in_which_they_happened() -> None:
    orders = [states_of(order_id, [1] * number, is_stamped=True)[number] for number, order_id in enumerate("abc")]
    for listed in (orders, orders[::-1]):
        reported = [orjson.loads(news.body)["id"] for news in OrderTracker().reconcile(listed)]
        assert reported == ["a", "b", "c"]


def test_an_existing_order_is_published_only_when_it_changes() -> None:
    tracker = OrderTracker()
    first, second, *_, last = states_of("a", [1, 2], is_stamped=True)
    tracker.begin([second])
    tracker.raise_floor("2026-11-25T10:00:00.000000000")
    assert tracker.reconcile([second]) == []
    assert tracker.update("new", first) is None
    (news,) = tracker.reconcile([last])
    assert orjson.loads(news.body)["event"] == RECONCILED
    assert filled_in([news]) == Decimal("3.25")  # all of it, because nothing was published before


def test_an_unknown_old_order_is_not_published_and_a_new_one_is() -> None:
    tracker = OrderTracker()
    tracker.begin([])
    tracker.raise_floor("2026-11-25T10:00:00.000000000")
    old, new = replace(_BASE, id="old"), replace(_BASE, id="new", submitted_at="2026-11-25T10:00:00.000000001Z")
    assert [orjson.loads(news.body)["id"] for news in tracker.reconcile([old, new])] == ["new"]


def test_a_cancelled_fill_is_subtracted() -> None:
    tracker = OrderTracker()
    *_, last = states_of("a", [4], is_stamped=True)
    reported = tracker.reconcile([last])
    reported += tracker.reconcile([replace(last, filled_qty="1.25", updated_at="2026-11-25T11:00:00Z")])
    assert filled_in(reported) == Decimal("1.25")


def _filled(quantity: str, status: str, stamp: str) -> Order:
    return replace(_BASE, filled_qty=quantity, status=status, updated_at=stamp)


@pytest.mark.parametrize("event", ["trade_bust", "trade_correct", None])
def test_a_filled_order_whose_trade_is_busted_goes_back_to_what_rest_says(event: str | None) -> None:
    tracker = OrderTracker()
    reported = tracker.reconcile([_filled("5", "filled", "2026-11-25T10:00:05Z")])
    busted = _filled("3", "partially_filled", "2026-11-25T10:05:00Z")
    news = tracker.update(event, busted) if event else tracker.reconcile([busted])[0]
    assert news is not None
    body = orjson.loads(news.body)
    assert (body["filled_qty"], body["filled_since"], body["status"]) == ("3", "-2", "partially_filled")
    reported.append(news)
    assert tracker.reconcile([busted]) == []
    late = _filled("5", "filled", "2026-11-25T10:00:05Z")
    assert (tracker.reconcile([late]), tracker.update("fill", late)) == ([], None)
    reported += tracker.reconcile([_filled("4", "filled", "2026-11-25T10:09:00Z")])
    assert filled_in(reported) == Decimal(4)


def test_a_bust_with_the_timestamp_of_the_fill_is_accepted_from_the_socket() -> None:
    tracker = OrderTracker()
    tracker.update("fill", _filled("5", "filled", "2026-11-25T10:00:05Z"))
    news = tracker.update("trade_bust", _filled("3", "partially_filled", "2026-11-25T10:00:05Z"))
    assert news is not None
    assert orjson.loads(news.body)["filled_since"] == "-2"


def test_an_order_open_again_after_a_bust_is_scanned() -> None:
    tracker = OrderTracker()
    tracker.begin([])
    tracker.reconcile([_filled("5", "filled", "2026-11-25T10:00:05Z")])
    tracker.raise_floor("2026-11-25T12:00:00.000000000")
    assert tracker.look_back_to() == "2026-11-25T12:00:00.000000000"
    assert tracker.look_back_for_corrections_to() == "2026-11-25T10:00:00.000000000"
    tracker.reconcile([_filled("3", "partially_filled", "2026-11-25T10:05:00Z")])
    assert tracker.look_back_to() == "2026-11-25T10:00:00.000000000"


def test_before_the_first_scan_no_order_can_be_corrected() -> None:
    assert OrderTracker().look_back_for_corrections_to() is None


def test_amounts_keep_every_digit() -> None:
    tracker = OrderTracker()
    first = replace(_BASE, filled_qty="12345678901234567890.000000000000000000001", updated_at="2026-11-25T10:00:01Z")
    reported = tracker.reconcile([first])
    reported += tracker.reconcile(
        [replace(first, filled_qty="12345678901234567890.000000000000000000003", status="filled")]
    )
    assert orjson.loads(reported[1].body)["filled_since"] == "0.000000000000000000002"


def test_an_order_tracker_is_bounded() -> None:
    tracker = OrderTracker()
    for number in range(12_000):
        tracker.reconcile([replace(_BASE, id=f"open-{number}"), replace(_BASE, id=f"over-{number}", status="filled")])
    assert len(tracker._open) == len(tracker._over) == 5_000  # pyright: ignore[reportPrivateUsage]  # memory is what this is about
