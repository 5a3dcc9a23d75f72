"""The examples in docs/sandbox.md run as they are printed."""

import asyncio
import os
import re
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import ClientSession

from tests.sandbox.people import ALICE, keys_of

_PAGE = Path(__file__).parents[2] / "docs" / "sandbox.md"
_ENVIRONMENT = {**os.environ, "PYTHONPATH": str(_PAGE.parents[1] / "src")}
_PYTEST = """
import datetime, os, sys, pytest, time_machine
time_machine.travel(datetime.datetime.fromisoformat(os.environ["STARTED_AT"]), tick=True).start()
sys.exit(pytest.main(sys.argv[1:]))
"""
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE_NAME = re.compile(r"# (\w+\.py)\n")


def _blocks(language: str) -> list[str]:
    return [block for found, block in _BLOCK.findall(_PAGE.read_text("utf-8")) if found == language]


def _files() -> dict[str, str]:
    """The blocks by the names that they bear."""
    named = [(_FILE_NAME.match(block), block) for block in _blocks("python")]
    return {name[1]: block for name, block in named if name}


def test_every_block_is_run_here() -> None:
    assert {language for language, _ in _BLOCK.findall(_PAGE.read_text("utf-8"))} == {"python", "sh"}
    assert len(_files()) == len(_blocks("python"))


@pytest.mark.parametrize("name", [name for name in _files() if name.startswith("test_")])
def test_the_tests_that_it_prints_pass(tmp_path: Path, name: str) -> None:
    for wanted in ("conftest.py", name):
        (tmp_path / wanted).write_text(_files()[wanted], "utf-8")
    command = [sys.executable, "-c", _PYTEST, "-q", "-p", "no:cacheprovider", "--rootdir", tmp_path, tmp_path]
    started_at = {
        "STARTED_AT": datetime.now(UTC).isoformat()
    }  # where the clock of this process is turned, so is theirs
    run = subprocess.run(
        command, cwd=tmp_path, env=_ENVIRONMENT | started_at, capture_output=True, text=True, timeout=900, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr


async def test_its_command_starts_a_sandbox_that_says_where_it_listens(http: ClientSession) -> None:
    (block,) = _blocks("sh")
    program, *arguments = shlex.split(block)
    assert program == "corral"
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-m", program, *arguments, stdout=asyncio.subprocess.PIPE, env=_ENVIRONMENT
    )
    try:
        assert running.stdout
        async with asyncio.timeout(240):
            url = (await running.stdout.readline()).decode().split()[2]
            async with http.get(f"{url}/v2/clock", headers=keys_of(ALICE)) as response:
                assert response.status == 200
    finally:
        running.terminate()
        await running.communicate()
