"""What an account's owner may set: configurations and watchlists."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from uuid import UUID, uuid5

from corral_sandbox.broker.initial_state import AccountTerms
from corral_sandbox.errors import ApiError, InvalidParameterError
from corral_sandbox.market.assets import Asset


@dataclass(frozen=True, slots=True)
class AccountConfigurations:
    """Alpaca's account configurations. Without `max_options_trading_level` the approved level applies."""

    disable_overnight_trading: bool = False
    fractional_trading: bool = True
    max_margin_multiplier: str = "4"
    max_options_trading_level: int | None = None
    no_shorting: bool = False
    ptp_no_exception_entry: bool = False
    suspend_trade: bool = False
    trade_confirm_email: str = "all"

    def document(self) -> dict[str, object]:
        """Leaves out null, which Alpaca's schema does not allow; its SDK requires the other seven fields."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def initial_configurations(account: AccountTerms) -> AccountConfigurations:
    return AccountConfigurations(suspend_trade=bool(account.profile["trade_suspended_by_user"]))


def configured(opened: AccountTerms, configurations: AccountConfigurations) -> AccountTerms:
    """Returns the initial terms under these configurations, which can restrict an account but not extend its rights."""
    multiplier = min(opened.multiplier, int(configurations.max_margin_multiplier))
    approved, wanted = opened.profile["options_approved_level"], configurations.max_options_trading_level
    return replace(
        opened,
        multiplier=multiplier,
        profile={
            **opened.profile,
            "multiplier": str(multiplier),
            "options_trading_level": approved if wanted is None else min(int(str(approved)), wanted),
            "shorting_enabled": multiplier > 1 and not configurations.no_shorting,
            "trade_suspended_by_user": configurations.suspend_trade,
        },
    )


_LONGEST_NAME = 64


@dataclass(slots=True)
class Watchlist:
    """Times are in nanoseconds since 1970."""

    id: str
    name: str
    assets: list[Asset]
    created_at: int
    updated_at: int


class Watchlists:
    """Ids follow from the account's id and the order of creation, so that a run can be repeated."""

    def __init__(self, account_id: str) -> None:
        self._ids = UUID(account_id)
        self._created = 0
        self._by_id: dict[str, Watchlist] = {}

    def all(self) -> list[Watchlist]:
        return list(self._by_id.values())

    def create(self, name: str, assets: Sequence[Asset], now: int) -> Watchlist:
        self._check_name(name)
        _check_assets(assets)
        watchlist = Watchlist(str(uuid5(self._ids, f"watchlist {self._created}")), name, list(assets), now, now)
        self._created += 1
        self._by_id[watchlist.id] = watchlist
        return watchlist

    def change(
        self, watchlist: Watchlist, now: int, *, name: str | None = None, assets: Sequence[Asset] | None = None
    ) -> None:
        """Changes name, assets or both; if it raises, nothing has changed. New assets replace all present ones."""
        name = watchlist.name if name is None else name
        assets = watchlist.assets if assets is None else assets
        if name != watchlist.name:
            self._check_name(name)
        _check_assets(assets)
        watchlist.name, watchlist.assets, watchlist.updated_at = name, list(assets), now

    def get(self, watchlist_id: str) -> Watchlist:
        return _found(self._by_id.get(watchlist_id.lower()))

    def get_by_name(self, name: str) -> Watchlist:
        return _found(next((watchlist for watchlist in self._by_id.values() if watchlist.name == name), None))

    def delete(self, watchlist: Watchlist) -> None:
        del self._by_id[watchlist.id]

    def _check_name(self, name: str) -> None:
        if not 1 <= len(name) <= _LONGEST_NAME:
            raise InvalidParameterError(f"watchlist name must have 1 to {_LONGEST_NAME} characters")
        if any(watchlist.name == name for watchlist in self._by_id.values()):
            raise InvalidParameterError("watchlist name must be unique")


def _check_assets(assets: Sequence[Asset]) -> None:
    if len({asset.id for asset in assets}) < len(assets):
        raise InvalidParameterError("duplicate symbol")


def _found(watchlist: Watchlist | None) -> Watchlist:
    if watchlist is None:
        raise ApiError(404, "watchlist not found", code=40410000)
    return watchlist
