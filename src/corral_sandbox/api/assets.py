"""/v2/assets: shares and coins. Options have endpoints of their own."""

from corral_sandbox.errors import ApiError
from corral_sandbox.http.requests import Document, Request, as_choice, as_list
from corral_sandbox.market.assets import Asset, ListedAssets

_HUNDRED = 100


def list_assets(request: Request) -> Document:
    """Filters by `status`, `asset_class` (default us_equity), `exchange` and any one of `attributes`."""
    query = request.query()
    status = as_choice("status", query["status"], "active", "inactive") if "status" in query else None
    asset_class, exchange = query.get("asset_class", "us_equity"), query.get("exchange")
    attributes = set(as_list(query.get("attributes", "")))
    return [
        asset_document(asset, request.now)
        for asset in request.assets.all()
        if asset.asset_class == asset_class
        and status in {None, _status(asset, request.now)}
        and exchange in {None, asset.exchange}
        and (not attributes or attributes & set(asset.attributes))
    ]


def get_asset(request: Request) -> Document:
    asset = find_listed_asset(request.assets, request.path_parameters["symbol_or_asset_id"])
    return asset_document(asset, request.now)


def find_listed_asset(assets: ListedAssets, symbol_or_id: str) -> Asset:
    """Raises a 404 for an option, too."""
    asset = assets.find(symbol_or_id)
    if asset is None or asset.contract is not None:
        raise ApiError(404, f"asset not found for {symbol_or_id}", code=40410000)
    return asset


def asset_document(asset: Asset, now: int) -> dict[str, object]:
    """Includes `easy_to_borrow`, which Alpaca has dropped but its SDK for Python requires."""
    return {
        "id": asset.id,
        "class": asset.asset_class,
        "exchange": asset.exchange,
        "symbol": asset.symbol,
        "name": asset.name,
        "status": _status(asset, now),
        "tradable": asset.tradable,
        "marginable": asset.marginable,
        "shortable": asset.shortable,
        "easy_to_borrow": asset.borrow_status == "easy_to_borrow",
        "fractionable": asset.fractionable,
        "attributes": list(asset.attributes),
        **(_of_a_share(asset) if asset.asset_class == "us_equity" else _of_a_coin(asset)),
    }


def _status(asset: Asset, now: int) -> str:
    return "active" if asset.is_active(now) else "inactive"


def _of_a_share(asset: Asset) -> dict[str, object]:
    return {
        "borrow_status": asset.borrow_status,
        "cusip": None,
        "maintenance_margin_requirement": asset.margin_percent,
        "margin_requirement_long": str(asset.margin_percent),
        "margin_requirement_short": str(asset.margin_percent if asset.shortable else _HUNDRED),
    }


def _of_a_coin(asset: Asset) -> dict[str, object]:
    return {
        "min_order_size": f"{asset.minimum_quantity:f}",
        "min_trade_increment": f"{asset.quantity_increment:f}",
        "price_increment": f"{asset.price_increment:f}",
    }
