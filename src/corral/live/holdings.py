"""What is known of an account, and what of an answer is new."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final, NamedTuple, final

from corral.accounts.schemas import position_response
from corral.alpaca.positions import Position
from corral.live.events import Kind, News

_MOMENT: Final = b',"last_updated":'


class _Held(NamedTuple):
    position: Position
    news: News


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

    def learn_positions(self, positions: Iterable[Position]) -> list[News]:
        """All positions of the account. One that is not among them any more is told with a `qty` of 0."""
        before, self._positions = self._positions, {}
        news: list[News] = []
        for position in positions:
            held = before.pop(position.asset_id, None)
            if held is None or held.position != position:
                held = _Held(position, _news_of(position))
                news.append(held.news)
            self._positions[position.asset_id] = held
        return news + [_news_of(_closed(held.position)) for held in before.values()]


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


def _news_of(position: Position) -> News:
    return News(Kind.POSITION, position_response(position).model_dump_json().encode())


def _without_moment(body: bytes) -> bytes:
    return body.rpartition(_MOMENT)[0]
