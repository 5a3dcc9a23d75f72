"""The connection to real servers: each caller gets its own answer, and no caller waits for a server that is away."""

import asyncio
import math
import random
import select
from pathlib import Path

import pytest
import redis

from corral.valkey import client, connection
from corral.valkey.client import Valkey, open_valkey
from corral.valkey.errors import ValkeyAway
from corral.valkey.script import Script
from corral.vault import Vault
from tests.log_lines import LogSince
from tests.valkey.conftest import opened, until
from tests.valkey.servers import PATIENCE, Engine, Sentinel, Server

ECHO = Script.of("return ARGV[1]")
WRITE = Script.of("redis.call('SET', KEYS[1], ARGV[1], 'PX', 60000) return redis.call('GET', KEYS[1])")
BUSY = Script.of("local sum = 0 for n = 1, 50000 do sum = sum + n end return ARGV[1]")  # some milliseconds


async def test_each_of_many_callers_gets_its_own_answer(valkey: Valkey, server: Server) -> None:
    answers = await asyncio.gather(*(valkey.run(ECHO, [], str(number)) for number in range(500)))
    assert answers == [str(number).encode() for number in range(500)]
    assert server.connections() == 1


async def test_whoever_gives_up_costs_no_connection_and_gets_nobody_elses_answer(
    valkey: Valkey, server: Server
) -> None:
    """As redis-py did in 2023: a cancelled command left its answer to the next one, and all were off by one."""
    rounds, cancelled = 30, 0
    for number in range(rounds):
        busy = asyncio.create_task(valkey.run(BUSY, [], f"busy-{number}"))
        asked = [asyncio.create_task(valkey.run(ECHO, [], f"{number}-{each}")) for each in range(20)]
        for _ in range(random.randint(0, 9)):  # passes of the event loop: before it is sent, after it, answered
            await asyncio.sleep(0)
        given_up = [task for task in (busy, *asked[::2]) if task.cancel()]
        cancelled += len(given_up)
        answers = await asyncio.gather(*asked[1::2])
        assert answers == [f"{number}-{each}".encode() for each in range(1, 20, 2)]
    assert cancelled > rounds
    assert await valkey.run(ECHO, [], "after") == b"after"
    assert (server.connections(), valkey.times_away) == (1, 0)


async def test_an_answer_that_is_late_goes_to_nobody(server: Server, vault: Vault) -> None:
    async with opened(server.address, vault) as valkey:
        server.freeze()
        with pytest.raises(ValkeyAway, match="did not answer within 100 ms"):
            await asyncio.wait_for(valkey.run(ECHO, [], "late"), 10)
        with pytest.raises(ValkeyAway):
            await valkey.run(ECHO, [], "meanwhile")
        server.thaw()
        await until(lambda: valkey.is_here, "back")
        assert await valkey.run(ECHO, [], "next") == b"next"


async def test_a_frozen_server_keeps_one_caller_for_the_limit_and_nobody_after_it(server: Server, vault: Vault) -> None:
    async with opened(server.address, vault) as valkey:
        loop = asyncio.get_running_loop()
        server.freeze()
        began = loop.time()
        with pytest.raises(ValkeyAway):
            await asyncio.wait_for(valkey.run(ECHO, [], "1"), 10)
        assert loop.time() - began > 0.09
        passes = 0

        def count() -> None:
            nonlocal passes
            passes += 1

        loop.call_soon(count)
        for _ in range(1000):
            with pytest.raises(ValkeyAway):
                await valkey.run(ECHO, [], "2")
        assert not passes, "nobody waited even for one pass of the event loop"
        server.thaw()
        await until(lambda: valkey.is_here, "back")


async def test_scripts_that_the_server_has_forgotten_are_sent_again(valkey: Valkey, server: Server) -> None:
    key = valkey.names.key("test")
    assert await valkey.run(WRITE, [key], "1") == b"1"
    server.ask("SCRIPT", "FLUSH")
    assert await valkey.run(WRITE, [key], "2") == b"2"
    server.ask("SCRIPT", "FLUSH")
    valkey.tell(WRITE, [key], "3")
    assert await valkey.run(ECHO, [], "after") == b"after"
    assert await valkey.ask("GET", key) == b"3"


async def test_a_command_that_fails_says_nothing_about_the_server(valkey: Valkey) -> None:
    key = valkey.names.key("test")
    with pytest.raises(ValkeyAway, match="refused a command"):
        await valkey.run(Script.of("return redis.call('HGETALL', KEYS[1]) + 1"), [key])
    await valkey.ask("SET", key, "text", "PX", 10_000)
    with pytest.raises(ValkeyAway, match="WRONGTYPE"):
        await valkey.ask("HGETALL", key)
    assert valkey.is_here


async def test_a_full_server_is_away_until_it_takes_writes(server: Server, vault: Vault, patient: None) -> None:
    async with opened(server.address, vault) as valkey:
        server.ask("CONFIG", "SET", "maxmemory", "1")
        with pytest.raises(ValkeyAway, match="full"):
            await valkey.run(WRITE, [valkey.names.key("test")], "1")
        assert not valkey.is_here
        await asyncio.sleep(0.5)
        assert valkey.problem is not None
        assert "full" in valkey.problem
        server.ask("CONFIG", "SET", "maxmemory", "0")
        await until(lambda: valkey.is_here, "back")


async def test_a_server_that_became_a_replica_is_away(server: Server, vault: Vault, patient: None) -> None:
    async with opened(server.address, vault) as valkey:
        server.ask("REPLICAOF", "127.0.0.1", "1")
        with pytest.raises(ValkeyAway, match="replica"):
            await valkey.run(WRITE, [valkey.names.key("test")], "1")
        server.ask("CONFIG", "SET", "replica-serve-stale-data", "no")
        await until(lambda: "lost its primary" in (valkey.problem or ""), "MASTERDOWN")
        server.ask("REPLICAOF", "NO", "ONE")
        await until(lambda: valkey.is_here, "back")


async def test_a_server_that_loads_its_data_is_away(engine: Engine, tmp_path: Path, vault: Vault) -> None:
    with Server(
        engine, tmp_path / "server", key_load_delay="2000", loading_process_events_interval_bytes="1024"
    ) as server:
        server.ask("EVAL", "for n = 1, 2000 do redis.call('SET', 'key' .. n, n) end", "0")
        server.ask("SAVE")
        server.kill()
        server.start(waits=False)
        async with opened(server.address, vault) as valkey:
            await until(lambda: "loading" in (valkey.problem or ""), "LOADING")
            server.ask("CONFIG", "SET", "key-load-delay", "0")
            await until(lambda: valkey.is_here, "back")


async def test_killed_and_started_again_it_comes_back_by_itself_and_is_told_once_each(
    server: Server, vault: Vault, log_file: Path, patient: None
) -> None:
    log = LogSince(log_file)
    async with opened(server.address, vault) as valkey:
        server.kill()
        await until(lambda: not valkey.is_here, "noticed without a request")
        with pytest.raises(ValkeyAway):
            await valkey.run(ECHO, [], "1")
        await asyncio.sleep(1)
        server.start()
        await until(lambda: valkey.is_here, "back")
        assert await valkey.run(ECHO, [], "2") == b"2"
    events = [line["event"] for line in log.lines() if line["event"].startswith("valkey_")]
    assert events == ["valkey_away", "valkey_back"]


async def test_one_that_is_not_there_at_the_start_is_waited_for(server: Server, vault: Vault, patient: None) -> None:
    server.kill()
    async with opened(server.address, vault) as valkey:
        assert not valkey.is_here
        assert "connection refused" in (valkey.problem or "")
        server.start()
        await until(lambda: valkey.is_here, "there")


async def test_a_process_that_is_busy_does_not_call_the_server_late(server: Server, vault: Vault) -> None:
    """The answer has arrived long ago, and nobody had the time to read it."""
    async with open_valkey(server.address, vault) as valkey:
        pipeline = valkey._pipeline  # pyright: ignore[reportPrivateUsage]
        assert pipeline is not None
        answer = asyncio.create_task(valkey.run(ECHO, [], "there"))
        while not pipeline._waiting or pipeline._outgoing:  # noqa: ASYNC110  # pyright: ignore[reportPrivateUsage]
            await asyncio.sleep(0)
        writer = pipeline._connection._writer  # pyright: ignore[reportPrivateUsage]
        assert writer is not None
        select.select([writer.get_extra_info("socket")], [], [], PATIENCE)  # blocks the loop until it is there
        pipeline._waiting[0].sent_at = -math.inf  # pyright: ignore[reportPrivateUsage]
        pipeline._look()  # pyright: ignore[reportPrivateUsage]
        assert await answer == b"there"
        assert valkey.is_here


async def test_what_waits_is_bounded(
    server: Server, vault: Vault, patient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "MOST_WAITING", 100)
    async with open_valkey(server.address, vault) as valkey:
        server.freeze()
        asked = [asyncio.ensure_future(valkey.run(ECHO, [], "1")) for _ in range(101)]
        with pytest.raises(ValkeyAway, match="too many"):
            await asked[-1]
        server.thaw()
        assert set(await asyncio.gather(*asked[:-1])) == {b"1"}


async def test_the_time_is_the_servers(valkey: Valkey, server: Server) -> None:
    seconds, microseconds = await valkey.run(Script.of("return redis.call('TIME')"), [])
    now_ms = int(seconds) * 1000 + int(microseconds) // 1000
    assert -5_000 <= valkey.server_ms() - now_ms < 60_000


@pytest.mark.parametrize("happens", ["its primary is killed", "its primary is replaced"])
async def test_a_fail_over_behind_sentinels_is_followed(
    engine: Engine, tmp_path: Path, vault: Vault, patient: None, happens: str
) -> None:
    with (
        Server(engine, tmp_path / "one") as primary,
        Server(engine, tmp_path / "two", replicaof=f"127.0.0.1 {primary.port}") as replica,
        Sentinel(engine, tmp_path / "sentinel", primary) as sentinel,
    ):
        await until(sentinel.knows_replica, "the Sentinel knows the replica")
        async with opened(sentinel.address, vault) as valkey:
            key = valkey.names.key("test")
            assert await valkey.run(WRITE, [key], "1") == b"1"
            if happens == "its primary is killed":
                primary.kill()
            else:
                await until(lambda: _is_replaced(sentinel), "the Sentinel finds the replica fit")
            await until(lambda: replica.role() == b"master", "promoted")
            await until(lambda: _wrote_to(valkey) == replica.port, "followed")
            assert await valkey.run(WRITE, [key], "2") == b"2"
            assert replica.ask("GET", key) == b"2"


async def test_a_cut_off_primary_is_left(engine: Engine, tmp_path: Path, vault: Vault, patient: None) -> None:
    """It still answers Corral and takes writes, which nobody will see, while the Sentinels have promoted another."""
    with (
        Server(engine, tmp_path / "one") as primary,
        Server(engine, tmp_path / "two") as promoted,
        Sentinel(engine, tmp_path / "sentinel", primary) as sentinel,
    ):
        async with opened(sentinel.address, vault) as valkey:
            assert _wrote_to(valkey) == primary.port
            sentinel.ask("SENTINEL", "REMOVE", "corral")
            sentinel.ask("SENTINEL", "MONITOR", "corral", "127.0.0.1", str(promoted.port), "1")
            await until(lambda: _wrote_to(valkey) == promoted.port, "followed")


def _is_replaced(sentinel: Server) -> bool:
    try:
        return sentinel.ask("SENTINEL", "FAILOVER", "corral") in {b"OK", True}
    except redis.ResponseError as error:
        return "INPROG" in str(error)


def _wrote_to(valkey: Valkey) -> int | None:
    pipeline = valkey._pipeline  # pyright: ignore[reportPrivateUsage]
    return None if pipeline is None else pipeline.place.port


def test_the_limit_is_small() -> None:
    assert client.LIMIT_SECONDS <= 0.1
