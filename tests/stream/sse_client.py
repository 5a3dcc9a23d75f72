"""Reads a stream as a browser does: events with their fields, in the order in which they come."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import ClientPayloadError, ClientResponse, ClientSession, ClientTimeout

PATIENCE = 60.0
# The promise is a second: half of it passes between two checks. The rest is the database's, which a busy machine slows.
SOON = 5.0


@dataclass(frozen=True, slots=True)
class Event:
    kind: str
    data: dict[str, Any]
    id: str | None
    at: float  # on the loop's clock


@dataclass
class SseClient:
    """One open stream. All that was heard stays in `heard`."""

    answer: ClientResponse
    heard: list[Event] = field(default_factory=list[Event])
    retries: list[int] = field(default_factory=list[int])
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    ended_at: float | None = None

    @property
    def last_id(self) -> str | None:
        return next((event.id for event in reversed(self.heard) if event.id), None)

    def of(self, kind: str, **fields: object) -> list[Event]:
        return [event for event in self.heard if _fits(event, kind, fields)]

    async def until(self, kind: str, *, times: int = 1, patience: float = PATIENCE, **fields: object) -> Event:
        """The n-th event of this kind with these fields, heard already or to come."""
        await self.wait_for(lambda: len(self.of(kind, **fields)) >= times, patience=patience)
        return self.of(kind, **fields)[times - 1]

    async def wait_for(self, condition: Callable[[], bool], *, patience: float = PATIENCE) -> None:
        async with asyncio.timeout(patience):
            while not condition():
                assert self.ended_at is None, f"the stream ended after {self.heard[-3:]}"
                self._changed.clear()
                await self._changed.wait()

    async def until_end(self, *, patience: float = PATIENCE) -> float:
        """When it ended."""
        async with asyncio.timeout(patience):
            while self.ended_at is None:
                self._changed.clear()
                await self._changed.wait()
        return self.ended_at

    async def listen(self) -> None:
        try:
            fields: dict[str, str] = {}
            async for line in self.answer.content:
                self._take(line.decode().rstrip("\n"), fields)
        except (ClientPayloadError, ConnectionError):
            pass  # cut off in the middle
        finally:
            self.ended_at = asyncio.get_running_loop().time()
            self._changed.set()

    def _take(self, line: str, fields: dict[str, str]) -> None:
        name, _, value = line.partition(": ")
        if line:
            fields[name] = value
            return
        if "retry" in fields:
            self.retries.append(int(fields["retry"]))
        if "data" in fields:
            now = asyncio.get_running_loop().time()
            self.heard.append(Event(fields["event"], json.loads(fields["data"]), fields.get("id"), now))
        fields.clear()
        self._changed.set()


def _fits(event: Event, kind: str, fields: dict[str, object]) -> bool:
    return event.kind == kind and all(event.data.get(name) == value for name, value in fields.items())


@asynccontextmanager
async def listening_to(
    client: ClientSession, query: str = "", *, last_event_id: str | None = None, headers: dict[str, str] | None = None
) -> AsyncGenerator[SseClient]:
    sent = (headers or {}) | ({"Last-Event-ID": last_event_id} if last_event_id is not None else {})
    timeout = ClientTimeout(total=None, sock_read=None)
    async with client.get(f"/api/stream{query}", headers=sent, timeout=timeout) as answer:
        assert answer.status == 200, await answer.text()
        sse = SseClient(answer)
        listening = asyncio.ensure_future(sse.listen())
        try:
            yield sse
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
            answer.close()


async def wait_until(condition: Callable[[], bool], *, patience: float = PATIENCE) -> None:
    async with asyncio.timeout(patience):
        while not condition():  # noqa: ASYNC110 - a condition inside the service, which tells nobody
            await asyncio.sleep(0.02)
