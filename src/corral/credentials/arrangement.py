"""How people arrange their accounts: an order of their own, pins, groups, and the view of the home page."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from corral.credentials import queries
from corral.credentials.models import Credential, HomeView, Placement, StoredAccount
from corral.credentials.problems import CredentialNotFound
from corral.database.connection import Database, get_connection_with_rls
from corral.identity.models import AuthUser
from corral.identity.revalidation import authorized_connection

Direction = Literal["up", "down"]


@dataclass(frozen=True, slots=True)
class Arrangement:
    """`accounts` are in the order of their owner."""

    accounts: Sequence[StoredAccount]
    view: HomeView

    def find(self, credential_id: UUID) -> Credential:
        """Raises CredentialNotFound."""
        for account in self.accounts:
            if account.credential.id == credential_id:
                return account.credential
        raise CredentialNotFound


async def load_arrangement(user_id: UUID, database: Database) -> Arrangement:
    """Returns all accounts, paused ones, too. The connection is released before Alpaca is called."""
    async with get_connection_with_rls(user_id, database, readonly=True) as connection:
        accounts = await queries.load_accounts_in_order(connection, user_id)
        return Arrangement(accounts, await queries.load_home_view(connection, user_id) or HomeView())


async def change_view(user: AuthUser, database: Database, change: Callable[[HomeView], HomeView]) -> None:
    """Raises Unauthenticated if the session or token has ended meanwhile, as all changes here do."""
    async with authorized_connection(database, user) as connection:
        stored = await queries.load_home_view(connection, user.id) or HomeView()
        await queries.store_home_view(connection, user.id, change(stored))


async def place_account(user: AuthUser, database: Database, credential_id: UUID, placement: Placement) -> None:
    """Pins an account, or puts it into a group. Raises CredentialNotFound."""
    async with authorized_connection(database, user) as connection:
        is_placed = await queries.place_credential(connection, user.id, credential_id, placement)
    if not is_placed:
        raise CredentialNotFound


async def move_account(user: AuthUser, database: Database, credential_id: UUID, direction: Direction) -> None:
    """Moves an account by one place. Raises CredentialNotFound."""
    async with authorized_connection(database, user) as connection:
        accounts = await queries.load_accounts_in_order(connection, user.id)
        await queries.store_order(connection, user.id, moved(accounts, credential_id, direction))


def moved(accounts: Sequence[StoredAccount], credential_id: UUID, direction: Direction) -> list[UUID]:
    """Returns the new order. Pinned accounts remain before the others, so the first and the last of each stay."""
    order = [account.credential.id for account in accounts]
    if credential_id not in order:
        raise CredentialNotFound
    at = order.index(credential_id)
    to = at + (1 if direction == "down" else -1)
    if 0 <= to < len(order) and accounts[at].credential.is_pinned == accounts[to].credential.is_pinned:
        order[at], order[to] = order[to], order[at]
    return order
