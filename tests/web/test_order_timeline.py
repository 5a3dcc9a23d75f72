"""The life of an order: what Alpaca says, what the stream said, and when."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from corral.accounts.order_life import OrderFills
from corral.accounts.schemas import OrderResponse
from corral.stream.order_log import HeardEvent
from corral.web.view.order_timeline import Timeline, build_timeline
from tests.web.test_activities_view import fill
from tests.web.test_orders_view import leg, order

START = datetime(2026, 11, 23, 14, 31, tzinfo=UTC)


def at(seconds: float) -> str:
    return (START + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def heard(seconds: float, event: str, status: str, filled_qty: str = "0", order_id: str = "1") -> HeardEvent:
    return HeardEvent(order_id, event, status, filled_qty, START + timedelta(seconds=seconds))


def timeline(
    shown: OrderResponse, *fills: dict[str, str], events: list[HeardEvent] | None = None, watched: bool = False
) -> Timeline:
    read = [fill(**{"order_id": "1", "price": "180", "type": "partial_fill"} | one) for one in fills]
    return build_timeline(shown, OrderFills(fills=read), events or [], lambda _: watched)


def told(of: Timeline) -> list[tuple[str, str | None]]:
    return [(moment.text, moment.total) for moment in of.moments]


def filled_order(**fields: Any) -> OrderResponse:  # noqa: ANN401 - fields of any type
    return order(
        **{"status": "filled", "qty": "10", "submitted_at": at(0), "filled_at": at(5), "filled_qty": "10"} | fields
    )


def test_fills_are_in_order_with_running_totals() -> None:
    first = {"qty": "4", "transaction_time": at(3)}  # Alpaca leaves cum_qty out
    last = {"qty": "6", "transaction_time": at(5), "type": "fill", "cum_qty": "10"}
    shown = timeline(filled_order(), first, last)
    assert told(shown) == [("Submitted", None), ("Partially filled", "4"), ("Filled", "10")]
    assert not shown.was_heard
    assert not any(moment.was_watched for moment in shown.moments)


def test_an_order_whose_fills_are_unknown_was_filled_nevertheless() -> None:
    assert told(timeline(filled_order())) == [("Submitted", None), ("Filled", "10")]


@pytest.mark.parametrize(
    ("field", "text"),
    [("canceled_at", "Canceled"), ("expired_at", "Expired"), ("failed_at", "Rejected"), ("replaced_at", "Replaced")],
)
def test_an_order_that_ends_without_a_fill_says_how(field: str, text: str) -> None:
    ended = order(status="x", submitted_at=at(0), replaced_by="2", **{field: at(9)})
    last = timeline(ended).moments[-1]
    assert (last.text, last.at) == (text, at(9))
    assert last.replaced_by == ("2" if text == "Replaced" else None)


def test_moments_have_the_time_at_which_the_stream_told_of_them() -> None:
    events = [
        heard(0.2, "pending_new", "pending_new"),
        heard(0.3, "new", "new"),
        heard(3.1, "partial_fill", "partially_filled", "4"),
        heard(5.4, "fill", "filled", "10"),
    ]
    fills = [{"qty": "4", "transaction_time": at(3)}, {"qty": "6", "transaction_time": at(5), "type": "fill"}]
    shown = timeline(filled_order(), *fills, events=events)
    assert [(moment.text, moment.heard_at and moment.heard_at[17:21]) for moment in shown.moments] == [
        ("Submitted", "00.2"),
        ("Sent to the exchange", "00.3"),
        ("Partially filled", "03.1"),
        ("Filled", "05.4"),
    ]


def test_one_event_may_tell_of_several_fills() -> None:
    """What the socket missed is found over REST later."""
    fills = [{"qty": "4", "transaction_time": at(3)}, {"qty": "6", "transaction_time": at(5), "type": "fill"}]
    shown = timeline(filled_order(), *fills, events=[heard(20, "reconciled", "filled", "10")], watched=True)
    assert [moment.heard_at is not None for moment in shown.moments] == [False, True, True]
    assert all(moment.was_watched for moment in shown.moments)


def test_events_that_no_field_tells_of_are_moments_of_their_own() -> None:
    events = [heard(1, "pending_cancel", "pending_cancel"), heard(2, "order_cancel_rejected", "new")]
    shown = timeline(order(status="new", submitted_at=at(0)), events=events)
    assert [moment.text for moment in shown.moments] == ["Submitted", "Cancel requested", "Cancel rejected"]


def test_an_event_that_is_heard_late_comes_before_the_end_of_its_order() -> None:
    """Alpaca's time of the end may be earlier than when the stream told what was before it."""
    shown = order(status="canceled", submitted_at=at(0), canceled_at=at(2))
    late = [heard(3, "accepted", "accepted"), heard(3.5, "new", "new"), heard(4, "canceled", "canceled")]
    busted = [*late, heard(9, "trade_bust", "canceled")]
    assert [text for text, _ in told(timeline(shown, events=busted))] == [
        "Submitted",
        "Sent to the exchange",
        "Canceled",
        "Fill canceled by the exchange",
    ]


def test_a_moment_without_an_event_says_whether_corral_was_watching() -> None:
    shown = build_timeline(
        order(status="canceled", submitted_at=at(0), canceled_at=at(60)),
        OrderFills(),
        [],
        lambda moment: moment > START + timedelta(seconds=30),
    )
    assert [moment.was_watched for moment in shown.moments] == [False, True]


def test_the_legs_of_a_bracket_end_under_their_roles() -> None:
    target = leg(id="2", type="limit", status="filled", submitted_at=at(0), filled_at=at(90), filled_qty="10")
    stop = leg(id="3", type="stop", status="canceled", submitted_at=at(0), canceled_at=at(91))
    shown = timeline(order(target, stop, order_class="bracket", submitted_at=at(0)))
    assert [(moment.text, moment.leg) for moment in shown.moments] == [
        ("Submitted", ""), ("Filled", "Take profit"), ("Canceled", "Stop loss"),
    ]  # fmt: skip


def test_a_leg_that_ends_without_an_event_is_shown_nevertheless() -> None:
    """Alpaca's stream does not say that a stop loss is canceled by its take profit (alpacahq/alpaca-py#198)."""
    target = leg(id="2", type="limit", status="filled", submitted_at=at(0), filled_at=at(90), filled_qty="10")
    stop = leg(id="3", type="stop", status="canceled", submitted_at=at(0), canceled_at=at(91))
    shown = timeline(
        order(target, stop, order_class="bracket", submitted_at=at(0)),
        events=[heard(90.1, "fill", "filled", "10", order_id="2")],
        watched=True,
    )
    last = shown.moments[-1]
    assert (last.text, last.leg, last.heard_at, last.was_watched) == ("Canceled", "Stop loss", None, True)


def test_the_legs_of_a_multi_leg_order_have_their_own_fills() -> None:
    bought = leg(id="2", symbol="SPY261218C00600000", submitted_at=at(0), canceled_at=at(9))
    shown = timeline(
        order(bought, order_class="mleg", submitted_at=at(0), canceled_at=at(9)),
        {"order_id": "2", "qty": "1", "transaction_time": at(5), "symbol": "SPY261218C00600000"},
    )
    assert [(moment.text, moment.leg) for moment in shown.moments] == [
        ("Submitted", ""), ("Partially filled", "SPY261218C00600000"), ("Canceled", ""),
    ]  # fmt: skip
