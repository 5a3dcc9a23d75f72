"""Passes the frames of an account's only connection on, as Alpaca sent them, and what was missed while it was away."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime, timedelta
from typing import Final, final

from corral.accounts.reader import AccountReader
from corral.alpaca.errors import WrongShape
from corral.alpaca.fields import Fields, required, text
from corral.alpaca.trade_updates import UpdateFrame
from corral.credentials.reader import OpenCredential
from corral.errors import Problem
from corral.logs import get_logger
from corral.stream.audience import Outlet
from corral.stream.missed_updates import Irreconcilable, MissedUpdate, Shown, ToldOrders, key_of
from corral.stream.permit import Permit

LONGEST_AWAY_SECONDS: Final = 900.0  # then those who listen are better told to look for themselves
MOST_HELD: Final = 1_000  # frames that arrive while it is found out what was missed
TRIES: Final = 4
FIRST_WAIT_SECONDS: Final = 0.5  # between the tries; twice as long each time
_ORDERS: Final = "/v2/orders"
_FILLS: Final = "/v2/account/activities/FILL"
_ORDERS_ON_A_PAGE: Final = 500
_NEWEST_ORDERS: Final = 100
_FILLS_ON_A_PAGE: Final = 100
_MOST_PAGES: Final = 10
_MOST_SINGLE_ORDERS: Final = 40
_OVERLAP: Final = timedelta(seconds=5)  # orders may be listed later than their time says

_log = get_logger()


@final
class TradeRelay:
    """Of one account, in the process that has its connection.

    While nobody listens, it asks for nothing.
    """

    def __init__(
        self, accounts: AccountReader, outlet: Outlet, *, has_listeners: Callable[[], bool], permit: Permit
    ) -> None:
        self._accounts = accounts
        self._permit = permit
        self._outlet = outlet
        self._has_listeners = has_listeners
        self._through: OpenCredential | None = None  # None while there is no connection
        self._told: ToldOrders | None = None
        self._held: deque[UpdateFrame] | None = None  # while it is found out what was missed
        self._asking: asyncio.Task[None] | None = None
        self._too_long: asyncio.TimerHandle | None = None

    def note_interest(self) -> None:
        """To be called when somebody begins to listen."""
        if self._told is None and self._through is not None and self._has_listeners():
            self._told = ToldOrders()
            self._ask(self._begin_telling(self._told, self._through))

    def begin(self, through: OpenCredential) -> None:
        """The account's connection is open. What follows while it is compared with REST is told afterwards."""
        self._through = through
        if self._too_long is not None:
            self._too_long.cancel()
        self._catch_up()
        self._say_whether_live()

    def interrupt(self) -> None:
        """The connection has ended."""
        if self._through is None:
            return
        self._through = self._held = None
        self._stop_asking()
        self._say_whether_live()
        if not self._has_listeners():
            self._told = None
        else:
            self._too_long = asyncio.get_running_loop().call_later(LONGEST_AWAY_SECONDS, self.give_up)

    async def take(self, frame: UpdateFrame) -> None:
        if self._told is None:
            return
        if self._held is None:
            await self._tell_frame(self._told, frame)
        elif len(self._held) < MOST_HELD:
            self._held.append(frame)
        else:
            self.give_up()

    def give_up(self) -> None:
        """Ends all who listen: they have missed something."""
        self.close()
        self._told = self._held = None
        self._outlet.end_frames()
        self._say_whether_live()

    def close(self) -> None:
        self._stop_asking()
        if self._too_long is not None:
            self._too_long.cancel()

    def _say_whether_live(self) -> None:
        self._outlet.set_live(is_live=self._through is not None and self._held is None)

    def _catch_up(self) -> None:
        if self._told is None or self._through is None or self._held is not None:
            return
        if not self._has_listeners():
            self._told = None
        elif self._told.is_complete:
            self._held = deque()
            self._say_whether_live()
            self._ask(self._tell_missed(self._told, self._through, self._held))
        else:
            self.give_up()

    def _ask(self, work: Coroutine[None, None, None]) -> None:
        self._stop_asking()
        self._asking = asyncio.get_running_loop().create_task(work)
        self._asking.add_done_callback(self._report_bug)

    def _stop_asking(self) -> None:
        if self._asking is not None and self._asking is not asyncio.current_task():
            self._asking.cancel()

    def _report_bug(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (bug := task.exception()):
            _log.error("trade_relay_broke", exc_info=bug)
            self.give_up()

    async def _begin_telling(self, told: ToldOrders, through: OpenCredential) -> None:
        """Learns which orders are open, so that it can be found out later what was missed."""
        try:
            newest = await self._documents(through, _FILLS, page_size="1")
            recent = await self._documents(through, _ORDERS, status="all", limit=str(_NEWEST_ORDERS))
            still_open = await self._documents(through, _ORDERS, status="open", limit=str(_ORDERS_ON_A_PAGE))
            told.begin([*recent, *still_open], required(text, newest[0], "id") if newest else None)
        except (Problem, WrongShape) as failure:
            _log.info("trade_relay_unprepared", reason=type(failure).__name__)
        else:
            told.is_complete = told.is_complete and len(still_open) < _ORDERS_ON_A_PAGE

    async def _tell_missed(self, told: ToldOrders, through: OpenCredential, held: deque[UpdateFrame]) -> None:
        found = await self._find_missed(told, through, held)
        if found is None:
            self.give_up()
            return
        for missed in found:  # nothing here waits for a client, so a connection that ends now interrupts nothing
            await self._outlet.pass_on(missed.frame, through, is_text=False)
        self._held = None
        while held and self._held is None:
            await self._tell_frame(told, held.popleft())
        if self._held is not None:  # one of them could not be read: the rest waits for what it said
            self._held.extend(held)
        self._say_whether_live()

    async def _find_missed(
        self, told: ToldOrders, through: OpenCredential, held: deque[UpdateFrame]
    ) -> Sequence[MissedUpdate] | None:
        """Returns None if it cannot be found out."""
        reason = ""
        for attempt in range(TRIES):
            if attempt:
                await asyncio.sleep(FIRST_WAIT_SECONDS * 2 ** (attempt - 1))
            try:
                shown = await self._shown(told, through)
                missed = told.missed(shown, [key for frame in held if (key := key_of(frame.data)) is not None])
                told.conclude(shown, missed)
            except (Irreconcilable, WrongShape, Problem) as failure:
                reason = type(failure).__name__
            else:
                return missed
        _log.warning("trade_updates_missed", reason=reason)
        return None

    async def _shown(self, told: ToldOrders, through: OpenCredential) -> Shown:
        """Asks until no fill has come in between. Raises Irreconcilable and what `AccountReader.documents` does."""
        fills = await self._fills_since(told.newest_fill, through)
        orders = await self._orders_since(told, through)
        if not fills:
            return Shown(orders, fills)
        positions = await self._documents(through, "/v2/positions")
        newest = await self._documents(through, _FILLS, page_size="1")
        if not newest or newest[0].get("id") != fills[0].get("id"):
            raise Irreconcilable
        return Shown(orders, fills, positions)

    async def _fills_since(self, known: str | None, through: OpenCredential) -> Sequence[Fields]:
        """The newest first. A known one that is not found any more is no boundary, so that is Irreconcilable."""
        found: list[Fields] = []
        beyond: dict[str, str] = {}
        for _ in range(_MOST_PAGES):
            page = await self._documents(through, _FILLS, page_size=str(_FILLS_ON_A_PAGE), **beyond)
            for fill in page:
                if fill.get("id") == known:
                    return found
                found.append(fill)
            if len(page) < _FILLS_ON_A_PAGE:
                break
            beyond = {"page_token": required(text, page[-1], "id")}
        else:
            raise Irreconcilable
        if known is not None:
            raise Irreconcilable
        return found

    async def _orders_since(self, told: ToldOrders, through: OpenCredential) -> Sequence[Fields]:
        """All that may have changed, each as it was seen last."""
        after = {"after": _before(told.floor)} if told.floor else {}
        found: dict[str, Fields] = {}
        for status, bounds in (("all", after), ("open", {})):
            page = await self._documents(through, _ORDERS, status=status, limit=str(_ORDERS_ON_A_PAGE), **bounds)
            if len(page) == _ORDERS_ON_A_PAGE:
                raise Irreconcilable
            found |= {required(text, order, "id"): order for order in page}
        left = [order_id for order_id in told.open_orders() if order_id not in found]
        if len(left) > _MOST_SINGLE_ORDERS:
            raise Irreconcilable
        for order_id in left:
            (found[order_id],) = await self._documents(through, f"{_ORDERS}/{order_id}")
        return list(found.values())

    async def _documents(self, through: OpenCredential, path: str, **parameters: str) -> Sequence[Fields]:
        await self._permit()
        return await self._accounts.documents(through, path, parameters)

    async def _tell_frame(self, told: ToldOrders, frame: UpdateFrame) -> None:
        if not frame.data:  # its content is lost
            self._catch_up()
        if not frame.data or told.is_repeated(frame.data):
            return
        told.note(frame.data)
        if self._through is not None:
            await self._outlet.pass_on(frame.content, self._through, is_text=frame.is_text)


def _before(instant: str) -> str:
    second = datetime.fromisoformat(instant[: len("YYYY-MM-DDTHH:MM:SS")]) - _OVERLAP
    return f"{second.isoformat()}Z"
