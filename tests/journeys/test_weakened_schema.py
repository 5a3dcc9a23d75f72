"""Weakened tenant isolation, by someone with the owner's rights, is refused at startup and noticed while serving."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import ClientSession

from corral.app import create_app, open_state
from corral.database.connection import open_owner_connection
from corral.database.embedded.instance import embedded_postgres
from corral.edge.server import reserve_port, serve_http
from corral.health.readiness import Weakened
from corral.serving import Services
from corral.settings import Settings
from corral.storage import DatabaseAddresses
from corral_sandbox import Sandbox
from tests.conftest import Service
from tests.journeys.program import corral, free_port

# Each as (how, how it is undone, what is reported).
WEAKENED = {
    "no longer forced": (
        "ALTER TABLE corral.credentials NO FORCE ROW LEVEL SECURITY",
        "ALTER TABLE corral.credentials FORCE ROW LEVEL SECURITY",
        "relation credentials kind=r rls=t forced=f",
    ),
    "switched off": (
        "ALTER TABLE corral.sessions DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE corral.sessions ENABLE ROW LEVEL SECURITY",
        "relation sessions kind=r rls=f",
    ),
    "a policy dropped": (
        "DROP POLICY own_rows ON corral.api_tokens",
        "CREATE POLICY own_rows ON corral.api_tokens TO corral_app USING (user_id = (SELECT corral.current_user_id()))",
        "missing: policy own_rows on api_tokens",
    ),
    "a policy for everything": (
        "CREATE POLICY wide ON corral.credentials TO corral_app USING (true)",
        "DROP POLICY wide ON corral.credentials",
        "unexpected: policy wide on credentials",
    ),
    "a copying trigger": (
        """
        CREATE TABLE public.loot (row text); GRANT INSERT ON public.loot TO corral_app;
        CREATE FUNCTION public.copy() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN INSERT INTO public.loot VALUES (NEW::text); RETURN NEW; END';
        CREATE TRIGGER copy BEFORE INSERT ON corral.credentials FOR EACH ROW EXECUTE FUNCTION public.copy()
        """,
        "DROP TRIGGER copy ON corral.credentials; DROP FUNCTION public.copy(); DROP TABLE public.loot",
        "unexpected: trigger copy on credentials",
    ),
    "a trigger that sees less": (
        """
        CREATE OR REPLACE TRIGGER access_changed AFTER INSERT OR UPDATE ON corral.sessions
        FOR EACH ROW EXECUTE FUNCTION corral.note_access_change('last_seen_at')
        """,
        """
        CREATE OR REPLACE TRIGGER access_changed AFTER INSERT OR UPDATE OR DELETE ON corral.sessions
        FOR EACH ROW EXECUTE FUNCTION corral.note_access_change('last_seen_at')
        """,
        "missing: trigger access_changed on sessions as=CREATE TRIGGER access_changed AFTER INSERT OR DELETE OR UPDATE",
    ),
    "a new way round": (
        """
        CREATE FUNCTION corral.all_keys() RETURNS SETOF corral.credentials LANGUAGE sql SECURITY DEFINER AS
        'SELECT * FROM corral.credentials'
        """,
        "DROP FUNCTION corral.all_keys()",
        "unexpected: function all_keys() definer=t",
    ),
    "a known function rewritten": (
        "ALTER FUNCTION corral.read_credentials(uuid[], uuid[]) SECURITY DEFINER",
        "ALTER FUNCTION corral.read_credentials(uuid[], uuid[]) SECURITY INVOKER",
        "unexpected: function read_credentials",
    ),
    "a cached scope": (
        "ALTER FUNCTION corral.current_user_id() IMMUTABLE",
        "ALTER FUNCTION corral.current_user_id() STABLE",
        "unexpected: function current_user_id",
    ),
    "one grant more": (
        "GRANT TRUNCATE ON corral.credentials TO corral_app",
        "REVOKE TRUNCATE ON corral.credentials FROM corral_app",
        "unexpected: grant TRUNCATE on credentials",
    ),
}


@pytest.fixture(scope="module")
async def addresses(first_data: Path, run_dir: Path) -> AsyncGenerator[DatabaseAddresses]:
    """A database of this module's own, since it is spoiled here."""
    copy = run_dir / "weakened"
    process = await asyncio.create_subprocess_exec("cp", "--archive", str(first_data), str(copy))
    assert await process.wait() == 0
    async with embedded_postgres(copy) as database:
        yield DatabaseAddresses(database.dsn("corral_app"), database.dsn("corral_owner"))


@pytest.fixture(scope="module")
async def own_service(addresses: DatabaseAddresses, sandbox: Sandbox, run_dir: Path) -> AsyncGenerator[Service]:
    settings = own_settings(sandbox, run_dir)
    async with open_state(settings, addresses.app) as state:
        services = Services(settings, addresses, state)
        async with listening(services) as url:
            yield Service(services, url)


@asynccontextmanager
async def listening(services: Services) -> AsyncGenerator[str]:
    stop, started = asyncio.Event(), asyncio.get_running_loop().create_future()
    app = create_app(services.settings, services.state)
    serving = asyncio.ensure_future(
        serve_http(app, listener=reserve_port("127.0.0.1", 0), ready=started.set_result, grace_seconds=5, stop=stop)
    )
    try:
        yield await started
    finally:
        stop.set()
        await serving


def own_settings(sandbox: Sandbox, run_dir: Path) -> Settings:
    return Settings.model_validate(
        {
            "data_dir": run_dir / "weakened",
            "alpaca_paper_url": sandbox.paper_url,
            "alpaca_live_url": sandbox.live_url,
            "alpaca_data_url": sandbox.url,
        }
    )


@pytest.mark.parametrize("how", WEAKENED)
async def test_a_weakened_schema_is_noticed_while_serving_and_refused_at_the_start(
    how: str, own_service: Service, addresses: DatabaseAddresses
) -> None:
    weaken, undo, reported = WEAKENED[how]
    services = own_service.services
    async with ClientSession(own_service.url) as client:
        await as_owner(addresses, weaken)
        try:
            await services.state["readiness"].check()
            assert reported in "; ".join(services.state["readiness"].weaknesses)
            async with client.get("/readyz") as answer:
                assert (answer.status, answer.headers["Retry-After"]) == (503, "30")
                assert reported not in await answer.text(), "nothing of the inside is told to strangers"
            async with client.get("/healthz") as answer:
                assert answer.status == 200
            with pytest.raises(Weakened, match="refusing to serve"):
                async with open_state(services.settings, addresses.app):
                    pass
        finally:
            await as_owner(addresses, undo)
        await services.state["readiness"].check()
        async with client.get("/readyz") as answer:
            assert answer.status == 200, services.state["readiness"].weaknesses


async def test_serve_and_doctor_report_what_is_wrong(addresses: DatabaseAddresses, run_dir: Path) -> None:
    settings = {"data_dir": run_dir / "weakened", "port": free_port()}
    weaken, undo, reported = WEAKENED["a policy dropped"]
    await as_owner(addresses, weaken)
    try:
        served, examined = await asyncio.gather(corral("serve", **settings), corral("doctor", **settings))
    finally:
        await as_owner(addresses, undo)
    assert reported in served.only_complaint
    assert examined.status == 1
    assert f"✗ every table forces row-level security, and nothing in the schema was changed: {reported}" in examined.out


async def as_owner(addresses: DatabaseAddresses, statements: str) -> None:
    assert addresses.owner is not None
    async with open_owner_connection(addresses.owner) as connection:
        await connection.execute(statements)
