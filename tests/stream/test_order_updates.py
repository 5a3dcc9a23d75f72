"""What the end of an account's connection means: what is reported, and when the next one is tried."""

import asyncio
from typing import TYPE_CHECKING, cast

import pytest

from corral.alpaca.errors import (
    AlpacaAuthError,
    AlpacaError,
    AlpacaRateLimited,
    AlpacaServerError,
    ConnectionDropped,
    SlotTaken,
)
from corral.errors import Problem
from corral.stream.order_tracker import OrderTracker
from corral.stream.order_updates import SOON_SECONDS, TradeUpdatesListener
from corral.stream.subscriptions import Subscription

if TYPE_CHECKING:
    from corral.alpaca.trade_updates import TradeUpdates
    from corral.stream.audience import Outlet
    from corral.stream.poller import Poller
    from corral.stream.subscriptions import Subscriptions
    from corral.stream.trade_relay import TradeRelay


class Recorder:
    """Subscriptions, an outlet and a poller that record their calls."""

    def __init__(self) -> None:
        self.codes: list[str | None] = []
        self.doubted = self.reconsidered = 0

    def report(self, _part: str, problem: Problem | None) -> None:
        self.codes.append(problem and problem.code)

    def verify_next(self, _watcher: Subscription) -> None:
        self.doubted += 1

    def reconsider(self) -> None:
        self.reconsidered = self.doubted


def _listener(*, may_others_watch: bool = False) -> tuple[TradeUpdatesListener, Recorder]:
    reported = Recorder()
    line = TradeUpdatesListener(
        cast("TradeUpdates", None),
        subscriptions=cast("Subscriptions", reported),
        outlet=cast("Outlet", reported),
        tracker=OrderTracker(),
        poller=cast("Poller", reported),
        relay=cast("TradeRelay", None),
        permit=asyncio.Event().wait,
        is_place_doubtful=False,
        may_others_watch=lambda: may_others_watch,
    )
    return line, reported


def _ended(line: TradeUpdatesListener, failure: AlpacaError) -> float:
    return line._handle_failure(cast("Subscription", None), failure)  # pyright: ignore[reportPrivateUsage]  # its one decision


def _lost_one_of_our_own(line: TradeUpdatesListener, now: float) -> None:
    line._lost_at = now  # pyright: ignore[reportPrivateUsage]


def limited(seconds: int = 1) -> AlpacaRateLimited:
    return AlpacaRateLimited(retry_after_seconds=seconds, from_us=False, status=429)


async def test_one_429_is_a_rate_limit_and_retried_soon_but_not_before_retry_after() -> None:
    line, reported = _listener()
    assert 7 <= _ended(line, limited(7)) <= 7 + 2
    assert reported.codes == []


async def test_three_429s_in_a_row_mean_that_another_program_has_the_connection() -> None:
    line, reported = _listener()
    for _ in range(2):
        _ended(line, limited())
    assert "order_stream_taken" not in reported.codes
    assert _ended(line, limited()) >= 30
    assert reported.codes[-1] == "order_stream_taken"


@pytest.mark.parametrize("failure", [SlotTaken(), limited()], ids=repr)
async def test_while_other_processes_may_watch_the_account_no_other_program_is_said_to(failure: AlpacaError) -> None:
    """As Valkey is away, nobody knows. Whoever finds the place free takes it soon."""
    line, reported = _listener(may_others_watch=True)
    waits = [_ended(line, failure) for _ in range(40)]
    assert max(waits) <= SOON_SECONDS + 1
    assert set(reported.codes) == {"order_stream_down"}


async def test_429s_with_another_failure_between_them_mean_nothing() -> None:
    line, reported = _listener()
    for failure in (limited(), limited(), ConnectionDropped(), limited(), limited()):
        _ended(line, failure)
    assert "order_stream_taken" not in reported.codes


async def test_alpacas_report_of_a_connection_in_use_is_understood() -> None:
    line, reported = _listener()
    assert _ended(line, SlotTaken()) >= 30
    assert reported.codes == ["order_stream_taken"]


@pytest.mark.parametrize("failure", [SlotTaken(), limited(), ConnectionDropped()], ids=repr)
async def test_for_two_minutes_after_a_disconnect_retries_are_soon(failure: AlpacaError) -> None:
    line, reported = _listener()
    _lost_one_of_our_own(line, _now())
    waits = [_ended(line, failure) for _ in range(40)]
    assert max(waits) <= SOON_SECONDS + 1
    assert len(set(waits)) > 30  # with jitter
    assert set(reported.codes) == {"order_stream_down"}
    _lost_one_of_our_own(line, _now() - 121)
    assert isinstance(failure, ConnectionDropped) or _ended(line, failure) >= 30


@pytest.mark.parametrize(
    ("failure", "doubts"),
    [
        (AlpacaAuthError(), 1),
        (AlpacaServerError(status=401), 1),
        (AlpacaServerError(status=403), 1),
        (ConnectionDropped(), 0),
    ],
    ids=repr,
)
async def test_any_refusal_leads_to_a_check_of_the_keys(failure: AlpacaError, doubts: int) -> None:
    line, reported = _listener()
    _ended(line, failure)
    assert reported.doubted == reported.reconsidered == doubts


def _now() -> float:
    return asyncio.get_running_loop().time()
