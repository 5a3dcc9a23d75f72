"""Whether this process may ask Alpaca about an account now."""

from collections.abc import Awaitable, Callable

Permit = Callable[[], Awaitable[object]]
"""Returns when this process may ask. To be awaited right before each call."""


async def always() -> None:
    """The permit of a process that shares nothing."""
