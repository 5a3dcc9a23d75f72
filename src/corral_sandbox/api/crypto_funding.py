"""/v2/wallets and /v2/tokenization: coins and tokens outside the account, which no account here may move."""

from typing import Never
from uuid import UUID

from corral_sandbox.errors import ApiError, ForbiddenError
from corral_sandbox.http.requests import Document, Request


def refuse_wallets(request: Request) -> Never:  # noqa: ARG001 - as every handler
    raise ForbiddenError("crypto transfers are not enabled for this account")


def refuse_tokenization(request: Request) -> Never:
    """Raises a 403, or a 400 for a body that is no JSON object."""
    request.json_object()
    raise ForbiddenError("account is not authorized to mint")


def list_tokenizations(request: Request) -> Document:  # noqa: ARG001 - as every handler
    return []


def get_tokenization(request: Request) -> Never:
    try:
        UUID(request.path_parameters["tokenization_request_id"])
    except ValueError:
        raise ApiError(422, "tokenization_request_id is not a valid UUID", code=42210001) from None
    raise _not_found()


def get_tokenization_by_client_request_id(request: Request) -> Never:
    if not request.query().get("client_request_id"):
        raise ApiError(422, "client_request_id query parameter is required", code=42210001)
    raise _not_found()


def _not_found() -> ApiError:
    return ApiError(404, "tokenization request not found", code=40410000)
