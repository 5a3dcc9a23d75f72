"""Clients that do what no library does by itself: they never ask a second time, so that each failed request is seen."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

_PAUSE_SECONDS = 0.005  # in which a connection rests, and may be closed


@dataclass
class Talk:
    """One client's requests, over a connection that it keeps until the server says that an answer is the last one.

    `answered` has the request id of each answer, `failures` what became of the others, and `failed_after` how many were
    answered before the last of these.
    """

    port: int
    path: str = "/healthz"
    answered: list[str] = field(default_factory=list[str])
    statuses: set[int] = field(default_factory=set[int])
    failures: list[str] = field(default_factory=list[str])
    failed_after: int = 0
    _streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self) -> int | None:
        """Returns the status, or None for a request that failed."""
        try:
            if self._streams is None:
                self._streams = await asyncio.open_connection("127.0.0.1", self.port)
            reader, writer = self._streams
            writer.write(f"GET {self.path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:-2])
            await reader.readexactly(int(fields["content-length"]))
        except (OSError, asyncio.IncompleteReadError) as error:
            self.failures.append(repr(error))
            self.failed_after = len(self.answered)
            self.close()
            return None
        self.answered.append(fields["x-request-id"])
        if fields.get("connection") == "close":
            self.close()
        status = int(head.split()[1])
        self.statuses.add(status)
        return status

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


@asynccontextmanager
async def talking(clients: int, port: int, *, until: Callable[[], bool] = lambda: False) -> AsyncGenerator[list[Talk]]:
    """Asks again and again until the block ends, or until a balancer in front of it would send nothing more."""
    talks, is_over = [Talk(port) for _ in range(clients)], asyncio.Event()

    async def talk(one: Talk) -> None:
        while not is_over.is_set() and not until():
            await one.ask()
            await asyncio.sleep(_PAUSE_SECONDS)
        one.close()

    tasks = [asyncio.create_task(talk(one)) for one in talks]
    try:
        yield talks
    finally:
        is_over.set()
        await asyncio.gather(*tasks)
