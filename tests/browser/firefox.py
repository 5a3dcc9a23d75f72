"""Debian's Firefox, driven by Playwright over WebDriver BiDi.

Playwright sets a page's color scheme by a command that Firefox ESR does not have yet, and gives up without it. So it
starts this module in place of Firefox: it starts Firefox, and passes on everything between the two but that command,
which it answers itself.
"""

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType, web
from playwright.async_api import Browser, async_playwright

from tests.machine import FIREFOX_PROGRAM

_REPOSITORY: Final = Path(__file__).parents[2]
_MISSING: Final = "emulation.setMediaFeaturesOverride"
_LISTENING: Final = re.compile(rb"WebDriver BiDi listening on (ws://\S+)")
_MOST_BYTES: Final = 64 * 1024 * 1024  # of one message, such as a screenshot


@asynccontextmanager
async def open_firefox(folder: Path) -> AsyncGenerator[Browser]:
    """`folder` gets a program that stands in for Firefox, because Playwright takes the path of one."""
    program = folder / "firefox-for-playwright"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m {__name__} "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    path = os.pathsep.join(filter(None, [str(_REPOSITORY), os.environ.get("PYTHONPATH")]))
    async with async_playwright() as playwright:
        browser = await playwright.firefox.launch(
            executable_path=program,
            channel="moz-firefox",
            env={**os.environ, "PYTHONPATH": path},
            firefox_user_prefs={"ui.useOverlayScrollbars": 1},
        )
        try:
            yield browser
        finally:
            await browser.close()


async def _run(program: str, arguments: list[str]) -> int:
    """Runs Firefox until it ends, and returns its exit status."""
    firefox = await asyncio.create_subprocess_exec(
        program, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    assert firefox.stdout is not None
    async for line in firefox.stdout:
        found = _LISTENING.search(line)
        if found is None:
            sys.stderr.buffer.write(line)
            continue
        address = await _listen(found[1].decode())
        sys.stderr.write(f"WebDriver BiDi listening on {address}\n")
        sys.stderr.flush()
    return await firefox.wait()


async def _listen(firefox_address: str) -> str:
    """Returns the address at which Playwright reaches Firefox."""

    async def pass_on(request: web.Request) -> web.WebSocketResponse:
        playwright = web.WebSocketResponse(max_msg_size=_MOST_BYTES)
        await playwright.prepare(request)
        target = firefox_address + request.path
        async with ClientSession() as client, client.ws_connect(target, max_msg_size=_MOST_BYTES) as firefox:
            back = asyncio.create_task(_pass_back(firefox, playwright))
            async for message in playwright:
                command = json.loads(message.data)
                if command["method"] == _MISSING:
                    await playwright.send_json({"type": "success", "id": command["id"], "result": {}})
                else:
                    await firefox.send_str(message.data)
            back.cancel()
        return playwright

    app = web.Application()
    app.router.add_get("/{path:.*}", pass_on)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0]
    return f"ws://{host}:{port}"


async def _pass_back(firefox: ClientWebSocketResponse, playwright: web.WebSocketResponse) -> None:
    async for message in firefox:
        if message.type is WSMsgType.TEXT:
            await playwright.send_str(message.data)
    await playwright.close()


if __name__ == "__main__":
    assert FIREFOX_PROGRAM is not None
    sys.exit(asyncio.run(_run(FIREFOX_PROGRAM, sys.argv[1:])))
