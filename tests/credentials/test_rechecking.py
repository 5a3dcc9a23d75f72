"""Keys that Alpaca no longer accepts are found out by Corral, twice to be sure, and nothing else is taken for it."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from aiohttp import ClientSession

from corral.credentials import queries
from corral.database.connection import Database, get_connection_with_rls
from corral.database.embedded.instance import EmbeddedDatabase, embedded_postgres
from corral.database.migrate import apply_migrations
from corral_sandbox import Sandbox
from tests.access import ERASE_EVERYBODY, owner_of
from tests.conftest import Faults, Service, StartService, service_starter
from tests.log_lines import LogSince
from tests.people import Person, key_pair, make_person, paper_key

Json = dict[str, Any]

QUICK = {"recheck_seconds": 0.4, "cache_seconds": 0}
NEVER = {"recheck_seconds": 0, "cache_seconds": 0}
UNAUTHORIZED = {"status": 401, "body": {"message": "unauthorized."}}


@pytest.fixture(scope="module")
async def own_postgres(run_dir: Path) -> AsyncGenerator[EmbeddedDatabase]:
    """A database of this module's own: services with a short interval would check what other tests have left."""
    folder = run_dir / "rechecking"
    folder.mkdir(mode=0o711)
    async with embedded_postgres(folder) as database:
        await apply_migrations(database.dsn("corral_owner"))
        yield database


@pytest.fixture(scope="module")
def start(own_postgres: EmbeddedDatabase, sandbox: Sandbox, run_dir: Path) -> StartService:
    return service_starter(own_postgres, sandbox, run_dir / "rechecking")


@pytest.fixture
async def owner(own_postgres: EmbeddedDatabase) -> AsyncGenerator[asyncpg.Connection]:
    async with owner_of(own_postgres) as connection:
        yield connection
        await connection.execute(ERASE_EVERYBODY)


@pytest.fixture
async def quick(start: StartService, owner: asyncpg.Connection) -> AsyncGenerator[Service]:
    del owner  # clears up at the end
    async with start(**QUICK) as service:
        yield service


@pytest.fixture
async def alice(quick: Service) -> AsyncGenerator[Person]:
    async with make_person(quick, "alice") as person:
        yield person


@pytest.fixture
async def bob(quick: Service) -> AsyncGenerator[Person]:
    async with make_person(quick, "bob") as person:
        yield person


async def until(holds: Callable[[], Awaitable[object]]) -> None:
    for _ in range(600):
        if await holds():
            return
        await asyncio.sleep(0.05)
    pytest.fail("did not come about within 30 seconds")


async def metadata(person: Person, credential: Json) -> Json:
    async with person.client.get(f"/api/credentials/{credential['id']}") as answer:
        assert answer.status == 200
        return await answer.json()


async def refused_at(person: Person, credential: Json) -> str | None:
    return (await metadata(person, credential))["refused_at"]


async def account_data(person: Person, credential: Json) -> tuple[int, Json]:
    async with person.client.get(f"/api/credentials/{credential['id']}/account-data") as answer:
        return answer.status, await answer.json(content_type=None)


async def validate(person: Person, credential: Json) -> Json:
    async with person.client.post(f"/api/credentials/{credential['id']}/validate") as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def asked_times(faults: Faults, key_id: str, more: int) -> None:
    before = await faults.calls_of(key_id)

    async def are_there() -> bool:
        return await faults.calls_of(key_id) >= before + more

    await until(are_there)


async def test_rejected_keys_are_marked_everywhere_and_only_for_their_owner(
    alice: Person, bob: Person, faults: Faults, log_file: Path
) -> None:
    log = LogSince(log_file)
    key_id = paper_key()
    hers, other, his = await alice.store(key_id), await alice.store(), await bob.store()
    assert hers["refused_at"] is None
    await faults.set(key_id, **UNAUTHORIZED)
    await until(lambda: refused_at(alice, hers))
    assert await refused_at(alice, other) is None
    assert await refused_at(bob, his) is None
    status, problem = await account_data(alice, hers)
    assert (status, problem["code"]) == (409, "credential_refused")
    assert "replace" in problem["detail"]
    async with alice.client.get("/api/overview") as answer:
        items = (await answer.json())["items"]
    assert [(item["problem"] or {"code": None})["code"] for item in items] == ["credential_refused", None]
    assert (await account_data(bob, hers))[1]["code"] == "credential_not_found"
    assert f'"event":"credential_refused","user_id":"{alice.user_id}","credential_id":"{hers["id"]}"' in log.text()
    assert key_id not in log.text()


async def test_a_marked_credential_makes_no_calls(
    start: StartService, faults: Faults, owner: asyncpg.Connection
) -> None:
    key_id = paper_key()
    async with start(**NEVER) as service, make_person(service, "alice") as alice:
        credential = await alice.store(key_id)
        await _mark(owner, credential)
        for _ in range(3):
            assert (await account_data(alice, credential))[0] == 409
        async with alice.client.get("/api/overview") as answer:
            assert (await answer.json())["items"][0]["problem"]["code"] == "credential_refused"
    assert await faults.calls_of(key_id) == 1


async def test_a_single_rejection_does_not_mark_the_keys(alice: Person, faults: Faults, log_file: Path) -> None:
    key_id = paper_key()
    credential = await alice.store(key_id)
    log = LogSince(log_file)
    await faults.set(key_id, times=1, **UNAUTHORIZED)
    await asked_times(faults, key_id, 4)
    assert await refused_at(alice, credential) is None
    assert "credential_refused" not in log.text()  # nor was it marked, and the mark cleared by the check after that


OUTAGES: dict[str, dict[str, object]] = {
    "a 500": {"status": 500, "body": {}},
    "a 503": {"status": 503, "body": {}},
    "a refusal by a business rule": {"status": 403, "body": {"code": 40310000, "message": "no"}},
    "HTML": {"status": 200, "body_text": "<html>", "content_type": "text/html"},
    "a cut connection": {"cut": "before_headers"},
    "a half body": {"cut": "mid_body"},
    "silence": {"latency_ms": 60_000},
    "a redirect": {"redirect_to": "http://127.0.0.1:9/elsewhere"},
    "an answer that repeats the key": {"echo": True},
}


@pytest.mark.parametrize("fault", OUTAGES.values(), ids=OUTAGES)
async def test_an_outage_does_not_mark_the_keys(alice: Person, faults: Faults, fault: dict[str, object]) -> None:
    key_id = paper_key()
    credential = await alice.store(key_id)
    await faults.set(key_id, **fault)
    await asked_times(faults, key_id, 3)
    assert await refused_at(alice, credential) is None


async def test_a_rate_limit_does_not_mark_the_keys_and_postpones_the_check(alice: Person, faults: Faults) -> None:
    key_id, other = paper_key(), paper_key()
    credential = await alice.store(key_id)
    await alice.store(other)
    await faults.set(key_id, rate_limited={"retry_after": 60})
    await asked_times(faults, key_id, 1)
    calls = await faults.calls_of(key_id)
    await asked_times(faults, other, 3)  # by then its own turn has come, too
    assert await faults.calls_of(key_id) == calls
    assert await refused_at(alice, credential) is None


async def test_the_last_requests_of_a_minute_are_left_to_the_owner(alice: Person, faults: Faults) -> None:
    key_id, other = paper_key(), paper_key()
    credential = await alice.store(key_id)
    await alice.store(other)
    reported = {
        "X-RateLimit-Limit": "200",
        "X-RateLimit-Remaining": "15",
        "X-RateLimit-Reset": str(int(time.time()) + 55),
    }
    await faults.set(key_id, headers=reported)
    assert (await account_data(alice, credential))[0] == 200
    await asked_times(faults, other, 1)  # a check that was under way is over
    calls = await faults.calls_of(key_id)
    await asked_times(faults, other, 3)
    assert await faults.calls_of(key_id) == calls
    assert (await account_data(alice, credential))[0] == 200


async def test_keys_that_work_again_lose_the_mark(alice: Person, faults: Faults, log_file: Path) -> None:
    key_id = paper_key()
    credential = await alice.store(key_id)
    await faults.set(key_id, **UNAUTHORIZED)
    await until(lambda: refused_at(alice, credential))
    log = LogSince(log_file)
    await faults.clear()

    async def is_accepted() -> bool:
        return await refused_at(alice, credential) is None

    await until(is_accepted)
    assert (await account_data(alice, credential))[0] == 200
    assert f'"event":"credential_accepted","user_id":"{alice.user_id}"' in log.text()


async def test_a_mark_stays_during_an_outage(alice: Person, faults: Faults) -> None:
    key_id = paper_key()
    credential = await alice.store(key_id)
    await faults.set(key_id, **UNAUTHORIZED)
    await until(lambda: refused_at(alice, credential))
    since = await refused_at(alice, credential)
    await asked_times(faults, key_id, 2)
    await faults.set(key_id, status=500, body={})
    await asked_times(faults, key_id, 2)
    assert await refused_at(alice, credential) == since


async def test_a_successful_manual_check_or_new_keys_clear_the_mark(
    start: StartService, owner: asyncpg.Connection, faults: Faults
) -> None:
    key_id = paper_key()
    async with start(**NEVER) as service, make_person(service, "alice") as alice:
        credential = await alice.store(key_id)
        path = f"/api/credentials/{credential['id']}"
        await _mark(owner, credential)
        await faults.set(key_id, **UNAUTHORIZED)
        assert (await validate(alice, credential))["is_valid"] is False
        assert await refused_at(alice, credential)
        await faults.clear()
        assert (await validate(alice, credential))["is_valid"] is True
        assert await refused_at(alice, credential) is None
        assert (await account_data(alice, credential))[0] == 200
        await _mark(owner, credential)
        async with alice.client.patch(path, json={"nickname": "renamed", "is_active": True}) as answer:
            assert (await answer.json())["refused_at"], "neither a name nor a switch makes keys work"
        async with alice.client.patch(path, json=key_pair(key_id)) as answer:
            assert (await answer.json())["refused_at"] is None
        assert (await account_data(alice, credential))[0] == 200


async def _mark(owner: asyncpg.Connection, credential: Json) -> None:
    await owner.execute(
        "UPDATE corral.credentials SET refused_at = clock_timestamp() WHERE id = $1", UUID(credential["id"])
    )


@pytest.mark.parametrize("how", ["account-data", "overview", "positions", "orders.csv", "validate"])
async def test_a_rejected_call_makes_the_check_due_at_once(
    how: str, start: StartService, owner: asyncpg.Connection, faults: Faults
) -> None:
    key_id = paper_key()
    async with start(**NEVER) as service, make_person(service, "alice") as alice, make_person(service, "bob") as bob:
        hers, his = await alice.store(key_id), await bob.store(key_id)
        await owner.execute("UPDATE corral.credentials SET checked_at = clock_timestamp() - interval '2 minutes'")
        assert await _due(owner) == set()
        await faults.set(key_id, **UNAUTHORIZED)
        if how == "account-data":
            assert (await account_data(alice, hers))[0] == 409
        elif how == "overview":
            await alice.client.get("/api/overview")
        elif how == "validate":
            await validate(alice, hers)
        else:
            async with alice.client.get(f"/api/credentials/{hers['id']}/{how}") as answer:
                assert answer.status == 409

        async def is_due() -> bool:
            return await _due(owner) == {UUID(hers["id"])}

        await until(is_due)
        assert await refused_at(alice, hers) is None  # it takes two
        assert await refused_at(bob, his) is None


async def test_a_check_within_the_last_minute_is_not_repeated(
    start: StartService, own_postgres: EmbeddedDatabase, owner: asyncpg.Connection
) -> None:
    async with (
        start(**NEVER) as service,
        make_person(service, "alice") as alice,
        Database.open(own_postgres.dsn("corral_app")) as database,
    ):
        credential = UUID((await alice.store())["id"])
        await queries.note_credentials_suspected(database, [(alice.user_id, credential)])
        assert await _due(owner) == set()
        await owner.execute("UPDATE corral.credentials SET checked_at = clock_timestamp() - interval '2 minutes'")
        await queries.note_credentials_suspected(database, [(alice.user_id, credential)])
        assert await _due(owner) == {credential}


async def _due(owner: asyncpg.Connection) -> set[UUID]:
    """What an hourly re-check would claim now; nothing is claimed."""
    transaction = owner.transaction()
    await transaction.start()
    try:
        return {row["id"] for row in await owner.fetch("SELECT id FROM corral.claim_checks(10, 3600)")}
    finally:
        await transaction.rollback()


async def test_two_services_on_one_database_check_no_credential_twice(
    start: StartService, owner: asyncpg.Connection, faults: Faults
) -> None:
    shared = {"recheck_seconds": 600, "cache_seconds": 0}
    keys = [paper_key() for _ in range(12)]
    async with start(**NEVER) as service, make_person(service, "alice") as alice, make_person(service, "bob") as bob:
        for number, key_id in enumerate(keys):
            await (alice if number % 2 else bob).store(key_id)
        await owner.execute("UPDATE corral.credentials SET checked_at = 'epoch'")
        async with start(**shared), start(**shared):

            async def are_claimed() -> bool:
                return not await owner.fetchval("SELECT count(*) FROM corral.credentials WHERE checked_at = 'epoch'")

            await until(are_claimed)
            await until(lambda: _all_asked(faults, keys))
    assert [await faults.calls_of(key_id) for key_id in keys] == [2] * len(keys)  # stored, and checked once


async def _all_asked(faults: Faults, keys: list[str]) -> bool:
    return all([await faults.calls_of(key_id) >= 2 for key_id in keys])


async def test_many_claims_at_once_hand_out_each_credential_once(
    start: StartService, own_postgres: EmbeddedDatabase, owner: asyncpg.Connection
) -> None:
    async with (
        start(**NEVER) as service,
        make_person(service, "alice") as alice,
        Database.open(own_postgres.dsn("corral_app")) as database,
    ):
        stored = {(await alice.store())["id"] for _ in range(20)}
        await owner.execute("UPDATE corral.credentials SET checked_at = 'epoch'")
        claims = await asyncio.gather(*(queries.claim_checks(database, most=3, every_seconds=600) for _ in range(20)))
        claims += [await queries.claim_checks(database, most=3, every_seconds=600) for _ in range(10)]
        claimed = [str(credential_id) for claim in claims for _, credential_id in claim]
        assert sorted(claimed) == sorted(stored)


@pytest.mark.parametrize("analyzed_at", [None, 1, 12])
async def test_a_claim_gives_ids_only_and_no_more_than_ten(
    analyzed_at: int | None, start: StartService, own_postgres: EmbeddedDatabase, owner: asyncpg.Connection
) -> None:
    """Whatever PostgreSQL expects: in a nested loop it may run a subquery with LIMIT again for each row."""
    connection = await asyncpg.connect(own_postgres.dsn("corral_app"))
    if analyzed_at is not None:
        for kind in ("hashjoin", "mergejoin", "material"):
            await connection.execute(f"SET enable_{kind} = off")
    async with start(**NEVER) as service, make_person(service, "alice") as alice:
        for stored in range(1, 13):
            await alice.store()
            if stored == analyzed_at:
                await owner.execute("ANALYZE corral.credentials, corral.users")
        await owner.execute("UPDATE corral.credentials SET checked_at = 'epoch'")
        rows = await connection.fetch("SELECT * FROM corral.claim_checks(1000000, 600)")
        assert len(rows) == 10
        assert [*rows[0].keys()] == ["user_id", "id"]
    await connection.close()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE corral.credentials SET is_active = false",
        "UPDATE corral.users SET disabled_at = clock_timestamp()",
    ],
)
async def test_paused_credentials_and_those_of_disabled_users_are_not_checked(
    change: str, start: StartService, owner: asyncpg.Connection
) -> None:
    async with start(**NEVER) as service, make_person(service, "alice") as alice:
        credential = await alice.store()
        await owner.execute("UPDATE corral.credentials SET checked_at = 'epoch'")
        assert await _due(owner) == {UUID(credential["id"])}
        await owner.execute(change)
        assert await _due(owner) == set()


@pytest.mark.parametrize(
    ("checked_ago", "refused_for", "due"),
    [
        (65, 10, 1),  # a minute after the mark
        (55, 10, 0),
        (290, 600, 0),  # it was refused for 310 s when it was checked last: so again 310 s later
        (320, 600, 1),
        (3590, 360_000, 0),  # and once an hour in the end
        (3610, 360_000, 1),
    ],
)
async def test_refused_keys_are_rechecked_soon_and_then_less_and_less_often(
    checked_ago: int, refused_for: int, due: int, start: StartService, owner: asyncpg.Connection
) -> None:
    async with start(**NEVER) as service, make_person(service, "alice") as alice:
        await alice.store()
        await owner.execute(
            """
            UPDATE corral.credentials
            SET checked_at = now() - make_interval(secs => $1), refused_at = now() - make_interval(secs => $2)
            """,
            checked_ago,
            refused_for,
        )
        assert len(await _due(owner)) == due


async def test_each_credential_has_its_own_check_period(start: StartService, owner: asyncpg.Connection) -> None:
    """All of one age, a moment within the tenth before and after the hour: some are due and some are not."""
    async with start(**NEVER) as service, make_person(service, "alice") as alice:
        for _ in range(30):
            await alice.store()
        due: list[int] = []
        for age in (3230, 3600, 3970):
            await owner.execute("UPDATE corral.credentials SET checked_at = now() - make_interval(secs => $1)", age)
            due.append(len(await _all_due(owner)))
        assert due[0] == 0
        assert 0 < due[1] < 30
        assert due[2] == 30


async def _all_due(owner: asyncpg.Connection) -> set[UUID]:
    claimed: set[UUID] = set()
    while found := {row["id"] for row in await owner.fetch("SELECT id FROM corral.claim_checks(10, 3600)")}:
        claimed |= found
    return claimed


async def test_keys_that_were_changed_meanwhile_are_not_marked(
    start: StartService, own_postgres: EmbeddedDatabase
) -> None:
    async with (
        start(**NEVER) as service,
        make_person(service, "alice") as alice,
        make_person(service, "bob") as bob,
        Database.open(own_postgres.dsn("corral_app")) as database,
    ):
        credential = UUID((await alice.store())["id"])
        for user_id, revision, is_marked in [
            (alice.user_id, 2, False),
            (bob.user_id, 1, False),
            (alice.user_id, 1, True),
            (alice.user_id, 1, False),
        ]:
            async with get_connection_with_rls(user_id, database) as connection:
                assert await queries.mark_refused(connection, user_id, credential, revision) is is_marked


@pytest.mark.parametrize("meanwhile", ["switched off", "switched off and on", "deleted"])
async def test_new_keys_before_the_second_check_are_not_marked(
    meanwhile: str, start: StartService, owner: asyncpg.Connection, faults: Faults, log_file: Path
) -> None:
    key_id = paper_key()
    log = LogSince(log_file)
    async with start(recheck_seconds=3) as service, make_person(service, "alice") as alice:
        credential = await alice.store(key_id)
        path = f"/api/credentials/{credential['id']}"
        await faults.set(key_id, **UNAUTHORIZED)
        await asked_times(faults, key_id, 1)
        if meanwhile == "deleted":
            await alice.client.delete(path)
        else:
            await alice.client.patch(path, json={"is_active": False})
        if meanwhile == "switched off and on":
            await alice.client.patch(path, json={"is_active": True})
            await asked_times(faults, key_id, 1)
        else:
            await asyncio.sleep(3.5)  # the second question would have come by now
            assert await faults.calls_of(key_id) == 2
        assert await owner.fetchval("SELECT count(refused_at) FROM corral.credentials") == 0
    assert "recheck_failed" not in log.text()


async def test_a_row_that_does_not_open_is_logged_and_the_others_are_checked(
    alice: Person, bob: Person, owner: asyncpg.Connection, faults: Faults, log_file: Path
) -> None:
    log = LogSince(log_file)
    broken, key_id = await alice.store(), paper_key()
    await owner.execute(
        "UPDATE corral.credentials SET api_key_sealed = secret_key_sealed WHERE id = $1", UUID(broken["id"])
    )
    his = await bob.store(key_id)
    await asked_times(faults, key_id, 3)
    assert [alarm["credential_id"] for alarm in log.alarms("credential_seal_broken")[:1]] == [broken["id"]]
    assert await refused_at(alice, broken) is None
    assert await refused_at(bob, his) is None


async def test_a_bug_is_logged_and_the_next_check_follows(
    alice: Person, owner: asyncpg.Connection, faults: Faults, log_file: Path, quick: Service
) -> None:
    """The role loses the function: no condition that is foreseen, but an error like any other bug."""
    log = LogSince(log_file)
    key_id = paper_key()
    await alice.store(key_id)
    function = "FUNCTION corral.claim_checks(integer, double precision)"
    await owner.execute(f"REVOKE EXECUTE ON {function} FROM corral_app")
    try:

        async def is_logged() -> bool:
            return "InsufficientPrivilegeError" in str(log.alarms("recheck_failed"))

        await until(is_logged)
        async with ClientSession(quick.url) as client, client.get("/readyz") as answer:
            assert answer.status == 200
    finally:
        await owner.execute(f"GRANT EXECUTE ON {function} TO corral_app")
    await asked_times(faults, key_id, 1)


async def test_a_stop_does_not_wait_for_a_check(start: StartService, faults: Faults, owner: asyncpg.Connection) -> None:
    del owner
    key_id = paper_key()
    async with start(recheck_seconds=0.4, upstream_timeout_seconds=60) as service:
        async with make_person(service, "alice") as alice:
            await alice.store(key_id)
        await faults.set(key_id, latency_ms=60_000)
        await asked_times(faults, key_id, 1)
        stopping = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - stopping < 20
