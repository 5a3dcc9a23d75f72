"""Where the demo keeps its data by default."""

from pathlib import Path

import pytest

from corral.commands import demo_folder
from tests.database.processes import run_as
from tests.machine import ROOT

_REFUSES = """
import sys
from pathlib import Path
from corral.commands.demo_folder import refuse_demo_folder
refuse_demo_folder(Path(sys.argv[1]))
print("not refused")
"""


def test_the_demo_folder_is_in_the_current_folder(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run_dir)
    assert demo_folder.demo_folder(None) == run_dir / ".corral-demo"


@pytest.mark.parametrize("of_real_data", ["keyring.json", "postgres"])
def test_real_data_is_refused_and_not_marked_as_the_demo_s(tmp_path: Path, of_real_data: str) -> None:
    (tmp_path / of_real_data).touch()
    with pytest.raises(demo_folder.MixedUp, match="contains real data"):
        demo_folder.demo_folder(tmp_path)
    demo_folder.refuse_demo_folder(tmp_path)  # it is still `serve`'s
    assert [path.name for path in tmp_path.iterdir()] == [of_real_data]


@ROOT.mark
def test_for_root_in_an_inaccessible_folder_the_demo_folder_is_elsewhere(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o700)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo_folder, "_FOLDER_OF_ROOT", run_dir / "elsewhere")
    assert demo_folder.demo_folder(None) == run_dir / "elsewhere"
    assert list(tmp_path.iterdir()) == []


@ROOT.mark
def test_a_folder_that_may_not_be_entered_is_no_demo_folder(tmp_path: Path) -> None:
    """Such as a volume of another user. What opens the database says so in a sentence."""
    tmp_path.chmod(0o700)
    assert run_as("nobody", _REFUSES, tmp_path) == "not refused"
