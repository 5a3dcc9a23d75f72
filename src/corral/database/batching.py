"""Many callers' look-ups in one round trip.

Under load the cost of a small read is the round trip and not the row. So look-ups that are asked for
while another round trip is under way wait for it and travel together in the next one. Nobody is ever
answered by a query that was sent before the question was asked: a right that was withdrawn and
committed is seen withdrawn by every later request, exactly as if each asked alone.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from itertools import islice
from typing import Generic, TypeVar, final

from corral.database.connection import Connection

Key = TypeVar("Key", bound=Hashable)
Found = TypeVar("Found")

# A trip takes one in so many of those who wait. All at once, requests that came at once would go on at once, to
# Alpaca and back, and again, each waiting for the work of all of them; so they draw apart. The longer the line, the
# fuller the trips: it is gone after some dozens of them, however long it was.
SHARE_OF_A_TRIP = 16
KEYS_PER_TRIP = 200  # at most


@final
class BatchedLookup(Generic[Key, Found]):
    """`await lookup(key)` gives what `fetch_many` found for the key, or None.

    Lives on one event loop. Trips that follow each other share a connection. A failing trip fails those who
    travelled on it, and only those.
    """

    __slots__ = ("_connect", "_fetch_many", "_round", "_waiting")

    def __init__(
        self,
        connect: Callable[[], AbstractAsyncContextManager[Connection]],
        fetch_many: Callable[[Connection, Sequence[Key]], Awaitable[Mapping[Key, Found]]],
    ) -> None:
        self._connect = connect
        self._fetch_many = fetch_many
        self._waiting: dict[Key, list[asyncio.Future[Found | None]]] = {}
        self._round: asyncio.Task[None] | None = None  # one at a time, until nobody waits

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
        if self._waiting and self._round is None:
            self._round = asyncio.get_running_loop().create_task(self._travel())
            self._round.add_done_callback(self._arrive)

    async def _travel(self) -> None:
        passengers: dict[Key, list[asyncio.Future[Found | None]]] = {}
        try:
            async with self._connect() as connection:
                while self._waiting:
                    passengers = self._board()
                    _answer(passengers, await self._fetch_many(connection, list(passengers)))
        except BaseException as error:
            _fail(passengers or self._turn_away(), error)
            if not isinstance(error, Exception):
                raise

    def _board(self) -> dict[Key, list[asyncio.Future[Found | None]]]:
        """Those who came first, just before the query is sent."""
        seats = min(-(-len(self._waiting) // SHARE_OF_A_TRIP), KEYS_PER_TRIP)
        return {key: self._waiting.pop(key) for key in list(islice(self._waiting, seats))}

    def _turn_away(self) -> dict[Key, list[asyncio.Future[Found | None]]]:
        """All who wait, where there is no connection."""
        everybody, self._waiting = self._waiting, {}
        return everybody

    def _arrive(self, _: asyncio.Task[None]) -> None:
        self._round = None
        self._depart()


def _answer(passengers: Mapping[Key, list["asyncio.Future[Found | None]"]], found: Mapping[Key, Found]) -> None:
    for key, callers in passengers.items():
        row = found.get(key)
        for answer in _still_waiting([callers]):
            answer.set_result(row)


def _fail(passengers: Mapping[Key, list["asyncio.Future[Found | None]"]], error: BaseException) -> None:
    for answer in _still_waiting(passengers.values()):
        answer.set_exception(error)


def _still_waiting(
    passengers: Iterable[list["asyncio.Future[Found | None]"]],
) -> Iterator["asyncio.Future[Found | None]"]:
    return (answer for callers in passengers for answer in callers if not answer.done())
