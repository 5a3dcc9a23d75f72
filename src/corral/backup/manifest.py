"""What a backup says of itself, and the keyed hash by which it is believed.

The manifest lists every table with the number of its rows and a digest of their text, so that nothing of the file can
be changed, left out or added without the keyring. Two keyed values are in it: `keyring` tells whether both halves of a
keyring are those of the backup, and the hash beside the manifest whether it is as it was written. So a foreign keyring
and a changed file are two different errors.
"""

from datetime import datetime
from typing import Annotated, Any, Final, Literal, cast
from uuid import UUID

import orjson
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from corral import __version__
from corral.backup.problems import NotABackup
from corral.database.migrate import unknown_migrations
from corral.secret import Secret
from corral.vault import Context, SealBroken, Vault

FORMAT: Final = 1
_PURPOSE: Final = "backup"
_PROBE: Final = "backup_keyring"
_PROBE_TEXT: Final = "corral"

# Identifiers of the schema. They are never part of a path.
Name = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]{0,62}$")]
Count = Annotated[int, Field(ge=0, lt=2**63)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TableContent(_Part):
    """`size` in bytes and `sha256` are those of the text that COPY wrote for these columns."""

    name: Name
    columns: tuple[Name, ...]
    rows: Count
    size: Count
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class SequenceState(_Part):
    name: Name
    last_value: int
    is_called: bool


class Manifest(_Part):
    format: Literal[1] = FORMAT
    id: UUID
    corral: str = __version__
    postgresql: str
    taken_at: AwareDatetime  # by the database's clock: the moment that all rows are of
    migrations: tuple[str, ...]
    tables: tuple[TableContent, ...]
    sequences: tuple[SequenceState, ...]
    keyring: Annotated[str, Field(pattern=r"^[0-9a-f]+$")]

    def to_text(self) -> str:
        return self.model_dump_json(indent=1)


def keyring_probe(vault: Vault, backup_id: UUID) -> str:
    """Returns a value sealed with one half of the keyring, in the context of a keyed hash by the other."""
    verifier = vault.verifier(_PROBE, str(backup_id))
    return vault.seal(Context(_PROBE, (str(backup_id), verifier.hex())), Secret(_PROBE_TEXT)).hex()


def manifest_verifier(vault: Vault, text: str) -> bytes:
    return vault.verifier(_PURPOSE, text)


def read_manifest(text: str, origin: object) -> Manifest:
    """Raises NotABackup for one of another form, and for a form of a newer release. Nothing of it is believed yet."""
    try:
        members = cast("dict[str, Any]", orjson.loads(text))
        form, release = int(members["format"]), str(members["corral"])
    except (ValueError, KeyError, TypeError):
        raise NotABackup(f"{origin} is not a backup of Corral: its manifest cannot be read") from None
    if form > FORMAT:
        raise _newer(origin, release)
    try:
        return Manifest.model_validate_json(text)
    except ValidationError:
        raise NotABackup(f"{origin} is not a backup of Corral: its manifest cannot be read") from None


def believe(vault: Vault, manifest: Manifest, text: str, verifier: bytes, origin: object) -> None:
    """Raises NotABackup for a foreign keyring, a manifest that was changed, and the schema of a newer release."""
    if not _is_own_keyring(vault, manifest):
        raise NotABackup(
            f"the keyring does not belong to {origin}, a backup of {spoken(manifest.taken_at)}: name the one that was "
            "used then with --keyring FILE. Without it, the keys in the backup cannot be decrypted"
        )
    if not vault.verify(verifier, _PURPOSE, text):
        raise changed(origin)
    if unknown := unknown_migrations(manifest.migrations):
        raise _newer(origin, manifest.corral, f", with the migration {unknown[-1]}")


def changed(origin: object) -> NotABackup:
    return NotABackup(f"{origin} was changed or damaged after it was made: use another copy of it")


def spoken(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _newer(origin: object, release: str, detail: str = "") -> NotABackup:
    return NotABackup(
        f"{origin} was made by a newer release of Corral than this one ({__version__}){detail}: "
        f"install release {release} or newer"
    )


def _is_own_keyring(vault: Vault, manifest: Manifest) -> bool:
    for verifier in vault.verifiers(_PROBE, str(manifest.id)):
        try:
            vault.open(Context(_PROBE, (str(manifest.id), verifier.hex())), bytes.fromhex(manifest.keyring))
        except (SealBroken, ValueError):
            continue
        return True
    return False
