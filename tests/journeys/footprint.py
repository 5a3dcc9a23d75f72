"""What a refused start must leave as it was: the data folder's files and the database's rows."""

import asyncio
import hashlib
import os
from pathlib import Path
from typing import Final

import psutil

from corral.database.batching import FLUSH_SECONDS
from corral.database.connection import open_owner_connection
from tests.journeys.program import PATIENCE

# PostgreSQL's own files change with every start of its; the rows are compared instead. Locks hold nothing.
_NOT_OURS = {"postgres", "run", "start.lock", "use.lock", "serve.lock"}


def files_in(folder: Path) -> dict[str, str]:
    """Each file's path with its mode and a hash of its content."""
    return {
        str(path.relative_to(folder)): f"{path.stat().st_mode:o} {hashlib.sha256(path.read_bytes()).hexdigest()}"
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.relative_to(folder).parts[0] not in _NOT_OURS
    }


async def settled_rows_of(owner_dsn: str) -> dict[str, list[str]]:
    """What `rows_of` returns, once a service on the same database has written what it writes with a delay."""
    rows = await rows_of(owner_dsn)
    async with asyncio.timeout(PATIENCE):
        while True:
            await asyncio.sleep(1.5 * FLUSH_SECONDS)
            earlier, rows = rows, await rows_of(owner_dsn)
            if rows == earlier:
                return rows


_WRITTEN_BY_THE_CLOCK: Final = {
    *("corral.access_changes", "corral.audit_processes", "corral.audit_entries", "corral.audit_heads"),
}


async def rows_of(owner_dsn: str) -> dict[str, list[str]]:
    """Every row of every table of Corral's, as text, as its owner sees it.

    Without what a service that runs beside writes by itself: that it lives, the sums of each minute, and which changes
    of access everybody knows by now.
    """
    async with open_owner_connection(owner_dsn) as connection:
        tables = await connection.fetch(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname IN ('corral', 'public')"
        )
        return {
            table: [row[0] for row in await connection.fetch(f"SELECT t::text FROM {table} t ORDER BY 1")]
            for (table,) in tables
            if table not in _WRITTEN_BY_THE_CLOCK
        }


def processes_of(data: Path) -> list[int]:
    """PostgreSQL's, which keeps its folder as its current one."""
    found: list[int] = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and Path(process.cwd()).is_relative_to(data):
                found.append(process.pid)
        except psutil.Error:
            continue
    return found
