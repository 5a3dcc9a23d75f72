"""`corral serve` and `corral demo`, from the first start on."""

import asyncio
import json
import os
import re
import shlex
import shutil
import socket
from pathlib import Path

import psutil
from aiohttp import ClientSession

from tests.journeys.footprint import files_in
from tests.journeys.program import browser, corral, free_port, running

FIRST = {"email": "first@corral.example", "password": "correct horse battery staple"}


async def test_the_set_up_link_is_printed_while_nobody_exists_and_works_once(
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


async def test_a_taken_port_is_told_and_so_is_an_address_of_another_machine(data: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other_program:
        port, demo = other_program.getsockname()[1], data.with_name("demo")
        for arguments, option in (
            (("serve", "--port", port), "--port"),
            (("sandbox", "--port", port), "--port"),
            (("demo", "--data-dir", demo, "--port", free_port(), "--sandbox-port", port), "--sandbox-port"),
        ):
            ended = await corral(*arguments, data_dir=data)
            assert str(port) in ended.only_complaint
            assert option in ended.only_complaint
    elsewhere = await corral("serve", "--host", "192.0.2.1", data_dir=data)  # TEST-NET-1, RFC 5737: nobody's
    assert "192.0.2.1" in elsewhere.only_complaint


async def test_a_second_server_on_the_same_data_is_refused(data: Path, against_sandbox: dict[str, str]) -> None:
    async with running("serve", data_dir=data, **against_sandbox) as server:
        await server.url()
        second = await corral("serve", data_dir=data, **{**against_sandbox, "port": free_port()})
        assert str(server.pid) in second.only_complaint
        assert "--data-dir" in second.only_complaint
        assert await server.stop() == 0


async def test_real_and_sandbox_data_never_meet(folder: Path, data: Path) -> None:
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
    async with running("demo", "--data-dir", data, *ports) as demo:
        token = await demo.says(r"token\s+(corral_\S+)")
        code = await demo.says(r"sign in\s+http://127\.0\.0\.1:\d+/sign-in#(\S+)")
        command = await demo.says(r"\n(curl .*)\n")
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


def processes_of(data: Path) -> list[int]:
    """PostgreSQL's, which keeps its folder as its current one."""
    found: list[int] = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and Path(process.cwd()).is_relative_to(data):
                found.append(process.pid)
        except psutil.Error:
            continue
    return found
