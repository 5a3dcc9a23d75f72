"""Alpaca's SDK for Python and its OpenAPI document, against which the sandbox is checked."""

import json
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from corral_sandbox import secret_of

if TYPE_CHECKING:
    from collections.abc import Generator

    from alpaca.trading.client import TradingClient

# The SDK imports the old half of websockets, which warns of its age.
of_the_sdk = pytest.mark.filterwarnings("ignore:websockets.legacy is deprecated:DeprecationWarning")


@contextmanager
def sdk(url: str, key_id: str, secret: str | None = None, *, raw_data: bool = False) -> "Generator[TradingClient]":
    from alpaca.trading.client import TradingClient

    client = TradingClient(key_id, secret or secret_of(key_id), url_override=url, raw_data=raw_data)
    try:
        yield client
    finally:
        client._session.close()  # pyright: ignore[reportPrivateUsage]  # the SDK offers no way to close it


def official_document(name: str = "trading-api.json") -> dict[str, Any]:
    package = find_spec("alpaca_mcp_server")
    assert package
    assert package.origin
    return json.loads((Path(package.origin).parent / "specs" / name).read_bytes())


def judge(official: dict[str, Any], path: str, method: str = "get", status: str = "200") -> Any:  # noqa: ANN401 - jsonschema types its calls by half
    content = official["paths"][path][method]["responses"][status]["content"]["application/json"]
    schema = {"components": official["components"], **content["schema"]}
    return Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)


def judge_of_data(official: dict[str, Any], path: str) -> Any:  # noqa: ANN401 - jsonschema types its calls by half
    """Like `judge`, for a GET of Alpaca's description of its market data, where responses are shared."""
    response = official["paths"][path]["get"]["responses"]["200"]
    if "$ref" in response:
        response = official["components"]["responses"][response["$ref"].rpartition("/")[2]]
    schema = {"components": official["components"], **response["content"]["application/json"]["schema"]}
    return Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
