"""Checks stored keys: what Alpaca says to them now, what the account may do, and what is wrong with it."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from corral.alpaca import errors as alpaca_errors
from corral.alpaca.budget import BudgetLeft
from corral.alpaca.client import AccountAnswer, AlpacaClient
from corral.alpaca.environments import Environment
from corral.alpaca.models import AccountFacts
from corral.credentials import queries
from corral.credentials.account_identity import refuse_another_account
from corral.credentials.findings import find_account_troubles, find_road_troubles
from corral.credentials.models import SealedCredential
from corral.credentials.problems import validation_problem_of
from corral.credentials.sealing import get_decrypted_alpaca_credential
from corral.credentials.validation import refuse_echo
from corral.database.connection import Database, get_connection_with_rls
from corral.vault import Vault


class Verdict(StrEnum):
    """The result for an environment. Stored keys are sent only to their own."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    NOT_ASKED = "not_asked"


@dataclass(frozen=True, slots=True)
class CheckUp:
    """`account` is None where the keys are refused, `latency_ms` is the whole call, retries included."""

    is_valid: bool
    account_type: Environment
    message: str
    checked_at: datetime
    environments: dict[Environment, Verdict]
    latency_ms: int
    budget: BudgetLeft | None
    account: AccountFacts | None
    findings: list[str]


async def check_up(database: Database, vault: Vault, alpaca: AlpacaClient, credential: SealedCredential) -> CheckUp:
    """Asks Alpaca with the stored keys. Refused keys are an answer; an Alpaca that does not answer is a Problem."""
    started = time.perf_counter()
    try:
        answer = await fetch_account_of(credential, vault=vault, alpaca=alpaca)
    except alpaca_errors.KeysRefused:
        answer = None
    except alpaca_errors.AlpacaError as error:
        raise validation_problem_of(error) from error
    latency_ms = round((time.perf_counter() - started) * 1000)
    if answer is not None:
        await mark_accepted(database, credential, answer)
    return _report(credential, answer, latency_ms, alpaca.budget_left(_budget_key(credential)))


async def fetch_account_of(
    credential: SealedCredential, *, vault: Vault, alpaca: AlpacaClient, leaving: int = 0
) -> AccountAnswer:
    """Asks the environment that the row names, and no other, and leaves `leaving` requests of the minute to others.

    Raises AlpacaError, and the Problems AnotherAccount, and UpstreamFailed for an answer that repeats a key.
    """
    async with get_decrypted_alpaca_credential(vault, credential) as (api_key, secret_key):
        answer = await alpaca.fetch_account(
            credential.credential_type, api_key, secret_key, budget_key=_budget_key(credential), leaving=leaving
        )
        refuse_echo(answer.account, api_key, secret_key)
    refuse_another_account(credential, answer.account)
    return answer


async def mark_accepted(database: Database, credential: SealedCredential, answer: AccountAnswer) -> None:
    """One good answer is a proof: a mark that says "refused" is cleared."""
    async with get_connection_with_rls(credential.user_id, database) as connection:
        await queries.mark_validated(
            connection, credential.user_id, credential.id, answer.answered_at, answer.account.status
        )


def _budget_key(credential: SealedCredential) -> tuple[Environment, str]:
    return credential.credential_type, credential.account_id


def _report(
    credential: SealedCredential, answer: AccountAnswer | None, latency_ms: int, budget: BudgetLeft | None
) -> CheckUp:
    environment = credential.credential_type
    verdict = Verdict.REFUSED if answer is None else Verdict.ACCEPTED
    message = (
        _refused(environment) if answer is None else f"Alpaca accepts this API key for {environment.value} trading."
    )
    troubles = [message] if answer is None else find_account_troubles(answer.account)
    return CheckUp(
        is_valid=answer is not None,
        account_type=environment,
        message=message,
        checked_at=datetime.now(UTC) if answer is None else answer.answered_at,
        environments=dict.fromkeys(Environment, Verdict.NOT_ASKED) | {environment: verdict},
        latency_ms=latency_ms,
        budget=budget,
        account=None if answer is None else answer.account,
        findings=troubles + find_road_troubles(latency_ms, budget),
    )


def _refused(environment: Environment) -> str:
    return (
        f"Alpaca no longer accepts this API key for {environment.value} trading. "
        "Generate a new one on Alpaca's dashboard and replace it here."
    )
