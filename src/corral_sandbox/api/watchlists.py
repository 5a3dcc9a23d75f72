"""/v2/watchlists, by id and by name."""

from corral_sandbox.api.assets import asset_document, find_listed_asset
from corral_sandbox.broker.account_settings import Watchlist
from corral_sandbox.errors import ApiError, InvalidParameterError
from corral_sandbox.http.requests import Document, JsonValue, Request, Response
from corral_sandbox.market.assets import Asset
from corral_sandbox.market.time import format_timestamp


def list_watchlists(request: Request) -> Document:
    return [_head(request, watchlist) for watchlist in request.account.watchlists.all()]


def create_watchlist(request: Request) -> Document:
    document = request.json_object()
    name, assets = _name(document.get("name")), _assets(request, document.get("symbols") or [])
    return _document(request, request.account.watchlists.create(name, assets, request.now))


def get_watchlist(request: Request) -> Document:
    return _document(request, _requested_watchlist(request))


def update_watchlist(request: Request) -> Document:
    """Takes a name, symbols that replace the present ones, or both."""
    watchlist, document = _requested_watchlist(request), request.json_object()
    name, symbols = document.get("name"), document.get("symbols")
    if name is None and symbols is None:
        raise InvalidParameterError("name or symbols is required")
    return _changed(
        request,
        watchlist,
        name=None if name is None else _name(name),
        assets=None if symbols is None else _assets(request, symbols),
    )


def add_to_watchlist(request: Request) -> Document:
    watchlist, symbol = _requested_watchlist(request), request.json_object().get("symbol")
    return _changed(request, watchlist, assets=[*watchlist.assets, _asset(request, symbol)])


def delete_watchlist(request: Request) -> Response:
    request.account.watchlists.delete(_requested_watchlist(request))
    return Response(204, b"")


def remove_from_watchlist(request: Request) -> Document:
    watchlist = _requested_watchlist(request)
    asset = find_listed_asset(request.assets, request.path_parameters["symbol"])
    if asset not in watchlist.assets:
        raise ApiError(404, f"{asset.symbol} is not in the watchlist", code=40410000)
    return _changed(request, watchlist, assets=[other for other in watchlist.assets if other != asset])


def _changed(
    request: Request, watchlist: Watchlist, *, name: str | None = None, assets: list[Asset] | None = None
) -> Document:
    request.account.watchlists.change(watchlist, request.now, name=name, assets=assets)
    return _document(request, watchlist)


def _requested_watchlist(request: Request) -> Watchlist:
    watchlists = request.account.watchlists
    if (watchlist_id := request.path_parameters.get("watchlist_id")) is not None:
        return watchlists.get(watchlist_id)
    return watchlists.get_by_name(request.query().get("name", ""))


def _name(name: JsonValue) -> str:
    if not isinstance(name, str):
        raise InvalidParameterError("name is required")
    return name


def _assets(request: Request, symbols: JsonValue) -> list[Asset]:
    if not isinstance(symbols, list):
        raise InvalidParameterError("symbols must be a list")
    return [_asset(request, symbol) for symbol in symbols]


def _asset(request: Request, symbol: JsonValue) -> Asset:
    if not isinstance(symbol, str):
        raise InvalidParameterError("symbol must be a text")
    try:
        return find_listed_asset(request.assets, symbol)
    except ApiError:
        raise InvalidParameterError(f"asset not found for {symbol}") from None


def _head(request: Request, watchlist: Watchlist) -> dict[str, object]:
    return {
        "id": watchlist.id,
        "account_id": request.account.terms.profile["id"],
        "name": watchlist.name,
        "created_at": format_timestamp(watchlist.created_at),
        "updated_at": format_timestamp(watchlist.updated_at),
    }


def _document(request: Request, watchlist: Watchlist) -> dict[str, object]:
    assets = [asset_document(asset, request.now) for asset in watchlist.assets]
    return {**_head(request, watchlist), "assets": assets}
