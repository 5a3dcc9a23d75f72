"""Grants in words: what one may do, whether it works at the moment, and when it expires."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from corral.credentials.models import Credential
from corral.edge.field_types import parse_duration
from corral.grants.access import Access
from corral.grants.models import GrantRecord

if TYPE_CHECKING:
    from uuid import UUID

ACCESS_NAMES: Final[Mapping[str, str]] = {
    Access.READ: "Read only",
    Access.CLOSE_ONLY: "Cancel and close",
    Access.TRADE: "Trade",
}
ACCESS_MEANINGS: Final[Mapping[str, str]] = {
    Access.READ: "See the account, its positions, orders and history",
    Access.CLOSE_ONLY: "Also cancel orders and close positions",
    Access.TRADE: "Also place and replace orders",
}
LIFETIMES: Final[Mapping[str, str]] = {
    "1d": "1 day",
    "7d": "7 days",
    "30d": "30 days",
    "90d": "90 days",
    "365d": "1 year",
}
OVERLAPS: Final[Mapping[str, str]] = {
    "0m": "Stops working now",
    "1h": "Works for 1 hour",
    "1d": "Works for 1 day",
    "7d": "Works for 7 days",
}

_AN_HOUR, _A_DAY = timedelta(hours=1), timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Tag:
    """A short remark beside a name. It stands out if the grant does not work, or not for long."""

    text: str
    is_problem: bool = False


@dataclass(frozen=True, slots=True)
class ListedGrant:
    """A grant and its account."""

    record: GrantRecord
    credential: Credential
    tags: Sequence[Tag]

    @property
    def path(self) -> str:
        return f"/accounts/{self.record.credential_id}/grants/{self.record.id}"

    @property
    def access(self) -> str:
        return ACCESS_NAMES[self.record.access]

    @property
    def networks(self) -> str:
        return "" if self.record.networks is None else ", ".join(map(str, self.record.networks))


def list_grants(records: Iterable[GrantRecord], credentials: Iterable[Credential]) -> list[ListedGrant]:
    """In the order of the accounts; those of an account as they are given."""
    by_account: dict[UUID, list[GrantRecord]] = {}
    for record in records:
        by_account.setdefault(record.credential_id, []).append(record)
    return [
        describe_grant(record, credential) for credential in credentials for record in by_account.get(credential.id, [])
    ]


def describe_grant(record: GrantRecord, credential: Credential, now: datetime | None = None) -> ListedGrant:
    return ListedGrant(record, credential, _tags(record, now or datetime.now(UTC)))


def shorter_lifetimes(record: GrantRecord, now: datetime | None = None) -> dict[str, str]:
    """Those of `LIFETIMES` with which it would expire earlier than it does."""
    left = record.expires_at - (now or datetime.now(UTC))
    return {text: label for text, label in LIFETIMES.items() if (parse_duration(text) or left) < left}


def time_left(left: timedelta) -> str:
    """`3 days`, `5 hours` or `12 minutes`, rounded down, and `1 minute` at least."""
    if left >= _A_DAY:
        return _count(left.days, "day")
    if left >= _AN_HOUR:
        return _count(left // _AN_HOUR, "hour")
    return _count(max(left // timedelta(minutes=1), 1), "minute")


def _tags(record: GrantRecord, now: datetime) -> list[Tag]:
    tags: list[Tag] = []
    if record.is_expired:
        tags.append(Tag("expired", is_problem=True))
    elif record.ends_soon:
        tags.append(Tag(f"expires in {time_left(record.expires_at - now)}", is_problem=True))
    if not record.is_active:
        tags.append(Tag("account paused"))
    elif record.is_refused:
        tags.append(Tag("API key rejected", is_problem=True))
    return tags


def _count(number: int, unit: str) -> str:
    return f"{number} {unit}{'' if number == 1 else 's'}"
