"""What a process shares of its feeds with the others of its installation, over Valkey."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, Protocol, final

from corral.logs import get_logger
from corral.stream.lease import AccountKeys, Leases, Wanted
from corral.stream.log_reader import LogReader
from corral.valkey.errors import ValkeyAway
from corral.valkey.script import Script

if TYPE_CHECKING:
    from corral.valkey.client import Valkey

_log = get_logger()

LOOK_EVERY_SECONDS: Final = 1.0
WANTED_SECONDS: Final = 4.0  # that a process wants something of an account, after it last said so
_ACCOUNTS_AT_ONCE: Final = 200

# Of each account: the keys lease, frames, polls and positions; and whether this process wants each of the last three.
_LOOK: Final = Script.of("""
local held = {}
for i = 1, #KEYS, 4 do
  local j = (i - 1) / 4 * 3 + 2
  for k = 0, 2 do
    if ARGV[j + k] == '1' then redis.call('SET', KEYS[i + k + 1], '1', 'PX', ARGV[1]) end
  end
  held[#held + 1] = redis.call('EXISTS', KEYS[i])
end
return held
""")


class Follower(Protocol):
    """One account that another process watches, seen by this one."""

    keys: AccountKeys

    def wanted(self) -> Wanted: ...

    def try_lease(self) -> None:
        """The lease is free."""
        ...


@final
class Sharing:
    """Lives as long as the process."""

    def __init__(self, valkey: "Valkey") -> None:
        self.valkey: Final = valkey
        self.leases: Final = Leases(valkey)
        self.reader: Final = LogReader(valkey)
        self.followers: Final[set[Follower]] = set()
        self._wanted = asyncio.Event()

    def look_soon(self) -> None:
        """To be called when a follower begins to want something."""
        self._wanted.set()

    async def look(self) -> None:
        """Looks once a second at the leases of the accounts that are followed, and says what is wanted of them."""
        while True:
            try:
                async with asyncio.timeout(LOOK_EVERY_SECONDS):
                    await self._wanted.wait()
            except TimeoutError:
                pass
            self._wanted.clear()
            followers = list(self.followers)
            for start in range(0, len(followers), _ACCOUNTS_AT_ONCE):
                try:
                    await self._look_at(followers[start : start + _ACCOUNTS_AT_ONCE])
                except ValkeyAway:
                    break

    async def _look_at(self, followers: list[Follower]) -> None:
        keys = [key for each in followers for key in each.keys.looked_at]
        wants = [int(is_wanted) for each in followers for is_wanted in each.wanted()]
        held: list[int] = await self.valkey.run(_LOOK, keys, int(WANTED_SECONDS * 1000), *wants)
        for follower, is_held in zip(followers, held, strict=True):
            if not is_held:
                follower.try_lease()


@asynccontextmanager
async def open_sharing(valkey: "Valkey") -> AsyncGenerator[Sharing]:
    sharing = Sharing(valkey)
    loop = asyncio.get_running_loop()
    tasks = [loop.create_task(work) for work in (sharing.leases.keep(), sharing.reader.run(), sharing.look())]
    for task in tasks:
        task.add_done_callback(_report_bug)
    try:
        yield sharing
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _report_bug(task: "asyncio.Task[None]") -> None:
    """Leases run out then, so that other processes take over."""
    if not task.cancelled() and (bug := task.exception()):
        _log.error("sharing_broke", exc_info=bug)
