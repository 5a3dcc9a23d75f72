"""What a look at the rights of open streams costs: `python -m benchmarks.rights [STREAMS]`.

Each stream has a token and an account of its own. `everybody` is the question that is asked every 30 seconds, about all
of them; the other lines are looks in between. Milliseconds are medians of 100; CPU is that of one look.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import asyncpg
import psutil
import uvloop

from corral.credentials.keyring_check import open_vault
from corral.credentials.queries import load_active_versions
from corral.database.connection import Database
from corral.database.embedded.instance import embedded_postgres
from corral.database.migrate import apply_migrations
from corral.identity import queries
from corral.identity.access_watch import AccessHorizon
from corral.identity.api_tokens import create_api_token
from corral.identity.models import AuthUser, Scope
from corral.identity.revalidation import revalidate, trips
from corral.identity.sign_in import add_user
from corral.identity.tokens import token_lookups
from corral.logs import configure_logging
from corral.vault import Vault

LOOKS = 100
OPEN_FOR_AN_HOUR = 5_000  # changes since a transaction began that is still open


@dataclass(frozen=True, slots=True)
class Streams:
    """Asks as the two watchers do, by the same look."""

    database: Database
    users: dict[UUID, AuthUser]
    horizon: AccessHorizon

    async def look(self) -> None:
        look = await self.horizon.look()
        concerned = [user for user in self.users.values() if look.concerns(user.id, user.expires_at)]
        standing = await revalidate(self.database, concerned)
        assert len(standing) == len(concerned)
        for trip in trips([user.id for user in concerned]):
            await load_active_versions(self.database, trip)

    async def look_at_everybody(self) -> None:
        self.horizon.forget()
        await self.look()


async def open_streams(database: Database, vault: Vault, owner: asyncpg.Connection, count: int) -> Streams:
    users: dict[UUID, AuthUser] = {}
    for number in range(count):
        user_id = await add_user(database, vault, email=f"{number}@corral.example", password=None)
        _, token = await create_api_token(
            user_id, database, vault, name="stream", scopes=[Scope.ACCOUNTS_READ], expires_at=None
        )
        (row,) = (await queries.find_api_tokens(database, token_lookups(vault, token.reveal()))).values()
        users[user_id] = AuthUser(
            user_id, row.email, frozenset({Scope.ACCOUNTS_READ}), "token", row.id, row.expires_at, row.lookup
        )
    await owner.execute(
        """
        INSERT INTO corral.credentials (user_id, id, nickname, credential_type, account_id, key_hint, api_key_sealed,
            secret_key_sealed) SELECT id, id, 'x', 'paper', id::text, '', '', '' FROM corral.users
        """
    )
    await owner.execute("VACUUM ANALYZE")
    return Streams(database, users, AccessHorizon(database))


async def measure(name: str, postgres: psutil.Process, look: Callable[[], Awaitable[object]]) -> None:
    seconds: list[float] = []
    own, servers = time.process_time(), cpu_of(postgres)
    for _ in range(LOOKS):
        began = time.perf_counter()
        await look()
        seconds.append(time.perf_counter() - began)
    own, servers = time.process_time() - own, cpu_of(postgres) - servers
    print(
        f"{name:40} {statistics.median(seconds) * 1000:8.2f} ms   CPU of Corral {own / LOOKS * 1000:8.2f} ms   "
        f"of PostgreSQL {servers / LOOKS * 1000:8.2f} ms"
    )


def cpu_of(postgres: psutil.Process) -> float:
    times = [process.cpu_times() for process in (postgres, *postgres.children())]
    return sum(each.user + each.system for each in times)


async def main(count: int, folder: Path) -> None:
    async with embedded_postgres(folder / "data") as embedded:
        await apply_migrations(embedded.dsn("corral_owner"))
        postgres = psutil.Process(int((folder / "data" / "postgres" / "postmaster.pid").read_text().split()[0]))
        owner, other = [await asyncpg.connect(embedded.dsn("corral_owner")) for _ in range(2)]
        async with Database.open(embedded.dsn("corral_app")) as database:
            vault = await open_vault(database, folder / "data" / "keyring.json")
            streams = await open_streams(database, vault, owner, count)
            people = list(streams.users)
            print(f"{count} streams")
            await measure("everybody", postgres, streams.look_at_everybody)
            while (await streams.horizon.look()).users is None:
                pass
            await measure("nothing has changed", postgres, streams.look)

            async def change_ten() -> None:
                await owner.execute(
                    "UPDATE corral.users SET access_epoch = access_epoch + 1 WHERE id = ANY ($1)", people[:10]
                )
                await streams.look()

            await measure("ten have changed, and their change", postgres, change_ten)
            async with other.transaction():
                await other.execute("UPDATE corral.users SET disabled_at = NULL WHERE id = $1", people[0])
                await streams.look()
                await owner.execute(
                    "INSERT INTO corral.access_changes "
                    "SELECT pg_current_xact_id(), gen_random_uuid(), now() FROM generate_series(1, $1)",
                    OPEN_FOR_AN_HOUR,
                )
                await streams.look()
                await measure(f"a transaction is open, {OPEN_FOR_AN_HOUR} changes since", postgres, streams.look)
        await owner.close()
        await other.close()


if __name__ == "__main__":
    configure_logging("console", sys.stderr.buffer)
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o711)
        (Path(name) / "data").mkdir(mode=0o711)
        uvloop.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000, Path(name)))
