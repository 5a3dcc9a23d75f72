"""Corral as its users get it: the wheels of `make wheel` with their constraints, in an environment of their own."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from corral import __version__
from tests.access import SAME_ORIGIN
from tests.journeys.program import browser, environment, free_port, running_command
from tests.machine import CHART, SYSTEM_PYTHON, UV, UV_PROGRAM

ROOT: Final = Path(__file__).parents[1]
UNPINNED_HASH: Final = "0" * 64


@pytest.fixture
def folder() -> Iterator[Path]:
    """Open to pass: as root, the database's own user must reach it."""
    path = Path(tempfile.mkdtemp(prefix="corral-wheels-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both wheels and their constraints, made of a copy, so that another build may go on in the checkout."""
    checkout, dist = tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("with a blank") / "dist"
    for part in ("src", "requirements", "distributions"):
        shutil.copytree(ROOT / part, checkout / part, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, checkout)
    for source in (checkout / "distributions" / "corral-sandbox", checkout):
        build = (UV_PROGRAM, "build", "--wheel", "--no-build-isolation", "--python", sys.executable)
        run(*build, "--out-dir", dist, source)
    run(ROOT / "requirements" / "write-constraints", dist)
    return dist


def run(*command: str | Path) -> None:
    ended = install(*command)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def install(*command: str | Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "UV_LINK_MODE": "copy", "UV_PYTHON_DOWNLOADS": "never"}
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def new_environment(folder: Path) -> Path:
    python = SYSTEM_PYTHON if SYSTEM_PYTHON.exists() else Path(sys.executable)
    run(UV_PROGRAM, "venv", "--python", python, folder)
    return folder


@UV.mark
@CHART.mark
async def test_they_run_the_demo_with_its_chart_where_there_is_no_npm(dist: Path, tmp_path: Path, folder: Path) -> None:
    made = new_environment(folder / "environment")
    pip_install = (UV_PROGRAM, "pip", "install", "--python", made / "bin" / "python", "--require-hashes")
    run(*pip_install, "--find-links", dist, "--requirement", dist / "constraints.txt")
    programs = tmp_path / "programs"
    programs.mkdir()
    env = environment() | {"PATH": str(programs), "PYTHONPATH": "", "HOME": str(tmp_path)}
    ports = ("--port", str(free_port()), "--sandbox-port", str(free_port()))
    command = [str(made / "bin" / "corral"), "demo", "--data-dir", str(folder / "demo"), *ports]
    async with running_command(command, env) as demo:
        async with browser(await demo.url()) as client:
            link = await demo.says(r"#(corral_\w+)")
            credential_id = await demo.says(r"/api/credentials/(\S+)/account-data")
            async with client.post("/api/session/link", json={"token": link}, headers=SAME_ORIGIN) as answer:
                assert answer.status == 200
            async with client.get(f"/accounts/{credential_id}") as answer:
                static = re.search(r"/static/[^/]+", await answer.text())
                assert static
            async with client.get(f"{static[0]}/vendor/uplot.js", headers={"Accept-Encoding": "gzip"}) as chart:
                assert (chart.status, chart.headers["Content-Encoding"]) == (200, "gzip")
                assert "uPlot" in await chart.text()
        assert await demo.stop() == 0


@UV.mark
@CHART.mark
def test_a_package_of_the_same_name_that_is_not_of_this_build_is_refused(dist: Path, tmp_path: Path) -> None:
    """As a stranger's corral-sandbox on an index would be."""
    made = new_environment(tmp_path / "environment")
    constraints = (dist / "constraints.txt").read_text()
    sandbox = re.search(r"corral-sandbox==\S+ \\\n    --hash=sha256:(\w{64})\n", constraints)
    assert sandbox
    other = tmp_path / "constraints.txt"
    other.write_text(constraints.replace(sandbox[1], UNPINNED_HASH))
    only_ours = [line for line in other.read_text().partition("absl-py==")[0].splitlines() if line]
    other.write_text("\n".join(only_ours) + "\n")
    python = made / "bin" / "python"
    command = (UV_PROGRAM, "pip", "install", "--python", python, "--no-deps", "--no-index", "--find-links", dist)
    refused = install(*command, "--require-hashes", "--requirement", other)
    assert refused.returncode != 0
    assert "Hash mismatch for `corral-sandbox==" in refused.stderr
    assert not (made / "bin" / "corral").exists()


@UV.mark
@CHART.mark
def test_the_commands_that_are_printed_install_the_wheels_that_are_there(dist: Path) -> None:
    printed = install(ROOT / "requirements" / "print-installations", dist).stdout
    (wheel,) = dist.glob("corral-*.whl")
    (sandbox,) = dist.glob("corral_sandbox-*.whl")
    pins = (dist / "constraints.txt").read_text()
    digest = re.search(r"'corral @ (file://\S*)#sha256=(\w{64})'", printed)
    assert digest
    assert (digest[1], digest[2] in pins) == (wheel.as_uri(), True)
    assert f"uvx --from '{wheel}' --with '{sandbox}' --constraints '{dist}/constraints.txt' corral demo" in printed
    for command in (line for line in printed.splitlines() if line.startswith("  ")):
        assert subprocess.run(["bash", "-n"], input=command, text=True, check=False).returncode == 0


def test_the_readme_names_the_wheels_of_this_release() -> None:
    named = re.findall(r"dist/(corral\w*-[\d.]+\S*\.whl)", (ROOT / "README.md").read_text())
    assert set(named) == {f"{name}-{__version__}-py3-none-any.whl" for name in ("corral", "corral_sandbox")}
