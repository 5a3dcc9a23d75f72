"""A user's security activity: changes to their access, when and from where; and the name of the device.

The device is guessed from the User-Agent header and never relied on. Browsers also name other browsers, so the first
match in each list counts.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

from corral.audit.models import Action, Actor, ActorKind, NewEntry
from corral.audit.writing import record_in
from corral.database.connection import Connection, Database, get_connection_with_rls
from corral.identity import queries
from corral.identity.models import AuthUser
from corral.vault import Vault

_BROWSERS = (
    ("Edg", "Edge"), ("OPR/", "Opera"), ("SamsungBrowser/", "Samsung Internet"), ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"), ("CriOS/", "Chrome"), ("Chromium/", "Chromium"), ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)  # fmt: skip
_SYSTEMS = (
    ("iPhone", "iPhone"), ("iPad", "iPad"), ("Android", "Android"), ("Windows", "Windows"), ("CrOS", "ChromeOS"),
    ("Macintosh", "Mac"), ("Linux", "Linux"),
)  # fmt: skip
_PROGRAM = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,39}(?=/|$)", re.ASCII)


def device_of(user_agent: str) -> str:
    """Returns "Firefox on Linux", the name of a program, or "Unknown device"."""
    browser, system = _first(_BROWSERS, user_agent), _first(_SYSTEMS, user_agent)
    if browser and system:
        return f"{browser} on {system}"
    program = _PROGRAM.match(user_agent)
    is_telling = program is not None and program[0] != "Mozilla"
    return browser or system or (program[0] if program and is_telling else "Unknown device")


def _first(names: tuple[tuple[str, str], ...], user_agent: str) -> str | None:
    return next((name for mark, name in names if mark in user_agent), None)


Kind = Literal[
    "password_changed", "password_recovered", "recovery_link_made", "token_made", "token_revoked", "tokens_revoked"
]
MadeBy = Literal["session", "token", "link", "operator"]

_ACTIONS: Final[dict[Kind, Action]] = {
    "password_changed": Action.PASSWORD_CHANGED,
    "password_recovered": Action.PASSWORD_RECOVERED,
    "recovery_link_made": Action.RECOVERY_LINK_MADE,
    "token_made": Action.TOKEN_MADE,
    "token_revoked": Action.TOKEN_REVOKED,
    "tokens_revoked": Action.TOKENS_REVOKED,
}


@dataclass(frozen=True, slots=True)
class ChangeSource:
    """Where a change came from. `address` is empty if it is unknown, or that of a proxy on this machine."""

    made_by: MadeBy
    address: str
    device: str
    made_by_id: UUID | None = None  # of the session or token

    @property
    def actor(self) -> Actor:
        return Actor(ActorKind(self.made_by), self.made_by_id)


def actor_of(user: AuthUser) -> Actor:
    return Actor(ActorKind(user.authenticated_by), user.session_or_token_id)


OPERATOR: Final = ChangeSource("operator", "", "")


@dataclass(frozen=True, slots=True)
class SecurityEvent:
    kind: Kind
    source: ChangeSource
    subject: str  # the token's name, if it is about one
    happened_at: datetime


async def note_event(
    connection: Connection, vault: Vault, user_id: UUID, kind: Kind, source: ChangeSource, *,
    subject: str = "", subject_id: UUID | None = None,
) -> None:  # fmt: skip
    """Also writes it into the audit trail. To be called last in the transaction of the change, as `record_in` is."""
    await queries.insert_account_event(
        connection,
        user_id,
        kind=kind,
        made_by=source.made_by,
        address=source.address,
        device=source.device,
        subject=subject,
    )
    details = {"name": subject, "device": source.device}
    object_id = str(subject_id) if subject_id else None
    entry = NewEntry(source.actor, _ACTIONS[kind], object_id=object_id, details=details, address=source.address)
    await record_in(connection, vault, user_id, entry)


async def load_events(user_id: UUID, database: Database) -> list[SecurityEvent]:
    """Returns the newest first."""
    async with get_connection_with_rls(user_id, database, readonly=True) as connection:
        rows = await queries.load_account_events(connection, user_id)
    return [
        SecurityEvent(
            row["kind"], ChangeSource(row["made_by"], row["address"], row["device"]), row["subject"], row["happened_at"]
        )
        for row in rows
    ]


async def has_unseen_recovery(user_id: UUID, database: Database) -> bool:
    """Whether the password was recovered and the user has not been notified yet. Marks it as shown."""
    async with get_connection_with_rls(user_id, database) as connection:
        return await queries.mark_recoveries_shown(connection, user_id)
