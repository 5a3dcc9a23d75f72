"""The sandbox's clock at any speed."""

import asyncio
import time
from datetime import datetime

import pytest
from aiohttp import ClientSession
from hypothesis import given
from hypothesis import strategies as st

from corral_sandbox import Sandbox, serve_sandbox
from corral_sandbox.market.time import Clock
from tests.sandbox.people import ALICE, keys_of, nanoseconds

_SECOND = 10**9
_START = nanoseconds("2026-11-24T14:30:05Z")


@given(st.integers(1, 86_400), st.lists(st.integers(-(10**12), 10**12), min_size=1, max_size=30))
def test_time_never_goes_back_whatever_the_real_clock_does(speed: int, steps: list[int]) -> None:
    outside = _START
    clock = Clock(speed=speed, real=lambda: outside)
    seen = [clock.now()]
    for step in steps:
        outside += step
        seen.append(clock.now())
    assert seen == sorted(seen)


@given(st.integers(1, 86_400), st.integers(0, 10**15))
def test_time_runs_at_its_speed_to_the_nanosecond(speed: int, passed: int) -> None:
    outside = _START
    clock = Clock(speed=speed, real=lambda: outside)
    outside += passed
    assert clock.now() == _START + passed * speed


def test_time_starts_with_the_real_time_at_any_speed() -> None:
    for speed in (1, 1440):
        before = time.time_ns()
        clock = Clock(speed=speed)
        assert clock.real() >= before - _SECOND
        assert clock.now() >= before - _SECOND


async def _sleep_until(clock: Clock, at: int) -> None:
    while clock.now() < at:
        await clock.nap_until(at)


async def test_a_time_comes_after_naps() -> None:
    clock = Clock(speed=86_400)
    at = clock.now() + 3_600 * _SECOND
    async with asyncio.timeout(30):
        await _sleep_until(clock, at)
    assert clock.now() >= at


async def test_a_nap_notices_that_the_clock_was_turned() -> None:
    now = _START
    clock = Clock(real=lambda: now)
    sleeper = asyncio.create_task(_sleep_until(clock, _START + 3_600 * _SECOND))
    await asyncio.sleep(0.05)
    assert not sleeper.done()
    now += 3_600 * _SECOND
    async with asyncio.timeout(30):
        await sleeper


async def test_a_nap_until_a_past_time_is_over_at_once() -> None:
    clock = Clock(real=lambda: _START)
    async with asyncio.timeout(30):
        await clock.nap_until(_START)


async def test_a_nap_ends_when_it_is_woken() -> None:
    clock = Clock(start=_START, speed=0)
    sleeper = asyncio.create_task(clock.nap_until(_START + 1))
    await asyncio.sleep(0)
    clock.wake()
    async with asyncio.timeout(0.5):  # half of the nap that it would take
        await sleeper


async def test_time_starts_at_a_given_start_which_needs_a_time_zone(http: ClientSession) -> None:
    start = datetime.fromisoformat("2027-03-01T10:00:00-05:00")
    async with serve_sandbox(port=0, start=start, clock=lambda: _START) as sandbox:
        assert await _time(http, sandbox) == start
    with pytest.raises(ValueError, match="time zone"):
        await serve_sandbox(port=0, start=start.replace(tzinfo=None)).__aenter__()


async def test_a_day_passes_in_a_minute_at_1440(http: ClientSession) -> None:
    outside = _START
    async with serve_sandbox(port=0, speed=1440, clock=lambda: outside) as sandbox:
        assert await _time(http, sandbox) == datetime.fromisoformat("2026-11-24T09:30:05-05:00")
        outside += 60 * _SECOND
        assert await _time(http, sandbox) == datetime.fromisoformat("2026-11-25T09:30:05-05:00")


async def test_prices_move_with_the_sandboxs_time(http: ClientSession) -> None:
    outside = _START
    async with serve_sandbox(port=0, seed=3, speed=60, clock=lambda: outside, characters=True) as fast:
        await _account(http, fast)
        outside += _SECOND
        accelerated = await _account(http, fast)
    async with serve_sandbox(port=0, seed=3, clock=lambda: _START + 60 * _SECOND, characters=True) as a_minute_later:
        assert accelerated == await _account(http, a_minute_later)


@pytest.mark.parametrize("speed", [1, 1440])
async def test_the_rate_limit_keeps_to_real_minutes_at_any_speed(http: ClientSession, speed: int) -> None:
    outside = nanoseconds("2026-11-24T14:30:05Z")
    async with serve_sandbox(port=0, speed=speed, rate_limit_per_minute=1, clock=lambda: outside) as sandbox:
        assert await _status(http, sandbox) == (200, "1795530660")
        outside += 54 * _SECOND
        assert await _status(http, sandbox) == (429, "1795530660")
        outside += _SECOND
        assert (await _status(http, sandbox))[0] == 200


async def _status(http: ClientSession, sandbox: Sandbox) -> tuple[int, str]:
    async with http.get(f"{sandbox.paper_url}/v2/clock", headers=keys_of(ALICE)) as response:
        return response.status, response.headers["X-RateLimit-Reset"]


async def _time(http: ClientSession, sandbox: Sandbox) -> datetime:
    async with http.get(f"{sandbox.paper_url}/v2/clock", headers=keys_of(ALICE)) as response:
        return datetime.fromisoformat((await response.json())["timestamp"])


async def _account(http: ClientSession, sandbox: Sandbox) -> dict[str, str]:
    async with http.get(f"{sandbox.paper_url}/v2/account", headers=keys_of(ALICE)) as response:
        return await response.json()
