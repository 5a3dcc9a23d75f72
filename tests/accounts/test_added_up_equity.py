"""The curve over all accounts equals the sum of the accounts at every point."""

from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from corral.accounts.combined.equity import (
    AccountHistory,
    Curve,
    Joined,
    Left,
    add_up,
    points_since_funding,
)
from corral.accounts.schemas import HistoryPointResponse, PortfolioHistoryResponse
from corral.alpaca.environments import Environment
from tests.accounts.merged_accounts import account_id


def point(minute: int, equity: str | None, profit_loss: str | None = "0") -> HistoryPointResponse:
    at = f"2026-11-24T14:{minute:02}:00Z"
    return HistoryPointResponse(at=at, equity=equity, profit_loss=profit_loss, profit_loss_pct=None)


def history(
    number: int,
    *points: HistoryPointResponse,
    environment: Environment = Environment.LIVE,
    currency: str = "USD",
    base_value: str | None = "100",
) -> AccountHistory:
    answered = PortfolioHistoryResponse(
        timeframe="1D",
        base_value=base_value,
        base_value_asof=None,
        items=list(points),
        unreadable=0,
        missing=0,
        next_cursor=None,
    )
    return AccountHistory(account_id(number), environment, currency, answered)


_AMOUNT = st.none() | st.sampled_from(["0", "0.00"]) | st.integers(0, 10**12).map("{}e-5".format)
_LINES = st.dictionaries(st.integers(0, 20), st.tuples(_AMOUNT, _AMOUNT), max_size=6)


def _history(
    number: int, line: dict[int, tuple[str | None, str | None]], environment: Environment, currency: str
) -> AccountHistory:
    points = [point(minute, *line[minute]) for minute in sorted(line)]
    return history(number, *points, environment=environment, currency=currency)


_HISTORIES = st.lists(
    st.builds(_history, st.integers(0, 99), _LINES, st.sampled_from(Environment), st.sampled_from(["USD", "EUR"])),
    max_size=4,
    unique_by=lambda one: one.credential_id,
)


def _value_at(one: AccountHistory, at: str) -> Fraction | None:
    """The account's last value so far; None before its first."""
    values = [p.equity for p in points_since_funding(one.history.items) if p.at <= at and p.equity is not None]
    return Fraction(values[-1]) if values else None


@settings(max_examples=50)
@given(_HISTORIES)
def test_a_curve_equals_the_sum_of_its_accounts_at_every_point(histories: list[AccountHistory]) -> None:
    curves = add_up(histories)
    assert len({(curve.account_type, curve.currency) for curve in curves}) == len(curves)
    drawn = 0
    for curve in curves:
        mine = [one for one in histories if (one.account_type, one.currency) == (curve.account_type, curve.currency)]
        ats = {p.at for one in mine for p in points_since_funding(one.history.items)}
        assert [p.at for p in curve.points] == sorted(ats)
        drawn += len(curve.accounts)
        for p in curve.points:
            values = [value for one in mine if (value := _value_at(one, p.at)) is not None]
            assert Fraction(p.equity) == sum(values, Fraction())
    assert drawn == sum(bool(points_since_funding(one.history.items)) for one in histories)


@settings(max_examples=30)
@given(_HISTORIES)
def test_what_a_curve_gains_is_not_what_joined(histories: list[AccountHistory]) -> None:
    """Every account of the curve is there from the first point on, or joins once with its first value."""
    for curve in add_up(histories):
        joined = [one.credential_id for p in curve.points for one in p.joined]
        assert len(joined) == len({*joined})
        firsts = {one.credential_id: points_since_funding(one.history.items) for one in histories}
        for p in curve.points:
            for one in p.joined:
                assert (firsts[one.credential_id][0].at, firsts[one.credential_id][0].equity) == (p.at, one.equity)
        from_the_start = [one for one in curve.accounts if firsts[one][0].at == curve.points[0].at]
        assert sorted([*joined, *from_the_start]) == sorted(curve.accounts)


@given(_HISTORIES.flatmap(lambda found: st.tuples(st.just(found), st.permutations(found))))
@settings(max_examples=30)
def test_the_order_of_the_accounts_does_not_matter(orders: tuple[list[AccountHistory], list[AccountHistory]]) -> None:
    assert add_up(orders[0]) == add_up(orders[1])


def _only(*histories: AccountHistory) -> Curve:
    (curve,) = add_up(histories)
    return curve


def test_an_account_that_begins_later_joins_and_is_no_gain() -> None:
    curve = _only(
        history(1, point(0, "100.0", "0"), point(1, "110", "10")),
        history(2, point(1, "1000", "0"), point(3, "990", "-10")),
    )
    assert [(p.at[14:16], p.equity, p.profit_loss) for p in curve.points] == [
        ("00", "100.0", "0"),
        ("01", "1110", "10"),
        ("03", "1100", "0"),
    ]
    assert [p.joined for p in curve.points] == [(), (Joined(account_id(2), "1000"),), ()]
    assert curve.profit_loss == "0"  # not last minus first, which is 1000


def test_an_account_that_ends_early_keeps_its_last_value() -> None:
    curve = _only(history(1, point(0, "100")), history(2, point(0, "50"), point(5, "60")))
    assert [p.equity for p in curve.points] == ["150", "160"]


def test_zeros_before_the_funding_are_no_joining_and_later_ones_are_values() -> None:
    curve = _only(
        history(1, point(0, "0"), point(1, None), point(2, "5"), point(3, "0"), point(4, None)),
        history(2, point(0, "7")),
    )
    assert [p.equity for p in curve.points] == ["7", "12", "7"]


def test_an_account_without_points_draws_nothing() -> None:
    assert add_up([history(1)]) == ()
    assert _only(history(1, point(0, "0")), history(2, point(0, "3"))).accounts == (account_id(2),)


def test_the_profit_is_unknown_if_that_of_one_account_is() -> None:
    curve = _only(history(1, point(0, "1", "1")), history(2, point(0, "2", None)))
    assert (curve.profit_loss, curve.points[0].profit_loss, curve.points[0].equity) == (None, None, "3")


def test_the_factor_is_of_the_sum_of_base_values() -> None:
    gains = history(1, point(0, "110", "10")), history(2, point(0, "330", "30"), base_value="300")
    assert _only(*gains).profit_loss_pct == "0.1"
    assert _only(history(1, point(0, "110", "10"), base_value="0")).profit_loss_pct is None
    assert _only(history(1, point(0, "110", "10"), base_value=None)).base_value is None


def test_accounts_that_are_left_out_are_counted_where_they_may_belong() -> None:
    left = {Left(Environment.LIVE, "USD"): 2, Left(Environment.LIVE, None): 1, Left(Environment.PAPER, "USD"): 4}
    histories = [
        history(1, point(0, "1")),
        history(2, point(0, "1"), currency="EUR"),
        history(3, point(0, "1"), environment=Environment.PAPER),
    ]
    counted = [(one.account_type.value, one.currency, one.missing) for one in add_up(histories, left)]
    assert counted == [("live", "EUR", 1), ("live", "USD", 3), ("paper", "USD", 4)]
