"""Alpaca's formulas hold for every seed, key id and time."""

import re
from decimal import Decimal, localcontext
from itertools import pairwise

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from corral_sandbox.api.account import account_document
from corral_sandbox.broker.characters import open_account_with_character
from corral_sandbox.broker.ledger import AccountValue, buying_power, options_buying_power
from corral_sandbox.market.mean_prices import MEAN_CENTS
from corral_sandbox.market.money import format_amount
from corral_sandbox.market.prices import WIDEST_SWING, Market, price
from corral_sandbox.market.time import SECOND
from tests.sandbox.people import nanoseconds

_SEEDS = st.integers()
_KEY_IDS = st.from_regex(r"\A(PK|AK)[A-Z0-9]{6,38}\Z")
_MOMENTS = st.integers(nanoseconds("1981-01-05T00:00:00Z"), nanoseconds("2199-12-31T00:00:00Z"))
_MONEY = re.compile(r"-?(0|[1-9]\d*)(\.\d*[1-9])?")

_laws = settings(deadline=None, max_examples=150)


def _document(seed: int, key_id: str, now: int) -> dict[str, object]:
    return account_document(open_account_with_character(Market(seed), key_id), now)


def _amounts(document: dict[str, object]) -> dict[str, Decimal]:
    """Only text is taken for an amount, as JSON numbers would be refused by Alpaca's SDK."""
    texts = {name: value for name, value in document.items() if isinstance(value, str)}
    return {name: Decimal(text) for name, text in texts.items() if _MONEY.fullmatch(text)}


@given(_SEEDS, _KEY_IDS, _MOMENTS)
@_laws
def test_equity_is_cash_plus_long_plus_short_market_value(seed: int, key_id: str, now: int) -> None:
    with localcontext(prec=100):
        account = _amounts(_document(seed, key_id, now))
        assert account["equity"] == account["cash"] + account["long_market_value"] + account["short_market_value"]
        assert account["portfolio_value"] == account["equity"]
        assert account["short_market_value"] <= 0 <= account["long_market_value"]


@given(_SEEDS, _KEY_IDS, _MOMENTS)
@_laws
def test_margins_are_half_and_three_tenths_of_all_that_is_held_or_owed(seed: int, key_id: str, now: int) -> None:
    with localcontext(prec=100):
        account = _amounts(_document(seed, key_id, now))
        gross = account["long_market_value"] - account["short_market_value"]
        assert account["position_market_value"] == gross
        assert account["initial_margin"] == gross / 2
        assert account["maintenance_margin"] == gross * 3 / 10


@given(_SEEDS, _KEY_IDS, _MOMENTS)
@_laws
def test_buying_power_follows_from_the_multiplier(seed: int, key_id: str, now: int) -> None:
    with localcontext(prec=100):
        account = _amounts(_document(seed, key_id, now))
        regulation_t = max(account["equity"] - account["initial_margin"], Decimal()) * 2
        by_multiplier = {
            1: account["cash"],
            2: regulation_t,
            4: max(account["last_equity"] - account["last_maintenance_margin"], Decimal()) * 4,
        }
        assert account["buying_power"] == by_multiplier[int(account["multiplier"])]
        assert account["effective_buying_power"] == account["buying_power"]
        assert account["regt_buying_power"] == (account["cash"] if account["multiplier"] == 1 else regulation_t)
        assert account["non_marginable_buying_power"] == max(account["cash"], Decimal())


@given(_SEEDS, _KEY_IDS, _MOMENTS)
@_laws
def test_a_cash_account_borrows_neither_money_nor_shares(seed: int, key_id: str, now: int) -> None:
    document = _document(seed, key_id, now)
    account = _amounts(document)
    assert account["equity"] > 2_000
    if document["multiplier"] == "1":
        assert account["cash"] >= 0
        assert account["short_market_value"] == 0
        assert document["shorting_enabled"] is False


@given(_SEEDS, _KEY_IDS, _MOMENTS)
@_laws
def test_money_is_text_without_exponent_and_without_trailing_zeros(seed: int, key_id: str, now: int) -> None:
    document = _document(seed, key_id, now)
    fields = {"accrued_fees", "cash", "equity", "last_equity", "sma"} | {
        name for name in document if re.search("margin$|value$|buying_power$", name)
    }
    assert len(fields) == 17
    assert [name for name in fields if not _MONEY.fullmatch(str(document[name]))] == []
    assert all(isinstance(document[name], str) for name in fields)


@given(_SEEDS, _KEY_IDS, _MOMENTS)
@_laws
def test_the_same_seed_key_and_time_give_the_same_bytes(seed: int, key_id: str, now: int) -> None:
    assert orjson.dumps(_document(seed, key_id, now)) == orjson.dumps(_document(seed, key_id, now))


def test_an_account_is_the_same_in_every_release() -> None:
    """Tests of other projects rely on these numbers: a change of them belongs in the release notes."""
    document = _document(0, "PKALICE00001", nanoseconds("2026-11-24T14:30:05Z"))
    expected = {
        "id": "98bb22b5-4326-5e84-bc74-6ee07098acb0",
        "account_number": "PA3697524425",
        "multiplier": "2",
        "cash": "75300",
        "equity": "97032.55704686038",
        "last_equity": "97190.06375826891",
        "buying_power": "172332.55704686038",
    }
    assert {name: document[name] for name in expected} == expected


def test_seeds_differ() -> None:
    now = nanoseconds("2026-11-24T14:30:05Z")
    documents = [_document(seed, "PKALICE00001", now) for seed in range(20)]
    for field in ("id", "account_number", "cash", "equity", "created_at"):
        assert len({document[field] for document in documents}) == 20, field


def test_prices_differ_between_seeds() -> None:
    assert len({price(Market(seed), "AAPL", nanoseconds("2026-11-24T14:30:05Z")) for seed in range(20)}) > 10


@given(_SEEDS, st.sampled_from(sorted(MEAN_CENTS)), _MOMENTS)
@_laws
def test_a_price_stays_within_its_swing_and_in_whole_cents(seed: int, symbol: str, now: int) -> None:
    mean, quoted = Decimal(MEAN_CENTS[symbol]) / 100, price(Market(seed), symbol, now)
    assert abs(quoted - mean) <= mean * WIDEST_SWING + Decimal("0.01")
    assert quoted == quoted.quantize(Decimal("0.01"))


@given(_SEEDS, st.sampled_from(sorted(MEAN_CENTS)), _MOMENTS)
@_laws
def test_a_price_never_jumps(seed: int, symbol: str, now: int) -> None:
    before, after = price(Market(seed), symbol, now), price(Market(seed), symbol, now + SECOND // 10)
    assert abs(after - before) <= before * Decimal("0.001") + Decimal("0.01")


def test_prices_move_visibly_within_seconds() -> None:
    start = nanoseconds("2026-11-24T14:30:00Z")
    seconds = [price(Market(0), "AAPL", start + second * SECOND) for second in range(60)]
    assert sum(now != then for then, now in pairwise(seconds)) > 45


def test_a_fair_share_of_accounts_owes_a_margin_loan_and_some_are_short() -> None:
    accounts = [open_account_with_character(Market(0), f"PKCROWD{number:05}") for number in range(2_000)]
    in_debt = sum(account.cash < 0 for account in accounts)
    short = sum(any(holding.quantity < 0 for holding in account.holdings) for account in accounts)
    assert 200 < in_debt < 300
    assert 200 < short < 300
    assert {account.multiplier for account in accounts} == {1, 2, 4}
    assert 80 < sum(account.profile["trading_blocked"] is True for account in accounts) < 170


def test_the_figures_of_alpacas_own_example_come_out() -> None:
    worth = AccountValue(cash=Decimal("122086.5"), long_market_value=Decimal("1259.61"), short_market_value=Decimal())
    assert worth.equity == Decimal("123346.11")
    assert buying_power(2, worth, last=worth) == Decimal("245432.61")
    assert options_buying_power(2, worth) == Decimal("122716.305")


def test_amounts_are_written_as_alpaca_writes_them() -> None:
    written = {"0.00": "0", "100000": "100000", "95200.00": "95200", "-0.10": "-0.1", "1E-9": "0.000000001"}
    assert {amount: format_amount(Decimal(amount)) for amount in written} == written
