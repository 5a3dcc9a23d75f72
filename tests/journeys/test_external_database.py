"""Corral on an external PostgreSQL, of every supported version."""

import asyncio
from pathlib import Path

import pytest

from corral.database.connection import Database
from corral.database.migrate import apply_migrations
from corral.database.selfcheck import attempt_crossing, find_role_weaknesses, find_weaknesses
from tests.journeys.clusters import ExternalPostgres, external_postgres
from tests.journeys.footprint import files_in, rows_of
from tests.journeys.program import Ended, browser, corral, free_port, running
from tests.machine import POSTGRESQL_15


@pytest.mark.parametrize("version", [pytest.param(15, marks=POSTGRESQL_15.mark), 16, 18])
async def test_the_deployment_guide_s_three_lines_make_a_database_without_weaknesses(version: int) -> None:
    async with external_postgres(version) as postgres:
        await apply_migrations(postgres.dsn("corral_owner"))
        async with Database.open(postgres.dsn("corral_app")) as database, database.connection() as connection:
            assert await find_weaknesses(connection) == []
            assert await attempt_crossing(connection) == []


@pytest.mark.parametrize(
    ("grant", "withdraw", "reported"),
    [
        ("ALTER ROLE corral_app CREATEROLE", "ALTER ROLE corral_app NOCREATEROLE", "may bypass"),
        ("ALTER ROLE corral_app REPLICATION", "ALTER ROLE corral_app NOREPLICATION", "may bypass"),
        ("GRANT corral_owner TO corral_app", "REVOKE corral_owner FROM corral_app", "member of corral_owner"),
        ("GRANT pg_read_all_data TO corral_app", "REVOKE pg_read_all_data FROM corral_app", "member of pg_read_all"),
        ("ALTER ROLE corral_app SET row_security = off", "ALTER ROLE corral_app RESET row_security", "row_security"),
        ("GRANT CREATE ON SCHEMA public TO corral_app", "REVOKE CREATE ON SCHEMA public FROM corral_app", "create"),
    ],
)
async def test_what_would_let_the_role_bypass_a_policy_is_found(
    grant: str, withdraw: str, reported: str, external: ExternalPostgres
) -> None:
    await external.execute(grant)
    try:
        async with Database.open(external.dsn("corral_app")) as database, database.connection() as connection:
            assert reported in "; ".join(await find_role_weaknesses(connection))
    finally:
        await external.execute(withdraw)


async def test_a_role_that_bypasses_row_level_security_is_refused_and_nothing_is_written(
    external: ExternalPostgres, folder: Path
) -> None:
    owner = external.dsn("corral_owner")
    assert (await start_on(external, folder, "corral_app", "users", "list")).status == 0
    before = files_in(folder), await rows_of(owner)
    await external.execute("ALTER ROLE corral_app BYPASSRLS")
    refused = await asyncio.gather(*(start_on(external, folder, role) for role in ("corral_app", "postgres")))
    await external.execute("ALTER ROLE corral_app NOBYPASSRLS")
    for role, ended in zip(("corral_app", "postgres"), refused, strict=True):
        assert f"{role} is a superuser, may bypass row-level security" in ended.only_complaint
    assert (files_in(folder), await rows_of(owner)) == before


async def test_two_servers_that_start_together_on_a_new_database_both_succeed(
    folder: Path, against_sandbox: dict[str, str]
) -> None:
    async with external_postgres() as postgres:
        shared = {
            **against_sandbox,
            "data_dir": folder,
            "database_url": postgres.dsn("corral_app"),
            "database_owner_url": postgres.dsn("corral_owner"),
        }
        async with (
            running("serve", **{**shared, "port": free_port()}) as one,
            running("serve", **{**shared, "port": free_port()}) as other,
        ):
            for server in (one, other):
                async with browser(await server.url()) as client, client.get("/readyz") as answer:
                    assert answer.status == 200
            for server in (one, other):
                assert await server.stop() == 0
    assert list(files_in(folder)) == ["audit-heads.jsonl", "keyring.json"]


@pytest.mark.parametrize("role_and_database", [("stranger", "corral"), ("corral_app", "elsewhere")])
async def test_a_missing_role_or_database_is_reported_in_one_line(
    role_and_database: tuple[str, str], external: ExternalPostgres, folder: Path
) -> None:
    refused = await corral("serve", data_dir=folder, database_url=external.dsn(*role_and_database))
    assert "CORRAL_DATABASE_URL" in refused.only_complaint


async def test_a_wrong_owner_url_is_reported_in_one_line(folder: Path) -> None:
    async with external_postgres() as postgres:
        app = postgres.dsn("corral_app")
        refused = await corral("serve", data_dir=folder, database_url=app, database_owner_url=app)
        assert "CORRAL_DATABASE_OWNER_URL" in refused.only_complaint


async def test_missing_migrations_are_reported_by_serve_and_doctor(folder: Path) -> None:
    async with external_postgres() as postgres:
        app = postgres.dsn("corral_app")
        assert "migrations have not been applied" in (await corral("serve", data_dir=folder, database_url=app)).err
        examined = await corral("doctor", data_dir=folder, database_url=app)
        assert examined.status == 1
        assert "CORRAL_DATABASE_OWNER_URL" in examined.out
    assert files_in(folder) == {}


@pytest.mark.parametrize("knows_owner", [True, False])
async def test_a_database_of_a_newer_release_is_refused_with_that_reason(
    knows_owner: bool,  # noqa: FBT001 - a parameter of a test
    folder: Path,
) -> None:
    """Also when nothing differs but the list of migrations that it has had."""
    async with external_postgres() as postgres:
        owner = postgres.dsn("corral_owner")
        await apply_migrations(owner)
        await postgres.execute("INSERT INTO corral.migrations (name) VALUES ('0999_of_the_future')")
        addresses = {"database_url": postgres.dsn("corral_app")} | (
            {"database_owner_url": owner} if knows_owner else {}
        )
        before = await rows_of(owner)
        served = await corral("serve", data_dir=folder, **addresses)
        examined = await corral("doctor", data_dir=folder, **addresses)
        assert await rows_of(owner) == before
    for reported in (served.only_complaint, examined.out):
        assert "the database was migrated by a newer release of Corral than this one" in reported
        assert "0999_of_the_future" in reported
        assert "install that release" in reported
    assert examined.status == 1
    assert files_in(folder) == {}


async def start_on(postgres: ExternalPostgres, folder: Path, role: str, *command: str) -> Ended:
    addresses = {"database_url": postgres.dsn(role), "database_owner_url": postgres.dsn("corral_owner")}
    return await corral(*(command or ("serve",)), data_dir=folder, port=free_port(), **addresses)
