import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.web.view.figures import (
    direction,
    format_change,
    format_gain,
    format_money,
    format_percent,
    format_price,
    format_quantity,
    format_weight,
    percent_direction,
    quote_currency,
)

amounts = st.decimals(allow_nan=False, allow_infinity=False, min_value="-1e40", max_value="1e40").map(str)


@pytest.mark.parametrize(
    ("formatted", "expected"),
    [
        (format_money("103820.56", "USD"), "$103,820.56"),
        (format_money("-23140.2", "USD"), "\u2212$23,140.20"),  # with a minus sign, as wide as a digit
        (format_money("0", "USD"), "$0.00"),
        (format_money("-0.004", "USD"), "$0.00"),
        (format_money("0.125", "USD"), "$0.12"),  # half to even
        (format_money("0.135", "USD"), "$0.14"),
        (format_money("1000000", "EUR"), "€1,000,000.00"),
        (format_money("2345678.4", "JPY"), "¥2,345,678"),
        (format_money("1.23456", "KWD"), "1.235 KWD"),
        (format_gain("-0.4", "JPY"), "¥0"),
        (format_price("150", "JPY"), "¥150"),
        (format_price("0.0344", quote_currency("ETH/BTC", "USD")), "0.0344 BTC"),
        (format_price("1884.5", quote_currency("BTC/USD", "EUR")), "$1,884.50"),
        (format_price("1", quote_currency("ETH/", "USD")), "$1.00"),
        (format_price("1", quote_currency(None, "USD")), "$1.00"),
        # A float would have ended at the sixteenth digit.
        (format_money("9007199254740993.12", "USD"), "$9,007,199,254,740,993.12"),
        (format_gain("1136.7", "USD"), "+$1,136.70"),
        (format_gain("-3793.745", "USD"), "\u2212$3,793.74"),
        (format_gain("-0.001", "USD"), "$0.00"),
        (format_change("101", "100", "USD"), "+$1.00 (+1.00%)"),
        (format_change("98.5", "100", "USD"), "\u2212$1.50 (\u22121.50%)"),
        (format_change("100.0", "100", "USD"), "$0.00 (0.00%)"),
        (format_change("5", "0", "USD"), "+$5.00"),
        (format_change("1", "3", "USD"), "\u2212$2.00 (\u221266.67%)"),
        (format_price("150.5", "USD"), "$150.50"),
        (format_price("48.15000", "USD"), "$48.15"),
        (format_price("1e-7", "USD"), "$0.0000001"),
        (format_price("-23140.2", "EUR"), "\u2212€23,140.20"),
        (format_percent("0.11198297646"), "+11.20%"),
        (format_percent("-0.00001"), "0.00%"),
        (format_weight(10_000), "100.00%"),
        (format_weight(5), "0.05%"),
        (format_quantity("-1200.5"), "\u22121,200.5"),
        (format_quantity("1e3"), "1,000"),
        (format_quantity("0.100000000"), "0.1"),
        (format_quantity("-0.0"), "0"),
    ],
)
def test_number_formats(formatted: str, expected: str) -> None:
    assert formatted == expected


@given(amounts)
def test_prices_and_quantities_keep_every_digit(amount: str) -> None:
    for formatted in (format_price(amount, "USD"), format_quantity(amount)):
        digits = re.sub(r"[$,]", "", formatted).replace("\N{MINUS SIGN}", "-")
        assert Decimal(digits) == Decimal(amount)


@given(amounts, amounts, st.sampled_from(["USD", "JPY", "KWD", "BTC"]))
def test_color_and_sign_match_the_rounded_number(amount: str, before: str, currency: str) -> None:
    for shown, css_class in (
        (format_gain(amount, currency), direction(amount, currency)),
        (format_change(amount, before, currency).split(" (")[0], direction(amount, currency, before)),
        (format_percent(amount), percent_direction(amount)),
    ):
        assert shown.startswith("+") is (css_class == " up")
        assert shown.startswith("\N{MINUS SIGN}") is (css_class == " down")
        assert bool(re.search("[1-9]", shown)) is (css_class != "")


@pytest.mark.parametrize("amount", ["0.004", "-0.004", "0.005", "-0.0000001"])
def test_what_rounds_to_zero_has_no_color(amount: str) -> None:
    assert (format_gain(amount, "USD"), direction(amount, "USD")) == ("$0.00", "")


@given(amounts)
def test_quantities_have_a_sign(amount: str) -> None:
    assert format_quantity(amount).startswith("\N{MINUS SIGN}") is (Decimal(amount) < 0)
