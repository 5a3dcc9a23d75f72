"""What an entry of the audit trail says: who did what, with which account, and how it ended."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

MOST_DETAILS: Final = 16
LONGEST_DETAIL: Final = 200
LONGEST_OBJECT_ID: Final = 128


class Action(StrEnum):
    CREDENTIAL_ADDED = "credential.added"
    CREDENTIAL_RENAMED = "credential.renamed"
    CREDENTIAL_REKEYED = "credential.rekeyed"
    CREDENTIAL_PAUSED = "credential.paused"
    CREDENTIAL_RESUMED = "credential.resumed"
    CREDENTIAL_DELETED = "credential.deleted"
    PASSWORD_CHANGED = "password.changed"
    PASSWORD_RECOVERED = "password.recovered"
    RECOVERY_LINK_MADE = "recovery_link.made"
    TOKEN_MADE = "token.made"
    TOKEN_REVOKED = "token.revoked"
    TOKENS_REVOKED = "tokens.revoked"
    PERSON_DISABLED = "person.disabled"
    PERSON_ENABLED = "person.enabled"
    PERSON_PROMOTED = "person.promoted"
    PERSON_DEMOTED = "person.demoted"
    CONFIRMATION_REFUSED = "confirmation.refused"
    SIGN_IN_REFUSED = "sign_in.refused"
    GRANT_MADE = "grant.made"
    GRANT_NARROWED = "grant.narrowed"
    GRANT_RENEWED = "grant.renewed"
    GRANT_REVOKED = "grant.revoked"
    GRANTS_REVOKED = "grants.revoked"
    GRANT_READ = "grant.read"  # summed by the hour
    GRANT_REFUSED = "grant.refused"  # summed by the minute
    ORDER_SUBMIT = "order.submit"
    ORDER_REPLACE = "order.replace"
    ORDER_CANCEL = "order.cancel"
    ORDERS_CANCEL = "orders.cancel"
    POSITION_CLOSE = "position.close"
    POSITIONS_CLOSE = "positions.close"
    OPTION_EXERCISE = "option.exercise"
    OPTION_DO_NOT_EXERCISE = "option.do_not_exercise"
    WATCHLIST_CHANGE = "watchlist.change"
    INSTALLATION_RESTORED = "installation.restored"  # from a backup: entries after that moment are gone


class Result(StrEnum):
    BEGUN = "begun"  # about to be sent to Alpaca; a later entry that `concludes` this one says how it ended
    DONE = "done"
    REFUSED = "refused"  # certain that nothing was done, by Corral or by Alpaca
    FAILED = "failed"  # certain that nothing was done, for a failure
    UNKNOWN = "unknown"  # may have been done or not


class ActorKind(StrEnum):
    SESSION = "session"
    TOKEN = "token"
    GRANT = "grant"
    PERSON = "person"  # another one than the owner of the chain: an administrator
    LINK = "link"
    OPERATOR = "operator"
    ANYONE = "anyone"  # not authenticated


@dataclass(frozen=True, slots=True)
class Actor:
    """`id` is that of the session, token, grant or person. Written as "grant:…", or "operator" without one."""

    kind: ActorKind
    id: UUID | None = None

    def __str__(self) -> str:
        return self.kind.value if self.id is None else f"{self.kind.value}:{self.id}"


OPERATOR_ACTOR: Final = Actor(ActorKind.OPERATOR)
ANYONE: Final = Actor(ActorKind.ANYONE)


@dataclass(frozen=True, slots=True)
class NewEntry:
    """What is to be written down. Never put a secret into it.

    Texts are cut to their longest (200 characters for each of at most 16 details, 128 for `object_id`), and control
    characters are left out.
    """

    actor: Actor | str  # a text, like that of the action, is copied from another entry
    action: Action | str
    result: Result = Result.DONE
    credential_id: UUID | None = None
    grant_id: UUID | None = None
    object_id: str | None = None  # of the order, token, person …
    details: Mapping[str, str] = field(default_factory=dict[str, str])
    address: str = ""  # of the client; empty if it is unknown
    concludes: int | None = None  # the number of the entry whose outcome this is


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """An entry as it was written. `actor` and `action` are texts: a later release may know more of them."""

    user_id: UUID
    seq: int  # from 1, without gaps
    at: datetime
    actor: str
    action: str
    result: str
    credential_id: UUID | None
    grant_id: UUID | None
    object_id: str | None
    details: Mapping[str, str]
    address: str
    concludes: int | None


@dataclass(frozen=True, slots=True)
class Head:
    """The last entry of a chain: its number and its mac. Number 0 with an empty mac before the first entry."""

    seq: int
    mac: bytes


@dataclass(frozen=True, slots=True)
class Link:
    """One entry as it is stored: its canonical text, and the keyed hash that binds it to the one before."""

    seq: int
    body: str
    mac: bytes
