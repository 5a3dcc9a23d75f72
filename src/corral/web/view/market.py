"""Whether the market is open, and when it closes or opens next: the clock of any account that answers."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from corral.accounts.cache import Answer
from corral.accounts.reader import AccountReader
from corral.accounts.schemas import ClockResponse, clock_response
from corral.credentials.models import NamedCredential
from corral.errors import Problem
from corral.web.view.times import format_coming_time, to_exchange_time

CLOCK_SECONDS: Final = 30.0
_MOST_ASKED: Final = 2  # so that one account that does not answer is not in the way


@dataclass(frozen=True, slots=True)
class MarketState:
    """`changes_in` is the number of seconds until it opens or closes, by Alpaca's clock."""

    is_open: bool
    text: str
    changes_in: int


async def fetch_market_state(
    credentials: Sequence[NamedCredential], accounts: AccountReader, *, within_seconds: float
) -> MarketState | None:
    """Returns None if no account answers in time. The credentials have to be loaded for this request.

    Pending calls continue, and later requests get their results.
    """
    readable = [credential for credential in credentials if credential.sealed.refused_at is None]
    # What answered a moment ago probably does so now.
    asked = sorted(readable, key=lambda one: not accounts.is_kept(one.sealed.id))[:_MOST_ASKED]
    calls = [asyncio.ensure_future(_cached_clock(credential, accounts)) for credential in asked]
    try:
        for call in asyncio.as_completed(calls, timeout=within_seconds):
            if clock := await call:
                return describe_market(clock)
    except TimeoutError:
        pass
    finally:
        for call in calls:
            call.cancel()
    return None


def describe_market(clock: ClockResponse) -> MarketState:
    """`Market open · closes 16:00 ET`, `Closed · opens Mon 09:30 ET`: in the zone that the reader has chosen."""
    change = clock.next_close if clock.is_open else clock.next_open
    when = format_coming_time(change, clock.timestamp)
    text = f"Market open · closes {when}" if clock.is_open else f"Closed · opens {when}"
    remaining = to_exchange_time(change) - to_exchange_time(clock.timestamp)
    return MarketState(clock.is_open, text, max(0, round(remaining.total_seconds())))


async def _cached_clock(credential: NamedCredential, accounts: AccountReader) -> ClockResponse | None:
    async def fetch() -> Answer[ClockResponse]:
        return Answer(clock_response(await accounts.clock(opened)))

    try:
        opened = accounts.open_row(credential.sealed)
        return (await accounts.shared(opened, "market", fetch, keep_seconds=CLOCK_SECONDS)).value
    except Problem:
        return None
