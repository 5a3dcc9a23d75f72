"""The worst day, by the commands of docs/backup.md."""

import asyncio
import re
import shlex
import shutil
import sys
import zipfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from aiohttp import ClientError, ClientSession

from corral.backup import queries as backup_queries
from corral.database.connection import open_owner_connection
from corral.database.embedded.instance import embedded_postgres
from tests.access import SAME_ORIGIN, cookie_of
from tests.journeys.backing_up import ALICE, BOB, CAROL, PASSWORD, add_people, names_in
from tests.journeys.canary import canary_scan, new_canary
from tests.journeys.program import PATIENCE, corral, environment, running
from tests.people import key_pair, paper_key

PAGE: Final = Path(__file__).parents[2] / "docs" / "backup.md"
ORDER: Final = {
    "symbol": "AAPL",
    "qty": "1",
    "side": "buy",
    "type": "limit",
    "limit_price": "1",
    "time_in_force": "gtc",
}
ACCESS: Final = ("sessions", "api_tokens", "grants", "grant_secrets", "one_time_links", "invitations")

Json = dict[str, Any]


def blocks_of_the_page() -> list[str]:
    found = re.findall(r"^( *)```sh\n(.*?)^\1```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", text, flags=re.MULTILINE) for indent, text in found]


@dataclass(slots=True)
class Machine:
    """A folder in which the page's commands work as printed."""

    folder: Path
    env: dict[str, str]
    left: list[str] = field(default_factory=blocks_of_the_page)

    async def next_block(self, beginning: str) -> str:
        """Runs the next commands of the page, and returns what they print."""
        text = self.left.pop(0)
        assert text.startswith(beginning), text
        text = text.replace("/media/usb-stick", shlex.quote(str(self.folder / "usb-stick")))
        process = await asyncio.create_subprocess_exec(
            *("bash", "-euo", "pipefail", "-c", text),
            cwd=self.folder,
            env=self.env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(PATIENCE):
            out, err = await process.communicate()
        assert (process.returncode, err.decode()) == (0, ""), (text, out.decode(), err.decode())
        return out.decode()


def machine_in(folder: Path, settings: dict[str, str]) -> Machine:
    program = folder / "bin" / "corral"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m corral "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    (folder / "usb-stick").mkdir()
    env = environment(**settings)
    return Machine(folder, env | {"PATH": f"{program.parent}:{env['PATH']}"})


@dataclass(slots=True)
class Access:
    """Everything that let somebody in before the restore."""

    cookie: str
    token: str
    grant: dict[str, str]
    link: str
    recovery: str
    invitation: str

    async def results(self, url: str) -> dict[str, int]:
        """The status of a use of each."""
        bearer = {"Authorization": f"Bearer {self.token}"}
        password = {"password": PASSWORD}
        async with ClientSession(url) as client:
            return {
                "session": await _status(client, "GET", "/api/me", headers={"Cookie": self.cookie}),
                "token": await _status(client, "GET", "/api/me", headers=bearer),
                "grant": await _status(client, "GET", "/alpaca/v2/account", headers=self.grant),
                "link": await _posted(client, "/api/session/link", {"token": self.link}),
                "recovery": await _posted(client, "/api/recovery", {"token": self.recovery, "new_password": PASSWORD}),
                "invitation": await _posted(client, "/api/invitation", {"token": self.invitation, **password}),
            }  # fmt: skip


async def _status(client: ClientSession, method: str, path: str, **request: Any) -> int:  # noqa: ANN401 - aiohttp's own
    async with client.request(method, path, **request) as answer:
        return answer.status


async def _posted(client: ClientSession, path: str, body: Json) -> int:
    return await _status(client, "POST", path, json=body, headers=SAME_ORIGIN)


async def sign_in(url: str, email: str) -> str:
    async with (
        ClientSession(url, headers=SAME_ORIGIN) as client,
        client.post("/api/session", json={"email": email, "password": PASSWORD}) as answer,
    ):
        assert answer.status == 200, await answer.text()
        return cookie_of(answer)


async def gain_access(url: str, settings: dict[str, str], key_id: str) -> Access:
    cookie = await sign_in(url, ALICE)
    token = (await corral("tokens", "create", ALICE, "--name=bot", **settings)).out.strip()
    link = (await corral("users", "add", CAROL, **settings)).out.partition("#")[2].strip()
    recovery = (await corral("users", "link", BOB, **settings)).out.partition("#")[2].strip()
    async with ClientSession(url, headers=SAME_ORIGIN | {"Cookie": cookie}) as page:
        stored = await _made(page, "/api/credentials", {"nickname": "mine", **key_pair(key_id)})
        invited = await _made(
            page, "/api/people/invitations", {"email": "dave@example.com", "current_password": PASSWORD}
        )
        grant = await _made(page, f"/api/credentials/{stored['id']}/grants", {"name": "bot", "access": "trade"})
    pair = {"APCA-API-KEY-ID": grant["key_id"], "APCA-API-SECRET-KEY": grant["secret_key"]}
    return Access(cookie, token, pair, link, recovery, invited["link"].partition("#")[2])


async def _made(client: ClientSession, path: str, body: Json) -> Json:
    async with client.post(path, json=body) as answer:
        assert answer.status == 201, await answer.text()
        return await answer.json()


@asynccontextmanager
async def at_work(url: str, access: Access) -> AsyncGenerator[list[int]]:
    """Orders, accounts and tokens are made all the time, until the block ends. Yields the statuses so far."""
    statuses: list[int] = []

    async def repeat(number: int) -> None:
        bearer = {"Authorization": f"Bearer {access.token}"}
        async with ClientSession(url) as client:
            while True:
                statuses.append(await _status(client, "POST", "/alpaca/v2/orders", json=ORDER, headers=access.grant))
                keys = {"nickname": f"more {number}", **key_pair(paper_key())}
                await _status(client, "POST", "/api/credentials", json=keys, headers=bearer)
                await _status(
                    client, "POST", "/api/tokens", json={"name": "more", "scopes": ["accounts:read"]}, headers=bearer
                )

    working = [asyncio.ensure_future(repeat(number)) for number in range(3)]
    try:
        async with asyncio.timeout(PATIENCE):
            while 200 not in statuses:  # noqa: ASYNC110 - the other tasks' answers
                await asyncio.sleep(0.01)
        yield statuses
    finally:
        for task in working:
            task.cancel()
        ended = await asyncio.gather(*working, return_exceptions=True)
    assert all(isinstance(one, asyncio.CancelledError | ClientError) for one in ended), ended


async def test_the_worst_day_by_the_commands_of_the_page(
    data: Path, folder: Path, against_sandbox: dict[str, str]
) -> None:
    settings = {**against_sandbox, "data_dir": str(data)}
    machine, key_id = machine_in(folder, settings), paper_key()
    await add_people(settings)
    async with running("serve", **settings) as server:
        url = await server.url()
        access = await gain_access(url, settings, key_id)
        async with at_work(url, access):
            backed_up = await machine.next_block("corral backup corral.backup --keyring")
            assert re.search(r"corral\.backup has 3 people and \d+ accounts?, as of ", backed_up)
            await machine.next_block('corral backup "corral-$(date')
        assert set((await access.results(url)).values()) == {200, 201, 204}, "each of it works"
        # After the backup: access is gained and ended, of which the backup knows nothing.
        later = (await corral("tokens", "create", ALICE, "--name=later", **settings)).out.strip()
        for command in (("users", "disable", CAROL), ("users", "demote", ALICE), ("users", "promote", BOB)):
            assert (await corral(*command, **settings)).status == 0
        assert await server.stop() == 0
    heads = (data / "audit-heads.jsonl").read_bytes()
    shutil.rmtree(data)

    restored = await machine.next_block("corral restore corral.backup --keyring")
    told = restored.partition("Not disabled now:\n")[2].splitlines()[:3]
    assert told == [f"  {ALICE} (administrator)", f"  {BOB}", f"  {CAROL}"]
    assert (data / "keyring.json").stat().st_mode & 0o777 == 0o600
    (data / "audit-heads.jsonl").write_bytes(heads)  # as from another machine
    assert f"{CAROL} " in await machine.next_block("corral users list\ncorral users disable bob@example.com\n")
    checked = await machine.next_block("corral audit verify\ncorral doctor\n")
    assert re.search(r"✓ 3 audit trails with [\d,]+ entries: whole", checked)
    assert "✓ the keyring opens every stored key" in checked
    assert re.search(rf"! {re.escape(ALICE)}: a backup was restored at .*; entr(y|ies) \d.* gone since", checked)
    link = (await machine.next_block("corral users link")).partition("#")[2].strip()

    assert machine.left.pop(0) == "corral serve\n"
    async with running("serve", **settings) as server:
        url = await server.url()
        await assert_nobody_gets_in(url, access, later)
        await put_access_back_by_hand(data, folder / "corral.backup")
        await assert_nobody_gets_in(url, access, later)
        async with ClientSession(url) as client:
            assert await _posted(client, "/api/recovery", {"token": link, "new_password": PASSWORD}) == 204
        await assert_everything_works(url, key_id)
        assert await server.stop() == 0
    replaced = await machine.next_block("corral restore corral.backup --replace")
    former = re.search(r"kept in \S+/(postgres\.before-restore-\S+) until", replaced)
    assert former
    assert former[1] in names_in(data)
    async with running("serve", **settings) as server:
        assert await server.says(r"removed  (postgres\.before-restore-\S+), the data from before")
        assert former[1] not in names_in(data)
        assert await server.stop() == 0
    assert machine.left == []


async def assert_nobody_gets_in(url: str, access: Access, later: str) -> None:
    results = await access.results(url)
    assert {results[name] for name in ("session", "token", "grant")} == {401}, results
    assert all(400 <= results[name] < 500 for name in ("link", "recovery", "invitation")), results
    async with ClientSession(url, headers={"Authorization": f"Bearer {later}"}) as client:
        assert await _status(client, "GET", "/api/me") == 401


async def put_access_back_by_hand(data: Path, backup: Path) -> None:
    """As whoever can write to the database and has an old copy of its rows, but not the keyring."""
    with zipfile.ZipFile(backup) as archive:
        texts = {table: archive.read(f"tables/{table}.copy") for table in ACCESS}
    async with (
        embedded_postgres(data) as database,
        open_owner_connection(database.dsn("corral_owner")) as owner,
        owner.transaction(),
    ):
        shapes = {shape.name: shape for shape in await backup_queries.load_tables(owner)}
        async with backup_queries.unguarded(owner, [shapes[table] for table in ACCESS]):
            for table in ACCESS:

                async def text(table: str = table) -> AsyncGenerator[bytes]:
                    yield texts[table]

                assert await backup_queries.copy_in(owner, table, shapes[table].columns, text()) > 0, table


async def assert_everything_works(url: str, key_id: str) -> None:
    """A new sign-in, the stored keys, a new grant, and an order by it."""
    cookie = await sign_in(url, ALICE)
    async with ClientSession(url, headers=SAME_ORIGIN | {"Cookie": cookie}) as page:
        async with page.get("/api/credentials") as answer:
            stored = (await answer.json())["items"]
        (mine,) = (one["id"] for one in stored if one["nickname"] == "mine")
        async with page.get(f"/api/credentials/{mine}/account-data") as answer:
            assert answer.status == 200, await answer.text()
        async with page.get("/api/people") as answer:
            assert answer.status == 200, "she is an administrator again"
        grant = await _made(page, f"/api/credentials/{mine}/grants", {"name": "new", "access": "trade"})
        pair = {"APCA-API-KEY-ID": grant["key_id"], "APCA-API-SECRET-KEY": grant["secret_key"]}
        async with page.post("/alpaca/v2/orders", json=ORDER, headers=pair) as answer:
            assert answer.status == 200, await answer.text()


async def test_no_key_material_is_in_a_backup_in_any_encoding(data: Path, against_sandbox: dict[str, str]) -> None:
    canary, control = new_canary(), new_canary()
    settings = {**against_sandbox, "data_dir": str(data)}
    await add_people(settings)
    async with running("serve", **settings) as server:
        url = await server.url()
        async with ClientSession(url, headers=SAME_ORIGIN | {"Cookie": await sign_in(url, ALICE)}) as page:
            await _made(page, "/api/credentials", {"nickname": control, **key_pair(canary)})
        file = data / "corral.backup"
        assert (await corral("backup", file, **settings)).status == 0
        assert await server.stop() == 0
    with zipfile.ZipFile(file) as archive:
        texts = b"".join(map(archive.read, archive.namelist()))
    assert canary_scan(control, texts), "the nickname is there to be found"
    keyring = re.findall(r'"value": "([^"]{20,})"', (data / "keyring.json").read_text(encoding="utf-8"))
    assert len(keyring) == 2
    for secret in (canary, *keyring):
        for place in (texts, file.read_bytes()):
            assert canary_scan(secret, place) == set()
