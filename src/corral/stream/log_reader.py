"""Reads the logs of all accounts that this process follows: one connection, one command that waits for any of them."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, final

from corral.logs import get_logger
from corral.stream.account_log import Entry, entries_in
from corral.stream.events import LogPosition
from corral.valkey.script import Script

if TYPE_CHECKING:
    from corral.valkey.client import Valkey
    from corral.valkey.connection import Pipeline

WAIT_MS: Final = 2_000
LIMIT_SECONDS: Final = 4.0  # without an answer, which comes after WAIT_MS at the latest, the connection is lost
_ENTRIES_AT_ONCE: Final = 100  # of each log
# The server looks at every followed log for each command, so that many of them are read less often.
_PAUSE_FOR_EACH: Final = 0.000_01
_START: Final = "0-0"

_WAKE: Final = Script.of("""
redis.call('XADD', KEYS[1], 'MAXLEN', 1, '*', 'w', '1')
redis.call('PEXPIRE', KEYS[1], ARGV[1])
""")

_log = get_logger()

Take = Callable[[Sequence[Entry]], Awaitable[None]]


@dataclass(slots=True)
class _Followed:
    """`after` is the id of the last entry that was read."""

    account: str
    after: str
    take: Take


@final
class LogReader:
    """Of this process."""

    def __init__(self, valkey: "Valkey") -> None:
        self._valkey = valkey
        self._followed: dict[str, _Followed] = {}  # by the name of the log
        self._changed = asyncio.Event()
        self._wake_key = valkey.names.key("feed-wake", secrets.token_hex(8))

    def follow(self, account: str, log: str, after: LogPosition | None, take: Take) -> None:
        """From now on `take` gets the entries after this one. `log` is the log's name in Valkey."""
        self._followed[log] = _Followed(account, after.entry_id if after is not None else _START, take)
        self._wake()

    def unfollow(self, log: str) -> None:
        self._followed.pop(log, None)
        self._wake()

    async def run(self) -> None:
        """Runs until it is cancelled."""
        while True:
            if not self._followed:
                self._changed.clear()
                await self._changed.wait()
            await self._valkey.read(self._read, limit_seconds=LIMIT_SECONDS)

    async def _read(self, pipeline: "Pipeline") -> None:
        """Reads while anything is followed. Raises ValkeyAway."""
        woken = _START
        while self._followed:
            followed = dict(self._followed)
            names, places = [self._wake_key, *followed], [woken, *(each.after for each in followed.values())]
            self._changed.clear()
            answer: Any = await pipeline.ask(
                "XREAD", "COUNT", _ENTRIES_AT_ONCE, "BLOCK", WAIT_MS, "STREAMS", *names, *places
            )
            for name, rows in answer or ():
                log = name.decode()
                if log == self._wake_key:
                    woken = rows[-1][0].decode()
                elif self._followed.get(log) is followed.get(log):
                    await self._pass_on(followed[log], rows)
            await asyncio.sleep(len(followed) * _PAUSE_FOR_EACH)

    async def _pass_on(self, followed: _Followed, rows: Sequence[Any]) -> None:
        entries = entries_in(self._valkey, followed.account, rows)
        followed.after = entries[-1].position.entry_id
        try:
            await followed.take(entries)
        except Exception:  # noqa: BLE001 - of one account: the others go on
            _log.error("feed_broke", exc_info=True)

    def _wake(self) -> None:
        """Ends the command that waits, so that the next one has the new set."""
        self._changed.set()
        self._valkey.tell(_WAKE, (self._wake_key,), 60_000)
