"""Two releases on one database: the next one is started while this one serves."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientError, ClientSession

from corral.database.migrate import apply_migrations
from tests.journeys.clusters import ExternalPostgres, external_postgres
from tests.journeys.program import PATIENCE, Running, corral, free_port
from tests.journeys.releases import THIS_RELEASE, Release, next_release
from tests.people import key_pair, paper_key

COMPATIBLE = """-- compatible: notes of accounts
ALTER TABLE corral.credentials ADD COLUMN note text, ADD COLUMN is_noted boolean NOT NULL DEFAULT false;
GRANT UPDATE (note) ON corral.credentials TO corral_app;
CREATE TABLE corral.notes (
    user_id uuid NOT NULL REFERENCES corral.users (id) ON DELETE CASCADE, id uuid NOT NULL, text text NOT NULL,
    PRIMARY KEY (user_id, id)
);
ALTER TABLE corral.notes ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own_rows ON corral.notes TO corral_app USING (user_id = (SELECT corral.current_user_id()));
CREATE POLICY owner ON corral.notes TO CURRENT_USER USING (true);
GRANT SELECT, INSERT, DELETE ON corral.notes TO corral_app;
CREATE FUNCTION corral.has_notes() RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER SET search_path = ''
AS $$ SELECT EXISTS (SELECT FROM corral.notes) $$;
REVOKE ALL ON FUNCTION corral.has_notes() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION corral.has_notes() TO corral_app;
"""
INCOMPATIBLE = """-- The view of the home page has no shortcuts any more
ALTER TABLE corral.home_views DROP COLUMN has_shortcuts;
"""


@pytest.fixture
async def database() -> AsyncGenerator[ExternalPostgres]:
    """With the migrations of this release."""
    async with external_postgres() as postgres:
        await apply_migrations(postgres.dsn("corral_owner"))
        yield postgres


@pytest.fixture
def shared(database: ExternalPostgres, against_sandbox: dict[str, str], folder: Path) -> dict[str, str]:
    """The settings that all processes have."""
    addresses = {"database_url": database.dsn("corral_app"), "database_owner_url": database.dsn("corral_owner")}
    # With the answers of Alpaca kept, the load does not meet Alpaca's limit.
    return against_sandbox | addresses | {"keyring": f"file:{folder / 'keyring.json'}", "cache_seconds": "60"}


@pytest.fixture
def replica(shared: dict[str, str], folder: Path) -> Any:  # noqa: ANN401 - a function
    """Starts one of this or another release: `async with replica(release) as running`."""

    @asynccontextmanager
    async def started(release: Release = THIS_RELEASE) -> AsyncGenerator[Running]:
        port = free_port()
        own = {"data_dir": folder / f"data-{port}", "port": port}
        async with release.running("serve", **shared | own) as one:
            await one.url()
            yield one

    return started


async def readiness_of(one: Running) -> int:
    async with ClientSession(await one.url()) as client, client.get("/readyz") as answer:
        return answer.status


async def until_ready_is(status: int, one: Running) -> None:
    async with asyncio.timeout(PATIENCE):
        while await readiness_of(one) != status:  # noqa: ASYNC110 - another process's to say
            await asyncio.sleep(0.05)


def problems_in(one: Running) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in one.err.splitlines()]
    return [line for line in lines if line["level"] != "info"]


class Load:
    """Somebody who uses replicas all the time, reading and changing. `failures` should stay empty."""

    def __init__(self, token: str, credential_id: str) -> None:
        self._headers = {"Authorization": f"Bearer {token}"}
        self._account = f"/api/credentials/{credential_id}"
        self.failures: list[str] = []
        self.answers = 0

    @asynccontextmanager
    async def on(self, one: Running) -> AsyncGenerator[None]:
        async with ClientSession(await one.url(), headers=self._headers) as client:
            task = asyncio.ensure_future(self._ask_on(client))
            try:
                yield
            finally:
                task.cancel()
                await asyncio.wait([task])

    async def _ask_on(self, client: ClientSession) -> None:
        for number in range(1_000_000):
            for method, path, body in (
                ("GET", "/api/me", None),
                ("GET", f"{self._account}/account-data", None),
                ("PATCH", self._account, {"nickname": f"name {number}"}),
                ("GET", "/api/credentials", None),
            ):
                try:
                    async with client.request(method, path, json=body) as answer:
                        text = await answer.text()
                        if answer.status != 200:
                            self.failures.append(f"{method} {path}: {answer.status} {text}")
                except ClientError as error:
                    self.failures.append(f"{method} {path}: {error!r}")
                self.answers += 1
                await asyncio.sleep(0.02)  # the machine has other things to do

    async def goes_on(self, answers: int) -> None:
        """Returns after so many more answers."""
        enough = self.answers + answers
        async with asyncio.timeout(PATIENCE):
            while self.answers < enough and not self.failures:  # noqa: ASYNC110 - a plain number
                await asyncio.sleep(0.02)
        assert not self.failures


async def add_alice(shared: dict[str, str], folder: Path, url: str) -> Load:
    settings = shared | {"data_dir": str(folder / "commands")}
    assert (await corral("users", "add", "alice@corral.example", **settings)).status == 0
    token = await corral("tokens", "create", "alice@corral.example", "--name", "load", **settings)
    assert token.status == 0, token
    headers = {"Authorization": f"Bearer {token.out.strip()}"}
    body = {"nickname": "mine", **key_pair(paper_key())}
    async with ClientSession(url, headers=headers) as client, client.post("/api/credentials", json=body) as answer:
        assert answer.status == 201, await answer.text()
        return Load(token.out.strip(), (await answer.json())["id"])


async def test_a_compatible_migration_runs_under_load_and_the_release_before_goes_on(
    replica: Any,  # noqa: ANN401 - a function
    shared: dict[str, str],
    database: ExternalPostgres,
    folder: Path,
) -> None:
    """Then a process of the release before is killed, and its supervisor starts it again."""
    new_release = await next_release(folder, database, COMPATIBLE)
    settings = shared | {"data_dir": str(folder / "commands")}
    async with replica() as one, replica() as two, AsyncExitStack() as later:
        load = await add_alice(shared, folder, await one.url())
        await later.enter_async_context(load.on(one))
        async with load.on(two):
            await load.goes_on(40)
            newer = await later.enter_async_context(replica(new_release))
            await asyncio.gather(*(each.logs('"newer_release_compatible"') for each in (one, two)))
            await later.enter_async_context(load.on(newer))
            await load.goes_on(100)
            assert [await readiness_of(each) for each in (one, two, newer)] == [200, 200, 200]
        two.process.kill()
        await two.ends()
        again = await later.enter_async_context(replica())
        await later.enter_async_context(load.on(again))
        await load.goes_on(100)
        assert [await readiness_of(each) for each in (one, newer, again)] == [200, 200, 200]
        listed, examined = await asyncio.gather(corral("users", "list", **settings), corral("doctor", **settings))
        assert "alice@corral.example" in listed.out
        assert examined.status == 0, examined
        await load.goes_on(20)
        assert [problem for each in (one, two, newer, again) for problem in problems_in(each)] == []
        await later.aclose()
        assert load.failures == []
        assert await one.stop() == 0


async def test_an_incompatible_migration_waits_until_the_release_before_is_stopped(
    replica: Any,  # noqa: ANN401 - a function
    shared: dict[str, str],
    database: ExternalPostgres,
    folder: Path,
) -> None:
    new_release = await next_release(folder, database, INCOMPATIBLE)
    settings = shared | {"data_dir": str(folder / "commands")}
    async with replica() as one:
        load = await add_alice(shared, folder, await one.url())
        async with load.on(one):
            served = await new_release.corral("serve", **settings | {"port": str(free_port())})
            examined = await new_release.corral("doctor", **settings)
            await load.goes_on(20)
        assert await readiness_of(one) == 200
        assert await one.stop() == 0
    complaint = served.err.splitlines()[-1]
    assert served.status == examined.status == 1
    assert complaint.startswith(
        "corral: the migration 0999_next cannot be applied while an earlier release runs, and "
    ), served.err
    assert "of corral_app (" in complaint
    assert "open: stop every `corral serve` and corral command on this database" in complaint
    assert "✗ the database schema matches this release: the migration 0999_next cannot be applied" in examined.out
    async with replica(new_release) as newer:
        assert await readiness_of(newer) == 200
        refused = await corral("serve", **settings | {"port": str(free_port())})
        assert "migrated by a newer release of Corral" in refused.only_complaint
        assert "0999_next" in refused.only_complaint


async def test_a_running_process_is_not_ready_after_an_incompatible_migration_and_the_log_says_why(
    replica: Any,  # noqa: ANN401 - a function
    database: ExternalPostgres,
) -> None:
    """One suffices, beside those that are compatible."""
    async with replica() as one:
        await until_ready_is(200, one)
        listed = "INSERT INTO corral.migrations (name, is_compatible) VALUES ('{}', {})"
        await database.execute(listed.format("0997_added", "true"))
        await one.logs('"newer_release_compatible"')
        assert await readiness_of(one) == 200
        await database.execute(listed.format("0998_changed", "false"))
        await until_ready_is(503, one)
        await database.execute(listed.format("0999_added", "true"))
        reasons = [problem["reason"] for problem in problems_in(one) if problem["event"] == "not_ready"]
        assert len(reasons) == 1
        assert "which lacks its migration 0998_changed: install that release" in reasons[0]
        assert await readiness_of(one) == 503
        await database.execute("DELETE FROM corral.migrations WHERE name = '0998_changed'")
        await until_ready_is(200, one)
