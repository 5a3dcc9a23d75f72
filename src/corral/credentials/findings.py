"""Problems of an account and of requests for it, as texts that say what to do."""

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
        yield f"Account status: {account.status}. Orders may be rejected; see Alpaca's dashboard."
    if account.account_blocked:
        yield "Alpaca has blocked this account. Contact Alpaca's support."
    if account.trading_blocked:
        yield "Alpaca has blocked trading: orders will be rejected. Contact Alpaca's support."
    if account.transfers_blocked:
        yield "Alpaca has blocked transfers: no deposits or withdrawals. Contact Alpaca's support."
    if account.trade_suspended_by_user:
        yield "Trading is suspended in the account's settings. You can allow it again on Alpaca's dashboard."


def find_road_troubles(latency_ms: int, budget: BudgetLeft | None) -> list[str]:
    troubles: list[str] = []
    if latency_ms >= SLOW_MS:
        troubles.append(
            f"Alpaca took {latency_ms / 1000:.1f} s to respond, which is slow. "
            "Alpaca's status page lists known problems."
        )
    if budget is not None and budget.remaining * SCARCE_SHARE <= budget.limit:
        troubles.append(
            f"{budget.remaining} of {budget.limit} requests are left for the next "
            f"{budget.resets_in_seconds} s. If this is unexpected, look for another program that uses this account."
        )
    return troubles


def _limits(account: AccountFacts) -> Iterator[str]:
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
