"""Checks that the keyring belongs to the database. Otherwise the server does not start."""

from contextlib import suppress
from pathlib import Path

from corral.credentials import queries
from corral.credentials.models import SealedCredential
from corral.credentials.reader import open_keys
from corral.database.access_epoch import load_access_epoch
from corral.database.connection import Database
from corral.logs import get_logger
from corral.secret import Secret
from corral.vault import Context, Keyring, KeyringMissing, KeyringRefused, SealBroken, Vault, load_keyring, make_keyring

_PURPOSE, _PROBE_TEXT = "instance", "corral"

# In databases from before the keyed hash, the probe only checks the sealing half.
_OLDER_PROBE = Context(_PURPOSE, ("keyring_probe",))

_log = get_logger()


async def open_vault(database: Database, path: Path) -> Vault:
    """Returns the vault of this database. A new keyring is made only for a database that has never had one.

    Raises KeyringRefused, with one line that says what to do, when the keyring is missing, readable by others,
    invalid, or when one of its halves belongs to another database. Nothing is written then.
    """
    probe = await queries.load_keyring_probe(database)
    keyring = _load_or_make(path, is_new_database=probe is None)
    vault = Vault(keyring, await load_access_epoch(database))
    if probe is None:
        probe = await _store_probe(database, vault)
    refuse_foreign(vault, probe, path)
    await _refuse_unopenable_rows(database, vault, path)
    return vault


def _load_or_make(path: Path, *, is_new_database: bool) -> Keyring:
    try:
        return load_keyring(path)
    except KeyringMissing:
        if not is_new_database:
            raise KeyringRefused(
                f"there is no keyring at {path}, but this database has rows that only its own keyring opens: "
                "put your copy of it there, or name its place with CORRAL_KEYRING=file:PATH"
            ) from None
    try:
        keyring = make_keyring(path)
    except FileExistsError:  # another server with this folder was faster
        return load_keyring(path)
    except OSError as error:
        raise KeyringRefused(f"no keyring can be made at {path} ({error.strerror}); name another place") from None
    _log.info("keyring_made", path=str(path), advice="back it up, apart from the database")
    return keyring


async def _store_probe(database: Database, vault: Vault) -> bytes:
    """Of servers that start at the same time, one stores its probe, and the others have to open it."""
    sealed = vault.seal(_probes(vault)[0], Secret(_PROBE_TEXT))
    await queries.insert_keyring_probe(database, sealed)
    stored = await queries.load_keyring_probe(database)
    assert stored is not None  # noqa: S101 - inserted a moment ago, and never deleted
    return stored


def _probes(vault: Vault) -> list[Context]:
    """The probe is sealed with one half of the keyring, in the context of a keyed hash by the other."""
    return [Context(_PURPOSE, ("keyring_probe", verifier.hex())) for verifier in vault.verifiers(_PURPOSE, _PROBE_TEXT)]


def refuse_foreign(vault: Vault, probe: bytes, path: Path) -> None:
    """Raises KeyringRefused unless both halves of the keyring belong to the database with this probe."""
    for context in (*_probes(vault), _OLDER_PROBE):
        with suppress(SealBroken):
            vault.open(context, probe)
            return
    raise KeyringRefused(
        f"the keyring {path} belongs to another database, as a whole or by one of its halves: restore this database's "
        "own, or name it with CORRAL_KEYRING=file:PATH"
    )


async def _refuse_unopenable_rows(database: Database, vault: Vault, path: Path) -> None:
    for sample in await queries.load_sealed_samples(database):
        if not opens_whole(vault, sample):
            raise KeyringRefused(
                f"the keyring {path} does not open credential {sample.id}: use the keyring that is as new as "
                "the database, or restore a backup that is as old as the keyring (`corral restore`)"
            )


def opens_whole(vault: Vault, credential: SealedCredential) -> bool:
    """Whether both keys of the row open in its own context."""
    try:
        open_keys(vault, credential)
    except SealBroken:
        return False
    return True
