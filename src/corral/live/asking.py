"""A question to Alpaca about an account, with the keys of one of those who watch it."""

import time
from dataclasses import dataclass
from typing import Final

from corral.accounts.account_data import account_data_of
from corral.accounts.snapshots import Snapshots
from corral.alpaca.client import AlpacaClient
from corral.alpaca.errors import AlpacaError
from corral.credentials.models import SealedCredential
from corral.credentials.opening import CredentialReader
from corral.credentials.problems import problem_of
from corral.credentials.sealing import get_decrypted_alpaca_credential
from corral.live.problems import AnotherAccount
from corral.live.watchers import Watcher
from corral.logs import get_logger
from corral.vault import Vault

NOTE_USE_AFTER_SECONDS: Final = 60.0

_log = get_logger()


@dataclass(frozen=True, slots=True)
class Road:
    """All that a feed needs beyond its watchers. The keys are open for just one call."""

    vault: Vault
    alpaca: AlpacaClient
    snapshots: Snapshots
    reader: CredentialReader
    interval_seconds: float

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
        environment = credential.credential_type
        async with get_decrypted_alpaca_credential(self.vault, credential) as (api_key, secret_key):
            try:
                answer = await self.alpaca.fetch_account(
                    environment, api_key, secret_key, budget_key=(environment, credential.account_id)
                )
            except AlpacaError as error:
                raise problem_of(error) from error
        if answer.account.id != credential.account_id:
            _log.error("account_changed", credential_id=str(credential.id), user_id=str(credential.user_id))
            raise AnotherAccount
        return account_data_of(environment, answer).model_dump_json().encode()

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
