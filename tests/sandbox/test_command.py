"""`corral-sandbox` and `corral sandbox` are one command, run as programs."""

import asyncio
import re
import signal
import socket
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from corral_sandbox import secret_of
from corral_sandbox.command import main
from corral_sandbox.version import __version__
from tests.journeys.program import PATIENCE, Running, corral, corral_reading, environment, running_command

SANDBOX = [sys.executable, "-m", "corral_sandbox"]
KEYS = {"APCA-API-KEY-ID": "PKALICE0001", "APCA-API-SECRET-KEY": secret_of("PKALICE0001")}


async def _ended(*options: str, stdin: str = "") -> tuple[int | None, str, str]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *SANDBOX, *options, stdin=pipe, stdout=pipe, stderr=pipe, env=environment(), cwd="/"
    )
    try:
        async with asyncio.timeout(PATIENCE):
            out, err = await process.communicate(stdin.encode())
    finally:
        if process.returncode is None:
            process.kill()
    return process.returncode, out.decode(), err.decode()


@asynccontextmanager
async def _started(*options: str, command: list[str] = SANDBOX) -> AsyncGenerator[tuple[Running, str]]:
    async with running_command([*command, "--port", "0", *options], environment()) as running:
        yield running, await running.says(r"SANDBOX broker: (http://.+)/paper \(paper\)")


async def _get(url: str, path: str, **headers: str) -> dict[str, Any]:
    async with ClientSession() as http, http.get(url + path, headers=headers) as response:
        return await response.json()


async def test_every_option_reaches_the_broker() -> None:
    options = ("--seed", "7", "--speed", "0", "--start", "2026-11-24T09:29-05:00", "--rate-limit", "0")
    async with _started(*options, "--characters", "--depth", "100.5", "--latency-ms", "1", "--log-requests") as (
        running,
        url,
    ):
        health = await _get(url, "/_health")
        assert (health["seed"], health["at"]) == (7, "2026-11-24T14:29:00.000000000Z")
        async with ClientSession() as http, http.get(f"{url}/paper/v2/account?x=1", headers=KEYS) as response:
            assert "X-RateLimit-Limit" not in response.headers
            assert (await response.json())["cash"] != "100000"
        await running.logs("v2/account")
        assert re.search(
            r"^\d{4}-\d\d-\d\dT[\d:.]+\+00:00 PKALICE0001 GET /paper/v2/account\?x=1 200 [\d.]+ ms$",
            running.err,
            re.MULTILINE,
        )
        assert KEYS["APCA-API-SECRET-KEY"] not in running.err


@pytest.fixture
def sighup_is_not_ignored() -> Generator[None]:
    """Also where the tests run under `nohup`: what is ignored here is ignored by every program that is started."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("sighup_is_not_ignored")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_ends_it_in_order(how: signal.Signals) -> None:
    async with _started() as (running, _):
        assert await running.stop(how) == 0
        assert running.err == ""


async def test_corral_sandbox_is_the_same_command(capsys: pytest.CaptureFixture[str]) -> None:
    async with _started("--seed", "3", command=[sys.executable, "-m", "corral", "sandbox"]) as (running, url):
        assert (await _get(url, "/_health"))["seed"] == 3
        assert await running.stop(signal.SIGINT) == 0
    with pytest.raises(SystemExit):
        main(["--help"], "corral sandbox")
    # Lines are broken as wide as the terminal is.
    assert (await corral("sandbox", "--help")).out.split() == capsys.readouterr().out.split()


def test_it_prints_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert (ended.value.code, capsys.readouterr().out) == (0, f"corral-sandbox {__version__}\n")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--port", "65536"], "--port: must be from 0 to 65535"),
        (["--port", "x"], "--port: must be a whole number"),
        (["--speed", "-1"], "--speed: must be from 0 to 86400"),
        (["--start", "2026-11-24T09:29"], "--start: must be a time with its time zone, such as 2026-"),
        (["--depth", "nan"], "--depth: must be an amount of dollars above 0, such as 20000"),
        (["--seeds", "1"], "unrecognized arguments: --seeds 1"),
        (["--control-token", "a", "--control-token-file", "b"], "not allowed with argument --control-token"),
        (["--control-token-file", "/no/such/file"], "/no/such/file cannot be read as text: give"),
        (["--control-token-file", "/dev/null"], "/dev/null is empty: give"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_to_do(
    capsys: pytest.CaptureFixture[str], options: list[str], complaint: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(options, "corral sandbox")
    printed = capsys.readouterr()
    assert (ended.value.code, printed.out, printed.err.count("\n")) == (1, "", 1)
    assert printed.err.startswith("corral: ")
    assert complaint in printed.err


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--control-token", "two words"], "a control token consists of visible ASCII characters"),
        (["--host", "sandbox.invalid"], "sandbox.invalid:8003 cannot be used (no such host): choose an address"),
        (["--host", "192.0.2.1"], "192.0.2.1:8003 cannot be used (not an address of this machine): choose"),
    ],
)
async def test_an_address_or_a_token_that_cannot_be_used_is_reported_in_one_line(
    options: list[str], complaint: str
) -> None:
    status, out, err = await _ended(*options)
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert err.startswith(f"corral-sandbox: {complaint}")


async def test_a_port_in_use_is_named_with_the_command_that_was_typed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        complaint = f"127.0.0.1:{port} is in use by another program: choose another port with "
        assert await _ended("--port", port) == (1, "", f"corral-sandbox: {complaint}`corral-sandbox --port N`\n")
        assert (await corral("sandbox", "--port", port)).only_complaint == f"{complaint}`corral sandbox --port N`"


def _command_line(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


async def test_a_token_from_a_file_is_needed_and_is_not_in_the_list_of_processes(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("a-token-of-our-own\n")
    async with _started("--host", "0.0.0.0", "--control-token-file", str(file)) as (running, listens_on):
        url = listens_on.replace("0.0.0.0", "127.0.0.1")
        assert "token" in (await _get(url, "/_clock"))["message"]
        assert (await _get(url, "/_clock", Authorization="Bearer a-token-of-our-own"))["speed"] == 1
        assert b"a-token-of-our-own" not in _command_line(running.pid)
        assert "Other machines" not in running.out


async def test_a_token_may_come_from_standard_input() -> None:
    refused = await corral_reading("\n", "sandbox", "--control-token-file", "-")
    assert refused.only_complaint == "- is empty: give --control-token-file a file with the token"
    assert (await _ended("--control-token-file", "-", stdin="two words\n"))[2].startswith(
        "corral-sandbox: a control token consists of"
    )


async def test_without_a_token_it_says_that_other_machines_cannot_use_control_calls() -> None:
    async with _started("--host", "0.0.0.0") as (running, _):
        await running.says(r"(To use control calls \(/_…\), add --control-token-file FILE\.)")
