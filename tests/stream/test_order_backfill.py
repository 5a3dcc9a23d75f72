"""Orders are looked through page by page, from the newest back to the oldest that may have changed."""

from dataclasses import replace

import orjson

from corral.alpaca.errors import Fault
from corral.alpaca.items import UnreadableItem
from corral.alpaca.orders import Order, OrderStatusFilter, read_order
from corral.alpaca.paging import Page, Place
from corral.stream.events import GAP, StreamEvent
from corral.stream.order_tracker import MOST_PAGES, OrderBackfill, OrderTracker

_BASE = read_order({"id": "a", "status": "filled", "qty": "1", "filled_qty": "1"})


def orders(*minutes: int, status: str = "filled") -> list[Order]:
    return [
        replace(_BASE, id=f"order-{minute}", status=status, submitted_at=f"2026-11-25T10:{minute:02}:00.5Z")
        for minute in minutes
    ]


def reported(news: list[StreamEvent]) -> list[str]:
    return [orjson.loads(one.body)["id"] for one in news]


def first_look(tracker: OrderTracker, *minutes: int, status: str = "filled") -> None:
    assert OrderBackfill(tracker).take(Page(orders(*minutes, status=status), None)) == []


def test_the_first_scan_publishes_nothing_and_records_new_and_open_orders() -> None:
    tracker = OrderTracker()
    backfill = OrderBackfill(tracker)
    assert (backfill.query.status, backfill.query.after) == (OrderStatusFilter.ALL, None)
    assert backfill.take(Page(orders(30, 29), Place("order-29"))) == []
    assert (backfill.query.status, backfill.place) == (OrderStatusFilter.OPEN, Place())
    assert backfill.take(Page(orders(3, status="new"), None)) == []
    assert backfill.is_done
    assert tracker.look_back_to() == "2026-11-25T10:03:00.500000000"


def test_a_later_scan_goes_back_to_the_oldest_open_order() -> None:
    tracker = OrderTracker()
    first_look(tracker, 20, 5, status="new")
    backfill = OrderBackfill(tracker)
    assert backfill.query.after == "2026-11-25T10:04:59Z"
    assert reported(backfill.take(Page(orders(40), Place("order-40")))) == ["order-40"]
    assert backfill.place == Place("order-40")
    assert not backfill.is_done
    assert reported(backfill.take(Page(orders(20, 5), None))) == ["order-20", "order-5"]
    assert backfill.is_done
    assert OrderBackfill(tracker).query.after == "2026-11-25T10:39:59Z"


def test_without_any_orders_the_next_scan_covers_all_new_ones() -> None:
    tracker = OrderTracker()
    first_look(tracker)
    backfill = OrderBackfill(tracker)
    assert backfill.query.after is None
    assert reported(backfill.take(Page(orders(1), None))) == ["order-1"]


def test_orders_beyond_the_scan_are_reported_as_a_gap() -> None:
    tracker = OrderTracker()
    first_look(tracker, 1, status="new")
    backfill = OrderBackfill(tracker)
    for minute in range(MOST_PAGES - 1):
        backfill.take(Page(orders(50 - minute), Place(f"order-{50 - minute}")))
    assert not backfill.is_done
    assert backfill.take(Page(orders(30), Place("order-30")))[-1] == GAP
    assert backfill.is_done


_UNREADABLE = UnreadableItem("order-7", {"id": "order-7"}, {"qty": Fault.NOT_A_NUMBER})


def test_an_unreadable_order_is_scanned_again() -> None:
    tracker = OrderTracker()
    first_look(tracker, 5)
    backfill = OrderBackfill(tracker)
    backfill.take(Page([*orders(30), _UNREADABLE, *orders(6)], None))
    assert (backfill.is_done, backfill.unreadable) == (True, 1)
    again = OrderBackfill(tracker)
    assert again.query.after == "2026-11-25T10:04:59Z"
    assert reported(again.take(Page(orders(30, 7, 6), None))) == ["order-7"]
    assert OrderBackfill(tracker).query.after == "2026-11-25T10:29:59Z"


def test_an_interrupted_scan_does_not_repeat_an_unreadable_order_forever() -> None:
    tracker = OrderTracker()
    first_look(tracker, 5)
    backfill = OrderBackfill(tracker)
    news = [backfill.take(Page([*orders(40), _UNREADABLE], Place("further"))) for _ in range(MOST_PAGES)]
    assert news[-1][-1] is GAP
    assert OrderBackfill(tracker).query.after == "2026-11-25T10:39:59Z"


def test_a_scan_for_corrections_covers_finished_orders_and_reports_no_gap() -> None:
    tracker = OrderTracker()
    first_look(tracker, 5)
    OrderBackfill(tracker).take(Page(orders(20), None))
    OrderBackfill(tracker).take(Page(orders(50), None))
    assert OrderBackfill(tracker).query.after == "2026-11-25T10:49:59Z"
    backfill = OrderBackfill(tracker, for_corrections=True)
    assert backfill.query.after == "2026-11-25T10:19:59Z"
    news = [backfill.take(Page(orders(50, 30), Place("further"))) for _ in range(MOST_PAGES)]
    assert GAP not in news[-1]
