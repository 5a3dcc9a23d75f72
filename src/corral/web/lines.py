"""A small line on each card: the account's equity over its last trading day, extended hours included."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, time
from decimal import Decimal
from typing import Final
from uuid import UUID

from pydantic import BaseModel

from corral.accounts.cache import Answer
from corral.accounts.lists import read_portfolio_history
from corral.accounts.params import HistoryParams
from corral.accounts.reader import AccountReader
from corral.accounts.schemas import HistoryPointResponse, PortfolioHistoryResponse
from corral.alpaca.portfolio_history import IntradayReporting, ProfitReset, Timeframe
from corral.credentials.models import NamedCredential
from corral.errors import Problem
from corral.web.equity import at_the_exchange, since_funding

# For so long a line is shown to all who may see it, also that there is none: one call to Alpaca in this time.
LINE_SECONDS: Final = 180.0
WIDTH, HEIGHT = 300, 40  # of the drawing, in units of its own

_MOST_POINTS: Final = 80  # whatever Alpaca answers
_MOST_CALLS_AT_ONCE: Final = 16  # of one page: its figures come first
_MARGIN: Final = 1  # half of the stroke is above its points
_OPENS, _CLOSES = time(4), time(20)  # extended hours

# Steps of a quarter of an hour, of which the longest day has 64.
QUESTION: Final = HistoryParams(
    period="1D",
    timeframe=Timeframe.FIFTEEN_MINUTES,
    intraday_reporting=IntradayReporting.EXTENDED_HOURS,
    pnl_reset=ProfitReset.NO_RESET,
)


class Line(BaseModel):
    """`points` as SVG writes them; `close` is the height of the equity at the last close, where Alpaca tells it.

    `missing` are points that could not be read.
    """

    points: str
    close: str | None
    missing: int = 0


class _Drawn(BaseModel):
    line: Line | None


async def find_lines(
    credentials: Sequence[NamedCredential], accounts: AccountReader, *, within_seconds: float
) -> dict[UUID, Line | None]:
    """None for an account without a line, be it new or Alpaca away; one whose line is under way is not there.

    The credentials were read for this very request. What is under way goes on, and whoever asks next finds it.
    """
    turns = asyncio.Semaphore(_MOST_CALLS_AT_ONCE)
    calls = {
        credential.sealed.id: asyncio.ensure_future(_shared_line(credential, turns, accounts))
        for credential in credentials
    }
    if not calls:
        return {}
    try:
        await asyncio.wait(calls.values(), timeout=within_seconds)
        return {credential_id: call.result() for credential_id, call in calls.items() if call.done()}
    finally:
        for call in calls.values():
            call.cancel()


def line_of(history: PortfolioHistoryResponse) -> Line | None:
    """None for less than two points. Equities become heights by exact arithmetic, rounded to tenths at the end."""
    points = _some_of(since_funding(history.items))
    if len(points) < 2:  # noqa: PLR2004 - two points make a line
        return None
    equities = [Decimal(point.equity) for point in points if point.equity is not None]
    close = Decimal(history.base_value) if history.base_value and Decimal(history.base_value) else None
    reach = [*equities, close] if close is not None else equities
    low, high = min(reach), max(reach)
    across = _across([at_the_exchange(point.at) for point in points])
    heights = [_height(equity, low, high) for equity in equities]
    return Line(
        points=" ".join(map("{},{}".format, across, heights)),
        close=None if close is None else _height(close, low, high),
        missing=history.missing,
    )


def _some_of(points: Sequence[HistoryPointResponse]) -> Sequence[HistoryPointResponse]:
    """The last one, and of those before it as many as there is room for."""
    every = -(-len(points) // _MOST_POINTS) or 1
    return points[::-every][::-1]


async def _shared_line(credential: NamedCredential, turns: asyncio.Semaphore, accounts: AccountReader) -> Line | None:
    """A failure is kept like a line, and not shown."""
    sealed = credential.sealed
    if sealed.refused_at is not None:
        return None

    async def fetch() -> Answer[_Drawn]:
        try:
            answer = await read_portfolio_history(sealed.user_id, sealed.id, QUESTION, accounts)
        except Problem:
            return Answer(_Drawn(line=None))
        return Answer(_Drawn(line=line_of(answer.value)))

    async with turns:
        kept = await accounts.shared(accounts.open_row(sealed), "line", fetch, keep_seconds=LINE_SECONDS)
    return kept.value.line


def _across(moments: Sequence[datetime]) -> list[str]:
    """A day has its whole width from the beginning, so that its line grows towards the evening."""
    day = moments[-1]
    begins = min(moments[0], datetime.combine(day, _OPENS, day.tzinfo))
    ends = max(day, datetime.combine(day, _CLOSES, day.tzinfo))
    return [f"{(moment - begins) / (ends - begins) * WIDTH:.1f}" for moment in moments]


def _height(equity: Decimal, low: Decimal, high: Decimal) -> str:
    """From the top, as SVG counts. What never moved is in the middle."""
    share = (high - equity) / (high - low) if high > low else Decimal("0.5")
    return f"{_MARGIN + share * (HEIGHT - 2 * _MARGIN):.1f}"
