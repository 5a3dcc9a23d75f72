"""Ends streams whose user has lost access, and leaves out the credentials that are paused or removed."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final, final
from uuid import UUID

from corral.credentials import queries
from corral.credentials.models import CredentialVersion
from corral.credentials.reader import STREAM, CredentialReader
from corral.database.batching import BatchedLookup
from corral.database.connection import Database
from corral.errors import DatabaseUnavailable
from corral.identity.access_watch import AccessWatch, Look
from corral.identity.revalidation import revalidate
from corral.logs import get_logger
from corral.stream.hub import Hub, Hubs
from corral.stream.problems import StreamEnded
from corral.stream.subscriber import Subscriber

USERS_PER_TRIP: Final = 500

_log = get_logger()

Versions = Mapping[UUID, CredentialVersion]


@final
class RevocationMonitor:
    """Fails closed: if the database does not respond, all streams end, with a hint to reconnect."""

    def __init__(self, database: Database, credentials: CredentialReader, hubs: Hubs, watch: AccessWatch) -> None:
        self._database = database
        self._credentials = credentials
        self._hubs = hubs
        self._watch = watch
        self._streams: set[Subscriber] = set()
        self._versions = BatchedLookup(database, queries.load_active_versions)

    @property
    def is_watching(self) -> bool:
        return bool(self._streams) or any(True for _ in self._hubs)

    def add(self, stream: Subscriber) -> None:
        """From now on this stream ends with its session or token, which was authenticated for this request."""
        self._watch.admit(stream.user.id)
        self._streams.add(stream)

    def remove(self, stream: Subscriber) -> None:
        self._streams.discard(stream)

    async def load_subscriptions(self, hub: Hub) -> None:
        """Subscribes a new hub to its user's active credentials. Raises DatabaseUnavailable."""
        await self._apply({hub.user_id: await self._versions(hub.user_id) or {}}, [hub])
        hub.is_loaded = True
        self._watch.admit(hub.user_id)  # a look may have been faster than what was loaded here

    async def check(self, look: Look) -> None:
        streams = [stream for stream in self._streams if look.concerns(stream.user.id, stream.user.expires_at)]
        hubs = [hub for hub in self._hubs if look.concerns(hub.user_id)]
        valid, versions = await asyncio.gather(
            revalidate(self._database, (stream.user for stream in streams)),
            self._versions_of([hub.user_id for hub in hubs]),
        )
        for stream in streams:
            if stream.user.lookup not in valid:
                stream.end(StreamEnded())
        await self._apply(versions, hubs)

    def end_all(self, failure: str) -> None:
        if self._streams:
            _log.warning("revocation_check_failed", streams=len(self._streams), failure=failure)
        for stream in self._streams:
            stream.end(DatabaseUnavailable())

    async def _versions_of(self, user_ids: Sequence[UUID]) -> Mapping[UUID, Versions]:
        found: dict[UUID, Versions] = {}
        for start in range(0, len(user_ids), USERS_PER_TRIP):
            found |= await queries.load_active_versions(self._database, user_ids[start : start + USERS_PER_TRIP])
        return found

    async def _apply(self, versions: Mapping[UUID, Versions], hubs: Sequence[Hub]) -> None:
        """Unsubscribes first. New credentials are loaded under their user's row-level security."""
        changed: dict[tuple[UUID, UUID], Hub] = {}
        for hub in hubs:
            now, before = versions[hub.user_id], hub.versions
            for credential_id in before.keys() - now.keys():
                hub.unsubscribe(credential_id)
            new = (credential_id for credential_id in now if before.get(credential_id) != now[credential_id])
            changed |= {(hub.user_id, credential_id): hub for credential_id in new}
        if not changed:
            return
        rows = await queries.load_sealed_credentials(self._database, list(changed))
        for key, credential in rows.items():
            if credential.is_active and changed[key].is_open:
                changed[key].subscribe(self._credentials.open_row(credential, STREAM))
