"""Tells what is new about an account by its log in Valkey, or in this process alone while Valkey is away."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final, final

from corral.alpaca.leaks import LeakDetector
from corral.alpaca.orders import Order
from corral.credentials.reader import OpenCredential
from corral.errors import InternalError
from corral.logs import get_logger
from corral.stream.account_log import AccountLog
from corral.stream.audience import Audience
from corral.stream.events import Described, Kind, StreamEvent
from corral.stream.lease import Lease
from corral.stream.news import FramesMissed, Handover, Liveness, News, Scanned, SocketFrame, Trouble
from corral.stream.subscriptions import Part
from corral.valkey.errors import ValkeyAway

MOST_NEWS_OF_AN_ENTRY: Final = 64
MOST_BYTES_OF_AN_ENTRY: Final = 16 * 1024
MOST_ENTRIES_AT_ONCE: Final = 32
_REPEATABLE: Final = frozenset({Kind.ACCOUNT_DATA, Kind.POSITION})
_AGAIN_SECONDS: Final = 0.05

_log = get_logger()


class _Pending:
    """`through` is the credential whose keys opened the connection of a frame. It stays in this process."""

    __slots__ = ("news", "through")

    def __init__(self, news: News, through: OpenCredential | None = None) -> None:
        self.news = news
        self.through = through


@final
class SharedOutlet:
    """Of one account in one process. What is told comes here first, and to subscriptions only after it was written.

    So the subscriptions of all processes get the same events in the same order, and nothing is written under a lease
    that is over.
    """

    def __init__(self, audience: Audience, is_wanted: Callable[[], bool]) -> None:
        """`is_wanted` says whether anybody anywhere wants the frames of the account's socket."""
        self._audience = audience
        self._is_wanted = is_wanted
        self._pending: deque[_Pending] = deque()
        self._changed = asyncio.Event()
        self._is_alone = True
        self._is_live = False  # whether all frames arrive here
        self._batches: list[list[_Pending]] = []  # those that may have been written
        self._has_scanned = False
        self._reported: dict[Part, Described] = {}  # what is to be told, or was

    def publish(self, events: Iterable[StreamEvent]) -> None:
        for event in events:
            if self._is_alone:
                self._audience.publish([event])
            else:
                self._add(_Pending(event))

    def refresh(self, event: StreamEvent) -> None:
        """Is not worth an entry: the others have the same figures, as of an earlier moment."""
        if self._is_alone or not self._pending:
            self._audience.refresh(event)

    def report(self, part: Part, problem: Described | None) -> None:
        if self._is_alone:
            self._audience.report(part, problem)
            return
        former = self._reported.pop(part, None)
        if problem is not None:
            self._reported[part] = problem
        is_same = problem is not None and former is not None and problem.code == former.code
        if former is not None and not is_same:
            self._add(_Pending(Trouble(part, former, is_over=True)))
        if problem is not None and not is_same:
            self._add(_Pending(Trouble(part, problem)))

    async def pass_on(self, content: bytes, through: OpenCredential, *, is_text: bool) -> None:
        if self._is_alone:
            await self._audience.pass_on(content, through, is_text=is_text)
        elif await _has_key(content, through):
            self.end_frames()
        else:
            self._add(_Pending(SocketFrame(content, is_text), through))

    def set_live(self, *, is_live: bool) -> None:
        self._is_live = is_live
        self.note_interest()

    def note_interest(self) -> None:
        """To be called when somebody may have begun, or ceased, to want frames."""
        is_live = self._is_live and (self._is_alone or self._is_wanted())
        if self._is_alone:
            self._audience.set_live(is_live=is_live)
        elif is_live != self._will_be_live():
            self._add(_Pending(Liveness(is_live)))

    def end_frames(self) -> None:
        if self._is_alone:
            self._audience.end_frames()
        else:
            self._add(_Pending(FramesMissed()))

    def begin_writing(self, handover: Handover) -> None:
        """From now on, what is told is to be written by `write`, beginning with this."""
        self._is_alone = False
        self._batches = []
        self._reported = dict(self._audience.told.problems)
        for pending in self._pending:
            if isinstance(pending.news, Trouble):
                self._reported.pop(pending.news.part, None)
                if not pending.news.is_over:
                    self._reported[pending.news.part] = pending.news.problem
        self._pending.appendleft(_Pending(handover))
        self._changed.set()

    async def stop_writing(self) -> None:
        """Tells in this process what was not written: it is tracked, so nobody would tell it here later.

        Whoever has the lease now finds out by itself. `Audience.begin_anew` then tells the difference.
        """
        if any(isinstance(pending.news, StreamEvent | Trouble) for pending in self._pending):
            self._audience.move(None)
        await self._tell_rest()
        self._is_alone = True

    async def go_alone(self) -> None:
        """Tells in this process what was not written, and from now on everything."""
        self._audience.move(None)
        await self._tell_rest()
        self._is_alone = True
        self.note_interest()

    async def _tell_rest(self) -> None:
        while self._pending:
            pending = self._pending.popleft()
            await self._audience.deliver(pending.news, pending.through)

    def note_tracked(self, begun: Sequence[Order] | None) -> None:
        """The last of them are kept, so that a process that was told more or less can tell the difference."""
        if begun is None:
            return
        if self._is_alone:
            self._audience.note_tracked(begun)
        else:
            self.publish(self._audience.told.begin(begun))
            self._audience.tell_returned()
        self._has_scanned = True
        self._changed.set()

    async def write(self, log: AccountLog, lease: Lease) -> None:
        """Writes what is told, and delivers it here when it was written. Returns when the lease is lost."""
        while not lease.is_lost:
            wait = 0.0 if self._has_scanned else log.seconds_until_save()
            if not self._pending and wait > 0:
                await self._wait(wait)
                continue
            try:
                is_ours = await (self._write_some(log) if self._pending else self._save(log))
            except ValkeyAway:
                await asyncio.sleep(_AGAIN_SECONDS)
                continue
            if not is_ours and lease.holds():
                lease.lose()
            elif not is_ours:  # whoever holds it asks once more, and decides
                await asyncio.sleep(_AGAIN_SECONDS)

    async def flush(self, log: AccountLog) -> None:
        """Writes all that was told until now. Raises ValkeyAway."""
        while self._pending:
            if not await self._write_some(log):
                return
        if log.position is not None:
            await self._save(log)

    async def _save(self, log: AccountLog) -> bool:
        """To be called while nothing is pending: all that was tracked has been told then."""
        if not await log.save(self._audience.told.dump()):
            return False
        if self._has_scanned:
            self._has_scanned = False
            self._add(_Pending(Scanned()))
        return True

    async def _write_some(self, log: AccountLog) -> bool:
        batches = self._batches = self._batches or self._next_batches()
        if not await log.append([[pending.news for pending in batch] for batch in batches]):
            return False
        self._batches = []
        first = log.position
        assert first is not None  # noqa: S101 - just written
        start = first.sequence - len(batches)
        for index, batch in enumerate(batches):
            for pending in batch[:-1]:
                self._pending.popleft()
                await self._audience.deliver(pending.news, pending.through)
            self._audience.move(first._replace(sequence=start + index + 1))
            self._pending.popleft()
            await self._audience.deliver(batch[-1].news, batch[-1].through)
        return True

    def _next_batches(self) -> list[list[_Pending]]:
        batches: list[list[_Pending]] = [[]]
        size = 0
        for pending in self._pending:
            if _ends_entry(batches[-1]) or size > MOST_BYTES_OF_AN_ENTRY:
                if len(batches) == MOST_ENTRIES_AT_ONCE:
                    break
                batches.append([])
                size = 0
            batches[-1].append(pending)
            size += _size(pending.news)
        return batches

    def _will_be_live(self) -> bool:
        """Whether frames are told to be live, once everything was written."""
        told = [pending.news.is_live for pending in self._pending if isinstance(pending.news, Liveness)]
        return told[-1] if told else self._audience.told.is_live

    def _add(self, pending: _Pending) -> None:
        self._pending.append(pending)
        self._changed.set()

    async def _wait(self, seconds: float) -> None:
        self._changed.clear()
        if self._pending:
            return
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            pass


def _ends_entry(batch: list[_Pending]) -> bool:
    """A reader that resumes continues after an entry. So what must not be told twice is the last of its entry."""
    if not batch:
        return False
    last = batch[-1].news
    is_repeatable = isinstance(last, StreamEvent) and last.kind in _REPEATABLE
    return len(batch) >= MOST_NEWS_OF_AN_ENTRY or not is_repeatable


def _size(news: News) -> int:
    return len(news.body) if isinstance(news, StreamEvent) else 0


async def _has_key(content: bytes, through: OpenCredential) -> bool:
    """Whether the frame has a key of the connection in it, which the other processes cannot know."""
    try:
        async with through.opened() as keys:
            is_found = LeakDetector(*keys).finds_in(content)
    except InternalError:  # they do not open, which is logged
        return True
    if is_found:
        _log.error("alpaca_key_in_frame", credential_id=str(through.stored.id))
    return is_found
