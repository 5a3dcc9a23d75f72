"""Keyring and database belong together: a new keyring for a new database only, and one that opens every row."""

import asyncio
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

from corral.credentials.keyring_check import open_vault
from corral.database.connection import Database
from corral.database.embedded.instance import embedded_postgres
from corral.database.migrate import apply_migrations
from corral.secret import Secret
from corral.vault import Context, KeyringRefused, Vault, load_keyring
from tests.conftest import Service
from tests.people import Person


async def test_servers_that_start_together_on_a_new_database_share_one_keyring(run_dir: Path) -> None:
    folder = run_dir / "together"
    async with embedded_postgres(folder) as postgres:
        await apply_migrations(postgres.dsn("corral_owner"))
        async with Database.open(postgres.dsn("corral_app")) as database:
            path = folder / "keyring.json"
            one, other = await asyncio.gather(open_vault(database, path), open_vault(database, path))
            assert one.verifier("x") == other.verifier("x")
            with pytest.raises(KeyringRefused, match="there is no keyring"):
                await open_vault(database, folder / "another.json")
            assert not (folder / "another.json").exists()


async def test_a_keyring_that_cannot_be_created_is_reported_with_its_path(run_dir: Path) -> None:
    folder = run_dir / "barred"
    async with embedded_postgres(folder) as postgres:
        await apply_migrations(postgres.dsn("corral_owner"))
        async with Database.open(postgres.dsn("corral_app")) as database:
            with pytest.raises(KeyringRefused, match="name another place"):
                await open_vault(database, Path("/proc/corral/keyring.json"))


async def test_a_keyring_created_by_another_server_meanwhile_is_used(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = run_dir / "moment"
    async with embedded_postgres(folder) as postgres:
        await apply_migrations(postgres.dsn("corral_owner"))

        def made_in_between(path: Path) -> None:
            monkeypatch.undo()
            from corral.vault import make_keyring

            make_keyring(path)
            raise FileExistsError

        monkeypatch.setattr("corral.credentials.keyring_check.make_keyring", made_in_between)
        async with Database.open(postgres.dsn("corral_app")) as database:
            await open_vault(database, folder / "keyring.json")
        load_keyring(folder / "keyring.json")


async def test_rows_of_a_key_that_the_keyring_does_not_have_stop_the_start(
    alice: Person, service: Service, postgres: object
) -> None:
    """As after a restored database with a keyring older than it. Bytes 2 to 5 of a sealed value name its key."""
    stored = await alice.store()
    owner = await asyncpg.connect(service.services.addresses.owner)
    strange = (
        "UPDATE corral.credentials SET api_key_sealed = overlay(api_key_sealed placing '\\x00000000' from 2 for 4)"
    )
    await owner.execute(strange + " WHERE id = $1", UUID(stored["id"]))
    try:
        with pytest.raises(KeyringRefused, match=f"does not open credential {stored['id']}"):
            await open_vault(service.resources.database, service.services.settings.keyring_path)
    finally:
        await owner.execute("DELETE FROM corral.credentials WHERE id = $1", UUID(stored["id"]))
        await owner.close()


async def test_a_database_made_before_the_probe_held_a_hash_is_opened(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault = Vault(load_keyring(service.services.settings.keyring_path))
    older = vault.seal(Context("instance", ("keyring_probe",)), Secret("corral"))

    async def older_probe(_: Database) -> bytes:
        return older

    monkeypatch.setattr("corral.credentials.queries.load_keyring_probe", older_probe)
    await open_vault(service.resources.database, service.services.settings.keyring_path)
