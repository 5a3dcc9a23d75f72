"""`/_accounts?limit=N`: GET the open accounts, the one used last first. `/_accounts/{key_id}`: PUT replaces an account,
GET returns all of it, DELETE opens it anew. See `account_form`.
"""

from decimal import localcontext
from typing import Final

from aiohttp import web

from corral_sandbox.api.account import apply_configurations
from corral_sandbox.api.assets import find_listed_asset
from corral_sandbox.api.order_request import read_order
from corral_sandbox.api.orders import submit_order
from corral_sandbox.broker.accounts import TradingAccount, TradingAccounts
from corral_sandbox.broker.seeding import SeedError, seeded_account
from corral_sandbox.control.account_form import AccountForm, read_account
from corral_sandbox.control.account_state import account_state, account_summary
from corral_sandbox.errors import ApiError, EndpointNotFoundError, MethodNotAllowedError
from corral_sandbox.http.access import is_key_id
from corral_sandbox.http.requests import Document, JsonValue, Request, as_limit
from corral_sandbox.market.money import EXACT
from corral_sandbox.market.time import Clock

MOST_LISTED: Final = 1_000
_LISTED: Final = 100


class AccountsControl:
    def __init__(self, accounts: TradingAccounts, clock: Clock) -> None:
        self._accounts = accounts
        self._clock = clock

    async def handle(self, request: web.BaseRequest, rest: str) -> Document:
        if not rest:
            return self._list(request)
        key_id = _key_id(rest)
        if request.method == "PUT":
            self.put(key_id, await request.read())
        elif request.method == "DELETE":
            self._accounts.reset(key_id)
        elif request.method != "GET":
            raise MethodNotAllowedError(["GET", "PUT", "DELETE"])
        return self.state(key_id)

    def state(self, key_id: str) -> dict[str, object]:
        with localcontext(EXACT):
            return account_state(key_id, self._accounts.find(key_id), self._clock.now())

    def _list(self, request: web.BaseRequest) -> Document:
        if request.method != "GET":
            raise MethodNotAllowedError(["GET"])
        query = request.rel_url.query
        if unknown := set(query) - {"limit"}:
            raise ApiError(400, f"{min(unknown)} is not a parameter here, only limit")
        limit = _limit(query.get("limit", str(_LISTED)))
        with localcontext(EXACT):
            now = self._clock.now()
            items = [account_summary(key_id, account, now) for key_id, account in self._accounts.latest(limit)]
        return {"items": items, "total": self._accounts.open_count}

    def put(self, key_id: str, body: bytes) -> None:
        """Replaces an account when everything about the new one has succeeded. Raises a 400 for a bad one."""
        form = read_account(body)
        with localcontext(EXACT):
            account = self._account_of(key_id, form)
            self._clock.begin_change()
            self._accounts.replace(key_id, account)

    def _account_of(self, key_id: str, form: AccountForm) -> TradingAccount:
        now = self._clock.next_change()
        try:
            account = self._accounts.new_account(seeded_account(self._accounts.market, key_id, form.seed, now))
        except SeedError as impossible:
            raise ApiError(400, str(impossible)) from None
        _configure(account, form)
        _add_watchlists(account, form, now)
        for index, order in enumerate(form.orders):
            _place(account, index, order, now)
        return account


def _limit(text: str) -> int:
    try:
        return as_limit("limit", text, MOST_LISTED)
    except ApiError as error:
        raise ApiError(400, str(error)) from None


def _key_id(rest: str) -> str:
    key_id = rest.removeprefix("/")
    if not key_id or "/" in key_id:
        raise EndpointNotFoundError
    if not is_key_id(key_id):
        raise ApiError(400, f"{key_id}: a key ID is PK (paper) or AK (live) and 6 to 38 capital letters or digits")
    return key_id


def _configure(account: TradingAccount, form: AccountForm) -> None:
    try:
        apply_configurations(account, form.configurations)
    except ApiError as error:
        raise ApiError(400, f"configurations: {error}") from None


def _add_watchlists(account: TradingAccount, form: AccountForm, now: int) -> None:
    for index, watchlist in enumerate(form.watchlists):
        try:
            listed = account.terms.market.assets
            assets = [find_listed_asset(listed, symbol) for symbol in watchlist.symbols]
            account.watchlists.create(watchlist.name, assets, now)
        except ApiError as error:
            raise ApiError(400, f"watchlists.{index}: {error}") from None


def _place(account: TradingAccount, index: int, order: dict[str, JsonValue], now: int) -> None:
    """A restriction is for later orders: Alpaca leaves the open ones in an account that it blocks."""
    try:
        request = Request(account, now, {})
        submit_order(request, account.order_manager, read_order(order, request.assets))
    except ApiError as error:
        raise ApiError(400, f"orders.{index}: Alpaca would refuse it: {error}", refusal=error.body) from None
