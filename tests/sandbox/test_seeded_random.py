"""Numbers and ids that are made faster are the same as those made one by one."""

from uuid import UUID, uuid5

from hypothesis import given
from hypothesis import strategies as st

from corral_sandbox.market.seeded_random import NamedIds, SeededSeries, seeded_random


@given(st.uuids(), st.text(st.characters(exclude_categories=["Cs"])))
def test_named_ids_are_uuids_of_version_5(namespace: UUID, name: str) -> None:
    assert NamedIds(namespace).id_of(name) == str(uuid5(namespace, name))


@given(st.integers(), st.integers())
def test_a_series_has_the_numbers_of_its_seed(seed: int, index: int) -> None:
    assert SeededSeries(seed, "AAPL").number(1_000_003, index) == seeded_random(1_000_003, seed, "AAPL", index)
