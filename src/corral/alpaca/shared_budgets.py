"""One count of an account's requests for all processes, if they share a Valkey; otherwise this process's own.

The count is taken in the server, in one step and by its clock. The process keeps a copy: it goes on from there when
Valkey is away, and when Valkey is back the larger of the two counts is continued with.
"""

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, cast, final
from uuid import UUID

from corral.alpaca.rate_budget import MOST_ACCOUNTS, BudgetLeft, Budgets
from corral.valkey.errors import ValkeyAway
from corral.valkey.script import Script

if TYPE_CHECKING:
    from corral.valkey.client import Valkey

SCRIPT: Final = Script.load(Path(__file__).with_name("shared_budgets.lua"))


class SharedPart(NamedTuple):
    """A grant's part of the minute, as `gateway.fair_share.Share` has it. Seconds, the first one whole."""

    wait: int
    part: int
    remaining: int
    resets_in_seconds: float


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
class SharedBudgets:
    """Without Valkey nothing here waits, and `take` is as quick as the local count's."""

    __slots__ = ("_merged", "_valkey", "local")

    def __init__(self, local: Budgets, valkey: "Valkey | None" = None) -> None:
        self.local: Final = local
        self._valkey = valkey
        # How often Valkey had been away when an account's count was last the same in both.
        self._merged: OrderedDict[Hashable, int] = OrderedDict()

    async def take(self, key: Hashable, *, leaving: int = 0) -> int:
        """As `Budgets.take`, in one round trip to Valkey."""
        valkey = self._valkey
        if valkey is not None and valkey.is_here:
            try:
                return (await self._run(valkey, key, {}, 0, "take", leaving)).wait
            except ValkeyAway:
                self._merged.pop(key, None)
        return self.local.take(key, leaving=leaving)

    async def take_part(
        self, key: Hashable, grant_id: UUID, *, is_closing: bool, alone: Mapping[UUID, int], alone_closing: int
    ) -> SharedPart | None:
        """Counts one request of a grant if it may be made now. Returns None if this process has to decide it alone.

        `alone` is what this process has counted of each grant in its own minute, and `alone_closing` of it for closing.
        """
        valkey = self._valkey
        if valkey is None or not valkey.is_here:
            return None
        grant = _member(valkey, grant_id)
        try:
            state = await self._run(valkey, key, alone, alone_closing, "share", grant, int(is_closing))
        except ValkeyAway:
            self._merged.pop(key, None)
            return None
        return SharedPart(state.wait, state.part, state.remaining, state.resets_in / 1000)

    def give_back(self, key: Hashable, grant_id: UUID | None = None) -> None:
        """Returns one request, of this grant or of the owner, if it never reached Alpaca."""
        self.local.give_back(key)
        if self._valkey is not None:
            self._tell(key, "give", "" if grant_id is None else _member(self._valkey, grant_id))

    def update(self, key: Hashable, headers: Mapping[str, str]) -> None:
        """As `Budgets.update`. Tells Valkey only what the copy does not say already: most responses say nothing new."""
        is_news = self.local.update(key, headers)
        if is_news and self._valkey is not None:
            names = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
            self._tell(key, "update", *(headers.get(name, "")[:20] for name in names))

    def hold(self, key: Hashable, headers: Mapping[str, str]) -> int:
        """As `Budgets.hold`, for all processes."""
        seconds = self.local.hold(key, headers)
        self._tell(key, "hold", seconds)
        return seconds

    def left(self, key: Hashable) -> BudgetLeft | None:
        """As `Budgets.left`, as of this process's last request for the account."""
        return self.local.left(key)

    def polite_seconds(self, key: Hashable) -> float:
        return self.local.polite_seconds(key)

    async def _run(
        self, valkey: "Valkey", key: Hashable, alone: Mapping[UUID, int], alone_closing: int, *operation: str | int
    ) -> _State:
        if self._merged.get(key) != valkey.times_away:
            self._merge(valkey, key, alone, alone_closing)
        answer: object = await valkey.run(SCRIPT, [_name(valkey, key)], *operation)
        state = _State(*map(int, cast("bytes", answer).split()))
        self.local.follow(
            key,
            number=state.number,
            limit=state.limit,
            used=state.used,
            reserved=state.reserved,
            ends_in_seconds=state.ends_in / 1000,
            held_seconds=state.held_in / 1000,
        )
        return state

    def _merge(self, valkey: "Valkey", key: Hashable, alone: Mapping[UUID, int], alone_closing: int) -> None:
        counted = self.local.counted(key)
        if counted is not None:
            minute, held_seconds = counted
            state = (minute.ends_in_seconds * 1000, minute.limit, minute.used, held_seconds * 1000, alone_closing)
            grants = [(_member(valkey, grant_id), count) for grant_id, count in alone.items()]
            self._tell(key, "merge", *map(int, state), *(part for grant in grants for part in grant))
        self._merged[key] = valkey.times_away
        self._merged.move_to_end(key)
        if len(self._merged) > MOST_ACCOUNTS:
            self._merged.popitem(last=False)

    def _tell(self, key: Hashable, *operation: str | int) -> None:
        if self._valkey is not None and self._valkey.is_here:
            self._valkey.tell(SCRIPT, [_name(self._valkey, key)], *operation)


def _name(valkey: "Valkey", key: Hashable) -> str:
    return valkey.names.key("budget", *parts_of(key))


def _member(valkey: "Valkey", grant_id: UUID) -> str:
    return valkey.names.member("grant", str(grant_id))


def parts_of(key: Hashable) -> Iterable[str]:
    """The same text in every process, for the keys that are tuples of names and numbers."""
    if not isinstance(key, tuple):
        yield str(key)
        return
    for part in cast("tuple[Hashable, ...]", key):
        yield from parts_of(part)
