"""Many look-ups in one trip, each answered by a query that was sent after it was asked."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from corral.database.batching import KEYS_PER_TRIP, BatchedLookup


class Table:
    """A table behind a slow road, which notes what every trip asked for."""

    def __init__(self) -> None:
        self.rows: dict[int, str] = {}
        self.trips: list[list[int]] = []
        self.road = asyncio.Event()
        self.failure: Exception | None = None

    async def fetch_many(self, keys: Sequence[int]) -> Mapping[int, str]:
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
    lookup = BatchedLookup(table.fetch_many)
    table.rows[1] = "one"
    table.road.set()
    assert (await lookup(1), await lookup(2)) == ("one", None)
    assert table.trips == [[1], [2]]


async def test_those_who_ask_in_the_same_moment_travel_together(table: Table) -> None:
    lookup = BatchedLookup(table.fetch_many)
    table.rows.update({1: "one", 2: "two"})
    table.road.set()
    assert await asyncio.gather(*(lookup(key) for key in (1, 2, 3, 1))) == ["one", "two", None, "one"]
    assert table.trips == [[1, 2, 3]]


async def test_nobody_is_answered_by_a_trip_that_left_before_they_asked(table: Table) -> None:
    """The row goes while a trip that saw it is under way: who asks after that does not see it."""
    lookup = BatchedLookup(table.fetch_many)
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
    lookup = BatchedLookup(table.fetch_many)
    tasks: list[asyncio.Task[str | None]] = []
    for key in range(10):
        tasks.append(await ask(lookup, key))
        await asyncio.sleep(0.001)
    assert len(table.trips) == 1
    table.road.set()
    await asyncio.gather(*tasks)
    assert len(table.trips) == 2
    assert sorted(key for trip in table.trips for key in trip) == list(range(10))


async def test_a_trip_takes_a_bounded_number_of_keys(table: Table) -> None:
    lookup = BatchedLookup(table.fetch_many)
    table.road.set()
    await asyncio.gather(*(lookup(key) for key in range(KEYS_PER_TRIP * 2 + 1)))
    assert max(map(len, table.trips)) == KEYS_PER_TRIP


async def test_a_failing_trip_fails_its_passengers_and_no_one_else(table: Table) -> None:
    lookup = BatchedLookup(table.fetch_many)
    table.failure = ConnectionResetError()
    first, second = await ask(lookup, 1), await ask(lookup, 2)
    table.road.set()
    for task in (first, second):
        with pytest.raises(ConnectionResetError):
            await task
    table.failure = None
    assert await lookup(3) is None


async def test_one_who_gives_up_does_not_take_the_answer_from_the_others(table: Table) -> None:
    lookup = BatchedLookup(table.fetch_many)
    table.rows[1] = "one"
    leaving, staying = await ask(lookup, 1), await ask(lookup, 1)
    await asyncio.sleep(0.001)
    leaving.cancel()
    table.road.set()
    assert await staying == "one"


async def test_a_failure_that_nobody_waits_for_any_more_disturbs_nothing(table: Table) -> None:
    lookup = BatchedLookup(table.fetch_many)
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
    lookup = BatchedLookup(table.fetch_many)
    waiting = await ask(lookup, 1)
    await asyncio.sleep(0.001)
    trip = lookup._trip  # pyright: ignore[reportPrivateUsage]  # nothing else can end one
    assert trip is not None
    trip.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    table.road.set()
    assert await lookup(2) is None
