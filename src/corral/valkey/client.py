"""Valkey as the process sees it: here or away. It goes away at the first failure, and comes back by itself.

No request waits for it: while it is away, every call raises ValkeyAway at once, and only a task in the background tries
it again, after pauses that grow. It is here again when it takes a write.
"""

import asyncio
import os
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, final

from corral.logs import get_logger
from corral.valkey.address import ValkeyAddress
from corral.valkey.connection import CANNOT, PERMISSIONS, Pipeline, find_primary, open_pipeline, tls_context
from corral.valkey.errors import NoSuchScript, ValkeyAway, ValkeyRefused
from corral.valkey.names import ValkeyNames
from corral.valkey.script import PROBE, Script
from corral.valkey.sealed import SealedValues
from corral.vault import Vault

if TYPE_CHECKING:
    import ssl

LIMIT_SECONDS: Final = 0.1  # for one answer
OPENING_SECONDS: Final = 2.0  # for a connection and its first write: in the background, but for the start
LOOK_EVERY_SECONDS: Final = 5.0
FIRST_PAUSE_SECONDS: Final = 0.1
LONGEST_PAUSE_SECONDS: Final = 5.0

_log = get_logger()


@final
class Valkey:
    """Lives as long as the process. Belongs to one event loop."""

    def __init__(self, address: ValkeyAddress, vault: Vault, *, limit_seconds: float = LIMIT_SECONDS) -> None:
        self.names: Final = ValkeyNames(vault)
        self.sealed: Final = SealedValues(vault)
        self.problem: str | None = "it was not tried yet"  # None while it is here
        self.times_away = 0  # grows whenever it goes away: what was known of it before may be lost
        self._address = address
        self._limit_seconds = limit_seconds
        self._tls: ssl.SSLContext | None = None
        self._pipeline: Pipeline | None = None
        self._is_reported = False
        self._lost = asyncio.Event()
        self._ahead_ms = 0.0  # of the server's time before the monotonic clock

    @property
    def is_here(self) -> bool:
        return self._pipeline is not None

    def server_ms(self) -> int:
        """Returns the server's time in Unix milliseconds, as its TIME says: never later than it is there.

        For what this process is about to write. How old something is, is asked in the server.
        """
        return int(time.monotonic() * 1000 + self._ahead_ms)

    async def run(self, script: Script, keys: Sequence[str], *arguments: bytes | str | int) -> Any:  # noqa: ANN401 - what the script returns
        """Runs a script. Raises ValkeyAway, also if the outcome is unknown: nothing is ever sent twice."""
        pipeline = self._opened()
        try:
            return await pipeline.ask("EVALSHA", script.digest, len(keys), *keys, *arguments)
        except NoSuchScript:
            return await self._opened().ask("EVAL", script.text, len(keys), *keys, *arguments)

    def tell(self, script: Script, keys: Sequence[str], *arguments: bytes | str | int) -> None:
        """Runs a script whose answer does not matter, before whatever this process asks for after it."""
        pipeline = self._pipeline
        if pipeline is None:
            return
        # With its text, if the server was started anew: nobody waits to send it again.
        with suppress(ValkeyAway):
            pipeline.ask("EVALSHA", script.digest, len(keys), *keys, *arguments).add_done_callback(
                lambda answer: self._repeat_if_unknown(answer, script, keys, arguments)
            )

    async def ask(self, *command: bytes | str | int) -> Any:  # noqa: ANN401 - what the command returns
        """Sends one command. Raises ValkeyAway."""
        return await self._opened().ask(*command)

    async def read(self, read: Callable[[Pipeline], Awaitable[object]], *, limit_seconds: float) -> None:
        """Calls `read` with a further connection, for commands that wait in the server. Returns when that is lost."""
        try:
            pipeline = await self._connect_further(limit_seconds=limit_seconds)
        except ValkeyAway:
            await asyncio.sleep(FIRST_PAUSE_SECONDS)
            return
        try:
            await read(pipeline)
        except ValkeyAway:
            await asyncio.sleep(FIRST_PAUSE_SECONDS)
        finally:
            await pipeline.close()

    async def _connect_further(self, *, limit_seconds: float) -> Pipeline:
        """Raises ValkeyAway."""
        self._opened()
        try:
            async with asyncio.timeout(OPENING_SECONDS):
                return await open_pipeline(self._address, self._tls, limit_seconds=limit_seconds, lost=_let_go)
        except TimeoutError:
            raise ValkeyAway("it does not answer") from None
        except ValkeyRefused as refused:
            raise ValkeyAway(str(refused)) from None

    async def open(self) -> None:
        """The first attempt, at the start. Raises ValkeyRefused; a server that is away is tried again later."""
        self._tls = await asyncio.to_thread(tls_context, self._address)
        try:
            await self._connect()
        except ValkeyAway as away:
            if str(away) == PERMISSIONS:
                raise ValkeyRefused(f"{CANNOT} {away}") from None
            self._report(str(away))
            self._lost.set()

    async def keep(self) -> None:
        """Runs until it is cancelled: tries the server again while it is away, and looks at it while it is here."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY_SECONDS):
                    await self._lost.wait()
            if self._lost.is_set():
                await self._come_back()
            else:
                await self._look()

    async def close(self) -> None:
        if self._pipeline is not None:
            pipeline, self._pipeline = self._pipeline, None
            await pipeline.close()

    def _opened(self) -> Pipeline:
        if self._pipeline is None:
            raise ValkeyAway(self.problem or "")
        return self._pipeline

    async def _come_back(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while True:
            await asyncio.sleep(random.uniform(pause / 2, pause))  # noqa: S311 - spreads load, guards nothing
            try:
                await self._connect()
            except (ValkeyAway, ValkeyRefused) as failed:
                self._report(str(failed))
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            else:
                return

    async def _connect(self) -> None:
        """Raises ValkeyAway and ValkeyRefused. It is here only after a write: a full server, or a replica, is not."""
        self._lost.clear()
        pipeline = None
        try:
            async with asyncio.timeout(OPENING_SECONDS):
                pipeline = await open_pipeline(
                    self._address, self._tls, limit_seconds=OPENING_SECONDS, lost=self._note_loss
                )
                try:
                    await self._probe(pipeline, "EVALSHA", PROBE.digest)
                except NoSuchScript:
                    await self._probe(pipeline, "EVAL", PROBE.text)
        except TimeoutError:
            await _close(pipeline)
            raise ValkeyAway("it does not answer") from None
        except BaseException:
            await _close(pipeline)
            raise
        if pipeline.reason is not None:
            raise ValkeyAway(pipeline.reason)  # lost since it answered
        pipeline.hasten(self._limit_seconds)
        self._pipeline, self.problem = pipeline, None
        if self._is_reported:
            self._is_reported = False
            _log.info("valkey_back")

    async def _look(self) -> None:
        """Notices that it is gone while nothing is asked for; and behind Sentinels, that another is the primary."""
        pipeline = self._pipeline
        if pipeline is None:
            return
        with suppress(ValkeyAway, NoSuchScript):
            await self._probe(pipeline, "EVALSHA", PROBE.digest)
        if self._address.service is None:
            return
        with suppress(ValkeyAway, ValkeyRefused):  # the Sentinels may be away while the server is here
            if await find_primary(self._address, self._tls) != pipeline.place:
                pipeline.lose("it is no longer the primary")

    async def _probe(self, pipeline: Pipeline, *script: str) -> None:
        seconds, microseconds = await pipeline.ask(*script, 1, self.names.key("probe", str(os.getpid())))
        server_ms = int(seconds) * 1000 + int(microseconds) / 1000
        self._ahead_ms = server_ms - time.monotonic() * 1000

    def _note_loss(self, pipeline: Pipeline, reason: str) -> None:
        if pipeline is not self._pipeline:
            return
        self._pipeline = None
        self.times_away += 1
        self._report(reason)
        self._lost.set()

    def _report(self, reason: str) -> None:
        self.problem = reason
        if not self._is_reported:
            self._is_reported = True
            _log.warning("valkey_away", reason=reason, effect="this process works alone")

    def _repeat_if_unknown(
        self, answer: "asyncio.Future[Any]", script: Script, keys: Sequence[str], arguments: Sequence[bytes | str | int]
    ) -> None:
        if answer.cancelled() or not isinstance(answer.exception(), NoSuchScript) or self._pipeline is None:
            return
        with suppress(ValkeyAway):
            self._pipeline.ask("EVAL", script.text, len(keys), *keys, *arguments).add_done_callback(_retrieve_exception)


@asynccontextmanager
async def open_valkey(address: ValkeyAddress, vault: Vault) -> AsyncGenerator[Valkey]:
    """Raises ValkeyRefused. A server that can't be reached stops nothing: it is waited for in the background."""
    valkey = Valkey(address, vault, limit_seconds=LIMIT_SECONDS)
    keeping = None
    try:
        await valkey.open()
        keeping = asyncio.get_running_loop().create_task(valkey.keep())
        yield valkey
    finally:
        if keeping is not None:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
        await valkey.close()


def _let_go(pipeline: Pipeline, reason: str) -> None:
    """Whoever uses it hears of it with the next command."""


async def _close(pipeline: Pipeline | None) -> None:
    if pipeline is not None:
        await pipeline.close()


def _retrieve_exception(answer: "asyncio.Future[Any]") -> None:
    """Nobody waits for the answer; asyncio would warn about an exception that nobody has seen."""
    if not answer.cancelled():
        answer.exception()
