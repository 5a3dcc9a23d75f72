"""Totals are exact, whatever the size of the amounts, and never mix what must not be mixed."""

from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from corral.accounts.totals import Money, Standing, exact_sum, totals_of
from corral.alpaca.environments import Environment

# All that alpaca/reading.py lets through: 64 characters, three digits of exponent.
_PLAIN = st.from_regex(r"-?[0-9]{1,30}(\.[0-9]{1,27})?", fullmatch=True)
_SCIENTIFIC = st.from_regex(r"-?[0-9]{1,28}(\.[0-9]{1,27})?[eE][+-]?[0-9]{1,3}", fullmatch=True)
AMOUNTS = st.one_of(_PLAIN, _SCIENTIFIC, st.sampled_from(["1e999", "-1e-999", "9" * 59 + "e-999", "-0.00", "1e5"]))


@given(st.lists(AMOUNTS, max_size=8))
def test_a_sum_is_exact(amounts: list[str]) -> None:
    assert Fraction(exact_sum(amounts)) == sum(map(Fraction, amounts), Fraction())


@given(st.lists(AMOUNTS, max_size=8).flatmap(lambda amounts: st.tuples(st.just(amounts), st.permutations(amounts))))
def test_the_order_does_not_matter_not_even_for_how_a_sum_is_written(orders: tuple[list[str], list[str]]) -> None:
    assert exact_sum(orders[0]) == exact_sum(orders[1])


@given(_PLAIN)
def test_the_sum_of_one_amount_is_that_amount_digit_for_digit(amount: str) -> None:
    written = exact_sum([amount])
    sign, digits = ("-" if Decimal(amount) < 0 else ""), amount.removeprefix("-").lstrip("0")
    assert written == sign + (digits if digits[:1].isdigit() else "0" + digits)


def test_no_exponent_is_left_and_no_decimal_lost() -> None:
    assert exact_sum(["1e5", "0.10", "-0.0000000000000000000000000001"]) == "100000.0999999999999999999999999999"
    assert exact_sum([]) == "0"


MONEY = st.builds(Money, currency=st.sampled_from(["USD", "EUR", "JPY"]), balance=AMOUNTS, equity=AMOUNTS,
                  buying_power=AMOUNTS)  # fmt: skip
STANDINGS = st.lists(st.builds(Standing, st.sampled_from(Environment), st.none() | MONEY), max_size=12)


@given(STANDINGS)
def test_environments_and_currencies_are_never_added_together(standings: list[Standing]) -> None:
    totals = totals_of(standings)
    assert [total.account_type for total in totals] == sorted({standing.environment for standing in standings})
    for total in totals:
        own = [standing.money for standing in standings if standing.environment is total.account_type]
        known = [money for money in own if money is not None]
        assert (total.accounts, total.missing) == (len(known), own.count(None))
        assert [sums.currency for sums in total.by_currency] == sorted({money.currency for money in known})
        for sums in total.by_currency:
            added = [money for money in known if money.currency == sums.currency]
            assert sums.accounts == len(added)
            assert sums.balance == exact_sum(money.balance for money in added)
            assert sums.equity == exact_sum(money.equity for money in added)
            assert sums.buying_power == exact_sum(money.buying_power for money in added)
