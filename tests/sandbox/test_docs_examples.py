"""The test suite that the page about the sandbox prints passes as it is printed."""

import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

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


def test_every_python_block_has_a_file_name() -> None:
    """tests/journeys/test_docs.py runs the blocks that are not part of the suite."""
    assert len(_files()) == len(_blocks("python"))


def test_the_tests_that_it_prints_pass(tmp_path: Path) -> None:
    for name, text in _files().items():
        (tmp_path / name).write_text(text, "utf-8")
    plugins = ("-p", "corral_sandbox.pytest_plugin", "-p", "no:cacheprovider")
    command = [sys.executable, "-c", _PYTEST, "-q", *plugins, "--rootdir", tmp_path, tmp_path]
    started_at = {
        "STARTED_AT": datetime.now(UTC).isoformat()
    }  # where the clock of this process is turned, so is theirs
    run = subprocess.run(
        command, cwd=tmp_path, env=_ENVIRONMENT | started_at, capture_output=True, text=True, timeout=900, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
