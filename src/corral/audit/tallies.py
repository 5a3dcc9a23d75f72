"""Refusals summed by the minute, and reads by grants summed by the hour: in memory, and bounded.

What was not written yet is lost if the process is killed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, final
from uuid import UUID

from corral.audit.models import Action, Actor, ActorKind, NewEntry, Result
from corral.logs import get_logger

MOST_SUMS: Final = 10_000  # of each kind; beyond them, only sums that were begun go on

_log = get_logger()


@dataclass(frozen=True, slots=True)
class _Summed:
    """What counts together."""

    user_id: UUID
    actor: Actor
    action: Action
    credential_id: UUID | None
    grant_id: UUID | None
    what: str  # the purpose of a read, the code of a refusal
    period: datetime


@dataclass(slots=True)
class _Sum:
    count: int
    address: str  # the last one


@final
class Tallies:
    """Belongs to one event loop."""

    __slots__ = ("_now", "_reads", "_refusals", "_uncounted")

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now
        self._refusals: dict[_Summed, _Sum] = {}
        self._reads: dict[_Summed, _Sum] = {}
        self._uncounted = 0

    def count_refusal(
        self, user_id: UUID, action: Action, actor: Actor, code: str, *, credential_id: UUID | None = None,
        grant_id: UUID | None = None, address: str = "",
    ) -> None:  # fmt: skip
        minute = self._now().replace(second=0, microsecond=0)
        self._count(
            self._refusals, _Summed(user_id, actor, action, credential_id, grant_id, code[:100], minute), address
        )

    def count_read(
        self, user_id: UUID, grant_id: UUID, credential_id: UUID, purpose: str, *, address: str = ""
    ) -> None:
        hour = self._now().replace(minute=0, second=0, microsecond=0)
        actor = Actor(ActorKind.GRANT, grant_id)
        self._count(
            self._reads,
            _Summed(user_id, actor, Action.GRANT_READ, credential_id, grant_id, purpose[:100], hour),
            address,
        )

    def take_ended(self) -> list[tuple[UUID, NewEntry]]:
        """Removes and returns the sums of minutes and hours that have ended."""
        now = self._now()
        minute, hour = now.replace(second=0, microsecond=0), now.replace(minute=0, second=0, microsecond=0)
        return self._take(lambda summed: summed.period < (hour if summed.action is Action.GRANT_READ else minute))

    def take_all(self) -> list[tuple[UUID, NewEntry]]:
        return self._take(lambda _: True)

    def _count(self, sums: dict[_Summed, _Sum], summed: _Summed, address: str) -> None:
        found = sums.get(summed)
        if found is not None:
            found.count += 1
            found.address = address
        elif len(sums) < MOST_SUMS:
            sums[summed] = _Sum(1, address)
        else:
            self._uncounted += 1

    def _take(self, is_wanted: Callable[[_Summed], bool]) -> list[tuple[UUID, NewEntry]]:
        if self._uncounted:
            _log.error("audit_sums_overflowed", uncounted=self._uncounted)
            self._uncounted = 0
        return [
            (summed.user_id, _entry(summed, sums.pop(summed)))
            for sums in (self._refusals, self._reads)
            for summed in list(sums)
            if is_wanted(summed)
        ]


def _entry(summed: _Summed, total: _Sum) -> NewEntry:
    is_read = summed.action is Action.GRANT_READ
    return NewEntry(
        actor=summed.actor,
        action=summed.action,
        result=Result.DONE if is_read else Result.REFUSED,
        credential_id=summed.credential_id,
        grant_id=summed.grant_id,
        details={
            "count": str(total.count),
            "purpose" if is_read else "code": summed.what,
            "hour" if is_read else "minute": f"{summed.period:%Y-%m-%dT%H:%MZ}",
        },
        address=total.address,
    )
