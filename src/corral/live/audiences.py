"""Those who watch one account: whose turn it is to ask, and who may be told."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import final

from corral.errors import Problem
from corral.live.events import News
from corral.live.watchers import Part, Watcher


@final
class Audience:
    """Each pair of keys has its turn, so each proves itself again and again, and one that has not yet comes first."""

    __slots__ = ("_admitted", "_turns", "on_loss")

    def __init__(self) -> None:
        self.on_loss: Callable[[Watcher], None] | None = None
        self._turns: deque[Watcher] = deque()
        self._admitted = asyncio.Event()

    def __contains__(self, watcher: Watcher) -> bool:
        return watcher in self._turns

    def __bool__(self) -> bool:
        return bool(self._turns)

    def proved(self) -> Iterator[Watcher]:
        return (watcher for watcher in self._turns if watcher.is_proved)

    def add(self, watcher: Watcher) -> None:
        self._turns.appendleft(watcher)

    def remove(self, watcher: Watcher) -> None:
        """From now on nothing is asked with its keys, and it is told nothing."""
        if watcher in self._turns:
            self._turns.remove(watcher)
            watcher.is_proved = False
            if self.on_loss is not None:
                self.on_loss(watcher)

    def next_to_ask(self) -> Watcher:
        watcher = self._turns[0]
        self._turns.rotate(-1)
        return watcher

    def admit(self, watcher: Watcher, known: Iterable[News]) -> None:
        """Its own keys were accepted: from now on it is told, beginning with what is known."""
        if watcher.is_proved or watcher not in self._turns:
            return
        watcher.is_proved = True
        self._admitted.set()
        watcher.tell_trouble("polling", None)
        for news in known:
            watcher.tell(news)

    async def someone_proved(self, *, after: Watcher | None) -> Watcher:
        """One whose keys are accepted, and another than `after` if there is one. Waits until there is any."""
        while not (proved := list(self.proved())):
            self._admitted.clear()
            await self._admitted.wait()
        others = [watcher for watcher in proved if watcher is not after]
        return (others or proved)[0]

    def refuse(self, watcher: Watcher, problem: Problem) -> None:
        """It is told why, and then nothing more until its row changes."""
        if watcher in self._turns:
            self.remove(watcher)
            watcher.tell_trouble("keys", problem)

    def tell(self, news: Iterable[News]) -> None:
        for one in news:
            for watcher in self.proved():
                watcher.tell(one)

    def tell_trouble(self, part: Part, problem: Problem | None) -> None:
        for watcher in self.proved():
            watcher.tell_trouble(part, problem)
