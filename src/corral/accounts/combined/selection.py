"""Which of a user's active accounts a call reads."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from corral.accounts.reader import AccountReader
from corral.alpaca.environments import Environment
from corral.credentials.management import load_active_credentials
from corral.credentials.models import NamedCredential
from corral.database.connection import Database
from corral.errors import Problem


@dataclass(frozen=True, slots=True)
class Selection:
    """None selects all."""

    account_type: Environment | None = None
    credential_ids: tuple[UUID, ...] | None = None

    def includes(self, credential: NamedCredential) -> bool:
        is_of_type = self.account_type in {None, credential.sealed.credential_type}
        return is_of_type and (self.credential_ids is None or credential.sealed.id in self.credential_ids)


@dataclass(frozen=True, slots=True)
class Selected:
    """`problems` are those of selected ids without an active account of the user's."""

    credentials: Sequence[NamedCredential]
    problems: Sequence[tuple[UUID, Problem]] = ()


async def load_selected(user_id: UUID, database: Database, accounts: AccountReader, selection: Selection) -> Selected:
    active = await load_active_credentials(user_id, database)
    known = {credential.sealed.id for credential in active}
    unknown = [one for one in dict.fromkeys(selection.credential_ids or ()) if one not in known]
    problems = [(one, problem) for one in unknown if (problem := await _problem(user_id, one, accounts))]
    return Selected([credential for credential in active if selection.includes(credential)], problems)


async def _problem(user_id: UUID, credential_id: UUID, accounts: AccountReader) -> Problem | None:
    """An account of somebody else is like one that does not exist."""
    try:
        await accounts.open(user_id, credential_id)
    except Problem as problem:
        return problem
    return None  # resumed just now
