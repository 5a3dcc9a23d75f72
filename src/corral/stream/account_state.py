"""What Alpaca said last about an account, and the events for what is new in a response."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, final

import orjson

from corral.accounts.cache import Answer
from corral.accounts.schemas import AccountDataResponse, PositionResponse
from corral.alpaca.items import UnreadableItem, count_unreadable, readable
from corral.alpaca.positions import Position
from corral.stream.events import Kind, StreamEvent


class PositionEvent(PositionResponse):
    """A position, as the stream sends it."""

    stale: bool = False


class _Held(NamedTuple):
    """`position` is None if another process has told of it."""

    position: Position | None
    event: StreamEvent
    is_stale: bool = False


@final
class AccountState:
    """Of the process that asks Alpaca about the account."""

    __slots__ = ("_account", "_positions")

    def __init__(self) -> None:
        self._account: Answer[AccountDataResponse] | None = None
        self._positions: dict[str, _Held] = {}

    @property
    def is_known(self) -> bool:
        """Whether the account was ever read."""
        return self._account is not None

    def load(self, told: Iterable[StreamEvent]) -> None:
        """Takes what has been told of the account until now."""
        for event in told:
            if event.kind is Kind.ACCOUNT_DATA:
                self._account = Answer(AccountDataResponse.model_validate_json(event.body))
            elif event.kind is Kind.POSITION:
                self._positions[event.about] = _Held(None, event, is_stale=orjson.loads(event.body)["stale"])

    def update_account(self, answer: Answer[AccountDataResponse]) -> bool:
        """Returns whether anything but `last_updated` differs from the last answer."""
        before, self._account = self._account, answer
        return before is None or _figures(before.value) != _figures(answer.value)

    def update_positions(self, entries: Sequence[Position | UnreadableItem]) -> list[StreamEvent]:
        """`entries` are all positions of the account. One that is no longer among them gets an event with `qty` 0.

        An unreadable entry could be any position, so known positions that are not among the readable ones are kept,
        and get an event that says they are stale.
        """
        before, self._positions = self._positions, {}
        events: list[StreamEvent] = []
        for position in readable(entries):
            held = before.pop(position.asset_id, None)
            if held is None or held.is_stale or held.position != position:
                event = _event_of(position)
                if held is None or held.event != event:
                    events.append(event)
                held = _Held(position, event)
            self._positions[position.asset_id] = held
        if not count_unreadable(entries):
            return events + [closed(held.event) for held in before.values()]
        return events + self._keep_stale(before)

    def _keep_stale(self, before: Mapping[str, _Held]) -> list[StreamEvent]:
        events: list[StreamEvent] = []
        for asset_id, held in before.items():
            kept = held
            if not held.is_stale:
                kept = _Held(held.position, _changed(held.event, stale=True), is_stale=True)
                events.append(kept.event)
            self._positions[asset_id] = kept
        return events


def closed(event: StreamEvent) -> StreamEvent:
    """Returns the event that says that this position is gone."""
    changed = _changed(
        event,
        qty="0",
        qty_available="0",
        market_value="0",
        cost_basis="0",
        unrealized_pl="0",
        unrealized_plpc=None,
        unrealized_intraday_pl=None,
        unrealized_intraday_plpc=None,
        stale=False,
    )
    return replace(changed, is_last=True)


def _changed(event: StreamEvent, **changes: object) -> StreamEvent:
    changed = PositionEvent.model_validate_json(event.body).model_copy(update=changes)
    return StreamEvent(Kind.POSITION, changed.model_dump_json().encode(), event.about)


def _event_of(position: Position) -> StreamEvent:
    event = PositionEvent.model_validate(position)
    return StreamEvent(Kind.POSITION, event.model_dump_json().encode(), event.asset_id)


def account_event(answer: Answer[AccountDataResponse]) -> StreamEvent:
    return StreamEvent(Kind.ACCOUNT_DATA, answer.json)


def _figures(data: AccountDataResponse) -> list[tuple[str, object]]:
    return [(name, value) for name, value in data if name != "last_updated"]
