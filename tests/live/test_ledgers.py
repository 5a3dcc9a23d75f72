"""REST and socket tell of the same orders in any order, late, twice or not at all: the sum is always the truth."""

from dataclasses import replace
from decimal import Decimal

import orjson
from hypothesis import given
from hypothesis import strategies as st

from corral.alpaca.orders import Order, read_order
from corral.live.events import News
from corral.live.ledgers import RECONCILED, OrderLedger

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


def filled_in(told: list[News]) -> Decimal:
    return sum((Decimal(orjson.loads(news.body)["filled_since"]) for news in told), Decimal(0))


def status_in(told: list[News]) -> str:
    return orjson.loads(told[-1].body)["status"]


@given(
    fills=st.lists(st.integers(1, 5), max_size=6),
    heard=st.lists(st.tuples(st.sampled_from(["socket", "rest"]), st.integers(0, 7)), max_size=20),
    is_stamped=st.booleans(),
)
def test_whatever_is_heard_in_whatever_order_the_events_add_up_and_end_in_the_truth(
    fills: list[int], heard: list[tuple[str, int]], *, is_stamped: bool
) -> None:
    states = states_of("a", fills, is_stamped=is_stamped)
    ledger, told = OrderLedger(), list[News]()
    for source, index in heard:
        state = states[min(index, len(states) - 1)]
        if source == "socket":
            news = ledger.learn("fill", state)
            told += [news] if news else []
        else:
            told += ledger.reconcile([state])
    told += ledger.reconcile([states[-1]])
    assert filled_in(told) == Decimal(states[-1].filled_qty or 0)
    assert status_in(told) == "filled"
    assert ledger.reconcile([states[-1]]) == []
    assert all(ledger.learn("late", state) is None for state in states)


@given(heard=st.lists(st.integers(0, 7), max_size=20))
def test_what_is_told_never_goes_back(heard: list[int]) -> None:
    states = states_of("a", [1, 2, 3], is_stamped=True)
    ledger, told = OrderLedger(), list[str]()
    for index in heard:
        for news in ledger.reconcile([states[min(index, len(states) - 1)]]):
            told.append(orjson.loads(news.body)["updated_at"])
    assert told == sorted(set(told))


def test_what_was_there_before_anybody_watched_is_no_news_until_something_happens() -> None:
    ledger = OrderLedger()
    first, second, *_, last = states_of("a", [1, 2], is_stamped=True)
    ledger.begin([second])
    ledger.raise_floor("2026-11-25T10:00:00.000000000")
    assert ledger.reconcile([second]) == []
    assert ledger.learn("new", first) is None
    (news,) = ledger.reconcile([last])
    assert orjson.loads(news.body)["event"] == RECONCILED
    assert filled_in([news]) == Decimal("3.25")  # all of it, for nothing was told before


def test_an_old_order_that_nobody_knew_is_no_news_and_a_new_one_is() -> None:
    ledger = OrderLedger()
    ledger.begin([])
    ledger.raise_floor("2026-11-25T10:00:00.000000000")
    old, new = replace(_BASE, id="old"), replace(_BASE, id="new", submitted_at="2026-11-25T10:00:00.000000001Z")
    assert [orjson.loads(news.body)["id"] for news in ledger.reconcile([old, new])] == ["new"]


def test_a_fill_that_alpaca_takes_back_is_taken_back() -> None:
    ledger = OrderLedger()
    *_, last = states_of("a", [4], is_stamped=True)
    told = ledger.reconcile([last])
    told += ledger.reconcile([replace(last, filled_qty="1.25", updated_at="2026-11-25T11:00:00Z")])
    assert filled_in(told) == Decimal("1.25")


def test_amounts_keep_every_digit() -> None:
    ledger = OrderLedger()
    first = replace(_BASE, filled_qty="12345678901234567890.000000000000000000001", updated_at="2026-11-25T10:00:01Z")
    told = ledger.reconcile([first])
    told += ledger.reconcile([replace(first, filled_qty="12345678901234567890.000000000000000000003", status="filled")])
    assert orjson.loads(told[1].body)["filled_since"] == "0.000000000000000000002"


def test_a_ledger_is_bounded() -> None:
    ledger = OrderLedger()
    for number in range(12_000):
        ledger.reconcile([replace(_BASE, id=f"open-{number}"), replace(_BASE, id=f"over-{number}", status="filled")])
    assert len(ledger._open) == len(ledger._over) == 5_000  # pyright: ignore[reportPrivateUsage]  # memory is what this is about
