from dataclasses import dataclass
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.alpaca.rate_budget import MOST_ACCOUNTS, REQUESTS_PER_WINDOW, BudgetLeft, Budgets

NOON = 1_795_521_600  # on the wall; the monotonic clock below shows something else, as it does


@dataclass
class Clock:
    now: float = 1_000.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return NOON + self.now - 1_000.0

    def pass_by(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture(name="clock")
def _clock() -> Clock:
    return Clock()


@pytest.fixture(name="budgets")
def _budgets(clock: Clock) -> Budgets:
    return budgets_on(clock)


def budgets_on(clock: Clock) -> Budgets:
    return Budgets(monotonic=clock.monotonic, wall=clock.wall)


def reported(*, limit: object = 200, remaining: object = 199, reset: object = NOON + 30) -> dict[str, str]:
    return {
        "X-RateLimit-Limit": str(limit),
        "X-RateLimit-Remaining": str(remaining),
        "X-RateLimit-Reset": str(reset),
    }


def takes(budgets: Budgets, key: str, count: int) -> list[int]:
    return [budgets.take_alone(key) for _ in range(count)]


def test_the_default_is_two_hundred_requests_a_minute(budgets: Budgets, clock: Clock) -> None:
    assert takes(budgets, "alice", REQUESTS_PER_WINDOW) == [0] * REQUESTS_PER_WINDOW
    assert budgets.take_alone("alice") == 60
    clock.pass_by(59.5)
    assert budgets.take_alone("alice") == 1
    clock.pass_by(0.5)
    assert budgets.take_alone("alice") == 0


def test_alice_does_not_use_up_bobs_budget(budgets: Budgets) -> None:
    takes(budgets, "alice", REQUESTS_PER_WINDOW)
    assert budgets.take_alone("alice") > 0
    assert budgets.take_alone("bob") == 0


def test_requests_of_other_programs_are_counted(budgets: Budgets) -> None:
    budgets.take_alone("alice")
    budgets.update("alice", reported(remaining=0))
    assert budgets.take_alone("alice") == 30


def test_a_higher_limit_of_alpaca_is_used(budgets: Budgets) -> None:
    budgets.take_alone("alice")
    budgets.update("alice", reported(limit=1000, remaining=999))
    assert takes(budgets, "alice", 999) == [0] * 999
    assert budgets.take_alone("alice") == 30


def test_a_lower_limit_of_alpaca_is_used(budgets: Budgets) -> None:
    budgets.take_alone("alice")
    budgets.update("alice", reported(limit=10, remaining=9))
    assert takes(budgets, "alice", 10) == [*[0] * 9, 30]


def test_responses_out_of_order_do_not_return_requests(budgets: Budgets) -> None:
    takes(budgets, "alice", 3)
    budgets.update("alice", reported(remaining=1))
    budgets.update("alice", reported(remaining=150))
    assert takes(budgets, "alice", 2) == [0, 30]


def test_a_late_response_of_the_last_window_does_not_use_up_the_new_one(budgets: Budgets, clock: Clock) -> None:
    budgets.take_alone("alice")
    budgets.update("alice", reported(remaining=0))
    clock.pass_by(30)
    assert budgets.take_alone("alice") == 0
    budgets.update("alice", reported(remaining=0))
    assert takes(budgets, "alice", REQUESTS_PER_WINDOW) == [*[0] * (REQUESTS_PER_WINDOW - 1), 60]


def test_a_new_window_starts_with_alpacas_numbers(budgets: Budgets, clock: Clock) -> None:
    takes(budgets, "alice", 150)
    budgets.update("alice", reported(remaining=50, reset=NOON + 10))
    clock.pass_by(9)
    budgets.update("alice", reported(remaining=199, reset=NOON + 69))
    assert takes(budgets, "alice", 199) == [0] * 199
    assert budgets.take_alone("alice") == 60


def test_a_request_that_was_not_sent_is_returned(budgets: Budgets) -> None:
    for _ in range(1_000):
        assert budgets.take_alone("alice") == 0
        budgets.give_back("alice")
    budgets.give_back("nobody")


@pytest.mark.parametrize("absurd", ["-1", str(10**18), "many", "", "1e3", "٣", "0x10", "1.5", " 7"])
@pytest.mark.parametrize("name", ["limit", "remaining", "reset"])
def test_absurd_figures_change_nothing(budgets: Budgets, name: str, absurd: str) -> None:
    budgets.take_alone("alice")
    budgets.update("alice", reported(**{"limit": 200, "remaining": 199, "reset": NOON + 60, name: absurd}))
    assert takes(budgets, "alice", REQUESTS_PER_WINDOW) == [*[0] * (REQUESTS_PER_WINDOW - 1), 60]


@pytest.mark.parametrize("limit", ["0", "1000001"])
def test_an_absurd_limit_is_ignored(budgets: Budgets, limit: str) -> None:
    budgets.take_alone("alice")
    budgets.update("alice", {"X-RateLimit-Limit": limit})
    assert takes(budgets, "alice", REQUESTS_PER_WINDOW)[-2:] == [0, 60]


@pytest.mark.parametrize("skew", [-3600, 3600])
def test_with_a_wrong_clock_the_minute_is_counted_here(budgets: Budgets, skew: int) -> None:
    budgets.take_alone("alice")
    budgets.update("alice", reported(remaining=0, reset=NOON + 30 + skew))
    assert budgets.take_alone("alice") == 60


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": "3600"}, 60),
        ({"Retry-After": formatdate(NOON + 20, usegmt=True)}, 20),
        ({"Retry-After": formatdate(NOON - 20, usegmt=True)}, 1),
        ({"Retry-After": "Sat, 99 Nov 2026 99:99:99 GMT"}, 60),
        ({"Retry-After": "soon"}, 60),
        ({"Retry-After": "-5"}, 60),
        ({"Retry-After": "0", "X-RateLimit-Reset": str(NOON + 12)}, 12),
        ({"X-RateLimit-Reset": str(NOON + 12)}, 12),
        ({"X-RateLimit-Reset": str(NOON - 12)}, 60),
        ({"X-RateLimit-Reset": str(10**11)}, 60),
        ({}, 60),
    ],
)
def test_after_a_429_nothing_is_sent_until_alpaca_accepts_requests(
    budgets: Budgets, clock: Clock, headers: dict[str, str], seconds: int
) -> None:
    budgets.take_alone("alice")
    assert budgets.hold("alice", headers) == seconds
    assert budgets.take_alone("alice") == seconds
    clock.pass_by(seconds - 0.01)
    assert budgets.take_alone("alice") == 1
    clock.pass_by(0.02)
    assert budgets.take_alone("alice") == 0


def test_a_hold_outlasts_the_window_it_began_in(budgets: Budgets, clock: Clock) -> None:
    budgets.take_alone("alice")
    clock.pass_by(59)
    budgets.hold("alice", {"Retry-After": "30"})
    clock.pass_by(2)
    assert budgets.take_alone("alice") == 28


def test_idle_accounts_are_forgotten_and_busy_ones_are_bounded(budgets: Budgets, clock: Clock) -> None:
    for number in range(MOST_ACCOUNTS + 500):
        budgets.take_alone(number)
    windows = budgets._windows  # pyright: ignore[reportPrivateUsage]  # memory has no public face
    assert len(windows) == MOST_ACCOUNTS
    clock.pass_by(60)
    budgets.take_alone("alice")
    assert list(windows) == ["alice"]


def test_a_busy_account_does_not_keep_idle_ones_in_memory(budgets: Budgets, clock: Clock) -> None:
    takes(budgets, "carol", 1)
    takes(budgets, "alice", 1)
    takes(budgets, "bob", 1)
    budgets.update("alice", reported(reset=NOON + 10))
    clock.pass_by(10)
    budgets.take_alone("alice")
    clock.pass_by(50)
    budgets.take_alone("dave")
    assert list(budgets._windows) == ["alice", "dave"]  # pyright: ignore[reportPrivateUsage]  # as above


@given(
    st.dictionaries(
        st.sampled_from(["X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "Retry-After"]),
        st.text(max_size=30) | st.integers().map(str) | st.integers(NOON - 100, NOON + 100).map(str),
    )
)
def test_no_header_breaks_the_counting(headers: dict[str, str]) -> None:
    budgets = budgets_on(Clock())
    budgets.take_alone("alice")
    budgets.update("alice", headers)
    assert 0 <= budgets.take_alone("alice") <= 60
    assert 1 <= budgets.hold("alice", headers) <= 60


def test_the_remaining_requests_are_known_until_the_minute_is_over(budgets: Budgets, clock: Clock) -> None:
    assert budgets.left("alice") is None
    takes(budgets, "alice", 3)
    clock.pass_by(10)
    assert budgets.left("alice") == BudgetLeft(limit=200, remaining=197, resets_in_seconds=50)
    assert budgets.left("bob") is None
    budgets.update("alice", reported(limit=1000, remaining=12, reset=NOON + 30))
    assert budgets.left("alice") == BudgetLeft(limit=1000, remaining=12, resets_in_seconds=20)
    clock.pass_by(20)
    assert budgets.left("alice") is None


def test_nothing_is_left_after_a_429_and_never_less_than_zero(budgets: Budgets) -> None:
    takes(budgets, "alice", 1)
    budgets.hold("alice", {"Retry-After": "7"})
    assert budgets.left("alice") == BudgetLeft(limit=200, remaining=0, resets_in_seconds=60)
    takes(budgets, "bob", 5)
    budgets.update("bob", reported(limit=3, remaining=0))
    assert budgets.left("bob") == BudgetLeft(limit=3, remaining=0, resets_in_seconds=30)


def test_callers_that_can_wait_leave_the_last_requests_of_a_minute_to_others(budgets: Budgets, clock: Clock) -> None:
    patient = [budgets.take_alone("alice", leaving=50) for _ in range(REQUESTS_PER_WINDOW - 49)]
    assert patient == [0] * (REQUESTS_PER_WINDOW - 50) + [60]
    assert takes(budgets, "alice", 51) == [0] * 50 + [60]
    clock.pass_by(60)
    assert budgets.take_alone("alice", leaving=50) == 0


def test_periodic_callers_use_half_of_the_limit_and_of_what_is_left(budgets: Budgets, clock: Clock) -> None:
    assert budgets.polite_seconds("alice") == 2 * 60 / REQUESTS_PER_WINDOW
    takes(budgets, "alice", 1)
    budgets.update("alice", reported(limit=24, remaining=23, reset=NOON + 60))
    assert budgets.polite_seconds("alice") == 2 * 60 / 23
    takes(budgets, "alice", 18)
    clock.pass_by(30)
    assert budgets.polite_seconds("alice") == 2 * 30 / 5
    clock.pass_by(25)
    assert budgets.polite_seconds("alice") == 2 * 60 / 24
    takes(budgets, "alice", 5)
    assert budgets.polite_seconds("alice") == 2 * 5
    clock.pass_by(5)
    assert budgets.polite_seconds("alice") == 2 * 60 / REQUESTS_PER_WINDOW
