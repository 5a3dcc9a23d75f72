"""What operators' commands use. They also run while `corral serve` does."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from corral.database.connection import Database
from corral.settings import Settings
from corral.storage import migrated_database, open_storage
from corral.vault import Vault


@dataclass(frozen=True, slots=True)
class Operator:
    """`owner_dsn` is None where only the serving role's address is configured."""

    database: Database
    vault: Vault
    public_url: str
    owner_dsn: str | None


@asynccontextmanager
async def open_for_operator(settings: Settings) -> AsyncGenerator[Operator]:
    async with migrated_database(settings) as addresses, open_storage(settings, addresses.app) as storage:
        yield Operator(storage.database, storage.vault, settings.browser_url, addresses.owner)
