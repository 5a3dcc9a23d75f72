"""Many look-ups in one round trip, each answered by a query that was sent after it."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import cast

import pytest

from corral.database.batching import (
    KEYS_PER_BATCH,
    LINGER_SECONDS,
    MOST_BATCHES,
    MOST_PASSES,
    MOST_QUERIES,
    SHARE_OF_A_BATCH,
    BatchedLookup,
)
from corral.database.connection import Connection


class Table:
    """A table behind slow connections, which records the keys of every query."""

    def __init__(self) -> None:
        self.rows: dict[int, str] = {}
        self.trips: list[list[int]] = []
        self.road = asyncio.Event()
        self.queries_of: list[int] = []  # for each connection, how many it made
        self.refusal: Exception | None = None
        self.failure: Exception | None = None
        self.has_spare = True
        self.is_lost = False
        self.open_connections = 0

    def lookup(self, *, gathers: bool = False) -> BatchedLookup[int, str]:
        return BatchedLookup(self, self.fetch_many, gathers=gathers)

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[Connection]:
        await asyncio.sleep(0)
        if self.refusal:
            raise self.refusal
        self.queries_of.append(0)
        self.open_connections += 1
        try:
            yield cast("Connection", _Connection(self, len(self.queries_of) - 1))
        finally:
            self.open_connections -= 1

    async def fetch_many(self, connection: Connection, keys: Sequence[int]) -> Mapping[int, str]:
        self.queries_of[cast("_Connection", connection).number] += 1
        self.trips.append(list(keys))
        found = {key: self.rows[key] for key in keys if key in self.rows}
        await asyncio.sleep(0)
        await self.road.wait()
        if self.failure:
            raise self.failure
        return found


@dataclass
class _Connection:
    table: Table
    number: int

    def is_closed(self) -> bool:
        return self.table.is_lost


@pytest.fixture
def table() -> Table:
    return Table()


async def ask(lookup: BatchedLookup[int, str], key: int) -> asyncio.Task[str | None]:
    task = asyncio.ensure_future(lookup(key))
    await asyncio.sleep(0)
    return task


async def test_a_single_lookup_is_a_batch_of_one(table: Table) -> None:
    lookup = table.lookup()
    table.rows[1] = "one"
    table.road.set()
    assert (await lookup(1), await lookup(2)) == ("one", None)
    assert table.trips == [[1], [2]]


async def test_equal_lookups_are_one_key(table: Table) -> None:
    lookup = table.lookup()
    table.rows.update({1: "one", 2: "two"})
    table.road.set()
    assert await asyncio.gather(*(lookup(key) for key in (1, 2, 3, 1))) == ["one", "two", None, "one"]
    assert table.trips == [[1], [2], [3]]


async def test_a_longer_queue_makes_larger_batches_in_order_of_arrival(table: Table) -> None:
    lookup = table.lookup()
    table.road.set()
    keys = range(10 * SHARE_OF_A_BATCH)
    await asyncio.gather(*map(lookup, keys))
    assert [key for trip in table.trips for key in trip] == list(keys)
    assert [len(trip) for trip in table.trips][:3] == [10, 10, 9]
    assert len(table.trips) < 60


async def test_a_lookup_before_the_query_is_sent_joins_the_batch(table: Table) -> None:
    lookup = table.lookup()
    table.road.set()
    early = await ask(lookup, 1)
    await asyncio.gather(*map(lookup, range(2, 2 * SHARE_OF_A_BATCH + 1)))
    await early
    assert table.trips[0] == [1, 2]


async def test_no_lookup_is_answered_by_an_earlier_query(table: Table) -> None:
    """The row is deleted while a query that saw it runs: a later look-up does not see it."""
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


@pytest.mark.parametrize("gathers", [False, True])
async def test_few_queries_run_at_a_time(table: Table, *, gathers: bool) -> None:
    lookup = table.lookup(gathers=gathers)
    tasks: list[asyncio.Task[str | None]] = []
    for key in range(10):
        tasks.append(await ask(lookup, key))
        await asyncio.sleep(0.001)
    assert len(table.trips) == (1 if gathers else MOST_QUERIES)
    table.road.set()
    await asyncio.gather(*tasks)
    assert [key for trip in table.trips for key in trip] == list(range(10))


async def test_a_batch_is_bounded(table: Table) -> None:
    lookup = table.lookup()
    table.road.set()
    await asyncio.gather(*(lookup(key) for key in range((KEYS_PER_BATCH + 1) * SHARE_OF_A_BATCH)))
    assert max(map(len, table.trips)) == KEYS_PER_BATCH


async def test_a_gathering_query_waits_for_further_lookups(table: Table) -> None:
    lookup = table.lookup(gathers=True)
    table.rows[1] = "one"
    table.road.set()

    async def ask_after(passes: int) -> str | None:
        for _ in range(passes):
            await asyncio.sleep(0)
        return await lookup(1)

    assert await asyncio.gather(*map(ask_after, range(40))) == 40 * ["one"]
    assert table.trips == [[1]]


async def test_with_enough_keys_a_gathering_query_takes_half_of_them_at_once(table: Table) -> None:
    lookup = table.lookup(gathers=True)
    table.road.set()
    await asyncio.gather(*map(lookup, range(40)))
    assert [len(trip) for trip in table.trips] == [20, 10, 5, 3, 1, 1]


async def test_a_gathering_query_is_sent_when_no_more_lookups_arrive(table: Table) -> None:
    lookup = table.lookup(gathers=True)
    table.road.set()
    first = await ask(lookup, 1)
    await asyncio.sleep(0.001)
    await asyncio.gather(first, lookup(2))
    assert table.trips == [[1], [2]]


async def test_a_gathering_query_waits_for_a_bounded_time(table: Table) -> None:
    lookup = table.lookup(gathers=True)
    table.road.set()
    asked: list[asyncio.Task[str | None]] = []
    while not table.trips and len(asked) <= MOST_PASSES + 10:
        asked.append(await ask(lookup, len(asked) % 5))
    assert table.trips
    await asyncio.gather(*asked)


async def test_without_a_connection_all_waiting_lookups_fail_and_the_next_one_tries_again(table: Table) -> None:
    lookup = table.lookup()
    table.road.set()
    table.refusal = ConnectionRefusedError()
    reported = await asyncio.gather(*map(lookup, range(40)), return_exceptions=True)
    assert reported == 40 * [table.refusal]
    table.refusal = None
    assert await lookup(40) is None
    assert (table.queries_of, table.trips) == ([1], [[40]])


async def test_a_second_query_that_has_no_connection_fails_no_lookup_of_the_first(table: Table) -> None:
    lookup = table.lookup()
    early = await ask(lookup, 1)
    await asyncio.sleep(0.001)
    table.refusal = ConnectionRefusedError()
    late = [await ask(lookup, key) for key in (2, 3)]
    await asyncio.sleep(0.001)
    table.road.set()
    assert await asyncio.gather(early, *late) == [None, None, None]
    assert table.queries_of == [3]


async def test_a_second_query_gives_its_connection_back_after_some_batches(table: Table) -> None:
    """Whoever else waits for one is not kept waiting by it as long as look-ups come."""
    lookup = table.lookup()
    table.road.set()
    await asyncio.gather(*map(lookup, range(20 * SHARE_OF_A_BATCH)))
    first, *others = table.queries_of
    assert first > len(table.trips) / 3
    assert len(others) > 1
    assert max(others) == MOST_BATCHES


async def test_a_connection_is_kept_briefly_for_further_lookups(table: Table) -> None:
    lookup = table.lookup()
    table.road.set()
    for key in range(5):
        await lookup(key)
        await asyncio.sleep(LINGER_SECONDS / 2)
    assert table.queries_of == [5]
    await asyncio.sleep(LINGER_SECONDS)
    assert table.open_connections == 0
    await lookup(5)
    assert table.queries_of == [5, 1]


async def test_the_last_connection_is_given_back_at_once(table: Table) -> None:
    lookup = table.lookup()
    table.road.set()
    table.has_spare = False
    await lookup(1)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert table.open_connections == 0
    await lookup(2)
    assert table.queries_of == [1, 1]


async def test_a_connection_that_was_lost_meanwhile_is_not_used_again(table: Table) -> None:
    lookup = table.lookup()
    table.road.set()
    await lookup(1)
    table.is_lost = True
    assert await lookup(2) is None
    assert table.queries_of == [1, 1]


async def test_a_failed_query_fails_only_its_own_lookups(table: Table) -> None:
    lookup = table.lookup(gathers=True)  # it makes one query at a time
    table.failure = ConnectionResetError()
    first = await ask(lookup, 1)
    await asyncio.sleep(0.001)
    second = await ask(lookup, 2)
    table.road.set()
    with pytest.raises(ConnectionResetError):
        await first
    table.failure = None
    assert await second is None
    assert table.queries_of == [1, 1]


async def test_a_cancelled_lookup_does_not_affect_the_others(table: Table) -> None:
    lookup = table.lookup()
    table.rows[1] = "one"
    leaving, staying = await ask(lookup, 1), await ask(lookup, 1)
    await asyncio.sleep(0.001)
    leaving.cancel()
    table.road.set()
    assert await staying == "one"


async def test_a_failure_after_all_lookups_were_cancelled_is_ignored(table: Table) -> None:
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


async def test_a_cancelled_query_cancels_its_lookups(table: Table) -> None:
    lookup = table.lookup()
    waiting = await ask(lookup, 1)
    await asyncio.sleep(0.001)
    (trip,) = lookup._flushing  # pyright: ignore[reportPrivateUsage]  # nothing else can end one
    trip.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    table.road.set()
    assert await lookup(2) is None
