"""An answer is shared only among those who may see it now; and the fast lane is the documented route, only faster."""

import asyncio
from uuid import UUID

import asyncpg
import pytest
from aiohttp import ClientSession

from corral.accounts.fast_lane import FastLane
from corral.accounts.snapshots import Snapshots
from corral.database.embedded import EmbeddedDatabase
from tests.conftest import Faults, StartService
from tests.people import Person, make_person, paper_key


@pytest.mark.parametrize("read", ["account-data", "positions", "orders", "activities", "portfolio-history", "clock"])
async def test_a_row_copied_to_another_user_by_hand_finds_no_kept_answer(
    alice: Person, bob: Person, postgres: EmbeddedDatabase, faults: Faults, read: str
) -> None:
    key_id = paper_key()
    credential = await alice.store(key_id)
    path = f"/api/credentials/{credential['id']}/{read}"
    async with alice.client.get(path) as answer:
        assert answer.status == 200
    owner = await asyncpg.connect(postgres.dsn("corral_owner"))
    await owner.execute(
        """
        INSERT INTO corral.credentials (user_id, id, nickname, credential_type, account_id, key_hint, api_key_sealed,
                                        secret_key_sealed, is_active, revision)
        SELECT $1, id, nickname, credential_type, account_id, key_hint, api_key_sealed,
               secret_key_sealed, is_active, revision
        FROM corral.credentials WHERE user_id = $2 AND id = $3
        """,
        bob.user_id, alice.user_id, UUID(credential["id"]),
    )  # fmt: skip
    async with bob.client.get(path) as answer:
        assert answer.status == 500
        assert (await answer.json(content_type=None))["code"] == "internal"
    await owner.execute("DELETE FROM corral.credentials WHERE user_id = $1", bob.user_id)
    await owner.close()
    # One call stored the keys, and one was alice's, with another beside it that says which account answers.
    assert await faults.calls_of(key_id) == (2 if read in {"account-data", "clock"} else 3)


@pytest.mark.parametrize("case", ["mine", "bobs", "inactive", "unauthenticated", "refused"])
async def test_the_fast_lane_answers_as_the_documented_route_does(
    start_service: StartService, faults: Faults, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def pass_on(lane: FastLane, scope: object, receive: object, send: object) -> None:
        await lane._app(scope, receive, send)  # pyright: ignore[reportPrivateUsage, reportArgumentType]  # on to the framework

    answers: list[tuple[int, list[str], dict[str, object]]] = []
    async with (
        start_service(cache_seconds=60) as service,
        make_person(service, "a") as alice,
        make_person(service, "b") as bob,
        ClientSession(service.url) as nobody,
    ):
        key_id = paper_key()
        credential = await (bob if case == "bobs" else alice).store(key_id)
        path = f"/api/credentials/{credential['id']}"
        if case == "inactive":
            async with alice.client.patch(path, json={"is_active": False}):
                pass
        if case == "refused":
            await faults.set(key_id, status=401, body={"message": "unauthorized."})
        client = nobody if case == "unauthenticated" else alice.client
        for lane in ("fast", "documented"):
            if lane == "documented":
                monkeypatch.setattr(FastLane, "__call__", pass_on)
            async with client.get(f"{path}/account-data") as answer:
                body = await answer.json(content_type=None)
                answers.append((answer.status, sorted(answer.headers), body | {"request_id": ""}))
    assert answers[0] == answers[1]


async def test_an_idle_answer_is_forgotten() -> None:
    snapshots = Snapshots(0.02)

    async def fetch() -> bytes:
        return b"answer"

    assert await snapshots.get("key", fetch) == b"answer"
    await asyncio.sleep(0.05)
    assert not snapshots._answers  # pyright: ignore[reportPrivateUsage]  # memory is what this is about
    assert not snapshots._calls  # pyright: ignore[reportPrivateUsage]


async def test_a_failure_is_told_to_all_who_waited_and_is_not_kept() -> None:
    snapshots = Snapshots(60)
    calls = 0

    async def fail() -> bytes:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0.01)
        raise ConnectionError

    results = await asyncio.gather(*(snapshots.get("key", fail) for _ in range(3)), return_exceptions=True)
    assert [type(result) for result in results] == [ConnectionError] * 3
    assert calls == 1
    with pytest.raises(ConnectionError):
        await snapshots.get("key", fail)
    assert calls == 2


async def test_a_caller_that_is_cancelled_does_not_take_the_answer_from_the_others() -> None:
    snapshots = Snapshots(60)
    may_answer = asyncio.Event()

    async def fetch() -> bytes:
        await may_answer.wait()
        return b"answer"

    first, second = (asyncio.ensure_future(snapshots.get("key", fetch)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    may_answer.set()
    assert await second == b"answer"
    assert first.cancelled()


async def test_closing_ends_the_calls_under_way() -> None:
    snapshots = Snapshots(1)
    waiting = asyncio.ensure_future(snapshots.get("key", asyncio.Event().wait))  # pyright: ignore[reportArgumentType]  # never answers
    await asyncio.sleep(0)
    await snapshots.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_no_more_is_kept_than_there_is_room_for_and_room_comes_back() -> None:
    snapshots = Snapshots(3, most_bytes=10)
    calls = 0

    async def fetch() -> bytes:
        nonlocal calls
        calls += 1
        return b"sixsix"

    assert await snapshots.get("first", fetch) == await snapshots.get("second", fetch) == b"sixsix"
    assert await snapshots.get("first", fetch) == b"sixsix"
    assert calls == 2
    assert await snapshots.get("second", fetch) == b"sixsix"  # answered, and not kept
    assert calls == 3
    for _ in range(3_000):
        if not snapshots._answers:  # pyright: ignore[reportPrivateUsage]  # memory is what this is about
            break
        await asyncio.sleep(0.02)
    await snapshots.get("second", fetch)
    await snapshots.get("second", fetch)
    assert calls == 4
