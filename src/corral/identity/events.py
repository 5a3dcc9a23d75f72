"""What a person is told of changes to their access: what, when, and from where."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

from corral.database.connection import Connection, Database, get_connection_with_rls
from corral.identity import queries

Kind = Literal[
    "password_changed", "password_recovered", "recovery_link_made", "token_made", "token_revoked", "tokens_revoked"
]
MadeBy = Literal["session", "token", "link", "operator"]


@dataclass(frozen=True, slots=True)
class Source:
    """Where a change came from. `address` is empty where it is not known, or is that of a proxy on this machine."""

    made_by: MadeBy
    address: str
    device: str


OPERATOR: Final = Source("operator", "", "")


@dataclass(frozen=True, slots=True)
class AccountEvent:
    kind: Kind
    source: Source
    subject: str  # the token's name, where it is about one
    happened_at: datetime


async def note_event(connection: Connection, user_id: UUID, kind: Kind, source: Source, subject: str = "") -> None:
    """In the transaction of the change, so that there is never one without the other."""
    await queries.insert_account_event(
        connection,
        user_id,
        kind=kind,
        made_by=source.made_by,
        address=source.address,
        device=source.device,
        subject=subject,
    )


async def load_events(database: Database, user_id: UUID) -> list[AccountEvent]:
    """The newest first."""
    async with get_connection_with_rls(user_id, database, readonly=True) as connection:
        rows = await queries.load_account_events(connection, user_id)
    return [
        AccountEvent(
            row["kind"], Source(row["made_by"], row["address"], row["device"]), row["subject"], row["happened_at"]
        )
        for row in rows
    ]


async def has_news(database: Database, user_id: UUID) -> bool:
    """Whether the password was recovered and the person was not told yet. From now on they have been."""
    async with get_connection_with_rls(user_id, database) as connection:
        return await queries.mark_recoveries_shown(connection, user_id)
