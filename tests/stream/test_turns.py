"""Whose keys the next call to Alpaca is made with."""

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from corral.stream.subscriptions import Subscription, Subscriptions

if TYPE_CHECKING:
    from corral.credentials.reader import OpenCredential


def subscription(*, is_polled: bool) -> Subscription:
    stored = SimpleNamespace(id=None, refused_at=None)
    credential = cast("OpenCredential", SimpleNamespace(stored=stored))
    return Subscription(credential, lambda _credential_id, _event: None, is_polled=is_polled)


async def is_anybodys(subscriptions: Subscriptions) -> Subscription | None:
    """Whose turn it is now, if it is anybody's."""
    waiting = asyncio.ensure_future(subscriptions.next_in_turn())
    for _ in range(3):
        await asyncio.sleep(0)
    if waiting.done():
        return waiting.result()
    waiting.cancel()
    return None


async def test_those_that_are_polled_take_turns() -> None:
    subscriptions = Subscriptions()
    first, second = subscription(is_polled=True), subscription(is_polled=True)
    for each in (second, first):
        subscriptions.add(each)
        subscriptions.accept(each, [])
    assert [await is_anybodys(subscriptions) for _ in range(4)] == [first, second, first, second]


async def test_one_that_is_not_polled_has_its_turn_until_its_keys_are_accepted() -> None:
    subscriptions, socket = Subscriptions(), subscription(is_polled=False)
    subscriptions.add(socket)
    assert await is_anybodys(subscriptions) is socket
    assert await is_anybodys(subscriptions) is socket
    subscriptions.accept(socket, [])
    assert await is_anybodys(subscriptions) is None
    page = subscription(is_polled=True)
    subscriptions.add(page)
    subscriptions.accept(page, [])
    assert [await is_anybodys(subscriptions) for _ in range(2)] == [page, page]
    subscriptions.verify_next(socket)
    assert [await is_anybodys(subscriptions) for _ in range(2)] == [socket, page]
