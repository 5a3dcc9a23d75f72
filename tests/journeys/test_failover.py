"""The primary PostgreSQL fails, and its standby is promoted: Corral finds it by the second address by itself."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID

import asyncpg
import psutil
import pytest
from aiohttp import ClientSession

from corral.database.connection import READ_ONLY, Database
from corral.database.migrate import apply_migrations
from corral.errors import DatabaseUnavailable, Overloaded
from corral.identity.access_watch import AccessHorizon
from corral_sandbox import Sandbox
from tests.journeys.clusters import ExternalPostgres, external_postgres
from tests.journeys.program import PATIENCE, corral, free_port, running
from tests.people import key_pair
from tests.stream.sse_client import SseClient, listening_to
from tests.stream.trading import Trader, filled, filled_by_order, trader, trading_key
from tests.valkey.servers import Server


@asynccontextmanager
async def standby_of(primary: ExternalPostgres) -> AsyncGenerator[ExternalPostgres]:
    folder = Path(tempfile.mkdtemp(prefix="corral-standby-"))
    primary.user.take(folder)
    standby = ExternalPostgres(folder, primary.programs, primary.user)
    data = folder / "data"
    try:
        copied = await asyncio.to_thread(
            primary.user.run,
            primary.programs / "pg_basebackup",
            *("-D", data, "-h", primary.socket_dir, "-U", "postgres", "--write-recovery-conf", "--checkpoint=fast"),
        )
        assert copied.returncode == 0, copied.stderr
        conf = (data / "postgresql.auto.conf").read_text()
        primary.user.write(data / "postgresql.auto.conf", f"{conf}unix_socket_directories = '{folder}'\n")
        await standby.start()
        try:
            yield standby
        finally:
            await standby.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def address(role: str, *servers: ExternalPostgres) -> str:
    """Of both, in this order, as on the page: only that the servers are sockets here."""
    hosts = ",".join(str(server.socket_dir) for server in servers)
    ports = ",".join("5432" for _ in servers)
    return f"postgresql://{role}@/corral?host={quote(hosts, safe=',')}&port={ports}&target_session_attrs=read-write"


async def crash(primary: ExternalPostgres) -> None:
    await primary.stop()


async def freeze(primary: ExternalPostgres) -> None:
    """As when its machine is gone: connections are neither answered nor refused."""
    postmaster = psutil.Process(int((primary.socket_dir / "data" / "postmaster.pid").read_text().split()[0]))
    for process in [*postmaster.children(), postmaster]:
        process.suspend()


def thaw(primary: ExternalPostgres) -> None:
    """So that it can be stopped."""
    pid_file = primary.socket_dir / "data" / "postmaster.pid"
    if pid_file.exists():
        postmaster = psutil.Process(int(pid_file.read_text().split()[0]))
        for process in [postmaster, *postmaster.children()]:
            process.resume()


@pytest.mark.parametrize("fail", [crash, freeze])
async def test_the_service_goes_over_to_the_promoted_standby_by_itself(
    fail: Callable[[ExternalPostgres], Awaitable[None]], folder: Path, against_sandbox: dict[str, str]
) -> None:
    async with external_postgres() as primary, standby_of(primary) as standby:
        settings: dict[str, Any] = {
            **against_sandbox,
            "data_dir": folder,
            "database_url": address("corral_app", primary, standby),
            "database_owner_url": address("corral_owner", standby, primary),  # the first one is passed over
        }
        async with running("serve", **settings) as server:
            url = await server.url()
            assert (await corral("users", "add", "alice@corral.example", **settings)).status == 0
            made = await corral("tokens", "create", "alice@corral.example", "--name", "failover", **settings)
            async with ClientSession(url, headers={"Authorization": f"Bearer {made.out.strip()}"}) as client:
                assert await status_of(client, "/api/me") == 200
                await caught_up(primary, standby)
                await fail(primary)
                assert await status_of(client, "/readyz") == 503
                assert await status_of(client, "/healthz") == 200
                await promote(standby)
                assert set(await statuses_until_well(client)) <= {200, 503}
            assert await server.stop() == 0
            assert "unexpected_exception" not in server.err
        thaw(primary)


async def test_the_first_answer_about_access_after_a_fail_over_is_about_everybody() -> None:
    """One that was behind reuses the numbers of transactions that were seen. While it follows, it says nothing."""
    async with external_postgres() as primary, standby_of(primary) as standby:
        await apply_migrations(primary.dsn("corral_owner"))
        await caught_up(primary, standby)
        async with Database.open(standby.dsn("corral_app")) as behind:
            with pytest.raises(DatabaseUnavailable, match="unavailable") as refused:
                await AccessHorizon(behind).look()
            assert refused.value.reason == READ_ONLY
        async with Database.open(address("corral_app", primary, standby)) as database:
            horizon = AccessHorizon(database)
            while await changed_since(horizon) != frozenset():
                pass
            await crash(primary)
            assert await changed_since(horizon) == "no answer"
            await promote(standby)
            async with asyncio.timeout(PATIENCE):
                while (first := await changed_since(horizon)) == "no answer":
                    pass
            assert first is None


async def test_streams_go_on_without_a_gap_at_every_process_after_a_fail_over(
    folder: Path, against_sandbox: dict[str, str], sandbox: Sandbox
) -> None:
    """While nobody's rights are known, streams end. What happened then is told afterwards."""
    async with AsyncExitStack() as stack:
        primary = await stack.enter_async_context(external_postgres())
        standby = await stack.enter_async_context(standby_of(primary))
        settings: dict[str, Any] = {
            **against_sandbox,
            "data_dir": folder,
            "database_url": address("corral_app", primary, standby),
            "database_owner_url": address("corral_owner", primary, standby),
            "valkey_url": stack.enter_context(Server("valkey", folder / "valkey")).url,
        }
        urls: list[str] = []
        for _ in range(2):
            started = running("serve", **settings | {"port": free_port()})
            urls.append(await (await stack.enter_async_context(started)).url())
        assert (await corral("users", "add", "alice@corral.example", **settings)).status == 0
        made = await corral("tokens", "create", "alice@corral.example", "--name", "failover", **settings)
        headers = {"Authorization": f"Bearer {made.out.strip()}"}
        clients = [await stack.enter_async_context(ClientSession(url, headers=headers)) for url in urls]
        key_id = await trading_key(sandbox)
        her = await stack.enter_async_context(trader(sandbox, key_id))
        stored = {"nickname": "mine", **key_pair(key_id)}
        async with clients[0].post("/api/credentials", json=stored) as answer:
            assert answer.status == 201, await answer.text()
            credential_id = (await answer.json())["id"]
        before = [await stack.enter_async_context(listening_to(client)) for client in clients]
        for sse in before:
            await sse.until("position")
        await her.order(qty="0.001")
        for sse in before:
            await until_all_told(sse, credential_id, her)
        await caught_up(primary, standby)
        await crash(primary)
        for sse in before:
            await sse.until_end()
        await her.order(qty="0.002")
        await promote(standby)
        await statuses_until_well(clients[0])
        await statuses_until_well(clients[1])
        await her.order(qty="0.003")
        for sse, client in zip(before, reversed(clients), strict=True):  # each at the other process
            again = await stack.enter_async_context(listening_to(client, last_event_id=sse.last_id))
            again.heard[:0] = sse.heard
            await until_all_told(again, credential_id, her)
            assert not again.of("gap")


async def until_all_told(sse: SseClient, credential_id: str, who: Trader) -> None:
    truth = filled(await who.orders())
    await sse.wait_for(lambda: filled_by_order(sse, credential_id) == truth, patience=PATIENCE)


async def changed_since(horizon: AccessHorizon) -> frozenset[UUID] | str | None:
    try:
        return (await horizon.look()).users
    except (DatabaseUnavailable, Overloaded):
        return "no answer"


async def statuses_until_well(client: ClientSession) -> list[int]:
    statuses: list[int] = []
    async with asyncio.timeout(PATIENCE):
        while statuses[-10:] != [200] * 10:
            statuses.append(await status_of(client, "/api/me"))
            statuses.append(await status_of(client, "/readyz"))
    return statuses


async def status_of(client: ClientSession, path: str) -> int:
    async with client.get(path) as answer:
        await answer.read()
        return answer.status


async def caught_up(primary: ExternalPostgres, standby: ExternalPostgres) -> None:
    upstream = await asyncpg.connect(primary.dsn("postgres"))
    downstream = await asyncpg.connect(standby.dsn("postgres"))
    try:
        written = await upstream.fetchval("SELECT pg_current_wal_flush_lsn()::text")
        async with asyncio.timeout(PATIENCE):
            while not await downstream.fetchval("SELECT pg_last_wal_replay_lsn() >= $1::text::pg_lsn", written):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    finally:
        await upstream.close()
        await downstream.close()


async def promote(standby: ExternalPostgres) -> None:
    data = standby.socket_dir / "data"
    done = await asyncio.to_thread(standby.user.run, standby.programs / "pg_ctl", "promote", "-D", data, "--wait")
    assert done.returncode == 0, done.stderr
