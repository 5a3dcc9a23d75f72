"""What can be looked up and traded: shares, coins, and options on shares."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Literal
from uuid import NAMESPACE_URL, UUID, uuid5

from corral_sandbox.market.money import BILLIONTH, CENT
from corral_sandbox.market.option_contracts import SHARES_PER_CONTRACT, OptionContract, contract_of, contract_of_id
from corral_sandbox.market.time import new_york_time

AssetClass = Literal["us_equity", "us_option", "crypto"]
BorrowStatus = Literal["easy_to_borrow", "hard_to_borrow"]

_ASSET_IDS = uuid5(NAMESPACE_URL, "urn:corral:sandbox:asset")


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


@lru_cache(maxsize=8_192)
def find_asset(symbol_or_id: str) -> Asset | None:
    """Looks up by symbol (a coin's also without the slash, an option's as the OCC writes it) or by id.

    An option is also found before it is listed and after it has expired: see `Asset.is_active`.
    """
    if asset := _ASSETS.get(symbol_or_id):
        return asset
    contract = contract_of(symbol_or_id) or _contract_of_id(symbol_or_id)
    return option_asset(contract) if contract else None


def listed_assets() -> Iterable[Asset]:
    """Returns everything but options, sorted by class, exchange and symbol as in Alpaca's list."""
    return _IN_ORDER


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


def asset_id_of(symbol: str) -> str:
    """For a share or coin."""
    return str(uuid5(_ASSET_IDS, symbol))


def _contract_of_id(text: str) -> OptionContract | None:
    try:
        return contract_of_id(UUID(text))
    except ValueError:
        return None


def _share(symbol: str, exchange: str, name: str) -> Asset:
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
        attributes=("fractional_eh_enabled", "has_options", "overnight_tradable"),
        minimum_quantity=BILLIONTH,
        quantity_increment=BILLIONTH,
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


_IN_ORDER = tuple(
    sorted(
        (
            _share("AAPL", "NASDAQ", "Apple Inc. Common Stock"),
            _share("AMZN", "NASDAQ", "Amazon.com, Inc. Common Stock"),
            _share("BRK.B", "NYSE", "Berkshire Hathaway Inc. Class B"),
            _share("F", "NYSE", "Ford Motor Company"),
            _share("GLD", "ARCA", "SPDR Gold Trust"),
            _share("JPM", "NYSE", "JPMorgan Chase & Co."),
            _share("KO", "NYSE", "The Coca-Cola Company"),
            _share("MSFT", "NASDAQ", "Microsoft Corporation Common Stock"),
            _share("NVDA", "NASDAQ", "NVIDIA Corporation Common Stock"),
            _share("PLTR", "NASDAQ", "Palantir Technologies Inc. Class A"),
            _share("SPY", "ARCA", "SPDR S&P 500 ETF Trust"),
            _share("TSLA", "NASDAQ", "Tesla, Inc. Common Stock"),
            _share("XOM", "NYSE", "Exxon Mobil Corporation"),
            _odd_share("GME", "NYSE", "GameStop Corp. Class A", tradable=True),
            _odd_share(
                "NAK", "AMEX", "Northern Dynasty Minerals Ltd.", price_increment=Decimal("0.0001"), tradable=True
            ),
            _odd_share("TWTR", "NYSE", "Twitter, Inc.", tradable=False),
            _coin("BTC/USD", "Bitcoin", "0.00001"),
            _coin("DOGE/USD", "Dogecoin", "10", Decimal("0.00001")),
            _coin("ETH/USD", "Ethereum", "0.0005"),
            _coin("LTC/USD", "Litecoin", "0.01"),
            _coin("SOL/USD", "Solana", "0.01"),
        ),
        key=lambda asset: (asset.asset_class, asset.exchange, asset.symbol),
    )
)
_ASSETS = {name: asset for asset in _IN_ORDER for name in (asset.symbol, asset.symbol.replace("/", ""), asset.id)}
