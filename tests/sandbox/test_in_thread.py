"""A sandbox in a thread of its own, for tests that are not asynchronous."""

import threading
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest

from corral_sandbox import run_sandbox
from tests.sandbox.people import ALICE, keys_of


def _status(url: str) -> int:
    with urlopen(Request(f"{url}/v2/account", headers=keys_of(ALICE)), timeout=120) as answer:
        return answer.status


def test_it_serves_while_the_block_runs_and_leaves_nothing_behind() -> None:
    threads = set(threading.enumerate())
    with run_sandbox() as first, run_sandbox() as second:
        assert (_status(first.paper_url), _status(second.paper_url)) == (200, 200)
        assert first.url != second.url
    with pytest.raises(URLError):
        _status(first.paper_url)
    assert set(threading.enumerate()) <= threads


def test_it_ends_with_a_block_that_fails() -> None:
    with pytest.raises(ZeroDivisionError), run_sandbox() as sandbox:
        raise ZeroDivisionError
    with pytest.raises(URLError):
        _status(sandbox.paper_url)
