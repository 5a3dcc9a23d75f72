"""What this process heard of orders on the stream, and when it was watching: for the page of an order.

It is kept in memory, within limits, and ends with the process.
"""

from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, final
from uuid import UUID

import orjson

from corral.stream.events import Kind, StreamEvent

MOST_ACCOUNTS: Final = 20_000
MOST_EVENTS: Final = 20_000  # of all accounts, about 8 MB
MOST_EVENTS_OF_ACCOUNT: Final = 500
MOST_TIMES: Final = 16  # that an account was watched
_PAUSE: Final = timedelta(seconds=10)  # a shorter one does not interrupt watching


@dataclass(frozen=True, slots=True)
class HeardEvent:
    """`event` is Alpaca's, or `reconciled` for a change that was found over REST. `filled_qty` is the order's total.

    `heard_at` is when it reached Corral, in UTC.
    """

    order_id: str
    event: str
    status: str
    filled_qty: str | None
    heard_at: datetime


@dataclass(slots=True)
class _Watched:
    """`ended` is None while the account is watched."""

    began: datetime
    ended: datetime | None = None


@dataclass(slots=True)
class _Account:
    times: deque[_Watched] = field(default_factory=lambda: deque(maxlen=MOST_TIMES))
    events: deque[HeardEvent] | None = None  # an account without any needs no memory for them


def _now() -> datetime:
    return datetime.now(UTC)


@final
class OrderLog:
    """By user and credential: callers must have checked that the user may see the account."""

    __slots__ = ("_accounts", "_clock", "_events")

    def __init__(self, *, clock: Callable[[], datetime] = _now) -> None:
        self._clock = clock
        self._accounts: OrderedDict[tuple[UUID, UUID], _Account] = OrderedDict()
        self._events = 0

    def begin(self, user_id: UUID, credential_id: UUID) -> None:
        """Records that the account is watched from now on."""
        times, now = self._account(user_id, credential_id).times, self._clock()
        if times and (times[-1].ended is None or now - times[-1].ended < _PAUSE):
            times[-1].ended = None
        else:
            times.append(_Watched(now))

    def end(self, user_id: UUID, credential_id: UUID) -> None:
        """Records that the account is no longer watched."""
        account = self._accounts.get((user_id, credential_id))
        if account is not None and account.times:
            account.times[-1].ended = self._clock()

    def record(self, user_id: UUID, credential_id: UUID, event: StreamEvent) -> None:
        """Keeps an event of an order, and forgets those of the accounts that were watched longest ago."""
        if event.kind is not Kind.ORDER:
            return
        account = self._account(user_id, credential_id)
        if account.events is None:
            account.events = deque(maxlen=MOST_EVENTS_OF_ACCOUNT)
        order = orjson.loads(event.body)
        heard = HeardEvent(order["id"], order["event"], order["status"], order["filled_qty"], self._clock())
        self._events += len(account.events) < MOST_EVENTS_OF_ACCOUNT
        account.events.append(heard)
        self._forget_oldest()

    def heard(self, user_id: UUID, credential_id: UUID, order_id: str) -> list[HeardEvent]:
        """Returns the events of one order, the earliest first."""
        account = self._accounts.get((user_id, credential_id))
        events = account.events if account else None
        return [event for event in events or () if event.order_id == order_id]

    def was_watching(self, user_id: UUID, credential_id: UUID, at: datetime) -> bool:
        """Whether Corral was watching the account at that time, as far as it remembers."""
        account = self._accounts.get((user_id, credential_id))
        times = account.times if account else ()
        return any(time.began <= at and (time.ended is None or at <= time.ended) for time in times)

    def _account(self, user_id: UUID, credential_id: UUID) -> _Account:
        key = (user_id, credential_id)
        account = self._accounts.setdefault(key, _Account())
        self._accounts.move_to_end(key)
        self._forget_oldest()
        return account

    def _forget_oldest(self) -> None:
        while len(self._accounts) > MOST_ACCOUNTS or (self._events > MOST_EVENTS and len(self._accounts) > 1):
            _, forgotten = self._accounts.popitem(last=False)
            self._events -= len(forgotten.events or ())
