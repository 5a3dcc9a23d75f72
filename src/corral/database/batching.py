"""Many callers' look-ups in one round trip.

Under load the cost of a small read is the round trip and not the row. So look-ups that are asked for
while another round trip is under way wait for it and travel together in the next one. Nobody is ever
answered by a query that was sent before the question was asked: a right that was withdrawn and
committed is seen withdrawn by every later request, exactly as if each asked alone.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Generic, TypeVar, final

Key = TypeVar("Key", bound=Hashable)
Found = TypeVar("Found")

KEYS_PER_TRIP = 200


@final
class BatchedLookup(Generic[Key, Found]):
    """`await lookup(key)` gives what `fetch_many` found for the key, or None.

    Lives on one event loop. A failing trip fails those who travelled on it, and only those.
    """

    __slots__ = ("_fetch_many", "_trip", "_waiting")

    def __init__(self, fetch_many: Callable[[Sequence[Key]], Awaitable[Mapping[Key, Found]]]) -> None:
        self._fetch_many = fetch_many
        self._waiting: dict[Key, list[asyncio.Future[Found | None]]] = {}
        self._trip: asyncio.Task[None] | None = None  # one at a time: the next one takes all who wait for it

    async def __call__(self, key: Key) -> Found | None:
        # A future for each caller: one that gives up cancels its own, and takes the answer from nobody.
        answer: asyncio.Future[Found | None] = asyncio.get_running_loop().create_future()
        callers = self._waiting.get(key)
        if callers is None:
            self._waiting[key] = [answer]
            self._depart()
        else:
            callers.append(answer)
        return await answer

    def _depart(self) -> None:
        if self._waiting and self._trip is None:
            self._trip = asyncio.get_running_loop().create_task(self._travel())
            self._trip.add_done_callback(self._arrive)

    async def _travel(self) -> None:
        # Taken here and not when the trip was planned, so that whoever asks within the same turn of
        # the loop still comes along.
        keys = list(self._waiting)[:KEYS_PER_TRIP]
        passengers = {key: self._waiting.pop(key) for key in keys}
        try:
            found: Mapping[Key, Found] = await self._fetch_many(keys) if keys else {}
        except BaseException as error:
            for answer in _still_waiting(passengers.values()):
                answer.set_exception(error)
            if not isinstance(error, Exception):
                raise
        else:
            for key, callers in passengers.items():
                row = found.get(key)
                for answer in _still_waiting([callers]):
                    answer.set_result(row)

    def _arrive(self, _: asyncio.Task[None]) -> None:
        self._trip = None
        self._depart()


def _still_waiting(
    passengers: Iterable[list[asyncio.Future[Found | None]]],
) -> Iterator[asyncio.Future[Found | None]]:
    return (answer for callers in passengers for answer in callers if not answer.done())
