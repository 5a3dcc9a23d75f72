import contextlib
import json
import re
from typing import Any, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from corral.alpaca.errors import Fault, NotAnAccount
from corral.alpaca.models import Account, read_account
from tests.alpaca.upstream import ACCOUNT, account

# The example in Alpaca's own OpenAPI document.
OFFICIAL = (
    b'{"account_blocked": false, "account_number": "PALPACA_123", "accrued_fees": "0", "admin_configurations": {},'
    b' "balance_asof": "2023-09-27", "buying_power": "245432.61", "cash": "122086.5",'
    b' "created_at": "2023-01-01T18:20:20.272275Z", "crypto_status": "ACTIVE", "crypto_tier": 1, "currency": "USD",'
    b' "effective_buying_power": "245432.61", "equity": "123346.11", "id": "1d9eed04-be39-4e01-9b84-a48ac5bbafcf",'
    b' "initial_margin": "629.8", "last_equity": "122011.09751111286868", "multiplier": "2", "status": "ACTIVE",'
    b' "trading_blocked": false, "transfers_blocked": false, "user_configurations": null}'
)
MONEY = st.from_regex(
    re.compile(r"-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?", re.ASCII), fullmatch=True
)
NAMES = st.sampled_from(["cash", "equity", "buying_power", "last_equity", "multiplier"])


def read(**changes: object) -> Account:
    return cast("Account", read_account(json.dumps(account(**changes)).encode()))


def with_bare(name: str, literal: str) -> bytes:
    return json.dumps(account(**{name: "HERE"})).replace('"HERE"', literal).encode()


def test_the_official_example_is_an_account() -> None:
    read_back = cast("Account", read_account(OFFICIAL))
    assert read_back.id == "1d9eed04-be39-4e01-9b84-a48ac5bbafcf"
    assert read_back.account_number == "PALPACA_123"
    assert (read_back.cash, read_back.equity, read_back.buying_power) == ("122086.5", "123346.11", "245432.61")
    assert (read_back.last_equity, read_back.multiplier) == ("122011.09751111286868", "2")
    assert (read_back.status, read_back.currency) == ("ACTIVE", "USD")
    assert not any((read_back.trading_blocked, read_back.account_blocked, read_back.pattern_day_trader))
    assert read_back.daytrade_count == 0


INFORMING = [
    ("transfers_blocked", True, True),
    ("trade_suspended_by_user", "false", False),
    ("shorting_enabled", True, True),
    ("options_approved_level", 3, 3),
    ("options_trading_level", "2", 2),
]


@pytest.mark.parametrize(("name", "written", "value"), INFORMING)
def test_optional_fields_are_read_and_are_none_if_invalid(name: str, written: object, value: object) -> None:
    assert getattr(read(**{name: written}), name) == value
    senseless_values: list[object] = [None, "perhaps", [], {}, -1, 1e9]
    for senseless in senseless_values:
        assert getattr(read(**{name: senseless}), name) is None
    assert getattr(read_account(OFFICIAL.replace(b'"transfers_blocked": false, ', b"")), name) is None


FIGURES = [
    *("long_market_value", "short_market_value", "initial_margin", "maintenance_margin", "last_maintenance_margin"),
    *("sma", "regt_buying_power", "daytrading_buying_power", "options_buying_power", "non_marginable_buying_power"),
    *("accrued_fees", "pending_transfer_in", "pending_transfer_out"),
]


@pytest.mark.parametrize("name", FIGURES)
def test_an_optional_amount_is_a_decimal_or_none(name: str) -> None:
    assert getattr(read(**{name: "-0.10"}), name) == "-0.10"
    assert getattr(read_account(with_bare(name, "48151.62340")), name) == "48151.62340"
    senseless_values: list[object] = [None, "", "much", [], {}, True]
    for senseless in senseless_values:
        assert getattr(read(**{name: senseless}), name) is None
    assert getattr(read(), name) is None


def test_the_opening_time_is_in_utc_and_the_crypto_status_unchanged() -> None:
    opened = {"created_at": "2026-01-05T23:30:00.5-05:00", "crypto_status": "ACTIVE"}
    assert read(**opened).created_at == "2026-01-06T04:30:00.5Z"
    assert read(**opened).crypto_status == "ACTIVE"
    assert (read(created_at="soon").created_at, read(crypto_status=7).crypto_status) == (None, None)


@given(NAMES, MONEY)
def test_a_decimal_text_comes_out_digit_for_digit(name: str, written: str) -> None:
    assert getattr(read(**{name: written}), name) == written


@given(NAMES, MONEY)
def test_a_bare_number_comes_out_digit_for_digit(name: str, written: str) -> None:
    value = getattr(read_account(with_bare(name, written)), name)
    assert value == written
    assert type(value) is str


@given(NAMES, st.text(max_size=80))
def test_a_text_is_a_decimal_or_refused(name: str, written: str) -> None:
    try:
        value = getattr(read(**{name: written}), name)
    except NotAnAccount:
        assert (
            not written or len(written) > 64 or not re.fullmatch(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?", written)
        )
    else:
        assert value == (written or None)


@given(st.binary(max_size=300))
def test_bytes_are_an_account_or_refused(body: bytes) -> None:
    with pytest.raises(NotAnAccount):
        read_account(body)


ANYTHING = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=3)


@example({"status": "0", "cash": None})
@given(st.dictionaries(st.sampled_from([*ACCOUNT, "pattern_day_trader", "daytrade_count"]), ANYTHING, max_size=4))
def test_any_value_in_a_field_is_read_or_refused(changes: dict[str, Any]) -> None:
    with contextlib.suppress(NotAnAccount):
        read_back = read_account(json.dumps(account(**changes)).encode())
        assert isinstance(read_back.trading_blocked, bool)
        if not isinstance(read_back, Account):
            assert read_back.status not in {None, "ACTIVE"}, "only an account that is not open has no balance"
            return
        assert all(re.match(r"-?[0-9]", money) for money in (read_back.cash, read_back.equity, read_back.buying_power))


@pytest.mark.parametrize("name", ["cash", "equity", "buying_power"])
@pytest.mark.parametrize(
    "literal",
    [
        *("null", "true", "[]", "{}", '""', '" 1"', '"1 "', '"1\\n"', '"+1"', '"1."', '".5"', '"1,000"', '"0x10"'),
        *('"NaN"', '"Infinity"', '"-Infinity"', "NaN", "Infinity", "-Infinity", '"1e999999999"', "1e999999999"),
        *('"١٢"', '"1_000"', '"--1"', "9" * 5000, '"' + "9" * 65 + '"', "01", "+1", "1.", ".5"),
    ],
)
def test_a_balance_must_be_a_finite_decimal(name: str, literal: str) -> None:
    with pytest.raises(NotAnAccount):
        read_account(with_bare(name, literal))


@pytest.mark.parametrize("name", ["cash", "equity", "buying_power"])
def test_an_account_without_a_balance_is_refused(name: str) -> None:
    with pytest.raises(NotAnAccount):
        read_account(json.dumps({k: v for k, v in ACCOUNT.items() if k != name}).encode())


@pytest.mark.parametrize(
    "body",
    [
        *(
            b"",
            b"{}",
            b"[]",
            b"null",
            b"1",
            b'"account"',
            b"<!DOCTYPE html><html></html>",
            b"{",
            b"[" + OFFICIAL + b"]",
        ),
        *(b"[" * 100_000 + b"]" * 100_000, b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
        *(OFFICIAL[:-1], OFFICIAL + b"{}", b"\xef\xbb\xbf" + OFFICIAL, OFFICIAL.decode().encode("utf-16")),
        OFFICIAL.replace(b"PALPACA_123", b"PALPACA_\xff"),
        OFFICIAL.replace(b'"cash"', b'"cash": "1", "cash"'),
        OFFICIAL.replace(b'"cash"', b'"c\\u0061sh": "1", "cash"'),
        OFFICIAL.replace(b'"crypto_tier": 1', b'"crypto_tier": NaN'),
    ],
)
def test_what_is_not_one_json_object_with_unique_names_is_refused(body: bytes) -> None:
    with pytest.raises(NotAnAccount) as refused:
        read_account(body)
    assert refused.value.__cause__ is refused.value.__context__ is None


def test_deep_nesting_around_an_account_is_refused() -> None:
    deep = "[" * 100_000 + "]" * 100_000
    with pytest.raises(NotAnAccount):
        read_account(with_bare("admin_configurations", deep))


def test_what_alpaca_leaves_out_or_sends_as_null_has_its_default() -> None:
    needed = {name: ACCOUNT[name] for name in ("id", "cash", "equity", "buying_power")}
    optional = ("account_number", "status", "currency", "last_equity", "multiplier", "trading_blocked")
    more = ("account_blocked", "pattern_day_trader", "daytrade_count")
    bare = read_account(json.dumps(needed).encode())
    assert bare == read_account(json.dumps(needed | dict.fromkeys((*optional, *more))).encode())
    assert (bare.currency, bare.daytrade_count) == ("USD", 0)
    assert (bare.trading_blocked, bare.account_blocked, bare.pattern_day_trader) == (False, False, False)
    assert (bare.account_number, bare.status, bare.last_equity, bare.multiplier) == (None, None, None, None)


def test_flags_and_counts_are_read_as_texts_too() -> None:
    assert read(trading_blocked="true", account_blocked="false", pattern_day_trader=True).trading_blocked is True
    assert read(account_blocked="false").account_blocked is False
    assert [read(daytrade_count=count).daytrade_count for count in (3, "3", 3.0, "3.0", 0)] == [3, 3, 3, 3, 0]


@pytest.mark.parametrize("value", [1, 0, "yes", "True", "", [], {}, "1"])
@pytest.mark.parametrize("name", ["trading_blocked", "account_blocked", "pattern_day_trader"])
def test_an_invalid_flag_is_refused_rather_than_read_as_not_blocked(name: str, value: object) -> None:
    with pytest.raises(NotAnAccount):
        read(**{name: value})


@pytest.mark.parametrize("value", [-1, 3.5, "three", True, [], 10**7, "٣"])
def test_an_invalid_count_is_refused(value: object) -> None:
    with pytest.raises(NotAnAccount):
        read(daytrade_count=value)


@pytest.mark.parametrize("name", ["daytrade_count", "last_equity", "multiplier", "status", "account_number"])
def test_an_empty_text_in_an_account_is_none(name: str) -> None:
    assert read(**{name: ""}) == read(**{name: None})


@pytest.mark.parametrize("status", ["ONBOARDING", "SUBMITTED", "REJECTED", "ACCOUNT_CLOSED", "OF_NEXT_YEAR"])
@pytest.mark.parametrize("missing", ["cash", "equity", "buying_power"])
def test_an_account_that_is_not_open_needs_no_balance(status: str, missing: str) -> None:
    account = read(status=status, **{missing: None})
    assert not isinstance(account, Account)
    assert (account.id, account.status) == (ACCOUNT["id"], status)


@pytest.mark.parametrize("status", ["ACTIVE", None])
def test_an_open_account_without_a_balance_is_refused(status: str | None) -> None:
    with pytest.raises(NotAnAccount) as refused:
        read(status=status, equity=None)
    assert (refused.value.fault, refused.value.field) == (Fault.MISSING, "equity")


def test_an_account_of_any_status_with_a_balance_has_it() -> None:
    assert isinstance(read(status="ONBOARDING"), Account)


def test_an_account_is_identified_by_its_id_or_its_number() -> None:
    assert read(id=None).id == ACCOUNT["account_number"]
    assert read(id="").id == ACCOUNT["account_number"]
    with pytest.raises(NotAnAccount):
        read(id=None, account_number=None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("id", 5), ("id", ["x"]), ("id", "x" * 65), ("account_number", "x" * 65), ("account_number", 7)),
        *(("currency", "DOUBLOONS"), ("currency", 1), ("status", "\ud800"), ("status", "A\nB"), ("status", {})),
    ],
)
def test_a_text_of_another_type_or_too_long_is_refused(name: str, value: object) -> None:
    with pytest.raises(NotAnAccount):
        read(**{name: value})
