"""Ends sockets and streams of events whose grant has ended: asks the database twice a second, for all at once."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Final, final

from corral.errors import Problem
from corral.gateway.event_streams import EventStream, EventStreams
from corral.gateway.stream_rooms import UNAVAILABLE, Member, Room, Rooms, refusal_of
from corral.grants.lookup import GrantReader
from corral.grants.models import Grant
from corral.logs import get_logger

EVERY_SECONDS: Final = 0.5
DEADLINE_SECONDS: Final = 3.0  # without a result by then, all sockets end
CHECKS_BETWEEN_PINGS: Final = 20
MOST_MISSED_PINGS: Final = 2

_log = get_logger()


@final
class StreamWatch:
    """Fails closed: if the database does not respond, all of them end."""

    def __init__(self, rooms: Rooms, events: EventStreams, grants: GrantReader) -> None:
        self._rooms = rooms
        self._events = events
        self._grants = grants
        self._checking: asyncio.Task[None] | None = None

    @property
    def is_running(self) -> bool:
        return self._checking is not None and not self._checking.done()

    def start(self) -> None:
        self._checking = asyncio.get_running_loop().create_task(self._check_regularly())
        self._checking.add_done_callback(self._report_bug)

    async def stop(self) -> None:
        if self._checking is not None:
            self._checking.cancel()
            with suppress(asyncio.CancelledError):
                await self._checking

    async def _check_regularly(self) -> None:
        checks = 0
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            checks += 1
            if checks % CHECKS_BETWEEN_PINGS == 0:
                self.ping()
            try:
                async with asyncio.timeout(DEADLINE_SECONDS):
                    await self._check()
            except (Problem, TimeoutError) as problem:
                _log.warning("trade_stream_check_failed", failure=type(problem).__name__)
                self._end_all()

    def ping(self) -> None:
        """Cuts off clients that have said nothing for two rounds."""
        for member in self._rooms.members():
            member.missed_pings = 0 if member.socket.is_alive else member.missed_pings + 1
            if member.missed_pings >= MOST_MISSED_PINGS:
                member.socket.cut()
            member.socket.is_alive = False
            member.socket.ping()

    async def _check(self) -> None:
        held = [*(grant for room in self._rooms for grant in room.grants()), *(stream.grant for stream in self._events)]
        asked = {grant.lookup: grant for grant in held}
        if not asked:
            return
        found = dict(zip(asked, await self._grants.reload(list(asked.values())), strict=True))
        for room in self._rooms:
            standing = {lookup: grant for lookup, grant in found.items() if grant is not None and _opens(grant, room)}
            for member in list(room.members):
                _check_member(member, asked, standing)
            self._check_room(room, asked, standing)
        for stream in self._events:
            if stream.grant.lookup in asked and not _goes_on(stream, found[stream.grant.lookup]):
                stream.end()

    def _check_room(self, room: Room, asked: Mapping[bytes, Grant], standing: Mapping[bytes, Grant]) -> None:
        """Keys that were changed are used at once, and those that may not be used any more are not."""
        known = [grant for grant in room.grants() if grant.lookup in asked]
        now = next((standing[grant.lookup] for grant in known if grant.lookup in standing), None)
        if now is not None:
            room.grant = now
            room.use(self._rooms.opened(now))
        elif known:
            self._rooms.close_room(room)

    def _end_all(self) -> None:
        for member in self._rooms.members():
            member.socket.close(*UNAVAILABLE)
        self._rooms.close()
        for stream in self._events:
            stream.end()

    def _report_bug(self, checking: "asyncio.Task[None]") -> None:
        if not checking.cancelled() and (bug := checking.exception()):
            _log.error("trade_stream_check_broke", exc_info=bug)
            self._end_all()


def _check_member(member: Member, asked: Mapping[bytes, Grant], standing: Mapping[bytes, Grant]) -> None:
    """One that came while the database was asked was found in it just before."""
    now = standing.get(member.grant.lookup)
    if now is not None and now.admits(member.address):
        member.grant = now
    elif member.grant.lookup in asked:
        member.room.hearing.pop(member, None)
        member.revoke()


def _goes_on(stream: EventStream, now: Grant | None) -> bool:
    """With other keys than those that Alpaca was asked with, it is for the program to ask again."""
    return (
        now is not None
        and refusal_of(now) is None
        and now.admits(stream.address)
        and now.stored.revision == stream.grant.stored.revision
    )


def _opens(grant: Grant, room: Room) -> bool:
    is_same_account = (grant.stored.credential_type, grant.stored.account_id) == room.account
    return is_same_account and grant.credential_id == room.grant.credential_id and refusal_of(grant) is None
