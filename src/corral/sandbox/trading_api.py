"""Alpaca's Trading API: who asks, whether they may, and which page answers.

A page is a function of the account and the moment; one more page is one more line in `_PAGES`.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache, partial

from corral.sandbox.account_page import account_document
from corral.sandbox.answers import Answer, EndpointNotFound, MethodNotAllowed, Refused
from corral.sandbox.keys import authenticate
from corral.sandbox.market_clock import clock_document
from corral.sandbox.opening import Account, open_account
from corral.sandbox.rate_limit import RateLimit

_Page = Callable[[Account, int], dict[str, object]]

_PAGES: dict[str, dict[str, _Page]] = {
    "/v2/account": {"GET": account_document},
    "/v2/clock": {"GET": lambda _account, now: clock_document(now)},
}
PATHS = frozenset(_PAGES)

_ACCOUNTS_KEPT = 10_000  # an account that is not asked for falls out, and opens the same again


class TradingApi:
    """`clock` answers nanoseconds since 1970. A `rate_limit_per_minute` of 0 is none."""

    def __init__(self, *, seed: int, rate_limit_per_minute: int, clock: Callable[[], int]) -> None:
        self._open_account = lru_cache(_ACCOUNTS_KEPT)(partial(open_account, seed))
        self._rate_limit = RateLimit(rate_limit_per_minute) if rate_limit_per_minute else None
        self._clock = clock

    def answer(self, environment: str, method: str, path: str, headers: Mapping[str, str]) -> Answer:
        try:
            key_id = authenticate(environment, headers)
        except Refused as refused:
            return refused.answer
        now = self._clock()
        if self._rate_limit is None:
            return self._answer_from_page(key_id, now, method, path)
        allowance = self._rate_limit.spend(key_id, now)
        if allowance.is_exceeded:
            answer = Refused(429, "rate limit exceeded").answer
        else:
            answer = self._answer_from_page(key_id, now, method, path)
        answer.headers.update(allowance.headers())
        return answer

    def _answer_from_page(self, key_id: str, now: int, method: str, path: str) -> Answer:
        try:
            return Answer(200, _page(method, path)(self._open_account(key_id), now))
        except Refused as refused:
            return refused.answer


def _page(method: str, path: str) -> _Page:
    methods = _PAGES.get(path)
    if methods is None:
        raise EndpointNotFound
    if method not in methods:
        raise MethodNotAllowed(list(methods))
    return methods[method]
