"""One count for all processes: the same rules as one process has, whichever of them asks."""

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from corral.alpaca import shared_budgets
from corral.alpaca.rate_budget import Budgets
from corral.alpaca.shared_budgets import SharedBudgets
from corral.gateway.fair_share import FairShares, Share
from corral.valkey.client import Valkey, open_valkey
from corral.valkey.script import Script
from corral.vault import Vault
from tests.valkey.conftest import opened, until
from tests.valkey.servers import Server

ANN, BEN, CAT = (UUID(int=number) for number in (1, 2, 3))
KEY = ("paper", "PA7CANARY77")


class Process:
    """What one process has of the budgets."""

    def __init__(self, valkey: Valkey | None, clock: "Clock | None" = None) -> None:
        clocks = {} if clock is None else {"monotonic": clock.monotonic, "wall": clock.wall}
        self.budgets = Budgets(**clocks) if valkey is None else SharedBudgets(valkey, **clocks)
        self.shares = FairShares(self.budgets) if clock is None else FairShares(self.budgets, wall=clock.wall)

    async def ask(self, grant: UUID, *, closes: bool = False) -> Share:
        return await self.shares.take(KEY, grant, is_closing=closes)

    async def takes(self, times: int) -> int:
        """How many of so many requests of the owner may be made."""
        return sum([not await self.budgets.take(KEY) for _ in range(times)])


def reported(*, remaining: int, limit: int = 200, reset_in: float = 30) -> dict[str, str]:
    reset = str(int(time.time() + reset_in))
    return {"X-RateLimit-Limit": str(limit), "X-RateLimit-Remaining": str(remaining), "X-RateLimit-Reset": reset}


async def settled(valkey: Valkey) -> None:
    """What this process has told before is done."""
    await valkey.run(Script.of("return 1"), [])


async def test_three_processes_at_once_make_no_more_requests_than_one(
    valkey: Valkey, server: Server, vault: Vault
) -> None:
    async with open_valkey(server.address, vault) as second, open_valkey(server.address, vault) as third:
        processes = [Process(one) for one in (valkey, second, third)]
        taken = await asyncio.gather(*(process.takes(110) for process in processes))
    assert sum(taken) == 200
    assert all(taken), "none is kept from asking by the others"


async def test_what_grants_and_owners_leave_each_other_holds_over_processes(valkey: Valkey) -> None:
    one, two = Process(valkey), Process(valkey)
    assert (await one.ask(ANN)).limit == 160
    assert (await two.ask(BEN)).limit == 80
    for _ in range(150):
        await one.ask(ANN)
    assert not (await two.ask(BEN)).retry_after, "what is Ben's was not borrowed by the other process"
    assert await two.takes(300) > 0
    assert sum([not (await one.ask(CAT, closes=True)).retry_after for _ in range(30)]) >= 20


async def test_one_429_holds_all_processes(valkey: Valkey) -> None:
    one, two = Process(valkey), Process(valkey)
    assert not await two.budgets.take(KEY)
    assert one.budgets.hold(KEY, {"Retry-After": "17"}) == 17
    await settled(valkey)
    assert 15 <= await two.budgets.take(KEY) <= 17
    assert 15 <= (await two.ask(ANN)).retry_after <= 17
    left = two.budgets.left(KEY)
    assert left is not None
    assert (left.remaining, left.resets_in_seconds > 15) == (0, True)


async def test_what_alpaca_says_to_one_process_counts_for_all(valkey: Valkey) -> None:
    one, two = Process(valkey), Process(valkey)
    await one.budgets.take(KEY)
    one.budgets.update(KEY, reported(remaining=3))
    await settled(valkey)
    assert await two.takes(10) == 3
    assert 25 <= await two.budgets.take(KEY) <= 31


async def test_a_late_response_of_a_window_that_is_over_changes_nothing(valkey: Valkey) -> None:
    one, two = Process(valkey), Process(valkey)
    await one.budgets.take(KEY)
    one.budgets.update(KEY, reported(remaining=150))
    one.budgets.update(KEY, reported(remaining=0, reset_in=-1))
    one.budgets.update(KEY, reported(remaining=170))
    await settled(valkey)
    assert await two.takes(300) == 150


async def test_responses_that_say_nothing_new_cost_no_command(valkey: Valkey, server: Server) -> None:
    one = Process(valkey)
    await one.budgets.take(KEY)
    headers = reported(remaining=199)
    one.budgets.update(KEY, headers)
    await settled(valkey)
    before = server.ask("INFO", "commandstats")
    for _ in range(50):
        one.budgets.update(KEY, headers)
    await settled(valkey)
    assert _calls(server.ask("INFO", "commandstats")) - _calls(before) == 1


async def test_what_never_reached_alpaca_is_given_back_for_all(valkey: Valkey) -> None:
    one, two = Process(valkey), Process(valkey)
    await one.ask(ANN)
    before = await two.ask(ANN)
    one.shares.give_back(KEY, ANN)
    one.budgets.give_back(KEY)
    await settled(valkey)
    assert (await two.ask(ANN)).remaining == before.remaining, "one was given back, and one was taken"
    assert two.budgets.minute(KEY).used == 1


async def test_away_each_goes_on_from_the_count_of_all_and_back_with_the_larger(
    server: Server, vault: Vault, patient: None
) -> None:
    async with opened(server.address, vault) as valkey, opened(server.address, vault) as another:
        one, two = Process(valkey), Process(another)
        assert await one.takes(60) == 60
        assert not (await two.ask(ANN)).retry_after
        server.kill()
        await until(lambda: not valkey.is_here and not another.is_here, "away")
        assert await one.takes(30) == 30
        assert sum([not (await two.ask(ANN)).retry_after for _ in range(50)]) == 50
        assert one.budgets.minute(KEY).used == 90
        assert two.budgets.minute(KEY).used == 111
        server.start()  # with nothing in it
        await until(lambda: valkey.is_here and another.is_here, "back")
        await one.takes(1)
        assert one.budgets.minute(KEY).used == 91
        await two.ask(BEN)
        assert two.budgets.minute(KEY).used == 112
        await one.takes(1)
        assert one.budgets.minute(KEY).used == 113
        assert (await one.ask(ANN)).limit == 80, "both grants are known, whichever process counted them"


async def test_a_hold_that_was_heard_alone_holds_all_when_valkey_is_back(
    server: Server, vault: Vault, patient: None
) -> None:
    async with opened(server.address, vault) as valkey:
        one, two = Process(valkey), Process(valkey)
        server.kill()
        await until(lambda: not valkey.is_here, "away")
        assert await one.takes(1) == 1
        one.budgets.hold(KEY, {"Retry-After": "40"})
        server.start()
        await until(lambda: valkey.is_here, "back")
        assert await one.budgets.take(KEY) > 30
        assert await two.budgets.take(KEY) > 30


async def test_a_server_that_fails_during_a_request_costs_it_nothing(
    server: Server, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(server.address, vault) as valkey:
        one = Process(valkey)
        assert await one.takes(1) == 1
        server.freeze()
        asked = [asyncio.ensure_future(one.takes(1)) for _ in range(20)]
        assert await asyncio.gather(*asked) == [1] * 20
        assert not (await one.ask(ANN)).retry_after
        assert one.budgets.minute(KEY).used == 22
        server.thaw()


@pytest.mark.parametrize(
    "forged",
    [
        {"n": "1", "e": "99999999999999", "l": "0", "u": "5", "h": "99999999999999"},
        {"n": "x", "e": "nan", "l": "-1", "u": "-5", "r": "1e9", "h": "inf", "g:": "", "b:x": "y"},
        {"n": "nan", "e": "SOON", "l": "inf", "u": "-inf", "r": "nan", "h": "nan", "g:x": "nan", "c": "inf"},
        {"n": "1", "e": "SOON", "l": "1e300", "u": "inf", "r": "inf", "h": "inf", "g:x": "-1e300", "a": "1"},
        {"n": "1e300", "e": "SOON", "l": "0.5", "u": "1.5", "r": "-1e9", "h": "-1", "g:x": "1e15", "c": "-1e15"},
        {},
    ],
    ids=["extreme", "not numbers", "not a number", "infinite", "too large", "not a hash"],
)
async def test_what_somebody_wrote_there_by_hand_delays_a_minute_at_most(
    valkey: Valkey, server: Server, forged: Mapping[str, str]
) -> None:
    one, name = Process(valkey), valkey.names.key("budget", *KEY)
    if forged:
        soon = str(valkey.server_ms() + 30_000)
        server.ask("HSET", name, *(part.replace("SOON", soon) for field in forged.items() for part in field))
    else:
        server.ask("SET", name, "corral")
    assert 0 <= await one.budgets.take(KEY) <= 60
    assert 0 <= (await one.ask(ANN)).retry_after <= 60
    ends_in = server.ask("PTTL", name)
    assert isinstance(ends_in, int)
    assert 0 < ends_in <= 200_000
    assert valkey.is_here


async def test_everything_there_expires_and_nothing_names_an_account(
    valkey: Valkey, server: Server, tmp_path: Path
) -> None:
    one = Process(valkey)
    with server.client() as client, client.monitor() as monitor:
        await one.ask(ANN)
        await one.budgets.take(KEY)
        one.budgets.update(KEY, reported(remaining=100))
        one.budgets.hold(KEY, {"Retry-After": "5"})
        await settled(valkey)
        wire: list[str] = []
        server.ask("ECHO", "that is all")
        while not wire or "that is all" not in wire[-1]:
            wire.append(str(monitor.next_command()))
    assert len([line for line in wire if "EVALSHA" in line or "'command': 'EVAL" in line]) > 4
    names = server.keys()
    memory = b"".join(bytes(str(server.ask("DUMP", name)), "utf-8") + name for name in names)
    assert [name for name in names if b":budget:" in name]
    for name in names:
        assert name.startswith(b"corral:1:")
        assert 0 < int(str(server.ask("PTTL", name))) <= 200_000
    for secret in ("PA7CANARY77", str(ANN), "paper"):
        assert secret not in "\n".join(wire).replace("--", "")
        assert secret.encode() not in memory


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return 1_795_521_600.0 + self.now - 1_000_000.0


OWNER = st.tuples(st.just("take"), st.sampled_from([0, 20, 50]))
GRANT = st.tuples(st.just("share"), st.sampled_from([ANN, BEN, CAT]), st.booleans())
RUN = st.tuples(st.just("run"), st.sampled_from([ANN, BEN]), st.integers(1, 60))
OWNERS = st.tuples(st.just("owner"), st.integers(1, 150))
TOLD = st.tuples(st.just("update"), st.integers(1, 250), st.integers(0, 250), st.integers(-5, 65) | st.none())
HELD = st.tuples(st.just("hold"), st.integers(1, 70))
BACK = st.tuples(st.just("give"), st.sampled_from([ANN, BEN, None]))
PASSED = st.tuples(st.just("pass"), st.floats(0, 70).map(lambda seconds: round(seconds, 3)))


async def test_the_server_counts_as_one_process_does(
    server: Server, vault: Vault, patient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two programs in two languages for one rule: whatever happens, both say the same."""
    turned = "{redis.call('GET', 'seconds'), redis.call('GET', 'microseconds')}"
    text = shared_budgets.SCRIPT.text
    assert text.count("redis.call('TIME')") == 1
    monkeypatch.setattr(shared_budgets, "SCRIPT", Script.of(text.replace("redis.call('TIME')", turned)))
    async with open_valkey(server.address, vault) as valkey:

        @hypothesis_settings(max_examples=60)
        @example([("share", ANN, False), ("pass", 52.6), ("update", 68, 189, 41), ("owner", 129)])
        @given(st.lists(OWNER | GRANT | RUN | OWNERS | TOLD | HELD | BACK | PASSED, max_size=25))
        def agree(steps: list[tuple[object, ...]]) -> None:
            futures.append(steps)

        futures: list[list[tuple[object, ...]]] = []
        agree()
        for steps in futures:
            await _agree(valkey, steps)


async def _agree(valkey: Valkey, steps: list[tuple[object, ...]]) -> None:
    clock = Clock()
    alone, shared = Process(None, clock), Process(valkey, clock)
    await valkey.ask("DEL", valkey.names.key("budget", *KEY))
    assert isinstance(shared.budgets, SharedBudgets)
    shared.budgets._merged[KEY] = valkey.times_away  # pyright: ignore[reportPrivateUsage]  # the server is what is tried
    for step in steps:
        await _turn(valkey, clock)
        answers = [await _done(process, clock, *step) for process in (alone, shared)]
        assert answers[0] == answers[1], (step, steps)
        if step[0] == "pass":
            clock.now += step[1]  # pyright: ignore[reportOperatorIssue]


async def _turn(valkey: Valkey, clock: Clock) -> None:
    seconds, rest = divmod(clock.wall(), 1)
    await valkey.ask("SET", "seconds", int(seconds))
    await valkey.ask("SET", "microseconds", round(rest * 1_000_000))


async def _done(process: Process, clock: Clock, name: object, *arguments: object) -> object:
    budgets = process.budgets
    match name, arguments:
        case "take", (int(leaving),):
            return await budgets.take(KEY, leaving=leaving)
        case "share", (UUID() as grant, bool(closes)):
            return await process.ask(grant, closes=closes)
        case "run", (UUID() as grant, int(times)):
            return [await process.ask(grant) for _ in range(times)]
        case "owner", (int(times),):
            return await process.takes(times)
        case "hold", (int(seconds),):
            return budgets.hold(KEY, {"Retry-After": str(seconds)})
        case "give", (grant,):
            if isinstance(grant, UUID):
                process.shares.give_back(KEY, grant)
            else:
                budgets.give_back(KEY)
        case "update", (int(limit), int(remaining), reset_in):
            headers = {"X-RateLimit-Limit": str(limit), "X-RateLimit-Remaining": str(remaining)}
            if isinstance(reset_in, int):
                headers["X-RateLimit-Reset"] = str(int(clock.wall()) + reset_in)
            budgets.update(KEY, headers)
        case _:
            pass
    return None


def _calls(stats: object) -> int:
    text = str(stats)
    begin = text.index("cmdstat_evalsha")
    digits = text[begin:].partition("calls")[2].lstrip("=': ")
    return int("".join(part for part in digits[:8] if part.isdigit()))
