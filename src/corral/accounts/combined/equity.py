"""The equity of all accounts over time: one curve for each account type and currency, and nothing is converted.

The points of a curve are the union of the accounts' points. Between and after its own points an account counts with
its last value, before its first one with nothing: then it joins, which is marked as money that came in. An account that
can't be read, or only in part, is left out of the whole curve and counted.
"""

from asyncio import to_thread
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Final, NamedTuple
from uuid import UUID

from corral.accounts.amounts import EXACT, as_text, exact_sum, quotient
from corral.accounts.combined.reading import AccountProblem, AccountRead, read_accounts
from corral.accounts.lists import portfolio_history_of
from corral.accounts.reader import AccountReader
from corral.accounts.schemas import HistoryPointResponse, PortfolioHistoryResponse
from corral.alpaca.environments import Environment
from corral.alpaca.portfolio_history import HistoryQuery
from corral.credentials.models import NamedCredential
from corral.credentials.problems import UpstreamFailed
from corral.credentials.reader import OpenCredential

_ZERO: Final = Decimal()


@dataclass(frozen=True, slots=True)
class Joined:
    """An account whose first value is later than the curve's first point. `equity` is what it brings."""

    credential_id: UUID
    equity: str


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """`equity` is the exact sum of the accounts so far. `profit_loss` is None if one of them has none."""

    at: str
    equity: str
    profit_loss: str | None
    joined: tuple[Joined, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One account type and currency.

    `profit_loss` is the sum of what Alpaca returned for each account's last point, never the last equity minus the
    first one, and None if an account has none. With the reset `no_reset` it is that of the whole period.
    `profit_loss_pct` is that of `base_value`, the sum of the accounts' base values. `accounts` have
    values in it; `missing` is how many could not be read and are left out.
    """

    account_type: Environment
    currency: str
    timeframe: str
    base_value: str | None
    profit_loss: str | None
    profit_loss_pct: str | None
    points: tuple[CurvePoint, ...]
    accounts: tuple[UUID, ...]
    missing: int = 0


@dataclass(frozen=True, slots=True)
class AllCurves:
    """By account type and currency; only curves with points.

    `unreadable` counts the points that can't be read, of accounts that are left out for them.
    """

    curves: tuple[Curve, ...]
    problems: tuple[AccountProblem, ...] = ()
    pending: tuple[NamedCredential, ...] = ()
    unreadable: int = 0


@dataclass(frozen=True, slots=True)
class AccountHistory:
    """The history of one account; all of its points can be read."""

    credential_id: UUID
    account_type: Environment
    currency: str
    history: PortfolioHistoryResponse


async def read_all_curves(
    credentials: Sequence[NamedCredential],
    query: HistoryQuery,
    accounts: AccountReader,
    *,
    within_seconds: float | None = None,
    keep_seconds: float | None = None,
) -> AllCurves:
    """Reads and adds up the history of the credentials, which have to be loaded for this request.

    Waits `within_seconds` at most, or until the deadline of each call for None. A history is cached for `keep_seconds`,
    by default as long as other answers.
    """

    async def read(credential: OpenCredential) -> tuple[str, PortfolioHistoryResponse]:
        history = await portfolio_history_of(credential, query, accounts, keep_seconds=keep_seconds)
        data = await accounts.account_data_of(credential)  # which proved the account, so it is cached
        return data.value.currency, history.value

    found = await read_accounts(credentials, read, accounts, within_seconds=within_seconds)
    whole = [each for each in found.reads if not each.value[1].missing]
    partly = [each for each in found.reads if each.value[1].missing]
    problems = (*found.problems, *(AccountProblem(each.credential, _partly_read()) for each in partly))
    left_out = _count((problem.credential for problem in problems), accounts)
    curves = await to_thread(add_up, [_history(each) for each in whole], left_out)
    unreadable = sum(each.value[1].missing for each in partly)
    return AllCurves(curves, problems, found.pending, unreadable)


def _partly_read() -> UpstreamFailed:
    return UpstreamFailed("Some points of Alpaca's history can't be read.")


class Left(NamedTuple):
    """How many accounts are left out of a curve. The currency is None if it isn't known."""

    account_type: Environment
    currency: str | None


def add_up(histories: Iterable[AccountHistory], left_out: Mapping[Left, int] | None = None) -> tuple[Curve, ...]:
    """Returns a curve for each account type and currency with points."""
    groups: dict[tuple[Environment, str], list[AccountHistory]] = {}
    for history in histories:
        groups.setdefault((history.account_type, history.currency), []).append(history)
    with localcontext(EXACT):  # of every operator below
        curves = [_curve(groups[group], *group, left_out or {}) for group in sorted(groups)]
    return tuple(curve for curve in curves if curve is not None)


def points_since_funding(points: Sequence[HistoryPointResponse]) -> Sequence[HistoryPointResponse]:
    """Leaves out points without a value, and zeros from before the account was funded."""
    known = [point for point in points if point.equity is not None]
    first = next((index for index, point in enumerate(known) if Decimal(point.equity or 0)), len(known))
    return known[first:]


def _history(read: AccountRead[tuple[str, PortfolioHistoryResponse]]) -> AccountHistory:
    currency, history = read.value
    return AccountHistory(read.credential_id, read.credential.sealed.credential_type, currency, history)


def _count(credentials: Iterable[NamedCredential], accounts: AccountReader) -> dict[Left, int]:
    counts: dict[Left, int] = {}
    for credential in credentials:
        known = accounts.last_known_of(credential.sealed)
        left = Left(credential.sealed.credential_type, known and known.currency)
        counts[left] = counts.get(left, 0) + 1
    return counts


def _curve(
    histories: Sequence[AccountHistory], account_type: Environment, currency: str, left_out: Mapping[Left, int]
) -> Curve | None:
    lines = {one.credential_id: points_since_funding(one.history.items) for one in histories}
    lines = {credential_id: points for credential_id, points in sorted(lines.items()) if points}
    if not lines:
        return None
    funded = [one for one in histories if one.credential_id in lines]
    profit_loss = _total(points[-1].profit_loss for points in lines.values())
    base_value = _total(one.history.base_value for one in funded)
    return Curve(
        account_type=account_type,
        currency=currency,
        timeframe=funded[0].history.timeframe,
        base_value=base_value,
        profit_loss=profit_loss,
        profit_loss_pct=None if profit_loss is None or base_value is None else factor(profit_loss, base_value),
        points=_points(lines),
        accounts=tuple(lines),
        missing=sum(left_out.get(Left(account_type, each), 0) for each in (currency, None)),
    )


def factor(profit_loss: str, base_value: str) -> str | None:
    """Returns the share of the base value; None for a base value that is not positive."""
    base = Decimal(base_value)
    return quotient(Decimal(profit_loss), base) if base > 0 else None


class _Value(NamedTuple):
    equity: Decimal
    profit_loss: Decimal | None


def _points(lines: Mapping[UUID, Sequence[HistoryPointResponse]]) -> tuple[CurvePoint, ...]:
    changes: dict[str, dict[UUID, HistoryPointResponse]] = {}
    for credential_id, points in lines.items():
        for point in points:
            changes.setdefault(point.at, {})[credential_id] = point
    current: dict[UUID, _Value] = {}
    drawn: list[CurvePoint] = []
    for at in sorted(changes):
        new = changes[at].keys() - current.keys() if drawn else ()
        for credential_id, point in changes[at].items():
            current[credential_id] = _value(point)
        joined = [Joined(credential_id, changes[at][credential_id].equity or "0") for credential_id in sorted(new)]
        drawn.append(_point(at, current.values(), tuple(joined)))
    return tuple(drawn)


def _value(point: HistoryPointResponse) -> _Value:
    return _Value(Decimal(point.equity or 0), None if point.profit_loss is None else Decimal(point.profit_loss))


def _point(at: str, values: Iterable[_Value], joined: tuple[Joined, ...]) -> CurvePoint:
    values = list(values)
    profits = [value.profit_loss for value in values if value.profit_loss is not None]
    profit_loss = as_text(sum(profits, _ZERO)) if len(profits) == len(values) else None
    return CurvePoint(at, as_text(sum([value.equity for value in values], _ZERO)), profit_loss, joined)


def _total(amounts: Iterable[str | None]) -> str | None:
    """Returns None if one of them isn't known."""
    known = list(amounts)
    return None if None in known else exact_sum(amount for amount in known if amount is not None)
