"""Names of instruments: option contracts by their OCC symbols, and pairs of coins."""

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corral.web.rendering import load_templates
from corral.web.view.instruments import (
    OptionSymbol,
    coin_pair,
    days_to_expiry,
    format_expiry,
    instrument_name,
    parse_option,
    underlying_of,
)

TODAY = date(2026, 11, 24)


@pytest.mark.parametrize(
    ("symbol", "expected"),
    [
        ("SPY261218C00600000", OptionSymbol("SPY", date(2026, 12, 18), "Call", Decimal(600))),
        ("SPY261218P00602500", OptionSymbol("SPY", date(2026, 12, 18), "Put", Decimal("602.5"))),
        ("F270115C00000500", OptionSymbol("F", date(2027, 1, 15), "Call", Decimal("0.5"))),
        ("BRKB261218C00500000", OptionSymbol("BRKB", date(2026, 12, 18), "Call", Decimal(500))),
        ("BRK.B261218C00500000", OptionSymbol("BRK.B", date(2026, 12, 18), "Call", Decimal(500))),
        ("SPXW261218P06100000", OptionSymbol("SPXW", date(2026, 12, 18), "Put", Decimal(6100))),
        ("TSLA1261218C00250000", OptionSymbol("TSLA1", date(2026, 12, 18), "Call", Decimal(250))),
        ("SPY   261218C00600000", OptionSymbol("SPY", date(2026, 12, 18), "Call", Decimal(600))),
        ("T240229C00017000", OptionSymbol("T", date(2024, 2, 29), "Call", Decimal(17))),
        # What others could not read: a dotted root (QuantConnect/Lean#9343), and roots with a digit after a reverse
        # split (polygon-io/issues#193, tastyware/tastytrade#257).
        ("BRK.B 260206C00495000", OptionSymbol("BRK.B", date(2026, 2, 6), "Call", Decimal(495))),
        ("SDS1220204C00003000", OptionSymbol("SDS1", date(2022, 2, 4), "Call", Decimal(3))),
        ("BABA2251017C00145000", OptionSymbol("BABA2", date(2025, 10, 17), "Call", Decimal(145))),
    ],
)
def test_an_option_symbol_is_read_to_the_tenth_of_a_cent(symbol: str, expected: OptionSymbol) -> None:
    assert parse_option(symbol) == expected


@pytest.mark.parametrize(
    "symbol",
    [
        "AAPL",
        "",
        None,
        "BTC/USD",
        "SPY261318C00600000",  # month 13
        "SPY260229C00600000",  # no leap year
        "SPY261218X00600000",
        "SPY261218C0060000",  # seven digits
        "SPY261218C00000000",  # a strike of nothing
        "TOOLONG261218C00600000",
        "261218C00600000",
        "spy261218c00600000",
        "SPY\uff12\uff16\uff11\uff12\uff11\uff18C00600000",  # digits of another script
        "SPY261218C00600000\n",
        "SPY261218C00600000<b>",
        "SPY261218C00600000garbage",  # taken for an option elsewhere (Lumiwealth/lumibot#1011)
        "GOOG122223C145",  # alexgolec/schwab-py#59
    ],
)
def test_other_symbols_are_not_options(symbol: str | None) -> None:
    assert parse_option(symbol) is None
    assert instrument_name(symbol, today=TODAY) == (symbol or "")
    assert format_expiry(symbol, TODAY) == ""


@pytest.mark.parametrize(
    ("symbol", "name"),
    [
        ("SPY261218C00600000", "SPY $600 Call, Dec 18"),
        ("SPY261204P00602500", "SPY $602.50 Put, Dec 4"),
        ("SPY270115C00600000", "SPY $600 Call, Jan 15, 2027"),
        ("SPY251219C00600000", "SPY $600 Call, Dec 19, 2025"),
        ("F261218C00000500", "F $0.50 Call, Dec 18"),
        ("XYZ261218C00002375", "XYZ $2.375 Call, Dec 18"),
        ("SPXW261218P06100000", "SPXW $6,100 Put, Dec 18"),
        ("TSLA1261218C00250000", "TSLA1 $250 Call, Dec 18"),
    ],
)
def test_an_option_has_the_name_that_traders_use(symbol: str, name: str) -> None:
    assert instrument_name(symbol, "us_option", today=TODAY) == name


@given(
    st.builds(
        OptionSymbol,
        st.from_regex(r"[A-Z]{1,5}[0-9]?", fullmatch=True),
        st.dates(date(2000, 1, 1), date(2099, 12, 31)),
        st.sampled_from(["Call", "Put"]),
        st.decimals("0.001", "99999.999", places=3),
    )
)
@settings(max_examples=50)
def test_what_a_contract_says_is_read_from_its_symbol(contract: OptionSymbol) -> None:
    strike = int(contract.strike * 1000)
    symbol = f"{contract.root}{contract.expiration:%y%m%d}{contract.right[0]}{strike:08}"
    assert parse_option(symbol) == contract


@pytest.mark.parametrize(
    ("symbol", "underlying", "multiplier"),
    [
        ("SPY261218C00600000", "SPY", 100),
        ("SPXW261218C06000000", "SPX", 100),
        ("BRKB261218C00500000", "BRK.B", 100),
        ("TSLA1261218C00250000", "TSLA", None),  # may deliver another number of shares, and cash
    ],
)
def test_an_option_is_listed_under_its_underlying(symbol: str, underlying: str, multiplier: int | None) -> None:
    contract = parse_option(symbol)
    assert contract is not None
    assert (contract.underlying, contract.multiplier) == (underlying, multiplier)
    assert underlying_of(symbol) == underlying
    assert underlying_of("AAPL") == "AAPL"


@pytest.mark.parametrize(
    ("day", "text"),
    [
        (date(2026, 11, 24), "24 days"),
        (date(2026, 12, 17), "1 day"),
        (date(2026, 12, 18), "expires today"),
        (date(2026, 12, 19), "expired"),
    ],
)
def test_days_to_expiry_are_counted_in_new_york(day: date, text: str) -> None:
    assert format_expiry("SPY261218C00600000", day) == text
    contract = parse_option("SPY261218C00600000")
    assert contract is not None
    assert days_to_expiry(contract, day) == (date(2026, 12, 18) - day).days


@pytest.mark.parametrize(
    ("symbol", "pair"),
    [
        ("BTCUSD", "BTC/USD"),
        ("BTC/USD", "BTC/USD"),
        ("ETHBTC", "ETH/BTC"),
        ("USDTUSD", "USDT/USD"),
        ("USDCUSDT", "USDC/USDT"),
        ("USD", "USD"),
        ("DOGE", "DOGE"),
    ],
)
def test_coins_are_pairs(symbol: str, pair: str) -> None:
    assert coin_pair(symbol) == pair
    assert instrument_name(symbol, "crypto") == pair
    assert instrument_name(symbol, "us_equity") == symbol


@pytest.mark.parametrize(
    ("arguments", "html"),
    [
        (
            ("SPY240119C00600000",),
            '<span class="instrument" title="SPY240119C00600000">SPY $600 Call, Jan 19, 2024</span>',
        ),
        (("BTCUSD", "crypto"), '<span class="instrument" title="BTCUSD">BTC/USD</span>'),
        (("<A>",), '<span class="instrument">&lt;A&gt;</span>'),
    ],
)
def test_the_code_is_shown_on_hover(arguments: tuple[str, ...], html: str) -> None:
    template = load_templates().from_string('{% import "macros.html" as m %}{{ m.instrument(*arguments) }}')
    assert template.render(arguments=arguments) == html
