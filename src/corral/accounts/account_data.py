"""How an account stands right now, asked of Alpaca."""

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, cast
from uuid import UUID

from starlette.requests import Request

from corral.accounts.schemas import AccountDataResponse
from corral.alpaca.client import AccountAnswer, AlpacaClient
from corral.alpaca.environments import Environment
from corral.alpaca.errors import AlpacaError
from corral.alpaca.models import Account, AccountFacts
from corral.credentials.account_identity import refuse_another_account, with_balance
from corral.credentials.models import SealedCredential
from corral.credentials.problems import CredentialRefused, problem_of
from corral.credentials.sealing import get_decrypted_alpaca_credential
from corral.credentials.validation import refuse_echo
from corral.edge.resources import resources
from corral.identity.models import AuthUser
from corral.secret import Secret

if TYPE_CHECKING:
    from corral.accounts.last_known import LastKnown
    from corral.accounts.snapshots import Snapshots
    from corral.credentials.opening import CredentialReader


async def answer_account_data(user: AuthUser, credential_id: UUID, request: Request) -> bytes:
    """The answer as JSON, ready to be sent to everybody who may see it. Raises a Problem.

    The database is asked for every request: a shared answer is shared only among those who may see it now.
    """
    reader = cast("CredentialReader", request.state.credential_reader)
    return await share_account_data(await reader.find_usable(user, credential_id), request)


async def find_last_known(user: AuthUser, credential_id: UUID, request: Request) -> Account | None:
    """What Alpaca said with its last answer, without another call; None where there was none. Raises a Problem.

    The database is asked here as well, whether the caller may see the account now.
    """
    reader = cast("CredentialReader", request.state.credential_reader)
    last_known = cast("LastKnown", request.state.last_known)
    return last_known.of(await reader.find_usable(user, credential_id))


async def share_account_data(credential: SealedCredential, request: Request, *, leaving: int = 0) -> bytes:
    """The answer that is kept or under way, or a new one, for a credential that was read for this very request.

    A call that leaves `leaving` of the minute's calls to others may be refused where theirs is not, so they do not
    share it.
    """
    house = resources(request)
    reader = cast("CredentialReader", request.state.credential_reader)
    snapshots = cast("Snapshots", request.state.snapshots)
    last_known = cast("LastKnown", request.state.last_known)

    def learn(account: AccountFacts) -> None:
        refuse_another_account(credential, account)
        if isinstance(account, Account):
            last_known.learn(credential, account)

    async def fetch() -> bytes:
        try:
            async with get_decrypted_alpaca_credential(house.vault, credential) as (api_key, secret_key):
                data = await fetch_alpaca_account_data(
                    api_key,
                    secret_key,
                    credential.credential_type,
                    alpaca=house.alpaca,
                    budget_key=(credential.credential_type, credential.account_id),
                    learn=learn,
                    leaving=leaving,
                )
        except CredentialRefused:
            reader.suspect(credential)
            raise
        reader.note_use(credential)
        return data.model_dump_json().encode()

    # The owner is part of the key: a row that somebody copied to another user by hand must not find an answer
    # that is kept, but has to be opened, which it cannot be.
    key = (credential.user_id, credential.id, credential.revision)
    if leaving:
        return snapshots.kept(key) or await snapshots.get((*key, leaving), fetch)
    return await snapshots.get(key, fetch)


async def fetch_alpaca_account_data(
    api_key: Secret,
    secret_key: Secret,
    account_type: Environment,
    *,
    alpaca: AlpacaClient,
    budget_key: Hashable,
    learn: Callable[[AccountFacts], None],
    leaving: int = 0,
) -> AccountDataResponse:
    """Asks the host that `account_type` names, and no other. Nothing of the database is held meanwhile.

    `budget_key` names the account whose calls are counted; `learn` gets all that Alpaca said, and may refuse it.
    Raises AccountNotOpen for an account without a balance.
    """
    answer = await fetch_account(
        account_type, api_key, secret_key, alpaca=alpaca, budget_key=budget_key, leaving=leaving
    )
    learn(answer.account)
    return account_data_of(account_type, answer)


async def fetch_account(
    environment: Environment,
    api_key: Secret,
    secret_key: Secret,
    /,
    *,
    alpaca: AlpacaClient,
    budget_key: Hashable,
    leaving: int = 0,
) -> AccountAnswer:
    """All that Alpaca says of an account. Raises a Problem, also for an answer that repeats a key."""
    try:
        answer = await alpaca.fetch_account(environment, api_key, secret_key, budget_key=budget_key, leaving=leaving)
    except AlpacaError as error:
        raise problem_of(error) from error
    refuse_echo(answer.account, api_key, secret_key)
    return answer


def account_data_of(account_type: Environment, answer: AccountAnswer) -> AccountDataResponse:
    """Raises AccountNotOpen for an account without a balance."""
    account = with_balance(answer.account)
    return AccountDataResponse(
        account_type=account_type,
        balance=account.cash,
        equity=account.equity,
        buying_power=account.buying_power,
        currency=account.currency,
        trading_blocked=account.trading_blocked,
        account_blocked=account.account_blocked,
        pattern_day_trader=account.pattern_day_trader,
        daytrade_count=account.daytrade_count,
        last_updated=answer.answered_at,
    )
