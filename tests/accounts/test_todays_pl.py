"""Today's P/L is equity minus the equity at the last close, and money that came in or went out is named beside it."""

from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corral.accounts.combined.today import CashFlow, TodaysPl, add_up_transfers, last_close, todays_pl
from corral.alpaca.activities import NonTradeActivity
from corral.alpaca.errors import Fault
from corral.alpaca.items import UnreadableItem
from corral.alpaca.models import Account
from tests.accounts.alpaca_lists import DIVIDEND

_AMOUNT = st.integers(-(10**12), 10**12).map("{}e-4".format)


@settings(max_examples=40)
@given(st.lists(st.tuples(_AMOUNT, st.none() | st.just("0.00") | _AMOUNT), max_size=6))
def test_the_sum_is_of_the_accounts_that_have_both(accounts: list[tuple[str, str | None]]) -> None:
    found = todays_pl(accounts)
    both = [(Fraction(equity), Fraction(last)) for equity, last in accounts if last and Fraction(last)]
    assert found.missing == len(accounts) - len(both)
    gained, before = sum(equity - last for equity, last in both), sum(last for _, last in both)
    assert (found.amount is None) == (not both)
    assert Fraction(found.amount or 0) == gained
    assert (found.factor is None) == (not both or before <= 0)
    if found.factor is not None:
        assert abs(Fraction(found.factor) - gained / before) <= abs(gained / before) / 10**17


def test_an_account_without_a_last_close_is_no_gain_of_its_whole_equity() -> None:
    assert todays_pl([("110", "100"), ("5000", "0"), ("7", None)]) == TodaysPl("10", "0.1", 2)
    assert todays_pl([("5000", "0")]) == TodaysPl(None, None, 1)
    assert todays_pl([]) == TodaysPl(None, None, 0)


def transfer(number: int, net_amount: str | None, status: str | None = "executed") -> NonTradeActivity:
    shown = {name: DIVIDEND[name] for name in ("activity_sub_type", "date", "created_at", "currency")}
    return NonTradeActivity(
        id=str(number), activity_type="CSD", net_amount=net_amount, status=status, symbol=None, cusip=None, qty=None,
        per_share_amount=None, group_id=None, **shown,
    )  # fmt: skip


def test_transfers_are_added_up_without_those_that_did_not_happen() -> None:
    entries = [
        transfer(1, "1000.50"),
        transfer(2, "-200"),
        transfer(3, "99", status="canceled"),
        transfer(4, None),
        UnreadableItem("5", {}, {"net_amount": Fault.NOT_A_NUMBER}),
    ]
    assert add_up_transfers(entries, "since") == CashFlow("since", "800.50", count=2, missing=2)
    assert add_up_transfers([], "since") == CashFlow("since", "0", count=0, missing=0)


def account(balance_asof: str | None) -> Account:
    return Account(
        id="1", account_number=None, status="ACTIVE", currency="USD", last_equity="1", multiplier="1", cash="1",
        equity="1", buying_power="1", trading_blocked=False, account_blocked=False, pattern_day_trader=False,
        daytrade_count=0, balance_asof=balance_asof,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("balance_asof", "now", "close"),
    [
        ("2026-11-25", "2026-11-27T15:00:00", "2026-11-25T21:00:00Z"),  # over Thanksgiving
        ("2026-07-02", "2026-07-06T15:00:00", "2026-07-02T20:00:00Z"),  # in summer
        (None, "2026-11-24T15:00:00", "2026-11-23T21:00:00Z"),
        (None, "2026-11-23T15:00:00", "2026-11-20T21:00:00Z"),  # on a Monday
        (None, "2026-11-22T15:00:00", "2026-11-20T21:00:00Z"),  # on a Sunday
        (None, "2026-11-24T03:00:00", "2026-11-20T21:00:00Z"),  # still Monday in New York
    ],
)
def test_the_last_close_is_that_of_the_day_that_alpaca_names(balance_asof: str | None, now: str, close: str) -> None:
    assert last_close(account(balance_asof), datetime.fromisoformat(now).replace(tzinfo=UTC)) == close


def test_without_an_answer_of_alpaca_the_last_close_is_before_now() -> None:
    now = datetime(2026, 11, 24, 15, tzinfo=UTC)
    assert last_close(None, now) < (now - timedelta(hours=1)).isoformat()
