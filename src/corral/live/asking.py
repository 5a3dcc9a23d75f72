"""A question to Alpaca about an account, with the keys of one of those who watch it."""

import time
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

from corral.accounts.account_data import account_data_of, fetch_account
from corral.accounts.asking import Fetch
from corral.accounts.last_known import LastKnown
from corral.accounts.snapshots import Snapshots
from corral.alpaca.client import AlpacaClient
from corral.alpaca.errors import AlpacaError
from corral.alpaca.items import UnreadableItem
from corral.alpaca.orders import MOST_ORDERS, Order, OrderQuery, order_listing
from corral.alpaca.paging import Page, Place, read_page
from corral.alpaca.positions import Position
from corral.alpaca.trade_updates import Line, TradeUpdates
from corral.credentials.account_identity import refuse_another_account, with_balance
from corral.credentials.models import SealedCredential
from corral.credentials.opening import CredentialReader
from corral.credentials.problems import problem_of
from corral.credentials.sealing import get_decrypted_alpaca_credential
from corral.live.watchers import Watcher
from corral.vault import Vault

NOTE_USE_AFTER_SECONDS: Final = 60.0

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Road:
    """All that a feed needs beyond its watchers. The keys are open for just one call."""

    vault: Vault
    alpaca: AlpacaClient
    trade_updates: TradeUpdates
    snapshots: Snapshots
    last_known: LastKnown
    reader: CredentialReader
    interval_seconds: float

    async def connect(self, credential: SealedCredential) -> Line:
        """A connection that listens to the account's orders. Raises AlpacaError."""
        async with get_decrypted_alpaca_credential(self.vault, credential) as (api_key, secret_key):
            return await self.trade_updates.connect(credential.credential_type, api_key, secret_key)

    async def fetch_positions(self, credential: SealedCredential) -> tuple[Position | UnreadableItem, ...]:
        """Raises a Problem."""
        return await self._ask(credential, self.alpaca.fetch_positions)

    async def fetch_orders(
        self, credential: SealedCredential, query: OrderQuery, place: Place
    ) -> Page[Order | UnreadableItem]:
        """As many as Alpaca puts on a page. Raises a Problem."""

        async def ask(wanted: int, beyond: str | None) -> tuple[Order | UnreadableItem, ...]:
            fetch = partial(self.alpaca.fetch_orders, query=query, limit=wanted, beyond=beyond)
            return await self._ask(credential, fetch)

        try:
            return await read_page(order_listing(query), ask, place, limit=MOST_ORDERS)
        except AlpacaError as error:  # a page that repeats itself
            raise problem_of(error) from error

    async def fetch_account_data(self, credential: SealedCredential, *, is_shared: bool) -> bytes:
        """AccountDataResponse as JSON. Raises a Problem: AnotherAccount, or as `problem_of` tells it.

        A shared answer may be one that somebody else's request for the same credential has just got.
        """

        async def fetch() -> bytes:
            return await self._fetch_account_data(credential)

        if not is_shared:
            return await fetch()
        return await self.snapshots.get((credential.user_id, credential.id, credential.revision), fetch)

    async def _fetch_account_data(self, credential: SealedCredential) -> bytes:
        answer = await self._ask(credential, partial(fetch_account, alpaca=self.alpaca))
        refuse_another_account(credential, answer.account)
        self.last_known.learn(credential, with_balance(answer.account))
        return account_data_of(credential.credential_type, answer).model_dump_json().encode()

    async def _ask(self, credential: SealedCredential, fetch: Fetch[Found]) -> Found:
        environment = credential.credential_type
        async with get_decrypted_alpaca_credential(self.vault, credential) as (api_key, secret_key):
            try:
                return await fetch(environment, api_key, secret_key, budget_key=(environment, credential.account_id))
            except AlpacaError as error:
                raise problem_of(error) from error

    def note_use(self, watcher: Watcher) -> None:
        """As precisely as "last used" is kept; the row that the watcher holds is as old as the watcher."""
        now = time.monotonic()
        if now - watcher.noted_at > NOTE_USE_AFTER_SECONDS:
            watcher.noted_at = now
            self.reader.note_use(watcher.credential)

    def gentle_seconds(self, credential: SealedCredential) -> float:
        """How long to wait from one call about the account to the next."""
        budget_key = (credential.credential_type, credential.account_id)
        return max(self.interval_seconds, self.alpaca.gentle_seconds(budget_key))
