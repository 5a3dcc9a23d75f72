"""The sandbox as its users get it: the wheel that `make wheel` builds, in an environment that holds nothing else."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.machine import SYSTEM_PYTHON, UV, UV_PROGRAM

ROOT: Final = Path(__file__).parents[2]
SOURCES: Final = ROOT / "distributions" / "corral-sandbox"


def install_sandbox(folder: Path) -> Path:
    """Returns a virtual environment with the wheel and what it needs, pinned by hash."""
    if not UV.is_here:
        UV.lacks()
    wheels, environment = folder / "dist", folder / "environment"
    python = SYSTEM_PYTHON if SYSTEM_PYTHON.exists() else Path(sys.executable)
    _run(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", wheels, cwd=SOURCES)
    _run(UV_PROGRAM, "venv", "--python", python, environment)
    install = (UV_PROGRAM, "pip", "install", "--python", environment / "bin" / "python")
    _run(*install, "--require-hashes", "--requirement", ROOT / "requirements" / "sandbox.txt")
    _run(*install, "--no-deps", *wheels.glob("*.whl"))
    return environment


def _run(*command: str | Path, cwd: Path = ROOT) -> None:
    env = {**os.environ, "UV_LINK_MODE": "copy", "UV_PYTHON_DOWNLOADS": "never"}
    ended = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
