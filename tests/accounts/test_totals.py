"""Totals are exact, whatever the size of the amounts, and never mix what must not be mixed."""

from decimal import Decimal
from fractions import Fraction
from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st

from corral.accounts.cache import Answer
from corral.accounts.overview import exact_sum, totals_of
from corral.accounts.reader import Outcome
from corral.accounts.schemas import AccountDataResponse
from corral.alpaca.environments import Environment
from corral.credentials.models import NamedCredential, SealedCredential
from corral.credentials.problems import AccountNotOpen

# All that alpaca/reading.py lets through: 64 characters, three digits of exponent.
_PLAIN = st.from_regex(r"-?[0-9]{1,30}(\.[0-9]{1,27})?", fullmatch=True)
_SCIENTIFIC = st.from_regex(r"-?[0-9]{1,28}(\.[0-9]{1,27})?[eE][+-]?[0-9]{1,3}", fullmatch=True)
AMOUNTS = st.one_of(_PLAIN, _SCIENTIFIC, st.sampled_from(["1e999", "-1e-999", "9" * 59 + "e-999", "-0.00", "1e5"]))


@given(st.lists(AMOUNTS, max_size=8))
def test_a_sum_is_exact(amounts: list[str]) -> None:
    assert Fraction(exact_sum(amounts)) == sum(map(Fraction, amounts), Fraction())


@given(st.lists(AMOUNTS, max_size=8).flatmap(lambda amounts: st.tuples(st.just(amounts), st.permutations(amounts))))
def test_sums_and_their_format_do_not_depend_on_the_order(orders: tuple[list[str], list[str]]) -> None:
    assert exact_sum(orders[0]) == exact_sum(orders[1])


@given(_PLAIN)
def test_the_sum_of_one_amount_is_that_amount_digit_for_digit(amount: str) -> None:
    written = exact_sum([amount])
    sign, digits = ("-" if Decimal(amount) < 0 else ""), amount.removeprefix("-").lstrip("0")
    assert written == sign + (digits if digits[:1].isdigit() else "0" + digits)


def test_no_exponent_is_left_and_no_decimal_lost() -> None:
    assert exact_sum(["1e5", "0.10", "-0.0000000000000000000000000001"]) == "100000.0999999999999999999999999999"
    assert exact_sum([]) == "0"


DATA = st.builds(
    AccountDataResponse,
    currency=st.sampled_from(["USD", "EUR", "JPY"]),
    balance=AMOUNTS,
    equity=AMOUNTS,
    buying_power=AMOUNTS,
)


def outcome(environment: Environment, data: AccountDataResponse | None) -> Outcome:
    sealed = SealedCredential(uuid4(), uuid4(), environment, "1", True, 1, b"", b"", None, None)
    return Outcome(NamedCredential("", None, sealed), AccountNotOpen() if data is None else Answer(data))


OUTCOMES = st.lists(st.builds(outcome, st.sampled_from(Environment), st.none() | DATA), max_size=12)


def environment_of(one: Outcome) -> Environment:
    return one.credential.sealed.credential_type


@given(OUTCOMES)
def test_environments_and_currencies_are_never_added_together(outcomes: list[Outcome]) -> None:
    totals = totals_of(outcomes)
    assert [total.account_type for total in totals] == sorted(set(map(environment_of, outcomes)))
    for total in totals:
        own = [one.answer for one in outcomes if environment_of(one) is total.account_type]
        known = [answer.value for answer in own if isinstance(answer, Answer)]
        assert (total.accounts, total.missing) == (len(known), len(own) - len(known))
        assert [sums.currency for sums in total.by_currency] == sorted({data.currency for data in known})
        for sums in total.by_currency:
            added = [data for data in known if data.currency == sums.currency]
            assert sums.accounts == len(added)
            assert sums.balance == exact_sum(data.balance for data in added)
            assert sums.equity == exact_sum(data.equity for data in added)
            assert sums.buying_power == exact_sum(data.buying_power for data in added)
