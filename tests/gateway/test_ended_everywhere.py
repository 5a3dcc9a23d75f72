"""Access that ends at one of three processes, and what is open at all of them: pages, scripts and programs."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

import asyncpg
import pytest

from corral.people.operators import disable_person
from corral.valkey import client as valkey_client
from tests.access import browser, sign_in_by_link
from tests.conftest import Service, StartService
from tests.gateway.conftest import Program, key_headers
from tests.gateway.test_trade_stream import Line, hearing
from tests.grants.conftest import GrantOwner
from tests.stream.sse_client import SOON, SseClient, listening_to
from tests.valkey.servers import Server

PAUSED: Final = 403  # what a program's requests are answered
ENDED: Final = 401


@dataclass
class Opened:
    """What is open at one process."""

    page: SseClient
    script: SseClient
    socket: Line


@dataclass
class Everything:
    """What is open at all of them, and by whom. `cookie` and `token_id` are those of the pages and scripts."""

    carol: GrantOwner
    bot: Program
    owner: asyncpg.Connection
    services: list[Service]
    cookie: str
    token_id: str
    opened: list[Opened]

    async def sign_out(self) -> None:
        async with browser(self.services[0].url, self.cookie) as page, page.delete("/api/session") as answer:
            assert answer.status == 204

    async def change_password(self) -> None:
        body = {"current_password": self.carol.password, "new_password": "another horse, a staple and a battery"}
        async with self.carol.page.put("/api/me/password", json=body) as answer:
            assert answer.status in {200, 204}, await answer.text()

    async def delete_token(self) -> None:
        assert (await self.carol.ask("DELETE", f"/api/tokens/{self.token_id}")).status == 204

    async def disable(self) -> None:
        await disable_person(self.owner, self.services[0].resources.vault, self.carol.email)

    async def pause(self) -> None:
        assert (await self.carol.ask("PATCH", self._credential, {"is_active": False})).status == 200

    async def delete(self) -> None:
        assert (await self.carol.ask("DELETE", self._credential)).status == 204

    async def revoke(self) -> None:
        assert (await self.carol.ask("DELETE", f"/api/grants/{self.bot.grant['id']}")).status == 204

    @property
    def _credential(self) -> str:
        return f"/api/credentials/{self.bot.grant['credential_id']}"

    async def is_ended(self, *, page: str | None, script: str | None, program: int | None) -> None:
        """Returns once it is in force everywhere. `page` and `script` are the code of the problem that they hear."""
        waits: list[Awaitable[object]] = []
        for service, at in zip(self.services, self.opened, strict=True):
            waits += [sse.until("problem", code=code) for sse, code in ((at.page, page), (at.script, script)) if code]
            waits += [at.socket.closed_with(), self._refused(service, program)] if program else []
        await asyncio.gather(*waits)

    async def _refused(self, service: Service, status: int) -> None:
        """No read of the program's gets through any more."""
        async with browser(service.url) as client:
            while True:
                async with client.get("/alpaca/v2/account", headers=key_headers(self.bot.grant)) as answer:
                    if answer.status == status:
                        return
                    assert answer.status == 200, await answer.text()
                await asyncio.sleep(0.02)


_SIGNED_OUT: Final = "unauthenticated"
_INACTIVE: Final = "credential_inactive"
_WAYS: Final = [
    pytest.param(Everything.sign_out, _SIGNED_OUT, None, None, id="signed out"),
    pytest.param(Everything.change_password, _SIGNED_OUT, None, None, id="another password"),
    pytest.param(Everything.delete_token, None, _SIGNED_OUT, None, id="token deleted"),
    pytest.param(Everything.disable, _SIGNED_OUT, _SIGNED_OUT, ENDED, id="disabled"),
    pytest.param(Everything.pause, _INACTIVE, _INACTIVE, PAUSED, id="account paused"),
    pytest.param(Everything.delete, _INACTIVE, _INACTIVE, ENDED, id="account deleted"),
    pytest.param(Everything.revoke, None, None, ENDED, id="grant revoked"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    with Server("valkey", tmp_path_factory.mktemp("server")) as server, pytest.MonkeyPatch.context() as patch:
        patch.setattr(valkey_client, "LIMIT_SECONDS", 30.0)  # a busy machine is not an outage
        yield server


@pytest.fixture(scope="module")
async def three(start_service: StartService, server: Server) -> AsyncGenerator[list[Service]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(start_service(valkey_url=server.url)) for _ in range(3)]


@pytest.fixture
async def everything(
    three: list[Service], service: Service, carol: GrantOwner, bot: Program, owner: asyncpg.Connection
) -> AsyncGenerator[Everything]:
    cookie = await sign_in_by_link(service, carol.user_id)
    made = await carol.ask("POST", "/api/tokens", {"name": "script", "scopes": ["accounts:read"]})
    by_token = {"Authorization": f"Bearer {made.body['token']}"}
    async with AsyncExitStack() as stack:
        opened: list[Opened] = []
        for one in three:
            page = await stack.enter_async_context(browser(one.url, cookie))
            script = await stack.enter_async_context(browser(one.url))
            at = Opened(
                await stack.enter_async_context(listening_to(page)),
                await stack.enter_async_context(listening_to(script, headers=by_token)),
                await stack.enter_async_context(hearing(bot.grant, one)),
            )
            opened.append(at)
        for at in opened:
            for sse in (at.page, at.script):
                await sse.until("account-data", credential_id=bot.grant["credential_id"])
        yield Everything(carol, bot, owner, three, cookie, made.body["id"], opened)


@pytest.mark.parametrize(("end", "page", "script", "program"), _WAYS)
async def test_what_ends_at_one_process_ends_at_all_and_nothing_else_does(
    everything: Everything,
    end: Callable[[Everything], Awaitable[None]],
    page: str | None,
    script: str | None,
    program: int | None,
) -> None:
    clock = asyncio.get_running_loop().time
    await end(everything)
    began = clock()
    async with asyncio.timeout(60):
        await everything.is_ended(page=page, script=script, program=program)
    assert clock() - began < SOON
    await asyncio.sleep(1)
    for at in everything.opened:
        assert (at.page.ended_at is None) == (page != _SIGNED_OUT)
        assert (at.script.ended_at is None) == (script != _SIGNED_OUT)
        assert at.socket.socket.closed == (program is not None)
