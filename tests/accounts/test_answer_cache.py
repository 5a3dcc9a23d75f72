"""Single flight, time to live and refresh-ahead, on a clock that is turned."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from uuid import uuid4

import pytest
from pydantic import BaseModel

from corral.accounts.cache import Answer, AnswerCache
from tests.virtual_time import run_in_virtual_time

CALL_SECONDS = 0.08


class Moment(BaseModel):
    """When Alpaca answered."""

    at: float


@dataclass
class Alpaca:
    """Answers after `CALL_SECONDS`, or fails while `is_down`."""

    call_seconds: float = CALL_SECONDS
    is_down: bool = False
    began_at: list[float] = field(default_factory=list[float])

    async def __call__(self) -> Answer[Moment]:
        loop = asyncio.get_running_loop()
        self.began_at.append(loop.time())
        await asyncio.sleep(self.call_seconds)
        if self.is_down:
            raise ConnectionError
        return Answer(Moment(at=round(loop.time(), 2)))


@dataclass(frozen=True)
class Read:
    waited: float
    age: float


async def read(cache: AnswerCache, alpaca: Alpaca, *, may_refresh: Callable[[], bool] = lambda: True) -> Read:
    loop = asyncio.get_running_loop()
    began = loop.time()
    answer = await cache.get(("alice", "key", 1, "account"), alpaca, may_refresh=may_refresh)
    return Read(loop.time() - began, loop.time() - answer.value.at)


async def read_for(seconds: float, cache: AnswerCache, alpaca: Alpaca, *, every: float = 0.01) -> list[Read]:
    loop, reads = asyncio.get_running_loop(), list[Read]()
    ends = loop.time() + seconds
    while loop.time() < ends:
        reads.append(await read(cache, alpaca))
        await asyncio.sleep(every)
    return reads


def in_virtual_time(work: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        await work()

    run_in_virtual_time(run())


def test_an_idle_answer_is_forgotten() -> None:
    async def work() -> None:
        cache, alpaca = AnswerCache(1), Alpaca()
        await read(cache, alpaca)
        await asyncio.sleep(1.01)
        assert not cache._entries  # pyright: ignore[reportPrivateUsage]  # memory is what this is about
        assert not cache._calls  # pyright: ignore[reportPrivateUsage]
        assert len(alpaca.began_at) == 1

    in_virtual_time(work)


def test_continuous_readers_never_wait_and_get_no_expired_answer() -> None:
    async def work() -> None:
        cache, alpaca = AnswerCache(1), Alpaca()
        first, *others = await read_for(60, cache, alpaca)
        assert first.waited == pytest.approx(CALL_SECONDS)
        assert max(one.waited for one in others) == 0
        assert max(one.age for one in others) <= 1.005  # "at" is rounded
        assert len(alpaca.began_at) <= 60 / (1 - 1.5 * CALL_SECONDS - 0.02) + 1
        await cache.close()

    in_virtual_time(work)


def test_an_answer_read_only_in_the_first_half_of_its_time_is_not_refreshed() -> None:
    async def work() -> None:
        cache, alpaca = AnswerCache(1), Alpaca()
        await read(cache, alpaca)
        await read(cache, alpaca)
        await asyncio.sleep(10)
        assert len(alpaca.began_at) == 1

    in_virtual_time(work)


def test_refreshing_stops_without_readers() -> None:
    async def work() -> None:
        cache, alpaca = AnswerCache(1), Alpaca()
        await read_for(5, cache, alpaca)
        calls = len(alpaca.began_at)
        await asyncio.sleep(10)
        assert len(alpaca.began_at) <= calls + 1
        assert not cache._entries  # pyright: ignore[reportPrivateUsage]

    in_virtual_time(work)


def test_there_is_no_refresh_when_few_requests_are_left() -> None:
    async def work() -> None:
        cache, alpaca = AnswerCache(1), Alpaca()
        for _ in range(90):
            await read(cache, alpaca, may_refresh=lambda: False)
            await asyncio.sleep(0.01)
        await asyncio.sleep(1)
        assert len(alpaca.began_at) == 1

    in_virtual_time(work)


def test_after_a_failed_refresh_the_old_answer_is_served_until_it_expires() -> None:
    async def work() -> None:
        cache, alpaca = AnswerCache(1), Alpaca()
        await read(cache, alpaca)
        alpaca.is_down = True
        reads = await read_for(0.99, cache, alpaca)
        assert len(alpaca.began_at) == 2
        assert max(one.waited for one in reads) == 0
        await asyncio.sleep(0.02)
        with pytest.raises(ConnectionError):
            await read(cache, alpaca)

    in_virtual_time(work)


def test_a_refresh_that_outlasts_the_old_answer_is_joined() -> None:
    async def work() -> None:
        cache, alpaca = AnswerCache(1), Alpaca()
        await read(cache, alpaca)
        alpaca.call_seconds = 0.5
        reads = await read_for(1.5, cache, alpaca)
        assert len(alpaca.began_at) == 2
        assert sum(one.waited > 0 for one in reads) == 1
        assert max(one.age for one in reads) <= 1.005
        await cache.close()

    in_virtual_time(work)


def test_a_failure_reaches_all_waiting_readers_and_is_not_cached() -> None:
    async def work() -> None:
        cache, alpaca = AnswerCache(60), Alpaca(is_down=True)
        results = await asyncio.gather(*(read(cache, alpaca) for _ in range(3)), return_exceptions=True)
        assert [type(result) for result in results] == [ConnectionError] * 3
        assert len(alpaca.began_at) == 1
        with pytest.raises(ConnectionError):
            await read(cache, alpaca)
        assert len(alpaca.began_at) == 2

    in_virtual_time(work)


def test_a_reader_that_gives_up_does_not_cancel_the_call_for_the_others() -> None:
    async def work() -> None:
        cache, alpaca = AnswerCache(1), Alpaca()
        leaving, staying = (asyncio.ensure_future(read(cache, alpaca)) for _ in range(2))
        await asyncio.sleep(CALL_SECONDS / 2)
        leaving.cancel()
        assert (await staying).age == pytest.approx(0, abs=0.005)
        assert len(alpaca.began_at) == 1
        await cache.close()

    in_virtual_time(work)


def test_closing_ends_calls_and_timers() -> None:
    async def work() -> None:
        cache, alpaca = AnswerCache(1), Alpaca()
        await read(cache, alpaca)
        waiting = asyncio.ensure_future(cache.get(("alice", "another", 1, "account"), alpaca))
        await asyncio.sleep(CALL_SECONDS / 2)
        await cache.close()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert not cache._entries  # pyright: ignore[reportPrivateUsage]

    in_virtual_time(work)


def test_the_cache_is_bounded_and_its_space_is_reused() -> None:
    async def work() -> None:
        alpaca, size = Alpaca(), len(Answer(Moment(at=0.08)).json)
        cache = AnswerCache(3, most_bytes=2 * size - 1)
        first = await cache.get(("alice", "first", 1, "account"), alpaca)
        await cache.get(("alice", "second", 1, "account"), alpaca)
        assert await cache.get(("alice", "first", 1, "account"), alpaca) is first
        assert len(alpaca.began_at) == 2
        await cache.get(("alice", "second", 1, "account"), alpaca)  # answered before, and not kept
        assert len(alpaca.began_at) == 3
        await asyncio.sleep(3)
        await cache.get(("alice", "second", 1, "account"), alpaca)
        await cache.get(("alice", "second", 1, "account"), alpaca)
        assert len(alpaca.began_at) == 4
        await cache.close()

    in_virtual_time(work)


def test_whether_a_credential_has_a_cached_answer_is_known_until_it_expires() -> None:
    async def work() -> None:
        cache, credential_id = AnswerCache(1), uuid4()
        assert not cache.keeps_any_of(credential_id)
        await cache.get(("alice", credential_id, 1, "account"), Alpaca())
        await cache.get(("alice", credential_id, 1, "account", "positions"), Alpaca(), keep_seconds=2)
        assert cache.keeps_any_of(credential_id)
        await asyncio.sleep(1.5)
        assert cache.keeps_any_of(credential_id)
        await asyncio.sleep(1)
        assert not cache.keeps_any_of(credential_id)

    in_virtual_time(work)


def test_what_is_cached_about_an_account_is_dropped_for_all_its_credentials() -> None:
    async def work() -> None:
        cache, alpaca = AnswerCache(1), Alpaca()
        hers, his, other = (("alice", "1", 1, "A"), ("bob", "2", 1, "A", "positions"), ("alice", "3", 1, "B"))
        before = [await cache.get(key, alpaca) for key in (hers, his, other)]
        cache.forget_account("A")
        after = [cache.kept(key) for key in (hers, his, other)]
        assert after == [None, None, before[2]]
        assert cache.kept(other) is before[2]
        await cache.close()

    in_virtual_time(work)


def test_a_call_from_before_a_change_serves_only_those_who_waited_for_it() -> None:
    async def work() -> None:
        cache, alpaca = AnswerCache(1), Alpaca()
        key = ("alice", "1", 1, "A")
        early = asyncio.ensure_future(cache.get(key, alpaca))
        await asyncio.sleep(0)
        cache.forget_account("A")
        late = asyncio.ensure_future(cache.get(key, alpaca))
        first, second = await asyncio.gather(early, late)
        assert first is not second
        assert len(alpaca.began_at) == 2
        assert cache.kept(key) is second
        await cache.close()

    in_virtual_time(work)


def test_calls_from_before_a_change_are_cancelled_at_the_end() -> None:
    async def work() -> None:
        cache, alpaca = AnswerCache(1), Alpaca()
        early = asyncio.ensure_future(cache.get(("alice", "1", 1, "A"), alpaca))
        await asyncio.sleep(0)
        cache.forget_account("A")
        await cache.close()
        with pytest.raises(asyncio.CancelledError):
            await early

    in_virtual_time(work)
