"""What a thousand idle accounts cost a server in memory.

The same server is looked at twice. Before: it is warm, a thousand requests for a hundred other accounts
have just been answered, so connections, statements, caches and the allocator have found their size.
After: a thousand requests more, each for an account it has never seen, and then none. Both measurements
come after five seconds of quiet, a garbage collection and the return of free memory to the system, and
both count USS: the pages that no other process shares. The difference is what the thousand have left.
"""

import asyncio
from collections.abc import Awaitable, Callable

from benchmarks.accounts import Fixture
from benchmarks.load import Question

_QUIET_SECONDS = 5.0
_ROUNDS_OF_WARM_UP = 4

AskEach = Callable[[list[Question]], Awaitable[None]]


async def extra_memory(fixture: Fixture, ask_each: AskEach, settled_memory: Callable[[], Awaitable[int]]) -> int:
    """Bytes for `len(ranch.accounts)` accounts; may be a little below zero, where there is nothing to find."""
    as_many = fixture.warm_up.accounts * (len(fixture.accounts) // len(fixture.warm_up.accounts))
    for _ in range(_ROUNDS_OF_WARM_UP):
        await ask_each(as_many)
    before = await _settled(settled_memory)
    await ask_each(fixture.accounts)
    return await _settled(settled_memory) - before


async def _settled(settled_memory: Callable[[], Awaitable[int]]) -> int:
    await asyncio.sleep(_QUIET_SECONDS)
    return await settled_memory()
