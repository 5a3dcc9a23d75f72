"""Two thousand open streams over two hundred accounts, on one server."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import ClientSession

from benchmarks.accounts import SANDBOX_SEED, Owner
from benchmarks.listening import Crowd, Errand, Heard
from benchmarks.processes import Child
from corral_sandbox.broker.characters import open_account_with_character
from corral_sandbox.market.prices import Market

STREAMS_OF_EACH = 10
_SETTLE_SECONDS = 8.0
_COUNTED_SECONDS = 10.0
_ORDERS_A_SECOND = 20.0
# A sandbox account that may not trade, or has nothing to spend, places no order.
_RESTRICTIONS = ("trading_blocked", "account_blocked", "trade_suspended_by_user")


@dataclass(frozen=True, slots=True)
class StreamFigures:
    """`memory` is in bytes, for all streams and what stands behind them; `most_calls` is the busiest account's."""

    streams: int
    accounts: int
    memory: int
    most_calls: int
    counted_seconds: float
    heard: Heard


async def measure_streams(
    listeners: list[Owner], *, url: str, sandbox_url: str, listener: Child, settled_memory: Callable[[], Awaitable[int]]
) -> StreamFigures:
    tokens = [owner.token for owner in listeners]
    crowd = Crowd(url=url, paper_url=f"{sandbox_url}/paper", tokens=tokens, streams_of_each=STREAMS_OF_EACH)
    before = await settled_memory()
    streams = int(await listener.ask(crowd.model_dump_json()))
    await asyncio.sleep(_SETTLE_SECONDS)
    memory = await settled_memory() - before
    most_calls = await _most_calls(sandbox_url)
    key_ids = [key_id for owner in listeners for key_id in owner.key_ids if _may_trade(key_id)]
    errand = Errand(key_ids=key_ids, a_second=_ORDERS_A_SECOND, watchers=STREAMS_OF_EACH)
    heard = Heard.model_validate_json(await listener.ask(errand.model_dump_json()))
    accounts = sum(len(owner.key_ids) for owner in listeners)
    return StreamFigures(streams, accounts, memory, most_calls, _COUNTED_SECONDS, heard)


async def _most_calls(sandbox_url: str) -> int:
    """How many requests Alpaca gets for the account that it gets most for, in `_COUNTED_SECONDS`."""
    async with ClientSession(sandbox_url) as client:
        async with client.put("/_requests"):
            await asyncio.sleep(_COUNTED_SECONDS)
        async with client.get("/_requests") as answer:
            counts = await answer.json()
    return max(sum(account["paths"].values()) for account in counts["key_ids"].values())


def _may_trade(key_id: str) -> bool:
    account = open_account_with_character(Market(SANDBOX_SEED), key_id)
    return not any(account.profile[name] for name in _RESTRICTIONS) and account.cash > 0
