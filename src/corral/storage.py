"""What the service and the commands open first: the database, which has to prove itself, and the vault."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from corral.credentials.keyring_check import open_vault
from corral.database.connection import Database
from corral.database.embedded.instance import embedded_postgres
from corral.database.migrate import apply_migrations
from corral.health.readiness import ReadinessMonitor
from corral.settings import Settings
from corral.vault import Vault


@dataclass(frozen=True, slots=True)
class DatabaseAddresses:
    """The serving role's address, and the owner's, which nothing but migrations and the operator's commands use."""

    app: str
    owner: str | None


@dataclass(frozen=True, slots=True)
class Storage:
    database: Database
    readiness: ReadinessMonitor
    vault: Vault


@asynccontextmanager
async def database_addresses(settings: Settings) -> AsyncGenerator[DatabaseAddresses]:
    """The configured PostgreSQL, or the embedded one, which runs as long as the block does."""
    if settings.database_url is not None:
        owner = settings.database_owner_url
        yield DatabaseAddresses(settings.database_url.get_secret_value(), owner.get_secret_value() if owner else None)
        return
    async with embedded_postgres(settings.data_dir) as embedded:
        yield DatabaseAddresses(embedded.dsn("corral_app"), embedded.dsn("corral_owner"))


@asynccontextmanager
async def migrated_database(settings: Settings) -> AsyncGenerator[DatabaseAddresses]:
    """The same, brought to this release's version where the owner's address is known."""
    async with database_addresses(settings) as addresses:
        if addresses.owner is not None:
            await apply_migrations(addresses.owner)
        yield addresses


@asynccontextmanager
async def open_storage(settings: Settings, database_dsn: str) -> AsyncGenerator[Storage]:
    """Raises OperatorError: DatabaseRefused, MigrationRefused, Weakened, TakesNoWrites, KeyringRefused."""
    async with Database.open(database_dsn) as database:
        readiness = ReadinessMonitor(database)
        async with readiness.running():
            yield Storage(database, readiness, await open_vault(database, settings.keyring_path))
