"""Thirty accounts on the home page: how long the server takes, and what a browser has to load."""

import asyncio
import re
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import ClientSession

from benchmarks.accounts import CARDS, Viewer
from benchmarks.load import Job, Question, Report, Window
from benchmarks.scripts import script_paths
from corral.web.static_files import STATIC_FILES, STATIC_PATH

_WINDOW = Window(warm_up=2, measured=5)
_NEVER_MS = 15_000  # longer than Corral waits for anything
_WARM_WITHIN_SECONDS = 20.0
_LOADED = re.compile(r'(?:href|src)="(/static/[^"]+)"')
_ACCOUNT = re.compile(r"/accounts/[0-9a-f-]{36}")


@dataclass(frozen=True, slots=True)
class Weight:
    """Bytes as they are sent, head not counted: files compressed, pages not. `all_scripts` are those of every page."""

    html: int
    styles: int
    scripts: int
    icon: int
    all_scripts: int

    @property
    def page(self) -> int:
        return self.html + self.styles + self.scripts + self.icon


@dataclass(frozen=True, slots=True)
class CardFigures:
    """One client that loads the page again and again. `waiting`: for one of the accounts Alpaca does not answer.

    `account_scripts` is what the scripts of an account's page weigh in bytes, compressed.
    """

    warm: Report
    waiting: Report
    weight: Weight
    account_scripts: int


def cards_job(viewer: Viewer, *, url: str, server_pid: int) -> Job:
    question = Question(path="/", cookie=viewer.cookie, expected="data-total")
    return Job(url=url, server_pid=server_pid, clients=1, questions=[question], window=_WINDOW)


async def warm_page(viewer: Viewer, *, url: str, waiting: int = 0) -> str:
    """The page as soon as all accounts but `waiting` have their figures, their lines and their curve."""
    async with asyncio.timeout(_WARM_WITHIN_SECONDS), ClientSession(url, headers={"Cookie": viewer.cookie}) as browser:
        while True:
            async with browser.get("/lines") as answer:
                lines = await answer.json()
            async with browser.get("/") as answer:
                page = await answer.text()
            if len(lines) == CARDS - waiting and page.count(">Loading…<") == waiting:
                return page


async def read_account_page(viewer: Viewer, home: str, *, url: str) -> str:
    """Returns the page of the first account on the home page."""
    found = _ACCOUNT.search(home)
    assert found, "the home page has no account"
    async with ClientSession(url, headers={"Cookie": viewer.cookie}) as browser, browser.get(found[0]) as answer:
        return await answer.text()


@asynccontextmanager
async def silent_account(sandbox_url: str, key_id: str) -> AsyncGenerator[None]:
    async with ClientSession(sandbox_url) as broker:
        async with broker.put("/_faults", json={"faults": [{"key_id": key_id, "latency_ms": _NEVER_MS}]}) as answer:
            assert answer.status == 200, await answer.text()
        yield
        async with broker.delete("/_faults"):
            pass


def weigh(html: str) -> Weight:
    """The files that the page names, and the modules that those import."""
    loaded = {path.removeprefix(f"{STATIC_PATH}/") for path in _LOADED.findall(html)} | script_paths(html)
    return Weight(
        html=len(html.encode()),
        styles=_bytes_of(path for path in loaded if path.endswith(".css")),
        scripts=_bytes_of(path for path in loaded if path.endswith(".js")),
        icon=_bytes_of(path for path in loaded if path.endswith(".svg")),
        all_scripts=_bytes_of(path for path in STATIC_FILES if path.startswith("scripts/")),
    )


def _bytes_of(paths: Iterable[str]) -> int:
    files = (STATIC_FILES[path] for path in paths)
    return sum(len(file.compressed or file.content) for file in files)
