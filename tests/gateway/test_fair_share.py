"""How the requests of an account's minute are divided among its owner and its grants."""

from collections.abc import Coroutine
from dataclasses import dataclass, field
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.alpaca.rate_budget import Budgets
from corral.gateway.fair_share import FairShares, Share

ANN, BEN, CAT = (UUID(int=number) for number in (1, 2, 3))


def at_once(asked: Coroutine[object, object, Share]) -> Share:
    """Without Valkey nothing is waited for, not even one pass of the event loop: there is none here."""
    try:
        asked.send(None)
    except StopIteration as answered:
        return answered.value
    raise AssertionError("it waited")


@dataclass
class Account:
    """One account at Alpaca on a clock that is turned."""

    now: float = 0.0
    budgets: Budgets = field(init=False)
    shares: FairShares = field(init=False)

    def __post_init__(self) -> None:
        self.budgets = Budgets(monotonic=lambda: self.now, wall=lambda: self.now)
        self.shares = FairShares(self.budgets, wall=lambda: self.now)

    def ask(self, grant: UUID, *, closes: bool = False) -> Share:
        return at_once(self.shares.take("account", grant, is_closing=closes))

    def asks(self, grant: UUID, times: int, *, closes: bool = False) -> int:
        """How many of so many requests may be made."""
        return sum(not self.ask(grant, closes=closes).retry_after for _ in range(times))

    def owner_asks(self, times: int) -> int:
        return sum(not self.budgets.take_alone("account") for _ in range(times))


@pytest.fixture
def account() -> Account:
    return Account()


def test_one_grant_leaves_a_tenth_for_closing_and_a_tenth_for_the_owner(account: Account) -> None:
    assert account.asks(ANN, 300) == 160
    assert account.asks(ANN, 300, closes=True) == 20
    assert account.owner_asks(300) == 20


def test_the_owners_pages_leave_what_is_for_closing(account: Account) -> None:
    account.ask(ANN)
    assert account.owner_asks(300) == 139, "a quarter of the grants' part and the tenth for closing stay"
    assert account.asks(ANN, 300, closes=True) >= 20


def test_two_grants_have_equal_parts(account: Account) -> None:
    for _ in range(300):
        account.ask(ANN)
        account.ask(BEN)
    assert account.ask(ANN).limit == account.ask(BEN).limit == 80
    account.now = 60
    assert [account.asks(ANN, 300), account.asks(BEN, 300)] == [120, 40], "who asks first borrows, but for a quarter"


def test_what_was_asked_for_in_this_minute_is_not_borrowed(account: Account) -> None:
    account.ask(ANN)
    account.ask(BEN)
    assert account.asks(ANN, 300) == 79
    assert account.asks(BEN, 300) == 79


def test_a_grant_that_no_longer_asks_has_no_part(account: Account) -> None:
    account.ask(BEN)
    account.now = 61
    assert account.ask(ANN).limit == 80
    account.now = 122
    assert account.ask(ANN).limit == 160


def test_the_wait_is_until_the_next_minute(account: Account) -> None:
    account.asks(ANN, 300)
    account.now = 20.5
    refused = account.ask(ANN)
    assert refused.retry_after == 40
    assert (refused.remaining, refused.resets_at) == (0, 60)
    account.now += refused.retry_after
    assert account.ask(ANN).retry_after == 0


def test_what_never_reached_alpaca_does_not_count(account: Account) -> None:
    before = account.ask(ANN).remaining
    account.ask(ANN)
    account.shares.give_back("account", ANN)
    assert account.ask(ANN).remaining == before - 1


def test_a_small_limit_is_divided_too(account: Account) -> None:
    account.ask(ANN)
    account.budgets.update("account", {"X-RateLimit-Limit": "10", "X-RateLimit-Remaining": "9"})
    assert account.asks(ANN, 20) == 3
    assert account.asks(ANN, 20, closes=True) == 5


@given(st.lists(st.tuples(st.sampled_from([ANN, BEN, CAT]), st.booleans()), max_size=400))
def test_no_more_is_sent_than_alpaca_allows(asked: list[tuple[UUID, bool]]) -> None:
    account = Account()
    sent = sum(not account.ask(grant, closes=closes).retry_after for grant, closes in asked)
    assert sent + account.owner_asks(250) <= 200
