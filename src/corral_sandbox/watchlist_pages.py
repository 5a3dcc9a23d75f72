"""/v2/watchlists, /v2/watchlists/{watchlist_id}, the same by name, and /v2/watchlists/{watchlist_id}/{symbol}."""

from corral_sandbox.answers import Answer, Document, Refused
from corral_sandbox.asset_pages import asset_document, find_share_or_coin
from corral_sandbox.listing import Asset
from corral_sandbox.moments import in_utc
from corral_sandbox.parameters import Invalid
from corral_sandbox.requests import JsonValue, Request
from corral_sandbox.watchlists import Watchlist


def list_watchlists(request: Request) -> Document:
    return [_head(request, watchlist) for watchlist in request.customer.watchlists.all()]


def create_watchlist(request: Request) -> Document:
    document = request.document()
    name, assets = _name(document.get("name")), _assets(document.get("symbols") or [])
    return _document(request, request.customer.watchlists.create(name, assets, request.now))


def get_watchlist(request: Request) -> Document:
    return _document(request, _asked_for(request))


def change_watchlist(request: Request) -> Document:
    """Takes a name, or symbols that replace all that are there, or both."""
    watchlist, document = _asked_for(request), request.document()
    name, symbols = document.get("name"), document.get("symbols")
    if name is None and symbols is None:
        raise Invalid("name or symbols is required")
    return _changed(
        request,
        watchlist,
        name=None if name is None else _name(name),
        assets=None if symbols is None else _assets(symbols),
    )


def add_to_watchlist(request: Request) -> Document:
    watchlist, symbol = _asked_for(request), request.document().get("symbol")
    return _changed(request, watchlist, assets=[*watchlist.assets, _asset(symbol)])


def delete_watchlist(request: Request) -> Answer:
    request.customer.watchlists.delete(_asked_for(request))
    return Answer(204, b"")


def remove_from_watchlist(request: Request) -> Document:
    watchlist, asset = _asked_for(request), find_share_or_coin(request.parameters["symbol"])
    if asset not in watchlist.assets:
        raise Refused(404, f"{asset.symbol} is not in the watchlist", code=40410000)
    return _changed(request, watchlist, assets=[other for other in watchlist.assets if other != asset])


def _changed(
    request: Request, watchlist: Watchlist, *, name: str | None = None, assets: list[Asset] | None = None
) -> Document:
    request.customer.watchlists.change(watchlist, request.now, name=name, assets=assets)
    return _document(request, watchlist)


def _asked_for(request: Request) -> Watchlist:
    watchlists = request.customer.watchlists
    if (watchlist_id := request.parameters.get("watchlist_id")) is not None:
        return watchlists.get(watchlist_id)
    return watchlists.get_by_name(request.query().get("name", ""))


def _name(name: JsonValue) -> str:
    if not isinstance(name, str):
        raise Invalid("name is required")
    return name


def _assets(symbols: JsonValue) -> list[Asset]:
    if not isinstance(symbols, list):
        raise Invalid("symbols must be a list")
    return [_asset(symbol) for symbol in symbols]


def _asset(symbol: JsonValue) -> Asset:
    if not isinstance(symbol, str):
        raise Invalid("symbol must be a text")
    try:
        return find_share_or_coin(symbol)
    except Refused:
        raise Invalid(f"asset not found for {symbol}") from None


def _head(request: Request, watchlist: Watchlist) -> dict[str, object]:
    return {
        "id": watchlist.id,
        "account_id": request.customer.account.profile["id"],
        "name": watchlist.name,
        "created_at": in_utc(watchlist.created_at),
        "updated_at": in_utc(watchlist.updated_at),
    }


def _document(request: Request, watchlist: Watchlist) -> dict[str, object]:
    assets = [asset_document(asset, request.now) for asset in watchlist.assets]
    return {**_head(request, watchlist), "assets": assets}
