"""One call to Alpaca for all processes that ask the same at the same time, and one kept answer, if they share a Valkey.

An answer is found only by who holds the keys with which it was asked for: its name is a keyed hash of them and of the
question, and it is sealed for that name. Only calls for answers that may be kept are shared (`ShareScope`).
"""

import asyncio
import secrets
import zlib
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable, Hashable
from contextvars import ContextVar
from datetime import datetime
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, NamedTuple, final
from urllib.parse import urlencode

from corral.alpaca.calls import ApiRequest, RawAnswer
from corral.alpaca.shared_budgets import parts_of
from corral.valkey.errors import ValkeyAway
from corral.valkey.script import Script

if TYPE_CHECKING:
    from corral.valkey.client import Valkey
    from corral.valkey.connection import Pipeline

MOST_BYTES: Final = 256 * 1024  # of a body; each process asks for longer ones by itself
# A call that takes longer is no longer waited for: whoever wants its answer makes one, too.
CALL_SECONDS: Final = 2.0
LOOK_SECONDS: Final = 0.015
_STAMP_SECONDS: Final = 600.0  # longer than any answer is kept
_CHANGES_SECONDS: Final = 600.0
_MOST_CHANGES: Final = 1_000
_WAIT_MS: Final = 2_000
_READ_LIMIT_SECONDS: Final = 4.0
_KIND: Final = "answer"
_FOUND, _OURS = 1, 2

# KEYS: the answer, the call under way, and the stamp of the account's last change. An answer that was asked for before
# that change does not count. Nor, for a refresh, one whose remaining life is not longer than ARGV[3], in milliseconds.
_CLAIM: Final = Script.of("""
local stamp = redis.call('GET', KEYS[3]) or ''
local kept = redis.call('GET', KEYS[1])
if kept and string.sub(kept, 1, #stamp + 1) == stamp .. ' ' and redis.call('PTTL', KEYS[1]) > tonumber(ARGV[3]) then
  local time = redis.call('TIME')
  return {1, string.sub(kept, #stamp + 2), time[1] * 1000 + math.floor(time[2] / 1000)}
end
if redis.call('EXISTS', KEYS[2]) == 1 then return {3} end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return {2, stamp}
""")
_PUT: Final = Script.of("""
if redis.call('GET', KEYS[2]) == ARGV[1] then redis.call('DEL', KEYS[2]) end
if (redis.call('GET', KEYS[3]) or '') == ARGV[2] then
  redis.call('SET', KEYS[1], ARGV[2] .. ' ' .. ARGV[4], 'PX', ARGV[3])
end
""")
_GIVE_UP: Final = Script.of("""
if redis.call('GET', KEYS[2]) == ARGV[1] then redis.call('DEL', KEYS[2]) end
""")
_CHANGE: Final = Script.of("""
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('XADD', KEYS[2], 'MAXLEN', ARGV[4], '*', 'a', KEYS[1])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
""")

Ask = Callable[[], Awaitable[RawAnswer]]


@final
class ShareScope:
    """While it is open, calls of its task, and of those that it starts, may be answered from other processes' answers.

    Those are at most `keep_seconds` old. `age_seconds` is how old the oldest of them was. A refresh takes none that is
    in the second half of its time.
    """

    __slots__ = ("age_seconds", "is_open", "is_refresh", "keep_seconds")

    def __init__(self, keep_seconds: float, *, is_refresh: bool) -> None:
        self.keep_seconds: Final = keep_seconds
        self.is_refresh: Final = is_refresh
        self.age_seconds = 0.0
        self.is_open = True
        _current.set(self)

    def close(self) -> None:
        """Tasks that were started in it may go on, and are on their own."""
        self.is_open = False


_current: ContextVar[ShareScope | None] = ContextVar("share_scope", default=None)


class _Keys(NamedTuple):
    answer: str
    call: str
    stamp: str


@final
class SharedAnswers:
    """Of this process. While Valkey is away, every call is made, as without it."""

    __slots__ = ("_valkey",)

    def __init__(self, valkey: "Valkey") -> None:
        self._valkey = valkey

    async def get(self, request: ApiRequest, ask: Ask) -> RawAnswer:
        """Returns a shared answer, or that of `ask`. Raises what `ask` raises."""
        scope = _current.get()
        if scope is None or not scope.is_open or not scope.keep_seconds or not self._valkey.is_here:
            return await ask()
        keys, token = self._keys(request, scope), secrets.token_hex(8)
        match await self._claim(keys, scope, token):
            case RawAnswer() as answer:
                return answer
            case bytes() as stamp:
                return await self._ask_and_put(keys, scope, ask, token=token, stamp=stamp)
            case None:
                return await ask()

    async def _claim(self, keys: _Keys, scope: ShareScope, token: str) -> RawAnswer | bytes | None:
        """Returns a shared answer; or the account's stamp, if the call is ours; or None, to make one for ourselves."""
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + CALL_SECONDS  # others may fail one after the other
        least_ms = _ms(scope.keep_seconds / 2) if scope.is_refresh else 0
        while loop.time() < give_up_at:
            try:
                outcome: list[Any] = await self._valkey.run(_CLAIM, keys, token, _ms(CALL_SECONDS), least_ms)
            except ValkeyAway:
                return None
            if outcome[0] == _FOUND:
                return self._opened(keys, scope, *outcome[1:])
            if outcome[0] == _OURS:
                return outcome[1]
            await asyncio.sleep(LOOK_SECONDS)
        return None

    def change(self, account: Hashable) -> None:
        """The account has been changed: no process takes an answer that was asked for before."""
        keys = self.stamp_key(account), self.changes_key
        times = _ms(_STAMP_SECONDS), _ms(_CHANGES_SECONDS)
        self._valkey.tell(_CHANGE, keys, secrets.token_hex(8), *times, _MOST_CHANGES)

    @property
    def changes_key(self) -> str:
        return self._valkey.names.key("changes")

    def stamp_key(self, account: Hashable) -> str:
        """Returns what stands for the account in the stream of changes."""
        return self._valkey.names.key("changed", *parts_of(account))

    async def hear(self, changed: Callable[[str], object], missed: Callable[[], object]) -> None:
        """Calls `changed` with the `stamp_key` of each account that another process changes. Runs until cancelled.

        `missed` is called when some changes may not have been heard.
        """
        while True:
            await self._valkey.read(partial(self._hear, changed, missed), limit_seconds=_READ_LIMIT_SECONDS)

    async def _hear(self, changed: Callable[[str], object], missed: Callable[[], object], pipeline: "Pipeline") -> None:
        """Begins with what is still there: it costs nothing, and misses nothing. Raises ValkeyAway."""
        missed()
        last = "0-0"
        while True:
            answer: Any = await pipeline.ask(
                "XREAD", "COUNT", _MOST_CHANGES, "BLOCK", _WAIT_MS, "STREAMS", self.changes_key, last
            )
            for _, entries in answer or ():
                last = entries[-1][0].decode()
                for _, fields in entries:
                    changed(fields[1].decode(errors="replace"))

    async def _ask_and_put(self, keys: _Keys, scope: ShareScope, ask: Ask, *, token: str, stamp: bytes) -> RawAnswer:
        try:
            answer = await ask()
        except BaseException:
            self._valkey.tell(_GIVE_UP, keys, token)
            raise
        if answer.status != HTTPStatus.OK or len(answer.body) > MOST_BYTES:
            self._valkey.tell(_GIVE_UP, keys, token)
        else:
            self._valkey.tell(_PUT, keys, token, stamp, _ms(scope.keep_seconds), self._sealed(keys, answer))
        return answer

    def _sealed(self, keys: _Keys, answer: RawAnswer) -> bytes:
        body = b64encode(zlib.compress(answer.body, level=1)).decode()
        fields = [body, answer.answered_at.isoformat(), answer.alpaca_request_id]
        return self._valkey.sealed.seal(_KIND, (keys.answer,), fields, moment_ms=self._valkey.server_ms())

    def _opened(self, keys: _Keys, scope: ShareScope, sealed: bytes, now_ms: int) -> RawAnswer | None:
        most_ms = _ms(scope.keep_seconds)
        opened = self._valkey.sealed.open(_KIND, (keys.answer,), sealed, now_ms=now_ms, most_ms=most_ms)
        if opened is None:
            return None
        scope.age_seconds = max(scope.age_seconds, opened.age_ms / 1000)
        body, answered_at, request_id = opened.value
        content = zlib.decompress(b64decode(body))
        return RawAnswer(HTTPStatus.OK, {}, content, datetime.fromisoformat(answered_at), request_id)

    def _keys(self, request: ApiRequest, scope: ShareScope) -> _Keys:
        """Answers that are kept for different times are different ones."""
        pair = request.keys.api_key.reveal(), request.keys.secret_key.reveal()
        question = request.path, urlencode(request.parameters), str(_ms(scope.keep_seconds))
        about = request.environment.value, *pair, *question
        name = self._valkey.names.unremembered_key
        return _Keys(name(_KIND, *about), name("call", *about), self.stamp_key(request.budget_key))


def _ms(seconds: float) -> int:
    return int(seconds * 1000)
