"""One upstream call for all who ask for the same thing at the same moment, and its answer for a moment more."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Final, final

MOST_BYTES_KEPT: Final = 32 * 1024 * 1024


@final
class Snapshots:
    """Shares answers by key. Whoever asks has been authorised already, for this very request.

    The key names the credential and its revision: a change that takes a right away, or another key
    pair, makes another key, so an answer that is kept cannot be reached by it. Nothing is kept of a
    failure. An idle account costs nothing: its entry goes when its answer is too old. And however
    many questions there are, no more is kept than `most_bytes`: what would be too much is not kept.
    """

    __slots__ = ("_answers", "_bytes_kept", "_calls", "_keep_seconds", "_most_bytes")

    def __init__(self, keep_seconds: float, *, most_bytes: int = MOST_BYTES_KEPT) -> None:
        self._keep_seconds = keep_seconds
        self._most_bytes = most_bytes
        self._bytes_kept = 0
        self._answers: dict[Hashable, bytes] = {}
        self._calls: dict[Hashable, asyncio.Task[bytes]] = {}

    def kept(self, key: Hashable) -> bytes | None:
        """The answer that is kept, without a call."""
        return self._answers.get(key)

    async def get(self, key: Hashable, fetch: Callable[[], Awaitable[bytes]]) -> bytes:
        """The kept answer, or that of the call under way, or a new one. Raises what `fetch` raises."""
        kept = self._answers.get(key)
        if kept is not None:
            return kept
        call = self._calls.get(key)
        if call is None:
            call = self._calls[key] = asyncio.get_running_loop().create_task(self._call(key, fetch))
            call.add_done_callback(_take_notice)
        # Shielded: a reader that gives up must not cancel the call for the others.
        return await asyncio.shield(call)

    async def close(self) -> None:
        """Ends calls that nobody will read any more."""
        for call in list(self._calls.values()):
            call.cancel()
        await asyncio.gather(*self._calls.values(), return_exceptions=True)

    async def _call(self, key: Hashable, fetch: Callable[[], Awaitable[bytes]]) -> bytes:
        try:
            answer = await fetch()
        finally:
            del self._calls[key]
        if self._keep_seconds > 0 and self._bytes_kept + len(answer) <= self._most_bytes:
            self._answers[key] = answer
            self._bytes_kept += len(answer)
            asyncio.get_running_loop().call_later(self._keep_seconds, self._forget, key)
        return answer

    def _forget(self, key: Hashable) -> None:
        self._bytes_kept -= len(self._answers.pop(key))


def _take_notice(call: asyncio.Task[bytes]) -> None:
    """Every reader may have left before the call failed; then nobody else looks at its exception."""
    if not call.cancelled():
        call.exception()
