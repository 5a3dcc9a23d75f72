"""An answer is shared only among those who may see it now; and the fast lane is the documented route, only faster."""

from uuid import UUID

import asyncpg
import pytest
from aiohttp import ClientSession

from corral.accounts.routes import FastLane
from corral.database.embedded.instance import EmbeddedDatabase
from tests.access import browser, owner_of, sign_in_by_link
from tests.conftest import Faults, Service, StartService
from tests.log_lines import LogSince
from tests.people import Person, make_person, paper_key


@pytest.mark.parametrize("read", ["account-data", "positions", "orders", "activities", "portfolio-history", "clock"])
async def test_a_row_copied_to_another_user_by_hand_finds_no_cached_answer(
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
async def test_the_fast_lane_responds_like_the_documented_route(
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


@pytest.mark.parametrize("table", ["api_tokens", "sessions"])
async def test_the_fast_lane_refuses_a_session_or_token_that_was_moved_to_another_user(
    service: Service, alice: Person, bob: Person, postgres: EmbeddedDatabase, log: LogSince, table: str
) -> None:
    credential = await alice.store()
    is_session = table == "sessions"
    cookie = await sign_in_by_link(service, bob.user_id)
    async with owner_of(postgres) as owner:
        await owner.execute(f"UPDATE corral.{table} SET user_id = $2 WHERE user_id = $1", bob.user_id, alice.user_id)
    headers = {} if is_session else {"Authorization": f"Bearer {bob.token}"}
    async with (
        browser(service.url, cookie if is_session else None) as client,
        client.get(f"/api/credentials/{credential['id']}/account-data", headers=headers) as answer,
    ):
        assert answer.status == 401
    assert log.alarms("session_seal_broken" if is_session else "api_token_seal_broken")
