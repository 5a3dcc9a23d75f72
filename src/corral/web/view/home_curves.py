"""The curves of equity on the home page: one for each currency of the chosen accounts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from corral.accounts.amounts import exact_sum
from corral.accounts.combined.equity import AllCurves, Curve, CurvePoint, factor
from corral.accounts.schemas import HistoryPointResponse, PortfolioHistoryResponse
from corral.web.view.equity import CurrentEquity, EquityHistory, Period, summarize_equity
from corral.web.view.home_accounts import AccountEntry

# How long an account's history is cached for the curves. The last point is live.
HISTORY_SECONDS: Final = 180.0
_MAX_ROWS: Final = 20  # of the table; the chart and the API have every point


@dataclass(frozen=True, slots=True)
class HomeCurve:
    """`missing` accounts of `total` can't be read, or not yet."""

    curve: Curve
    equity: EquityHistory
    missing: int
    total: int

    @property
    def note(self) -> str:
        return note_of(self.missing, self.total)


def summarize_curves(
    found: AllCurves, entries: Mapping[UUID, AccountEntry], period: Period, now: datetime, *, total: int
) -> list[HomeCurve]:
    """The last point is the current equity, if that of all accounts of the curve is known."""
    curves: list[HomeCurve] = []
    for curve in found.curves:
        current = _current_equity([entries[account] for account in curve.accounts if account in entries])
        equity = summarize_equity(_history(curve), period, now, current=current)
        if equity is not None:
            shorter = -(-len(equity.rows) // _MAX_ROWS)
            equity = replace(equity, rows=equity.rows[::shorter], step=equity.step * shorter)
            curves.append(HomeCurve(curve, equity, curve.missing + len(found.pending), total))
    return curves


def curve_json(found: AllCurves, names: Mapping[UUID, str], *, total: int) -> dict[str, Any]:
    """For the chart's script: as the API has curves, with a text for each point where accounts join."""
    return {"items": [_curve_json(curve, names, len(found.pending), total) for curve in found.curves]}


def note_of(missing: int, total: int) -> str:
    """`2 of 8 accounts are not included.`, or nothing."""
    return f"{missing} of {total} accounts {'are' if missing > 1 else 'is'} not included." if missing else ""


def _curve_json(curve: Curve, names: Mapping[UUID, str], pending: int, total: int) -> dict[str, Any]:
    return {
        "account_type": curve.account_type,
        "currency": curve.currency,
        "timeframe": curve.timeframe,
        "base_value": curve.base_value,
        "accounts": [str(account) for account in curve.accounts],
        "note": note_of(curve.missing + pending, total),
        "items": [
            {
                "at": point.at,
                "equity": point.equity,
                "profit_loss": point.profit_loss,
                "profit_loss_pct": _factor(curve, point),
                **({"marker": _marker(point, names)} if point.joined else {}),
            }
            for point in curve.points
        ],
    }


def _marker(point: CurvePoint, names: Mapping[UUID, str]) -> str:
    joined = [names.get(one.credential_id, "") for one in point.joined]
    return f"{joined[0]} joined" if len(joined) == 1 else f"{len(joined)} accounts joined"


def _factor(curve: Curve, point: CurvePoint) -> str | None:
    if point.profit_loss is None or curve.base_value is None:
        return None
    return factor(point.profit_loss, curve.base_value)


def _history(curve: Curve) -> PortfolioHistoryResponse:
    points = [
        HistoryPointResponse.model_construct(
            at=point.at, equity=point.equity, profit_loss=point.profit_loss, profit_loss_pct=_factor(curve, point)
        )
        for point in curve.points
    ]
    return PortfolioHistoryResponse.model_construct(
        timeframe=curve.timeframe, base_value=curve.base_value, base_value_asof=None, items=points, missing=0
    )


def _current_equity(entries: Sequence[AccountEntry]) -> CurrentEquity | None:
    data = [entry.data for entry in entries if entry.data]
    if not data or len(data) < len(entries):
        return None
    return CurrentEquity(exact_sum(one.equity for one in data), max(one.last_updated for one in data))
