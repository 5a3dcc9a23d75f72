"""A Corral on a database of its own in a shared cluster, with people who have everything that a person can have."""

import secrets
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from corral.alpaca.environments import Environment
from corral.audit.models import Action, Actor, ActorKind, NewEntry, Result
from corral.audit.trail import AuditTrail
from corral.backup.archive import Archive
from corral.backup.files import new_file
from corral.backup.keyring_copy import choose_keyring
from corral.backup.manifest import Manifest
from corral.backup.targets import Restoration, RestoreOutcome, restore_external
from corral.backup.writing import write_backup
from corral.credentials.keyring_check import open_vault
from corral.credentials.queries import insert_credential
from corral.credentials.reader import seal_keys
from corral.database.connection import Database, get_connection_with_rls, open_owner_connection
from corral.database.migrate import apply_migrations
from corral.grants.access import Access
from corral.grants.key_pairs import new_key_id, seal_secret, secret_lookup
from corral.grants.models import GrantTerms, SecretRow
from corral.grants.queries import insert_grant, replace_secrets
from corral.identity.api_tokens import create_api_token
from corral.identity.links import issue_link
from corral.identity.models import VerifiedUser
from corral.identity.queries import read_clock
from corral.identity.sessions import start_session
from corral.identity.sign_in import add_user
from corral.people.operators import promote_person
from corral.people.queries import issue_invitation
from corral.secret import Secret
from corral.vault import Vault, load_keyring
from tests.journeys.clusters import ExternalPostgres

ENDED = ("sessions", "api_tokens", "grants", "grant_secrets", "one_time_links", "invitations", "audit_processes")
NOT_IN_BACKUPS = {"migrations", "access_changes"}
CHANGED = (*ENDED, *NOT_IN_BACKUPS, "instance", "audit_heads", "audit_entries")


@dataclass(frozen=True, slots=True)
class Installation:
    postgres: ExternalPostgres
    database: str
    folder: Path
    owner_role: str = "corral_owner"

    @property
    def owner(self) -> str:
        return self.postgres.dsn(self.owner_role, self.database)

    @property
    def app(self) -> str:
        return self.postgres.dsn("corral_app", self.database)

    @property
    def keyring(self) -> Path:
        return self.folder / "keyring.json"

    @property
    def settings(self) -> dict[str, str]:
        return {"data_dir": str(self.folder), "database_url": self.app, "database_owner_url": self.owner}

    async def execute(self, sql: str) -> None:
        """As the superuser."""
        await self.postgres.execute(sql, database=self.database)

    async def fetch(self, sql: str) -> list[Any]:
        """The first column, as a superuser sees it, whom no policy binds."""
        connection = await asyncpg.connect(self.postgres.dsn("postgres", self.database))
        try:
            await connection.execute("SET TimeZone = 'UTC'")
            return [row[0] for row in await connection.fetch(sql)]
        finally:
            await connection.close()

    async def rows(self) -> dict[str, list[str]]:
        """All rows of all tables, as text."""
        tables = await self.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'corral' ORDER BY 1")
        return {table: await self.fetch(f'SELECT t::text FROM corral."{table}" t ORDER BY 1') for table in tables}

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[tuple[Database, Vault]]:
        async with Database.open(self.app, connections=2) as database:
            yield database, await open_vault(database, self.keyring)

    async def back_up(self, path: Path) -> Manifest:
        async with open_owner_connection(self.owner) as connection:
            with new_file(path) as file:
                vault = Vault(load_keyring(self.keyring))
                return await write_backup(connection, vault, file, begin=lambda _: None, advance=lambda _: None)

    async def restore(self, path: Path, copy: Path | None = None, *, may_replace: bool = False) -> RestoreOutcome:
        chosen = choose_keyring(self.keyring, copy, may_replace=may_replace)
        with Archive.open(path) as archive:
            manifest = archive.read_manifest(Vault(chosen.keyring))
            restoration = Restoration(archive, manifest, chosen, may_replace=may_replace, advance=lambda _: None)
            return await restore_external(self.owner, restoration)


@asynccontextmanager
async def installation(
    postgres: ExternalPostgres, folder: Path, *, migrated: bool = True, owner: str = "corral_owner"
) -> AsyncGenerator[Installation]:
    made = Installation(postgres, f"corral_{secrets.token_hex(4)}", folder, owner)
    folder.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - a test
    await postgres.execute(f"CREATE DATABASE {made.database} OWNER {owner}", database="postgres")
    if migrated:
        await apply_migrations(made.owner)
    try:
        yield made
    finally:
        await postgres.execute(f"DROP DATABASE {made.database} WITH (FORCE)", database="postgres")


async def fill(target: Installation, names: Sequence[str] = ("alice", "bob")) -> dict[str, UUID]:
    """The first is an administrator. Returns their ids."""
    async with target.opened() as (database, vault), open_owner_connection(target.owner) as owner:
        people = {name: await _add(database, vault, f"{name}@corral.example") for name in names}
        await promote_person(owner, vault, f"{names[0]}@corral.example")
        async with get_connection_with_rls(people[names[0]], database) as connection:
            soon = await read_clock(connection) + timedelta(days=1)
            await issue_invitation(connection, b"lookup", b"seal", email="invited@corral.example", expires_at=soon)
        return people


async def _add(database: Database, vault: Vault, email: str) -> UUID:
    user_id = await add_user(database, vault, email=email, password=Secret("correct horse battery staple"))
    await start_session(database, vault, VerifiedUser(user_id, 0), "a browser\twith\\odd\ncharacters äöü\x7f")
    await create_api_token(user_id, database, vault, name="bot", scopes=["accounts:read"], expires_at=None)
    await issue_link(database, vault, "sign_in", user_id, "http://127.0.0.1")
    credential_id = await add_credential(database, vault, user_id)
    await _add_grant(database, vault, user_id, credential_id)
    trail = AuditTrail(database, vault)
    actor = Actor(ActorKind.GRANT, uuid4())
    await trail.begin(
        user_id, NewEntry(actor, Action.ORDER_SUBMIT, Result.BEGUN, credential_id, address="192.0.2.1")
    ).written()
    return user_id


async def add_credential(database: Database, vault: Vault, user_id: UUID) -> UUID:
    credential_id, account_id = uuid4(), str(uuid4())
    keys = {"api_key": Secret(f"PK{account_id[:18]}"), "secret_key": Secret(f"secret of {account_id}")}
    sealed = seal_keys(vault, user_id, credential_id, Environment.PAPER, **keys)
    async with get_connection_with_rls(user_id, database) as connection:
        await insert_credential(
            connection, user_id=user_id, credential_id=credential_id, nickname="mine", environment=Environment.PAPER,
            account_id=account_id, account_number=None, account_status="ACTIVE", key_hint="PK…", sealed=sealed,
            most=10_000,
        )  # fmt: skip
    return credential_id


async def _add_grant(database: Database, vault: Vault, user_id: UUID, credential_id: UUID) -> None:
    async with get_connection_with_rls(user_id, database) as connection:
        now = await read_clock(connection)
        terms = GrantTerms(
            user_id, uuid4(), credential_id, new_key_id(), Access.TRADE, None, now, now + timedelta(days=30)
        )
        assert await insert_grant(connection, terms, "My bot")
        secret = SecretRow(secret_lookup(vault, secrets.token_hex()), b"", None)
        await replace_secrets(connection, terms, [seal_secret(vault, terms, secret)])
