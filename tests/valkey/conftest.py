"""Both engines for whatever depends on them, and a Valkey of Corral's in front of them."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from corral.valkey import client
from corral.valkey.address import ValkeyAddress
from corral.valkey.client import Valkey, open_valkey
from corral.vault import Vault, make_keyring
from tests.valkey.servers import ENGINES, PATIENCE, Engine, Server


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Engine:
    return request.param


@pytest.fixture
def server(engine: Engine, tmp_path: Path) -> Generator[Server]:
    with Server(engine, tmp_path / "server") as server:
        yield server


@pytest.fixture(scope="session")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Vault:
    return Vault(make_keyring(tmp_path_factory.mktemp("keyring") / "keyring.json"))


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests about something else than time: no answer is late, on a machine that is however busy."""
    monkeypatch.setattr(client, "LIMIT_SECONDS", PATIENCE)
    monkeypatch.setattr(client, "OPENING_SECONDS", PATIENCE)


@pytest.fixture
async def valkey(server: Server, vault: Vault, patient: None) -> AsyncGenerator[Valkey]:
    async with open_valkey(server.address, vault) as valkey:
        assert valkey.is_here, valkey.problem
        yield valkey


@asynccontextmanager
async def opened(address: ValkeyAddress, vault: Vault) -> AsyncGenerator[Valkey]:
    """Like `open_valkey`, and looks more often."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client, "LOOK_EVERY_SECONDS", 0.1)
        patch.setattr(client, "LONGEST_PAUSE_SECONDS", 0.2)
        async with open_valkey(address, vault) as valkey:
            yield valkey


async def until(is_so: Callable[[], bool], what: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while not is_so():  # noqa: ASYNC110 - known only by asking
            await asyncio.sleep(0.01)
    assert is_so(), what
