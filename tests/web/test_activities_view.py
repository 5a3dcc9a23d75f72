"""Words for Alpaca's activity types, and the money of a fill."""

import pytest

from corral.accounts.schemas import NonTradeActivityResponse, TradeActivityResponse
from corral.web.view.activities import (
    ACTIVITY_FILTERS,
    ACTIVITY_NAMES,
    activity_name,
    amount_currency,
    has_coin_digits,
    sub_type_name,
    trade_amount,
    trade_name,
)


def _words(*lines: str) -> list[str]:
    return [word for line in lines for word in line.split()]


# Alpaca's ActivityType and ActivitySubType, from its OpenAPI document of 2026-11.
TYPES = _words(
    "FILL TRANS MISC ACATC ACATS CFEE CGD CSD CSW DIV DIVCGL DIVCGS DIVFEE DIVFT DIVNRA DIVROC DIVTW DIVTXEX FEE INT",
    "INTNRA INTTW JNL JNLC JNLS MA NC OPASN OPCA OPCSH OPEXC OPEXP OPTRD PTC PTR REO REORG SPIN SPLIT FOPT OCT",
)
SUB_TYPES = _words(
    "LTCG STCG CDIV ROC SDIV SPD REG TAF LCT ORF OCC NRC NRV COM CAT MGN CDT SWP QII FI CMA SMA SCMA SNC CNC SCNC",
    "DIV.CDIV DIV.ROC DIV.SDIV MA.CMA MA.SMA MA.SCMA NC.CNC NC.SNC NC.SCNC SPIN SPLIT.FSPLIT SPLIT.RSPLIT",
    "SPLIT.USPLIT REOS REOC REOSC WRM FSPLIT RSPLIT USPLIT VTND VWRT VRGT VEXH SWH FWH SLWH",
)


def fill(**fields: str) -> TradeActivityResponse:
    unknown = dict.fromkeys(TradeActivityResponse.model_fields)
    required = {"kind": "trade", "id": "1", "activity_type": "FILL", "transaction_time": "2026-11-23T14:31:05Z"}
    return TradeActivityResponse.model_validate(
        unknown | required | {"side": "buy", "symbol": "AAPL", "other": {}} | fields
    )


def test_every_type_and_sub_type_of_alpaca_has_words() -> None:
    assert len(TYPES) == 41
    assert not [code for code in TYPES if activity_name(code) == code]
    assert not [code for code in SUB_TYPES if sub_type_name(code) in {code, code.capitalize()}]
    assert {name[0].isupper() for name in ACTIVITY_NAMES.values()} == {True}


def test_the_filters_are_of_types_that_alpaca_accepts() -> None:
    chosen = [code for codes in ACTIVITY_FILTERS for code in codes.split(",")]
    assert set(chosen) <= set(TYPES)
    assert len(chosen) == len(set(chosen))


@pytest.mark.parametrize(
    ("code", "name"),
    [("ZZZ", "ZZZ"), ("BRAND_NEW", "Brand new"), ("SOMETHINGELSE", "Somethingelse"), ("", "")],
)
def test_unknown_types_are_shown_as_they_are_or_as_words(code: str, name: str) -> None:
    assert activity_name(code) == name


def test_sub_types_of_option_events_name_the_event() -> None:
    assert [sub_type_name(code) for code in ("MA.CMA", "DIV.CDIV", "NC.SNC", "XX.YY")] == [
        "merger for cash", "cash dividend", "name change symbol", "YY",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "amount"),
    [
        ({"qty": "10", "price": "179.505"}, "-1795.050"),
        ({"qty": "10", "price": "179.505", "side": "sell"}, "1795.050"),
        ({"qty": "1", "price": "2", "side": "sell_short"}, "2"),
        # 100 shares each, which others forgot (QuantConnect/Lean#8999, wealthfolio/wealthfolio#1058)
        ({"qty": "2", "price": "3.05", "symbol": "SPY261218C00600000"}, "-610.00"),
        ({"qty": "2", "price": "3.05", "symbol": "TSLA1261218C00600000"}, None),  # adjusted: an unknown multiplier
        ({"qty": "0.000000001", "price": "60000.123456789", "symbol": "BTC/USD"}, "-0.000060000123456789"),
        ({"qty": "1" * 40, "price": "3"}, f"-{'3' * 40}"),
        ({"qty": "0", "price": "5", "side": "sell"}, "0"),
    ],
)
def test_a_fill_costs_or_brings_exactly_its_quantity_times_its_price(
    fields: dict[str, str], amount: str | None
) -> None:
    assert trade_amount(fill(**fields)) == amount


def test_an_amount_is_in_the_currency_that_a_pair_is_quoted_in() -> None:
    assert amount_currency(fill(qty="1", price="1", symbol="ETH/BTC"), "USD") == "BTC"
    assert amount_currency(fill(qty="1", price="1"), "EUR") == "EUR"
    unknown = dict.fromkeys(NonTradeActivityResponse.model_fields)
    fee = NonTradeActivityResponse.model_validate(
        unknown | {"kind": "non_trade", "id": "1", "activity_type": "FEE", "currency": "GBP", "other": {}}
    )
    assert amount_currency(fee, "USD") == "GBP"
    assert [has_coin_digits(currency) for currency in ("BTC", "USD")] == [True, False]


def test_sides_are_told_as_what_was_done() -> None:
    assert [trade_name(fill(qty="1", price="1", side=side)) for side in ("buy", "sell", "sell_short", "swap_out")] == [
        "Bought", "Sold", "Sold short", "Swap out",
    ]  # fmt: skip
