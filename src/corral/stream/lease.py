"""Which process watches an account at Alpaca: the one that has the account's lease in Valkey.

A lease is never judged by comparing the clocks of two machines. The server lets it expire after LEASE_SECONDS. Its
holder counts on a clock of its own, from before it asked for the lease, and stops a little earlier. And whatever it
writes, it writes under the number of its lease, which the server compares in the same step.
"""

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, final

from corral.valkey.errors import ValkeyAway
from corral.valkey.script import Script

if TYPE_CHECKING:
    from corral.valkey.client import Valkey

LEASE_SECONDS: Final = 3.0
RENEW_SECONDS: Final = 1.0
MARGIN_SECONDS: Final = 0.3  # by which its holder ends it earlier than the server
# How long Alpaca may count the socket of a host that was lost. The renewals of an open socket set it anew.
PLACE_SECONDS: Final = 100.0
KEEP_SECONDS: Final = 90.0  # of what is stored about an account that no process watches
_NUMBER_SECONDS: Final = 86_400.0  # afterwards the server's time is enough for a larger number
_ACCOUNTS_AT_ONCE: Final = 200  # in one script, so that it takes a few milliseconds at most

_ACQUIRE: Final = Script.of("""
if redis.call('EXISTS', KEYS[1]) == 1 then return {0, '0'} end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local last = tonumber(redis.call('GET', KEYS[2]) or '0') or 0
if not (last > 0 and last < 9e15) then last = 0 end
local number = string.format('%.0f', math.max(last + 1, now))
redis.call('SET', KEYS[2], number, 'PX', ARGV[3])
redis.call('SET', KEYS[1], number .. ':' .. ARGV[1], 'PX', ARGV[2])
return {1, number, redis.call('EXISTS', KEYS[3])}
""")
# Of each account: the keys that `AccountKeys.renewed` lists; its lease's value, and whether its socket is open.
_RENEW: Final = Script.of("""
local renewed = {}
for i = 1, #KEYS, 7 do
  local j = (i - 1) / 7 * 2 + 4
  if redis.call('GET', KEYS[i]) == ARGV[j] then
    redis.call('PEXPIRE', KEYS[i], ARGV[1])
    redis.call('PEXPIRE', KEYS[i + 1], ARGV[2])
    redis.call('PEXPIRE', KEYS[i + 2], ARGV[2])
    if ARGV[j + 1] == '1' then redis.call('SET', KEYS[i + 3], '1', 'PX', ARGV[3]) end
    local wanted = 0
    for k = 0, 2 do wanted = wanted + 2 ^ k * redis.call('EXISTS', KEYS[i + 4 + k]) end
    renewed[#renewed + 1] = 1 + wanted
  else
    renewed[#renewed + 1] = 0
  end
end
return renewed
""")
_LOST: Final = 0

# Also counts while the machine sleeps, where the system has such a clock.
_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def now() -> float:
    """Returns seconds on the clock by which leases are counted in this process."""
    return time.clock_gettime(_CLOCK)


class AccountKeys(NamedTuple):
    """Where an account's things are in Valkey. The names are keyed hashes of the account."""

    lease: str
    number: str
    place: str
    log: str
    state: str
    frames: str  # there while another process wants the frames of the account's socket
    polls: str  # there while another process has a subscription that is polled
    positions: str  # there while somebody looks at the positions by another process

    @property
    def renewed(self) -> tuple[str, ...]:
        """The keys of the script that renews a lease."""
        return self.lease, self.log, self.state, self.place, self.frames, self.polls, self.positions

    @property
    def looked_at(self) -> tuple[str, ...]:
        """The keys of the script by which those look at a lease who do not have it."""
        return self.lease, self.frames, self.polls, self.positions

    @classmethod
    def of(cls, key: Callable[..., str], account: str) -> "AccountKeys":
        """`key` is that of `corral.valkey.names.Names`."""
        return cls(*(key(f"feed-{part}", account) for part in cls._fields))


class Wanted(NamedTuple):
    """What other processes want of an account."""

    frames: bool
    polls: bool
    positions: bool


NOTHING: Final = Wanted(frames=False, polls=False, positions=False)


@final
class Lease:
    """Of one account. `number` grows with each lease of the account, also over a flush and a fail-over.

    `had_place` says whether the account's socket was Corral's within PLACE_SECONDS before it.
    """

    def __init__(
        self, account: str, keys: AccountKeys, number: int, token: str, *, until: float, had_place: bool
    ) -> None:
        self.account: Final = account
        self.keys: Final = keys
        self.number: Final = number
        self.value: Final = f"{number}:{token}"
        self.had_place: Final = had_place
        self.has_socket: Callable[[], bool] = bool  # whether the account's socket is open in this process
        self.wanted_elsewhere = NOTHING  # `on_interest` is called when that has changed
        self.on_interest: Callable[[], None] | None = None
        self._until = until
        self._lost = asyncio.Event()

    @property
    def is_lost(self) -> bool:
        return self._lost.is_set()

    def holds(self) -> bool:
        """Whether it is certainly ours at this moment. To be asked immediately before whatever needs it."""
        return not self.is_lost and now() < self._until

    def extend(self, until: float) -> None:
        self._until = max(self._until, until)

    def note_interest(self, wanted: Wanted) -> None:
        if wanted != self.wanted_elsewhere:
            self.wanted_elsewhere = wanted
            if self.on_interest is not None:
                self.on_interest()

    def lose(self) -> None:
        self._lost.set()

    async def wait_over(self) -> None:
        """Returns when it is lost, or no longer certainly ours."""
        while self.holds():
            try:
                async with asyncio.timeout(self._until - now()):
                    await self._lost.wait()
            except TimeoutError:
                continue


@final
class Leases:
    """Of this process. One script renews all of them, once a second."""

    def __init__(self, valkey: "Valkey") -> None:
        self._valkey = valkey
        self._held: set[Lease] = set()
        self._token = secrets.token_hex(8)
        self._acquired = 0

    def keys_of(self, account: str) -> AccountKeys:
        return AccountKeys.of(self._valkey.names.key, account)

    async def acquire(self, account: str) -> Lease | None:
        """Returns None while another process has it. Raises ValkeyAway."""
        keys, asked_at = self.keys_of(account), now()
        self._acquired += 1
        token = f"{self._token}-{self._acquired}"  # never the same twice, as one feed may follow another here
        got: list[Any] = await self._valkey.run(
            _ACQUIRE,
            (keys.lease, keys.number, keys.place),
            token,
            _ms(LEASE_SECONDS),
            _ms(_NUMBER_SECONDS),
        )
        if not got[0]:
            return None
        lease = Lease(account, keys, int(got[1]), token, until=_end(asked_at), had_place=bool(got[2]))
        self._held.add(lease)
        return lease

    async def renew(self, leases: Sequence[Lease]) -> None:
        """Extends those that are still ours, and loses the others. Raises ValkeyAway."""
        asked_at = now()
        keys = [key for lease in leases for key in lease.keys.renewed]
        values = [value for lease in leases for value in (lease.value, int(lease.has_socket()))]
        times = (_ms(LEASE_SECONDS), _ms(KEEP_SECONDS), _ms(PLACE_SECONDS))
        renewed: list[int] = await self._valkey.run(_RENEW, keys, *times, *values)
        for lease, outcome in zip(leases, renewed, strict=True):
            if outcome == _LOST:
                lease.lose()
            else:
                lease.extend(_end(asked_at))
                bits = outcome - 1
                lease.note_interest(Wanted(*(bool(bits & 1 << place) for place in range(len(NOTHING)))))

    def forget(self, lease: Lease) -> None:
        """It is not renewed any more."""
        lease.lose()
        self._held.discard(lease)

    async def keep(self) -> None:
        """Runs until it is cancelled."""
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            held = list(self._held)
            for start in range(0, len(held), _ACCOUNTS_AT_ONCE):
                try:
                    await self.renew(held[start : start + _ACCOUNTS_AT_ONCE])
                except ValkeyAway:
                    break  # they run out, or the next time is soon enough


def _end(asked_at: float) -> float:
    return asked_at + LEASE_SECONDS - MARGIN_SECONDS


def _ms(seconds: float) -> int:
    return int(seconds * 1000)
