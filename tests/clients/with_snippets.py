"""Runs the programs that the page of a new grant shows with the clients that they use, through the gateway.

`tests/web/test_snippets.py` runs those for curl and alpaca-py, which need nothing that has to be installed for them.
"""

import asyncio
import os
from pathlib import Path
from typing import Final

import pytest

from tests.web.conftest import alices, browsing
from tests.web.test_snippets import shown

__all__ = ["alices", "browsing", "shown"]  # fixtures

_INSTALLED: Final = Path(__file__).parents[2] / ".tools" / "clients"
_NODE: Final = _INSTALLED / "node" / "snippet.mjs"  # Node finds packages only beside the program
_PATIENCE: Final = 180


@pytest.mark.parametrize("name", ["alpaca-trade-api", "ccxt", "javascript"])
async def test_a_snippet_works_with_its_client(name: str, shown: dict[str, str]) -> None:
    if name == "javascript":
        _NODE.write_text(shown[name].replace("@alpacahq/alpaca-trade-api", "alpaca-trade-api-3"), encoding="utf-8")
        printed = await _run("node", _NODE)
    else:
        printed = await _run(_INSTALLED / name / "bin" / "python", "-c", shown[name])
    assert [float(number) > 0 for number in printed.split()] == [True, True]


async def _run(*command: str | Path) -> str:
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    program = await asyncio.create_subprocess_exec(
        *command,
        env={**environment, "NO_PROXY": "127.0.0.1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await asyncio.wait_for(program.communicate(), _PATIENCE)
    assert program.returncode == 0, (output + errors).decode()
    return output.decode()
