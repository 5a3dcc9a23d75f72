"""Shares answers: one call to Alpaca for all simultaneous requests for the same data, cached for a short time."""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable
from contextlib import asynccontextmanager
from contextvars import Context
from dataclasses import dataclass, field, fields
from functools import cached_property
from math import inf
from operator import attrgetter
from typing import Any, Final, Generic, Protocol, TypeVar, final
from uuid import UUID

import orjson
from pydantic import BaseModel

from corral.alpaca.models import Account
from corral.alpaca.shared_answers import SharedAnswers, ShareScope
from corral.credentials.models import SealedCredential
from corral.logs import get_logger

MOST_BYTES_KEPT: Final = 32 * 1024 * 1024
MOST_ACCOUNTS_KEPT: Final = 20_000
_REFRESH_MARGIN_SECONDS: Final = 0.02

_log = get_logger()
_NAMES: Final = [field.name for field in fields(Account)]
_values_of: Final = attrgetter(*_NAMES)

Key = tuple[Hashable, ...]
"""Begins with the owner, the credential, its revision and the account at Alpaca."""
_CREDENTIAL: Final = 1
_ACCOUNT: Final = 3

Value = TypeVar("Value", bound=BaseModel)
Value_co = TypeVar("Value_co", bound=BaseModel, covariant=True)


class Sized(Protocol):
    """What the cache keeps: it knows how many bytes it takes, about."""

    @property
    def size(self) -> int: ...


Kept = TypeVar("Kept", bound=Sized)


@final
@dataclass(frozen=True)
class Answer(Generic[Value_co]):
    """A typed value and its JSON, which is serialized once, no matter how many clients receive it."""

    value: Value_co

    @cached_property
    def json(self) -> bytes:
        return self.value.model_dump_json().encode()

    @property
    def size(self) -> int:
        return len(self.json)


@dataclass(frozen=True, slots=True)
class _Question(Generic[Kept]):
    """How an answer is fetched and cached. `may_refresh` says whether it may be refreshed ahead of the next reader."""

    fetch: Callable[[], Awaitable[Kept]]
    keep_seconds: float
    may_refresh: Callable[[], bool]


_NO_REQUEST: Final = Context()  # timers belong to no request, and must not keep the context of one


@dataclass(slots=True)
class _Entry:
    """`timer` is for the refresh, and after it for the end."""

    answer: Any  # Sized
    timer: asyncio.TimerHandle
    read_at: float = -inf  # the last time, on the loop's clock


@dataclass(slots=True, eq=False)
class _Call:
    """A call in progress, and those who wait for it: each has a future of its own, to give up by itself."""

    callers: list["asyncio.Future[Any]"] = field(default_factory=list["asyncio.Future[Any]"])
    task: "asyncio.Task[None] | None" = None

    def cancel_callers(self) -> None:
        for caller in self.callers:
            caller.cancel()


@final
class AnswerCache:
    """Single flight, a time to live, and refresh-ahead.

    Callers have already been authorized for this request. The key begins with the owner, the credential and
    its revision, so that a cached answer cannot be reached once access has been revoked. Failures are not
    cached. At most `most_bytes` are cached; an answer beyond that is not cached.

    No answer is served beyond its time to live. One that is read continuously is refreshed shortly before it expires,
    so that no reader waits for Alpaca. One that is not read is dropped when it expires.

    With `shared`, calls and answers are shared with other processes, and all of them forget an account that is changed.
    """

    __slots__ = (
        "_bytes_kept",
        "_calls",
        "_entries",
        "_keep_seconds",
        "_kept_of",
        "_keys_of",
        "_most_bytes",
        "_outdated",
        "_shared",
    )

    def __init__(
        self, keep_seconds: float, shared: SharedAnswers | None = None, *, most_bytes: int = MOST_BYTES_KEPT
    ) -> None:
        self._keep_seconds = keep_seconds
        self._shared = shared
        self._most_bytes = most_bytes
        self._bytes_kept = 0
        self._entries: dict[Key, _Entry] = {}
        self._kept_of: Counter[Hashable] = Counter()  # how many entries a credential has
        self._keys_of: dict[Hashable, set[Key]] = {}  # of an account's entries
        self._calls: dict[Key, _Call] = {}
        self._outdated: set[_Call] = set()  # calls that began before the account was changed

    def keeps_any_of(self, credential_id: UUID) -> bool:
        """Whether any answer about the credential is cached, for any caller."""
        return credential_id in self._kept_of

    def kept(self, key: Key) -> Any | None:  # noqa: ANN401 - of the type that the key's question has
        """Returns the cached answer, without a call."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        entry.read_at = asyncio.get_running_loop().time()
        return entry.answer

    async def get(
        self,
        key: Key,
        fetch: Callable[[], Awaitable[Kept]],
        *,
        keep_seconds: float | None = None,
        may_refresh: Callable[[], bool] = lambda: False,
    ) -> Kept:
        """Returns the cached answer, that of the call in progress, or a new one. Raises what `fetch` raises.

        `keep_seconds` is how long a new answer is cached; the default is the time to live of the cache.
        """
        kept = self.kept(key)
        if kept is not None:
            return kept
        call = self._calls.get(key)
        if call is None:
            seconds = self._keep_seconds if keep_seconds is None else keep_seconds
            call = self._start(key, _Question(fetch, seconds, may_refresh))
        caller: asyncio.Future[Kept] = asyncio.get_running_loop().create_future()
        call.callers.append(caller)
        return await caller

    def forget_account(self, account: Hashable) -> None:
        """Drops what is cached about an account that has been changed. Calls in progress serve only those who wait."""
        if self._shared is not None:
            self._shared.change(account)
        self._forget_here(account)

    async def hear(self) -> None:
        """Forgets the accounts that other processes change. Runs until it is cancelled."""
        if self._shared is not None:
            await self._shared.hear(self._forget_changed, self._forget_all)

    def _forget_changed(self, stamp_key: str) -> None:
        assert self._shared is not None  # noqa: S101 - it has called this
        for account in self._accounts():
            if self._shared.stamp_key(account) == stamp_key:
                self._forget_here(account)

    def _forget_all(self) -> None:
        for account in self._accounts():
            self._forget_here(account)

    def _accounts(self) -> set[Hashable]:
        return {*self._keys_of, *(key[_ACCOUNT] for key in self._calls)}

    def _forget_here(self, account: Hashable) -> None:
        for key in list(self._keys_of.get(account, ())):
            self._forget(key)
        for key in [key for key in self._calls if key[_ACCOUNT] == account]:
            self._outdated.add(self._calls.pop(key))

    async def close(self) -> None:
        """Cancels the calls in progress."""
        for key in list(self._entries):
            self._forget(key)
        calls = [*self._calls.values(), *self._outdated]
        tasks = [call.task for call in calls if call.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for call in calls:
            call.cancel_callers()  # one that had not begun could not tell them

    def _start(self, key: Key, question: _Question[Kept], *, is_refresh: bool = False) -> _Call:
        call = self._calls[key] = _Call()
        run = self._run(call, key, question, is_refresh=is_refresh)
        call.task = asyncio.get_running_loop().create_task(run, context=Context() if is_refresh else None)
        return call

    async def _run(self, call: _Call, key: Key, question: _Question[Any], *, is_refresh: bool) -> None:
        """Makes the call, and tells those who wait how it ended: perhaps nobody any more."""
        try:
            answer = await self._fetch(call, key, question, is_refresh=is_refresh)
        except asyncio.CancelledError:
            call.cancel_callers()
            raise
        except Exception as error:  # noqa: BLE001 - each caller raises it
            for caller in call.callers:
                if not caller.done():
                    caller.set_exception(error)
        else:
            for caller in call.callers:
                if not caller.done():
                    caller.set_result(answer)

    async def _fetch(self, call: _Call, key: Key, question: _Question[Kept], *, is_refresh: bool) -> Kept:
        began = asyncio.get_running_loop().time()
        scope = None if self._shared is None else ShareScope(question.keep_seconds, is_refresh=is_refresh)
        try:
            answer = await question.fetch()
        finally:
            if scope is not None:
                scope.close()
            is_current = self._calls.get(key) is call
            if is_current:
                del self._calls[key]
            else:
                self._outdated.discard(call)
        if not is_current:
            return answer
        self._forget(key)
        seconds = question.keep_seconds - (scope.age_seconds if scope is not None else 0)
        if seconds > 0 and self._bytes_kept + answer.size <= self._most_bytes:
            self._keep(key, question, answer, seconds, asyncio.get_running_loop().time() - began)
        return answer

    def _keep(self, key: Key, question: _Question[Any], answer: Sized, seconds: float, call_seconds: float) -> None:
        """Refreshes 1.5 times the duration of the last call before expiry, because the next call may be slower."""
        loop = asyncio.get_running_loop()
        ahead = min(seconds / 2, 1.5 * call_seconds + _REFRESH_MARGIN_SECONDS)
        ends = loop.time() + seconds
        timer = loop.call_at(ends - ahead, self._refresh, key, question, ends, context=_NO_REQUEST)
        self._entries[key] = _Entry(answer, timer)
        self._kept_of[key[_CREDENTIAL]] += 1
        self._keys_of.setdefault(key[_ACCOUNT], set()).add(key)
        self._bytes_kept += answer.size

    def _refresh(self, key: Key, question: _Question[Any], ends: float) -> None:
        """Only if it was read in the second half of its time to live and no call is in progress."""
        loop, entry = asyncio.get_running_loop(), self._entries[key]
        entry.timer = loop.call_at(ends, self._forget, key, context=_NO_REQUEST)
        since = loop.time() - question.keep_seconds / 2
        if entry.read_at >= since and key not in self._calls and question.may_refresh():
            self._start(key, question, is_refresh=True)

    def _forget(self, key: Key) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes_kept -= entry.answer.size
            entry.timer.cancel()
            self._kept_of[key[_CREDENTIAL]] -= 1
            if not self._kept_of[key[_CREDENTIAL]]:
                del self._kept_of[key[_CREDENTIAL]]
            keys = self._keys_of[key[_ACCOUNT]]
            keys.remove(key)
            if not keys:
                del self._keys_of[key[_ACCOUNT]]


@asynccontextmanager
async def open_answer_cache(keep_seconds: float, shared: SharedAnswers | None) -> AsyncGenerator[AnswerCache]:
    cache = AnswerCache(keep_seconds, shared)
    hearing = asyncio.get_running_loop().create_task(cache.hear())
    hearing.add_done_callback(_report_bug)
    try:
        yield cache
    finally:
        hearing.cancel()
        await asyncio.gather(hearing, return_exceptions=True)
        await cache.close()


def _report_bug(hearing: asyncio.Task[None]) -> None:
    """What other processes change is noticed later then, as without Valkey."""
    if not hearing.cancelled() and (bug := hearing.exception()):
        _log.error("answer_sharing_broke", exc_info=bug)


@final
class LastKnownAccounts:
    """The last response of Alpaca about each account, for any caller: much more than account-data returns.

    Cached by owner, credential and revision. New keys, and every other change that revokes access, make a new revision,
    under which nothing is cached.
    """

    __slots__ = ("_answers", "_most")

    def __init__(self, *, most: int = MOST_ACCOUNTS_KEPT) -> None:
        self._most = most
        # As JSON: an idle account costs a tenth of what its fields would. Compressed, it would cost two thirds of that,
        # and each call to Alpaca a twentieth more CPU.
        self._answers: OrderedDict[Hashable, str] = OrderedDict()

    def put(self, stored: SealedCredential, account: Account) -> None:
        key = _packed(stored)
        # Copied to its own size: as orjson returns them, a thousand keep 8 MB of the buffers they were written in.
        self._answers[key] = orjson.dumps(_values_of(account)).decode()
        self._answers.move_to_end(key)
        if len(self._answers) > self._most:
            self._answers.popitem(last=False)

    def get(self, stored: SealedCredential) -> Account | None:
        """Returns None for an account that has not been requested since startup."""
        kept = self._answers.get(_packed(stored))
        return None if kept is None else Account(**dict(zip(_NAMES, orjson.loads(kept), strict=True)))


def _packed(stored: SealedCredential) -> bytes:
    return b"%b%b%d" % (stored.user_id.bytes, stored.id.bytes, stored.revision)
