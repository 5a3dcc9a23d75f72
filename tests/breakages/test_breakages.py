"""The list of deliberate breakages is good: `make breakages` tries all of it, and here some of it is tried."""

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.breakages import trial
from tests.breakages.catalogue import TREE, Breakage, Change, load_breakages
from tests.breakages.trial import Outcome, copied_tree, try_breakage

BREAKAGES = load_breakages()


@pytest.fixture(scope="module")
def tree() -> Iterator[Path]:
    with copied_tree() as copy:
        yield copy


def test_every_breakage_can_still_be_made() -> None:
    assert [f"{one}: {why}" for one in BREAKAGES if (why := one.why_not_applicable())] == []


def test_every_breakage_has_a_name_of_its_own() -> None:
    assert [name for name, times in Counter(map(str, BREAKAGES)).items() if times > 1] == []


def test_every_test_that_must_fail_is_there() -> None:
    tests = {test for breakage in BREAKAGES for test in breakage.fails}
    known = {path: _functions_of(path) for path in {test.partition("::")[0] for test in tests}}
    assert [test for test in sorted(tests) if test.partition("::")[2] not in known[test.partition("::")[0]]] == []


def _functions_of(path: str) -> set[str]:
    body = ast.parse((TREE / path).read_text(encoding="utf-8")).body
    return {node.name for node in body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_broken_file_is_still_python_with_names_that_exist(tmp_path: Path) -> None:
    """Else its tests would fail, and not because they noticed anything."""
    for number, breakage in enumerate(BREAKAGES):
        for place, change in enumerate(breakage.changes):
            if change.file.endswith(".py"):
                (tmp_path / f"{number}_{place}.py").write_text(change.applied(TREE), encoding="utf-8")
    judge = [Path(sys.executable).with_name("ruff"), "check", "--isolated", "--no-cache", "--select=E9,F821,F823"]
    judged = subprocess.run([*judge, tmp_path], capture_output=True, text=True, check=False)
    assert judged.returncode == 0, judged.stdout


@pytest.mark.parametrize("breakage", [one for one in BREAKAGES if one.is_quick], ids=str)
def test_a_breakage_is_noticed(breakage: Breakage, tree: Path) -> None:
    verdict = try_breakage(breakage, tree)
    assert verdict.outcome is Outcome.NOTICED, verdict.detail


SEAL = "src/corral/vault/seal.py"
FRAMED = 'return framed("corral/seal/v1", self.purpose, *self.parts)'
TEST = "tests/vault/test_seal.py::test_a_sealed_value_opens_in_no_other_context"


@pytest.mark.parametrize(
    ("change", "fails", "outcome"),
    [
        (Change(SEAL, FRAMED, FRAMED + "  # as before"), [TEST], Outcome.UNNOTICED),
        (Change(SEAL, FRAMED, "return nothing_of_this_name"), [TEST], Outcome.NO_JUDGEMENT),
        (Change(SEAL, "import tink\n", "import tonk\n"), [TEST], Outcome.NO_JUDGEMENT),
        (Change(SEAL, FRAMED, 'return b""'), [TEST, f"{TEST}_at_all"], Outcome.NO_JUDGEMENT),
        (Change(SEAL, FRAMED + " ", ""), [TEST], Outcome.NOT_APPLICABLE),
    ],
    ids=["no breakage", "an unknown name", "an import that fails", "an unknown test", "a snippet that is gone"],
)
def test_only_a_test_that_fails_has_noticed(change: Change, fails: Sequence[str], outcome: Outcome, tree: Path) -> None:
    before = (tree / SEAL).read_bytes()
    assert try_breakage(Breakage("tried", (change,), tuple(fails), is_quick=False), tree).outcome is outcome
    assert (tree / SEAL).read_bytes() == before


def test_tests_that_do_not_end_have_not_noticed(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "LONGEST_SECONDS", 0.1)
    endless = Breakage("tried", (Change(SEAL, FRAMED, 'return b""'),), (TEST,), is_quick=False)
    assert try_breakage(endless, tree).outcome is Outcome.ENDLESS
