"""`corral serve` and `corral demo`, from the first start on."""

import asyncio
import errno
import json
import re
import shlex
import shutil
import socket
from pathlib import Path

import pytest
from aiohttp import ClientSession

from corral import listening
from corral.database.connection import open_owner_connection
from corral.database.embedded.instance import embedded_postgres
from corral.listening import CannotListen
from corral.settings import Settings
from tests.journeys.footprint import files_in, processes_of
from tests.journeys.program import browser, corral, free_port, running

FIRST = {"email": "first@corral.example", "password": "correct horse battery staple"}


async def test_the_set_up_link_is_printed_until_the_first_user_exists_and_works_once(
    data: Path, against_sandbox: dict[str, str]
) -> None:
    async with running("serve", data_dir=data, **against_sandbox) as server:
        async with browser(await server.url()) as client:
            code = await server.says(rf"set-up\s+{re.escape(await server.url())}/setup#(\S+)")
            async with client.post("/api/setup", json={"token": code, **FIRST}) as answer:
                assert answer.status == 201, await answer.text()
            async with client.get("/api/me") as answer:
                assert (await answer.json())["email"] == FIRST["email"]
        async with (
            browser(await server.url()) as late,
            late.post("/api/setup", json={"token": code, **FIRST}) as answer,
        ):
            assert answer.status in {401, 409}
        assert code not in server.err
        assert await server.stop() == 0
    async with running("serve", data_dir=data, **against_sandbox) as server:
        await server.url()
        assert await server.stop() == 0
        assert "set-up" not in server.out
        assert str(data / "keyring.json") in server.out


async def test_a_port_in_use_is_reported_with_what_to_do_for_the_command(data: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other_program:
        port, demo = other_program.getsockname()[1], data.with_name("demo")
        free = free_port()
        for arguments, way_out in (
            (("serve", "--port", port), "`corral serve --port N` or CORRAL_PORT"),
            (("sandbox", "--port", port), "`corral sandbox --port N`"),
            (("demo", "--data-dir", demo, "--port", free, "--sandbox-port", port), "`corral demo --sandbox-port N`"),
            (("demo", "--data-dir", demo, "--port", port, "--sandbox-port", free), "`corral demo --port N`"),
        ):
            ended = await corral(*arguments, data_dir=data)
            taken = f"127.0.0.1:{port} is in use by another program"
            assert ended.only_complaint == f"{taken}: choose another port with {way_out}"
    assert not (demo / "postgres").exists(), "PostgreSQL is not made for a start that cannot be"
    nobodys = "192.0.2.1"  # TEST-NET-1, RFC 5737
    elsewhere = await corral(
        "serve", "--host", nobodys, data_dir=data, port=8002, public_url="https://corral.example.com"
    )
    assert elsewhere.only_complaint.startswith(f"cannot listen on {nobodys}:8002 (")
    assert "use --host with an address of this machine" in elsewhere.only_complaint


def test_a_port_that_is_not_allowed_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_host: str, _port: int) -> socket.socket:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(listening, "reserve_port", refuse)
    with (
        pytest.raises(CannotListen, match=r"cannot listen on 127.0.0.1:80 \(permission denied\): choose another port"),
        listening.reserved_port(Settings(port=80), "serve"),
    ):
        pass


async def test_no_link_is_printed_once_the_service_is_stopping(data: Path, against_sandbox: dict[str, str]) -> None:
    """The link is about to be stored when the stop comes, and is stored afterwards."""
    async with (
        embedded_postgres(data) as postgres,
        open_owner_connection(postgres.dsn("corral_owner")) as owner,
        running("serve", data_dir=data, **against_sandbox) as server,
    ):
        async with owner.transaction():
            await owner.execute("LOCK TABLE corral.one_time_links IN EXCLUSIVE MODE")
            while not await owner.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"):  # noqa: ASYNC110
                await asyncio.sleep(0.02)  # the database has no event for it
            server.process.terminate()
            await server.logs("stopping")
        await server.ends()
        assert "#corral_" not in server.out
        assert "Traceback" not in server.err


async def test_printed_paths_are_absolute(data: Path, against_sandbox: dict[str, str]) -> None:
    """The program runs in the root folder here."""
    relative = str(data.relative_to("/"))
    keyring = {"keyring": f"file:{relative}/keyring.json"}
    async with running("serve", data_dir=relative, **keyring, **against_sandbox) as server:
        assert await server.says(r"data +(\S+)") == str(data / "postgres")
        assert await server.says(r"keyring +(\S+)") == str(data / "keyring.json")
        assert await server.stop() == 0
    other_real_data = await corral("demo", "--data-dir", relative)
    assert str(data) in other_real_data.only_complaint


async def test_a_second_server_on_the_same_data_is_refused(data: Path, against_sandbox: dict[str, str]) -> None:
    async with running("serve", data_dir=data, **against_sandbox) as server:
        await server.url()
        second = await corral("serve", data_dir=data, **{**against_sandbox, "port": free_port()})
        assert str(server.pid) in second.only_complaint
        assert "--data-dir" in second.only_complaint
        assert await server.stop() == 0


async def test_real_and_sandbox_data_are_never_mixed(folder: Path, data: Path) -> None:
    demo = folder / "demo"
    demo.mkdir(mode=0o711)
    (demo / "SANDBOX").touch()
    before = files_in(data), files_in(demo)
    assert "SANDBOX" in (await corral("serve", data_dir=demo)).only_complaint
    assert "real data" in (await corral("demo", "--data-dir", data)).only_complaint
    assert (files_in(data), files_in(demo)) == before


async def test_the_demo_can_be_tried_as_it_is_printed(folder: Path) -> None:
    """The link, the token and the curl line; and a second start finds the same accounts."""
    demo = folder / "demo"
    assert await try_demo(demo) == await try_demo(demo)


async def try_demo(data: Path) -> list[dict[str, object]]:
    ports = ("--port", str(free_port()), "--sandbox-port", str(free_port()))
    of_others = {
        "PGTARGETSESSIONATTRS": "nonsense",
        "database_url": "postgresql://corral_app:hunter2@db.example/corral",
    }
    async with running("demo", "--data-dir", data, *ports, **of_others) as demo:
        code = await demo.says(r"http://127\.0\.0\.1:\d+/sign-in#(\S+)")
        command = await demo.says(r"\n(curl .*)\n")
        token = await demo.says(r"Bearer (corral_\w+)'")
        await demo.says(r"(Ctrl-C)")
        assert "SANDBOX" in demo.out
        async with browser(await demo.url()) as client:
            async with client.post("/api/session/link", json={"token": code}) as answer:
                assert answer.status == 200
            async with client.get("/api/credentials") as answer:
                accounts = (await answer.json())["items"]
        account = await run_as_pasted(command)
        assert account["account_type"] == "paper"
        assert {one["credential_type"] for one in accounts} == {"paper", "live"}
        assert all("SANDBOX" in one["nickname"] for one in accounts)
        for secret in (token, code):
            assert secret not in demo.err
        assert await demo.stop() == 0
    return [{name: one[name] for name in ("id", "nickname", "account_number")} for one in accounts]


async def run_as_pasted(command: str) -> dict[str, object]:
    if shutil.which("curl"):
        shell = await asyncio.create_subprocess_shell(command, stdout=asyncio.subprocess.PIPE)
        return json.loads((await shell.communicate())[0])
    _, _, _, authorization, url = shlex.split(command)
    name, _, value = authorization.partition(": ")
    async with ClientSession(headers={name: value}) as client, client.get(url) as answer:
        return await answer.json()


async def test_a_stopped_server_leaves_no_process_and_no_database_address(
    data: Path, against_sandbox: dict[str, str]
) -> None:
    async with running("serve", data_dir=data, **against_sandbox) as server:
        await server.url()
        assert processes_of(data)
        assert await server.stop() == 0
        assert processes_of(data) == []
