"""No order is lost and none comes twice, wherever a page ends; and pages that repeat themselves come to an end."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.alpaca import orders as alpaca_orders
from corral.alpaca.activities import Activity, ActivityQuery, activity_listing, read_activity
from corral.alpaca.errors import Fault, RepeatedPage
from corral.alpaca.fields import instant
from corral.alpaca.items import UnreadableItem, readable
from corral.alpaca.orders import (
    AssetClass,
    Order,
    OrderQuery,
    OrderStatusFilter,
    OrderType,
    Side,
    order_listing,
    read_order,
)
from corral.alpaca.paging import MOST_CALLS, Direction, Listing, Page, Place, mark, read_filtered_page, read_page
from tests.accounts.alpaca_lists import fill, order

LONGEST_PAGE = 7  # of the Alpaca in these tests; the real one has 500

# What "submitted before the order with this ID" may mean for the orders of the very same moment.
BY_TIME, BY_MILLISECOND, BY_PLACE = "by time", "by millisecond", "by place"


class Alpaca:
    """The orders of an account, listed as Alpaca documents it."""

    def __init__(self, orders: Sequence[Order], meaning: str, longest_page: int = LONGEST_PAGE) -> None:
        self._orders = orders
        self._meaning = meaning
        self._longest_page = longest_page
        self.calls = 0

    def page(self, query: OrderQuery, limit: int, beyond: str | None) -> tuple[Order, ...]:
        assert 1 <= limit <= self._longest_page
        self.calls += 1
        return tuple(self._behind(self.in_order(query), query, beyond)[:limit])

    def in_order(self, query: OrderQuery, *, bounded: bool = False) -> list[Order]:
        listed = sorted(self._orders, key=lambda one: (_at(one), one.id))
        if query.direction is Direction.DESCENDING:
            listed.reverse()
        return [one for one in listed if _is_within(one, query)] if bounded else listed

    def _behind(self, listed: Sequence[Order], query: OrderQuery, beyond: str | None) -> Sequence[Order]:
        if beyond is None:
            return [one for one in listed if _is_within(one, query)]
        place = next(place for place, one in enumerate(listed) if one.id == beyond)
        if self._meaning == BY_PLACE:
            return listed[place + 1 :]
        precision = len("YYYY-MM-DDTHH:MM:SS.fff") if self._meaning == BY_MILLISECOND else None
        return [one for one in listed[place + 1 :] if _at(one)[:precision] != _at(listed[place])[:precision]]


def _at(one: Order) -> str:
    return instant(one.submitted_at or "")


def _is_within(one: Order, query: OrderQuery) -> bool:
    is_early = query.after is not None and _at(one) <= instant(query.after)
    return not is_early and not (query.until is not None and _at(one) >= instant(query.until))


def _listing(query: OrderQuery, longest_page: int = LONGEST_PAGE) -> Listing[Order | UnreadableItem]:
    return replace(order_listing(query), longest_page=longest_page)


async def _turn_all(
    alpaca: Alpaca, query: OrderQuery, limits: Callable[[], int], longest_page: int = LONGEST_PAGE
) -> list[Order]:
    async def ask(wanted: int, beyond: str | None) -> tuple[Order, ...]:
        return alpaca.page(query, wanted, beyond)

    place, turned = Place(), list[Order]()
    while True:
        limit = limits()
        page = await read_page(_listing(query, longest_page), ask, place, limit=limit)
        assert len(page.items) <= limit
        turned += readable(page.items)
        if page.goes_on is None:
            return turned
        place = page.goes_on


# Few moments, so that many orders share one; finer than the millisecond, too.
_MOMENTS = [f"2026-11-23T14:31:0{second}.{fraction}Z" for second in "12" for fraction in ("5", "500000001", "501")]


def _orders_at(moments: Sequence[str]) -> list[Order]:
    return [read_order(order(number, submitted_at=moment)) for number, moment in enumerate(moments)]


@given(
    st.lists(st.sampled_from(_MOMENTS), max_size=40),
    st.sampled_from(Direction),
    st.none() | st.sampled_from(_MOMENTS),
    st.none() | st.sampled_from(_MOMENTS),
    st.data(),
)
def test_if_alpaca_pages_by_position_no_order_is_lost_or_repeated(
    moments: list[str], direction: Direction, after: str | None, until: str | None, data: st.DataObject
) -> None:
    query = OrderQuery(status=OrderStatusFilter.ALL, after=after, until=until, direction=direction)
    alpaca = Alpaca(_orders_at(moments), BY_PLACE)
    turned = asyncio.run(_turn_all(alpaca, query, lambda: data.draw(st.integers(1, LONGEST_PAGE))))
    assert turned == alpaca.in_order(query, bounded=True)


@given(
    st.lists(st.tuples(st.sampled_from(_MOMENTS), st.sampled_from(["limit", "stop"])), max_size=60),
    st.sampled_from(Direction),
    st.integers(1, LONGEST_PAGE),
)
def test_a_filter_that_alpaca_does_not_have_gives_full_pages_and_loses_nothing(
    many: list[tuple[str, str]], direction: Direction, limit: int
) -> None:
    query = OrderQuery(status=OrderStatusFilter.ALL, type=OrderType.STOP, direction=direction)
    orders = [replace(one, type=kind) for one, (_, kind) in zip(_orders_at([at for at, _ in many]), many, strict=True)]
    alpaca = Alpaca(orders, BY_PLACE)
    pages = asyncio.run(_filtered_pages(alpaca, query, limit))
    wanted = [one for one in alpaca.in_order(query) if one.type == "stop"]
    assert [one for page, _ in pages for one in readable(page.items)] == wanted
    assert all(len(page.items) <= limit and calls <= MOST_CALLS for page, calls in pages)
    assert all(len(page.items) == limit or calls == MOST_CALLS for page, calls in pages[:-1])


async def _filtered_pages(
    alpaca: Alpaca, query: OrderQuery, limit: int
) -> list[tuple[Page[Order | UnreadableItem], int]]:
    """Returns the pages, each with the number of its calls."""

    async def ask(wanted: int, beyond: str | None) -> tuple[Order, ...]:
        return alpaca.page(query, wanted, beyond)

    place: Place | None = Place()
    pages: list[tuple[Page[Order | UnreadableItem], int]] = []
    while place is not None:
        before = alpaca.calls
        page = await read_filtered_page(_listing(query), ask, place, limit=limit)
        pages.append((page, alpaca.calls - before))
        place = page.goes_on
    return pages


@given(
    st.lists(st.integers(1, LONGEST_PAGE - 1), max_size=8),
    st.sampled_from(Direction),
    st.none() | st.integers(0, 8),
    st.none() | st.integers(0, 8),
    st.data(),
)
def test_if_alpaca_pages_by_time_no_order_is_lost(
    groups: list[int], direction: Direction, after: int | None, until: int | None, data: st.DataObject
) -> None:
    """As long as the orders of one time fit on a page: such an Alpaca cannot return more of them."""

    def moment(second: int) -> str:
        return f"2026-11-23T14:31:0{second}Z"

    query = OrderQuery(
        after=None if after is None else moment(after),
        until=None if until is None else moment(until),
        direction=direction,
    )
    alpaca = Alpaca(_orders_at([moment(second) for second, size in enumerate(groups) for _ in range(size)]), BY_TIME)
    turned = asyncio.run(_turn_all(alpaca, query, lambda: data.draw(st.integers(1, LONGEST_PAGE))))
    assert turned == alpaca.in_order(query, bounded=True)


@pytest.mark.parametrize("limit", [1, 2, 3, 6])
async def test_if_alpaca_compares_times_less_precisely_no_order_is_lost(limit: int) -> None:
    moments = [f"2026-11-23T14:31:0{second}.00000{order}Z" for second in range(3) for order in range(6)]
    alpaca = Alpaca(_orders_at(moments), BY_MILLISECOND)
    turned = await _turn_all(alpaca, OrderQuery(), lambda: limit)
    assert turned == alpaca.in_order(OrderQuery())


@pytest.mark.parametrize("meaning", [BY_TIME, BY_PLACE])
async def test_a_bracket_across_pages_is_complete(meaning: str) -> None:
    one_moment = ["2026-11-23T14:31:01Z"] + ["2026-11-23T14:31:02.5Z"] * 3 + ["2026-11-23T14:31:03Z"]
    alpaca = Alpaca(_orders_at(one_moment), meaning)
    turned = await _turn_all(alpaca, OrderQuery(), lambda: 2)
    assert turned == alpaca.in_order(OrderQuery())


async def test_a_list_costs_one_call_for_each_page() -> None:
    many = 1_500
    moments = [f"2026-11-23T14:{number // 60:02}:{number % 60:02}Z" for number in range(many)]
    alpaca = Alpaca(_orders_at(moments), BY_TIME, alpaca_orders.MOST_ORDERS)
    turned = await _turn_all(alpaca, OrderQuery(), lambda: 500, alpaca_orders.MOST_ORDERS)
    assert turned == alpaca.in_order(OrderQuery())
    assert alpaca.calls <= many // 500 + 1


async def test_new_orders_between_two_pages_neither_lose_nor_repeat_others() -> None:
    same = "2026-11-23T14:31:01Z"
    query, orders = OrderQuery(), _orders_at([same] * 5)
    alpaca = Alpaca(orders, BY_PLACE)

    async def ask(wanted: int, beyond: str | None) -> tuple[Order, ...]:
        return alpaca.page(query, wanted, beyond)

    first = await read_page(_listing(query), ask, Place(), limit=2)
    newer = [read_order(order(100 + n, submitted_at=f"2026-11-23T14:31:0{n}Z")) for n in range(2, 5)]
    orders += newer
    turned, place = [*first.items], first.goes_on
    while place is not None:
        page = await read_page(_listing(query), ask, place, limit=1)
        turned, place = [*turned, *page.items], page.goes_on
    assert len({one.id for one in turned}) == len(turned)
    assert {one.id for one in orders[:5]} <= {one.id for one in turned}


def _pages(*pages: Sequence[int]) -> Callable[[int, str | None], Sequence[Order]]:
    """Alpaca answers with these pages, one after the other, and from the first again."""
    answered = 0

    def answer(_wanted: int, _beyond: str | None) -> Sequence[Order]:
        nonlocal answered
        page = pages[answered % len(pages)]
        answered += 1
        return [read_order(order(n, submitted_at=f"2026-11-23T14:{n // 60:02}:{n % 60:02}Z")) for n in page]

    return answer


@pytest.mark.parametrize(
    "pages",
    [
        [[9, 8, 7, 6]],
        [[9, 8, 7, 6], [5, 4, 3, 2]],
        [[n, n - 1, n - 2, n - 3] for n in range(400, 20, -4)],
    ],
    ids=["one page for ever", "two pages in turn", "a long way round"],
)
async def test_repeated_pages_end(pages: list[list[int]]) -> None:
    answer = _pages(*pages)

    async def ask(wanted: int, beyond: str | None) -> Sequence[Order]:
        return answer(wanted, beyond)

    async def turn_on() -> None:
        place: Place | None = Place()
        for _ in range(4 * len(pages)):
            assert place is not None
            place = (await read_page(_listing(OrderQuery()), ask, place, limit=3)).goes_on

    with pytest.raises(RepeatedPage):
        await turn_on()


_BEHIND_FIVE = Place(str(UUID(int=5)), milestone=str(UUID(int=20)), turns=3)


@pytest.mark.parametrize(
    ("place", "page"),
    [
        (Place(), [9, 9, 8]),
        (_BEHIND_FIVE, [5, 4, 3]),
        (_BEHIND_FIVE, [4, 20, 3]),
        (_BEHIND_FIVE, [4, 3, 4]),
    ],
)
async def test_a_repeated_item_is_noticed_at_once(place: Place, page: list[int]) -> None:
    answer = _pages(page)

    async def ask(wanted: int, beyond: str | None) -> Sequence[Order]:
        return answer(wanted, beyond)

    with pytest.raises(RepeatedPage):
        await read_page(_listing(OrderQuery()), ask, place, limit=5)


async def test_an_unsorted_page_without_new_items_does_not_end_the_list() -> None:
    """All but the last are beyond the bound, and that one was given: what ends a list comes last."""
    early, late = "2026-11-23T14:31:01Z", "2026-11-23T14:31:03Z"
    page = [read_order(order(n, submitted_at=late if n == 3 else early)) for n in (1, 2, 3)]

    async def ask(_wanted: int, _beyond: str | None) -> Sequence[Order]:
        return page

    place = Place("beyond", frozenset({mark(page[2].id)}))
    with pytest.raises(RepeatedPage):
        await read_page(_listing(OrderQuery(after="2026-11-23T14:31:02Z")), ask, place, limit=1)


@given(
    st.lists(
        st.tuples(st.sampled_from(_MOMENTS), st.sampled_from(["whole", "of a known moment", "of no moment"])),
        max_size=30,
    ),
    st.integers(1, 7),
)
def test_unreadable_orders_do_not_lose_or_repeat_others(many: list[tuple[str, str]], limit: int) -> None:
    moments = sorted((moment for moment, _ in many), key=instant, reverse=True)
    whole = _orders_at(moments)
    entries = [_entry(one, how) for one, (_, how) in zip(whole, many, strict=True)]

    async def ask(wanted: int, beyond: str | None) -> Sequence[Order | UnreadableItem]:
        # Of a moment that is named, Alpaca may leave out the rest: so it is never named in the middle of one.
        before = next((one for one in whole if one.id == beyond), None)
        later = [entry for entry, one in zip(entries, whole, strict=True) if before is None or _at(one) < _at(before)]
        return later[:wanted]

    async def turn_all() -> list[str]:
        place: Place | None = Place()
        turned: list[str] = []
        while place is not None:
            page = await read_page(_listing(OrderQuery(), longest_page=50), ask, place, limit=limit)
            turned, place = [*turned, *(one.id for one in page.items)], page.goes_on
        return turned

    assert asyncio.run(turn_all()) == [entry.id for entry in entries]


def _entry(one: Order, how: str) -> Order | UnreadableItem:
    if how == "whole":
        return one
    moment = {"submitted_at": one.submitted_at} if how == "of a known moment" else {}
    return UnreadableItem(one.id, {"id": one.id, **moment}, {"qty": Fault.NOT_A_NUMBER})


@given(st.integers(0, 12), st.integers(1, 100))
def test_activities_continue_after_the_last_returned_one(many: int, limit: int) -> None:
    everything = [read_activity(fill(number)) for number in range(many)]

    async def ask(wanted: int, beyond: str | None) -> Sequence[Activity | UnreadableItem]:
        ids = [one.id for one in everything]
        start = 0 if beyond is None else ids.index(beyond) + 1
        return everything[start : start + wanted]

    async def turn_all() -> list[Activity | UnreadableItem]:
        place: Place | None = Place()
        turned = list[Activity | UnreadableItem]()
        while place is not None:
            page: Page[Activity | UnreadableItem] = await read_page(
                activity_listing(ActivityQuery()), ask, place, limit=limit
            )
            turned, place = [*turned, *page.items], page.goes_on
        return turned

    assert asyncio.run(turn_all()) == everything


def test_filters_are_sent_as_alpaca_documents_them() -> None:
    """https://docs.alpaca.markets/reference/getallorders-1: pairs of coins without a slash."""
    query = OrderQuery(symbols=("AAPL", "BTC/USD"), side=Side.SELL, type=OrderType.STOP, asset_class=AssetClass.CRYPTO)
    sent = query.parameters(limit=1)
    assert (sent["symbols"], sent["side"], sent["asset_class"]) == ("AAPL,BTCUSD", "sell", "crypto")
    assert "type" not in sent
    assert not {"symbols", "side", "asset_class"} & OrderQuery().parameters(limit=1).keys()
    assert ActivityQuery(order_id="7", symbols=("AAPL",)).parameters(limit=1).keys() == {
        "order_id", "direction", "page_size",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("cells", "is_listed"), [({}, True), ({"type": "stop"}, True), ({"type": "limit"}, False), ({"type": None}, False)]
)
def test_an_unreadable_order_is_listed_if_it_may_be_of_the_type(
    cells: dict[str, str | None], *, is_listed: bool
) -> None:
    picks = order_listing(OrderQuery(type=OrderType.STOP)).picks
    assert picks is not None
    assert picks(UnreadableItem("1", cells, {"qty": Fault.NOT_A_NUMBER})) == is_listed


def test_activities_of_a_pair_are_found_under_both_of_its_names() -> None:
    picks = activity_listing(ActivityQuery(symbols=("BTC/USD",))).picks
    assert picks is not None
    found = [picks(read_activity(fill(1, symbol=symbol))) for symbol in ("BTC/USD", "BTCUSD", "ETH/USD")]
    assert found == [True, True, False]
    assert picks(UnreadableItem("1", {"symbol": "BTCUSD"}, {}))
    assert not picks(UnreadableItem("1", {}, {}))


def test_time_bounds_and_an_id_are_never_sent_together() -> None:
    query = OrderQuery(after="2026-11-23T14:31:01Z", until="2026-11-23T14:31:02Z")
    assert {"after", "until"} <= query.parameters(limit=1).keys()
    behind = query.parameters(limit=1, beyond="an id")
    assert "before_order_id" in behind
    assert not {"after", "until"} & behind.keys()
    oldest_first = OrderQuery(direction=Direction.ASCENDING).parameters(limit=1, beyond="an id")
    assert "after_order_id" in oldest_first
    assert "before_order_id" not in oldest_first
    assert ActivityQuery(types=("FILL", "DIV")).parameters(limit=1, beyond="x")["page_token"] == "x"
