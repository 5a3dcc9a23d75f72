"""What a client has missed that received its last event from another process, told from the logs of its accounts."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain
from typing import Final, NamedTuple, Protocol
from uuid import UUID

from corral.stream.account_log import Entry
from corral.stream.events import (
    GAP,
    HEARTBEAT,
    LogPosition,
    StreamEvent,
    event_id_of,
    event_text,
    joined,
    moment_of,
    name_in_places,
    place_of,
    problem_event,
)
from corral.stream.news import News, Trouble
from corral.stream.problems import CredentialSwitchedOff
from corral.stream.selection import StreamSelection
from corral.stream.subscriptions import Subscription

# For the first calls to Alpaca with the keys of a person who was not connected to this process.
SETTLE_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 0.02
_SWITCHED_OFF: Final = problem_event(CredentialSwitchedOff())
_ELSEWHERE: Final = "0"  # no epoch: within a replay, only the places in an id say how far the client is


class Logs(Protocol):
    def known(self, subscription: Subscription, since: datetime | None) -> Iterable[StreamEvent]: ...

    async def told_between(
        self, subscription: Subscription, after: LogPosition, until: LogPosition
    ) -> Sequence[Entry] | None: ...


class _Account(NamedTuple):
    """`missed` is None if it is not known what the client has missed of it since then."""

    credential_id: UUID
    subscription: Subscription
    position: LogPosition | None
    since: datetime | None
    missed: Sequence[Entry] | None


class Replay(NamedTuple):
    """The client goes on after the event with this number, once it has received the texts."""

    number: int
    texts: Iterator[bytes]


async def replay(
    places: Mapping[bytes, LogPosition],
    *,
    subscriptions: Mapping[UUID, Subscription],
    logs: Logs,
    epoch: str,
    newest: Callable[[], int],
    selection: StreamSelection,
) -> Replay:
    """`places` are those in the id of the client's last event; `newest` returns the number of the hub's last event.

    An account gets a `gap` of its own, and its current state, if not all of what it told since is in its log. Selected
    accounts that are paused or removed are told as such, because that may have happened meanwhile.
    """
    await _settle(places, subscriptions)
    number = newest()
    at = [(credential_id, each, each.position) for credential_id, each in subscriptions.items()]
    end = event_id_of(epoch, number, joined(each.place for each in subscriptions.values()))
    before = [places.get(name_in_places(whose)) for whose, _, _ in at]
    reads = (_missed(each, place, position, logs) for (_, each, position), place in zip(at, before, strict=True))
    missed = await asyncio.gather(*reads)
    accounts = [
        _Account(*where, place and moment_of(place.number), entries)
        for where, place, entries in zip(at, before, missed, strict=True)
    ]
    heartbeat = event_text(HEARTBEAT, credential_id=None, sequence=number, event_id=end)
    missing = sorted((selection.credential_ids or frozenset()) - subscriptions.keys())
    switched_off = [event_text(_SWITCHED_OFF, credential_id=each, sequence=number) for each in missing]
    texts = _texts(accounts, places, subscriptions, logs, number=number, selection=selection)
    return Replay(number, chain(switched_off, texts, [heartbeat]))


async def _settle(places: Mapping[bytes, LogPosition], subscriptions: Mapping[UUID, Subscription]) -> None:
    """Waits until this process is where the client was, but not for long."""
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + SETTLE_SECONDS
    while loop.time() < give_up_at and not all(  # noqa: ASYNC110 - each of them changes on its own
        _is_settled(each, places) for each in subscriptions.values()
    ):
        await asyncio.sleep(_LOOK_SECONDS)


def _is_settled(subscription: Subscription, places: Mapping[bytes, LogPosition]) -> bool:
    place, position = places.get(name_in_places(subscription.credential.stored.id)), subscription.position
    if not subscription.is_accepted:
        return subscription.is_settled()
    return place is None or position is None or position >= place


async def _missed(
    subscription: Subscription, after: LogPosition | None, until: LogPosition | None, logs: Logs
) -> Sequence[Entry] | None:
    if after is None or until is None or after > until:
        return None
    return await logs.told_between(subscription, after, until)


def _texts(
    accounts: Sequence[_Account],
    places: Mapping[bytes, LogPosition],
    subscriptions: Mapping[UUID, Subscription],
    logs: Logs,
    *,
    number: int,
    selection: StreamSelection,
) -> Iterator[bytes]:
    """Each event's id says how far the client is, so that it may be interrupted at any of them."""
    told = {
        each.credential_id: place_of(each.credential_id, places[name_in_places(each.credential_id)])
        for each in accounts
        if each.missed is not None
    }
    for account in accounts:
        whose, subscription = account.credential_id, account.subscription
        for event, position in _events(account, logs):
            if position is not None:
                told[whose] = place_of(whose, position)
            is_subscribed = subscriptions.get(whose) is subscription  # nothing more of one that was paused or removed
            if is_subscribed and selection.includes(event.kind, whose):
                event_id = event_id_of(_ELSEWHERE, 0, joined(told.values()))
                yield event_text(event, credential_id=whose, sequence=number, event_id=event_id if told else None)


def _events(account: _Account, logs: Logs) -> Iterator[tuple[StreamEvent, LogPosition | None]]:
    """Yields the events, each with the position that the client has reached with it."""
    if account.missed is None:
        state = [*logs.known(account.subscription, account.since), *account.subscription.problems()]
        events = [GAP, *state]
        for event in events[:-1]:
            yield event, None
        yield events[-1], account.position
        return
    for entry in account.missed:
        events = [event for news in entry.news or () if (event := _event_of(news)) is not None]
        for index, event in enumerate(events):
            yield event, entry.position if index == len(events) - 1 else None


def _event_of(news: News) -> StreamEvent | None:
    if isinstance(news, Trouble):
        return problem_event(news.problem, resolved=news.is_over)
    return news if isinstance(news, StreamEvent) else None
