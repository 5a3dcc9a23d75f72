import re
from datetime import datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.web.figures import (
    direction,
    percent_direction,
    quote_currency,
    written_change,
    written_gain,
    written_moment,
    written_money,
    written_percent,
    written_price,
    written_quantity,
    written_weight,
)

amounts = st.decimals(allow_nan=False, allow_infinity=False, min_value="-1e40", max_value="1e40").map(str)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (written_money("103820.56", "USD"), "$103,820.56"),
        (written_money("-23140.2", "USD"), "\u2212$23,140.20"),  # with a minus sign, as wide as a digit
        (written_money("0", "USD"), "$0.00"),
        (written_money("-0.004", "USD"), "$0.00"),
        (written_money("0.125", "USD"), "$0.12"),  # half to even
        (written_money("0.135", "USD"), "$0.14"),
        (written_money("1000000", "EUR"), "€1,000,000.00"),
        (written_money("2345678.4", "JPY"), "¥2,345,678"),
        (written_money("1.23456", "KWD"), "1.235 KWD"),
        (written_gain("-0.4", "JPY"), "¥0"),
        (written_price("150", "JPY"), "¥150"),
        (written_price("0.0344", quote_currency("ETH/BTC", "USD")), "0.0344 BTC"),
        (written_price("1884.5", quote_currency("BTC/USD", "EUR")), "$1,884.50"),
        (written_price("1", quote_currency("ETH/", "USD")), "$1.00"),
        (written_price("1", quote_currency(None, "USD")), "$1.00"),
        # A float would have ended at the sixteenth digit.
        (written_money("9007199254740993.12", "USD"), "$9,007,199,254,740,993.12"),
        (written_gain("1136.7", "USD"), "+$1,136.70"),
        (written_gain("-3793.745", "USD"), "\u2212$3,793.74"),
        (written_gain("-0.001", "USD"), "$0.00"),
        (written_change("101", "100", "USD"), "+$1.00 (+1.00%)"),
        (written_change("98.5", "100", "USD"), "\u2212$1.50 (\u22121.50%)"),
        (written_change("100.0", "100", "USD"), "$0.00 (0.00%)"),
        (written_change("5", "0", "USD"), "+$5.00"),
        (written_change("1", "3", "USD"), "\u2212$2.00 (\u221266.67%)"),
        (written_price("150.5", "USD"), "$150.50"),
        (written_price("48.15000", "USD"), "$48.15"),
        (written_price("1e-7", "USD"), "$0.0000001"),
        (written_price("-23140.2", "EUR"), "\u2212€23,140.20"),
        (written_percent("0.11198297646"), "+11.20%"),
        (written_percent("-0.00001"), "0.00%"),
        (written_weight(10_000), "100.00%"),
        (written_weight(5), "0.05%"),
        (written_quantity("-1200.5"), "\u22121,200.5"),
        (written_quantity("1e3"), "1,000"),
        (written_quantity("0.100000000"), "0.1"),
        (written_quantity("-0.0"), "0"),
        (written_moment("2026-11-25T01:30:00+02:00"), "2026-11-24 23:30:00 UTC"),
        (written_moment(datetime.max), "9999-12-31 23:59:59 UTC"),  # noqa: DTZ901 - as asyncpg reads `infinity`
    ],
)
def test_a_figure_is_written_as_a_reader_expects_it(written: str, expected: str) -> None:
    assert written == expected


@given(amounts)
def test_a_price_and_a_quantity_keep_every_digit(amount: str) -> None:
    for written in (written_price(amount, "USD"), written_quantity(amount)):
        digits = re.sub(r"[$,]", "", written).replace("\N{MINUS SIGN}", "-")
        assert Decimal(digits) == Decimal(amount)


@given(amounts, amounts, st.sampled_from(["USD", "JPY", "KWD", "BTC"]))
def test_a_colour_and_a_sign_are_those_of_what_is_shown(amount: str, before: str, currency: str) -> None:
    for shown, way in (
        (written_gain(amount, currency), direction(amount, currency)),
        (written_change(amount, before, currency).split(" (")[0], direction(amount, currency, before)),
        (written_percent(amount), percent_direction(amount)),
    ):
        assert shown.startswith("+") is (way == " up")
        assert shown.startswith("\N{MINUS SIGN}") is (way == " down")
        assert bool(re.search("[1-9]", shown)) is (way != "")


@pytest.mark.parametrize("amount", ["0.004", "-0.004", "0.005", "-0.0000001"])
def test_what_is_rounded_to_nothing_has_no_colour(amount: str) -> None:
    assert (written_gain(amount, "USD"), direction(amount, "USD")) == ("$0.00", "")


@given(amounts)
def test_a_quantity_has_its_sign(amount: str) -> None:
    assert written_quantity(amount).startswith("\N{MINUS SIGN}") is (Decimal(amount) < 0)
