"""Answers of Alpaca's that are shared: one call for all who ask the same at the same moment, kept for a moment more."""

import asyncio
import zlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Final, Generic, TypeVar, final

import orjson
from pydantic import BaseModel

from corral.alpaca.models import Account
from corral.credentials.models import SealedCredential

MOST_BYTES_KEPT: Final = 32 * 1024 * 1024
MOST_ACCOUNTS_KEPT: Final = 20_000

_NAMES: Final = [field.name for field in fields(Account)]

Value = TypeVar("Value", bound=BaseModel)
Value_co = TypeVar("Value_co", bound=BaseModel, covariant=True)


@final
@dataclass(frozen=True)
class Answer(Generic[Value_co]):
    """A typed value, and its JSON, which is made once however many it is sent to."""

    value: Value_co

    @cached_property
    def json(self) -> bytes:
        return self.value.model_dump_json().encode()


@final
class AnswerCache:
    """Single flight, and a time to live. Whoever asks has been authorised already, for this very request.

    The key begins with the owner, the credential and its revision, so that an answer which is kept cannot be reached
    any more once a right was taken away. Nothing is kept of a failure. An idle account costs nothing, for its entry
    goes when its time is over. No more than `most_bytes` of JSON are kept: what would be too much is not kept.
    """

    __slots__ = ("_answers", "_bytes_kept", "_calls", "_keep_seconds", "_most_bytes")

    def __init__(self, keep_seconds: float, *, most_bytes: int = MOST_BYTES_KEPT) -> None:
        self._keep_seconds = keep_seconds
        self._most_bytes = most_bytes
        self._bytes_kept = 0
        self._answers: dict[Hashable, Answer[Any]] = {}
        self._calls: dict[Hashable, asyncio.Task[Answer[Any]]] = {}

    def kept(self, key: Hashable) -> Answer[Any] | None:
        """The answer that is kept, without a call."""
        return self._answers.get(key)

    async def get(
        self, key: Hashable, fetch: Callable[[], Awaitable[Answer[Value]]], *, keep_seconds: float | None = None
    ) -> Answer[Value]:
        """The kept answer, or that of the call under way, or a new one. Raises what `fetch` raises.

        `keep_seconds` is for how long a new one serves others; without it, what the cache was made with.
        """
        kept = self._answers.get(key)
        if kept is not None:
            return kept
        call = self._calls.get(key)
        if call is None:
            seconds = self._keep_seconds if keep_seconds is None else keep_seconds
            call = self._calls[key] = asyncio.get_running_loop().create_task(self._call(key, fetch, seconds))
            call.add_done_callback(_retrieve_exception)
        # Shielded: a caller that gives up must not cancel the call for the others.
        return await asyncio.shield(call)

    async def close(self) -> None:
        """Ends calls whose answer nobody will read any more."""
        for call in list(self._calls.values()):
            call.cancel()
        await asyncio.gather(*self._calls.values(), return_exceptions=True)

    async def _call(
        self, key: Hashable, fetch: Callable[[], Awaitable[Answer[Value]]], keep_seconds: float
    ) -> Answer[Value]:
        try:
            answer = await fetch()
        finally:
            del self._calls[key]
        size = len(answer.json)
        if keep_seconds > 0 and self._bytes_kept + size <= self._most_bytes:
            self._answers[key] = answer
            self._bytes_kept += size
            asyncio.get_running_loop().call_later(keep_seconds, self._forget, key)
        return answer

    def _forget(self, key: Hashable) -> None:
        self._bytes_kept -= len(self._answers.pop(key).json)


@final
class LastKnownAccounts:
    """What Alpaca last said of each account, whoever asked: far more with every answer than account-data passes on.

    Kept by owner, credential and revision. New keys, and whatever else takes a right away, are another revision, so
    nothing that is kept is found under it.
    """

    __slots__ = ("_answers", "_most")

    def __init__(self, *, most: int = MOST_ACCOUNTS_KEPT) -> None:
        self._most = most
        # Packed: an idle account costs a tenth of what its fields would, for 6 µs a call to Alpaca.
        self._answers: OrderedDict[Hashable, bytes] = OrderedDict()

    def put(self, stored: SealedCredential, account: Account) -> None:
        key = _packed(stored)
        values = orjson.dumps([getattr(account, name) for name in _NAMES])
        self._answers[key] = zlib.compress(values, level=1)
        self._answers.move_to_end(key)
        if len(self._answers) > self._most:
            self._answers.popitem(last=False)

    def get(self, stored: SealedCredential) -> Account | None:
        """None for an account that has not been asked since the start."""
        kept = self._answers.get(_packed(stored))
        return None if kept is None else Account(**dict(zip(_NAMES, orjson.loads(zlib.decompress(kept)), strict=True)))


def _packed(stored: SealedCredential) -> bytes:
    return b"%b%b%d" % (stored.user_id.bytes, stored.id.bytes, stored.revision)


def _retrieve_exception(call: asyncio.Task[Answer[Any]]) -> None:
    """Every caller may have left before the call failed; then asyncio would complain that nobody looked."""
    if not call.cancelled():
        call.exception()
