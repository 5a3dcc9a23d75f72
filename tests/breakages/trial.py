"""Applies one breakage to a copy of the tree, runs the tests that must notice, and judges what they say."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

from tests.breakages.catalogue import TREE, Breakage

LONGEST_SECONDS = 600.0
_NOT_COPIED: Final = shutil.ignore_patterns(".git", ".venv", ".tools", "dist", "*_cache", ".hypothesis", ".coverage*")
# A test that fails by one of these did not notice the danger: the breakage is not even code that runs.
_NO_JUDGEMENT: Final = re.compile(
    r"(?:\w+\.)*(?:ImportError|ModuleNotFoundError|SyntaxError|IndentationError|NameError|UnboundLocalError|"
    r"fixture '\w+' not found)\b"
)


class Outcome(StrEnum):
    NOTICED = "noticed"
    UNNOTICED = "NOT NOTICED"
    NOT_APPLICABLE = "DOES NOT APPLY"
    NO_JUDGEMENT = "TESTS DO NOT RUN"
    ENDLESS = "TESTS DO NOT END"


@dataclass(frozen=True, slots=True)
class Verdict:
    breakage: Breakage
    outcome: Outcome
    detail: str
    seconds: float

    @property
    def in_one_line(self) -> str:
        return f"{self.outcome}: {self.breakage}" + (f" ({self.detail})" if self.detail else "")


@contextmanager
def copied_tree() -> Generator[Path]:
    """A copy of the tree that may be spoilt, with the tools of the original."""
    with tempfile.TemporaryDirectory(prefix="corral-breakage-") as folder:
        copy = Path(folder, "tree")
        shutil.copytree(TREE, copy, ignore=_NOT_COPIED)
        for tools in (".venv", ".tools"):
            (copy / tools).symlink_to(TREE / tools)
        Path(folder).chmod(0o755)
        yield copy


def try_breakage(breakage: Breakage, tree: Path) -> Verdict:
    """Leaves `tree` as it was."""
    began = time.monotonic()
    if why := breakage.why_not_applicable(tree):
        return Verdict(breakage, Outcome.NOT_APPLICABLE, why, 0.0)
    with _applied(breakage, tree):
        outcome, detail = _judged(breakage, tree)
    return Verdict(breakage, outcome, detail, time.monotonic() - began)


@contextmanager
def _applied(breakage: Breakage, tree: Path) -> Generator[None]:
    before = {change.file: (tree / change.file).read_bytes() for change in breakage.changes}
    try:
        for change in breakage.changes:
            _write(tree / change.file, change.applied(tree).encode())
        yield
    finally:
        for file, content in before.items():
            _write(tree / file, content)


def _write(path: Path, content: bytes) -> None:
    """Python takes a compiled file for as new as its source if both are of one second."""
    path.write_bytes(content)
    for compiled in path.parent.glob(f"__pycache__/{path.stem}.*.pyc"):
        compiled.unlink()


def _judged(breakage: Breakage, tree: Path) -> tuple[Outcome, str]:
    report = tree / "breakage.xml"
    report.unlink(missing_ok=True)
    said = _run_pytest([*breakage.fails, f"--junitxml={report}"], tree)
    if said is None:
        return Outcome.ENDLESS, f"after {LONGEST_SECONDS} s"
    if not report.exists():
        return Outcome.NO_JUDGEMENT, _last_line(said)
    failures = _failures(report)
    for test in breakage.fails:
        found = [message for name, message in failures.items() if _is_of(name, test)]
        if not found:
            return _without_failure(said, test)
        if unjudged := next(filter(_NO_JUDGEMENT.match, found), None):
            return Outcome.NO_JUDGEMENT, f"{test}: {unjudged.splitlines()[0]}"
    return Outcome.NOTICED, ""


def _without_failure(said: str, test: str) -> tuple[Outcome, str]:
    is_error = re.search(r"^ERROR|\d+ errors?\b|no tests ran", said, re.MULTILINE)
    return (Outcome.NO_JUDGEMENT, f"{test}: {_last_line(said)}") if is_error else (Outcome.UNNOTICED, test)


def _run_pytest(arguments: list[str], tree: Path) -> str | None:
    """What it said; None if it did not end."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--no-header", *arguments]
    with subprocess.Popen(
        command,
        cwd=tree,
        env=_environment(os.environ) | {"CORRAL_DATA_DIR": str(tree / "data")},  # the broken code may really start
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            said, _ = process.communicate(timeout=LONGEST_SECONDS)
        except subprocess.TimeoutExpired:
            _end(process)
            return None
    return said


def _end(process: "subprocess.Popen[str]") -> None:
    """As Ctrl-C does, so that its database is stopped; and for good if that does not help."""
    process.send_signal(signal.SIGINT)
    try:
        process.communicate(timeout=30)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)


def _environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """Without variables that mark a process as part of another test run, or keep it from caching compiled files."""
    others = ("PYTEST_", "COV_", "COVERAGE_", "PYTHONDONTWRITEBYTECODE", "CI")
    return {name: value for name, value in inherited.items() if not name.startswith(others)}


def _failures(report: Path) -> dict[str, str]:
    """By test, with its parameters, the message of its failure; not of what went wrong before or after it."""
    cases = ET.parse(report).iter("testcase")
    found = ((f"{case.get('classname')}::{case.get('name')}", case.find("failure")) for case in cases)
    return {name: failure.get("message") or "" for name, failure in found if failure is not None}


def _is_of(name: str, test: str) -> bool:
    path, _, function = test.partition("::")
    wanted = f"{path.removesuffix('.py').replace('/', '.')}::{function}"
    return name == wanted or name.startswith(f"{wanted}[")


def _last_line(said: str) -> str:
    lines = said.strip().splitlines()
    return lines[-1] if lines else "it said nothing"
