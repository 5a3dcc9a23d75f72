"""Asks Alpaca whose keys these are: paper or live, and which account.

Alpaca's 401 does not tell "wrong keys" from "right keys, wrong environment". So both are asked: the
one that the key id hints at first, then the other, and the one that answers is the truth.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from corral.alpaca import errors as alpaca_errors
from corral.alpaca.client import AlpacaClient
from corral.alpaca.environments import Environment, hint_from_key_id
from corral.alpaca.models import AccountFacts
from corral.credentials.problems import KeysRefused, UpstreamFailed, validation_problem_of
from corral.secret import Secret

if TYPE_CHECKING:
    from corral.errors import Problem


@dataclass(frozen=True, slots=True)
class ValidatedKeys:
    environment: Environment
    account: AccountFacts


async def find_account_of_keys(
    alpaca: AlpacaClient, user_id: UUID, api_key: Secret, secret_key: Secret
) -> ValidatedKeys:
    """Answers the environment and account of these keys.

    Raises KeysRefused when both environments refuse them; UpstreamFailed (or …Timeout, …RateLimited) when it
    cannot be known, because the one that was not asked successfully may be theirs.
    """
    hinted = hint_from_key_id(api_key.reveal())
    other = Environment.LIVE if hinted is Environment.PAPER else Environment.PAPER
    failure: Problem | None = None
    for environment in (hinted, other):
        try:
            answer = await alpaca.fetch_account(
                environment, api_key, secret_key, budget_key=("validation", user_id, environment)
            )
        except alpaca_errors.KeysRefused:
            continue
        except alpaca_errors.AlpacaError as error:
            failure = failure or validation_problem_of(error)
            continue
        refuse_echo(answer.account, api_key, secret_key)
        return ValidatedKeys(environment, answer.account)
    raise failure or KeysRefused


def refuse_echo(account: AccountFacts, *secrets: Secret) -> None:
    """What is kept of an account is kept in the clear, and shown: an answer that repeats a key must not carry it.

    Raises UpstreamFailed.
    """
    texts = (account.id, account.account_number or "", account.status or "", account.crypto_status or "")
    if any(secret.reveal() in text for secret in secrets for text in texts):
        raise UpstreamFailed


def hint_of_key(api_key: Secret) -> str:
    """Enough to recognise a key id by, too little to use: `PK…1234`."""
    key_id = api_key.reveal()
    return f"{key_id[:2]}…{key_id[-4:]}"
