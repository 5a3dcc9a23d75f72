"""Data folders that the database's own user can pass into (pytest's tmp_path bars it when the tests run as root)."""

import contextlib
import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path

import psutil
import pytest


@pytest.fixture
def open_folder() -> Generator[Path]:
    """Passable by everybody; at the end whatever still runs in it is ended, and it is removed."""
    folder = Path(tempfile.mkdtemp(prefix="corral-test-")).resolve()
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        _end_processes_in(folder)
        shutil.rmtree(folder)


@pytest.fixture
def data_dir(open_folder: Path) -> Path:
    """Not there yet: Corral makes it."""
    return open_folder / "data"


def _end_processes_in(folder: Path) -> None:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if folder in Path(process.cwd()).parents:
                process.kill()
