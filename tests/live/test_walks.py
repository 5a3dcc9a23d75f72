"""Orders are looked through page by page, from the newest back to the oldest that may have changed."""

from dataclasses import replace

import orjson

from corral.alpaca.errors import Fault
from corral.alpaca.items import UnreadableItem
from corral.alpaca.orders import Order, OrderStatusFilter, read_order
from corral.alpaca.paging import Page, Place
from corral.live.events import GAP, News
from corral.live.ledgers import OrderLedger
from corral.live.walks import MOST_PAGES, OrderWalk

_BASE = read_order({"id": "a", "status": "filled", "qty": "1", "filled_qty": "1"})


def orders(*minutes: int, status: str = "filled") -> list[Order]:
    return [
        replace(_BASE, id=f"order-{minute}", status=status, submitted_at=f"2026-11-25T10:{minute:02}:00.5Z")
        for minute in minutes
    ]


def told(news: list[News]) -> list[str]:
    return [orjson.loads(one.body)["id"] for one in news]


def first_look(ledger: OrderLedger, *minutes: int, status: str = "filled") -> None:
    assert OrderWalk(ledger).take(Page(orders(*minutes, status=status), None)) == []


def test_the_first_walk_tells_nothing_and_takes_in_the_newest_and_what_is_open_beyond_them() -> None:
    ledger = OrderLedger()
    walk = OrderWalk(ledger)
    assert (walk.query.status, walk.query.after) == (OrderStatusFilter.ALL, None)
    assert walk.take(Page(orders(30, 29), Place("order-29"))) == []
    assert (walk.query.status, walk.place) == (OrderStatusFilter.OPEN, Place())
    assert walk.take(Page(orders(3, status="new"), None)) == []
    assert walk.is_done
    assert ledger.look_back_to() == "2026-11-25T10:03:00.500000000"


def test_a_later_walk_looks_back_to_the_oldest_that_is_open() -> None:
    ledger = OrderLedger()
    first_look(ledger, 20, 5, status="new")
    walk = OrderWalk(ledger)
    assert walk.query.after == "2026-11-25T10:04:59Z"
    assert told(walk.take(Page(orders(40), Place("order-40")))) == ["order-40"]
    assert walk.place == Place("order-40")
    assert not walk.is_done
    assert told(walk.take(Page(orders(20, 5), None))) == ["order-20", "order-5"]
    assert walk.is_done
    assert OrderWalk(ledger).query.after == "2026-11-25T10:39:59Z"


def test_with_no_orders_at_all_the_next_walk_looks_at_everything_that_came_since() -> None:
    ledger = OrderLedger()
    first_look(ledger)
    walk = OrderWalk(ledger)
    assert walk.query.after is None
    assert told(walk.take(Page(orders(1), None))) == ["order-1"]


def test_what_is_beyond_reach_is_told_as_a_gap() -> None:
    ledger = OrderLedger()
    first_look(ledger, 1, status="new")
    walk = OrderWalk(ledger)
    for minute in range(MOST_PAGES - 1):
        walk.take(Page(orders(50 - minute), Place(f"order-{50 - minute}")))
    assert not walk.is_done
    assert walk.take(Page(orders(30), Place("order-30")))[-1] == GAP
    assert walk.is_done


_UNREADABLE = UnreadableItem("order-7", {"id": "order-7"}, {"qty": Fault.NOT_A_NUMBER})


def test_a_walk_past_an_order_that_cannot_be_read_comes_by_again() -> None:
    ledger = OrderLedger()
    first_look(ledger, 5)
    walk = OrderWalk(ledger)
    walk.take(Page([*orders(30), _UNREADABLE, *orders(6)], None))
    assert (walk.is_done, walk.unreadable) == (True, 1)
    again = OrderWalk(ledger)
    assert again.query.after == "2026-11-25T10:04:59Z"
    assert told(again.take(Page(orders(30, 7, 6), None))) == ["order-7"]
    assert OrderWalk(ledger).query.after == "2026-11-25T10:29:59Z"


def test_a_walk_that_is_cut_off_past_an_unreadable_order_does_not_come_by_for_ever() -> None:
    ledger = OrderLedger()
    first_look(ledger, 5)
    walk = OrderWalk(ledger)
    news = [walk.take(Page([*orders(40), _UNREADABLE], Place("further"))) for _ in range(MOST_PAGES)]
    assert news[-1][-1] is GAP
    assert OrderWalk(ledger).query.after == "2026-11-25T10:39:59Z"


def test_a_walk_for_corrections_goes_back_to_orders_that_are_over_and_says_nothing_of_a_gap_beyond() -> None:
    ledger = OrderLedger()
    first_look(ledger, 5)
    OrderWalk(ledger).take(Page(orders(20), None))
    OrderWalk(ledger).take(Page(orders(50), None))
    assert OrderWalk(ledger).query.after == "2026-11-25T10:49:59Z"
    walk = OrderWalk(ledger, for_corrections=True)
    assert walk.query.after == "2026-11-25T10:19:59Z"
    news = [walk.take(Page(orders(50, 30), Place("further"))) for _ in range(MOST_PAGES)]
    assert GAP not in news[-1]
