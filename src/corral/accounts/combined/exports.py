"""Lists of all accounts as CSV files, merged by time and written piece by piece.

A file has no place for problems. Therefore an account that can't be read refuses the whole file, and names itself in
the error; `credential_ids` leaves it out. Later, it ends the connection in the middle of the body, as for one account.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Generic, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

from corral.accounts.combined.equity import Curve, CurvePoint, read_all_curves
from corral.accounts.combined.lists import ActivityLists, Lists, OrderLists
from corral.accounts.combined.merging import MergedEntry, Progress, ReadAhead
from corral.accounts.combined.params import (
    AllActivitiesExportParams,
    AllHistoryExportParams,
    AllOrdersExportParams,
    AllPositionsExportParams,
)
from corral.accounts.combined.reading import AccountProblem, read_accounts
from corral.accounts.combined.selection import Selection, load_selected
from corral.accounts.csv_writer import csv_header, csv_rows
from corral.accounts.exports import (
    ACTIVITIES,
    LONGEST_WAIT_SECONDS,
    ORDERS,
    POSITIONS,
    Authenticate,
    CsvFile,
    Sleep,
    Table,
)
from corral.accounts.params import in_time_zone
from corral.accounts.reader import AccountReader, alpaca_errors_as_problems
from corral.alpaca.items import UnreadableItem
from corral.alpaca.paging import Listed
from corral.credentials.models import NamedCredential
from corral.credentials.problems import AccountRateLimited
from corral.credentials.reader import EXPORT, OpenCredential
from corral.database.connection import Database
from corral.errors import Problem
from corral.logs import get_logger

Item = TypeVar("Item", bound=Listed)
AnyItem = TypeVar("AnyItem")

_WHOSE: Final = ("credential_id", "account")
_CURVE_COLUMNS: Final = ("account_type", "currency", "at", "equity", "profit_loss", "joined")
# In memory at the same time, of all accounts together.
_MOST_AHEAD: Final = 5_000
_LEAST_AHEAD: Final = 50  # of each account, so that a long file does not take many calls
_log = get_logger()


@dataclass(frozen=True, slots=True)
class CombinedExporter:
    """Writes files of a user's accounts. The user is authenticated, and the accounts are loaded, for each further read.

    `sleep` is how it waits for an account's rate limit, in seconds.
    """

    accounts: AccountReader
    database: Database
    authenticate: Authenticate
    sleep: Sleep = asyncio.sleep

    async def positions(self, params: AllPositionsExportParams) -> CsvFile:
        credentials = await self.load(params.selection)
        found = await read_accounts(credentials, self.accounts.positions, self.accounts)
        _refuse_problems(found.problems)
        entries = [(each.credential, entry) for each in found.reads for entry in each.value]
        return CsvFile("positions-all-accounts.csv", _at_once(POSITIONS, entries, params.zone))

    async def orders(self, params: AllOrdersExportParams) -> CsvFile:
        lists = OrderLists(params.query(), self.accounts)
        export = _Export(self, lists, ORDERS, params.selection, params.zone)
        return CsvFile("orders-all-accounts.csv", await export.begin())

    async def activities(self, params: AllActivitiesExportParams) -> CsvFile:
        lists = ActivityLists(params.query(), self.accounts)
        export = _Export(self, lists, ACTIVITIES, params.selection, params.zone)
        return CsvFile("activities-all-accounts.csv", await export.begin())

    async def portfolio_history(self, params: AllHistoryExportParams) -> CsvFile:
        """The points of the curves."""
        credentials = await self.load(params.selection)
        found = await read_all_curves(credentials, params.query(), self.accounts)
        _refuse_problems(found.problems)
        return CsvFile("portfolio-history-all-accounts.csv", _curves_at_once(found.curves, params.zone))

    async def load(self, selection: Selection) -> Sequence[NamedCredential]:
        """Authenticates the user, and raises a Problem if they may no longer read, or for an account without access."""
        user_id = await self.authenticate()
        selected = await load_selected(user_id, self.database, self.accounts, selection)
        for credential_id, problem in selected.problems:
            raise _named(problem, str(credential_id), credential_id)
        return selected.credentials


@dataclass(slots=True)
class _Export(Generic[Item]):
    """One file. `ahead` are the items of each account that are read and not yet written."""

    exporter: CombinedExporter
    lists: Lists[Item, object]
    table: Table[Item]
    selection: Selection
    zone: ZoneInfo | None
    ahead: dict[UUID, ReadAhead[Item]] = field(default_factory=dict)
    names: dict[UUID, str] = field(default_factory=dict)

    async def begin(self) -> AsyncGenerator[bytes]:
        """Reads the beginning of each list while the response can still be an error. Raises a Problem."""
        credentials = await self.exporter.load(self.selection)
        self.names = {credential.sealed.id: credential.nickname for credential in credentials}
        # From now on, exactly these: a file must not lack an account that went away meanwhile.
        self.selection = replace(self.selection, credential_ids=tuple(self.names))
        await self._read(credentials, Progress(), waits=False)
        return self._written()

    async def _written(self) -> AsyncGenerator[bytes]:
        yield self.table.header(*_WHOSE)
        progress: Progress | None = Progress()
        while progress is not None:
            page = await asyncio.to_thread(self.lists.merging.merge, self.ahead, progress, limit=_MOST_AHEAD)
            yield await asyncio.to_thread(self._lines, page.entries)
            progress = page.goes_on
            self.ahead = {one: account.rest(page.taken[one]) for one, account in self.ahead.items()}
            due = [one for one, account in self.ahead.items() if not account.ahead and account.goes_on is not None]
            if progress is not None and due:
                await self._read_on(due, progress)

    def _lines(self, entries: Iterable[MergedEntry[Item]]) -> bytes:
        return csv_rows(
            [str(one.credential_id), self.names[one.credential_id], *line]
            for one in entries
            for line in self.table.lines(one.entry, self.zone)
        )

    async def _read_on(self, due: Sequence[UUID], progress: Progress) -> None:
        try:
            credentials = await self.exporter.load(self.selection)
            places = {one: place for one in due if (place := self.ahead[one].goes_on) is not None}
            going_on = [credential for credential in credentials if credential.sealed.id in places]
            await self._read(going_on, replace(progress, places=places), waits=True)
        except Problem as problem:
            _log.warning("export_cut_off", code=problem.code, credential_id=problem.extra.get("credential_id"))
            raise

    async def _read(self, credentials: Sequence[NamedCredential], progress: Progress, *, waits: bool) -> None:
        """Reads on; if it `waits`, once the rate limits of all accounts allow it. Raises a Problem."""
        most = max(_LEAST_AHEAD, _MOST_AHEAD // max(1, len(self.names)))

        async def read(credential: OpenCredential) -> ReadAhead[Item]:
            with alpaca_errors_as_problems():
                source = self.lists.source(credential)
                limit = min(source.listing.longest_page, most)
                return await self.lists.merging.read_ahead(source, credential.stored.id, progress, limit=limit)

        waited = 0
        while credentials:
            found = await read_accounts(credentials, read, self.exporter.accounts, purpose=EXPORT)
            self.ahead |= {each.credential_id: each.value for each in found.reads}
            due = {problem.credential_id for problem in found.problems}
            if not due:
                return
            if not waits or waited >= LONGEST_WAIT_SECONDS:
                _refuse_problems(found.problems)
            pause = _pause(found.problems)
            await self.exporter.sleep(pause)
            waited += pause
            credentials = [one for one in await self.exporter.load(self.selection) if one.sealed.id in due]


def _pause(problems: Iterable[AccountProblem]) -> int:
    """Returns for how many seconds to wait for rate limits. Raises any other Problem."""
    _refuse_problems(
        one for one in problems if not isinstance(one.problem, AccountRateLimited) or one.problem.retry_after is None
    )
    return max(one.problem.retry_after or 0 for one in problems)


def _refuse_problems(problems: Iterable[AccountProblem]) -> None:
    for one in problems:
        raise _named(one.problem, one.credential.nickname, one.credential_id) from one.problem


def _named(problem: Problem, name: str, credential_id: UUID) -> Problem:
    """Returns the problem with the account that it is about."""
    extra = {**problem.extra, "credential_id": str(credential_id)}
    return type(problem)(f"{name}: {problem.detail}", retry_after=problem.retry_after, **extra)


async def _at_once(
    table: Table[AnyItem],
    entries: Sequence[tuple[NamedCredential, AnyItem | UnreadableItem]],
    zone: ZoneInfo | None,
) -> AsyncGenerator[bytes]:
    def written() -> bytes:
        return csv_rows(
            [str(credential.sealed.id), credential.nickname, *line]
            for credential, entry in entries
            for line in table.lines(entry, zone)
        )

    yield table.header(*_WHOSE) + await asyncio.to_thread(written)


async def _curves_at_once(curves: Sequence[Curve], zone: ZoneInfo | None) -> AsyncGenerator[bytes]:
    def written() -> bytes:
        return csv_rows(_curve_line(curve, point, zone) for curve in curves for point in curve.points)

    yield csv_header(_CURVE_COLUMNS) + await asyncio.to_thread(written)


def _curve_line(curve: Curve, point: CurvePoint, zone: ZoneInfo | None) -> list[object]:
    joined = {str(one.credential_id): one.equity for one in point.joined}
    at = point.at if zone is None else in_time_zone(point.at, zone)
    return [curve.account_type, curve.currency, at, point.equity, point.profit_loss, joined]
