"""Access that ends while streams are open: by transactions that take long, by time, and by what nobody told."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import asyncpg
import pytest
import time_machine

from corral.database.connection import Database
from corral.errors import DatabaseUnavailable, InternalError
from corral.identity import access_watch, api_tokens, queries
from corral.identity.access_watch import AccessWatch
from corral.identity.models import AuthUser, Scope
from corral.identity.queries import AccessChanges
from corral.identity.tokens import token_lookups
from corral.stream.selection import EVERYTHING
from corral.stream.subscriber import Subscriber
from tests.access import browser
from tests.conftest import Service, StartService
from tests.log_lines import LogSince
from tests.people import Person
from tests.stream.sse_client import SOON, SseClient, listening_to, wait_until

if TYPE_CHECKING:
    from corral.stream.lifespan import StreamService

REVOKE = "DELETE FROM corral.api_tokens WHERE user_id = $1"


def stream_service(service: Service) -> "StreamService":
    return service.services.state["stream"]


def watch_of(service: Service) -> AccessWatch:
    return stream_service(service).monitor._watch  # pyright: ignore[reportPrivateUsage]


async def looks(service: Service, count: int) -> None:
    """Waits until so many looks have been answered."""
    horizon = watch_of(service)._horizon  # pyright: ignore[reportPrivateUsage]
    for _ in range(count):
        before = horizon._seen  # pyright: ignore[reportPrivateUsage]
        await wait_until(lambda before=before: horizon._seen not in {None, before})  # pyright: ignore[reportPrivateUsage]


async def open_connections(service: Service) -> None:
    """As many as are ever in use here at once, since a new one is reason to ask about everybody."""
    async with AsyncExitStack() as stack:
        for _ in range(6):
            await stack.enter_async_context(service.resources.database.connection())


@asynccontextmanager
async def streaming(person: Person) -> AsyncGenerator[SseClient]:
    async with listening_to(person.client) as sse:
        await sse.until("heartbeat")
        yield sse


async def test_a_revocation_that_takes_long_ends_the_stream_within_a_second_of_its_commit(
    service: Service, alice: Person, bob: Person, owner: asyncpg.Connection
) -> None:
    async with streaming(alice) as sse, streaming(bob) as bobs:
        async with owner.transaction():
            await owner.execute(REVOKE, alice.user_id)
            await looks(service, 3)
            assert sse.ended_at is None
        began = asyncio.get_running_loop().time()
        assert await sse.until_end() - began < SOON
        assert [event.data["code"] for event in sse.of("problem")] == ["unauthenticated"]
        await looks(service, 2)
        assert bobs.ended_at is None


async def test_nobody_is_asked_about_while_nothing_changes(
    service: Service, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    await open_connections(service)
    monkeypatch.setattr(access_watch, "ANEW_AFTER", timedelta(hours=1))
    async with streaming(alice) as sse:
        await looks(service, 3)  # it came, and was asked about
        asked: list[object] = []
        find = queries.find_api_tokens

        async def count_and_find(database: object, lookups: object) -> object:
            asked.append(lookups)
            return await find(database, lookups)  # pyright: ignore[reportArgumentType]

        monkeypatch.setattr(queries, "find_api_tokens", count_and_find)
        opened = None
        while opened != service.resources.database.connections_opened:  # a new one is reason to ask
            opened = service.resources.database.connections_opened
            await looks(service, 1)
            asked.clear()
            await looks(service, 5)
        assert not asked
        assert sse.ended_at is None


async def test_what_no_trigger_has_told_ends_when_everybody_is_asked_about_again(
    service: Service, alice: Person, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await open_connections(service)
    monkeypatch.setattr(access_watch, "ANEW_AFTER", timedelta(hours=1))
    async with streaming(alice) as sse:
        await looks(service, 2)
        async with owner.transaction():
            await owner.execute("ALTER TABLE corral.api_tokens DISABLE TRIGGER access_changed")
            await owner.execute(REVOKE, alice.user_id)
            await owner.execute("ALTER TABLE corral.api_tokens ENABLE TRIGGER access_changed")
        await looks(service, 3)
        assert sse.ended_at is None, "nobody was asked about"
        monkeypatch.setattr(access_watch, "ANEW_AFTER", timedelta(seconds=2))
        await sse.until_end(patience=2 + SOON)
        assert sse.of("problem", code="unauthenticated")


async def test_a_stream_ends_at_every_process(
    service: Service, start_service: StartService, alice: Person, owner: asyncpg.Connection
) -> None:
    headers = {"Authorization": f"Bearer {alice.token}"}
    async with start_service() as other, browser(other.url) as page, AsyncExitStack() as stack:
        sse = [
            await stack.enter_async_context(streaming(alice)),
            await stack.enter_async_context(listening_to(page, headers=headers)),
        ]
        for one in sse:
            await one.until("heartbeat")
        await looks(service, 2)
        await looks(other, 2)
        await owner.execute(REVOKE, alice.user_id)
        began = asyncio.get_running_loop().time()
        for one in sse:
            assert await one.until_end() - began < SOON


async def test_the_clock_of_the_process_ends_no_stream_and_keeps_none(
    service: Service, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    await open_connections(service)
    monkeypatch.setattr(access_watch, "ANEW_AFTER", timedelta(hours=1))
    async with AsyncExitStack() as stack:
        page = await stack.enter_async_context(browser(service.url))
        ends_later, ends_soon = [
            await stack.enter_async_context(listening_to(page, headers=await token_for(service, alice, seconds)))
            for seconds in (7_200, 8)
        ]
        await ends_soon.until("heartbeat")
        with time_machine.travel(datetime.now(UTC) + timedelta(days=1), tick=True):
            await looks(service, 2)
            assert ends_later.ended_at is None
        with time_machine.travel(datetime.now(UTC) - timedelta(days=1), tick=True):
            await ends_soon.until_end(patience=8 + SOON)
            assert ends_soon.of("problem", code="unauthenticated")
        assert ends_later.ended_at is None


async def token_for(service: Service, person: Person, seconds: float) -> dict[str, str]:
    _, token = await api_tokens.create_api_token(
        person.user_id,
        service.resources.database,
        service.resources.vault,
        name=f"{seconds}",
        scopes=["accounts:read"],
        expires_at=datetime.now(UTC) + timedelta(seconds=seconds),
    )
    return {"Authorization": f"Bearer {token.reveal()}"}


async def test_one_that_opens_after_its_revocation_was_seen_is_asked_about(
    service: Service, alice: Person, bob: Person, owner: asyncpg.Connection
) -> None:
    """Its request was authenticated before, and the look that named its user came in between."""
    (row,) = (
        await queries.find_api_tokens(service.resources.database, token_lookups(service.resources.vault, alice.token))
    ).values()
    user = AuthUser(alice.user_id, row.email, frozenset(Scope), "token", row.id, row.expires_at, row.lookup)
    async with streaming(bob) as bobs:
        await looks(service, 2)
        await owner.execute(REVOKE, alice.user_id)
        await looks(service, 2)
        stream = Subscriber(user, EVERYTHING)
        monitor = stream_service(service).monitor
        monitor.add(stream)
        try:
            await wait_until(lambda: stream._is_ended, patience=SOON)  # pyright: ignore[reportPrivateUsage]
        finally:
            monitor.remove(stream)
        assert bobs.ended_at is None


@pytest.mark.parametrize("what", ["the look", "the question"])
async def test_an_answer_that_does_not_come_ends_all_and_those_who_come_back_are_served(
    what: str, service: Service, alice: Person, bob: Person, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    name = "load_access_changes" if what == "the look" else "find_api_tokens"
    async with streaming(alice) as hers, streaming(bob) as his:
        await looks(service, 2)
        with monkeypatch.context() as patch:
            patch.setattr(queries, name, never)
            await owner.execute("UPDATE corral.users SET access_epoch = access_epoch WHERE id = $1", alice.user_id)
            watch_of(service).admit(alice.user_id)
            for sse in (hers, his):
                await sse.until_end()
                assert sse.of("problem", code="database_unavailable")
    async with streaming(alice) as again:
        await looks(service, 2)
        assert again.ended_at is None


async def test_what_is_revoked_while_no_answer_comes_ends_afterwards(
    service: Service, alice: Person, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub goes on for a while after its streams, and the change was told to nobody."""
    stored = UUID((await alice.store())["id"])
    load = queries.load_access_changes

    async def lose(*arguments: object, **options: object) -> None:
        await load(*arguments, **options)  # pyright: ignore[reportArgumentType]
        raise TimeoutError

    async with streaming(alice) as sse:
        await sse.until("account-data")
        with monkeypatch.context() as patch:
            patch.setattr(queries, "load_access_changes", lose)
            await owner.execute("UPDATE corral.credentials SET is_active = false WHERE id = $1", stored)
            await sse.until_end()
    async with streaming(alice) as again:
        await wait_until(lambda: not hub_versions(service, alice), patience=SOON)
        assert again.ended_at is None


def hub_versions(service: Service, person: Person) -> dict[UUID, object]:
    (hub,) = [hub for hub in stream_service(service).hubs if hub.user_id == person.user_id]
    return {**hub.versions}


class _Broken:
    """In place of one service's horizon: the others of this process go on looking."""

    def forget(self) -> None: ...

    async def look(self) -> None:
        raise ZeroDivisionError


async def test_nothing_opens_when_the_watch_has_broken(
    start_service: StartService, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = {"Authorization": f"Bearer {alice.token}"}
    async with start_service() as other, browser(other.url) as page:
        async with listening_to(page, headers=headers) as sse:
            await sse.until("heartbeat")
            monkeypatch.setattr(watch_of(other), "_horizon", _Broken())
            await sse.until_end()
            assert sse.of("problem", code="database_unavailable")
        async with page.get("/api/stream", headers=headers) as answer:
            assert answer.status == 500
        with pytest.raises(InternalError):
            watch_of(other).admit(alice.user_id)


async def test_streams_go_on_when_only_the_pruning_has_broken(
    start_service: StartService, alice: Person, log_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it leaves behind, the other processes delete."""
    monkeypatch.setattr(access_watch, "PRUNE_EVERY_SECONDS", 0.2)
    headers = {"Authorization": f"Bearer {alice.token}"}
    async with start_service() as other, browser(other.url) as page, listening_to(page, headers=headers) as sse:
        await sse.until("heartbeat")
        load = queries.load_access_changes

        async def load_or_break(database: Database, seen: str | None, *, most: int) -> AccessChanges:
            if database is other.resources.database and not most:
                raise ZeroDivisionError
            return await load(database, seen, most=most)

        log = LogSince(log_file)
        monkeypatch.setattr(queries, "load_access_changes", load_or_break)
        await log.awaited("access_watch_broke", level="error")
        await looks(other, 2)
        assert sse.ended_at is None


async def test_what_every_process_has_seen_is_pruned(
    start_service: StartService, alice: Person, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while nobody listens."""
    monkeypatch.setattr(access_watch, "PRUNE_EVERY_SECONDS", 0.2)
    async with start_service():
        await owner.execute(
            "UPDATE corral.access_changes SET changed_at = changed_at - interval '1 hour' WHERE user_id = $1",
            alice.user_id,
        )
        async with asyncio.timeout(60):
            left = "SELECT count(*) FROM corral.access_changes WHERE user_id = $1"
            while await owner.fetchval(left, alice.user_id):  # noqa: ASYNC110 - a row, which tells nobody
                await asyncio.sleep(0.05)


async def test_pruning_that_fails_is_logged_and_tried_again(
    start_service: StartService, log_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prune, pruned = queries.prune_access_changes, list[bool]()

    async def fail_first(database: Database, settled: AccessChanges) -> None:
        pruned.append(len(pruned) > 0)
        if len(pruned) == 1:
            raise DatabaseUnavailable
        await prune(database, settled)

    monkeypatch.setattr(access_watch, "PRUNE_EVERY_SECONDS", 0.05)
    monkeypatch.setattr(queries, "prune_access_changes", fail_first)
    log = LogSince(log_file)
    async with start_service():
        await log.awaited("access_changes_kept", failure="DatabaseUnavailable")
        await wait_until(lambda: any(pruned))
