from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from corral_sandbox import Sandbox, serve_sandbox
from tests.sandbox.asking import Caller
from tests.sandbox.distribution import install_sandbox
from tests.sandbox.judges import official_document
from tests.turned_clock import turned_process


@pytest.fixture(autouse=True)
def clock() -> Iterator[None]:
    with turned_process():
        yield


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """Its accounts differ: some hold shares, some owe, some are restricted."""
    async with serve_sandbox(port=0, rate_limit_per_minute=0, characters=True) as running:
        yield running


@pytest.fixture
async def http() -> AsyncIterator[ClientSession]:
    async with ClientSession() as session:
        yield session


@pytest.fixture
def caller(http: ClientSession, sandbox: Sandbox) -> Caller:
    return Caller(http, sandbox)


@pytest.fixture(scope="session")
def official() -> dict[str, Any]:
    """Alpaca's own description of its Trading API."""
    return official_document()


@pytest.fixture(scope="session")
def official_data() -> dict[str, Any]:
    """Alpaca's own description of its market data."""
    return official_document("market-data-api.json")


@pytest.fixture(scope="session")
def installed_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with `corral-sandbox`, installed from its wheel. See `tests/scheduling.py`."""
    return install_sandbox(tmp_path_factory.mktemp("distribution"))
