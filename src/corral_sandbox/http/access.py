"""Who may send requests, and how often: API keys, the rate limit, and counts of requests."""

import re
from collections import Counter, defaultdict
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hmac import compare_digest

from corral_sandbox.broker.initial_state import KEY_ID_PREFIXES
from corral_sandbox.errors import ApiError
from corral_sandbox.market.time import MINUTE

KEY_ID_PATTERN = "(PK|AK)[A-Z0-9]{6,38}"
_KEY_ID = re.compile(KEY_ID_PATTERN)
_KEY_ID_HEADER, _SECRET_HEADER = "APCA-API-KEY-ID", "APCA-API-SECRET-KEY"
_TOKEN_PREFIX = "sandbox-token-for-"  # noqa: S105 - the same for everybody


def is_key_id(text: str) -> bool:
    return _KEY_ID.fullmatch(text) is not None


def secret_of(key_id: str) -> str:
    """Returns the secret key that belongs to a key id of the sandbox."""
    return f"sandbox-secret-for-{key_id}"


def token_of(key_id: str) -> str:
    """Returns the bearer token, as of OAuth, that belongs to a key id of the sandbox."""
    return f"{_TOKEN_PREFIX}{key_id}"


def claimed_key_id(headers: Mapping[str, str]) -> str | None:
    """Returns the key id of a request, or that of its bearer token, if it is well formed, authenticated or not."""
    token = _bearer_token(headers)
    if token is None:
        key_id = headers.get(_KEY_ID_HEADER, "")
    else:
        key_id = token.removeprefix(_TOKEN_PREFIX) if token.startswith(_TOKEN_PREFIX) else ""
    return key_id if is_key_id(key_id) else None


def headers_from_message(data: Mapping[str, object]) -> dict[str, str]:
    """Returns the keys or the OAuth token of a message to the stream as HTTP headers would carry them."""
    token = data.get("oauth_token")
    if "key_id" not in data and isinstance(token, str) and token.isascii():
        return {"Authorization": f"Bearer {token}"}
    named = {_KEY_ID_HEADER: data.get("key_id"), _SECRET_HEADER: data.get("secret_key")}
    return {name: key for name, key in named.items() if isinstance(key, str) and key.isascii()}


def authenticate(environment: str | None, headers: Mapping[str, str]) -> str:
    """Returns the authenticated key id, or raises Alpaca's error. Without an environment, keys of both are valid.

    403 without keys and without a bearer token, 401 for an unknown key or a wrong secret, and 401 with a code for
    valid keys of the other environment.
    """
    token = _bearer_token(headers)
    if token is None and not (headers.get(_KEY_ID_HEADER) and headers.get(_SECRET_HEADER)):
        raise ApiError(403, "forbidden.")
    key_id = claimed_key_id(headers)
    if key_id is None or not _is_genuine(key_id, headers.get(_SECRET_HEADER, ""), token):
        raise ApiError(401, "unauthorized.")
    if environment is not None and not key_id.startswith(KEY_ID_PREFIXES[environment]):
        raise ApiError(401, "request is not authorized", code=40110000)
    return key_id


def _bearer_token(headers: Mapping[str, str]) -> str | None:
    """Returns None for a request with key headers, which count before a token."""
    if _KEY_ID_HEADER in headers or _SECRET_HEADER in headers:
        return None
    scheme, _, token = headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _is_genuine(key_id: str, secret: str, token: str | None) -> bool:
    """Whether the secret, or the token if there is one, belongs to the key id."""
    expected, presented = (secret_of(key_id), secret) if token is None else (token_of(key_id), token)
    # Bytes, because compare_digest refuses text beyond ASCII, and headers may carry any byte.
    return compare_digest(expected.encode(), presented.encode("utf-8", "surrogateescape"))


@dataclass(frozen=True, slots=True)
class RateLimitState:
    """What is left after a request. `reset` is in whole seconds since 1970."""

    limit: int
    remaining: int
    reset: int
    is_exceeded: bool

    def headers(self) -> dict[str, str]:
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(self.reset),
        }


class RateLimit:
    """Counts the requests of each account by the minute of the clock."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._minute = 0
        self._spent: Counter[str] = Counter()

    def spend(self, key_id: str, now: int) -> RateLimitState:
        if now // MINUTE != self._minute:
            self._minute = now // MINUTE
            self._spent.clear()
        self._spent[key_id] += 1
        remaining = self._per_minute - self._spent[key_id]
        return RateLimitState(self._per_minute, max(remaining, 0), (self._minute + 1) * 60, is_exceeded=remaining < 0)


_OTHER = "other"
_KEY_IDS_COUNTED = 10_000  # further ones are counted together, so that memory stays bounded


@dataclass(slots=True)
class _Tally:
    requests: int = 0
    in_flight: int = 0
    peak_concurrency: int = 0
    paths: Counter[str] = field(default_factory=Counter[str])

    def begin(self, path: str) -> None:
        self.requests += 1
        self.in_flight += 1
        self.peak_concurrency = max(self.peak_concurrency, self.in_flight)
        self.paths[path] += 1

    def begin_anew(self) -> None:
        self.requests = 0
        self.peak_concurrency = self.in_flight
        self.paths.clear()

    def document(self) -> dict[str, object]:
        return {"requests": self.requests, "peak_concurrency": self.peak_concurrency, "paths": dict(self.paths)}


class RequestCounts:
    """Counts well-formed key ids and the patterns of known routes. Anything else that a client sends in their
    place, perhaps a secret, is counted as "other".
    """

    def __init__(self) -> None:
        self._all = _Tally()
        self._by_key_id: defaultdict[str, _Tally] = defaultdict(_Tally)

    def reset(self) -> None:
        under_way = {key_id: tally for key_id, tally in self._by_key_id.items() if tally.in_flight}
        self._by_key_id = defaultdict(_Tally, under_way)
        for tally in (self._all, *under_way.values()):
            tally.begin_anew()

    @contextmanager
    def counting(self, key_id: str | None, pattern: str | None) -> Generator[None]:
        """Counts one request as in flight while the block runs. An unknown path has no pattern."""
        tallies = (self._all, self._tally_of(key_id))
        for tally in tallies:
            tally.begin(pattern or _OTHER)
        try:
            yield
        finally:
            for tally in tallies:
                tally.in_flight -= 1

    @property
    def total(self) -> int:
        return self._all.requests

    def document(self) -> dict[str, object]:
        by_key_id = {key_id: tally.document() for key_id, tally in self._by_key_id.items()}
        return {**self._all.document(), "key_ids": by_key_id}

    def _tally_of(self, key_id: str | None) -> _Tally:
        if key_id is None or (key_id not in self._by_key_id and len(self._by_key_id) >= _KEY_IDS_COUNTED):
            key_id = _OTHER
        return self._by_key_id[key_id]
