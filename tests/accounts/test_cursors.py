"""A cursor comes back as the place that it was written for, in its own list and in no other."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.accounts.cursors import LONGEST_CURSOR, read_cursor, write_cursor
from corral.alpaca.orders import MOST_ORDERS, OrderQuery
from corral.alpaca.paging import MARK_BYTES, Place
from corral.errors import InvalidRequest

_IDS = st.none() | st.from_regex(r"\A[0-9A-Za-z:._-]{1,128}\Z")
_PLACES = st.builds(
    Place,
    _IDS,
    st.frozensets(st.binary(min_size=MARK_BYTES, max_size=MARK_BYTES), max_size=MOST_ORDERS),
    _IDS,
    st.integers(0, 2**40),
)


@given(_PLACES)
def test_a_cursor_is_read_back_and_fits_into_a_url(place: Place) -> None:
    cursor = write_cursor(place, OrderQuery())
    assert read_cursor(cursor, OrderQuery()) == place
    assert len(cursor) <= LONGEST_CURSOR
    assert cursor.replace("-", "").replace("_", "").isalnum()


def test_the_longest_possible_cursor_fits_into_a_url() -> None:
    marks = frozenset(number.to_bytes(MARK_BYTES) for number in range(MOST_ORDERS))
    assert len(write_cursor(Place("x" * 128, marks, "y" * 128, 2**53 - 1), OrderQuery())) <= LONGEST_CURSOR


def test_without_a_cursor_a_list_begins_at_its_start() -> None:
    assert read_cursor(None, OrderQuery()) == Place()


def test_a_cursor_of_another_list_is_refused_with_the_reason() -> None:
    cursor = write_cursor(Place("an-id"), OrderQuery())
    with pytest.raises(InvalidRequest, match="belongs to another list"):
        read_cursor(cursor, OrderQuery(after="2026-11-23T14:31:02Z"))


def _of_version(number: int) -> str:
    raw = base64.urlsafe_b64decode(write_cursor(Place("an-id"), OrderQuery()) + "==")
    return base64.urlsafe_b64encode(bytes([number]) + raw[1:]).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor", ["", "x", "AQ", "é", "\x00", "....", "A" * 5_000, _of_version(2), _of_version(0)], ids=ascii
)
def test_an_invalid_cursor_is_refused_with_the_reason(cursor: str) -> None:
    with pytest.raises(InvalidRequest, match="This cursor is invalid"):
        read_cursor(cursor, OrderQuery())


@given(
    st.text(max_size=50) | st.binary(max_size=60).map(lambda data: base64.urlsafe_b64encode(b"\x01" + data).decode())
)
def test_any_other_text_is_refused_as_a_cursor(cursor: str) -> None:
    with pytest.raises(InvalidRequest):
        read_cursor(cursor, OrderQuery())


_BROKEN = [
    *(b"{}", b"[]", b"[1, 2, 3]", b'["x", null]', b'["x", null, -1]', b'["x", null, true]', b'["x y", null, 1]'),
    *(b'["", null, 1]', b"[5, null, 1]", b'["x", "\\n", 1]', b'["x", null, 1e3]', b"\xff", b"abc" * 30),
]


@pytest.mark.parametrize("content", _BROKEN)
def test_a_cursor_with_another_content_is_refused(content: bytes) -> None:
    head = base64.urlsafe_b64decode(write_cursor(Place(), OrderQuery()) + "==")[:11]
    with pytest.raises(InvalidRequest):
        read_cursor(base64.urlsafe_b64encode(head + content).decode(), OrderQuery())
