"""The only access to a stored credential: loaded for its owner, and opened for a single call to Alpaca.

Row-level security decides whether it is found, its purpose whether it may be used, and its seal whether it opens. No
other module returns an Alpaca key.
"""

import time
from collections.abc import AsyncGenerator, Awaitable, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final, Protocol, TypeVar, final
from uuid import UUID

from corral.alpaca.client import AccountAnswer, AlpacaClient
from corral.alpaca.environments import Environment
from corral.alpaca.errors import AlpacaAuthError
from corral.alpaca.models import AccountFacts
from corral.credentials import queries
from corral.credentials.models import SealedCredential
from corral.credentials.problems import (
    AnotherAccount,
    CredentialInactive,
    CredentialNotFound,
    CredentialRefused,
    UpstreamFailed,
)
from corral.credentials.queries import AccessKey, CallerAndCredential
from corral.database.batching import BatchedLookup, WriteBehindBuffer
from corral.database.connection import Database
from corral.errors import InternalError
from corral.identity.problems import Unauthenticated
from corral.identity.tokens import Presented
from corral.logs import get_logger
from corral.secret import Secret
from corral.vault import Context, SealBroken, Vault

_NOTE_USE_AFTER: Final = timedelta(minutes=1)  # the precision of "last used"

_log = get_logger()

Found = TypeVar("Found")
Found_co = TypeVar("Found_co", covariant=True)


class Fetch(Protocol[Found_co]):
    """A call to Alpaca, such as a method of AlpacaClient with the rest of its arguments filled in."""

    def __call__(
        self, environment: Environment, api_key: Secret, secret_key: Secret, /, *, budget_key: Hashable, leaving: int
    ) -> Awaitable[Found_co]: ...


@dataclass(frozen=True, slots=True)
class Purpose:
    """Why a stored credential is opened, and what that implies."""

    name: str
    leaves: int = 0
    """How many of the account's requests per minute are left to others. With fewer left, the call is not made."""
    opens_refused: bool = False
    """Whether keys that Alpaca has rejected are tried again."""
    is_use: bool = True
    """Whether it updates "last used", and a rejection leads to a check of the keys."""
    proves_account: bool = True
    """Whether the account is requested along with each list, because a list does not identify its account."""


READ: Final = Purpose("read")
EXPORT: Final = Purpose("export", leaves=50)  # of 200, so that an export does not slow down other requests
STREAM: Final = Purpose("stream", opens_refused=True, proves_account=False)  # every second request is for the account
VALIDATE: Final = Purpose("validate", opens_refused=True, is_use=False)
FORWARD: Final = Purpose("forward")
RECHECK: Final = Purpose("recheck", leaves=20, opens_refused=True, is_use=False)


@final
class OpenCredential:
    """A credential that may be used for one purpose. Its keys are open only during a call."""

    __slots__ = (
        "_alpaca",
        "_noted_at",
        "_reader",
        "_vault",
        "budget_key",
        "cache_key",
        "environment",
        "purpose",
        "stored",
    )

    def __init__(
        self, stored: SealedCredential, purpose: Purpose, reader: "CredentialReader", vault: Vault, alpaca: AlpacaClient
    ) -> None:
        self.stored = stored
        self.purpose = purpose
        self.environment: Environment = stored.credential_type
        # Alpaca counts requests per account, also if several credentials open it.
        self.budget_key: Hashable = stored.credential_type, stored.account_id
        # A change that revokes access makes a new revision. The owner is part of the key, so that a row that was copied
        # to another user by hand finds no cached answer. It would have to be opened, which fails.
        self.cache_key: tuple[UUID, UUID, int, Hashable] = stored.user_id, stored.id, stored.revision, self.budget_key
        self._reader = reader
        self._vault = vault
        self._alpaca = alpaca
        self._noted_at: float | None = None

    async def call(self, fetch: Fetch[Found]) -> Found:
        """Opens the keys for one call, and returns its result. No database connection is held meanwhile.

        Raises AlpacaError, and InternalError for keys that do not open.
        """
        async with get_decrypted_alpaca_credential(self._vault, self.stored) as (api_key, secret_key):
            try:
                found = await fetch(
                    self.environment, api_key, secret_key, budget_key=self.budget_key, leaving=self.purpose.leaves
                )
            except AlpacaAuthError:
                if self.purpose.is_use:
                    self.suspect()
                raise
        self._note_use()
        return found

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[tuple[Secret, Secret]]:
        """`async with … as (api_key, secret_key)`: for a call whose answer is passed on as it arrives, to its end.

        Raises InternalError for keys that do not open.
        """
        async with get_decrypted_alpaca_credential(self._vault, self.stored) as keys:
            yield keys
        self._note_use()

    async def fetch_account(self) -> AccountAnswer:
        """Returns the account from Alpaca.

        Raises AlpacaError; AnotherAccount if the keys open an account other than the stored one; UpstreamFailed for a
        response that contains a key.
        """
        answer = await self.call(self._fetch_account)
        refuse_another_account(self.stored, answer.account)
        return answer

    def suspect(self) -> None:
        """Alpaca has just rejected the keys. A check within seconds finds out whether it still does."""
        self._reader.suspect(self.stored)

    async def _fetch_account(
        self, environment: Environment, api_key: Secret, secret_key: Secret, /, *, budget_key: Hashable, leaving: int
    ) -> AccountAnswer:
        answer = await self._alpaca.fetch_account(
            environment, api_key, secret_key, budget_key=budget_key, leaving=leaving
        )
        refuse_echo(answer.account, api_key, secret_key)
        return answer

    def _note_use(self) -> None:
        now = time.monotonic()
        is_due = self._noted_at is None or now - self._noted_at > _NOTE_USE_AFTER.total_seconds()
        if self.purpose.is_use and is_due:
            self._noted_at = now
            self._reader.note_use(self.stored)


@final
class CredentialReader:
    """Lives as long as the process. Queries the database for every request, even if an answer is cached."""

    def __init__(self, database: Database, vault: Vault, alpaca: AlpacaClient) -> None:
        self._vault = vault
        self._alpaca = alpaca
        self._load = BatchedLookup(database, queries.load_sealed_credentials)
        self._load_access = BatchedLookup(database, queries.load_access)
        self._load_access_together = BatchedLookup(database, queries.load_access, gathers=True)
        self._used = WriteBehindBuffer(partial(queries.note_credentials_used, database))
        self._suspected = WriteBehindBuffer(partial(queries.note_credentials_suspected, database))

    async def open_credential(self, user_id: UUID, credential_id: UUID, purpose: Purpose) -> OpenCredential:
        """Raises CredentialNotFound, also for another user's credential, and CredentialInactive.

        Raises CredentialRefused as `open_row` does.
        """
        return self.open_row(await self._load((user_id, credential_id)), purpose)

    async def load_access(self, presented: Presented, credential_id: UUID, *, is_kept: bool) -> CallerAndCredential:
        """Loads the caller and the credential in one round trip. The caller's row has to be verified before use.

        `is_kept` says whether an answer is probably cached, so that the request will not call Alpaca. Raises
        Unauthenticated if there is no such session or token.
        """
        load = self._load_access_together if is_kept else self._load_access
        for lookup in presented.lookups:
            if access := await load(AccessKey(presented.is_session, lookup, credential_id)):
                return access
        raise Unauthenticated

    def open_row(self, stored: SealedCredential | None, purpose: Purpose) -> OpenCredential:
        """Like `open_credential`, for a row that was loaded for this request as its owner; None if there is none.

        Raises CredentialRefused if Alpaca has rejected the keys: more calls would only use up the account's budget.
        """
        if stored is None:
            raise CredentialNotFound
        if not stored.is_active:
            raise CredentialInactive
        if stored.refused_at is not None and not purpose.opens_refused:
            raise CredentialRefused
        return OpenCredential(stored, purpose, self, self._vault, self._alpaca)

    def suspect(self, stored: SealedCredential) -> None:
        self._suspected.add((stored.user_id, stored.id))

    def note_use(self, stored: SealedCredential) -> None:
        if stored.last_used_at is None or datetime.now(UTC) - stored.last_used_at > _NOTE_USE_AFTER:
            self._used.add((stored.user_id, stored.id))

    async def close(self) -> None:
        """Writes what is still buffered."""
        await self._used.close()
        await self._suspected.close()


@asynccontextmanager
async def get_decrypted_alpaca_credential(
    vault: Vault, credential: SealedCredential
) -> AsyncGenerator[tuple[Secret, Secret]]:
    """`async with … as (api_key, secret_key)`: two Secrets for a single call, discarded at the end of the block.

    A row that was moved to another user, another id or the other environment does not open: that is
    logged as an error and raises InternalError, and Alpaca is not called.
    """
    try:
        api_key, secret_key = open_keys(vault, credential)
    except SealBroken:
        _log.error("credential_seal_broken", credential_id=str(credential.id), user_id=str(credential.user_id))
        raise InternalError from None
    try:
        yield api_key, secret_key
    finally:
        del api_key, secret_key


def seal_keys(
    vault: Vault, user_id: UUID, credential_id: UUID, environment: Environment, *, api_key: Secret, secret_key: Secret
) -> tuple[bytes, bytes]:
    """Returns key ID and secret, sealed in the only context in which they open."""
    return (
        vault.seal(_context(user_id, credential_id, environment, "api_key"), api_key),
        vault.seal(_context(user_id, credential_id, environment, "secret_key"), secret_key),
    )


def open_keys(vault: Vault, credential: SealedCredential) -> tuple[Secret, Secret]:
    """Returns key ID and secret. Raises SealBroken."""
    owner, environment = credential.user_id, credential.credential_type
    return (
        vault.open(_context(owner, credential.id, environment, "api_key"), credential.api_key_sealed),
        vault.open(_context(owner, credential.id, environment, "secret_key"), credential.secret_key_sealed),
    )


def _context(user_id: UUID, credential_id: UUID, environment: Environment, field: str) -> Context:
    return Context("credential", (str(user_id), str(credential_id), environment.value, field))


def refuse_another_account(credential: SealedCredential, account: AccountFacts) -> None:
    """Raises AnotherAccount if the keys now open an account other than the stored one, which must not be shown."""
    if account.id != credential.account_id:
        _log.error("account_changed", credential_id=str(credential.id), user_id=str(credential.user_id))
        raise AnotherAccount


def refuse_echo(account: AccountFacts, *secrets: Secret) -> None:
    """Raises UpstreamFailed for a response that contains a key: account data is stored and shown unencrypted."""
    texts = (account.id, account.account_number or "", account.status or "", account.crypto_status or "")
    keys = [secret.reveal() for secret in secrets]
    if any(key in text for key in keys for text in texts):
        raise UpstreamFailed
