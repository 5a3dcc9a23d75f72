"""Checks API keys at Alpaca: the environment of new ones, and whether stored ones are still accepted.

Alpaca's 401 does not distinguish wrong keys from keys of the other environment. So both environments are tried for
new keys, first the one that the key ID suggests; the one that accepts them is theirs.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Final
from uuid import UUID

from corral.alpaca import errors as alpaca_errors
from corral.alpaca.client import AccountAnswer, AlpacaClient
from corral.alpaca.environments import Environment, hint_from_key_id
from corral.alpaca.models import ACTIVE, AccountFacts
from corral.alpaca.rate_budget import BudgetLeft
from corral.credentials import queries
from corral.credentials.models import SealedCredential
from corral.credentials.problems import KeysRefused, validation_problem_of
from corral.credentials.reader import OpenCredential, refuse_echo
from corral.database.connection import Database, get_connection_with_rls
from corral.secret import Secret

if TYPE_CHECKING:
    from corral.errors import Problem


SLOW_MS: Final = 2_000
SCARCE_SHARE: Final = 10  # a tenth

_CASH_MULTIPLIER: Final = "1"


@dataclass(frozen=True, slots=True)
class ValidatedKeys:
    environment: Environment
    account: AccountFacts


async def validate_keys(user_id: UUID, alpaca: AlpacaClient, api_key: Secret, secret_key: Secret) -> ValidatedKeys:
    """Returns the environment and account of these keys.

    Raises KeysRefused when both environments reject them; UpstreamFailed (or …Timeout, …RateLimited) when that
    is unknown, because the request to one of them failed.
    """
    hinted = hint_from_key_id(api_key.reveal())
    other = Environment.LIVE if hinted is Environment.PAPER else Environment.PAPER
    failure: Problem | None = None
    for environment in (hinted, other):
        try:
            answer = await alpaca.fetch_account(
                environment, api_key, secret_key, budget_key=("validation", user_id, environment)
            )
        except alpaca_errors.AlpacaAuthError:
            continue
        except alpaca_errors.AlpacaError as error:
            failure = failure or validation_problem_of(error)
            continue
        refuse_echo(answer.account, api_key, secret_key)
        return ValidatedKeys(environment, answer.account)
    raise failure or KeysRefused


def hint_of_key(api_key: Secret) -> str:
    """Returns enough of a key id to recognize it, and too little to use it: `PK…1234`."""
    key_id = api_key.reveal()
    return f"{key_id[:2]}…{key_id[-4:]}"


class Verdict(StrEnum):
    """The result for an environment. Stored keys are sent only to their own."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    NOT_ASKED = "not_asked"


@dataclass(frozen=True, slots=True)
class ValidationReport:
    """`account` is None if the keys are rejected; `latency_ms` is that of the whole call, retries included."""

    is_valid: bool
    account_type: Environment
    message: str
    checked_at: datetime
    environments: dict[Environment, Verdict]
    latency_ms: int
    budget: BudgetLeft | None
    account: AccountFacts | None
    findings: list[str]


async def validate_stored_keys(
    database: Database, alpaca: AlpacaClient, credential: OpenCredential
) -> ValidationReport:
    """Checks the stored keys at Alpaca. Rejected keys are a result; raises a Problem if Alpaca does not respond."""
    started = time.perf_counter()
    try:
        answer = await credential.fetch_account()
    except alpaca_errors.AlpacaAuthError:
        answer = None
    except alpaca_errors.AlpacaError as error:
        raise validation_problem_of(error) from error
    latency_ms = round((time.perf_counter() - started) * 1000)
    if answer is None:
        credential.suspect()
    else:
        await mark_accepted(database, credential.stored, answer)
    return _report(credential.environment, answer, latency_ms, alpaca.budget_left(credential.budget_key))


async def mark_accepted(database: Database, credential: SealedCredential, answer: AccountAnswer) -> None:
    """Clears the mark of refused keys, because one successful call proves that they work."""
    async with get_connection_with_rls(credential.user_id, database) as connection:
        await queries.mark_validated(
            connection, credential.user_id, credential.id, answer.answered_at, answer.account.status
        )


def _report(
    environment: Environment, answer: AccountAnswer | None, latency_ms: int, budget: BudgetLeft | None
) -> ValidationReport:
    verdict = Verdict.REFUSED if answer is None else Verdict.ACCEPTED
    message = (
        _refused(environment) if answer is None else f"Alpaca accepts this API key for {environment.value} trading."
    )
    findings = [message] if answer is None else account_findings(answer.account)
    return ValidationReport(
        is_valid=answer is not None,
        account_type=environment,
        message=message,
        checked_at=datetime.now(UTC) if answer is None else answer.answered_at,
        environments=dict.fromkeys(Environment, Verdict.NOT_ASKED) | {environment: verdict},
        latency_ms=latency_ms,
        budget=budget,
        account=None if answer is None else answer.account,
        findings=findings + connection_findings(latency_ms, budget),
    )


def _refused(environment: Environment) -> str:
    return (
        f"Alpaca no longer accepts this API key for {environment.value} trading. "
        "Generate a new one on Alpaca's dashboard and replace it here."
    )


def account_findings(account: AccountFacts) -> list[str]:
    """Returns nothing for an account without restrictions. A missing value is no restriction."""
    return [*restriction_findings(account), *_limit_findings(account)]


def restriction_findings(account: AccountFacts) -> Iterator[str]:
    """Returns what keeps the owner from trading or from withdrawing money."""
    if account.status is not None and account.status != ACTIVE:
        yield f"Account status: {account.status}. Orders may be rejected; see Alpaca's dashboard."
    if account.account_blocked:
        yield "Alpaca has blocked this account. Contact Alpaca's support."
    if account.trading_blocked:
        yield "Alpaca has blocked trading: orders will be rejected. Contact Alpaca's support."
    if account.transfers_blocked:
        yield "Alpaca has blocked transfers: no deposits or withdrawals. Contact Alpaca's support."
    if account.trade_suspended_by_user:
        yield "Trading is suspended in the account's settings. You can allow it again on Alpaca's dashboard."


def connection_findings(latency_ms: int, budget: BudgetLeft | None) -> list[str]:
    findings: list[str] = []
    if latency_ms >= SLOW_MS:
        findings.append(
            f"Alpaca took {latency_ms / 1000:.1f} s to respond, which is slow. "
            "Alpaca's status page lists known problems."
        )
    if budget is not None and budget.remaining * SCARCE_SHARE <= budget.limit:
        findings.append(
            f"{budget.remaining} of {budget.limit} requests are left for the next "
            f"{budget.resets_in_seconds} s. If this is unexpected, look for another program that uses this account."
        )
    return findings


def _limit_findings(account: AccountFacts) -> Iterator[str]:
    is_margin = account.multiplier not in {None, _CASH_MULTIPLIER}
    if is_margin and account.shorting_enabled is False:
        yield (
            "Short selling is disabled on this margin account. It requires $2,000 in equity and can be disabled in the "
            "account's settings at Alpaca."
        )
    approved, used = account.options_approved_level, account.options_trading_level
    if approved is not None and used is not None and used < approved:
        yield (
            f"Options trading is limited to level {used}, although Alpaca has approved level {approved}. "
            "You can raise it in the account's settings at Alpaca."
        )
