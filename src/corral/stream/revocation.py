"""Ends streams whose user has lost access: queries the database twice a second, for all streams at once."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final, final
from uuid import UUID

from corral.credentials import queries
from corral.credentials.models import CredentialVersion
from corral.credentials.reader import STREAM, CredentialReader
from corral.database.batching import BatchedLookup
from corral.database.connection import Database
from corral.errors import DatabaseUnavailable, InternalError, Problem
from corral.identity.revalidation import revalidate
from corral.logs import get_logger
from corral.stream.hub import Hub, Hubs
from corral.stream.problems import StreamEnded
from corral.stream.subscriber import Subscriber

EVERY_SECONDS: Final = 0.5
DEADLINE_SECONDS: Final = 3.0  # without a result by then, all streams end
USERS_PER_TRIP: Final = 500

_log = get_logger()

Versions = Mapping[UUID, CredentialVersion]


@final
class RevocationMonitor:
    """Fails closed: if the database does not respond, all streams end, with a hint to reconnect."""

    def __init__(self, database: Database, credentials: CredentialReader, hubs: Hubs) -> None:
        self._database = database
        self._credentials = credentials
        self._hubs = hubs
        self._streams: set[Subscriber] = set()
        self._versions = BatchedLookup(database.connection, queries.load_active_versions)
        self._checking: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._checking = asyncio.get_running_loop().create_task(self._check_regularly())
        self._checking.add_done_callback(self._end_all)

    async def stop(self) -> None:
        if self._checking is not None:
            self._checking.cancel()
            with suppress(asyncio.CancelledError):
                await self._checking

    def add(self, stream: Subscriber) -> None:
        """From now on this stream ends with its session or token, which was authenticated for this request."""
        if self._checking is None or self._checking.done():
            raise InternalError
        self._streams.add(stream)

    def remove(self, stream: Subscriber) -> None:
        self._streams.discard(stream)

    async def load_subscriptions(self, hub: Hub) -> None:
        """Subscribes a new hub to its user's active credentials. Raises DatabaseUnavailable."""
        await self._apply({hub.user_id: await self._versions(hub.user_id) or {}}, [hub])
        hub.is_loaded = True

    async def _check_regularly(self) -> None:
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            if not self._streams and not list(self._hubs):
                continue
            try:
                async with asyncio.timeout(DEADLINE_SECONDS):
                    await self._check()
            except (Problem, TimeoutError) as problem:
                _log.warning("revocation_check_failed", streams=len(self._streams), failure=type(problem).__name__)
                self._end_all()

    async def _check(self) -> None:
        streams, hubs = list(self._streams), list(self._hubs)
        valid, versions = await asyncio.gather(
            revalidate(self._database, (stream.user for stream in streams)),
            self._versions_of([hub.user_id for hub in hubs]),
        )
        for stream in streams:
            if stream.user.lookup not in valid:
                stream.end(StreamEnded())
        await self._apply(versions, hubs)

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

    def _end_all(self, checking: "asyncio.Task[None] | None" = None) -> None:
        if checking is not None and not checking.cancelled() and (bug := checking.exception()):
            _log.error("revocation_monitor_broke", exc_info=bug)
        for stream in self._streams:
            stream.end(DatabaseUnavailable())
