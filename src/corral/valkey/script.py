"""Lua that runs in the server as one step, known there by its hash."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self, final


@final
@dataclass(frozen=True, slots=True)
class Script:
    """`digest` is what EVALSHA takes. The text is sent only to a server that does not have it yet."""

    text: str
    digest: str

    @classmethod
    def of(cls, text: str) -> Self:
        return cls(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())

    @classmethod
    def load(cls, path: Path) -> Self:
        return cls.of(path.read_text(encoding="utf-8"))


# Proves that the server takes writes, and that the user may do whatever Corral's scripts do. A full server refuses the
# first write of a script only. Returns the server's time in seconds and microseconds.
PROBE: Final = Script.of("""
local key = KEYS[1]
redis.call('SET', key, '1', 'PX', 60000)
redis.call('GET', key)
redis.call('PTTL', key)
redis.call('TYPE', key)
redis.call('DEL', key)
redis.call('HSET', key, 'a', '1')
redis.call('HGETALL', key)
redis.call('HDEL', key, 'a')
redis.call('DEL', key)
redis.call('XADD', key, '1-1', 'a', '1')
redis.call('XTRIM', key, 'MINID', '1-1')
redis.call('XRANGE', key, '-', '+')
redis.call('XREAD', 'STREAMS', key, '0-0')
redis.call('XINFO', 'STREAM', key)
redis.call('EXISTS', key)
redis.call('PEXPIRE', key, 60000)
return redis.call('TIME')
""")
