"""The one way to read an account at Alpaca: for the API, the pages, the files and the stream.

Each read is of an OpenCredential, which row-level security found for its owner. It asks the host that the stored
`credential_type` names, shares one call among simultaneous requests for the same data, refuses the answer of an account
other than the stored one, and raises a Problem for every failure.
"""

import asyncio
from collections.abc import Awaitable, Callable, Generator, Hashable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Final, final
from uuid import UUID

from corral.accounts.cache import Answer, AnswerCache, Kept, LastKnownAccounts
from corral.accounts.problems import OrderNotFound
from corral.accounts.schemas import AccountDataResponse
from corral.alpaca.activities import Activity, ActivityQuery, activity_listing
from corral.alpaca.client import AlpacaClient
from corral.alpaca.errors import AlpacaError, ReadRefused
from corral.alpaca.fields import Fields, written_in_utc
from corral.alpaca.items import UnreadableItem
from corral.alpaca.models import Account, AccountFacts, MarketClock
from corral.alpaca.orders import Order, OrderQuery, order_listing
from corral.alpaca.paging import Ask, Page, Place, read_filtered_page
from corral.alpaca.portfolio_history import HistoryQuery, PortfolioHistory
from corral.alpaca.positions import Position
from corral.credentials.models import NamedCredential, SealedCredential
from corral.credentials.problems import AccountNotOpen, problem_of
from corral.credentials.reader import READ, CredentialReader, Fetch, Found, OpenCredential, Purpose
from corral.errors import Problem

# A sixteenth of the connections to Alpaca: one overview of unresponsive accounts leaves the rest to other users.
MOST_CALLS_AT_ONCE: Final = 64


@dataclass(frozen=True, slots=True)
class Outcome:
    """`answer` is what account-data would send, or the problem; None while the call is in progress.

    `last_equity` is the equity at the last close, if there is an answer and Alpaca returns it.
    """

    credential: NamedCredential
    answer: Answer[AccountDataResponse] | Problem | None
    last_equity: str | None = None


@final
class AccountReader:
    """Lives as long as the process, and is shared by all users."""

    def __init__(
        self, credentials: CredentialReader, alpaca: AlpacaClient, cache: AnswerCache, last_known: LastKnownAccounts
    ) -> None:
        self._credentials = credentials
        self._alpaca = alpaca
        self._cache = cache
        self._last_known = last_known

    async def open(self, user_id: UUID, credential_id: UUID, purpose: Purpose = READ) -> OpenCredential:
        """Raises a Problem as `CredentialReader.open_credential` does. The database is asked for every request."""
        return await self._credentials.open_credential(user_id, credential_id, purpose)

    def open_row(self, stored: SealedCredential, purpose: Purpose = READ) -> OpenCredential:
        """Like `open`, for a row that was loaded for this request. Raises CredentialRefused."""
        return self._credentials.open_row(stored, purpose)

    async def account_data(self, user_id: UUID, credential_id: UUID) -> Answer[AccountDataResponse]:
        """Returns the current account data: a new answer, or a cached one for callers who may see it now."""
        return await self.account_data_of(await self._credentials.open_credential(user_id, credential_id, READ))

    def is_kept(self, credential_id: UUID) -> bool:
        """Whether an answer about this credential is probably cached. A hint only, for any caller."""
        return self._cache.keeps_any_of(credential_id)

    async def account_data_of(
        self, credential: OpenCredential, *, is_fresh: bool = False
    ) -> Answer[AccountDataResponse]:
        """Like `account_data`, of a credential that was loaded for this request. `is_fresh` makes a new call.

        A call that leaves requests of the minute to others may be refused when theirs is not: it is not shared.
        """
        key = credential.cache_key
        if is_fresh:
            return await self._fetch_account_data(credential)
        kept: Answer[AccountDataResponse] | None = self._cache.kept(key)
        if kept is not None:
            return kept
        fetch = partial(self._fetch_account_data, credential)
        if credential.purpose.leaves:
            return await self._cache.get((*key, credential.purpose.name), fetch)
        return await self._cache.get(key, fetch, may_refresh=partial(self._has_spare_requests, credential))

    async def each_account_data(
        self, credentials: Sequence[NamedCredential], *, within_seconds: float | None = None
    ) -> list[Outcome]:
        """Reads account data concurrently, in the order of `credentials`, each with the deadline of a call to Alpaca.

        A call in progress continues after `within_seconds`, and the next request gets its answer.
        """
        slots = asyncio.Semaphore(MOST_CALLS_AT_ONCE)
        calls = [asyncio.ensure_future(self._outcome(credential, slots)) for credential in credentials]
        if not calls:
            return []
        try:
            await asyncio.wait(calls, timeout=within_seconds)
            return [
                call.result() if call.done() else Outcome(credential, None)
                for credential, call in zip(credentials, calls, strict=True)
            ]
        finally:
            for call in calls:
                call.cancel()

    async def last_known(self, user_id: UUID, credential_id: UUID) -> Account | None:
        """Returns the whole last response of Alpaca, without another call; None if there was none."""
        credential = await self._credentials.open_credential(user_id, credential_id, READ)
        return self._last_known.get(credential.stored)

    def last_known_of(self, stored: SealedCredential) -> Account | None:
        """Like `last_known`, for a row that was loaded for this request."""
        return self._last_known.get(stored)

    async def shared(
        self,
        credential: OpenCredential,
        question: Hashable,
        fetch: Callable[[], Awaitable[Kept]],
        *,
        keep_seconds: float | None = None,
    ) -> Kept:
        """Returns the answer to `question`, shared by all readers of this credential. Raises what `fetch` raises."""
        return await self._cache.get((*credential.cache_key, question), fetch, keep_seconds=keep_seconds)

    async def positions(self, credential: OpenCredential) -> tuple[Position | UnreadableItem, ...]:
        """Returns all of them, because Alpaca puts them on one page."""
        with alpaca_errors_as_problems():
            return await self._read(credential, self._alpaca.fetch_positions)

    async def orders(
        self, credential: OpenCredential, query: OrderQuery, place: Place, *, limit: int
    ) -> Page[Order | UnreadableItem]:
        """Returns at most `limit` orders from `place` on; of one type, perhaps fewer (`read_filtered_page`)."""
        ask = self.orders_from(credential, query)
        with alpaca_errors_as_problems():
            return await read_filtered_page(order_listing(query), ask, place, limit=limit)

    def orders_from(self, credential: OpenCredential, query: OrderQuery) -> Ask[Order | UnreadableItem]:
        """Returns how a page of orders is asked for, by one call that raises AlpacaError."""

        async def ask(wanted: int, beyond: str | None) -> tuple[Order | UnreadableItem, ...]:
            fetch = partial(self._alpaca.fetch_orders, query=query, limit=wanted, beyond=beyond)
            return await self._read(credential, fetch)

        return ask

    async def order(self, credential: OpenCredential, order_id: UUID) -> Order:
        """Returns one order with its legs. Raises OrderNotFound, also for one of another account."""
        with alpaca_errors_as_problems():
            try:
                return await self._read(credential, partial(self._alpaca.fetch_order, order_id=order_id))
            except ReadRefused as refused:
                if refused.status == HTTPStatus.NOT_FOUND:
                    raise OrderNotFound from None
                raise

    async def activities(
        self, credential: OpenCredential, query: ActivityQuery, place: Place, *, limit: int
    ) -> Page[Activity | UnreadableItem]:
        """Returns at most `limit` activities from `place` on; of some symbols, perhaps fewer."""
        ask = self.activities_from(credential, query)
        with alpaca_errors_as_problems():
            return await read_filtered_page(activity_listing(query), ask, place, limit=limit)

    def activities_from(self, credential: OpenCredential, query: ActivityQuery) -> Ask[Activity | UnreadableItem]:
        """Returns how a page of activities is asked for, by one call that raises AlpacaError."""

        async def ask(wanted: int, beyond: str | None) -> tuple[Activity | UnreadableItem, ...]:
            fetch = partial(self._alpaca.fetch_activities, query=query, limit=wanted, beyond=beyond)
            return await self._read(credential, fetch)

        return ask

    async def portfolio_history(self, credential: OpenCredential, query: HistoryQuery) -> PortfolioHistory:
        with alpaca_errors_as_problems():
            return await self._read(credential, partial(self._alpaca.fetch_portfolio_history, query=query))

    async def documents(
        self, credential: OpenCredential, path: str, parameters: Mapping[str, str] | None = None
    ) -> Sequence[Fields]:
        """Returns what Alpaca has at this path of its Trading API, as it wrote it: a list, or one object in a list.

        Does not prove that the keys open the stored account.
        """
        with alpaca_errors_as_problems():
            return await credential.call(partial(self._alpaca.fetch_documents, path=path, parameters=parameters or {}))

    async def clock(self, credential: OpenCredential) -> MarketClock:
        """The clock is the same for all accounts, so the account is not requested with it."""
        with alpaca_errors_as_problems():
            return await credential.call(self._alpaca.fetch_clock)

    def polite_seconds(self, credential: OpenCredential) -> float:
        """Returns the seconds between periodic calls that leave half of the account's rate limit unused."""
        return self._alpaca.polite_seconds(credential.budget_key)

    def _has_spare_requests(self, credential: OpenCredential) -> bool:
        """Whether less than half of the account's requests of this minute are used."""
        left = self._alpaca.budget_left(credential.budget_key)
        return left is None or left.remaining * 2 >= left.limit

    async def _read(self, credential: OpenCredential, fetch: Fetch[Found]) -> Found:
        """Only `GET /v2/account` identifies the account, so it is requested along with a list.

        Its answer is the one that account-data caches and shares.
        """
        if not credential.purpose.proves_account:
            return await credential.call(fetch)
        found, _ = await asyncio.gather(credential.call(fetch), self._prove_account(credential))
        return found

    async def _prove_account(self, credential: OpenCredential) -> None:
        try:
            await self.account_data_of(credential)
        except AccountNotOpen:  # of the account known to be the stored one
            return

    async def _fetch_account_data(self, credential: OpenCredential) -> Answer[AccountDataResponse]:
        with alpaca_errors_as_problems():
            return Answer(await fetch_alpaca_account_data(credential, partial(self._last_known.put, credential.stored)))

    async def _outcome(self, credential: NamedCredential, slots: asyncio.Semaphore) -> Outcome:
        async with slots:
            try:
                answer = await self.account_data_of(self.open_row(credential.sealed))
            except Problem as problem:
                return Outcome(credential, problem)
        known = self._last_known.get(credential.sealed)
        return Outcome(credential, answer, known and known.last_equity)


async def fetch_alpaca_account_data(
    credential: OpenCredential, keep: Callable[[Account], object]
) -> AccountDataResponse:
    """Sends one request to the host of the stored `credential_type`. `keep` receives the whole response.

    Raises AlpacaError, AnotherAccount, and AccountNotOpen for an account without a balance.
    """
    answer = await credential.fetch_account()
    account = with_balance(answer.account)
    keep(account)
    return AccountDataResponse(
        account_type=credential.environment,
        balance=account.cash,
        equity=account.equity,
        buying_power=account.buying_power,
        currency=account.currency,
        trading_blocked=account.trading_blocked,
        account_blocked=account.account_blocked,
        pattern_day_trader=account.pattern_day_trader,
        daytrade_count=account.daytrade_count,
        last_updated=written_in_utc(answer.answered_at),
    )


def with_balance(account: AccountFacts) -> Account:
    """Returns the account. Raises AccountNotOpen for one without a balance."""
    if not isinstance(account, Account):
        raise AccountNotOpen.with_status(account.status or "status unknown")
    return account


@contextmanager
def alpaca_errors_as_problems() -> Generator[None]:
    """Raises the Problem of an AlpacaError."""
    try:
        yield
    except AlpacaError as error:
        raise problem_of(error) from error
