"""The programs that the page of a new grant shows, run exactly as they are shown."""

import asyncio
import re
import sys
from html import unescape
from pathlib import Path
from uuid import uuid4

import pytest
from aiohttp import ClientSession

from corral.grants.addresses import gateway_addresses
from corral.web.view.snippets import fill_in_snippets
from tests.people import Person

_SNIPPET = re.compile(r'<pre><code id="snippet-([^"]+)">(.*?)</code></pre>', re.DOTALL)
_PATIENCE = 120


@pytest.fixture
async def shown(alice: Person, alices: ClientSession) -> dict[str, str]:
    """The snippets of a grant that only reads, by name, as a browser shows them."""
    form = {"once": str(uuid4()), "name": "bot", "access": "read", "expires_in": "1d"}
    async with alices.post(f"/accounts/{(await alice.store())['id']}/grants", data=form) as answer:
        return {name: unescape(text) for name, text in _SNIPPET.findall(await answer.text())}


async def _run(*command: str | Path) -> str:
    program = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output, errors = await asyncio.wait_for(program.communicate(), _PATIENCE)
    assert program.returncode == 0, errors.decode()
    return output.decode()


async def test_the_curl_line_and_the_program_for_alpaca_py_work_as_they_are_shown(shown: dict[str, str]) -> None:
    assert '"buying_power"' in await _run("sh", "-c", shown["curl"])
    equity, price = (await _run(sys.executable, "-c", shown["alpaca-py"])).split()
    assert float(equity) > 0
    assert float(price) > 0


def test_the_other_programs_are_valid_python_with_the_grants_own_values() -> None:
    addresses = gateway_addresses("https://corral.example.com", None)
    filled = {one.name: one.text for one in fill_in_snippets("CGKEY", "corral_grant_x", addresses)}
    for name, text in filled.items():
        assert "CGKEY" in text
        assert "corral_grant_x" in text
        assert "https://corral.example.com/alpaca" in text
        if name not in {"curl", "javascript"}:
            compile(text, name, "exec")
