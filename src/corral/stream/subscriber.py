"""One open stream: its position in its hub's sequence of events, read at its own pace."""

import asyncio
import random
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final, final

from starlette.types import Receive, Send

from corral.edge.long_lived import LongLivedConnection, wait_until_gone
from corral.errors import Problem
from corral.identity.models import AuthUser
from corral.stream.events import LogPosition, begun_at, event_text, places_in, problem_event, retry_text
from corral.stream.hub import Hub
from corral.stream.selection import StreamSelection

CHUNK_BYTES: Final = 16 * 1024
RETRY_MILLISECONDS: Final = (1_000, 3_000)  # after a lost stream; random, so that not all clients reconnect at once
RETRY_LATER_MILLISECONDS: Final = (2_000, 10_000)  # after one that the server ended
CUT_SECONDS: Final = 0.3  # for a slow client to receive the closing event

HEADERS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx would otherwise buffer events
    (b"connection", b"close"),  # no request follows a stream
]


@final
class Subscriber:
    """Reads events from its hub and keeps none. A client that is too slow for that gets a `gap`."""

    __slots__ = ("_connection", "_cursor", "_end", "_heartbeats", "_is_ended", "_state", "_woken", "selection", "user")

    def __init__(self, user: AuthUser, selection: StreamSelection) -> None:
        self.user = user
        self.selection = selection
        self._connection: LongLivedConnection | None = None
        self._state: Iterator[bytes] | None = None
        self._cursor = 0
        self._heartbeats = 0
        self._woken = asyncio.Event()
        self._is_ended = False
        self._end: Problem | None = None

    def wake(self) -> None:
        self._woken.set()

    def end(self, problem: Problem | None) -> None:
        """Ends it now, with a `problem` event for a client that is still connected."""
        if self._is_ended:
            return
        self._is_ended, self._end = True, problem
        self._woken.set()
        if self._connection is not None:
            # Also after the closing event was sent, which may still be buffered for a client that does not read.
            asyncio.get_running_loop().call_later(CUT_SECONDS, self._connection.cut)

    async def serve(
        self, hub: Hub, last_event_id: str | None, connection: LongLivedConnection, receive: Receive, send: Send
    ) -> None:
        """Returns when the client has disconnected or the stream was ended. The hub must have been loaded."""
        self._connection, self._heartbeats = connection, hub.heartbeats
        resumed = hub.resume_at(last_event_id) if last_event_id else None
        places = places_in(last_event_id) if last_event_id and resumed is None else {}
        if resumed is not None:
            self._cursor = resumed
        elif not places:
            self._begin(hub, after_gap=bool(last_event_id), since=begun_at(last_event_id) if last_event_id else None)
        gone = asyncio.get_running_loop().create_task(wait_until_gone(receive))
        gone.add_done_callback(lambda _: self.end(None))
        try:
            await self._send_all(hub, send, places)
        finally:
            gone.cancel()

    async def _send_all(self, hub: Hub, send: Send, places: Mapping[bytes, LogPosition]) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [*HEADERS]})
        text = _retry(RETRY_MILLISECONDS)
        if places:
            await send({"type": "http.response.body", "body": text, "more_body": True})
            self._cursor, self._state = await hub.replay(places, self.selection)
            text = b""
        while not self._is_ended:
            text += self._next_chunk(hub)
            if text:
                await send({"type": "http.response.body", "body": text, "more_body": True})
                text = b""
            else:
                self._woken.clear()
                await self._woken.wait()
        await send({"type": "http.response.body", "body": self._closing_text(hub)})

    def _next_chunk(self, hub: Hub) -> bytes:
        """Returns at most slightly more than `CHUNK_BYTES`; empty if everything has been sent."""
        if self._state is None and not hub.reaches(self._cursor):
            self._begin(hub, after_gap=True, since=begun_at(hub.epoch))
        if self._state is not None:
            return self._next_of_state(self._state)
        chunk, self._cursor = _some_of(hub.texts_after(self._cursor, self.selection), self._cursor)
        if not chunk and self._heartbeats != hub.heartbeats:
            self._heartbeats = hub.heartbeats
            return hub.heartbeat()
        return chunk

    def _begin(self, hub: Hub, *, after_gap: bool, since: datetime | None = None) -> None:
        self._cursor, self._state = hub.newest, hub.state(self.selection, after_gap=after_gap, since=since)

    def _next_of_state(self, state: Iterator[bytes]) -> bytes:
        chunk, _ = _some_of(state, 0)
        if len(chunk) < CHUNK_BYTES:
            self._state = None
        return chunk

    def _closing_text(self, hub: Hub) -> bytes:
        if self._end is None:
            return b""
        closing = event_text(problem_event(self._end), credential_id=None, sequence=hub.newest)
        return _retry(RETRY_LATER_MILLISECONDS) + closing


def _some_of(texts: Iterator[bytes], number: int) -> tuple[bytes, int]:
    """Joins the first texts, and returns them with the number of the last one."""
    taken: list[bytes] = []
    size = 0
    for text in texts:
        taken.append(text)
        size += len(text)
        number += 1
        if size >= CHUNK_BYTES:
            break
    return b"".join(taken), number


def _retry(milliseconds: tuple[int, int]) -> bytes:
    return retry_text(random.randint(*milliseconds))  # noqa: S311 - spreads load, guards nothing
