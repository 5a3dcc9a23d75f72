"""Finds a caller's credential for a call: the hot read."""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import final
from uuid import UUID

from corral.credentials import queries
from corral.credentials.models import SealedCredential
from corral.credentials.problems import CredentialInactive, CredentialNotFound, CredentialRefused
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
        self._read = BatchedLookup(database.connection, queries.read_credentials)
        self._used = Notebook(partial(queries.note_credentials_used, database))
        self._suspected = Notebook(partial(queries.note_credentials_suspected, database))

    async def find_usable(self, user: AuthUser, credential_id: UUID) -> SealedCredential:
        """Raises CredentialRefused without a call where the row says so, and what `find_active` raises."""
        return not_refused(await self.find_active(user, credential_id))

    async def find_active(self, user: AuthUser, credential_id: UUID) -> SealedCredential:
        """Raises CredentialNotFound, for what is not there and for what is somebody else's, or CredentialInactive."""
        credential = await self._read((user.id, credential_id))
        if credential is None:
            raise CredentialNotFound
        if not credential.is_active:
            raise CredentialInactive
        return credential

    def suspect(self, credential: SealedCredential) -> None:
        """Alpaca just refused its keys. Whether that is to be believed, the re-check finds out within seconds."""
        self._suspected.note((credential.user_id, credential.id))

    def note_use(self, credential: SealedCredential) -> None:
        if credential.last_used_at is None or datetime.now(UTC) - credential.last_used_at > _NOTE_USE_AFTER:
            self._used.note((credential.user_id, credential.id))

    async def close(self) -> None:
        await self._used.close()
        await self._suspected.close()


def not_refused(credential: SealedCredential) -> SealedCredential:
    """The same credential. Raises CredentialRefused: more calls would only spend the account's budget."""
    if credential.refused_at is not None:
        raise CredentialRefused
    return credential
