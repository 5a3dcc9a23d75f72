"""Ends sockets and streams of events whose grant has ended, or may not be used from their address any more."""

from collections.abc import Mapping
from typing import Final, final

from corral.gateway.event_streams import EventStreams, GrantedEventStream
from corral.gateway.stream_rooms import UNAVAILABLE, Room, RoomMember, Rooms, refusal_of
from corral.grants.lookup import GrantReader
from corral.grants.models import Grant
from corral.identity.access_watch import Look
from corral.logs import get_logger

LOOKS_BETWEEN_PINGS: Final = 20
MOST_MISSED_PINGS: Final = 2

_log = get_logger()


@final
class StreamWatch:
    """Fails closed: if the database does not respond, all of them end."""

    def __init__(self, rooms: Rooms, events: EventStreams, grants: GrantReader) -> None:
        self._rooms = rooms
        self._events = events
        self._grants = grants
        self._looks = 0

    @property
    def is_watching(self) -> bool:
        return any(True for _ in self._rooms) or any(True for _ in self._events)

    async def check(self, look: Look) -> None:
        self._looks += 1
        if self._looks % LOOKS_BETWEEN_PINGS == 0:
            self.ping()
        held = [*(grant for room in self._rooms for grant in room.grants()), *(stream.grant for stream in self._events)]
        # All grants of a user at once: a room goes on as long as one of its grants does.
        users = {grant.user_id for grant in held if look.concerns(grant.user_id, grant.ends_at)}
        asked = {grant.lookup: grant for grant in held if grant.user_id in users}
        if not asked:
            return
        found = dict(zip(asked, await self._grants.reload(list(asked.values())), strict=True))
        for room in self._rooms:
            standing = {lookup: grant for lookup, grant in found.items() if grant is not None and _opens(grant, room)}
            for member in list(room.members):
                _check_member(member, asked, standing)
            self._check_room(room, asked, standing)
        for stream in self._events:
            if stream.grant.lookup in asked:
                _check_stream(stream, found[stream.grant.lookup])

    def end_all(self, failure: str) -> None:
        if self.is_watching:
            _log.warning("trade_stream_check_failed", failure=failure)
        for member in self._rooms.members():
            member.socket.close(*UNAVAILABLE)
        self._rooms.close()
        for stream in self._events:
            stream.end()

    def ping(self) -> None:
        """Cuts off clients that have said nothing for two rounds."""
        for member in self._rooms.members():
            member.missed_pings = 0 if member.socket.is_alive else member.missed_pings + 1
            if member.missed_pings >= MOST_MISSED_PINGS:
                member.socket.cut()
            member.socket.is_alive = False
            member.socket.ping()

    def _check_room(self, room: Room, asked: Mapping[bytes, Grant], standing: Mapping[bytes, Grant]) -> None:
        """Keys that were changed are used at once, and those that may not be used any more are not."""
        known = [grant for grant in room.grants() if grant.lookup in asked]
        now = next((standing[grant.lookup] for grant in known if grant.lookup in standing), None)
        if now is not None:
            room.grant = now
            room.use(self._rooms.opened(now))
        elif known:
            self._rooms.close_room(room)


def _check_member(member: RoomMember, asked: Mapping[bytes, Grant], standing: Mapping[bytes, Grant]) -> None:
    """One that came while the database was asked was found in it just before."""
    now = standing.get(member.grant.lookup)
    if now is not None and now.admits(member.address):
        member.grant = now
    elif member.grant.lookup in asked:
        member.room.hearing.pop(member, None)
        member.revoke()


def _check_stream(stream: GrantedEventStream, now: Grant | None) -> None:
    if now is not None and _goes_on(stream, now):
        stream.grant = now  # which may end at another moment
    else:
        stream.end()


def _goes_on(stream: GrantedEventStream, now: Grant) -> bool:
    """With other keys than those that Alpaca was asked with, it is for the program to ask again."""
    is_admitted = refusal_of(now) is None and now.admits(stream.address)
    return is_admitted and now.stored.revision == stream.grant.stored.revision


def _opens(grant: Grant, room: Room) -> bool:
    is_same_account = (grant.stored.credential_type, grant.stored.account_id) == room.account
    return is_same_account and grant.credential_id == room.grant.credential_id and refusal_of(grant) is None
