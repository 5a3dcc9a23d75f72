"""How an account stands right now, asked of Alpaca."""

from collections.abc import Hashable

from corral.accounts.schemas import AccountDataResponse
from corral.alpaca.client import AccountAnswer, AlpacaClient
from corral.alpaca.environments import Environment
from corral.alpaca.errors import AlpacaError
from corral.credentials.models import SealedCredential
from corral.credentials.opening import CredentialReader
from corral.credentials.problems import problem_of
from corral.credentials.sealing import get_decrypted_alpaca_credential
from corral.secret import Secret
from corral.vault import Vault


async def fetch_account_data_of(
    credential: SealedCredential, *, vault: Vault, alpaca: AlpacaClient, reader: CredentialReader
) -> bytes:
    """The answer as JSON, ready to be sent to everybody who may see it. Raises a Problem.

    The keys are open for just this call. Nothing of the database is held meanwhile.
    """
    async with get_decrypted_alpaca_credential(vault, credential) as (api_key, secret_key):
        data = await fetch_alpaca_account_data(
            api_key,
            secret_key,
            credential.credential_type,
            alpaca=alpaca,
            budget_key=(credential.credential_type, credential.account_id),
        )
    reader.note_use(credential)
    return data.model_dump_json().encode()


async def fetch_alpaca_account_data(
    api_key: Secret,
    secret_key: Secret,
    account_type: Environment,
    *,
    alpaca: AlpacaClient,
    budget_key: Hashable,
) -> AccountDataResponse:
    """Asks the host that `account_type` names, and no other. `budget_key` names the account whose calls are counted."""
    try:
        answer = await alpaca.fetch_account(account_type, api_key, secret_key, budget_key=budget_key)
    except AlpacaError as error:
        raise problem_of(error) from error
    return _response(account_type, answer)


def _response(account_type: Environment, answer: AccountAnswer) -> AccountDataResponse:
    account = answer.account
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
