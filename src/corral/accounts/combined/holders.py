"""Which accounts of a user hold a symbol."""

from collections.abc import Sequence
from dataclasses import dataclass

from corral.accounts.combined.reading import AccountProblem, read_accounts
from corral.accounts.lists import positions_of
from corral.accounts.reader import AccountReader
from corral.accounts.schemas import PositionResponse
from corral.credentials.models import NamedCredential
from corral.credentials.reader import OpenCredential


@dataclass(frozen=True, slots=True)
class Holder:
    """An account with a position in the symbol. `equity` and `currency` are those of the account."""

    credential: NamedCredential
    position: PositionResponse
    equity: str
    currency: str


@dataclass(frozen=True, slots=True)
class Holders:
    """Accounts with a problem or still `pending` may hold the symbol, too."""

    items: tuple[Holder, ...]
    problems: tuple[AccountProblem, ...]
    pending: tuple[NamedCredential, ...]


def symbol_key(symbol: str) -> str:
    """Equal for all ways in which Alpaca writes a symbol: `BTC/USD` in orders is `BTCUSD` in positions."""
    return symbol.replace("/", "").upper()


def find_position(symbol: str, positions: Sequence[PositionResponse]) -> PositionResponse | None:
    """`BTC/USD` finds the position `BTCUSD`."""
    wanted = symbol_key(symbol)
    return next((position for position in positions if symbol_key(position.symbol) == wanted), None)


async def read_holders(
    symbol: str,
    credentials: Sequence[NamedCredential],
    accounts: AccountReader,
    *,
    within_seconds: float | None = None,
) -> Holders:
    """Reads the positions of the credentials, which have to be loaded for this request.

    Waits `within_seconds` at most, or until the deadline of each call for None.
    """

    async def read(credential: OpenCredential) -> tuple[PositionResponse | None, str, str]:
        listed = await positions_of(credential, accounts)
        data = (await accounts.account_data_of(credential)).value  # which proved the account, so it is cached
        return find_position(symbol, listed.value.items), data.equity, data.currency

    found = await read_accounts(credentials, read, accounts, within_seconds=within_seconds)
    holders = [Holder(one.credential, one.value[0], *one.value[1:]) for one in found.reads if one.value[0] is not None]
    return Holders(tuple(holders), found.problems, found.pending)
