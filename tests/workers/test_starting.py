"""How a worker is started."""

import sys

import pytest

from corral.workers import crew


def test_a_worker_runs_no_code_of_the_folder_that_corral_is_started_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """`-P` keeps it out of the path, unless Corral itself comes from there."""
    monkeypatch.setattr(sys, "argv", ["/opt/corral/.venv/bin/corral", "serve"])
    assert crew.worker_command() == [sys.executable, "-P", "-m", "corral.workers"]
    monkeypatch.setattr(sys, "argv", ["/home/alice/checkout/src/corral/__main__.py", "serve"])
    assert crew.worker_command() == [sys.executable, "-m", "corral.workers"]
