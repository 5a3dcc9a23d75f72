"""Shares, coins and options: symbols, ids and prices."""

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral_sandbox.market.assets import Asset, ListedAssets, option_asset
from corral_sandbox.market.mean_prices import MEAN_CENTS, MEAN_PRICES, STABLE_COINS
from corral_sandbox.market.option_contracts import OptionContract, contract_of, expiries_on, strikes_of
from corral_sandbox.market.prices import WIDEST_SWING, Market, price
from corral_sandbox.market.time import SECOND
from tests.sandbox.people import nanoseconds

_LISTED = ListedAssets()
_CALL = "AAPL261218C00250000"
_BEFORE, _CLOSE = nanoseconds("2026-11-24T14:30:05Z"), nanoseconds("2026-12-18T16:00:00-05:00")
_SEEDS = st.integers(0, 3)
_MOMENTS = st.integers(nanoseconds("2026-11-23T00:00:00Z"), nanoseconds("2026-12-31T00:00:00Z"))


@st.composite
def _contracts(draw: st.DrawFn) -> OptionContract:
    underlying = draw(st.sampled_from(sorted(MEAN_CENTS)))
    expiry = draw(st.sampled_from([day for day in expiries_on(date(2026, 11, 24)) if day <= date(2026, 12, 31)]))
    strike = draw(st.sampled_from(strikes_of(underlying)))
    return OptionContract(underlying, expiry, draw(st.sampled_from(("call", "put"))), strike)


@pytest.mark.parametrize("asset", _LISTED.all(), ids=lambda asset: asset.symbol)
def test_a_share_or_coin_is_found_by_symbol_and_by_id(asset: Asset) -> None:
    assert _LISTED.find(asset.symbol) is _LISTED.find(asset.id) is asset


def test_what_alpacas_documentation_and_postman_collections_name_is_listed() -> None:
    shares = "AAPL AMZN BABA DIS GLD GOOG GOOGL KKR META MSFT NFLX NVDA PTON SHOP SPY T TDOC TLT TSLA TWTR WBD"
    coins = "AAVE AVAX BAT BCH BTC CRV DOGE DOT ETH GRT LINK LTC MKR PEPE SHIB SOL SUSHI TRUMP UNI XRP XTZ YFI"
    assert [name for name in shares.split() if not _LISTED.find(name)] == []
    assert {asset.symbol for asset in _LISTED.all() if asset.asset_class == "crypto"} == {
        f"{coin}/USD" for coin in f"{coins} USDC USDG USDT".split()
    }


def test_a_coin_is_found_without_its_slash() -> None:
    assert _LISTED.find("BTCUSD") is _LISTED.find("BTC/USD") is not None


@given(_contracts())
def test_an_option_is_found_by_its_occ_symbol_and_by_its_id(contract: OptionContract) -> None:
    assert contract_of(contract.symbol) == contract
    assert _LISTED.find(contract.symbol) == _LISTED.find(contract.id) == option_asset(contract)


@pytest.mark.parametrize(
    "name",
    [
        *("AAPL261217C00250000", "AAPL261218C00251000", "AAPL261218X00250000", "AAPL261318C00250000"),
        *("AAPL261218C0025000", "ZZZZ261218C00250000", "BTCUSD261218C00250000", "AAPL261218C00250001"),
        *("aapl", "", "AAPL ", "BTC/EUR", "9cf5124c", "00004141-504c-8000-8000-b4a80803d091"),
        *("00004141-504c-4000-8000-b4a80803d090", "00014141-504c-8000-8000-b4a80803d090"),
        *("00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"),
    ],
)
def test_an_unlisted_symbol_is_not_found(name: str) -> None:
    assert _LISTED.find(name) is None


def test_an_expiry_on_a_holiday_is_the_day_before() -> None:
    good_friday = "AAPL270326C00250000"
    assert contract_of(good_friday) is None
    assert contract_of(good_friday.replace("270326", "270325"))


def test_an_option_is_active_until_the_close_of_its_last_session() -> None:
    call = _LISTED.find(_CALL)
    assert call
    assert call.is_active(_BEFORE)
    assert call.is_active(_CLOSE - 1)
    assert not call.is_active(_CLOSE)
    assert not call.is_active(nanoseconds("2025-12-18T12:00:00-05:00"))


def test_every_asset_has_a_mean_price() -> None:
    assert {asset.symbol for asset in _LISTED.all()} == MEAN_PRICES.keys()


@given(_SEEDS, st.sampled_from(sorted(MEAN_PRICES)), _MOMENTS)
def test_a_price_is_a_whole_multiple_of_its_increment_and_near_its_mean(seed: int, symbol: str, at: int) -> None:
    asset, quoted = _LISTED.find(symbol), price(Market(seed), symbol, at)
    mean, decimals = MEAN_PRICES[symbol]
    assert asset
    assert quoted % asset.price_increment == 0
    widest = WIDEST_SWING / 100 if symbol in STABLE_COINS else WIDEST_SWING
    assert abs(quoted / Decimal(mean).scaleb(-decimals) - 1) <= widest + Decimal("0.001")


@given(_SEEDS, _contracts(), _MOMENTS)
def test_an_option_costs_at_least_a_cent_and_never_less_than_its_intrinsic_value(
    seed: int, contract: OptionContract, at: int
) -> None:
    at = min(at, contract.expires_at - SECOND)
    premium = price(Market(seed), contract.symbol, at)
    assert premium >= max(_pays(contract, price(Market(seed), contract.underlying, at)), Decimal("0.01"))


@given(_SEEDS, _contracts(), st.integers(0, 10**18))
def test_an_expired_option_keeps_its_intrinsic_value_at_the_close(
    seed: int, contract: OptionContract, later: int
) -> None:
    share = price(Market(seed), contract.underlying, contract.expires_at)
    assert price(Market(seed), contract.symbol, contract.expires_at + later) == max(_pays(contract, share), Decimal())


@given(_SEEDS, _contracts(), _MOMENTS)
def test_put_call_parity_holds(seed: int, contract: OptionContract, at: int) -> None:
    at = min(at, contract.expires_at)
    call, put = (
        price(Market(seed), OptionContract(contract.underlying, contract.expires_on, kind, contract.strike).symbol, at)
        for kind in ("call", "put")
    )
    share = price(Market(seed), contract.underlying, at)
    assert abs((call - put) - (share - contract.strike)) <= Decimal("0.01")


@given(_SEEDS, st.sampled_from(sorted(MEAN_CENTS)), _MOMENTS)
def test_a_later_expiry_never_costs_less(seed: int, underlying: str, at: int) -> None:
    strikes = strikes_of(underlying)
    strike = strikes[len(strikes) // 2]
    expiries = [date(2027, 1, 15), date(2027, 2, 19), date(2027, 6, 17)]
    premiums = [price(Market(seed), OptionContract(underlying, day, "call", strike).symbol, at) for day in expiries]
    assert premiums == sorted(premiums)


def test_an_unknown_symbol_has_no_price() -> None:
    with pytest.raises(KeyError):
        price(Market(0), "AAPL261217C00250000", _BEFORE)


def _pays(contract: OptionContract, share: Decimal) -> Decimal:
    return share - contract.strike if contract.type == "call" else contract.strike - share
