"""How often an account is polled, in virtual time: the account and its positions in turn, and orders now and then.

Positions that nobody looks at are read after fills and every 30 seconds only.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

import pytest

from corral.accounts.cache import Answer
from corral.accounts.schemas import AccountDataResponse
from corral.alpaca.environments import Environment
from corral.alpaca.orders import Order, read_order
from corral.alpaca.paging import Page
from corral.credentials.problems import UpstreamFailed
from corral.stream.audience import Audience
from corral.stream.permit import always
from corral.stream.poller import Poller
from corral.stream.subscriptions import Subscription, Subscriptions
from tests.virtual_time import run_in_virtual_time

if TYPE_CHECKING:
    from corral.accounts.reader import AccountReader
    from corral.credentials.reader import OpenCredential
    from corral.errors import Problem

CALL_SECONDS = 0.05
_ORDER = read_order(
    {"id": "a", "status": "new", "qty": "10", "filled_qty": "0", "submitted_at": "2026-11-25T10:00:00Z"}
)
_ACCOUNT = AccountDataResponse(
    account_type=Environment.PAPER,
    balance="1",
    equity="1",
    buying_power="1",
    currency="USD",
    trading_blocked=False,
    account_blocked=False,
    pattern_day_trader=False,
    daytrade_count=0,
    last_updated="2026-11-25T10:00:00Z",
)


class Watched:
    """An account with a poller. Each of its reads is recorded with its time."""

    def __init__(self) -> None:
        self.reads: list[tuple[float, str]] = []
        self.orders: list[Order] = []
        self.failures: list[Problem] = []  # of the next reads of positions
        self.outage: Problem | None = None
        self.during_positions: Callable[[], None] = lambda: None
        self.subscriptions = Subscriptions()
        audience = Audience(self.subscriptions)
        self.tracker = audience.told.tracker
        reader = cast("AccountReader", SimpleNamespace(
            account_data_of=self._read_account, positions=self._read_positions, orders=self._read_orders,
            polite_seconds=self._polite_seconds,
        ))  # fmt: skip
        self.poller = Poller(
            reader,
            1.0,
            subscriptions=self.subscriptions,
            audience=audience,
            outlet=audience,
            permit=always,
            is_place_doubtful=False,
        )
        self.poller.is_connected = True
        self.page = self.subscribe()

    def subscribe(self) -> Subscription:
        stored = SimpleNamespace(id=uuid4(), refused_at=None)
        credential = cast("OpenCredential", SimpleNamespace(stored=stored, suspect=lambda: None))
        subscription = Subscription(credential, lambda _id, _event: None)
        self.subscriptions.add(subscription)
        self.poller.wake()
        return subscription

    def look_at_positions(self, *, is_looking: bool = True) -> None:
        self.page.wants_positions = is_looking
        self.poller.reconsider()

    def hear(self, event: str, **changes: str) -> None:
        """An update over the socket."""
        stamp = f"2026-11-25T10:00:00.{len(self.orders) + 1:09}Z"
        order = replace(self.orders[-1] if self.orders else _ORDER, updated_at=stamp, **cast("Any", changes))
        self.orders.append(order)
        assert self.tracker.update(event, order) is not None
        self.poller.reconsider()

    def times(self, what: str, *, since: float = 0) -> list[float]:
        return [at for at, read in self.reads if read == what and at >= since]

    def _polite_seconds(self, _credential: object) -> float:
        return 0.6

    async def _read(self, what: str) -> None:
        self.reads.append((now(), what))
        await asyncio.sleep(CALL_SECONDS)
        if self.outage is not None:
            raise self.outage

    async def _read_account(self, _credential: object, *, is_fresh: bool) -> Answer[AccountDataResponse]:
        await self._read("fresh account" if is_fresh else "account")
        return Answer(_ACCOUNT)

    async def _read_positions(self, _credential: object) -> tuple[()]:
        await self._read("positions")
        self.during_positions()
        if self.failures:
            raise self.failures.pop()
        return ()

    async def _read_orders(self, *_query: object, limit: int) -> Page[Order]:
        del limit
        await self._read("orders")
        return Page(self.orders[-1:], None)


Happening = Callable[[Watched], object]


def now() -> float:
    return asyncio.get_running_loop().time()


def watch(*happens: tuple[float, Happening], seconds: float, before: Happening = bool) -> Watched:
    """What is read within so many seconds if this happens at these times, and the other before the first read."""

    async def run() -> Watched:
        watched = Watched()
        before(watched)
        polling = asyncio.ensure_future(watched.poller.run())
        for at, what in happens:
            await asyncio.sleep(at - now())
            what(watched)
        await asyncio.sleep(seconds - now())
        polling.cancel()
        with suppress(asyncio.CancelledError):
            await cast("Awaitable[None]", polling)
        return watched

    return run_in_virtual_time(run())


def hears(event: str, **changes: str) -> Happening:
    return lambda watched: watched.hear(event, **changes)


def looks(watched: Watched) -> None:
    watched.look_at_positions()


def looks_away(watched: Watched) -> None:
    watched.look_at_positions(is_looking=False)


def test_positions_that_nobody_looks_at_are_read_every_30_seconds() -> None:
    gaps = [later - earlier for earlier, later in pairwise(watch(seconds=600).times("positions"))]
    assert len(gaps) >= 17
    assert all(30 <= gap <= 33 for gap in gaps), gaps


def test_positions_are_read_in_turn_with_the_account_while_anybody_looks() -> None:
    watched = watch((0, looks), seconds=600)
    assert 250 <= len(watched.times("positions")) <= 300
    assert all(later - earlier <= 4.1 for earlier, later in pairwise(watched.times("positions")))


def test_the_account_and_orders_are_read_as_often_whether_or_not_anybody_looks_at_positions() -> None:
    looked, unlooked = watch((0, looks), seconds=600), watch(seconds=600)
    for what in ("account", "orders"):
        assert len(unlooked.times(what)) == pytest.approx(len(looked.times(what)), rel=0.15), what
    assert len(unlooked.reads) < 0.65 * len(looked.reads)


def test_who_begins_to_look_gets_a_fresh_list_within_an_interval() -> None:
    for tenth in range(40):
        at = 60 + tenth / 10
        watched = watch((at, looks), seconds=at + 5)
        # A list that was asked for in the interval before is fresh: the account is next.
        assert watched.times("positions", since=at - 1)[0] <= at + 1.1, at


def test_after_the_last_one_looks_away_positions_are_read_rarely_again() -> None:
    watched = watch((0, looks), (60, looks_away), seconds=180)
    assert 3 <= len(watched.times("positions", since=62)) <= 4


@pytest.mark.parametrize(
    ("event", "changes"),
    [
        ("fill", {"status": "filled", "filled_qty": "10"}),
        ("partial_fill", {"status": "partially_filled", "filled_qty": "0.001"}),
        ("canceled", {"status": "canceled", "filled_qty": "3"}),  # the event of its fill was lost
    ],
)
def test_a_fill_refreshes_positions_that_nobody_looks_at(event: str, changes: dict[str, str]) -> None:
    for tenth in range(20):
        at = 47 + tenth / 10
        watched = watch((at, hears(event, **changes)), seconds=at + 25)
        first, *others = watched.times("positions", since=at)
        assert first <= at + 1.1 + CALL_SECONDS, at
        # Alpaca's list may be behind the fill, so it is read once more, some seconds later.
        assert 10 <= others[0] - first <= 13


def test_a_busted_fill_refreshes_positions() -> None:
    watched = watch(
        (20, hears("fill", status="filled", filled_qty="10")),
        (50, hears("trade_bust", status="new", filled_qty="0")),
        seconds=55,
    )
    assert watched.times("positions", since=50)[0] <= 52.2


def test_orders_that_do_not_fill_do_not_refresh_positions() -> None:
    watched = watch(
        *((36 + number / 2, _place_and_cancel) for number in range(40)),
        seconds=58,
    )
    assert len(watched.times("positions", since=36)) <= 1


def test_a_fill_that_only_a_scan_finds_refreshes_positions() -> None:
    """Such as when another program of the owner's holds the account's socket."""

    def fill_silently(watched: Watched) -> None:
        watched.poller.is_connected = False
        later = replace(watched.orders[-1], status="filled", filled_qty="10", updated_at="2026-11-25T10:00:09Z")
        watched.orders.append(later)

    watched = watch((35, hears("new")), (40, fill_silently), seconds=60)
    found = watched.times("orders", since=40)[0]
    assert watched.times("positions", since=found)[0] <= found + 2.2


def test_the_account_is_read_before_the_orders_also_with_keys_that_were_accepted_before() -> None:
    """When what was told is lost: its time says which orders have ended so recently that they are part of the state."""

    def accept(watched: Watched) -> None:
        watched.page.is_accepted = True

    reads = [what for _, what in watch(seconds=5, before=accept).reads]
    assert reads[:2] == ["account", "orders"]


def test_what_a_socket_could_not_tell_is_looked_for_when_it_has_opened() -> None:
    """Without waiting for the interval, and once: a call more for each socket."""
    for tenth in range(20):
        at = 20 + tenth / 10
        watched = watch((at, lambda watched: watched.poller.note_opening()), seconds=at + 5)
        assert watched.times("orders", since=at)[0] <= at + CALL_SECONDS, at
        usual = len(watch(seconds=at + 5).reads)
        assert usual <= len(watched.reads) <= usual + 2, at


def test_a_fill_during_a_read_of_positions_leads_to_another_one() -> None:
    def fill_once(watched: Watched) -> None:
        def fill() -> None:
            watched.during_positions = lambda: None
            watched.hear("fill", status="filled", filled_qty="10")

        watched.during_positions = fill

    watched = watch((10, fill_once), seconds=50)
    first, second = watched.times("positions", since=10)[:2]
    assert second - first <= 2.2


def test_a_failed_read_after_a_fill_is_tried_again() -> None:
    def fill(watched: Watched) -> None:
        watched.failures = [UpstreamFailed(), UpstreamFailed()]
        watched.hear("fill", status="filled", filled_qty="10")

    watched = watch((40, fill), seconds=58)
    assert len(watched.times("positions", since=40)) >= 3


def test_fills_without_a_pause_do_not_keep_the_account_from_being_read() -> None:
    fills = [(20 + number / 5, hears("partial_fill", filled_qty=f"{number + 1}")) for number in range(200)]
    watched = watch(*fills, seconds=60)
    assert len(watched.times("account", since=20)) >= 10
    assert len(watched.times("positions", since=20)) >= 10


@pytest.mark.parametrize("what", [looks, hears("fill", status="filled", filled_qty="10")])
def test_neither_looking_nor_fills_make_calls_during_an_outage_more_frequent(what: Happening) -> None:
    def fail(watched: Watched) -> None:
        watched.outage = UpstreamFailed()

    watched = watch((20, fail), *((100 + number, looks) for number in range(60)), (160, what), seconds=200)
    assert len([at for at, _ in watched.reads if at >= 100]) < 25


def test_new_keys_are_verified_within_an_interval() -> None:
    for tenth in range(20):
        at = 47 + tenth / 10
        watched = watch((at, Watched.subscribe), seconds=at + 3)
        assert watched.times("fresh account", since=at)[0] <= at + 1.1


def test_keys_in_doubt_are_verified_within_an_interval() -> None:
    def doubt(watched: Watched) -> None:
        watched.subscriptions.verify_next(watched.page)
        watched.poller.reconsider()

    for tenth in range(20):
        at = 47 + tenth / 10
        watched = watch((at, doubt), seconds=at + 3)
        assert watched.times("account", since=at)[0] <= at + 2.2


def _place_and_cancel(watched: Watched) -> None:
    watched.hear("new", id=str(len(watched.orders)), status="new")
    watched.hear("canceled", status="canceled")
