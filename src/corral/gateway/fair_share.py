"""Divides the requests that Alpaca allows an account each minute among its owner and its grants.

A tenth (at least ten) is for cancelling and closing only, and a tenth for the owner's pages and API. Of the rest, each
grant that asked in this minute or the last one has an equal part. What others do not use may be borrowed until a
quarter of the rest is left, which is for those who have not asked yet in this minute.
"""

import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from math import ceil
from typing import Final, final
from uuid import UUID

from corral.alpaca.rate_budget import MOST_ACCOUNTS, Budgets, Minute

_TENTH: Final = 10
_LEAST_FOR_CLOSING: Final = 10
_BORROWED_UNTIL: Final = 4  # a quarter is left


@dataclass(frozen=True, slots=True)
class Share:
    """A grant's part of this minute's requests, as its clients are told, and whether this request may be sent.

    `retry_after` is in whole seconds, and 0 if it may.
    """

    limit: int
    remaining: int
    resets_at: int  # Unix seconds
    retry_after: int


@dataclass(slots=True)
class _Account:
    """Who asked in this minute, how often, and who in the one before."""

    number: int
    used: Counter[UUID] = field(default_factory=Counter[UUID])
    closing: int = 0
    before: frozenset[UUID] = frozenset()

    def active(self, grant_id: UUID) -> int:
        return len(self.used.keys() | self.before | {grant_id})


@final
class FairShares:
    """Lives as long as the process, on the counts of all requests to Alpaca. With Valkey, processes divide together."""

    __slots__ = ("_accounts", "_budgets", "_wall")

    def __init__(self, budgets: Budgets, *, wall: Callable[[], float] = time.time) -> None:
        self._budgets = budgets
        self._wall = wall
        self._accounts: OrderedDict[Hashable, _Account] = OrderedDict()

    async def take(self, key: Hashable, grant_id: UUID, *, is_closing: bool) -> Share:
        """Counts one request if this grant may make it now. `key` is that of the account and host in the budgets."""
        counted = self._budgets.counted(key)
        account = self._accounts.get(key)
        is_now = counted is not None and account is not None and account.number == counted[0].number
        shared = await self._budgets.take_part(
            key,
            grant_id,
            is_closing=is_closing,
            alone=account.used if account is not None and is_now else {},
            alone_closing=account.closing if account is not None and is_now else 0,
        )
        if shared is None:
            return self._take_alone(key, grant_id, is_closing=is_closing)
        if not shared.wait:  # for when Valkey is away, before this minute is over
            account = self._account(key, self._budgets.minute(key).number)
            account.used[grant_id] += 1
            account.closing += is_closing
        resets_at = ceil(self._wall() + shared.resets_in_seconds)
        return Share(shared.part, shared.remaining, resets_at, shared.wait)

    def give_back(self, key: Hashable, grant_id: UUID) -> None:
        """Returns one request, if it never reached Alpaca."""
        self._budgets.give_back(key, grant_id)
        account = self._accounts.get(key)
        if account is not None and account.used[grant_id]:
            account.used[grant_id] -= 1

    def _take_alone(self, key: Hashable, grant_id: UUID, *, is_closing: bool) -> Share:
        """`shared_budgets.lua` does the same for all processes."""
        budgets = self._budgets
        minute = budgets.minute(key)
        account = self._account(key, minute.number)
        division = _Division(minute, account, grant_id)
        may_ask = division.may_close() if is_closing else division.may_ask()
        wait = budgets.take_alone(key, is_reserved=True) if may_ask else max(1, ceil(minute.ends_in_seconds))
        if not wait:
            account.used[grant_id] += 1
            account.closing += is_closing
        now = _Division(budgets.minute(key), account, grant_id)
        budgets.reserve(key, now.kept_from_the_owner())
        resets_at = ceil(self._wall() + minute.ends_in_seconds)
        return Share(now.part, now.remaining(), resets_at, wait)

    def _account(self, key: Hashable, number: int) -> _Account:
        account = self._accounts.get(key)
        if account is None or account.number != number:
            before = frozenset(account.used) if account else frozenset[UUID]()
            account = self._accounts[key] = _Account(number, before=before)
            self._accounts.move_to_end(key)
            if len(self._accounts) > MOST_ACCOUNTS:
                self._accounts.popitem(last=False)
        return account


class _Division:
    """One minute's requests divided, as seen by one grant."""

    __slots__ = ("_account", "_for_closing", "_for_grants", "_for_the_owner", "_free", "_grant_id", "part")

    def __init__(self, minute: Minute, account: _Account, grant_id: UUID) -> None:
        self._account = account
        self._grant_id = grant_id
        tenth = minute.limit // _TENTH
        closing = min(max(tenth, _LEAST_FOR_CLOSING), minute.limit // 2)
        by_the_owner = minute.used - account.used.total()
        self._for_grants = minute.limit - closing - tenth
        self._for_closing = max(closing - account.closing, 0)
        self._for_the_owner = max(tenth - by_the_owner, 0)
        self._free = minute.limit - minute.used
        self.part = max(self._for_grants // account.active(grant_id), 1)

    def may_close(self) -> bool:
        return self._free > self._for_the_owner

    def may_ask(self) -> bool:
        left = self._left()
        is_own = self._account.used[self._grant_id] < self.part
        return left > 0 and (is_own or left > max(self._quarter(), self._sure_of_others()))

    def remaining(self) -> int:
        return max(min(self.part - self._account.used[self._grant_id], self._left()), 0)

    def kept_from_the_owner(self) -> int:
        """Pages may borrow as grants do: of what is left the quarter stays, and what is for closing."""
        return self._for_closing + min(self._quarter(), max(self._left(), 0))

    def _left(self) -> int:
        return self._free - self._for_closing - self._for_the_owner

    def _quarter(self) -> int:
        return self._for_grants // _BORROWED_UNTIL

    def _sure_of_others(self) -> int:
        used = self._account.used
        return sum(max(self.part - count, 0) for grant_id, count in used.items() if grant_id != self._grant_id)
