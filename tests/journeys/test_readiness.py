"""`/readyz` says no, and nothing else, whenever this process should get no requests; the log has the reason."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from corral.app import open_state
from corral.database import selfcheck
from corral.database.connection import Connection
from corral.database.migrate import apply_migrations
from corral.health import readiness as health
from corral.health.readiness import ReadinessMonitor, TakesNoWrites
from corral.serving import Services
from corral.settings import Settings
from corral.storage import DatabaseAddresses
from corral_sandbox import Sandbox
from tests.access import browser, sign_in_by_link
from tests.conftest import Service, listening
from tests.identity.members import add_member, make_administrator
from tests.journeys.clusters import ExternalPostgres, external_postgres
from tests.journeys.program import PATIENCE, corral
from tests.web.parsed_html import Parsed

NOT_READY = "This server isn't ready"

# What PostgreSQL itself says, in place of what it would say if the disk were full.
DISK_FULL = "DO $$ BEGIN RAISE 'could not write: No space left on device' USING ERRCODE = 'disk_full'; END $$"


@pytest.fixture(scope="module")
async def own_postgres() -> AsyncGenerator[ExternalPostgres]:
    async with external_postgres() as postgres:
        await apply_migrations(postgres.dsn("corral_owner"))
        yield postgres


@pytest.fixture
async def own_service(own_postgres: ExternalPostgres, sandbox: Sandbox, folder: Path) -> AsyncGenerator[Service]:
    await own_postgres.execute("TRUNCATE corral.instance")  # each has a keyring of its own
    settings = Settings.model_validate({"data_dir": folder} | asking(sandbox))
    addresses = DatabaseAddresses(own_postgres.dsn("corral_app"), own_postgres.dsn("corral_owner"))
    async with open_state(settings, addresses.app) as state:
        services = Services(settings, addresses, state)
        async with listening(services) as url:
            yield Service(services, url)


def asking(sandbox: Sandbox) -> dict[str, str]:
    return {
        "alpaca_paper_url": sandbox.paper_url,
        "alpaca_live_url": sandbox.live_url,
        "alpaca_data_url": sandbox.url,
    }


async def response_of(client: ClientSession) -> dict[str, Any]:
    """Returns the response without the request's id. HEAD gets the same."""
    async with client.get("/readyz") as answer, client.head("/readyz") as head:
        assert (head.status, await head.read()) == (answer.status, b"")
        assert head.headers.get("Retry-After") == answer.headers.get("Retry-After")
        body = await answer.json()
    body.pop("request_id", None)
    return {"status": answer.status, "retry_after": answer.headers.get("Retry-After"), "body": body}


async def people_page(service: Service, cookie: str) -> str:
    """What an administrator reads on it."""
    async with browser(service.url, cookie) as page, page.get("/people") as answer:
        return Parsed(await answer.text()).text()


def lines_in(log_file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log_file.read_bytes().splitlines()]


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await condition():  # noqa: ASYNC110 - it is the database's to say
            await asyncio.sleep(0.02)


Trouble = Callable[[Service, ExternalPostgres, pytest.MonkeyPatch], Awaitable[None]]


async def read_only(service: Service, postgres: ExternalPostgres, _: pytest.MonkeyPatch) -> None:
    await postgres.execute("ALTER SYSTEM SET default_transaction_read_only = on; SELECT pg_reload_conf()")

    async def is_read_only() -> bool:
        return await service.resources.database.fetchval("SHOW transaction_read_only") == "on"

    await until(is_read_only)


async def full(service: Service, _: ExternalPostgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selfcheck, "WRITE_PROBE", DISK_FULL)
    await service.services.state["readiness"].check()


async def newer(service: Service, postgres: ExternalPostgres, _: pytest.MonkeyPatch) -> None:
    await postgres.execute("INSERT INTO corral.migrations (name) VALUES ('0999_of_the_future')")
    await service.services.state["readiness"].check()


async def weakened(service: Service, postgres: ExternalPostgres, _: pytest.MonkeyPatch) -> None:
    await postgres.execute("ALTER TABLE corral.credentials NO FORCE ROW LEVEL SECURITY")
    await service.services.state["readiness"].check()


async def stopping(service: Service, _: ExternalPostgres, __: pytest.MonkeyPatch) -> None:
    service.services.state["readiness"].drain()
    await service.services.state["readiness"].check()


async def away(service: Service, postgres: ExternalPostgres, _: pytest.MonkeyPatch) -> None:
    await postgres.stop()
    del service


TROUBLES: dict[str, tuple[Trouble, str]] = {
    "read-only": (read_only, "the database does not accept writes"),
    "full": (full, "the database's disk is full (could not write: No space left on device)"),
    "newer": (newer, "newer release"),
    "weakened": (weakened, "relation credentials kind=r rls=t forced=f"),
    "stopping": (stopping, "stopping"),
    "away": (away, "cannot connect to the database"),
}


async def mended(postgres: ExternalPostgres) -> None:
    await postgres.start()
    await postgres.execute(
        "ALTER SYSTEM RESET default_transaction_read_only; SELECT pg_reload_conf();"
        "SET default_transaction_read_only = off;"
        "DELETE FROM corral.migrations WHERE name = '0999_of_the_future';"
        "ALTER TABLE corral.credentials FORCE ROW LEVEL SECURITY"
    )


@pytest.mark.parametrize("what", TROUBLES)
async def test_readyz_reports_unready_for_every_reason_and_the_log_says_why(
    what: str,
    own_service: Service,
    own_postgres: ExternalPostgres,
    log_file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begin, reason = TROUBLES[what]
    member = await add_member(own_service)
    await make_administrator(own_service, member.email)
    cookie = await sign_in_by_link(own_service, member.user_id)
    said = len(lines_in(log_file))
    async with ClientSession(own_service.url) as client:
        assert (await response_of(client))["status"] == 200
        await begin(own_service, own_postgres, monkeypatch)
        try:
            reported = await response_of(client)
            async with client.get("/healthz") as answer, client.head("/healthz") as head:
                assert answer.status == head.status == 200
            page = await people_page(own_service, cookie)
        finally:
            monkeypatch.undo()
            await mended(own_postgres)
        assert reported == {
            "status": 503,
            "retry_after": "30",
            "body": {
                "type": "urn:corral:problem:not_ready",
                "title": "Not ready",
                "status": 503,
                "code": "not_ready",
                "detail": "This server isn't ready for requests. Its log and `corral doctor` have the reason.",
            },
        }
        lines = [line for line in lines_in(log_file)[said:] if line["event"] == "not_ready"]
        assert [reason in line["reason"] for line in lines] == [True]
        assert what == "away" or (NOT_READY in page and lines[0]["reason"] in page)
        if what != "stopping":

            async def is_well() -> bool:
                await own_service.services.state["readiness"].check()
                return (await response_of(client))["status"] == 200

            await until(is_well)
            assert [line["event"] for line in lines_in(log_file)[said:]].count("ready_again") == 1
            assert NOT_READY not in await people_page(own_service, cookie)


async def test_an_exhausted_pool_makes_the_server_unready(own_service: Service) -> None:
    database = own_service.resources.database
    async with ClientSession(own_service.url) as client:
        async with asyncio.TaskGroup() as tasks:
            free = asyncio.Event()

            async def hold() -> None:
                async with database.connection():
                    await free.wait()

            for _ in range(10):
                tasks.create_task(hold())
            await asyncio.sleep(0)

            async def is_unready() -> bool:
                return not await own_service.services.state["readiness"].is_ready()

            await until(is_unready)
            assert (await response_of(client))["status"] == 503
            free.set()
        assert (await response_of(client))["status"] == 200


async def test_a_request_does_not_call_ready_what_a_check_has_found_unready_meanwhile(
    own_service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    readiness = own_service.services.state["readiness"]
    asks, found = asyncio.Event(), asyncio.Event()

    async def ask_slowly(_: ReadinessMonitor) -> None:
        asks.set()
        await found.wait()

    async def find_it_full(_: Connection) -> str:
        return "no space left"

    monkeypatch.setattr(ReadinessMonitor, "_refuse_read_only", ask_slowly)
    is_ready = asyncio.ensure_future(readiness.is_ready())
    await asks.wait()
    monkeypatch.setattr(health, "prove_writes", find_it_full)
    await readiness.check()
    found.set()
    assert not await is_ready
    assert readiness.reason == "no space left"


async def test_a_read_only_database_is_refused_by_serve_and_reported_by_doctor(
    own_service: Service,
    own_postgres: ExternalPostgres,
    against_sandbox: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    addresses = own_service.services.addresses
    settings = {
        **against_sandbox,
        "data_dir": own_service.services.settings.data_dir,
        "database_url": addresses.app,
        "database_owner_url": addresses.owner,
    }
    await read_only(own_service, own_postgres, monkeypatch)
    try:
        served, examined = await asyncio.gather(corral("serve", **settings), corral("doctor", **settings))
    finally:
        await mended(own_postgres)
    assert served.only_complaint.startswith("the database does not accept writes: it is a standby")
    assert (
        "✓ the database is reachable\n✗ the database accepts writes: the database does not accept writes"
        in examined.out
    )
    await full(own_service, own_postgres, monkeypatch)
    with pytest.raises(TakesNoWrites, match="disk is full"):
        async with open_state(own_service.services.settings, addresses.app):
            pass
