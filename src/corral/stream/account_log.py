"""The log of an account in Valkey: what the process that watches it has told, for about a minute, and a snapshot.

Whoever reads the snapshot, and after it the entries behind its position, knows what has been told up to now. Every
entry is sealed for its account and position, so one that is altered, moved or repeated is as good as missing, and one
that is missing is noticed: positions are counted.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Any, Final, NamedTuple, final

from corral.stream.events import LogPosition
from corral.stream.lease import KEEP_SECONDS, AccountKeys, Lease, now
from corral.stream.news import Handover, News, read, written
from corral.valkey.script import Script

if TYPE_CHECKING:
    from corral.valkey.client import Valkey

MOST_SECONDS: Final = 60.0
MOST_ENTRIES: Final = 1_000
MOST_BYTES: Final = 256 * 1024
# When a new snapshot is due: after something was told, after much was told, and if nothing was.
SNAPSHOT_SECONDS: Final = 5.0
SNAPSHOT_AFTER_ENTRIES: Final = 200
SNAPSHOT_AFTER_BYTES: Final = 64 * 1024
SNAPSHOT_AT_REST_SECONDS: Final = 30.0
_OLDEST_MS: Final = int(KEEP_SECONDS * 1000)
_LEFT_ALONE: Final = "0-0"

# An entry that was written by an attempt whose answer was lost is not written again. No holder before this one can have
# written one with a larger number: a log with such an entry has been tampered with, and is begun anew.
_APPEND: Final = Script.of("""
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
for i = 4, #ARGV, 2 do
  local added = redis.pcall('XADD', KEYS[2], ARGV[i], 'e', ARGV[i + 1])
  if type(added) == 'table' and added.err then
    local found = redis.call('XRANGE', KEYS[2], ARGV[i], ARGV[i])
    if #found == 0 or found[1][2][2] ~= ARGV[i + 1] then
      redis.call('DEL', KEYS[2])
      redis.call('XADD', KEYS[2], ARGV[i], 'e', ARGV[i + 1])
    end
  end
end
if ARGV[3] ~= '0-0' then redis.call('XTRIM', KEYS[2], 'MINID', ARGV[3]) end
redis.call('PEXPIRE', KEYS[2], ARGV[2])
return 1
""")
_SAVE: Final = Script.of("""
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[3], ARGV[4], 'PX', ARGV[2])
if ARGV[3] ~= '0-0' then redis.call('XTRIM', KEYS[2], 'MINID', ARGV[3]) end
return 1
""")
_RELEASE: Final = Script.of("""
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
redis.pcall('XADD', KEYS[2], ARGV[3], 'e', ARGV[4])
redis.call('PEXPIRE', KEYS[2], ARGV[2])
return 1
""")
_LOAD: Final = Script.of("""
local last = ''
if redis.call('EXISTS', KEYS[1]) == 1 then
  local facts = redis.call('XINFO', 'STREAM', KEYS[1])
  for i = 1, #facts, 2 do if facts[i] == 'last-generated-id' then last = facts[i + 1] end end
end
return {redis.call('GET', KEYS[2]), last, redis.call('XRANGE', KEYS[1], '-', '+')}
""")


class Entry(NamedTuple):
    """`news` is None for one that can't be read."""

    position: LogPosition
    news: Sequence[News] | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`told` is all that had been told of the account up to `position`, in JSON's types."""

    position: LogPosition
    told: Any


@dataclass(frozen=True, slots=True)
class Loaded:
    """`last` is the position of the last entry that was ever written, also if that is no longer there.

    Entries at the end that can't be read are left out.
    """

    snapshot: Snapshot | None
    last: LogPosition | None
    entries: Sequence[Entry] = ()

    def after(self, position: LogPosition | None) -> Sequence[Entry] | None:
        """Returns all entries after this one; None if one of them is missing or can't be read."""
        if position is None:
            return None
        found = [entry for entry in self.entries if entry.position > position]
        before = position
        for entry in found:
            if not follows(entry, before):
                return None
            before = entry.position
        newest = self.last or (self.snapshot and self.snapshot.position)
        return found if before == newest else None


def follows(entry: Entry, before: LogPosition) -> bool:
    """Whether it can be read, and nothing is missing between it and this position."""
    if entry.news is None:
        return False
    if entry.position.number == before.number:
        return entry.position.sequence == before.sequence + 1
    first = entry.news[0] if entry.news else None
    return entry.position.sequence == 1 and isinstance(first, Handover) and first.after == before


@dataclass(slots=True)
class _Kept:
    """What the log still has of this holder's entries: when they were written, on the clock of leases."""

    clock: Callable[[], float] = now
    entries: deque[tuple[LogPosition, float, int]] = field(default_factory=deque[tuple[LogPosition, float, int]])
    bytes: int = 0

    def add(self, position: LogPosition, size: int) -> None:
        self.entries.append((position, self.clock(), size))
        self.bytes += size

    def trim(self) -> str:
        """Returns the id of the first entry that stays."""
        moment = self.clock()
        first = None
        while self.entries and self._is_too_much(moment):
            position, _, size = self.entries.popleft()
            self.bytes -= size
            first = LogPosition(position.number, position.sequence + 1)
        return first.entry_id if first is not None else _LEFT_ALONE

    def _is_too_much(self, moment: float) -> bool:
        is_many = len(self.entries) > MOST_ENTRIES or self.bytes > MOST_BYTES
        return (is_many and len(self.entries) > 1) or moment - self.entries[0][1] > MOST_SECONDS


@final
class AccountLog:
    """Of one account, for the holder of its lease: each method is refused under any other number.

    Only one of its methods may be under way at a time. All raise ValkeyAway, after which they may be tried again.
    """

    def __init__(self, valkey: "Valkey", lease: Lease) -> None:
        self.position: LogPosition | None = None  # of the last entry that was written
        self._valkey = valkey
        self._lease = lease
        self._kept = _Kept()
        self._unanswered: list[tuple[LogPosition, bytes]] = []
        self._saved_at = -inf
        self._entries_since = self._bytes_since = 0  # the last snapshot

    def next_position(self) -> LogPosition:
        return LogPosition(self._lease.number, 1 if self.position is None else self.position.sequence + 1)

    async def append(self, batches: Sequence[Sequence[News]]) -> bool:
        """Writes an entry for each batch. Returns whether the lease was still ours.

        After ValkeyAway, it is to be called with the same batches again: they may have been written.
        """
        keys, first = self._lease.keys, self.next_position()
        if not self._unanswered:
            for index, news in enumerate(batches):
                position = LogPosition(first.number, first.sequence + index)
                self._unanswered.append((position, self._sealed(position, news)))
        entries = self._unanswered
        written_entries = [value for position, sealed in entries for value in (position.entry_id, sealed)]
        if not self._lease.holds():
            return False
        arguments = (self._lease.value, _OLDEST_MS, self._kept.trim(), *written_entries)
        if not await self._valkey.run(_APPEND, (keys.lease, keys.log), *arguments):
            return False
        for position, sealed in entries:
            self._kept.add(position, len(sealed))
            self._entries_since += 1
            self._bytes_since += len(sealed)
        self.position = entries[-1][0]
        self._unanswered = []
        return True

    def seconds_until_save(self) -> float:
        """Returns when the next snapshot is due, 0 for now."""
        if self._entries_since > SNAPSHOT_AFTER_ENTRIES or self._bytes_since > SNAPSHOT_AFTER_BYTES:
            return 0.0
        seconds = SNAPSHOT_SECONDS if self._entries_since else SNAPSHOT_AT_REST_SECONDS
        return max(0.0, self._saved_at + seconds - now())

    async def save(self, told: object) -> bool:
        """Writes a snapshot of all that was told up to now. Returns whether the lease was still ours."""
        keys, position = self._lease.keys, self.position
        assert position is not None  # noqa: S101 - a holder begins with an entry
        sealed = self._valkey.sealed.seal(
            "feed-state",
            (self._lease.account,),
            [position.entry_id, told],
            moment_ms=self._valkey.server_ms(),
        )
        if not self._lease.holds():
            return False
        arguments = (self._lease.value, _OLDEST_MS, self._kept.trim(), sealed)
        if not await self._valkey.run(_SAVE, (keys.lease, keys.log, keys.state), *arguments):
            return False
        self._saved_at, self._entries_since, self._bytes_since = now(), 0, 0
        return True

    async def release(self, news: Sequence[News]) -> None:
        """Gives the lease back at once, with a last entry."""
        keys, position = self._lease.keys, self.next_position()
        arguments = (self._lease.value, _OLDEST_MS, position.entry_id, self._sealed(position, news))
        await self._valkey.run(_RELEASE, (keys.lease, keys.log), *arguments)

    def _sealed(self, position: LogPosition, news: Sequence[News]) -> bytes:
        return self._valkey.sealed.seal(
            "feed-log",
            (self._lease.account, position.entry_id),
            [written(each) for each in news],
            moment_ms=self._valkey.server_ms(),
        )


async def load(valkey: "Valkey", account: str) -> Loaded:
    """Reads the snapshot and the whole log. Raises ValkeyAway."""
    keys = AccountKeys.of(valkey.names.key, account)
    sealed, last, rows = await valkey.run(_LOAD, (keys.log, keys.state))
    snapshot = None
    if sealed is not None:
        opened = valkey.sealed.open("feed-state", (account,), sealed, now_ms=valkey.server_ms(), most_ms=_OLDEST_MS)
        if opened is not None:
            entry_id, told = opened.value
            snapshot = Snapshot(LogPosition.of(entry_id), told)
    entries = entries_in(valkey, account, rows)
    if not entries or entries[-1].news is not None:
        return Loaded(snapshot, LogPosition.of(last) if last else None, entries)
    while entries and entries[-1].news is None:  # nobody can tell whether there ever was one
        entries.pop()
    return Loaded(snapshot, entries[-1].position if entries else snapshot and snapshot.position, entries)


def entries_in(valkey: "Valkey", account: str, rows: Sequence[Any]) -> list[Entry]:
    """Opens entries as XRANGE and XREAD return them."""
    entries: list[Entry] = []
    for entry_id, fields in rows:
        position = LogPosition.of(entry_id)
        sealed: bytes = fields[1] if fields else b""
        opened = valkey.sealed.open(
            "feed-log", (account, position.entry_id), sealed, now_ms=valkey.server_ms(), most_ms=_OLDEST_MS
        )
        entries.append(Entry(position, None if opened is None else _read_all(opened.value)))
    return entries


def _read_all(values: list[Any]) -> Sequence[News] | None:
    """Returns None for an entry of another release, with something that this one does not know."""
    try:
        return [read(each) for each in values]
    except ValueError:
        return None
