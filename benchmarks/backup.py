"""Backup and restore of 10,000 people with an account each: the command itself, on folders of its own.

`python -m benchmarks.backup` by itself; also part of `make bench`.
"""

import asyncio
import logging
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import uvloop

from benchmarks.audit import fill_trail
from corral.alpaca.environments import Environment
from corral.credentials.keyring_check import open_vault
from corral.credentials.reader import seal_keys
from corral.database.connection import Database, open_owner_connection
from corral.database.embedded.instance import embedded_postgres
from corral.database.migrate import apply_migrations
from corral.logs import configure_logging
from corral.secret import Secret
from corral.vault import Vault

ACCOUNTS = 10_000
ENTRIES = 100_000


@dataclass(frozen=True, slots=True)
class BackupFigures:
    """Wall-clock seconds of the whole commands, with the start of the program and of the database."""

    accounts: int
    backup_seconds: float
    restore_seconds: float
    megabytes: float


async def measure_backup(folder: Path) -> BackupFigures:
    """`folder` must be one that the database's own user can pass."""
    data, restored, file = folder / "backed-up", folder / "restored", folder / "corral.backup"
    async with embedded_postgres(data) as embedded:
        await apply_migrations(embedded.dsn("corral_owner"))
        async with Database.open(embedded.dsn("corral_app")) as database:
            vault = await open_vault(database, data / "keyring.json")
            await _fill(embedded.dsn("corral_owner"), vault)
            await fill_trail(database, vault, ENTRIES)
    keyring = folder / "keyring-copy.json"
    backup_seconds = await _timed("backup", file, "--keyring", keyring, "--data-dir", data)
    restore_seconds = await _timed("restore", file, "--keyring", keyring, "--data-dir", restored)
    return BackupFigures(ACCOUNTS, backup_seconds, restore_seconds, file.stat().st_size / 1e6)


async def _fill(owner_dsn: str, vault: Vault) -> None:
    people = [uuid4() for _ in range(ACCOUNTS)]
    async with open_owner_connection(owner_dsn) as owner, owner.transaction():
        await owner.executemany(
            "INSERT INTO corral.users (id, email) VALUES ($1, $2)", [(one, f"{one}@corral.example") for one in people]
        )
        await owner.executemany(
            """
            INSERT INTO corral.credentials (user_id, id, nickname, credential_type, account_id, key_hint,
                                            api_key_sealed, secret_key_sealed)
            VALUES ($1, $1, 'mine', 'paper', $2, 'PK…', $3, $4)
            """,
            [(one, str(one), *_sealed(vault, one)) for one in people],
        )


def _sealed(vault: Vault, one: UUID) -> tuple[bytes, bytes]:
    keys = {"api_key": Secret(f"PK{one.hex[:18].upper()}"), "secret_key": Secret(f"secret {one}")}
    return seal_keys(vault, one, one, Environment.PAPER, **keys)


async def _timed(*arguments: object) -> float:
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "corral", *map(str, arguments)),
        env={name: value for name, value in os.environ.items() if not name.startswith("CORRAL_")},
        stdout=subprocess.DEVNULL,
    )
    assert await process.wait() == 0
    return time.perf_counter() - began


async def _main(folder: Path) -> None:
    configure_logging("console", sys.stderr.buffer, lowest=logging.WARNING)
    figures = await measure_backup(folder)
    print(f"{figures.accounts:,} accounts backed up in {figures.backup_seconds:.1f} s, {figures.megabytes:.1f} MB")
    print(f"restored in {figures.restore_seconds:.1f} s, Python {sys.version.split()[0]}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="corral-bench-") as name:
        Path(name).chmod(0o711)
        uvloop.run(_main(Path(name)))
