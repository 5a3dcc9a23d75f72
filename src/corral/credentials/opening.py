"""Finds a caller's credential for a call: the hot read."""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import final
from uuid import UUID

from corral.credentials import queries
from corral.credentials.models import SealedCredential
from corral.credentials.problems import CredentialInactive, CredentialNotFound
from corral.database.batching import BatchedLookup
from corral.database.connection import Database
from corral.database.notes import Notebook
from corral.identity.models import AuthUser

# How precisely "last used" is kept.
_NOTE_USE_AFTER = timedelta(minutes=1)


@final
class CredentialReader:
    """Asks the database for every request anew, whatever answer of Alpaca's may still be kept."""

    def __init__(self, database: Database) -> None:
        self._read = BatchedLookup(partial(queries.read_credentials, database))
        self._used = Notebook(partial(queries.note_credentials_used, database))

    async def find_usable(self, user: AuthUser, credential_id: UUID) -> SealedCredential:
        """Raises CredentialNotFound, for what is not there and for what is somebody else's, or CredentialInactive."""
        credential = await self._read((user.id, credential_id))
        if credential is None:
            raise CredentialNotFound
        if not credential.is_active:
            raise CredentialInactive
        return credential

    def note_use(self, credential: SealedCredential) -> None:
        if credential.last_used_at is None or datetime.now(UTC) - credential.last_used_at > _NOTE_USE_AFTER:
            self._used.note((credential.user_id, credential.id))

    async def close(self) -> None:
        await self._used.close()
