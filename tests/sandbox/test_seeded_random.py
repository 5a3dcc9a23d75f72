"""Numbers that are made faster are the same as those made one by one."""

from hypothesis import given
from hypothesis import strategies as st

from corral_sandbox.market.seeded_random import SeededSeries, seeded_random


@given(st.integers(), st.integers())
def test_a_series_has_the_numbers_of_its_seed(seed: int, index: int) -> None:
    assert SeededSeries(seed, "AAPL").number(1_000_003, index) == seeded_random(1_000_003, seed, "AAPL", index)
