"""What one process was told of an account alone, and what the log of the account says afterwards."""

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast
from uuid import uuid4

import orjson

from corral.alpaca.orders import Order
from corral.stream.audience import Audience
from corral.stream.events import Kind, LogPosition, StreamEvent
from corral.stream.news import Handover
from corral.stream.order_tracker import state_event
from corral.stream.shared_outlet import SharedOutlet
from corral.stream.subscriptions import Subscription, Subscriptions
from corral.stream.told import Told
from tests.stream.test_order_tracker import states_of

if TYPE_CHECKING:
    from corral.credentials.reader import OpenCredential


class One:
    """An audience, and those who joined it."""

    def __init__(self) -> None:
        self.subscriptions = Subscriptions()
        self.audience = Audience(self.subscriptions)

    def join(self) -> tuple[Subscription, list[StreamEvent]]:
        told: list[StreamEvent] = []
        stored = SimpleNamespace(id=uuid4(), refused_at=None)
        credential = cast("OpenCredential", SimpleNamespace(stored=stored))
        subscription = Subscription(credential, lambda _whose, event: told.append(event))
        self.subscriptions.add(subscription)
        self.audience.accept(subscription)
        return subscription, told


def audience_of_one() -> tuple[Audience, Subscription, list[StreamEvent]]:
    one = One()
    subscription, told = one.join()
    return one.audience, subscription, told


def filled_in(events: list[StreamEvent]) -> list[str]:
    return [orjson.loads(event.body)["filled_since"] for event in events if event.kind is Kind.ORDER]


def scanned(*orders: Order) -> Told:
    told = Told()
    told.tracker.begin(orders)
    told.tracker.raise_floor("2026-11-25T09:00:00Z")
    return told


async def test_no_position_is_shown_while_more_was_told_here_than_is_in_the_log() -> None:
    """Another process would tell it again."""
    audience, subscription, heard = audience_of_one()
    audience.told = scanned()
    *_, last = states_of("a", [2], is_stamped=True)
    audience.publish(audience.told.tracker.reconcile([last]))  # alone
    audience.begin_anew(scanned(), LogPosition(7, 3))
    assert subscription.position is None
    holder = scanned()
    (event,) = holder.tracker.reconcile([last])
    await audience.follow([event], LogPosition(7, 4))
    assert subscription.position == LogPosition(7, 4)
    assert filled_in(heard) == ["2.25"]
    assert Kind.GAP not in {each.kind for each in heard}


async def test_what_was_told_only_elsewhere_is_told_here_once() -> None:
    audience, subscription, heard = audience_of_one()
    audience.told = scanned()
    _, partly, last, _ = states_of("a", [2, 3], is_stamped=True)
    audience.publish(audience.told.tracker.reconcile([partly]))
    elsewhere = scanned()
    for event in elsewhere.tracker.reconcile([last]):
        elsewhere.take(event)
    audience.begin_anew(elsewhere, LogPosition(7, 3))
    assert filled_in(heard) == ["2.25", "3.00"]
    assert subscription.position == LogPosition(7, 3)


async def test_an_order_whose_events_are_not_known_here_is_a_gap() -> None:
    audience, _, heard = audience_of_one()
    audience.told = scanned()
    elsewhere = scanned()
    elsewhere.tracker.reconcile([states_of("a", [2], is_stamped=True)[-1]])  # and its event is not kept
    audience.begin_anew(elsewhere, LogPosition(7, 3))
    assert [event.kind for event in heard] == [Kind.GAP]


async def test_before_a_holder_has_looked_at_the_orders_the_difference_is_not_known() -> None:
    audience, _, heard = audience_of_one()
    audience.told = scanned()
    audience.begin_anew(Told(), LogPosition(7, 1))
    assert [event.kind for event in heard] == [Kind.GAP]


async def test_what_could_not_be_written_is_told_here_and_not_once_more_from_the_log() -> None:
    """As by a process that has lost its lease: it has tracked the order, so nobody else would tell it here."""
    audience, subscription, heard = audience_of_one()
    audience.told = scanned()
    audience.move(LogPosition(7, 3))
    outlet = SharedOutlet(audience, bool)
    outlet.begin_writing(Handover(LogPosition(7, 3)))
    *_, last = states_of("a", [2], is_stamped=True)
    outlet.publish(audience.told.tracker.reconcile([last]))
    assert filled_in(heard) == []
    await outlet.stop_writing()
    assert filled_in(heard) == ["2.25"]
    assert subscription.position is None
    elsewhere = scanned()
    for event in elsewhere.tracker.reconcile([last]):
        elsewhere.take(event)
    audience.begin_anew(elsewhere, LogPosition(8, 2))
    assert filled_in(heard) == ["2.25"]
    assert subscription.position == LogPosition(8, 2)


async def test_the_state_after_a_gap_is_told_whole_whatever_was_told_before() -> None:
    audience, _, heard = audience_of_one()
    audience.told = scanned()
    _, partly, last, _ = states_of("a", [2, 3], is_stamped=True)
    audience.publish(audience.told.tracker.reconcile([partly]))
    audience.begin_anew(Told(), LogPosition(8, 1))
    (state,) = map(state_event, scanned().tracker.reconcile([last]))
    await audience.follow([state], LogPosition(8, 2))
    assert filled_in(heard) == ["2.25", "5.25"]


async def test_who_begins_while_more_was_told_here_than_is_in_the_log_is_not_told_too_little() -> None:
    """It begins with what is in the log, and what the others were told of the order before would never reach it."""
    one = One()
    audience, (_, heard) = one.audience, one.join()
    audience.told = scanned()
    _, partly, last, _ = states_of("a", [2, 3], is_stamped=True)
    audience.publish(audience.told.tracker.reconcile([partly]))  # alone
    audience.begin_anew(scanned(), LogPosition(7, 3))
    late, heard_late = one.join()
    await audience.follow(scanned().tracker.reconcile([last]), LogPosition(7, 4))
    assert filled_in(heard) == ["2.25", "3.00"]
    assert filled_in(heard_late) == ["5.25"]
    assert late.position == LogPosition(7, 4)


def told_elsewhere(read_at: str, order: Order) -> Told:
    """With another order whose event is not kept, so that the difference to what was told here is a gap."""
    told = scanned()
    told.take(StreamEvent(Kind.ACCOUNT_DATA, b'{"last_updated": "2026-11-25T%b:00+00:00"}' % read_at.encode()))
    for event in told.tracker.reconcile([order]):
        told.take(event)
    told.tracker.reconcile([states_of("b", [2], is_stamped=True)[-1]])
    return told


async def test_fills_after_a_gap_are_counted_from_the_state_that_followed_it() -> None:
    audience, _, heard = audience_of_one()
    audience.told = scanned()
    _, partly, between, last, _ = states_of("a", [2, 3, 4], is_stamped=True)
    audience.publish(audience.told.tracker.reconcile([partly]))
    elsewhere = told_elsewhere("10:02", between)
    audience.begin_anew(elsewhere, LogPosition(8, 2))
    assert Kind.GAP in {event.kind for event in heard}
    await audience.follow(elsewhere.tracker.reconcile([last]), LogPosition(8, 3))
    assert filled_in(heard) == ["2.25", "5.25", "4.00"]


async def test_after_a_gap_orders_that_ended_long_ago_are_told_if_they_were_not() -> None:
    audience, _, heard = audience_of_one()
    audience.told = scanned()
    *_, long_over = states_of("a", [2], is_stamped=True)
    elsewhere = told_elsewhere("14:00", long_over)
    audience.begin_anew(elsewhere, LogPosition(8, 2))
    assert [event.kind for event in heard] == [Kind.GAP, Kind.ACCOUNT_DATA, Kind.ORDER]
    assert filled_in(heard) == ["2.25"]
