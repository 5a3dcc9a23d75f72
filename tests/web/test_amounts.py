import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.web.amounts import (
    trend,
    written_gain,
    written_percent,
    written_price,
    written_quantity,
    written_weight,
)

amounts = st.decimals(allow_nan=False, allow_infinity=False, min_value="-1e40", max_value="1e40").map(str)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (written_price("150.5", "USD"), "$150.50"),
        (written_price("1e-7", "USD"), "$0.0000001"),
        (written_price("-23140.2", "EUR"), "\N{MINUS SIGN}23,140.20 EUR"),
        (written_gain("1136.7", "USD"), "+$1,136.70"),
        (written_gain("-3793.745", "USD"), "\N{MINUS SIGN}$3,793.74"),
        (written_gain("-0.001", "USD"), "$0.00"),
        (written_percent("0.11198297646"), "+11.20%"),
        (written_percent("-0.00001"), "0.00%"),
        (written_weight(10_000), "100.00%"),
        (written_weight(5), "0.05%"),
        (written_quantity("-1200.5"), "\N{MINUS SIGN}1,200.5"),
        (written_quantity("1e3"), "1,000"),
    ],
)
def test_a_number_is_written_as_a_reader_expects_it(written: str, expected: str) -> None:
    assert written == expected


@given(amounts)
def test_a_price_and_a_quantity_keep_every_digit(amount: str) -> None:
    for written in (written_price(amount, "USD"), written_quantity(amount)):
        digits = re.sub(r"[$,]", "", written).replace("\N{MINUS SIGN}", "-")
        assert Decimal(digits) == Decimal(amount)


@given(amounts)
def test_a_sign_is_never_lost_and_never_made_up(amount: str) -> None:
    direction = trend(amount)
    assert (direction == "up", direction == "down") == (Decimal(amount) > 0, Decimal(amount) < 0)
    assert written_quantity(amount).startswith("\N{MINUS SIGN}") is (direction == "down")
    assert not (written_gain(amount, "USD").startswith("+") and direction != "up")
