"""Watchlists: named lists of symbols."""

from dataclasses import dataclass

from corral.sandbox.listing import Asset


@dataclass(slots=True)
class Watchlist:
    """Times are in nanoseconds since 1970."""

    id: str
    name: str
    assets: list[Asset]
    created_at: int
    updated_at: int
