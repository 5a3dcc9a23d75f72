"""What can be looked up and traded: shares, coins, and options on shares.

Every sandbox lists the same shares and coins; a test may list more in its own (see `ListedAssets`).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Literal
from uuid import NAMESPACE_URL, UUID, uuid5

from corral_sandbox.market.money import BILLIONTH, CENT, ONE
from corral_sandbox.market.option_contracts import SHARES_PER_CONTRACT, OptionContract, contract_of, contract_of_id
from corral_sandbox.market.time import new_york_time

AssetClass = Literal["us_equity", "us_option", "crypto"]
BorrowStatus = Literal["easy_to_borrow", "hard_to_borrow"]

_ASSET_IDS = uuid5(NAMESPACE_URL, "urn:corral:sandbox:asset")
_SUB_CENT = Decimal("0.0001")  # the price increment of a share below a dollar


@dataclass(frozen=True, slots=True)
class Asset:
    """Prices and quantities are multiples of their increments; `is_delisted` is permanent."""

    id: str
    symbol: str
    asset_class: AssetClass
    exchange: str
    name: str
    tradable: bool = True
    marginable: bool = False
    shortable: bool = False
    fractionable: bool = False
    borrow_status: BorrowStatus | None = None
    margin_percent: int = 100
    attributes: tuple[str, ...] = ()
    minimum_quantity: Decimal = Decimal(1)
    quantity_increment: Decimal = Decimal(1)
    price_increment: Decimal = CENT
    multiplier: int = 1
    contract: OptionContract | None = None
    is_delisted: bool = False

    def is_active(self, at: int) -> bool:
        """Whether it is listed at `at`, in nanoseconds since 1970: for an option, until it expires."""
        if self.contract is None:
            return not self.is_delisted
        return self.contract.is_listed(new_york_time(at).date()) and at < self.contract.expires_at


class ListedAssets:
    """What one sandbox lists: what every sandbox does, and the shares and coins that a test has added."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Removes what a test has added."""
        self._in_order, self._by_name = _IN_ORDER, _BY_NAME

    def find(self, symbol_or_id: str) -> Asset | None:
        """Looks up by symbol (a coin's also without the slash, an option's as the OCC writes it) or by id.

        An option is also found before it is listed and after it has expired: see `Asset.is_active`.
        """
        return self._by_name.get(symbol_or_id) or _find_option(symbol_or_id)

    def all(self) -> tuple[Asset, ...]:
        """Returns everything but options, sorted by class, exchange and symbol as in Alpaca's list."""
        return self._in_order

    def add(self, assets: Iterable[Asset]) -> None:
        self._set((*self._in_order, *assets))

    def remove(self, symbol: str) -> None:
        self._set(asset for asset in self._in_order if asset.symbol != symbol)

    def _set(self, assets: Iterable[Asset]) -> None:
        self._in_order = _sorted(assets)
        self._by_name = _names_of(self._in_order)


_SHARE_SYMBOL = re.compile(r"[A-Z]{1,5}(\.[A-Z]{1,3})?")
_COIN_SYMBOL = re.compile(r"[A-Z]{3,10}/USD")  # without the slash it is longer than any share's


def new_asset(symbol: str, price: Decimal) -> Asset | None:
    """Returns the share or coin of a symbol that is not listed yet, None if the symbol has neither's form.

    A share can be sold short and divided, as a large company's can, but has no options. `price` in dollars decides
    about the price increment.
    """
    if _SHARE_SYMBOL.fullmatch(symbol):
        increment = CENT if price >= ONE else _SUB_CENT
        return _share(symbol, "NASDAQ", f"{symbol} Common Stock", price_increment=increment, has_options=False)
    if _COIN_SYMBOL.fullmatch(symbol):
        increment = CENT if price >= ONE else max(ONE.scaleb(price.adjusted() - 4), BILLIONTH)
        return _coin(symbol, symbol.removesuffix("/USD"), "0.000000001", increment)
    return None


@lru_cache(maxsize=8_192)
def _find_option(symbol_or_id: str) -> Asset | None:
    contract = contract_of(symbol_or_id) or _contract_of_id(symbol_or_id)
    return option_asset(contract) if contract else None


@lru_cache(maxsize=8_192)
def option_asset(contract: OptionContract) -> Asset:
    return Asset(
        id=contract.id,
        symbol=contract.symbol,
        asset_class="us_option",
        exchange="",
        name=f"{contract.underlying} {contract.expires_on:%b %d %Y} {contract.strike} {contract.type.title()}",
        multiplier=SHARES_PER_CONTRACT,
        contract=contract,
    )


@lru_cache(maxsize=1_024)
def asset_id_of(symbol: str) -> str:
    """For a share or coin."""
    return str(uuid5(_ASSET_IDS, symbol))


def _contract_of_id(text: str) -> OptionContract | None:
    try:
        return contract_of_id(UUID(text))
    except ValueError:
        return None


def _share(
    symbol: str, exchange: str, name: str, *, price_increment: Decimal = CENT, has_options: bool = True
) -> Asset:
    """A large company: shortable, fractionable and marginable."""
    return Asset(
        id=asset_id_of(symbol),
        symbol=symbol,
        asset_class="us_equity",
        exchange=exchange,
        name=name,
        marginable=True,
        shortable=True,
        fractionable=True,
        borrow_status="easy_to_borrow",
        margin_percent=30,
        attributes=("fractional_eh_enabled", *(["has_options"] if has_options else []), "overnight_tradable"),
        minimum_quantity=BILLIONTH,
        quantity_increment=BILLIONTH,
        price_increment=price_increment,
    )


def _odd_share(symbol: str, exchange: str, name: str, *, price_increment: Decimal = CENT, tradable: bool) -> Asset:
    """For tests of rejections: whole shares only, neither shortable nor marginable, perhaps delisted."""
    return Asset(
        id=asset_id_of(symbol),
        symbol=symbol,
        asset_class="us_equity",
        exchange=exchange,
        name=name,
        tradable=tradable,
        borrow_status="hard_to_borrow",
        price_increment=price_increment,
        is_delisted=not tradable,
    )


def _coin(symbol: str, name: str, smallest: str, price_increment: Decimal = CENT) -> Asset:
    return Asset(
        id=asset_id_of(symbol),
        symbol=symbol,
        asset_class="crypto",
        exchange="CRYPTO",
        name=f"{name} / US Dollar",
        fractionable=True,
        minimum_quantity=Decimal(smallest),
        quantity_increment=BILLIONTH,
        price_increment=price_increment,
    )


def _sorted(assets: Iterable[Asset]) -> tuple[Asset, ...]:
    return tuple(sorted(assets, key=lambda asset: (asset.asset_class, asset.exchange, asset.symbol)))


def _names_of(assets: Iterable[Asset]) -> dict[str, Asset]:
    return {name: asset for asset in assets for name in (asset.symbol, asset.symbol.replace("/", ""), asset.id)}


# What Alpaca's documentation and its Postman collections name, every coin that it trades in dollars, and some more.
_IN_ORDER = _sorted(
    (
        _share("AAPL", "NASDAQ", "Apple Inc. Common Stock"),
        _share("AMD", "NASDAQ", "Advanced Micro Devices, Inc. Common Stock"),
        _share("AMZN", "NASDAQ", "Amazon.com, Inc. Common Stock"),
        _share("BA", "NYSE", "The Boeing Company"),
        _share("BABA", "NYSE", "Alibaba Group Holding Limited American Depositary Shares"),
        _share("BAC", "NYSE", "Bank of America Corporation"),
        _share("BRK.B", "NYSE", "Berkshire Hathaway Inc. Class B"),
        _share("C", "NYSE", "Citigroup Inc."),
        _share("COIN", "NASDAQ", "Coinbase Global, Inc. Class A Common Stock"),
        _share("COST", "NASDAQ", "Costco Wholesale Corporation Common Stock"),
        _share("CSCO", "NASDAQ", "Cisco Systems, Inc. Common Stock"),
        _share("DIA", "ARCA", "SPDR Dow Jones Industrial Average ETF Trust"),
        _share("DIS", "NYSE", "The Walt Disney Company"),
        _share("F", "NYSE", "Ford Motor Company"),
        _share("GE", "NYSE", "GE Aerospace"),
        _share("GLD", "ARCA", "SPDR Gold Trust"),
        _share("GM", "NYSE", "General Motors Company"),
        _share("GOOG", "NASDAQ", "Alphabet Inc. Class C Capital Stock"),
        _share("GOOGL", "NASDAQ", "Alphabet Inc. Class A Common Stock"),
        _share("IBM", "NYSE", "International Business Machines Corporation"),
        _share("INTC", "NASDAQ", "Intel Corporation Common Stock"),
        _share("IWM", "ARCA", "iShares Russell 2000 ETF"),
        _share("JNJ", "NYSE", "Johnson & Johnson"),
        _share("JPM", "NYSE", "JPMorgan Chase & Co."),
        _share("KKR", "NYSE", "KKR & Co. Inc."),
        _share("KO", "NYSE", "The Coca-Cola Company"),
        _share("MA", "NYSE", "Mastercard Incorporated Class A"),
        _share("META", "NASDAQ", "Meta Platforms, Inc. Class A Common Stock"),
        _share("MSFT", "NASDAQ", "Microsoft Corporation Common Stock"),
        _share("NFLX", "NASDAQ", "Netflix, Inc. Common Stock"),
        _share("NIO", "NYSE", "NIO Inc. American Depositary Shares"),
        _share("NKE", "NYSE", "NIKE, Inc. Class B"),
        _share("NVDA", "NASDAQ", "NVIDIA Corporation Common Stock"),
        _share("PFE", "NYSE", "Pfizer Inc."),
        _share("PG", "NYSE", "The Procter & Gamble Company"),
        _share("PLTR", "NASDAQ", "Palantir Technologies Inc. Class A"),
        _share("PTON", "NASDAQ", "Peloton Interactive, Inc. Class A Common Stock"),
        _share("PYPL", "NASDAQ", "PayPal Holdings, Inc. Common Stock"),
        _share("QQQ", "NASDAQ", "Invesco QQQ Trust, Series 1"),
        _share("SBUX", "NASDAQ", "Starbucks Corporation Common Stock"),
        _share("SHOP", "NASDAQ", "Shopify Inc. Class A Subordinate Voting Shares"),
        _share("SPY", "ARCA", "SPDR S&P 500 ETF Trust"),
        _share("T", "NYSE", "AT&T Inc."),
        _share("TDOC", "NYSE", "Teladoc Health, Inc."),
        _share("TLT", "NASDAQ", "iShares 20+ Year Treasury Bond ETF"),
        _share("TSLA", "NASDAQ", "Tesla, Inc. Common Stock"),
        _share("UBER", "NYSE", "Uber Technologies, Inc."),
        _share("V", "NYSE", "Visa Inc. Class A"),
        _share("VOO", "ARCA", "Vanguard S&P 500 ETF"),
        _share("VTI", "ARCA", "Vanguard Total Stock Market ETF"),
        _share("VZ", "NYSE", "Verizon Communications Inc."),
        _share("WBD", "NASDAQ", "Warner Bros. Discovery, Inc. Series A Common Stock"),
        _share("WMT", "NASDAQ", "Walmart Inc. Common Stock"),
        _share("XOM", "NYSE", "Exxon Mobil Corporation"),
        _odd_share("GME", "NYSE", "GameStop Corp. Class A", tradable=True),
        _odd_share("NAK", "AMEX", "Northern Dynasty Minerals Ltd.", price_increment=_SUB_CENT, tradable=True),
        _odd_share("TWTR", "NYSE", "Twitter, Inc.", tradable=False),
        _coin("AAVE/USD", "Aave", "0.01"),
        _coin("AVAX/USD", "Avalanche", "0.1", Decimal("0.001")),
        _coin("BAT/USD", "Basic Attention Token", "10", Decimal("0.0001")),
        _coin("BCH/USD", "Bitcoin Cash", "0.005"),
        _coin("BTC/USD", "Bitcoin", "0.00001"),
        _coin("CRV/USD", "Curve DAO Token", "5", Decimal("0.0001")),
        _coin("DOGE/USD", "Dogecoin", "10", Decimal("0.00001")),
        _coin("DOT/USD", "Polkadot", "0.5", Decimal("0.001")),
        _coin("ETH/USD", "Ethereum", "0.0005"),
        _coin("GRT/USD", "The Graph", "20", Decimal("0.00001")),
        _coin("LINK/USD", "Chainlink", "0.1", Decimal("0.001")),
        _coin("LTC/USD", "Litecoin", "0.01"),
        _coin("MKR/USD", "Maker", "0.001"),
        _coin("PEPE/USD", "Pepe", "250000", BILLIONTH),
        _coin("SHIB/USD", "Shiba Inu", "150000", BILLIONTH),
        _coin("SOL/USD", "Solana", "0.01"),
        _coin("SUSHI/USD", "SushiSwap", "5", Decimal("0.0001")),
        _coin("TRUMP/USD", "Official Trump", "0.2", Decimal("0.001")),
        _coin("UNI/USD", "Uniswap", "0.2", Decimal("0.001")),
        _coin("USDC/USD", "USD Coin", "1", Decimal("0.0001")),
        _coin("USDG/USD", "Global Dollar", "1", Decimal("0.0001")),
        _coin("USDT/USD", "Tether", "1", Decimal("0.0001")),
        _coin("XRP/USD", "XRP", "0.5", Decimal("0.0001")),
        _coin("XTZ/USD", "Tezos", "2", Decimal("0.0001")),
        _coin("YFI/USD", "yearn.finance", "0.0005"),
    )
)
_BY_NAME = _names_of(_IN_ORDER)
