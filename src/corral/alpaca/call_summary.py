"""One log line a minute in place of one for each call, for calls that repeat all the time.

Failures keep their lines, and so does the first success of each path, also the first one after a failure: the log
shows when a failure began and ended.
"""

import asyncio
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, final

import structlog

from corral.alpaca.environments import Environment

if TYPE_CHECKING:
    from uuid import UUID

    from structlog.typing import FilteringBoundLogger

SECONDS: Final = 60.0

_log: "FilteringBoundLogger" = structlog.get_logger("corral.alpaca")

CURRENT_SUMMARY: Final[ContextVar["CallSummary | None"]] = ContextVar("call_summary", default=None)
"""The one that counts the calls of this task, if any."""


@final
class CallSummary:
    """Of one account. Has no timer: its line is written at the first call after a minute, and by `write`."""

    __slots__ = (
        "_alpaca_request_id",
        "_began",
        "_calls",
        "_environment",
        "_failed",
        "_is_well",
        "_slowest_ms",
        "credential_id",
    )

    def __init__(self) -> None:
        self.credential_id: UUID | None = None  # whose keys are used for the next call
        self._is_well: dict[str, bool] = {}  # by path, whether the last call succeeded
        self._environment: Environment | None = None
        self._begin()

    def use(self) -> None:
        """From now on it counts the calls of this task and of those that it starts."""
        CURRENT_SUMMARY.set(self)

    def note(
        self,
        environment: Environment,
        path: str,
        *,
        is_well: bool,
        milliseconds: float,
        alpaca_request_id: str | None,
    ) -> bool:
        """Counts a call. Returns whether the one before it, of the same path, succeeded: then a success is no news."""
        now = asyncio.get_running_loop().time()
        if self._calls and now - self._began >= SECONDS:
            self.write()
        if not self._calls:
            self._began = now
        self._environment = environment
        self._calls += 1
        self._failed += not is_well
        if milliseconds > self._slowest_ms:
            self._slowest_ms, self._alpaca_request_id = milliseconds, alpaca_request_id
        was_well, self._is_well[path] = self._is_well.get(path, False), is_well
        return was_well

    def note_unusable(self, path: str) -> None:
        """The answer to the last call of this path, which was counted as a success, could not be used."""
        self._failed += self._is_well.get(path, False)
        self._is_well[path] = False

    def write(self) -> None:
        """Writes the line of the calls so far, if there were any."""
        if self._calls:
            _log.info(
                "alpaca_polled",
                environment=self._environment and self._environment.value,
                credential_id=self.credential_id,
                seconds=round(asyncio.get_running_loop().time() - self._began, 1),
                calls=self._calls,
                failed=self._failed,
                slowest_ms=self._slowest_ms,
                alpaca_request_id=self._alpaca_request_id,
            )
        self._begin()

    def _begin(self) -> None:
        self._began = 0.0
        self._calls = self._failed = 0
        self._slowest_ms = 0.0
        self._alpaca_request_id: str | None = None
