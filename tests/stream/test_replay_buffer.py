"""What is kept of the events of one user, and what is not."""

from hypothesis import given
from hypothesis import strategies as st

from corral.stream.events import Frame, Kind, event_id_of, sequence_in
from corral.stream.hub import MOST_BYTES, MOST_EVENTS, MOST_YOUNG_BYTES, YOUNG_SECONDS, ReplayBuffer


@given(
    steps=st.lists(st.tuples(st.integers(0, 3), st.sampled_from([0, 1, 300, 60_000, 900_000])), max_size=60),
    asked=st.integers(-2, 70),
)
def test_a_replay_buffer_returns_everything_it_reaches_in_order(steps: list[tuple[int, int]], asked: int) -> None:
    now = 0.0
    buffer = ReplayBuffer(monotonic=lambda: now)
    for number, (seconds, size) in enumerate(steps):
        now += seconds * YOUNG_SECONDS / 2
        buffer.append(Frame(Kind.ORDER, None, b"%d:" % (number + 1) + b"x" * size))
    assert buffer.newest == len(steps)
    assert buffer.reaches(buffer.newest)
    assert not buffer.reaches(buffer.newest + 1)
    if buffer.reaches(asked):
        numbers = [int(frame.text.partition(b":")[0]) for frame in buffer.after(asked)]
        assert numbers == list(range(asked + 1, len(steps) + 1))


def test_a_replay_buffer_drops_old_and_excess_events() -> None:
    now = 0.0
    buffer = ReplayBuffer(monotonic=lambda: now)
    for _ in range(3 * MOST_EVENTS):
        now += 1.0
        buffer.append(Frame(Kind.ORDER, None, b"x"))
    assert buffer.reaches(buffer.newest - MOST_EVENTS)
    assert not buffer.reaches(buffer.newest - MOST_EVENTS - 1)
    for _ in range(40):
        now += 1.0
        buffer.append(Frame(Kind.ORDER, None, b"x" * (MOST_BYTES // 10)))
    assert not buffer.reaches(buffer.newest - 11)


def test_a_burst_is_kept_briefly_and_within_a_bound() -> None:
    buffer = ReplayBuffer(monotonic=lambda: 0.0)
    for _ in range(2_000):
        buffer.append(Frame(Kind.ORDER, None, b"x" * 1_000))
    assert buffer.reaches(0)
    for _ in range(5_000):
        buffer.append(Frame(Kind.ORDER, None, b"x" * 1_000))
    assert not buffer.reaches(buffer.newest - MOST_YOUNG_BYTES // 1_000 - 1)


@given(rubbish=st.text(max_size=60))
def test_an_id_of_another_epoch_has_no_number(rubbish: str) -> None:
    assert sequence_in(rubbish, "5f0c9d2b7a61e384") is None or rubbish.startswith("5f0c9d2b7a61e384-")
    assert sequence_in(event_id_of("5f0c9d2b7a61e384", 17), "5f0c9d2b7a61e384") == 17
