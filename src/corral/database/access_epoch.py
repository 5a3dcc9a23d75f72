"""The epoch of access: a random number in the keyed hashes of everything that lets somebody in.

Each restore of a backup sets it anew, so that no session, link, invitation, API token or grant from before matches,
even if its row is put back by hand. None for an installation that was never restored.
"""

from uuid import UUID

from corral.database.connection import Fetcher


async def load_access_epoch(database: Fetcher) -> UUID | None:
    return await database.fetchval("SELECT access_epoch FROM corral.instance")
