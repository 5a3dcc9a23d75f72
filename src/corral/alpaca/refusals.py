"""What an answer of Alpaca's with another status than 200 means.

Only Alpaca refuses keys. A company's proxy, a web filter and the portal of a hotel answer 401 and 403 as well,
and a program that believed them would tell its owner to replace keys that are good.
"""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from corral.alpaca.errors import AlpacaError, KeysRefused, ReadRefused, UpstreamFailed
from corral.alpaca.exchange import RawAnswer
from corral.alpaca.reading import Fields, read_object

# What Alpaca has been seen to say about keys that it does not accept, by status. Sources:
#   401 unauthorized.   unknown, expired or regenerated keys, 2026 (dev.to/igorganapolsky, log of 2026-01-09);
#                       without the full stop in https://alpaca.markets/learn/how-to-fix-common-trading-api-errors-at-alpaca
#   401 request is not authorized   keys of the other environment (alpacahq/alpaca-py#519, alpaca-mcp-server#16)
#   401 access key verification failed …   2018 (alpacahq/alpaca-trade-api-python#40)
#   403 forbidden.      headers missing or misspelt (docs.alpaca.markets/docs/getting-started-with-trading-api,
#                       alpacahq/Alpaca-API#228)
_REFUSES_KEYS: Final[Mapping[int, frozenset[str]]] = {
    HTTPStatus.UNAUTHORIZED: frozenset(
        {
            "unauthorized.",
            "unauthorized",
            "request is not authorized",
            "access key verification failed : access key not found",
        }
    ),
    HTTPStatus.FORBIDDEN: frozenset({"forbidden."}),
}
_KEY_CODES: Final = "4011"  # 40110000: request is not authorized
_REFUSES_READS: Final = frozenset(
    {HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY}
)
_CODE: Final = re.compile(r"[1-9]\d{7}", re.ASCII)


def refusal_of(answer: RawAnswer) -> AlpacaError:
    """KeysRefused or ReadRefused where it is certain that Alpaca itself says so, UpstreamFailed for all else."""
    fields = read_object(answer.body)
    code = _code_in(fields)
    if _refuses_keys(answer.status, fields, code):
        return KeysRefused(status=answer.status, alpaca_request_id=answer.alpaca_request_id)
    if code is not None and answer.status in _REFUSES_READS:
        return ReadRefused(alpaca_code=code, status=answer.status, alpaca_request_id=answer.alpaca_request_id)
    return UpstreamFailed(status=answer.status, alpaca_request_id=answer.alpaca_request_id)


def _refuses_keys(status: int, fields: Fields, code: int | None) -> bool:
    if status == HTTPStatus.UNAUTHORIZED and code is not None:
        return str(code).startswith(_KEY_CODES)
    return fields.get("code") is None and fields.get("message") in _REFUSES_KEYS.get(status, ())


def _code_in(fields: Fields) -> int | None:
    """Alpaca's number for the reason: the status and five digits, more or less."""
    code = fields.get("code")
    return int(code) if isinstance(code, str) and _CODE.fullmatch(code) else None
