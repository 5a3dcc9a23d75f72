"""Who may still listen, and to what: asked of the database twice a second, for everybody at once."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final, final
from uuid import UUID

from corral.credentials import queries
from corral.credentials.models import CredentialVersion
from corral.database.batching import BatchedLookup
from corral.database.connection import Database
from corral.errors import DatabaseUnavailable, InternalError, Problem
from corral.identity.standing import find_standing
from corral.live.hubs import Hub, Hubs
from corral.live.problems import StreamEnded
from corral.live.streams import Stream
from corral.logs import get_logger

EVERY_SECONDS: Final = 0.5
DEADLINE_SECONDS: Final = 3.0  # without an answer by then, nobody is known to have a right
USERS_PER_TRIP: Final = 500

_log = get_logger()

Versions = Mapping[UUID, CredentialVersion]


@final
class Rights:
    """Fails closed: when the database does not say who may listen, all streams end, with a hint to come back."""

    def __init__(self, database: Database, hubs: Hubs) -> None:
        self._database = database
        self._hubs = hubs
        self._streams: set[Stream] = set()
        self._versions = BatchedLookup(database.connection, queries.read_active_versions)
        self._watch: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._watch = asyncio.get_running_loop().create_task(self._keep_watch())
        self._watch.add_done_callback(self._end_all)

    async def stop(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            with suppress(asyncio.CancelledError):
                await self._watch

    def enter(self, stream: Stream) -> None:
        """From now on this stream ends when its user's right does. Its user was let in for this very request."""
        if self._watch is None or self._watch.done():
            raise InternalError
        self._streams.add(stream)

    def leave(self, stream: Stream) -> None:
        self._streams.discard(stream)

    async def follow(self, hub: Hub) -> None:
        """Brings a new hub to what its user has switched on. Raises DatabaseUnavailable."""
        await self._apply({hub.user_id: await self._versions(hub.user_id) or {}}, [hub])
        hub.is_followed = True

    async def _keep_watch(self) -> None:
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            if not self._streams and not list(self._hubs):
                continue
            try:
                async with asyncio.timeout(DEADLINE_SECONDS):
                    await self._check()
            except (Problem, TimeoutError) as problem:
                _log.warning("rights_unknown", streams=len(self._streams), failure=type(problem).__name__)
                self._end_all()

    async def _check(self) -> None:
        streams, hubs = list(self._streams), list(self._hubs)
        standing, versions = await asyncio.gather(
            find_standing(self._database, (stream.user for stream in streams)),
            self._versions_of([hub.user_id for hub in hubs]),
        )
        for stream in streams:
            if stream.user.lookup not in standing:
                stream.end(StreamEnded())
        await self._apply(versions, hubs)

    async def _versions_of(self, user_ids: Sequence[UUID]) -> Mapping[UUID, Versions]:
        found: dict[UUID, Versions] = {}
        for start in range(0, len(user_ids), USERS_PER_TRIP):
            found |= await queries.read_active_versions(self._database, user_ids[start : start + USERS_PER_TRIP])
        return found

    async def _apply(self, versions: Mapping[UUID, Versions], hubs: Sequence[Hub]) -> None:
        """What was taken away goes first; what is new is read as a whole row, under its user's own scope."""
        changed: dict[tuple[UUID, UUID], Hub] = {}
        for hub in hubs:
            now, before = versions[hub.user_id], hub.versions
            for credential_id in before.keys() - now.keys():
                hub.unwatch(credential_id)
            new = (credential_id for credential_id in now if before.get(credential_id) != now[credential_id])
            changed |= {(hub.user_id, credential_id): hub for credential_id in new}
        if not changed:
            return
        rows = await queries.read_credentials(self._database, list(changed))
        for key, credential in rows.items():
            if credential.is_active and changed[key].is_open:
                changed[key].watch(credential)

    def _end_all(self, watch: "asyncio.Task[None] | None" = None) -> None:
        if watch is not None and not watch.cancelled() and (bug := watch.exception()):
            _log.error("rights_watch_broke", exc_info=bug)
        for stream in self._streams:
            stream.end(DatabaseUnavailable())
