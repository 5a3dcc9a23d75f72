"""Which tests one process runs, and in which order: the tests of a file share what is opened once for them.

pytest-xdist has marks for this, which pytest 9.2 ignores without a word (pytest-xdist 1386): the scheduler is our own.
"""

import zlib
from pathlib import PurePosixPath
from typing import Final

import pytest
from xdist.scheduler import LoadScopeScheduling

SHARES_OF_SCENES: Final = 4  # each has a service and a database of its own

# These wait most. They begin first, so that others compute meanwhile and none waits alone at the end.
_FIRST: Final = ("stream", "journeys", "browser", "credentials", "database")

# Long files whose tests share nothing that takes long to open.
_ONE_BY_ONE: Final = {
    "test_commands.py",
    "test_database_words.py",
    "test_external_database.py",
    "test_killed_server.py",
    "test_outages.py",
    "test_refused_starts.py",
    "test_serve.py",
}
# They share an environment in which the sandbox is installed.
_WITH_THE_DISTRIBUTION: Final = {"test_distribution.py", "test_docs_testing.py"}


class GroupedByFile(LoadScopeScheduling):
    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


def group_of(nodeid: str) -> str:
    """Returns the name of those tests that run one after another in one process."""
    path, _, name = nodeid.partition("::")
    file = PurePosixPath(path).name
    if file in _ONE_BY_ONE:
        return nodeid
    if file in _WITH_THE_DISTRIBUTION:
        return "distribution"
    if file == "test_every_page.py":  # by scenes, so that no process is the last for minutes
        return f"{path} {zlib.crc32(name.encode()) % SHARES_OF_SCENES}"
    return path


def place_in_line(item: pytest.Item) -> int:
    folder = item.path.parent.name
    return _FIRST.index(folder) if folder in _FIRST else len(_FIRST)
