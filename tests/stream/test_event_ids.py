"""What an event's id says of where its client is, and what becomes of one that somebody has made up."""

from uuid import UUID, uuid4

import pytest

from corral.stream.events import (
    MOST_PLACES,
    LogPosition,
    event_id_of,
    joined,
    name_in_places,
    place_of,
    places_in,
    sequence_in,
)

NOW = 1_796_000_000_000_000
EPOCH = "5f0c9d2b7a61e384"


def test_an_id_has_the_positions_of_200_accounts_in_less_than_4_kb() -> None:
    positions = {uuid4(): LogPosition(NOW + number, number) for number in range(MOST_PLACES)}
    event_id = event_id_of(EPOCH, 10**14, joined(place_of(*each) for each in positions.items()))
    assert len(event_id) <= 4096
    assert places_in(event_id) == {name_in_places(whose): position for whose, position in positions.items()}
    assert sequence_in(event_id, EPOCH) == 10**14


def test_accounts_that_an_id_has_no_room_for_are_left_out() -> None:
    places = [place_of(uuid4(), LogPosition(NOW, 1)) for _ in range(MOST_PLACES + 50)]
    assert len(places_in(event_id_of(EPOCH, 1, joined(places)))) == MOST_PLACES


def test_an_account_without_a_position_is_left_out() -> None:
    whose = UUID(int=1)
    assert joined(["", place_of(whose, LogPosition(NOW, 7)), ""]) == place_of(whose, LogPosition(NOW, 7))
    assert event_id_of(EPOCH, 3, joined([""])) == f"{EPOCH}-3"


_PLACE = "A" * 20


@pytest.mark.parametrize(
    "event_id",
    [
        *("", "x", f"{EPOCH}-1", f"{EPOCH}-1.", ".", "9" * 900, f".{_PLACE[:19]}", f".{_PLACE}A", f".{'=' * 20}"),
        *(f".{'é' * 20}", f".{_PLACE}.{_PLACE}", f".{_PLACE * (MOST_PLACES + 1)}", f".{_PLACE[:19]}\n"),
    ],
)
def test_an_id_that_was_made_up_says_nothing(event_id: str) -> None:
    assert places_in(event_id) == {}


@pytest.mark.parametrize("position", [LogPosition(2**56, 1), LogPosition(1, 2**32), LogPosition(2**200, 2**200)])
def test_a_position_that_no_lease_has_is_left_out(position: LogPosition) -> None:
    assert place_of(uuid4(), position) == ""
