"""PostgreSQL restarts, or has no free connection: 503 for a short time, then the service recovers by itself."""

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Literal

import psutil
import pytest
from aiohttp import ClientSession

from tests.conftest import StartService
from tests.journeys.clusters import external_postgres
from tests.journeys.program import PATIENCE, corral, running
from tests.people import key_pair, make_person, paper_key

# The allowed responses meanwhile: success, or to try again.
FINE = {200, 201, 204, 503}


@asynccontextmanager
async def questions(url: str, token: str, seen: list[tuple[int, str | None]]) -> AsyncGenerator[ClientSession]:
    """Continuously requests readiness, the list and an account, and records each status."""
    async with ClientSession(url, headers={"Authorization": f"Bearer {token}"}) as client:
        body = {"nickname": "mine", **key_pair(paper_key())}
        async with client.post("/api/credentials", json=body) as answer:
            account = f"/api/credentials/{(await answer.json())['id']}/account-data"

        async def ask_on() -> None:
            while True:
                for path in ("/readyz", "/api/credentials", account):
                    async with client.get(path) as answer:
                        seen.append((answer.status, answer.headers.get("Retry-After")))
                await asyncio.sleep(0.01)

        asking = [asyncio.create_task(ask_on()) for _ in range(4)]
        try:
            yield client
        finally:
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
    assert {status for status, _ in seen} <= FINE, {status for status, _ in seen}
    assert all(retry_after for status, retry_after in seen if status == 503)


async def becomes_well(client: ClientSession) -> None:
    """Ten good answers in a row: every connection of the pool that had died has been replaced."""
    good = 0
    async with asyncio.timeout(PATIENCE):
        while good < 10:
            async with client.get("/api/credentials") as answer:
                good = good + 1 if answer.status == 200 else 0
            await asyncio.sleep(0.02)


async def first_refusal(client: ClientSession) -> tuple[str, str]:
    """`Retry-After` and the code of the first answer that is none: PostgreSQL's processes end one after the other."""
    async with asyncio.timeout(PATIENCE):
        while True:
            async with client.get("/api/credentials") as answer:
                if answer.status == 503:
                    return answer.headers["Retry-After"], (await answer.json())["code"]
                assert answer.status == 200


async def token_of(name: str, **settings: object) -> str:
    assert (await corral("users", "add", f"{name}@corral.example", **settings)).status == 0
    return (await corral("tokens", "create", f"{name}@corral.example", "--name", "outage", **settings)).out.strip()


def postmaster_of(data: Path) -> psutil.Process:
    return psutil.Process(int((data / "postgres" / "postmaster.pid").read_text().split()[0]))


def backends_of(data: Path) -> list[psutil.Process]:
    return [child for child in postmaster_of(data).children() if "corral_app" in " ".join(child.cmdline())]


async def test_the_service_recovers_from_a_killed_backend(data: Path, against_sandbox: dict[str, str]) -> None:
    """PostgreSQL ends every session then, and recovers as after a crash."""
    seen: list[tuple[int, str | None]] = []
    settings = {**against_sandbox, "data_dir": data, "cache_seconds": 1}
    async with running("serve", **settings) as server:
        url = await server.url()
        async with questions(url, await token_of("alice", **settings), seen) as client:
            for _ in range(2):
                backends_of(data)[0].kill()
                await asyncio.sleep(0.5)
                await becomes_well(client)
        assert "unexpected_exception" not in server.err
        assert await server.stop() == 0


@pytest.mark.parametrize("how", ["fast", "immediate"])
async def test_the_service_recovers_from_a_restarted_database(
    how: Literal["fast", "immediate"], folder: Path, against_sandbox: dict[str, str]
) -> None:
    seen: list[tuple[int, str | None]] = []
    async with external_postgres() as postgres:
        settings = {
            **against_sandbox,
            "cache_seconds": 1,  # an account has only so many questions a minute
            "data_dir": folder,
            "database_url": postgres.dsn("corral_app"),
            "database_owner_url": postgres.dsn("corral_owner"),
        }
        async with running("serve", **settings) as server:
            url = await server.url()
            async with questions(url, await token_of("alice", **settings), seen) as client:
                for _ in range(2):
                    await postgres.restart(how)
                    await becomes_well(client)
            assert await server.stop() == 0
            assert "unexpected_exception" not in server.err
    assert 503 in {status for status, _ in seen}


async def test_an_embedded_database_that_was_killed_is_started_by_the_next_command(
    data: Path, against_sandbox: dict[str, str]
) -> None:
    """And the running server, which returned 503 meanwhile, recovers without a restart."""
    settings = {**against_sandbox, "data_dir": data}
    async with running("serve", **settings) as server:
        token, url = await token_of("alice", **settings), await server.url()
        async with ClientSession(url, headers={"Authorization": f"Bearer {token}"}) as client:
            postmaster_of(data).kill()
            assert await first_refusal(client) == ("1", "database_unavailable")
            async with client.get("/healthz") as answer:
                assert answer.status == 200
            assert "alice" in (await corral("users", "list", **settings)).out
            await becomes_well(client)
        assert await server.stop() == 0
        assert "unexpected_exception" not in server.err
        assert re.search(r'"event": ?"database_unavailable".*"reason": ?"[^"]+ database [^"]+"', server.err)
    assert (await corral("users", "list", **settings)).status == 0


async def test_an_exhausted_pool_is_an_error_and_not_an_endless_wait(start_service: StartService) -> None:
    async with start_service() as service, make_person(service, "alice") as alice, AsyncExitStack() as held:
        for _ in range(10):
            connection = await held.enter_async_context(service.resources.database.connection())
            await connection.fetchval("SELECT 1")
        started = asyncio.get_running_loop().time()
        async with alice.client.get("/api/credentials") as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
            assert (await answer.json())["code"] == "overloaded"
        assert asyncio.get_running_loop().time() - started < 2.6
        async with alice.client.get("/healthz") as answer:
            assert answer.status == 200
        await held.aclose()
        async with alice.client.get("/api/credentials") as answer:
            assert answer.status == 200
