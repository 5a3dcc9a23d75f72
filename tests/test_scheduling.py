"""Tests of one file run in one process, apart from a few files."""

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.scheduling import SHARES_OF_SCENES, group_of


@pytest.mark.parametrize(
    ("nodeids", "groups"),
    [
        (["tests/web/test_pages.py::test_a", "tests/web/test_pages.py::test_b[::x]"], 1),
        (["tests/web/test_pages.py::test_a", "tests/web/test_forms.py::test_a"], 2),
        (["tests/journeys/test_serve.py::test_a", "tests/journeys/test_serve.py::test_b"], 2),
        (["tests/sandbox/test_distribution.py::test_a", "tests/sandbox/test_docs_testing.py::test_b"], 1),
        ([f"tests/browser/test_every_page.py::test_a[{scene}]" for scene in range(100)], SHARES_OF_SCENES),
    ],
)
def test_tests_of_a_file_run_in_one_process_but_for_long_files(nodeids: list[str], groups: int) -> None:
    assert len(set(map(group_of, nodeids))) == groups


def test_the_scheduler_still_asks_for_the_group_of_a_test() -> None:
    assert "_split_scope" in vars(LoadScopeScheduling)
