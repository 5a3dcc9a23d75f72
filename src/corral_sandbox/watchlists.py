"""One customer's watchlists: named lists of assets, each in the order in which its assets came."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID, uuid5

from corral_sandbox.answers import Refused
from corral_sandbox.listing import Asset
from corral_sandbox.parameters import Invalid

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
    """Ids follow from the account's own and the order of creation, so that a run can be repeated."""

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
        """Changes both, one, or, where something is refused, neither. Other assets take the place of all there were."""
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
            raise Invalid(f"watchlist name must have 1 to {_LONGEST_NAME} characters")
        if any(watchlist.name == name for watchlist in self._by_id.values()):
            raise Invalid("watchlist name must be unique")


def _check_assets(assets: Sequence[Asset]) -> None:
    if len({asset.id for asset in assets}) < len(assets):
        raise Invalid("duplicate symbol")


def _found(watchlist: Watchlist | None) -> Watchlist:
    if watchlist is None:
        raise Refused(404, "watchlist not found", code=40410000)
    return watchlist
