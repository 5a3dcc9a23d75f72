"""Keyring and database belong together, or nothing is served."""

from pathlib import Path
from uuid import UUID

import structlog

from corral.alpaca.environments import Environment
from corral.credentials.sealing import key_context
from corral.database.connection import Database
from corral.secret import Secret
from corral.vault import Context, KeyringMissing, KeyringRefused, SealBroken, Vault, load_keyring, make_keyring

_PROBE = Context("instance", ("keyring_probe",))

_log = structlog.get_logger("corral.vault")


async def open_vault(database: Database, path: Path) -> Vault:
    """The vault of this database. A new keyring is made for a database that has never had one, and for no other.

    Raises KeyringRefused, in one line with the way out, when the keyring is missing, open to others,
    broken or another database's. Nothing is written then.
    """
    probe = await database.fetchval("SELECT keyring_probe FROM corral.instance")
    vault = _load_or_make(path, is_new_database=probe is None)
    if probe is None:
        probe = await _store_probe(database, vault)
    _refuse_foreign(vault, probe, path)
    await _refuse_unopenable_rows(database, vault, path)
    return vault


def _load_or_make(path: Path, *, is_new_database: bool) -> Vault:
    try:
        return Vault(load_keyring(path))
    except KeyringMissing:
        if not is_new_database:
            raise KeyringRefused(
                f"there is no keyring at {path}, but this database has rows that only its own keyring opens: "
                "restore the file from your backup of it, or name its place with CORRAL_KEYRING=file:PATH"
            ) from None
    try:
        vault = Vault(make_keyring(path))
    except FileExistsError:  # another server of this folder was a moment faster
        return Vault(load_keyring(path))
    except OSError as error:
        raise KeyringRefused(f"no keyring can be made at {path} ({error.strerror}); name another place") from None
    _log.info("keyring_made", path=str(path), advice="back it up, apart from the database")
    return vault


async def _store_probe(database: Database, vault: Vault) -> bytes:
    """Of servers that start together, one stores its probe, and the others have to open that one."""
    sealed = vault.seal(_PROBE, Secret("corral"))
    await database.fetch("INSERT INTO corral.instance (keyring_probe) VALUES ($1) ON CONFLICT DO NOTHING", sealed)
    return await database.fetchval("SELECT keyring_probe FROM corral.instance")


def _refuse_foreign(vault: Vault, probe: bytes, path: Path) -> None:
    try:
        vault.open(_PROBE, probe)
    except SealBroken:
        raise KeyringRefused(
            f"the keyring {path} belongs to another database: restore this database's own, or name it with "
            "CORRAL_KEYRING=file:PATH"
        ) from None


async def _refuse_unopenable_rows(database: Database, vault: Vault, path: Path) -> None:
    rows = await database.fetch("SELECT * FROM corral.sealed_samples()")
    for user_id, credential_id, credential_type, sealed in rows:
        if not opens(vault, user_id, credential_id, credential_type, "api_key", sealed):
            raise KeyringRefused(
                f"the keyring {path} does not open credential {credential_id}: restore the keyring that is as new as "
                "the database, or the database that is as old as the keyring"
            )


def opens(vault: Vault, user_id: UUID, credential_id: UUID, credential_type: str, field: str, sealed: bytes) -> bool:
    try:
        vault.open(key_context(user_id, credential_id, Environment(credential_type), field), sealed)
    except SealBroken:
        return False
    return True
