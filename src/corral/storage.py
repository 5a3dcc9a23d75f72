"""Opens the database, which is checked, the vault, and what processes share: for the service and for the commands."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from corral.credentials.keyring_check import open_vault
from corral.database.connection import USUAL_CONNECTIONS, Database
from corral.database.embedded.instance import embedded_postgres
from corral.database.migrate import apply_migrations
from corral.health.readiness import ReadinessMonitor
from corral.settings import Settings
from corral.valkey.address import ValkeyAddress, read_address
from corral.vault import Vault

if TYPE_CHECKING:
    from corral.valkey.client import Valkey


@dataclass(frozen=True, slots=True)
class DatabaseAddresses:
    """The serving role's URL, and the owner's, which only migrations and the operator's commands use."""

    app: str
    owner: str | None


@dataclass(frozen=True, slots=True)
class Storage:
    database: Database
    readiness: ReadinessMonitor
    vault: Vault


@asynccontextmanager
async def database_addresses(settings: Settings) -> AsyncGenerator[DatabaseAddresses]:
    """Yields those of the configured PostgreSQL, or of the embedded one, which runs until the block ends."""
    if settings.database_url is not None:
        owner = settings.database_owner_url
        yield DatabaseAddresses(settings.database_url.get_secret_value(), owner.get_secret_value() if owner else None)
        return
    async with embedded_postgres(settings.data_dir) as embedded:
        yield DatabaseAddresses(embedded.dsn("corral_app"), embedded.dsn("corral_owner"))


@asynccontextmanager
async def migrated_database(settings: Settings) -> AsyncGenerator[DatabaseAddresses]:
    """Like `database_addresses`, with this release's migrations applied if the owner's URL is known."""
    async with database_addresses(settings) as addresses:
        if addresses.owner is not None:
            await apply_migrations(addresses.owner)
        yield addresses


@asynccontextmanager
async def open_storage(
    settings: Settings, database_dsn: str, *, connections: int = USUAL_CONNECTIONS
) -> AsyncGenerator[Storage]:
    """`connections` is the size of the pool.

    Raises OperatorError: DatabaseRefused, MigrationRefused, Weakened, TakesNoWrites, KeyringRefused.
    """
    async with Database.open(database_dsn, connections=connections) as database:
        readiness = ReadinessMonitor(database)
        async with readiness.running():
            vault = await open_vault(database, settings.keyring_path)
            readiness.expect_epoch(vault.access_epoch)
            yield Storage(database, readiness, vault)


def valkey_address(settings: Settings) -> ValkeyAddress | None:
    """Returns None if processes share nothing. Raises ValkeyRefused for an address that can't be read."""
    return None if settings.valkey_url is None else read_address(settings.valkey_url.get_secret_value())


@asynccontextmanager
async def open_shared(settings: Settings, vault: Vault) -> "AsyncGenerator[Valkey | None]":
    """Yields None without CORRAL_VALKEY_URL. Raises ValkeyRefused; one that can't be reached is waited for."""
    address = valkey_address(settings)
    if address is None:
        yield None
        return
    from corral.valkey.client import open_valkey  # noqa: PLC0415 - the library is 15 MB that most installations need not

    async with open_valkey(address, vault) as valkey:
        yield valkey
