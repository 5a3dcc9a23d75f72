"""The road from a caller's stored credential to Alpaca, one question at a time."""

import asyncio
from collections.abc import Awaitable, Hashable
from typing import TYPE_CHECKING, Protocol, TypeVar, cast
from uuid import UUID

from starlette.requests import Request

from corral.accounts.account_data import share_account_data
from corral.alpaca.environments import Environment
from corral.alpaca.errors import AlpacaError, KeysRefused
from corral.credentials.models import SealedCredential
from corral.credentials.problems import AccountNotOpen, problem_of
from corral.credentials.sealing import get_decrypted_alpaca_credential
from corral.edge.resources import resources
from corral.identity.models import AuthUser
from corral.secret import Secret

if TYPE_CHECKING:
    from corral.accounts.snapshots import Snapshots
    from corral.credentials.opening import CredentialReader

Found = TypeVar("Found")
Found_co = TypeVar("Found_co", covariant=True)


class Fetch(Protocol[Found_co]):
    """A method of AlpacaClient, with the rest of its question filled in."""

    def __call__(
        self, environment: Environment, api_key: Secret, secret_key: Secret, /, *, budget_key: Hashable
    ) -> Awaitable[Found_co]: ...


class OpenAccount:
    """A credential that its caller may use now. Its keys are open for one call at a time."""

    def __init__(self, credential: SealedCredential, request: Request) -> None:
        house = resources(request)
        self.credential = credential
        self.alpaca = house.alpaca
        self._vault = house.vault
        self._reader = cast("CredentialReader", request.state.credential_reader)
        self._request = request

    async def ask(self, fetch: Fetch[Found], *, leaving: int = 0) -> Found:
        """Raises AlpacaError, and AnotherAccount where these keys open another account than the stored one.

        Only an account itself says which one it is. So it is asked for beside, and its answer is the one that
        account-data keeps and shares. Nothing of the database is held meanwhile.
        """
        found, _ = await asyncio.gather(self.ask_anonymously(fetch), self._prove_account(leaving))
        return found

    async def ask_anonymously(self, fetch: Fetch[Found]) -> Found:
        """For what is the same for all accounts. Raises AlpacaError."""
        credential = self.credential
        async with get_decrypted_alpaca_credential(self._vault, credential) as (api_key, secret_key):
            budget_key = (credential.credential_type, credential.account_id)
            try:
                found = await fetch(credential.credential_type, api_key, secret_key, budget_key=budget_key)
            except KeysRefused:
                self._reader.suspect(credential)
                raise
        self._reader.note_use(credential)
        return found

    async def _prove_account(self, leaving: int) -> None:
        try:
            await share_account_data(self.credential, self._request, leaving=leaving)
        except AccountNotOpen:  # which is known to be the stored one
            return


async def open_account(user: AuthUser, credential_id: UUID, request: Request) -> OpenAccount:
    """Asks the database. Raises CredentialNotFound, CredentialInactive or CredentialRefused."""
    reader = cast("CredentialReader", request.state.credential_reader)
    return OpenAccount(await reader.find_usable(user, credential_id), request)


class Answer(Protocol):
    """Puts one question or more to an account that is open, and writes the answer as JSON."""

    def __call__(self, account: OpenAccount, /) -> Awaitable[bytes]: ...


async def answer_shared(
    user: AuthUser, credential_id: UUID, request: Request, question: Hashable, answer: Answer
) -> bytes:
    """The answer, also to others who ask the same at the same moment and may see it. Raises a Problem.

    The database is asked for every request: an answer is shared only among those who may see it now.
    """
    account = await open_account(user, credential_id, request)
    credential = account.credential
    snapshots = cast("Snapshots", request.state.snapshots)

    async def fetch() -> bytes:
        try:
            return await answer(account)
        except AlpacaError as error:
            raise problem_of(error) from error

    # The owner is part of the key for the reason that account data has.
    return await snapshots.get((credential.user_id, credential.id, credential.revision, question), fetch)
