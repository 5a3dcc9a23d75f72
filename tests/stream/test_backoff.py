"""Waits that grow, and never all at once."""

import itertools

from corral.stream.backoff import Backoff


def test_waits_grow_with_each_failure_up_to_a_bound_and_restart_after_success() -> None:
    longest = [0.0] * 8
    for _ in range(300):
        backoff = Backoff(first=2.0, longest=60.0)
        for number in range(8):
            longest[number] = max(longest[number], backoff.next_seconds())
        backoff.reset()
        assert backoff.next_seconds() <= 2.0
    for number, bound in enumerate([2, 4, 8, 16, 32, 60, 60, 60]):
        assert bound * 0.9 < longest[number] <= bound  # 300 draws: one of them comes close


def test_waits_of_those_that_failed_together_are_spread() -> None:
    waits = sorted(Backoff(first=2.0, longest=60.0).next_seconds() for _ in range(200))
    assert max(later - earlier for earlier, later in itertools.pairwise(waits)) < 0.3
