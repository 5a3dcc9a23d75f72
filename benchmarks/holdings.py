"""Holdings over thirty accounts with 1,500 positions: how long the server takes for the page, all answers warm."""

import asyncio
from dataclasses import dataclass

from aiohttp import ClientSession

from benchmarks.accounts import Viewer
from benchmarks.load import Job, Question, Report, Window

POSITIONS_OF_EACH = 50
SYMBOLS = 250  # so that each is held by six accounts
_WINDOW = Window(warm_up=2, measured=5)
_WARM_WITHIN_SECONDS = 30.0
_READ_ALL = f"{SYMBOLS} positions."


@dataclass(frozen=True, slots=True)
class HoldingsFigures:
    """One client that loads the page again and again."""

    page: Report


async def fill_accounts(viewer: Viewer, sandbox_url: str) -> None:
    """Gives each account fifty positions in invented symbols."""
    prices = {_symbol(number): f"{10 + number}.25" for number in range(SYMBOLS)}
    async with ClientSession(sandbox_url) as broker:
        async with broker.put("/_prices", json=prices) as answer:
            assert answer.status == 200, await answer.text()
        for turn, key_id in enumerate(viewer.owner.key_ids):
            symbols = [_symbol((turn * POSITIONS_OF_EACH + number) % SYMBOLS) for number in range(POSITIONS_OF_EACH)]
            positions = [{"symbol": symbol, "qty": "7", "avg_entry_price": "9.50"} for symbol in symbols]
            async with broker.put(f"/_accounts/{key_id}", json={"cash": "1000", "positions": positions}) as answer:
                assert answer.status == 200, await answer.text()


async def warm_holdings(viewer: Viewer, *, url: str) -> str:
    """Returns the page as soon as all accounts are in it."""
    async with asyncio.timeout(_WARM_WITHIN_SECONDS), ClientSession(url, headers={"Cookie": viewer.cookie}) as browser:
        while True:
            async with browser.get("/holdings?wait=true") as answer:
                page = await answer.text()
            if _READ_ALL in page:
                return page


def holdings_job(viewer: Viewer, *, url: str, server_pid: int) -> Job:
    question = Question(path="/holdings", cookie=viewer.cookie, expected=_READ_ALL)
    return Job(url=url, server_pid=server_pid, clients=1, questions=[question], window=_WINDOW)


def _symbol(number: int) -> str:
    """`QAA`, `QAB`, …"""
    return f"Q{chr(65 + number // 26)}{chr(65 + number % 26)}"
