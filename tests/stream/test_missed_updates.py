"""What Alpaca's socket would have said, made from orders and fills; and where that is impossible."""

from typing import Any

import pytest

from corral.stream.missed_updates import Irreconcilable, MissedUpdate, Shown, ToldOrders, key_of

Json = dict[str, Any]


def at(minute: int) -> str:
    return f"2026-11-24T15:{minute:02}:00.123456789Z"


def order(name: str, status: str, filled: str = "0", *, submitted: int = 0, updated: int = 0, **more: object) -> Json:
    return {
        "id": name,
        "status": status,
        "symbol": "AAPL",
        "qty": "10",
        "filled_qty": filled,
        "filled_avg_price": more.pop("average", None),
        "submitted_at": at(submitted),
        "updated_at": at(updated or submitted),
        "filled_at": None,
        "canceled_at": None,
        "legs": [],
        **more,
    }


def fill(name: str, number: int, total: str, *, left: str, price: str = "100", minute: int = 0, **more: object) -> Json:
    """`qty` is 5 and it is bought, if nothing else is said."""
    return {
        "id": f"2026112415{minute:02}00123::execution-{number}",
        "order_id": name,
        "symbol": "AAPL",
        "side": "buy",
        "qty": "5",
        "price": price,
        "cum_qty": total,
        "leaves_qty": left,
        "transaction_time": at(minute),
        **more,
    }


def told(*orders: Json, newest_fill: str | None = None) -> ToldOrders:
    known = ToldOrders()
    known.begin(orders, newest_fill)
    return known


def named(updates: list[MissedUpdate]) -> list[tuple[str, str]]:
    return [(str(update.data["event"]), update.key[0]) for update in updates]


def test_nothing_has_happened() -> None:
    resting = order("a", "new")
    assert told(resting).missed(Shown([resting], []), []) == []


def test_orders_that_ended_and_new_ones_are_told_in_the_order_of_their_times() -> None:
    known = told(order("a", "new"), order("b", "new"), order("c", "accepted"), order("d", "new"))
    shown = [
        order("a", "canceled", updated=30, canceled_at=at(30)),
        order("b", "expired", updated=20),
        order("c", "new", updated=25),
        order("d", "replaced", updated=40, replaced_by="e"),
        order("e", "new", submitted=40, replaces="d"),
        order("f", "rejected", submitted=10),
        order("g", "accepted", submitted=50),
    ]
    updates = known.missed(Shown(shown, []), [])
    assert named(updates) == [
        ("rejected", "f"), ("expired", "b"), ("new", "c"), ("canceled", "a"), ("replaced", "d"), ("new", "e"),
        ("accepted", "g"),
    ]  # fmt: skip
    assert updates[3].data == {"event": "canceled", "timestamp": at(30), "order": {**shown[0], "legs": None}}
    known.conclude(Shown(shown, []), updates)
    assert known.missed(Shown(shown, []), []) == []


def test_fills_have_their_own_price_quantity_time_and_position() -> None:
    known = told(order("a", "new"))
    whole = order("a", "filled", "10", updated=7, filled_avg_price="101", filled_at=at(7))
    fills = [
        fill("a", 3, "10", left="0", price="102", minute=7),
        fill("z", 2, "3", left="0", minute=6, side="sell", qty="3"),
        fill("a", 1, "5", left="5", minute=5),
    ]
    sold = order("z", "filled", "3", submitted=6, updated=6)
    shown = Shown([whole, sold], fills, [{"symbol": "AAPL", "qty": "17"}])
    first, new, sale, last = known.missed(shown, [])
    assert first.data["order"]["filled_avg_price"] == "100"  # pyright: ignore[reportIndexIssue]
    assert (first.data["event"], new.data["event"], sale.data["event"], last.data["event"]) == (
        "partial_fill", "new", "fill", "fill",
    )  # fmt: skip
    assert [update.data["position_qty"] for update in (first, sale, last)] == ["15", "12", "17"]
    assert last.data == {
        "event": "fill", "timestamp": at(7), "execution_id": "execution-3", "price": "102", "qty": "5",
        "position_qty": "17", "order": {**whole, "legs": None},
    }  # fmt: skip
    assert first.data["order"] == {
        **whole, "legs": None, "status": "partially_filled", "filled_qty": "5", "filled_avg_price": "100",
        "filled_at": None, "updated_at": at(5),
    }  # fmt: skip


def test_of_coins_the_position_is_not_known_because_of_their_fee() -> None:
    filled = order("a", "filled", "5", symbol="BTC/USD")
    shown = Shown([filled], [fill("a", 1, "5", left="0", symbol="BTC/USD")], [])
    (update,) = told(order("a", "new")).missed(shown, [])
    assert "position_qty" not in update.data


def test_what_arrives_as_a_frame_is_not_told_before_it() -> None:
    known = told(order("a", "new"))
    half, whole = order("a", "partially_filled", "5", average="100"), order("a", "filled", "10", average="100")
    fills = [fill("a", 2, "10", left="0", minute=2), fill("a", 1, "5", left="5", minute=1)]
    frame = {"event": "fill", "order": {**whole, "filled_qty": "10.0"}}
    arrived = [key for key in [key_of(frame)] if key is not None]
    updates = known.missed(Shown([whole], fills), arrived)
    assert named(updates) == [("partial_fill", "a")]
    known.conclude(Shown([whole], fills), updates)
    late = {"event": "partial_fill", "order": half}
    assert known.is_repeated(late)
    assert not known.is_repeated(late)
    assert not known.is_repeated(frame)


def test_frames_that_a_told_event_has_overtaken_are_not_told_either() -> None:
    known = told()
    shown = Shown([order("a", "new")], [])
    known.conclude(shown, known.missed(shown, []))
    for event in ("pending_new", "new"):
        assert known.is_repeated({"event": event, "order": order("a", event)})
    assert not known.is_repeated({"event": "fill", "order": order("a", "filled", "10")})
    assert not known.is_repeated({"event": "canceled", "order": None})


def test_orders_that_were_over_before_anybody_listened_are_not_told() -> None:
    known = told(order("a", "new", submitted=30))
    older = order("old", "filled", "5", submitted=10, updated=31)
    assert known.missed(Shown([older], [fill("old", 1, "5", left="0")]), []) == []


@pytest.mark.parametrize(
    ("orders", "fills"),
    [
        ([order("a", "filled", "10")], []),  # its fills are not shown yet
        ([order("a", "filled", "10")], [fill("a", 2, "10", left="0")]),  # one is missing
        ([order("a", "new", "0")], [fill("a", 1, "5", left="5")]),  # a fill that its order does not know
        ([order("b", "new", "0")], []),  # a fill was taken back
        ([order("c", "new")], []),  # a cancel was refused, or not asked for
    ],
)
def test_what_does_not_add_up_is_not_told(orders: list[Json], fills: list[Json]) -> None:
    known = told(order("a", "new"), order("b", "partially_filled", "5"), order("c", "pending_cancel"))
    with pytest.raises(Irreconcilable):
        known.missed(Shown(orders, fills), [])


def test_frames_keep_the_state_of_orders() -> None:
    known = told(order("a", "new"), order("b", "new"))
    known.note({"event": "canceled", "order": order("b", "canceled")})
    known.note({"event": "new", "order": order("n", "new")})
    known.note({"event": "new", "order": {"id": 7}})
    known.note({"event": "new"})
    assert known.open_orders() == ["a", "n"]
    assert known.missed(Shown([order("b", "canceled"), order("n", "new", submitted=1)], []), []) == []
