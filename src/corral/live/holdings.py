"""What is known of an account, and what of an answer is new."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, NamedTuple, final

from corral.accounts.schemas import PositionResponse
from corral.alpaca.items import UnreadableItem, count_unreadable, readable
from corral.alpaca.positions import Position
from corral.live.events import Kind, News

_MOMENT: Final = b',"last_updated":'


class PositionEvent(PositionResponse):
    """A position as the stream tells it."""

    stale: bool = False


class _Held(NamedTuple):
    position: Position
    news: News
    is_stale: bool = False


@final
class Holdings:
    """Keeps the last of each while Alpaca does not answer: stale, and told to be so by a problem."""

    __slots__ = ("_account", "_positions")

    def __init__(self) -> None:
        self._account: News | None = None
        self._positions: dict[str, _Held] = {}

    def known(self) -> list[News]:
        account = [self._account] if self._account is not None else []
        return account + [held.news for held in self._positions.values()]

    def learn_account(self, body: bytes) -> list[News]:
        """AccountDataResponse as JSON. That only its moment is another is no news, but what is known is fresher."""
        before, self._account = self._account, News(Kind.ACCOUNT_DATA, body)
        is_new = before is None or _without_moment(before.body) != _without_moment(body)
        return [self._account] if is_new else []

    def learn_positions(self, entries: Sequence[Position | UnreadableItem]) -> list[News]:
        """All positions of the account. One that is not among them any more is told with a `qty` of 0.

        While any cannot be read, nobody knows which one that is: what was known and is not read anew stays, and is
        told to be stale.
        """
        before, self._positions = self._positions, {}
        news: list[News] = []
        for position in readable(entries):
            held = before.pop(position.asset_id, None)
            if held is None or held.is_stale or held.position != position:
                held = _Held(position, _news_of(position))
                news.append(held.news)
            self._positions[position.asset_id] = held
        if not count_unreadable(entries):
            return news + [_news_of(_closed(held.position)) for held in before.values()]
        return news + self._keep_stale(before)

    def _keep_stale(self, before: Mapping[str, _Held]) -> list[News]:
        news: list[News] = []
        for asset_id, held in before.items():
            kept = held
            if not held.is_stale:
                kept = _Held(held.position, _news_of(held.position, is_stale=True), is_stale=True)
                news.append(kept.news)
            self._positions[asset_id] = kept
        return news


def _closed(position: Position) -> Position:
    return replace(
        position,
        qty="0",
        qty_available="0",
        market_value="0",
        cost_basis="0",
        unrealized_pl="0",
        unrealized_plpc=None,
        unrealized_intraday_pl=None,
        unrealized_intraday_plpc=None,
    )


def _news_of(position: Position, *, is_stale: bool = False) -> News:
    event = PositionEvent.model_validate(position).model_copy(update={"stale": is_stale})
    return News(Kind.POSITION, event.model_dump_json().encode())


def _without_moment(body: bytes) -> bytes:
    return body.rpartition(_MOMENT)[0]
