"""One count of an account's requests for all processes that share a Valkey.

The count is taken in the server, in one step and by its clock. The process keeps a copy: it goes on from there when
Valkey is away, and when Valkey is back the larger of the two counts is continued with.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, cast, final
from uuid import UUID

from corral.alpaca.rate_budget import MOST_ACCOUNTS, Budgets, Part
from corral.valkey.errors import ValkeyAway
from corral.valkey.script import Script

if TYPE_CHECKING:
    from corral.valkey.client import Valkey

SCRIPT: Final = Script.load(Path(__file__).with_name("shared_budgets.lua"))


class _State(NamedTuple):
    """What the script returns. Times are in milliseconds from now."""

    wait: int
    number: int
    limit: int
    used: int
    reserved: int
    ends_in: int
    held_in: int
    part: int
    remaining: int
    resets_in: int


@final
class SharedBudgets(Budgets):
    """As `Budgets`, for all processes. While Valkey is away nothing here waits for it, and the copy counts."""

    def __init__(
        self,
        valkey: "Valkey",
        *,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(monotonic=monotonic, wall=wall)
        self._valkey = valkey
        # How often Valkey had been away when an account's count was last the same in both.
        self._merged: OrderedDict[Hashable, int] = OrderedDict()

    async def take(self, key: Hashable, *, leaving: int = 0) -> int:
        """In one round trip to Valkey."""
        if self._valkey.is_here:
            try:
                return (await self._run(key, {}, 0, "take", leaving)).wait
            except ValkeyAway:
                self._merged.pop(key, None)
        return self.take_alone(key, leaving=leaving)

    async def take_part(
        self, key: Hashable, grant_id: UUID, *, is_closing: bool, alone: Mapping[UUID, int], alone_closing: int
    ) -> Part | None:
        if not self._valkey.is_here:
            return None
        grant = self._member(grant_id)
        try:
            state = await self._run(key, alone, alone_closing, "share", grant, int(is_closing))
        except ValkeyAway:
            self._merged.pop(key, None)
            return None
        return Part(state.wait, state.part, state.remaining, state.resets_in / 1000)

    def give_back(self, key: Hashable, grant_id: UUID | None = None) -> None:
        super().give_back(key)
        self._tell(key, "give", "" if grant_id is None else self._member(grant_id))

    def update(self, key: Hashable, headers: Mapping[str, str]) -> bool:
        """Tells Valkey only what the copy does not say already: most responses say nothing new."""
        is_news = super().update(key, headers)
        if is_news:
            names = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
            self._tell(key, "update", *(headers.get(name, "")[:20] for name in names))
        return is_news

    def hold(self, key: Hashable, headers: Mapping[str, str]) -> int:
        seconds = super().hold(key, headers)
        self._tell(key, "hold", seconds)
        return seconds

    async def _run(self, key: Hashable, alone: Mapping[UUID, int], alone_closing: int, *operation: str | int) -> _State:
        if self._merged.get(key) != self._valkey.times_away:
            self._merge(key, alone, alone_closing)
        answer: object = await self._valkey.run(SCRIPT, [self._name(key)], *operation)
        state = _State(*map(int, cast("bytes", answer).split()))
        self.follow(
            key,
            number=state.number,
            limit=state.limit,
            used=state.used,
            reserved=state.reserved,
            ends_in_seconds=state.ends_in / 1000,
            held_seconds=state.held_in / 1000,
        )
        return state

    def _merge(self, key: Hashable, alone: Mapping[UUID, int], alone_closing: int) -> None:
        counted = self.counted(key)
        if counted is not None:
            minute, held_seconds = counted
            state = (minute.ends_in_seconds * 1000, minute.limit, minute.used, held_seconds * 1000, alone_closing)
            grants = [(self._member(grant_id), count) for grant_id, count in alone.items()]
            self._tell(key, "merge", *map(int, state), *(part for grant in grants for part in grant))
        self._merged[key] = self._valkey.times_away
        self._merged.move_to_end(key)
        if len(self._merged) > MOST_ACCOUNTS:
            self._merged.popitem(last=False)

    def _tell(self, key: Hashable, *operation: str | int) -> None:
        if self._valkey.is_here:
            self._valkey.tell(SCRIPT, [self._name(key)], *operation)

    def _name(self, key: Hashable) -> str:
        return self._valkey.names.key("budget", *parts_of(key))

    def _member(self, grant_id: UUID) -> str:
        return self._valkey.names.member("grant", str(grant_id))


def parts_of(key: Hashable) -> Iterable[str]:
    """The same text in every process, for the keys that are tuples of names and numbers."""
    if not isinstance(key, tuple):
        yield str(key)
        return
    for part in cast("tuple[Hashable, ...]", key):
        yield from parts_of(part)
