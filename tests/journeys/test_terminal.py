"""What a person at a terminal of 80 columns sees of `corral demo` and `corral serve`."""

import asyncio
import fcntl
import json
import os
import pty
import re
import struct
import sys
import termios
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import ClientSession

from tests.journeys.program import PATIENCE, Running, environment, free_port, running, running_command

_COLOR = re.compile(r"\x1b\[[\d;]*m")
_AT = r"\d\d:\d\d:\d\d "


@dataclass(slots=True)
class Terminal:
    """Our end of a pseudo-terminal, and what was written to the other end."""

    end: int
    written: bytes = b""
    program: Running | None = field(default=None)

    async def shows(self, pattern: str) -> re.Match[str]:
        async with asyncio.timeout(PATIENCE):
            while not (found := re.search(pattern, self.text, re.MULTILINE)):
                self.written += await asyncio.to_thread(os.read, self.end, 65536)
        return found

    @property
    def text(self) -> str:
        return _COLOR.sub("", self.raw)

    @property
    def raw(self) -> str:
        return self.written.decode(errors="ignore").replace("\r\n", "\n")


@asynccontextmanager
async def at_a_terminal(*arguments: object, **settings: object) -> AsyncGenerator[Terminal]:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    redirected = 'name="$1"; shift; exec "$0" -m corral "$@" <"$name" >"$name" 2>&1'
    command = ["/bin/sh", "-c", redirected, sys.executable, os.ttyname(theirs), *map(str, arguments)]
    try:
        async with running_command(command, environment(TERM="xterm", **settings)) as program:
            yield Terminal(ours, program=program)
    finally:
        os.close(theirs)
        os.close(ours)


@pytest.fixture
def demo(data: Path) -> tuple[object, ...]:
    """A demo whose database is there already."""
    (data / "SANDBOX").touch()
    return ("demo", "--data-dir", data, "--port", free_port(), "--sandbox-port", free_port())


async def test_the_demo_prints_a_short_block_and_then_one_line_for_each_request(demo: tuple[object, ...]) -> None:
    async with at_a_terminal(*demo) as terminal:
        await terminal.shows("Press Ctrl-C to stop")
        block = [line for line in terminal.text.split("\n") if line]
        url, token = (await terminal.shows(r"listens on (\S+)"))[1], (await terminal.shows(r"Bearer (corral_\w+)"))[1]
        assert block == [
            f"Corral  SANDBOX  listens on {url} (no real money)",
            "To sign in, open this link (it works once):",
            (await terminal.shows(rf"^{url}/sign-in#corral_\w+$"))[0],
            "To read an account, paste this into another terminal:",
            (await terminal.shows(r"^curl .*$"))[0],
            "Press Ctrl-C to stop.",
        ]
        before = len(terminal.text)
        async with ClientSession(url, headers={"Authorization": f"Bearer {token}"}) as client:
            for path in ("/api/me", "/api/overview", "/api/credentials/of-nobody", "/nothing"):
                async with client.get(path) as answer:
                    await answer.read()
        await terminal.shows("GET /nothing")
        *lines, rest = terminal.text[before:].lstrip("\n").split("\n")
        assert rest == ""
        shapes = ("200 GET /api/me", "200 GET /api/overview", "422 GET /api/credentials/{id}", "404 GET /nothing")
        for line, shape in zip(lines, shapes, strict=True):
            assert re.fullmatch(rf"{_AT}{re.escape(shape)} \d+ ms( [0-9a-f]{{8}})?", line), line
            assert len(line) <= 80
        assert token not in terminal.text[before:]
        assert "\x1b[33m404\x1b[0m" in terminal.raw


async def test_no_color_is_respected(demo: tuple[object, ...]) -> None:
    async with at_a_terminal(*demo, NO_COLOR="1") as terminal:
        url = (await terminal.shows(r"listens on (\S+)"))[1]
        async with ClientSession(url) as client, client.get("/nothing"):
            await terminal.shows("404 GET /nothing")
        assert "\x1b[33m" not in terminal.raw


async def test_serve_at_a_terminal_prints_its_block_and_requests(data: Path, against_sandbox: dict[str, str]) -> None:
    settings = {name: value for name, value in against_sandbox.items() if name != "log_format"}
    async with at_a_terminal("serve", data_dir=data, **settings) as terminal:
        url = (await terminal.shows(r"listens on (\S+)"))[1]
        link = await terminal.shows(r"set-up +(\S+) \(works once, for 24 hours\)")
        async with ClientSession(url) as client, client.get("/healthz"):
            await terminal.shows(rf"^{_AT}200 GET /healthz \d+ ms$")
        assert link[1].startswith(f"{url}/setup#")
        assert "{" not in terminal.text.replace("{id}", "")


async def test_logs_are_json_where_they_are_collected(demo: tuple[object, ...]) -> None:
    async with running(*demo) as program:
        await seen_by(await program.url())
        await program.logs("/nothing")
        assert [json.loads(line) for line in program.err.splitlines()][-1]["path"] == "/nothing"


async def test_the_demo_s_log_is_json_at_a_terminal_when_asked_for(demo: tuple[object, ...]) -> None:
    async with at_a_terminal(*demo, log_format="json") as terminal:
        await seen_by((await terminal.shows(r"listens on (\S+)"))[1])
        line = (await terminal.shows(r'^\{.*"/nothing".*\}$'))[0]
        assert json.loads(line)["event"] == "request"


async def seen_by(url: str) -> None:
    async with ClientSession(url) as client, client.get("/nothing") as answer:
        assert answer.status == 404
