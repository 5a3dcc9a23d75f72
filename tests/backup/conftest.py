import tempfile
from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from corral.vault import Keyring, Vault, make_keyring
from tests.backup.installations import Installation, fill, installation
from tests.journeys.clusters import ExternalPostgres, external_postgres
from tests.machine import POSTGRESQL_15


@pytest.fixture(scope="module")
def keyring(tmp_path_factory: pytest.TempPathFactory) -> Keyring:
    return make_keyring(tmp_path_factory.mktemp("keyring") / "keyring.json")


@pytest.fixture(scope="module")
def vault(keyring: Keyring) -> Vault:
    return Vault(keyring)


@pytest.fixture
def stranger(tmp_path: Path) -> Vault:
    """With another keyring."""
    return Vault(make_keyring(tmp_path / "stranger.json"))


@pytest.fixture(scope="session")
async def clusters() -> AsyncGenerator[dict[int, ExternalPostgres]]:
    async with AsyncExitStack() as stack:
        versions = [version for version in (15, 18) if version != 15 or POSTGRESQL_15.is_here]
        yield {version: await stack.enter_async_context(external_postgres(version)) for version in versions}


@pytest.fixture
def open_folder() -> Generator[Path]:
    """As root, the database's own user must reach it."""
    with tempfile.TemporaryDirectory(prefix="corral-backup-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.fixture
def newest(clusters: dict[int, ExternalPostgres]) -> ExternalPostgres:
    return clusters[18]


@pytest.fixture
async def here(newest: ExternalPostgres, tmp_path: Path) -> AsyncGenerator[Installation]:
    """With alice and bob, and a backup of both."""
    async with installation(newest, tmp_path / "here") as made:
        await fill(made)
        await made.back_up(made.folder / "corral.backup")
        yield made
