"""What a connection has still to send, so that a publisher never waits for a slow client."""

import asyncio

from aiohttp import web

from corral_sandbox.faults.effects import reset_connection

FLUSH_SECONDS = 5.0


class UnsentFrames:
    """At most `most` frames; a client that is further behind is disconnected."""

    def __init__(self, request: web.BaseRequest, most: int) -> None:
        self._request = request
        self._frames: asyncio.Queue[bytes] = asyncio.Queue(most)

    def put(self, frame: bytes) -> None:
        try:
            self._frames.put_nowait(frame)
        except asyncio.QueueFull:
            reset_connection(self._request)

    async def get(self) -> bytes:
        """Returns the next frame; call `note_sent` afterwards."""
        return await self._frames.get()

    def note_sent(self) -> None:
        self._frames.task_done()

    async def wait_until_sent(self) -> None:
        await self._frames.join()

    async def flush(self) -> None:
        """Returns when everything has been sent. A client that does not read is disconnected."""
        try:
            async with asyncio.timeout(FLUSH_SECONDS):
                await self._frames.join()
        except TimeoutError:
            reset_connection(self._request)

    def discard(self) -> None:
        while not self._frames.empty():
            self._frames.get_nowait()
            self._frames.task_done()
