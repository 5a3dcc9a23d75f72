"""Reads the positions of all accounts, and keeps what was merged of them as long as Alpaca's answers."""

from asyncio import to_thread
from collections.abc import Sequence
from dataclasses import dataclass

from corral.accounts.combined.merged_positions import (
    HeldByAccount,
    MergedPosition,
    MergedPositions,
    PositionTotals,
    merge_positions,
)
from corral.accounts.combined.reading import AccountProblem, AccountRead, read_accounts
from corral.accounts.lists import positions_of
from corral.accounts.reader import AccountReader
from corral.accounts.schemas import PositionList
from corral.credentials.models import NamedCredential
from corral.credentials.reader import OpenCredential


@dataclass(frozen=True, slots=True)
class AllPositions:
    """By account type, currency and descending absolute market value.

    Accounts with a problem or still `pending` are not in it. `unreadable` counts the positions that can't be read.
    """

    items: tuple[MergedPosition, ...]
    totals: tuple[PositionTotals, ...]
    unreadable: int
    problems: tuple[AccountProblem, ...] = ()
    pending: tuple[NamedCredential, ...] = ()


async def read_all_positions(
    credentials: Sequence[NamedCredential], accounts: AccountReader, *, within_seconds: float | None = None
) -> AllPositions:
    """Reads and merges the positions of the credentials, which have to be loaded for this request.

    Waits `within_seconds` at most, or until the deadline of each call for None.
    """

    async def read(credential: OpenCredential) -> tuple[str, PositionList]:
        listed = await positions_of(credential, accounts)
        data = await accounts.account_data_of(credential)  # which proved the account, so it is cached
        return data.value.currency, listed.value

    found = await read_accounts(credentials, read, accounts, within_seconds=within_seconds)
    held = tuple(map(_held, found.reads))
    merged = await _merged(credentials, held, accounts) if held else MergedPositions((), ())
    unreadable = sum(each.positions.unreadable for each in held)
    return AllPositions(merged.items, merged.totals, unreadable, found.problems, found.pending)


def _held(read: AccountRead[tuple[str, PositionList]]) -> HeldByAccount:
    credential, (currency, positions) = read.credential, read.value
    return HeldByAccount(
        credential.sealed.id, credential.nickname, credential.sealed.credential_type, currency, positions
    )


class _SameLists:
    """Equal to another one of the very same answers of Alpaca: what was merged of them is still true."""

    __slots__ = ("_held",)

    def __init__(self, held: tuple[HeldByAccount, ...]) -> None:
        self._held = held

    def _parts(self) -> list[tuple[object, ...]]:
        return [(one.credential_id, one.nickname, one.currency, id(one.positions)) for one in self._held]

    def __hash__(self) -> int:
        return hash(tuple(self._parts()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _SameLists) and self._parts() == other._parts()


async def _merged(
    credentials: Sequence[NamedCredential], held: tuple[HeldByAccount, ...], accounts: AccountReader
) -> MergedPositions:
    """Cached under one of the accounts that were read for this request, as long as their answers are."""

    async def fetch() -> MergedPositions:
        return await to_thread(merge_positions, held)

    first = next(one for one in credentials if one.sealed.id == held[0].credential_id)
    return await accounts.shared(accounts.open_row(first.sealed), _SameLists(held), fetch)
