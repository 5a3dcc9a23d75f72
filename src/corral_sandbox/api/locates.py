"""/v1/locates: shares to borrow for a short sale. Whatever can be sold short here is easy to borrow and needs none."""

from uuid import UUID

from corral_sandbox.errors import ApiError
from corral_sandbox.http.requests import Document, JsonValue, Request, as_list
from corral_sandbox.market.assets import Asset
from corral_sandbox.market.time import format_timestamp

_MOST_SYMBOLS = 100


class _LocateError(ApiError):
    """Alpaca's locates have codes in words."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(status, message)
        self.body["code"] = code


def list_locates(request: Request) -> Document:  # noqa: ARG001 - as every handler
    return {"locates": [], "next_page_token": None}


def get_locate(request: Request) -> Document:
    try:
        UUID(request.path_parameters["locate_id"])
    except ValueError:
        raise _LocateError(400, "invalid_input", "invalid input: locate_id is not a UUID") from None
    raise ApiError(404, "locate not found")


def list_locate_quotes(request: Request) -> Document:
    symbols = list(dict.fromkeys(as_list(request.query().get("symbols", ""))))
    if not 1 <= len(symbols) <= _MOST_SYMBOLS:
        raise _LocateError(400, "invalid_symbols", f"symbols must contain 1 to {_MOST_SYMBOLS} unique symbols")
    at = format_timestamp(request.now)
    return {
        "quotes": [
            {"symbol": symbol, "available_qty": 0, "quoted_at": at} for symbol in symbols if _share(request, symbol)
        ],
        "errors": [
            {"symbol": symbol, "code": "symbol_not_found", "message": "symbol not found"}
            for symbol in symbols
            if not _share(request, symbol)
        ],
    }


def create_locate(request: Request) -> Document:
    """Refuses every request, with Alpaca's reason."""
    try:
        body = request.json_object()
    except ApiError:
        raise _LocateError(400, "invalid_request_body", "invalid request body") from None
    share = _share(request, body.get("symbol"))
    if share is None:
        raise _LocateError(422, "symbol_not_found", "symbol not found")
    if share.borrow_status == "easy_to_borrow":
        raise _LocateError(422, "easy_to_borrow", "security is easy-to-borrow and does not require a locate")
    raise _LocateError(422, "quote_unavailable", "no shares are available to borrow")


def _share(request: Request, symbol: JsonValue) -> Asset | None:
    asset = request.assets.find(symbol) if isinstance(symbol, str) else None
    return asset if asset is not None and asset.asset_class == "us_equity" else None
