"""What is wrong with an account and on the way to it, in plain sentences that end with what to do."""

from collections.abc import Iterator
from typing import Final

from corral.alpaca.budget import BudgetLeft
from corral.alpaca.models import ACTIVE, AccountFacts

SLOW_MS: Final = 2_000
SCARCE_SHARE: Final = 10  # a tenth

_CASH_MULTIPLIER: Final = "1"


def find_account_troubles(account: AccountFacts) -> list[str]:
    """Empty for an account that may do all that its kind may. What Alpaca does not say is no trouble."""
    return [*find_blocks(account), *_limits(account)]


def find_blocks(account: AccountFacts) -> Iterator[str]:
    """What keeps its owner from trading, or from their money."""
    if account.status is not None and account.status != ACTIVE:
        yield (
            f"Alpaca has this account as {account.status} and not as ACTIVE, so orders may be refused. "
            "Alpaca's dashboard says what is missing."
        )
    if account.account_blocked:
        yield "Alpaca has blocked this account: nothing can be done with it. Ask Alpaca's support why."
    if account.trading_blocked:
        yield "Alpaca has blocked trading: orders will be refused. Ask Alpaca's support why."
    if account.transfers_blocked:
        yield "Alpaca has blocked transfers: no money can be paid in or out. Ask Alpaca's support why."
    if account.trade_suspended_by_user:
        yield "Trading is suspended in the account's own settings. Allow it again on Alpaca's dashboard."


def find_road_troubles(latency_ms: int, budget: BudgetLeft | None) -> list[str]:
    troubles: list[str] = []
    if latency_ms >= SLOW_MS:
        troubles.append(
            f"Alpaca took {latency_ms / 1000:.1f} s to answer. That is slow, and mostly passes by itself; "
            "Alpaca's status page says whether others see it, too."
        )
    if budget is not None and budget.remaining * SCARCE_SHARE <= budget.limit:
        troubles.append(
            f"Of the {budget.limit} requests that Alpaca allows this account each minute, {budget.remaining} are left "
            f"for the next {budget.resets_in_seconds} s. If that is not you, look for another program with keys of it."
        )
    return troubles


def _limits(account: AccountFacts) -> Iterator[str]:
    is_margin = account.multiplier not in {None, _CASH_MULTIPLIER}
    if is_margin and account.shorting_enabled is False:
        yield (
            "Short selling is off although this is a margin account. It takes an equity of 2,000 dollars, and may be "
            "switched off in the account's settings at Alpaca."
        )
    approved, used = account.options_approved_level, account.options_trading_level
    if approved is not None and used is not None and used < approved:
        yield (
            f"Options are turned down to level {used}, though Alpaca has approved level {approved}. "
            "If that is not wanted, raise it in the account's settings at Alpaca."
        )
