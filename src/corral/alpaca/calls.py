"""What is asked of Alpaca, and what it answered."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple

from corral.alpaca.environments import Environment
from corral.secret import Secret

LARGEST_ANSWER_BYTES: Final = 4 * 1024 * 1024  # 500 orders with four legs each, or 6,000 positions


class Keys(NamedTuple):
    api_key: Secret
    secret_key: Secret


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """What is requested, for which account, and how much of the response is read.

    `leaving` is how many requests of the account's minute are left to others; `parameters` are the URL's query.
    """

    environment: Environment
    path: str
    keys: Keys
    budget_key: Hashable
    parameters: Mapping[str, str] = field(default_factory=dict[str, str])
    leaving: int = 0
    max_body_bytes: int = LARGEST_ANSWER_BYTES


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """A complete response of any status. The body is empty if it was not read."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    answered_at: datetime
    alpaca_request_id: str | None
