"""Those who watch one account: whose turn it is to ask, and who may be told."""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Final, final

from corral.errors import Problem
from corral.live.events import GAP, News
from corral.live.watchers import Part, Watcher

# After a refusal, which may be a mistake of Alpaca's. One that is none is soon marked in the row, and then not tried.
TRY_AGAIN_SECONDS: Final = (60.0, 90.0)


@final
class Audience:
    """Each pair of keys has its turn, so each proves itself again and again, and one that has not yet comes first."""

    __slots__ = ("_changed", "_refused", "_turns", "on_loss")

    def __init__(self) -> None:
        self.on_loss: Callable[[Watcher], None] | None = None
        self._turns: deque[Watcher] = deque()
        self._refused: dict[Watcher, asyncio.TimerHandle] = {}
        self._changed = asyncio.Event()

    def __contains__(self, watcher: Watcher) -> bool:
        return watcher in self._turns

    def proved(self) -> Iterator[Watcher]:
        return (watcher for watcher in self._turns if watcher.is_proved)

    def add(self, watcher: Watcher) -> None:
        self._forget_refusal(watcher)
        if watcher not in self._turns:
            self._turns.appendleft(watcher)
            self._changed.set()

    def remove(self, watcher: Watcher) -> None:
        """From now on nothing is asked with its keys, and it is told nothing."""
        self._forget_refusal(watcher)
        if watcher in self._turns:
            self._turns.remove(watcher)
            watcher.is_proved = False
            if self.on_loss is not None:
                self.on_loss(watcher)

    def refuse(self, watcher: Watcher, problem: Problem) -> None:
        """Its owner is told why, and nothing more of the account. Unless its row says the same, it is tried again."""
        self.remove(watcher)
        watcher.tell_trouble("keys", problem)
        if not watcher.is_marked:
            seconds = random.uniform(*TRY_AGAIN_SECONDS)  # noqa: S311 - spreads load, guards nothing
            self._refused[watcher] = asyncio.get_running_loop().call_later(seconds, self.add, watcher)

    async def next_to_ask(self) -> Watcher:
        """Whose keys make the next call. Waits until there is anybody."""
        await self._wait_until(lambda: bool(self._turns))
        watcher = self._turns[0]
        self._turns.rotate(-1)
        return watcher

    async def someone_proved(self, *, after: Watcher | None) -> Watcher:
        """One whose keys are accepted, and another than `after` if there is one. Waits until there is any."""
        await self._wait_until(lambda: any(self.proved()))
        proved = list(self.proved())
        return next((watcher for watcher in proved if watcher is not after), proved[0])

    def admit(self, watcher: Watcher, known: Iterable[News]) -> None:
        """Its own keys were accepted: from now on it is told, beginning with what is known."""
        if watcher.is_proved or watcher not in self._turns:
            return
        watcher.is_proved = True
        watcher.tell_trouble("polling", None)
        if watcher.has_trouble("keys"):
            watcher.tell_trouble("keys", None)
            watcher.tell(GAP)
        for news in known:
            watcher.tell(news)
        self._changed.set()

    def tell(self, news: Iterable[News]) -> None:
        for one in news:
            for watcher in self.proved():
                watcher.tell(one)

    def tell_trouble(self, part: Part, problem: Problem | None) -> None:
        for watcher in self.proved():
            watcher.tell_trouble(part, problem)

    def close(self) -> None:
        for timer in self._refused.values():
            timer.cancel()

    def _forget_refusal(self, watcher: Watcher) -> None:
        timer = self._refused.pop(watcher, None)
        if timer is not None:
            timer.cancel()

    async def _wait_until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._changed.clear()
            await self._changed.wait()
