"""The sparkline on each account card: equity over the last trading day, extended hours included."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, time
from decimal import Decimal
from itertools import pairwise
from typing import Final
from uuid import UUID

from pydantic import BaseModel

from corral.accounts.cache import Answer
from corral.accounts.combined.equity import points_since_funding
from corral.accounts.lists import read_portfolio_history
from corral.accounts.params import HistoryParams
from corral.accounts.reader import AccountReader
from corral.accounts.schemas import HistoryPointResponse, PortfolioHistoryResponse
from corral.alpaca.portfolio_history import IntradayReporting, ProfitReset, Timeframe
from corral.credentials.models import NamedCredential
from corral.errors import Problem
from corral.web.view.times import to_exchange_time

# How long a sparkline, or the lack of one, is cached: at most one call to Alpaca per account in this time.
SPARKLINE_SECONDS: Final = 180.0
# Of the SVG's view box. Coordinates are whole, and relative to the point before, so that a page of many is small.
WIDTH, HEIGHT = 320, 100

_MAX_POINTS: Final = 80
_MAX_CONCURRENT_CALLS: Final = 16  # of one page, so that account figures are not held up
_MARGIN: Final = 2  # half of the stroke extends beyond the points
_OPENS, _CLOSES = time(4), time(20)  # extended hours

# In steps of 15 minutes the longest day has 64 points.
HISTORY_PARAMS: Final = HistoryParams(
    period="1D",
    timeframe=Timeframe.FIFTEEN_MINUTES,
    intraday_reporting=IntradayReporting.EXTENDED_HOURS,
    pnl_reset=ProfitReset.NO_RESET,
)


class Sparkline(BaseModel):
    """`path` is for an SVG path; `close` is the y coordinate of the previous close, if Alpaca returns it.

    `missing` is the number of unreadable points.
    """

    path: str
    close: int | None
    missing: int = 0


class _Drawn(BaseModel):
    sparkline: Sparkline | None


async def fetch_sparklines(
    credentials: Sequence[NamedCredential], accounts: AccountReader, *, within_seconds: float
) -> dict[UUID, Sparkline | None]:
    """Returns None for an account without a sparkline, and leaves out those that are still pending.

    The credentials have to be loaded for this request. Pending calls continue, and later requests get their results.
    """
    limit = asyncio.Semaphore(_MAX_CONCURRENT_CALLS)
    calls = {
        credential.sealed.id: asyncio.ensure_future(_cached_sparkline(credential, limit, accounts))
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


def draw_sparkline(history: PortfolioHistoryResponse) -> Sparkline | None:
    """Returns None for fewer than two points. Coordinates are computed exactly and then rounded."""
    points = _thin_out(points_since_funding(history.items))
    if len(points) < 2:  # noqa: PLR2004 - a line needs two points
        return None
    equities = [Decimal(point.equity) for point in points if point.equity is not None]
    close = Decimal(history.base_value) if history.base_value and Decimal(history.base_value) else None
    values = [*equities, close] if close is not None else equities
    low, high = min(values), max(values)
    xs = _x_coordinates([to_exchange_time(point.at) for point in points])
    ys = [_y_coordinate(equity, low, high) for equity in equities]
    return Sparkline(
        path=_path(list(zip(xs, ys, strict=True))),
        close=None if close is None else _y_coordinate(close, low, high),
        missing=history.missing,
    )


def _thin_out(points: Sequence[HistoryPointResponse]) -> Sequence[HistoryPointResponse]:
    """Keeps the last point and every n-th before it."""
    step = -(-len(points) // _MAX_POINTS) or 1
    return points[::-step][::-1]


async def _cached_sparkline(
    credential: NamedCredential, limit: asyncio.Semaphore, accounts: AccountReader
) -> Sparkline | None:
    """A failure is cached, too, and not shown: the card has the reason."""
    sealed = credential.sealed
    if sealed.refused_at is not None:
        return None

    async def fetch() -> Answer[_Drawn]:
        try:
            history = await read_portfolio_history(sealed.user_id, sealed.id, HISTORY_PARAMS, accounts)
        except Problem:
            return Answer(_Drawn(sparkline=None))
        return Answer(_Drawn(sparkline=draw_sparkline(history.value)))

    async with limit:
        opened = accounts.open_row(sealed)
        cached = await accounts.shared(opened, "sparkline", fetch, keep_seconds=SPARKLINE_SECONDS)
    return cached.value.sparkline


def _path(points: Sequence[tuple[int, int]]) -> str:
    """`M0 98l5-48 5-48` goes up: a minus sign separates numbers as a space does."""
    steps = [(after[0] - before[0], after[1] - before[1]) for before, after in pairwise(points)]
    return f"M{points[0][0]} {points[0][1]}l" + " ".join(
        f"{across}{'' if down < 0 else ' '}{down}" for across, down in steps
    )


def _x_coordinates(times: Sequence[datetime]) -> list[int]:
    """The width is the whole trading day, so that the line grows to the right during the day."""
    day = times[-1]
    begins = min(times[0], datetime.combine(day, _OPENS, day.tzinfo))
    ends = max(day, datetime.combine(day, _CLOSES, day.tzinfo))
    return [round((at - begins) / (ends - begins) * WIDTH) for at in times]


def _y_coordinate(equity: Decimal, low: Decimal, high: Decimal) -> int:
    """From the top, as in SVG. A constant value is in the middle."""
    share = (high - equity) / (high - low) if high > low else Decimal("0.5")
    return round(_MARGIN + share * (HEIGHT - 2 * _MARGIN))
