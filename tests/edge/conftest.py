import io
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from corral.logs import configure_logging
from tests.edge.sample_app import sample_app
from tests.edge.wire import Served, served
from tests.restored_logging import restored_logging


@pytest.fixture(scope="module")
def log_of_all() -> Iterator[io.BytesIO]:
    stream = io.BytesIO()
    with restored_logging():
        configure_logging("json", stream)
        yield stream


@pytest.fixture
def log(log_of_all: io.BytesIO) -> io.BytesIO:
    log_of_all.seek(0)
    log_of_all.truncate()
    return log_of_all


@pytest_asyncio.fixture(scope="module")
async def server_for_all(log_of_all: io.BytesIO) -> AsyncIterator[Served]:
    async with served(sample_app(), log_of_all) as running:
        yield running


@pytest.fixture
def server(server_for_all: Served, log: io.BytesIO) -> Iterator[Served]:
    """The served sample application with an empty log."""
    yield server_for_all
    for client in server_for_all.clients:
        client.writer.close()
    server_for_all.clients.clear()
