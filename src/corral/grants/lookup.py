"""Finds the grant that a program presents."""

from collections.abc import Sequence
from functools import partial
from hmac import compare_digest
from typing import Final, final

from corral.database.batching import BatchedLookup, WriteBehindBuffer
from corral.database.connection import Database
from corral.edge.request_state import StateKey
from corral.grants import queries
from corral.grants.key_pairs import SECRET_FORM, is_sealed, secret_lookups
from corral.grants.models import Grant
from corral.grants.networks import Address
from corral.grants.queries import GrantRow
from corral.identity.revalidation import trips
from corral.identity.tokens import TOUCH_AFTER
from corral.vault import Vault


@final
class GrantReader:
    """Lives as long as the process; caches nothing.

    A look-up is never answered from before it was asked, so a grant that was revoked, narrowed or has expired is that
    at the next request, in every process.
    """

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault
        self._find = BatchedLookup(database.connection, queries.find_grants)
        self._used = WriteBehindBuffer(partial(queries.note_grants_used, database))

    async def find(self, key_id: str | None, secret: str, *, address: Address | None) -> Grant | None:
        """Returns the grant of this key pair, or of the secret alone (`key_id` None), and notes that it is used.

        Returns None, for one and the same answer to all of them, for one that is malformed, unknown, expired or
        revoked, that belongs to another key ID, that was changed by hand (which is logged as an error), or that may
        not be used from `address` (None: unknown). A paused or refused account is told by the grant.

        One round trip to the database, shared with other callers. Raises DatabaseUnavailable and Overloaded.
        """
        if not SECRET_FORM.is_well_formed(secret):
            return None
        row = await self._find(secret_lookups(self._vault, secret))
        grant = self._believed(row)
        if row is None or grant is None or not _is_of(grant, key_id) or not grant.admits(address):
            return None
        if row.rested is None or row.rested > TOUCH_AFTER:
            self._used.add((grant.user_id, grant.id))
        return grant

    async def reload(self, grants: Sequence[Grant]) -> list[Grant | None]:
        """Returns each as it is stored now, in the same order; None for one that `find` would no longer return.

        For what outlives a request, such as a socket: whoever holds it asks again whether the grant still `admits` its
        address. It is no use of the grant.
        """
        found: list[Grant | None] = []
        for trip in trips(grants):
            rows = await queries.find_grants(self._database, [(grant.lookup,) for grant in trip])
            found += [self._believed(rows.get((grant.lookup,))) for grant in trip]
        return found

    async def close(self) -> None:
        """Writes what is still buffered."""
        await self._used.close()

    def _believed(self, row: GrantRow | None) -> Grant | None:
        if row is None or not is_sealed(self._vault, row.terms, row.secret):
            return None
        return Grant(row.terms, row.stored, row.secret.lookup, row.secret.valid_until)


GRANTS: Final = StateKey[GrantReader]("grants")


def _is_of(grant: Grant, key_id: str | None) -> bool:
    return key_id is None or compare_digest(grant.key_id.encode(), key_id.encode(errors="surrogatepass"))
