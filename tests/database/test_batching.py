"""Many look-ups in one trip, each answered by a query that was sent after it was asked."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import cast

import pytest

from corral.database.batching import KEYS_PER_BATCH, MOST_PASSES, SHARE_OF_A_BATCH, BatchedLookup
from corral.database.connection import Connection


class Table:
    """A table behind a slow road, which notes what every trip asked for."""

    def __init__(self) -> None:
        self.rows: dict[int, str] = {}
        self.trips: list[list[int]] = []
        self.road = asyncio.Event()
        self.connections = 0
        self.refusal: Exception | None = None
        self.failure: Exception | None = None

    def lookup(self, *, gathers: bool = False) -> BatchedLookup[int, str]:
        return BatchedLookup(self.connect, self.fetch_many, gathers=gathers)

    @asynccontextmanager
    async def connect(self) -> AsyncGenerator[Connection]:
        await asyncio.sleep(0)
        if self.refusal:
            raise self.refusal
        self.connections += 1
        yield cast("Connection", self)

    async def fetch_many(self, connection: Connection, keys: Sequence[int]) -> Mapping[int, str]:
        assert connection is self
        self.trips.append(list(keys))
        found = {key: self.rows[key] for key in keys if key in self.rows}
        await self.road.wait()
        if self.failure:
            raise self.failure
        return found


@pytest.fixture
def table() -> Table:
    return Table()


async def ask(lookup: BatchedLookup[int, str], key: int) -> asyncio.Task[str | None]:
    task = asyncio.ensure_future(lookup(key))
    await asyncio.sleep(0)
    return task


async def test_who_asks_alone_travels_alone_and_gets_what_is_there(table: Table) -> None:
    lookup = table.lookup()
    table.rows[1] = "one"
    table.road.set()
    assert (await lookup(1), await lookup(2)) == ("one", None)
    assert table.trips == [[1], [2]]


async def test_the_same_question_of_several_is_one_key(table: Table) -> None:
    lookup = table.lookup()
    table.rows.update({1: "one", 2: "two"})
    table.road.set()
    assert await asyncio.gather(*(lookup(key) for key in (1, 2, 3, 1))) == ["one", "two", None, "one"]
    assert table.trips == [[1], [2], [3]]


async def test_the_longer_the_line_the_fuller_the_trips_and_who_came_first_goes_first(table: Table) -> None:
    lookup = table.lookup()
    table.road.set()
    keys = range(10 * SHARE_OF_A_BATCH)
    await asyncio.gather(*map(lookup, keys))
    assert [key for trip in table.trips for key in trip] == list(keys)
    assert [len(trip) for trip in table.trips][:3] == [10, 10, 9]
    assert len(table.trips) < 60
    assert table.connections == 1


async def test_who_asks_while_a_connection_is_had_comes_along(table: Table) -> None:
    lookup = table.lookup()
    table.road.set()
    early = await ask(lookup, 1)
    await asyncio.gather(*map(lookup, range(2, 2 * SHARE_OF_A_BATCH + 1)))
    await early
    assert table.trips[0] == [1, 2]


async def test_nobody_is_answered_by_a_trip_that_left_before_they_asked(table: Table) -> None:
    """The row goes while a trip that saw it is under way: who asks after that does not see it."""
    lookup = table.lookup()
    table.rows[1] = "allowed"
    early = await ask(lookup, 1)
    await asyncio.sleep(0.01)
    assert table.trips == [[1]]
    del table.rows[1]
    late = await ask(lookup, 1)
    await asyncio.sleep(0.01)
    table.road.set()
    assert (await early, await late) == ("allowed", None)


async def test_one_trip_is_under_way_and_the_rest_waits_for_the_next(table: Table) -> None:
    lookup = table.lookup()
    tasks: list[asyncio.Task[str | None]] = []
    for key in range(10):
        tasks.append(await ask(lookup, key))
        await asyncio.sleep(0.001)
    assert len(table.trips) == 1
    table.road.set()
    await asyncio.gather(*tasks)
    assert [key for trip in table.trips for key in trip] == list(range(10))


async def test_a_trip_takes_a_bounded_number_of_keys(table: Table) -> None:
    lookup = table.lookup()
    table.road.set()
    await asyncio.gather(*(lookup(key) for key in range((KEYS_PER_BATCH + 1) * SHARE_OF_A_BATCH)))
    assert max(map(len, table.trips)) == KEYS_PER_BATCH


async def test_a_query_that_gathers_answers_those_who_were_about_to_ask(table: Table) -> None:
    lookup = table.lookup(gathers=True)
    table.rows[1] = "one"
    table.road.set()

    async def ask_after(passes: int) -> str | None:
        for _ in range(passes):
            await asyncio.sleep(0)
        return await lookup(1)

    assert await asyncio.gather(*map(ask_after, range(40))) == 40 * ["one"]
    assert table.trips == [[1]]


async def test_with_enough_keys_a_query_that_gathers_leaves_at_once_with_half_of_them(table: Table) -> None:
    lookup = table.lookup(gathers=True)
    table.road.set()
    await asyncio.gather(*map(lookup, range(40)))
    assert [len(trip) for trip in table.trips] == [20, 10, 5, 3, 1, 1]


async def test_a_query_that_gathers_leaves_when_nobody_comes_any_more(table: Table) -> None:
    lookup = table.lookup(gathers=True)
    table.road.set()
    first = await ask(lookup, 1)
    await asyncio.sleep(0.001)
    await asyncio.gather(first, lookup(2))
    assert table.trips == [[1], [2]]


async def test_a_query_that_gathers_does_not_wait_for_ever(table: Table) -> None:
    lookup = table.lookup(gathers=True)
    table.road.set()
    asked: list[asyncio.Task[str | None]] = []
    while not table.trips:
        asked.append(await ask(lookup, len(asked) % 5))
    assert len(asked) <= MOST_PASSES + 10
    await asyncio.gather(*asked)


async def test_without_a_connection_all_who_wait_are_told_and_the_next_one_tries_again(table: Table) -> None:
    lookup = table.lookup()
    table.road.set()
    table.refusal = ConnectionRefusedError()
    told = await asyncio.gather(*map(lookup, range(40)), return_exceptions=True)
    assert told == 40 * [table.refusal]
    table.refusal = None
    assert await lookup(40) is None
    assert (table.connections, table.trips) == (1, [[40]])


async def test_a_failing_trip_fails_its_passengers_and_no_one_else(table: Table) -> None:
    lookup = table.lookup()
    table.failure = ConnectionResetError()
    first = await ask(lookup, 1)
    await asyncio.sleep(0.001)
    second = await ask(lookup, 2)
    table.road.set()
    with pytest.raises(ConnectionResetError):
        await first
    table.failure = None
    assert await second is None
    assert table.connections == 2


async def test_one_who_gives_up_does_not_take_the_answer_from_the_others(table: Table) -> None:
    lookup = table.lookup()
    table.rows[1] = "one"
    leaving, staying = await ask(lookup, 1), await ask(lookup, 1)
    await asyncio.sleep(0.001)
    leaving.cancel()
    table.road.set()
    assert await staying == "one"


async def test_a_failure_that_nobody_waits_for_any_more_disturbs_nothing(table: Table) -> None:
    lookup = table.lookup()
    table.failure = ConnectionResetError()
    leaving = await ask(lookup, 1)
    await asyncio.sleep(0.001)
    leaving.cancel()
    await asyncio.sleep(0)
    table.road.set()
    await asyncio.sleep(0.01)
    table.failure = None
    assert await lookup(2) is None


async def test_an_ended_trip_ends_the_wait_of_its_passengers(table: Table) -> None:
    lookup = table.lookup()
    waiting = await ask(lookup, 1)
    await asyncio.sleep(0.001)
    trip = lookup._flushing  # pyright: ignore[reportPrivateUsage]  # nothing else can end one
    assert trip is not None
    trip.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    table.road.set()
    assert await lookup(2) is None
