"""Who holds the lease of an account: one process at a time, whatever happens to it, to the server and to clocks."""

import asyncio
from collections.abc import AsyncGenerator
from itertools import product

import pytest

from corral.stream import lease as leases_module
from corral.stream.account_log import AccountLog, load
from corral.stream.events import GAP, LogPosition
from corral.stream.lease import LEASE_SECONDS, AccountKeys, Lease, Leases, Wanted
from corral.stream.news import Handover, Release
from corral.stream.sharing import Sharing
from corral.valkey.client import Valkey
from corral.vault import Vault
from tests.valkey.conftest import engine, opened, patient, server, until, valkey, vault
from tests.valkey.servers import Server

__all__ = ["engine", "patient", "server", "valkey", "vault"]  # fixtures

ACCOUNT = "paper/account"


@pytest.fixture
async def other(server: Server, vault: Vault, patient: None) -> AsyncGenerator[Valkey]:
    """As another process has it."""
    async with opened(server.address, vault) as other:
        assert other.is_here
        yield other


async def acquired(leases: Leases) -> Lease:
    """The lease, as soon as it is free."""
    async with asyncio.timeout(60):
        while (lease := await leases.acquire(ACCOUNT)) is None:  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.05)
    return lease


async def test_one_process_has_the_lease_of_an_account_at_a_time(valkey: Valkey, other: Valkey) -> None:
    first, second = Leases(valkey), Leases(other)
    lease = await acquired(first)
    assert lease.holds()
    assert await second.acquire(ACCOUNT) is None
    assert await first.acquire(ACCOUNT) is None
    assert await second.acquire("paper/another") is not None


async def test_a_lease_that_is_not_renewed_runs_out_for_its_holder_before_another_can_have_it(
    valkey: Valkey, other: Valkey
) -> None:
    lease = await acquired(Leases(valkey))
    following = await acquired(Leases(other))
    assert not lease.holds()
    assert following.number > lease.number


class Follower:
    def __init__(self, keys: AccountKeys, wanted: Wanted) -> None:
        self.keys = keys
        self.wanted = lambda: wanted

    def try_lease(self) -> None:
        raise AssertionError("it is held")


@pytest.mark.parametrize("wanted", [Wanted(*flags) for flags in product((False, True), repeat=3)], ids=str)
async def test_a_holder_hears_what_other_processes_want(valkey: Valkey, other: Valkey, wanted: Wanted) -> None:
    mine, sharing, heard = Leases(valkey), Sharing(other), list[Wanted]()
    lease = await acquired(mine)
    lease.on_interest = lambda: heard.append(lease.wanted_elsewhere)
    sharing.followers.add(Follower(lease.keys, wanted))
    looking = asyncio.ensure_future(sharing.look())
    async with asyncio.timeout(60):
        while lease.wanted_elsewhere != wanted:
            await mine.renew([lease])
            await asyncio.sleep(0.05)
    looking.cancel()
    await asyncio.gather(looking, return_exceptions=True)
    assert heard == [wanted] * any(wanted)


async def test_a_renewed_lease_goes_on(valkey: Valkey, other: Valkey) -> None:
    mine = Leases(valkey)
    lease = await acquired(mine)
    for _ in range(2 * int(LEASE_SECONDS)):
        await asyncio.sleep(0.8)
        await mine.renew([lease])
        assert lease.holds()
        assert await Leases(other).acquire(ACCOUNT) is None


async def test_nothing_is_written_under_a_lease_that_another_has_now(
    valkey: Valkey, other: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also by a holder whose clock stood still."""
    monkeypatch.setattr(leases_module, "now", lambda: 0.0)
    lease = await acquired(Leases(valkey))
    log = AccountLog(valkey, lease)
    assert await log.append([[Handover(None)]])
    following = await acquired(Leases(other))
    assert lease.holds()
    assert not await log.append([[GAP]])
    assert not await log.save([])
    await log.release([Release()])
    assert await Leases(other).acquire(ACCOUNT) is None
    theirs = AccountLog(other, following)
    assert await theirs.append([[Handover(log.position)], [GAP]])
    loaded = await load(valkey, ACCOUNT)
    assert [entry.news for entry in loaded.entries] == [[Handover(None)], [Handover(log.position)], [GAP]]
    assert loaded.last == theirs.position == LogPosition(following.number, 2)


async def test_a_holder_whose_lease_has_run_out_sends_nothing_to_the_server(valkey: Valkey) -> None:
    lease = await acquired(Leases(valkey))
    log = AccountLog(valkey, lease)
    assert await log.append([[Handover(None)]])
    lease.extend(0)
    lease._until = 0  # pyright: ignore[reportPrivateUsage]
    assert not await log.append([[GAP]])
    assert (await load(valkey, ACCOUNT)).last == log.position


async def test_numbers_grow_over_a_flush_and_when_the_servers_clock_goes_back(
    valkey: Valkey, other: Valkey, server: Server
) -> None:
    mine = Leases(valkey)
    before = await acquired(mine)
    server.ask("FLUSHALL")
    after = await acquired(Leases(other))
    assert after.number > before.number
    await mine.renew([before])
    assert before.is_lost
    ahead = after.number + 10**15  # as if the server's clock had been ahead by 30 years
    server.ask("SET", after.keys.number, str(ahead))
    server.ask("DEL", after.keys.lease)
    assert (await acquired(mine)).number == ahead + 1


async def test_a_released_lease_is_free_at_once(valkey: Valkey, other: Valkey) -> None:
    lease = await acquired(Leases(valkey))
    log = AccountLog(valkey, lease)
    await log.append([[Handover(None)]])
    await log.release([Release()])
    following = await Leases(other).acquire(ACCOUNT)
    assert following is not None
    assert following.number > lease.number


async def test_the_next_holder_knows_that_the_place_may_still_be_counted(valkey: Valkey, other: Valkey) -> None:
    mine = Leases(valkey)
    lease = await acquired(mine)
    assert not lease.had_place
    lease.has_socket = lambda: True
    await mine.renew([lease])
    assert (await acquired(Leases(other))).had_place


async def test_leases_are_renewed_by_themselves(valkey: Valkey, other: Valkey) -> None:
    mine = Leases(valkey)
    keeping = asyncio.ensure_future(mine.keep())
    try:
        held = [await mine.acquire(f"paper/{number}") for number in range(450)]
        await asyncio.sleep(LEASE_SECONDS + 1)
        assert all(lease is not None and lease.holds() for lease in held)
        assert await Leases(other).acquire("paper/449") is None
    finally:
        keeping.cancel()


async def test_a_frozen_server_ends_a_lease_for_its_holder(server: Server, vault: Vault) -> None:
    async with opened(server.address, vault) as valkey:
        await until(lambda: valkey.is_here, "it is here")
        mine = Leases(valkey)
        lease = await acquired(mine)
        keeping = asyncio.ensure_future(mine.keep())
        server.freeze()
        try:
            async with asyncio.timeout(60):
                await lease.wait_over()
            assert not lease.is_lost
            assert not lease.holds()
        finally:
            server.thaw()
            keeping.cancel()
