"""Every signal that ends the program: an orderly shutdown that leaves no PostgreSQL running."""

import asyncio
import os
import pty
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import ClientConnectionError, ClientSession

from tests.journeys.footprint import processes_of
from tests.journeys.program import PATIENCE, environment, running, running_command

pytestmark = pytest.mark.usefixtures("executed")


@pytest.fixture(scope="module", autouse=True)
def sighup_is_not_ignored() -> Iterator[None]:
    """Also where the tests run under `nohup`: what is ignored here is ignored by every program that is started."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


async def test_a_stop_is_first_seen_at_readyz_while_requests_are_still_answered(
    data: Path, against_sandbox: dict[str, str]
) -> None:
    async with running("serve", data_dir=data, **against_sandbox, drain_seconds=600) as server:
        async with ClientSession(await server.url()) as client:
            assert await status_of(client, "/readyz") == 200
            server.process.terminate()
            await server.logs("stopping")
            assert await status_of(client, "/readyz") == 503
            assert await status_of(client, "/healthz") == 200
            assert await status_of(client, "/api/me") == 401
        async with ClientSession(await server.url()) as newcomer:
            assert await status_of(newcomer, "/healthz") == 200
        assert await server.stop() == 0, "a second signal ends the wait"
        assert processes_of(data) == []


async def test_the_listener_closes_after_the_time_to_drain(data: Path, against_sandbox: dict[str, str]) -> None:
    usual = {"drain_seconds": "0.1"}
    async with running("serve", data_dir=data, **against_sandbox, **usual) as server:
        url = await server.url()
        assert await server.stop() == 0
        with pytest.raises(ClientConnectionError):
            async with ClientSession(url) as client:
                await status_of(client, "/healthz")


async def test_closing_the_terminal_stops_the_service_and_its_database(
    data: Path, against_sandbox: dict[str, str]
) -> None:
    """The kernel sends SIGHUP, and nothing can be written any more."""
    ours, theirs = pty.openpty()
    terminal = os.ttyname(theirs)
    # The first terminal that a session leader opens becomes its controlling terminal, whose hangup it gets.
    command = f'exec setsid sh -c \'exec "$0" -m corral serve <{terminal} >{terminal} 2>&1\' "$0"'
    settings = {"data_dir": data, **against_sandbox}
    async with running_command(["/bin/sh", "-c", command, sys.executable], environment(**settings)) as server:
        await read_until(ours, b"set-up")
        assert processes_of(data)
        os.close(theirs)
        os.close(ours)
        await server.ends()
    assert processes_of(data) == []


async def read_until(terminal: int, text: bytes) -> None:
    said = b""
    async with asyncio.timeout(PATIENCE):
        while text not in said:
            said += await asyncio.to_thread(os.read, terminal, 4096)


async def test_a_service_under_nohup_survives_its_terminal(data: Path, against_sandbox: dict[str, str]) -> None:
    """As `nohup` starts it."""
    command = ["/bin/sh", "-c", "trap '' HUP; exec \"$0\" -m corral serve", sys.executable]
    settings = {"data_dir": data, **against_sandbox, "drain_seconds": 600}
    async with running_command(command, environment(**settings)) as server:
        async with ClientSession(await server.url()) as client:
            server.process.send_signal(signal.SIGHUP)
            server.process.terminate()
            await server.logs("stopping")
            assert await status_of(client, "/readyz") == 503, "a second signal would have ended it"
        assert await server.stop() == 0


@pytest.mark.parametrize("how", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
async def test_an_interrupted_command_leaves_no_database_running(how: signal.Signals, data: Path) -> None:
    asked = asyncio.Event()

    async def never_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await reader.read()  # until the other side hangs up
        writer.close()

    alpaca = await asyncio.start_server(never_answer, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{alpaca.sockets[0].getsockname()[1]}"
    hosts = {"alpaca_paper_url": f"{url}/paper", "alpaca_live_url": f"{url}/live", "upstream_timeout_seconds": 60}
    async with alpaca, running("doctor", data_dir=data, **hosts) as command:
        await asked.wait()
        assert processes_of(data)
        command.process.send_signal(how)
        command.process.send_signal(how)
        assert await command.ends() == 1
        assert command.err == "corral: interrupted\n"
    assert processes_of(data) == []


async def status_of(client: ClientSession, path: str) -> int:
    async with client.get(path) as answer:
        return answer.status
