"""Data folders that the database's own user can pass into (pytest's tmp_path bars it when the tests run as root)."""

import contextlib
import shutil
import tempfile
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from corral.database.embedded.instance import EmbeddedDatabase, embedded_postgres
from tests.database.processes import Neighbour


@pytest.fixture
def open_folder() -> Generator[Path]:
    with _folder_open_to_all() as folder:
        yield folder


@pytest.fixture
def data_dir(open_folder: Path) -> Path:
    """Not there yet: Corral makes it."""
    return open_folder / "data"


@pytest.fixture
def neighbour(data_dir: Path) -> Generator[Neighbour]:
    one = Neighbour(data_dir)
    yield one
    one.is_killed()


@pytest_asyncio.fixture(scope="module")
async def everyday() -> AsyncGenerator[EmbeddedDatabase]:
    """One running database for all that only look at it."""
    with _folder_open_to_all() as folder:
        async with embedded_postgres(folder / "data") as database:
            yield database


@contextlib.contextmanager
def _folder_open_to_all() -> Generator[Path]:
    """Passable by everybody; at the end whatever still runs in it is ended, and it is removed."""
    folder = Path(tempfile.mkdtemp(prefix="corral-test-")).resolve()
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        while folder.exists():  # who was ended may still write for a moment
            _end_processes_in(folder)
            shutil.rmtree(folder, ignore_errors=True)


def _end_processes_in(folder: Path) -> None:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if folder in Path(process.cwd()).parents or any(str(folder) in part for part in process.cmdline()):
                process.kill()
